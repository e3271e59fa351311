//! Configuration files that Debian's nginx and both programs test (`-t`): the warnings and the first error must be the
//! same, or the file names its row of docs/differences.md.
//!
//! `configuration.txt` holds them. `== NAME` begins a file. Then, in this order and each at most once: `differs: AREA`
//! (the row) or `newer: VERSION` (Debian's nginx is too old), `says: TEXT` (a message of gatepost holds it),
//! `file: NAME` (for `-c`, instead of `nginx.conf`), `directives: TEXT` (for `-g`), and `in: mail` or `in: server` (the
//! rest is wrapped in such a block). All other lines are the file; `@include NAME` on a line begins
//! another one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use gatepost_tests::real::{Nginx, are_available, find};
use gatepost_tests::{Proxy, on_both};

/// One file, and what is expected of it.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The row of docs/differences.md.
    pub(crate) differs: Option<String>,
    is_newer: bool,
    says: Option<String>,
    file: String,
    directives: Option<String>,
    text: String,
    /// Further files: names and contents.
    others: Vec<(String, String)>,
}

on_both! {
    fn the_same_is_said_of_a_file(program: Program) {
        static NGINX: OnceLock<Vec<Vec<String>>> = OnceLock::new();
        if !are_available(&Nginx::NEEDS) {
            return;
        }
        let cases = cases();
        let nginx = NGINX.get_or_init(|| {
            let path = find("nginx").unwrap();
            cases.iter().map(|case| messages(&path, case)).collect()
        });
        let complaints: Vec<_> = cases
            .iter()
            .zip(nginx)
            .filter_map(|(case, theirs)| judge(case, &messages(&program.path(), case), theirs))
            .collect();
        assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), cases.len(), complaints.join("\n"));
    }
}

fn judge(case: &Case, ours: &[String], theirs: &[String]) -> Option<String> {
    let complain =
        |what: &str| Some(format!("== {}: {what}\ngatepost: {ours:#?}\nnginx: {theirs:#?}", case.name));
    if let Some(text) = &case.says
        && !ours.iter().any(|message| message.contains(text.as_str()))
    {
        return complain(&format!("never said {text:?}"));
    }
    match (case.differs.is_some() || case.is_newer, ours == theirs) {
        (false, false) => complain("differs"),
        (true, true) => complain("does not differ"),
        (false, true) | (true, false) => None,
    }
}

/// The warnings and the first error of `-t`, without the program's name and folder.
fn messages(program: &Path, case: &Case) -> Vec<String> {
    let folder = Proxy::folder();
    for (name, content) in [(&case.file, &case.text)]
        .into_iter()
        .chain(case.others.iter().map(|(name, content)| (name, content)))
    {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let output = Command::new(program)
        .args(["-t", "-c", &case.file, "-e", "error.log", "-p"])
        .arg(folder.path())
        .args(case.directives.iter().flat_map(|directives| ["-g", directives]))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&*folder.path().to_string_lossy(), "DIR");
    let (mut messages, mut has_error) = (Vec::new(), false);
    for line in stderr.lines() {
        let Some((_, message)) = line.split_once(": ") else { continue };
        let is_error = message.starts_with("[emerg]");
        if message.starts_with("[warn]") || (is_error && !has_error) {
            has_error |= is_error;
            messages.push(modern(message));
        }
    }
    assert_eq!(has_error, !output.status.success(), "{}: {stderr}", case.name);
    messages
}

/// Debian's nginx is older than the reference, which words one message differently.
fn modern(message: &str) -> String {
    let parts = message.split_once("the invalid \"").zip(message.rsplit_once("\" parameter in "));
    match parts {
        Some(((level, _), (_, place))) => {
            let parameter = &message[level.len() + "the invalid \"".len()
                ..message.len() - place.len() - "\" parameter in ".len()];
            format!("{level}invalid parameter \"{parameter}\" in {place}")
        }
        None => message.to_owned(),
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let sections = include_str!("configuration.txt").split("\n== ").skip(1);
    sections.map(case).collect()
}

fn case(section: &str) -> Case {
    let (name, mut rest) = section.split_once('\n').unwrap();
    let mut header = |key: &str| {
        let (line, tail) = rest.split_once('\n')?;
        let value = line.strip_prefix(key)?;
        rest = tail;
        Some(value.to_owned())
    };
    let (differs, newer, says) = (header("differs: "), header("newer: "), header("says: "));
    let file = header("file: ").unwrap_or_else(|| "nginx.conf".to_owned());
    let (directives, context) = (header("directives: "), header("in: "));
    let mut files = rest.trim_end_matches('\n').split("\n@include ");
    let body = files.next().unwrap_or_default();
    let main = format!("load_module {}; pid nginx.pid; error_log error.log;", Nginx::NEEDS[1]);
    let text = match context.as_deref() {
        None => format!("{main} {body}\n"),
        Some("mail") => format!("{main} events {{}} mail {{ auth_http 127.0.0.1:9; {body}\n}}\n"),
        Some("server") => {
            format!(
                "{main} events {{}} mail {{ auth_http 127.0.0.1:9; server {{ listen 127.0.0.1:143; {body}\n}} }}\n"
            )
        }
        Some(other) => panic!("in: {other}"),
    };
    let other = |file: &str| {
        let (name, content) = file.split_once('\n').unwrap_or((file, ""));
        (name.to_owned(), content.to_owned())
    };
    let (name, is_newer, others) = (name.to_owned(), newer.is_some(), files.map(other).collect());
    Case { name, differs, is_newer, says, file, directives, text, others }
}

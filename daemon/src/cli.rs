//! The command line: nginx's options, read as nginx reads them (spec/auth-http-and-ops.md section 8), and `--demo`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::signal::Signal;
use thiserror::Error;

use crate::control;

/// What the user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// `-h`, `-?`.
    pub(crate) help: bool,
    /// `-v`, and each option that shows more than it.
    pub(crate) version: bool,
    /// `-V`.
    pub(crate) build: bool,
    /// `-t`, `-T`, `-E`.
    pub(crate) test: bool,
    /// `-T`.
    pub(crate) dump: bool,
    /// `-E`, `--explain`.
    pub(crate) explain: bool,
    /// `-q`.
    pub(crate) quiet: bool,
    /// `-s`.
    pub(crate) signal: Option<Signal>,
    /// `-p`.
    pub(crate) prefix: Option<PathBuf>,
    /// `-c`.
    pub(crate) file: Option<PathBuf>,
    /// `-e`.
    pub(crate) error_log: Option<PathBuf>,
    /// `-g`.
    pub(crate) directives: Option<String>,
    /// `--demo`.
    pub(crate) demo: bool,
}

/// Why the command line was not understood. Prints as the whole message behind the program's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum CliError {
    /// A letter that is no option, a word that is none, or `-s` with another word.
    #[error("invalid option: \"{0}\"")]
    Invalid(String),
    /// An option at the end that should have a value.
    #[error("option \"-{0}\" requires {1}")]
    NoValue(char, &'static str),
    /// A text that cannot be in a configuration.
    #[error("option \"-g\" requires UTF-8")]
    NoText,
    /// `--demo` brings its own configuration.
    #[error("option \"--demo\" goes with no other")]
    NotAlone,
}

/// Reads the arguments behind the program's name. Options may be joined (`-tq`), values glued on (`-cFILE`); of equal
/// options the last counts.
///
/// # Errors
/// The first thing that was not understood.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Options, CliError> {
    let mut options = Options::default();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == "--demo" {
            options.demo = true;
            continue;
        }
        if argument == "--explain" {
            (options.explain, options.test) = (true, true);
            continue;
        }
        let Some(letters) = argument.as_bytes().strip_prefix(b"-") else {
            return Err(CliError::Invalid(argument.to_string_lossy().into_owned()));
        };
        read_letters(&mut options, letters, &mut arguments)?;
    }
    if options.demo && options != (Options { demo: true, ..Options::default() }) {
        return Err(CliError::NotAlone);
    }
    Ok(options)
}

fn read_letters(
    options: &mut Options,
    mut letters: &[u8],
    arguments: &mut impl Iterator<Item = OsString>,
) -> Result<(), CliError> {
    while let Some((letter, rest)) = letters.split_first() {
        letters = rest;
        match letter {
            b'?' | b'h' => (options.help, options.version) = (true, true),
            b'v' => options.version = true,
            b'V' => (options.build, options.version) = (true, true),
            b't' => options.test = true,
            b'T' => (options.dump, options.test) = (true, true),
            b'E' => (options.explain, options.test) = (true, true),
            b'q' => options.quiet = true,
            b'p' | b'c' | b'e' | b'g' | b's' => {
                let value = match rest {
                    [] => arguments.next().filter(|value| !value.is_empty()),
                    glued => Some(OsStr::from_bytes(glued).to_owned()),
                };
                return set_value(options, *letter, value);
            }
            _ => return Err(CliError::Invalid(String::from_utf8_lossy(&[*letter]).into_owned())),
        }
    }
    Ok(())
}

fn set_value(options: &mut Options, letter: u8, value: Option<OsString>) -> Result<(), CliError> {
    let wanted = match letter {
        b'p' => "directory name",
        b'c' | b'e' => "file name",
        _ => "parameter",
    };
    let value = value.ok_or_else(|| CliError::NoValue(letter.into(), wanted))?;
    match letter {
        b'p' => options.prefix = Some(value.into()),
        b'c' => options.file = Some(value.into()),
        b'e' => options.error_log = Some(value.into()),
        b'g' => {
            let text = String::from_utf8(value.into_vec()).map_err(|_| CliError::NoText)?;
            options.directives = Some(text);
        }
        _ => {
            let name = value.to_string_lossy();
            let signal = control::signal_named(&name);
            options.signal = Some(signal.ok_or_else(|| CliError::Invalid(format!("-s {name}")))?);
        }
    }
    Ok(())
}

/// What `-h` says behind the version.
pub(crate) fn usage(program: &str) -> String {
    format!(
        "Usage: {program} [-?hvVtTEq] [-s SIGNAL] [-p DIRECTORY] [-c FILE] [-e FILE] [-g DIRECTIVES]
       {program} --demo

Options:
  -?, -h         show this help
  -v             show the version
  -V             show the version and how the program was built
  -t             test the configuration, change nothing
  -T             test the configuration and print all its files
  -E, --explain  test the configuration and print what each server has, and where from
  -q             with -t, -T and -E: print errors only
  -s SIGNAL      tell the running master to stop, quit, reopen or reload
  -p DIRECTORY   where relative names start (default: {prefix})
  -c FILE        the configuration (default: {file})
  -e FILE        the log of the start, or stderr (default: {error_log})
  -g DIRECTIVES  directives in front of the configuration
  --demo         try it: a proxy with mail servers behind it, all on this machine
",
        prefix = PREFIX,
        file = FILE,
        error_log = ERROR_LOG,
    )
}

/// What `-V` says behind the version, in the form that nginx's scripts read.
pub(crate) fn build() -> String {
    let provider = if cfg!(feature = "aws-lc-rs") { "aws-lc-rs" } else { "ring" };
    format!(
        "built by {COMPILER}
built with rustls, {provider}
TLS SNI support enabled
configure arguments: --prefix={PREFIX} --conf-path={PREFIX}{FILE} --error-log-path={PREFIX}{ERROR_LOG} \
         --pid-path={PREFIX}{PID} --with-mail --with-mail_ssl_module
"
    )
}

/// What made this program, with its version.
pub(crate) const COMPILER: &str = env!("GATEPOST_COMPILER");

/// Where relative names start.
pub(crate) const PREFIX: &str = "/usr/local/gatepost/";
/// The configuration, the log and the pid file below the prefix: as nginx names them.
pub(crate) const FILE: &str = "conf/nginx.conf";
pub(crate) const ERROR_LOG: &str = "logs/error.log";
pub(crate) const PID: &str = "logs/nginx.pid";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        let arguments = line.split('|').filter(|word| *word != "()").map(OsString::from);
        parse(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn options_stand_alone_joined_or_glued() {
        let default = Options::default;
        let path = |text: &str| Some(PathBuf::from(text));
        for (line, expected) in [
            ("()", default()),
            ("-", default()),
            ("-v", Options { version: true, ..default() }),
            ("-V", Options { version: true, build: true, ..default() }),
            ("-h", Options { version: true, help: true, ..default() }),
            ("-?", Options { version: true, help: true, ..default() }),
            ("-tq", Options { test: true, quiet: true, ..default() }),
            ("-q|-T", Options { test: true, dump: true, quiet: true, ..default() }),
            ("-sreload", Options { signal: Some(Signal::SIGHUP), ..default() }),
            ("-s|quit|-s|stop", Options { signal: Some(Signal::SIGTERM), ..default() }),
            ("-tc|a|-cb", Options { test: true, file: path("b"), ..default() }),
            ("-c=x", Options { file: path("=x"), ..default() }),
            ("-p/dir|-e|stderr", Options { prefix: path("/dir"), error_log: path("stderr"), ..default() }),
            ("-g|a; b;", Options { directives: Some("a; b;".into()), ..default() }),
            ("-p|-t", Options { prefix: path("-t"), ..default() }),
            ("-E", Options { test: true, explain: true, ..default() }),
            ("--explain|-q", Options { test: true, explain: true, quiet: true, ..default() }),
            ("--demo", Options { demo: true, ..default() }),
        ] {
            assert_eq!(parsed(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn the_first_mistake_is_named() {
        for (line, expected) in [
            ("-x", "invalid option: \"x\""),
            ("-tx|-y", "invalid option: \"x\""),
            ("foo", "invalid option: \"foo\""),
            ("", "invalid option: \"\""),
            ("--", "invalid option: \"-\""),
            ("--help", "invalid option: \"-\""),
            ("-s|foo", "invalid option: \"-s foo\""),
            ("-sfoo", "invalid option: \"-s foo\""),
            ("-p", "option \"-p\" requires directory name"),
            ("-t|-c", "option \"-c\" requires file name"),
            ("-e", "option \"-e\" requires file name"),
            ("-g", "option \"-g\" requires parameter"),
            ("-s", "option \"-s\" requires parameter"),
            ("-c|", "option \"-c\" requires file name"),
            ("--demo|-t", "option \"--demo\" goes with no other"),
        ] {
            assert_eq!(parsed(line), Err(expected.into()), "{line}");
        }
    }

    #[test]
    fn directives_are_text() {
        let arguments = [OsString::from("-g"), OsString::from_vec(vec![0xFF])];
        assert_eq!(parse(arguments), Err(CliError::NoText));
    }

    #[test]
    fn the_help_names_every_option() {
        let usage = usage("gatepost");
        for letter in "?hvVtTEqspceg".chars() {
            assert!(usage.contains(&format!("-{letter}")), "{letter}");
        }
        assert!(build().starts_with("built by rustc 1."), "{}", build());
        assert!(build().contains("--pid-path=/usr/local/gatepost/logs/nginx.pid "));
    }
}

//! The tables of the STATES.md files are true: each test they name exists, each state has a transcript, each reply is
//! heard in one.

/// Dialogues by file name.
const TRANSCRIPTS: [(&str, &str); 15] = [
    ("backend", include_str!("../backend.rs")),
    ("backend_imap", include_str!("backend_imap.rs")),
    ("backend_pop3", include_str!("backend_pop3.rs")),
    ("backend_smtp", include_str!("backend_smtp.rs")),
    ("backend_tls", include_str!("backend_tls.rs")),
    ("imap", include_str!("imap.rs")),
    ("imap_sasl", include_str!("imap_sasl.rs")),
    ("login", include_str!("login.rs")),
    ("opening", include_str!("../opening.rs")),
    ("phases", include_str!("../phases.rs")),
    ("pop3", include_str!("pop3.rs")),
    ("pop3_sasl", include_str!("pop3_sasl.rs")),
    ("smtp", include_str!("smtp.rs")),
    ("smtp_sasl", include_str!("smtp_sasl.rs")),
    ("tls", include_str!("../tls.rs")),
];

struct Protocol {
    name: &'static str,
    tables: &'static str,
    /// Where the machines have their `enum State`.
    machines: [&'static str; 2],
    /// Where the replies to the client are spelt out.
    replies: &'static [&'static str],
    /// Where the tests of single lines are.
    tests: &'static str,
}

const PROTOCOLS: [Protocol; 3] = [
    Protocol {
        name: "pop3",
        tables: include_str!("../../src/pop3/STATES.md"),
        machines: [include_str!("../../src/pop3/mod.rs"), include_str!("../../src/pop3/backend.rs")],
        replies: &[include_str!("../../src/pop3/mod.rs")],
        tests: concat!(
            include_str!("../../src/pop3/tests.rs"),
            include_str!("../../src/pop3/tests/properties.rs"),
        ),
    },
    Protocol {
        name: "imap",
        tables: include_str!("../../src/imap/STATES.md"),
        machines: [include_str!("../../src/imap/mod.rs"), include_str!("../../src/imap/backend.rs")],
        replies: &[include_str!("../../src/imap/mod.rs"), include_str!("../../src/imap/reply.rs")],
        tests: concat!(
            include_str!("../../src/imap/tests/grammar.rs"),
            include_str!("../../src/imap/tests/properties.rs"),
            include_str!("../../src/imap/tests/transcripts.rs"),
            include_str!("../../src/imap/backend/tests.rs"),
            include_str!("../../src/imap/command.rs"),
            include_str!("../../src/imap/scan.rs"),
            include_str!("../../src/imap/settings.rs"),
        ),
    },
    Protocol {
        name: "smtp",
        tables: include_str!("../../src/smtp/STATES.md"),
        machines: [include_str!("../../src/smtp/mod.rs"), include_str!("../../src/smtp/backend.rs")],
        replies: &[include_str!("../../src/smtp/mod.rs"), include_str!("../../src/smtp/reply.rs")],
        tests: concat!(
            include_str!("../../src/smtp/tests.rs"),
            include_str!("../../src/smtp/tests/auth.rs"),
            include_str!("../../src/smtp/tests/backend.rs"),
            include_str!("../../src/smtp/tests/envelope.rs"),
            include_str!("../../src/smtp/tests/properties.rs"),
            include_str!("../../src/smtp/tests/refusals.rs"),
        ),
    },
];

impl Protocol {
    /// The rows of the section on transcripts: what they show, and their names as `FILE::TEST`.
    fn rows(&self) -> Vec<(&str, Vec<&str>)> {
        let (_, section) = self.tables.split_once("\n## Transcripts\n").expect("a section on transcripts");
        let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
        rows.map(|row| {
            let (subject, names) = row.trim_matches(['|', ' ']).rsplit_once(" | ").expect("two columns");
            (subject, quoted(names).collect())
        })
        .collect()
    }

    /// The names in the last columns of all tables that are about single lines.
    fn line_tests(&self) -> Vec<&str> {
        let (tables, _) = self.tables.split_once("\n## Transcripts\n").expect("a section on transcripts");
        let mut names = Vec::new();
        let mut has_tests = false;
        for line in tables.lines() {
            let Some((_, last)) = line.trim_end_matches([' ', '|']).rsplit_once('|') else {
                has_tests = false;
                continue;
            };
            has_tests |= last.trim() == "Test";
            if has_tests {
                names.extend(quoted(last).filter(|name| !name.contains(['.', '/'])));
            }
        }
        names
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The file must have a test of this name.
fn exists(name: &str) -> bool {
    let Some((file, test)) = name.split_once("::") else { return false };
    let start = format!("#[test]\nfn {test}() {{");
    TRANSCRIPTS.iter().any(|(name, text)| *name == file && text.contains(&start))
}

/// The variants of `enum State`.
fn states(source: &str) -> impl Iterator<Item = &str> {
    let (_, variants) = source.split_once("\nenum State {\n").expect("states");
    let (variants, _) = variants.split_once("\n}").expect("an end");
    let lines = variants.lines().map(str::trim).filter(|line| !line.starts_with(['/', '#']));
    lines.map(|line| line.split(['(', ',', ' ']).next().unwrap_or_default())
}

/// The string literals that are a reply or a part of one: byte strings with a space, and all that end a line.
fn replies(source: &str) -> Vec<String> {
    let (shipped, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    let code = shipped.lines().filter(|line| !line.trim_start().starts_with("//"));
    let mut found = Vec::new();
    for line in code {
        let mut parts = line.split('"');
        while let (Some(before), Some(text)) = (parts.next(), parts.next()) {
            let reply = text.replace("\\r\\n", "");
            let is_reply = (before.ends_with('b') && text.contains(' ')) || text.contains("\\r\\n");
            if is_reply && !reply.is_empty() {
                found.push(reply);
            }
        }
    }
    found
}

#[test]
fn every_row_names_transcripts_that_exist() {
    for protocol in PROTOCOLS {
        let rows = protocol.rows();
        assert!(rows.len() > 10, "{}", protocol.name);
        for (subject, names) in rows {
            assert!(!names.is_empty(), "{}: {subject}", protocol.name);
            for name in names {
                assert!(exists(name), "{}: {subject}: {name}", protocol.name);
            }
        }
    }
    assert!(!exists("pop3::no_such_test"));
}

#[test]
fn every_state_has_a_transcript() {
    for protocol in PROTOCOLS {
        let rows = protocol.rows();
        for state in protocol.machines.into_iter().flat_map(states) {
            let subject = format!("`{state}`");
            assert!(rows.iter().any(|(row, _)| row.starts_with(&subject)), "{}: {state}", protocol.name);
        }
    }
}

#[test]
fn every_reply_is_heard() {
    for protocol in PROTOCOLS {
        let replies: Vec<String> = protocol.replies.iter().flat_map(|source| replies(source)).collect();
        assert!(replies.len() > 5, "{}: {replies:?}", protocol.name);
        for reply in replies {
            let parts: Vec<&str> = reply.split("{}").collect();
            let is_heard = |line: &str| parts.iter().all(|part| line.contains(part));
            let mut lines = TRANSCRIPTS.iter().flat_map(|(_, text)| text.lines());
            assert!(lines.any(is_heard), "{}: {reply:?}", protocol.name);
        }
    }
}

#[test]
fn every_transcript_of_a_protocol_is_named() {
    for protocol in PROTOCOLS {
        let rows = protocol.rows();
        let named: Vec<&str> = rows.iter().flat_map(|(_, names)| names).copied().collect();
        for (file, text) in TRANSCRIPTS.iter().filter(|(file, _)| file.contains(protocol.name)) {
            for test in text.split("#[test]\nfn ").skip(1) {
                let (test, _) = test.split_once('(').expect("a function");
                let name = format!("{file}::{test}");
                assert!(named.contains(&name.as_str()), "{name} is in no table");
            }
        }
    }
}

#[test]
fn every_test_of_single_lines_that_is_named_exists() {
    for protocol in PROTOCOLS {
        let names = protocol.line_tests();
        assert!(names.len() > 10, "{}", protocol.name);
        for name in names {
            let test = name.rsplit("::").next().unwrap_or_default();
            let start = match test.strip_suffix('*') {
                Some(start) => format!("fn {start}"),
                None => format!("fn {test}("),
            };
            assert!(protocol.tests.contains(&start), "{}: {name}", protocol.name);
        }
    }
}

//! SMTP command lines (RFC 5321 section 4.1, spec/protocols.md section 3.2).

use crate::words;

/// What a client may ask of us before its mail is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Helo,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
}

const VERBS: [(&[u8], Verb); 12] = [
    (b"HELO", Verb::Helo),
    (b"EHLO", Verb::Ehlo),
    (b"AUTH", Verb::Auth),
    (b"MAIL", Verb::Mail),
    (b"RCPT", Verb::Rcpt),
    (b"RSET", Verb::Rset),
    (b"NOOP", Verb::Noop),
    (b"QUIT", Verb::Quit),
    (b"VRFY", Verb::Vrfy),
    (b"EXPN", Verb::Expn),
    (b"HELP", Verb::Help),
    (b"STARTTLS", Verb::StartTls),
];

/// More arguments make a line malformed, whatever the verb.
const MAX_ARGUMENTS: usize = 11;

/// RFC 5321 section 4.5.3.1.2: the longest domain.
const MAX_HELO_LENGTH: usize = 255;

/// A well-formed command line.
pub(super) struct Command<'a> {
    pub(super) verb: Verb,
    /// All of the line but the spaces at its end.
    text: &'a [u8],
    /// What follows the verb in `text`.
    rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads a line without its end; `None` if it is malformed or its verb is unknown.
    ///
    /// A control byte anywhere makes a line malformed: names and paths travel on, to the auth server and the backend,
    /// and must not end a line there.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        if line.iter().any(u8::is_ascii_control) {
            return None;
        }
        let text = words::trim_end(line);
        let (verb, rest) = words::split_verb(&VERBS, text)?;
        let command = Self { verb, text, rest };
        (command.arguments().count() <= MAX_ARGUMENTS).then_some(command)
    }

    /// The command as the client wrote it, inner spaces included.
    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The arguments, divided at spaces.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &'a [u8]> {
        words::words(self.rest)
    }

    /// The one argument of HELO and EHLO, if it can be a name or address literal: printable ASCII.
    pub(super) fn helo_name(&self) -> Option<&'a [u8]> {
        let mut arguments = self.arguments();
        let (Some(name), None) = (arguments.next(), arguments.next()) else {
            return None;
        };
        (name.len() <= MAX_HELO_LENGTH && name.iter().all(u8::is_ascii_graphic)).then_some(name)
    }

    /// Whether the first argument begins with this keyword, `FROM:` or `TO:`, in any case.
    pub(super) fn has_path(&self, keyword: &[u8]) -> bool {
        let first = self.arguments().next().and_then(|argument| argument.get(..keyword.len()));
        first.is_some_and(|start| start.eq_ignore_ascii_case(keyword))
    }
}

/// What the log may show of a line that was never completed.
pub(super) fn verb_of(line: &[u8]) -> Vec<u8> {
    words::verb_name(&VERBS, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_lines() {
        for (line, verb, text, arguments) in [
            ("NOOP", Verb::Noop, "NOOP", &[][..]),
            ("nOoP   ", Verb::Noop, "nOoP", &[]),
            ("sTARTtls", Verb::StartTls, "sTARTtls", &[]),
            ("EHLO  [192.0.2.1] ", Verb::Ehlo, "EHLO  [192.0.2.1]", &["[192.0.2.1]"]),
            ("Mail from:<a@b>  SIZE=1  ", Verb::Mail, "Mail from:<a@b>  SIZE=1", &["from:<a@b>", "SIZE=1"]),
            ("RCPT TO:<j\u{f6}@b>", Verb::Rcpt, "RCPT TO:<j\u{f6}@b>", &["TO:<j\u{f6}@b>"]),
            (
                "NOOP 1 2 3 4 5 6 7 8 9 10 11 ",
                Verb::Noop,
                "NOOP 1 2 3 4 5 6 7 8 9 10 11",
                &["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"],
            ),
        ] {
            let command = Command::parse(line.as_bytes()).expect(line);
            assert_eq!((command.verb, command.text()), (verb, text.as_bytes()), "{line:?}");
            assert!(command.arguments().eq(arguments.iter().map(|word| word.as_bytes())), "{line:?}");
        }
    }

    #[test]
    fn malformed_lines() {
        for line in [
            "",
            " ",
            " NOOP",
            "NOO",
            "NOOPS",
            "NO0P",
            "NOOP\t",
            "NOOP\0",
            "NOOP \x7f",
            "DATA",
            "STARTTLSX",
            "STARTTL",
            "NOOP\r",
            "MAIL FROM:<a\rb>",
            "MAIL FROM:<a@b>\tSIZE=1",
            "EHLO a\0b",
            "\u{e9}HLO a",
            "NOOP 1 2 3 4 5 6 7 8 9 10 11 12",
            "BDAT 1 LAST",
            "XCLIENT NAME=a",
        ] {
            assert!(Command::parse(line.as_bytes()).is_none(), "{line:?}");
        }
        assert!(Command::parse(b"\xffOOP").is_none());
    }

    #[test]
    fn helo_names() {
        let longest = format!("EHLO {}", "a".repeat(255));
        let too_long = format!("EHLO {}", "a".repeat(256));
        for (line, expected) in [
            ("EHLO mx.example", Some("mx.example")),
            ("HELO  under_score!  ", Some("under_score!")),
            ("EHLO [IPv6:2001:db8::1]", Some("[IPv6:2001:db8::1]")),
            (&longest, Some(&longest[5..])),
            (&too_long, None),
            ("EHLO", None),
            ("EHLO a b", None),
            ("EHLO caf\u{e9}", None),
        ] {
            let command = Command::parse(line.as_bytes()).expect(line);
            assert_eq!(command.helo_name(), expected.map(str::as_bytes), "{line:?}");
        }
    }

    #[test]
    fn paths() {
        for (line, keyword, expected) in [
            ("MAIL FROM:<a@b>", "FROM:", true),
            ("MAIL from: <a@b>", "FROM:", true),
            ("MAIL FROM:", "FROM:", true),
            ("MAIL FROM <a@b>", "FROM:", false),
            ("MAIL FROM :<a@b>", "FROM:", false),
            ("MAIL <a@b>", "FROM:", false),
            ("MAIL", "FROM:", false),
            ("RCPT tO:<a@b>", "TO:", true),
            ("RCPT FROM:<a@b>", "TO:", false),
            ("RCPT T", "TO:", false),
        ] {
            let command = Command::parse(line.as_bytes()).expect(line);
            assert_eq!(command.has_path(keyword.as_bytes()), expected, "{line:?}");
        }
    }
}

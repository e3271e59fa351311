//! POP3 command lines (RFC 1939 section 3, spec/protocols.md section 3.2).

use crate::words;

/// What a client may ask of us before it is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    User,
    Pass,
    Apop,
    Auth,
    Capa,
    Noop,
    Quit,
    Stls,
}

const VERBS: [(&[u8], Verb); 8] = [
    (b"USER", Verb::User),
    (b"PASS", Verb::Pass),
    (b"APOP", Verb::Apop),
    (b"AUTH", Verb::Auth),
    (b"CAPA", Verb::Capa),
    (b"NOOP", Verb::Noop),
    (b"QUIT", Verb::Quit),
    (b"STLS", Verb::Stls),
];

/// More arguments make a line malformed, but behind USER and PASS, whose one argument may hold spaces.
const MAX_WORDS: usize = 3;

/// A well-formed command line.
pub(super) struct Command<'a> {
    pub(super) verb: Verb,
    /// What follows the verb and its spaces.
    rest: &'a [u8],
}

impl<'a> Command<'a> {
    /// Reads a line without its end; `None` if it is malformed or its verb is unknown.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        if line.contains(&b'\r') {
            return None;
        }
        let (verb, rest) = words::split_verb(&VERBS, line)?;
        let command = Self { verb, rest: skip_spaces(rest) };
        let is_text = matches!(verb, Verb::User | Verb::Pass);
        (is_text || command.words().count() <= MAX_WORDS).then_some(command)
    }

    /// All that follows the verb as one argument, inner and trailing spaces included, as USER and PASS take it.
    pub(super) fn text(&self) -> &'a [u8] {
        self.rest
    }

    /// The arguments, divided at spaces.
    pub(super) fn words(&self) -> impl Iterator<Item = &'a [u8]> {
        words::words(self.rest)
    }
}

/// What the log may show of a line that was never completed.
pub(super) fn verb_of(line: &[u8]) -> Vec<u8> {
    words::verb_name(&VERBS, line)
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let spaces = bytes.iter().take_while(|&&byte| byte == b' ').count();
    &bytes[spaces..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_lines() {
        for (line, verb, text, words) in [
            ("NOOP", Verb::Noop, "", &[][..]),
            ("nOoP   ", Verb::Noop, "", &[]),
            ("user  joe  smith ", Verb::User, "joe  smith ", &["joe", "smith"]),
            ("PASS a b c d e", Verb::Pass, "a b c d e", &["a", "b", "c", "d", "e"]),
            ("APOP joe   0123 ", Verb::Apop, "joe   0123 ", &["joe", "0123"]),
            ("QUIT a b c", Verb::Quit, "a b c", &["a", "b", "c"]),
            ("CAPA \tx\0", Verb::Capa, "\tx\0", &["\tx\0"]),
        ] {
            let command = Command::parse(line.as_bytes()).expect(line);
            assert_eq!((command.verb, command.text()), (verb, text.as_bytes()), "{line:?}");
            assert!(command.words().eq(words.iter().map(|word| word.as_bytes())), "{line:?}");
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
            "STAT",
            "TOP 1 2",
            "XYZW",
            "NOOP\r",
            "NOOP \rx",
            "USER jo\re",
            "NOOP a b c d",
            "AUTH PLAIN a b c",
            "CAPA a b c d",
        ] {
            assert!(Command::parse(line.as_bytes()).is_none(), "{line:?}");
        }
        assert!(Command::parse(b"\xffOOP").is_none());
    }
}

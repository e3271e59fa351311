//! POP3 command lines (RFC 1939 section 3, spec/protocols.md section 3.2).

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

/// How the rest of a line is divided.
#[derive(Clone, Copy)]
enum Form {
    /// One argument that may hold spaces.
    Text,
    /// Up to [`MAX_WORDS`] words.
    Words,
}

const VERBS: [(&[u8], Verb, Form); 8] = [
    (b"USER", Verb::User, Form::Text),
    (b"PASS", Verb::Pass, Form::Text),
    (b"APOP", Verb::Apop, Form::Words),
    (b"AUTH", Verb::Auth, Form::Words),
    (b"CAPA", Verb::Capa, Form::Words),
    (b"NOOP", Verb::Noop, Form::Words),
    (b"QUIT", Verb::Quit, Form::Words),
    (b"STLS", Verb::Stls, Form::Words),
];

/// More arguments make a line malformed, whatever the verb.
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
        let (name, rest) = line.split_at(memchr::memchr(b' ', line).unwrap_or(line.len()));
        let &(_, verb, form) = VERBS.iter().find(|(known, ..)| name.eq_ignore_ascii_case(known))?;
        let command = Self { verb, rest: skip_spaces(rest) };
        match form {
            Form::Words if command.words().count() > MAX_WORDS => None,
            Form::Words | Form::Text => Some(command),
        }
    }

    /// All that follows the verb as one argument, inner and trailing spaces included, as USER and PASS take it.
    pub(super) fn text(&self) -> &'a [u8] {
        self.rest
    }

    /// The arguments, divided at spaces.
    pub(super) fn words(&self) -> impl Iterator<Item = &'a [u8]> {
        self.rest.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
    }
}

/// The verb of a line that was never completed, for the log: what of it is a known verb, and nothing else, for the
/// bytes may be part of a password.
pub(super) fn verb_of(line: &[u8]) -> Vec<u8> {
    let known = |&(name, ..): &(&'static [u8], Verb, Form)| {
        let end = line.get(name.len());
        line.len() >= name.len()
            && line[..name.len()].eq_ignore_ascii_case(name)
            && end.is_none_or(|&byte| byte == b' ')
    };
    VERBS.iter().copied().find(known).map_or_else(Vec::new, |(name, ..)| name.to_vec())
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

    #[test]
    fn the_log_sees_verbs_only() {
        for (line, verb) in [
            ("pass hunter2", "PASS"),
            ("AUTH", "AUTH"),
            ("AUTHhunter2", ""),
            ("hunter2 PASS", ""),
            ("PAS", ""),
            ("", ""),
        ] {
            assert_eq!(verb_of(line.as_bytes()), verb.as_bytes(), "{line:?}");
        }
    }
}

//! The grammar of client commands: a tag, a verb, arguments; literals spread them over several lines
//! (spec/protocols.md section 7.3, RFC 3501 section 9).

use std::fmt;

use super::id::Parameters;
use super::scan::{Announcement, Argument, Cursor, Malformed};
use crate::secret::Secret;

/// The name that a client gives a command, 1 to 64 bytes: ASTRING-CHAR except `+` (RFC 3501 section 9).
///
/// A copy of its own: the line it came in is long gone when the reply is due. `Debug` shows its length only: a client
/// out of step sends as a tag what it meant to be a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Tag(Box<[u8]>);

impl Tag {
    const MAX_BYTES: usize = 64;

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let is_valid = |byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte);
        ((1..=Self::MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(is_valid))
            .then(|| Self(bytes.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({} bytes)", self.0.len())
    }
}

/// What a client can ask for before it is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Authenticate,
    Capability,
    Id,
    Login,
    Logout,
    Noop,
    StartTls,
}

impl Verb {
    const ALL: [Self; 7] = [
        Self::Authenticate,
        Self::Capability,
        Self::Id,
        Self::Login,
        Self::Logout,
        Self::Noop,
        Self::StartTls,
    ];

    /// Finds a verb by its name, in any case.
    fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| name.eq_ignore_ascii_case(verb.name().as_bytes()))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "AUTHENTICATE",
            Self::Capability => "CAPABILITY",
            Self::Id => "ID",
            Self::Login => "LOGIN",
            Self::Logout => "LOGOUT",
            Self::Noop => "NOOP",
            Self::StartTls => "STARTTLS",
        }
    }

    /// Whether the command carries credentials.
    pub(super) fn is_login(self) -> bool {
        match self {
            Self::Authenticate | Self::Login => true,
            Self::Capability | Self::Id | Self::Logout | Self::Noop | Self::StartTls => false,
        }
    }

    /// How many words may follow; ID has a grammar of its own.
    fn arity(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Authenticate => 1..=2,
            Self::Login => 2..=2,
            Self::Capability | Self::Id | Self::Logout | Self::Noop | Self::StartTls => 0..=0,
        }
    }
}

/// CR and LF.
pub(super) const LINE_END: usize = 2;

/// A command as far as it has come.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) tag: Tag,
    pub(super) verb: Verb,
    arguments: Arguments,
    /// Bytes so far, literals and line ends (two bytes each, whatever they were) included.
    len: usize,
}

#[derive(Debug)]
enum Arguments {
    Words(Vec<Secret>),
    Id(Parameters),
}

impl Command {
    /// Reads tag and verb; gives the command and the rest of the line. The error is the tag of a malformed line, if it
    /// has a valid one with a space behind it.
    pub(super) fn begin(line: &[u8]) -> Result<(Self, &[u8]), Option<Tag>> {
        let mut cursor = Cursor::new(line);
        let tag = Tag::parse(cursor.word()).filter(|_| cursor.skip_spaces()).ok_or(None)?;
        let Some(verb) = Verb::from_name(cursor.word()) else {
            return Err(Some(tag));
        };
        let arguments = match verb {
            Verb::Id => Arguments::Id(Parameters::default()),
            Verb::Authenticate
            | Verb::Capability
            | Verb::Login
            | Verb::Logout
            | Verb::Noop
            | Verb::StartTls => Arguments::Words(Vec::new()),
        };
        let rest = cursor.rest();
        Ok((Self { tag, verb, arguments, len: line.len() - rest.len() }, rest))
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The words of a complete command.
    pub(super) fn into_words(self) -> Vec<Secret> {
        match self.arguments {
            Arguments::Words(words) => words,
            Arguments::Id(_) => Vec::new(),
        }
    }

    /// Reads what stands behind the verb or behind a literal, to the end of the line. Without an announcement the command
    /// is complete.
    pub(super) fn read_line(&mut self, line: &[u8]) -> Result<Option<Announcement>, Malformed> {
        self.len += line.len() + LINE_END;
        let mut cursor = Cursor::new(line);
        let literal = match &mut self.arguments {
            Arguments::Words(words) => read_words(words, *self.verb.arity().end(), &mut cursor)?,
            Arguments::Id(parameters) => parameters.read(&mut cursor)?,
        };
        if literal.is_some() || self.is_complete() { Ok(literal) } else { Err(Malformed) }
    }

    /// Takes the literal that the last line announced.
    pub(super) fn read_literal(&mut self, literal: &[u8]) {
        self.len += literal.len();
        match &mut self.arguments {
            Arguments::Words(words) => words.push(literal.into()),
            Arguments::Id(parameters) => parameters.on_literal(),
        }
    }

    fn is_complete(&self) -> bool {
        match &self.arguments {
            Arguments::Words(words) => self.verb.arity().contains(&words.len()),
            Arguments::Id(parameters) => parameters.is_complete(),
        }
    }
}

/// Reads at most this many words, up to the end of the line or to a literal there.
fn read_words(
    words: &mut Vec<Secret>,
    most: usize,
    cursor: &mut Cursor<'_>,
) -> Result<Option<Announcement>, Malformed> {
    loop {
        let is_separated = cursor.skip_spaces();
        if cursor.is_at_end() {
            return Ok(None);
        }
        if !is_separated || words.len() == most {
            return Err(Malformed);
        }
        match cursor.argument()? {
            Argument::Text(word) => words.push(word),
            Argument::Literal(announcement) => return Ok(Some(announcement)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: &str) -> Option<Tag> {
        Tag::parse(tag.as_bytes())
    }

    #[test]
    fn tags() {
        let longest = "a".repeat(64);
        for valid in ["a", "0001", "A.1-b_c", "#:/&,;<=>?@[]^`|}~!$'", longest.as_str()] {
            assert_eq!(tag(valid).map(|tag| tag.as_bytes().to_vec()), Some(valid.as_bytes().to_vec()));
        }
        let too_long = "a".repeat(65);
        for invalid in [
            "",
            "+",
            "a+1",
            "*",
            "a%",
            "(a",
            "a)",
            "a{",
            "a\"",
            "a\\",
            "a\t",
            "a\r",
            "é",
            "a b",
            too_long.as_str(),
        ] {
            assert_eq!(tag(invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn tag_and_verb() {
        for verb in Verb::ALL {
            for name in [verb.name().to_owned(), verb.name().to_lowercase()] {
                let line = format!("a1  {name} x");
                let (command, rest) = Command::begin(line.as_bytes()).expect("a valid beginning");
                assert_eq!((command.tag.as_bytes(), command.verb, rest), (&b"a1"[..], verb, &b" x"[..]));
            }
        }
        for untagged in ["", " ", " NOOP", "a1", "NOOP", "a+ NOOP", "* NOOP"] {
            assert_eq!(Command::begin(untagged.as_bytes()).err(), Some(None), "{untagged:?}");
        }
        for tagged in
            ["a1 ", "a1 SELECT x", "a1 NOO", "a1 NOOPS", "a1 NOOP\r", "a1 LOGIN\"joe\"", "a1 x NOOP"]
        {
            assert_eq!(Command::begin(tagged.as_bytes()).err(), Some(tag("a1")), "{tagged:?}");
        }
    }

    /// Reads lines and literals in turn, as a session would, and gives the words.
    #[track_caller]
    fn read(pieces: &[&str]) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut pieces = pieces.iter().map(|piece| piece.as_bytes());
        let (mut command, mut line) =
            Command::begin(pieces.next().expect("a line")).expect("a valid beginning");
        while let Some(announcement) = command.read_line(line)? {
            let literal = pieces.next().expect("a literal");
            assert_eq!(announcement.size, literal.len());
            command.read_literal(literal);
            line = pieces.next().expect("the rest");
        }
        Ok(command.into_words().iter().map(|word| word.expose().to_vec()).collect())
    }

    #[track_caller]
    fn check(pieces: &[&str], words: &[&str]) {
        let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        assert_eq!(read(pieces), Ok(words), "{pieces:?}");
    }

    #[test]
    fn words() {
        check(&["a LOGIN joe pw"], &["joe", "pw"]);
        check(&["a  LOGIN   joe  pw  "], &["joe", "pw"]);
        check(&[r#"a LOGIN "j\"oe" """#], &["j\"oe", ""]);
        check(&["a LOGIN {3}", "joe", " {2+}", "pw", ""], &["joe", "pw"]);
        check(&["a LOGIN {3+}", "joe", " pw "], &["joe", "pw"]);
        check(&["a LOGIN joe {0}", "", ""], &["joe", ""]);
        check(&["a LOGIN joe {4}", "\0\r\n\"", ""], &["joe", "\0\r\n\""]);
        check(&["a AUTHENTICATE PLAIN"], &["PLAIN"]);
        check(&["a AUTHENTICATE PLAIN ="], &["PLAIN", "="]);
        for verb in ["NOOP", "NOOP ", "CAPABILITY", "LOGOUT", "STARTTLS", "ID NIL"] {
            check(&[&format!("a {verb}")], &[]);
        }
    }

    #[test]
    fn arity_and_separators() {
        let table: [&[&str]; 13] = [
            &["a LOGIN"],
            &["a LOGIN joe"],
            &["a LOGIN joe pw x"],
            &["a LOGIN joe pw {1}"],
            &[r#"a LOGIN "joe""pw""#],
            &["a LOGIN {3}", "joe", "pw"],
            &["a LOGIN joe {2}", "pw", "x"],
            &["a LOGIN joe {2}", "pw", " x"],
            &["a AUTHENTICATE"],
            &["a AUTHENTICATE PLAIN x y"],
            &["a NOOP x"],
            &["a NOOP {1}"],
            &["a STARTTLS \"\""],
        ];
        for pieces in table {
            assert_eq!(read(pieces), Err(Malformed), "{pieces:?}");
        }
    }

    #[test]
    fn the_length_counts_lines_and_literals() {
        let line = b"a LOGIN {3}";
        let (mut command, rest) = Command::begin(line).expect("a valid beginning");
        command.read_line(rest).expect("an announcement");
        assert_eq!(command.len(), line.len() + 2);
        command.read_literal(b"joe");
        command.read_line(b" pw").expect("the end");
        assert_eq!(command.len(), line.len() + 2 + 3 + 5);
    }
}

//! IMAP command syntax (RFC 3501 section 9): words, strings, lists, literals, sequence sets.

/// One part of a command's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// An atom, a flag, a sequence set, or a fetch attribute with its section: `BODY[HEADER.FIELDS (FROM)]<0.9>`.
    Atom(String),
    /// A quoted string or a literal.
    String(Vec<u8>),
    /// `(`
    Open,
    /// `)`
    Close,
}

impl Token {
    /// The bytes of an atom or a string.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Atom(text) => text.as_bytes(),
            Self::String(bytes) => bytes,
            Self::Open => b"(",
            Self::Close => b")",
        }
    }

    /// The bytes as text, in upper case.
    pub(super) fn upper(&self) -> String {
        String::from_utf8_lossy(self.bytes()).to_ascii_uppercase()
    }
}

/// An announcement `{12}` or `{12+}` at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Literal {
    pub(super) length: usize,
    /// Whether the client waits for a continuation.
    pub(super) is_synchronising: bool,
}

/// The line is no command syntax.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Appends the tokens of one line, and returns the literal it announces.
pub(super) fn tokens(mut line: &[u8], tokens: &mut Vec<Token>) -> Result<Option<Literal>, Malformed> {
    while let [first, rest @ ..] = line {
        line = match first {
            b' ' => rest,
            b'(' => {
                tokens.push(Token::Open);
                rest
            }
            b')' => {
                tokens.push(Token::Close);
                rest
            }
            b'"' => {
                let (string, rest) = quoted(rest).ok_or(Malformed)?;
                tokens.push(Token::String(string));
                rest
            }
            b'{' => return literal(rest).map(Some).ok_or(Malformed),
            _ => {
                let (atom, rest) = line.split_at(atom_length(line));
                tokens.push(Token::Atom(String::from_utf8(atom.to_vec()).map_err(|_| Malformed)?));
                rest
            }
        };
    }
    Ok(None)
}

/// The string behind an opening quote, and what follows its closing one.
fn quoted(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut string = Vec::new();
    let mut bytes = line.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((string, &line[at + 1..])),
            b'\\' => string.push(*bytes.next()?.1),
            _ => string.push(byte),
        }
    }
    None
}

/// What stands behind the brace, up to the end of the line.
fn literal(rest: &[u8]) -> Option<Literal> {
    let digits = rest.strip_suffix(b"}")?;
    let (digits, is_synchronising) = match digits.strip_suffix(b"+") {
        Some(digits) => (digits, false),
        None => (digits, true),
    };
    Some(Literal { length: number(str::from_utf8(digits).ok()?)? as usize, is_synchronising })
}

/// Blanks, parentheses and quotes end an atom, except within the brackets of a section.
fn atom_length(line: &[u8]) -> usize {
    let mut is_in_section = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            b'[' => is_in_section = true,
            b']' => is_in_section = false,
            b' ' | b'(' | b')' | b'"' if !is_in_section => return at,
            _ => {}
        }
    }
    line.len()
}

/// A sequence set (`1:3,5,9:*`) as ranges; `*` is `largest`.
pub(super) fn sequence_set(text: &str, largest: u32) -> Option<Vec<(u32, u32)>> {
    let bound =
        |text: &str| if text == "*" { Some(largest) } else { number(text).filter(|&number| number > 0) };
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once(':').unwrap_or((part, part));
            let (first, last) = (bound(first)?, bound(last)?);
            Some((first.min(last), first.max(last)))
        })
        .collect()
}

/// Digits only.
fn number(text: &str) -> Option<u32> {
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(text: &str) -> Token {
        Token::Atom(text.into())
    }

    fn string(text: &str) -> Token {
        Token::String(text.into())
    }

    #[test]
    fn lines() {
        let parse = |line: &str| {
            let mut parsed = Vec::new();
            tokens(line.as_bytes(), &mut parsed).map(|literal| (parsed, literal))
        };
        let literal = |length, is_synchronising| Some(Literal { length, is_synchronising });
        for (line, expected, announced) in [
            ("", vec![], None),
            ("a NOOP", vec![atom("a"), atom("NOOP")], None),
            (r#"a "b \"c\\" """#, vec![atom("a"), string(r#"b "c\"#), string("")], None),
            ("1 (\\Seen)", vec![atom("1"), Token::Open, atom("\\Seen"), Token::Close], None),
            ("a {12}", vec![atom("a")], literal(12, true)),
            ("a {0+}", vec![atom("a")], literal(0, false)),
            (
                "(BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.9> UID)",
                vec![Token::Open, atom("BODY.PEEK[HEADER.FIELDS (FROM TO)]<0.9>"), atom("UID"), Token::Close],
                None,
            ),
        ] {
            assert_eq!(parse(line), Ok((expected, announced)), "{line:?}");
        }
        for line in [r#"a "b"#, r#"a "b\"#, "a {", "a {x}", "a {1}x", "a {-1}", "a {99999999999}"] {
            assert_eq!(parse(line), Err(Malformed), "{line:?}");
        }
    }

    #[test]
    fn sets() {
        for (text, expected) in [
            ("1", Some(vec![(1, 1)])),
            ("1:3,5", Some(vec![(1, 3), (5, 5)])),
            ("3:1", Some(vec![(1, 3)])),
            ("2:*", Some(vec![(2, 7)])),
            ("*", Some(vec![(7, 7)])),
            ("9:*", Some(vec![(7, 9)])),
            ("0", None),
            ("", None),
            ("1,", None),
            ("1:2:3", None),
            ("+1", None),
            ("4294967296", None),
        ] {
            assert_eq!(sequence_set(text, 7), expected, "{text:?}");
        }
    }
}

//! Reading one line of a command from left to right.

use zeroize::Zeroizing;

use crate::sasl;
use crate::secret::Secret;

/// What is left of a line.
#[derive(Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

/// One argument, or the announcement that it follows the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// An atom or a quoted string. It may be a password, so all are treated as one.
    Text(Secret),
    /// A literal (RFC 3501 section 4.3); nothing stands behind it on this line.
    Literal(Announcement),
}

/// The line breaks the grammar; what exactly is wrong interests nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// `{N}` or `{N+}` at the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Announcement {
    /// How many bytes follow the line; `usize::MAX` stands for all numbers that are larger.
    pub(super) size: usize,
    /// Whether the client waits for a continuation request; not with LITERAL+ (RFC 7888).
    pub(super) is_synchronizing: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Skips spaces; whether there was one.
    pub(super) fn skip_spaces(&mut self) -> bool {
        let spaces = self.0.iter().take_while(|&&byte| byte == b' ').count();
        self.0 = &self.0[spaces..];
        spaces > 0
    }

    /// Takes this byte if it is the next one.
    pub(super) fn skip(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Takes NIL, in any case, if it comes next.
    pub(super) fn skip_nil(&mut self) -> bool {
        let is_nil = self.0.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"NIL"));
        self.0 = if is_nil { &self.0[3..] } else { self.0 };
        is_nil
    }

    /// Everything up to a space or the end.
    pub(super) fn word(&mut self) -> &'a [u8] {
        let end = memchr::memchr(b' ', self.0).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word
    }

    /// An atom, a quoted string or a literal.
    ///
    /// An atom is any word that does not begin like the others: logins and passwords with 8-bit bytes or atom-specials
    /// inside come from clients that quote carelessly, and mean what they say.
    pub(super) fn argument(&mut self) -> Result<Argument, Malformed> {
        if matches!(self.0.first(), Some(b'"' | b'{')) {
            return self.string();
        }
        let atom = self.word();
        if atom.is_empty() || sasl::has_line_end(atom) {
            return Err(Malformed);
        }
        Ok(Argument::Text(atom.into()))
    }

    /// A quoted string or a literal.
    pub(super) fn string(&mut self) -> Result<Argument, Malformed> {
        if self.skip(b'"') {
            return self.quoted().map(Argument::Text);
        }
        self.literal().map(Argument::Literal)
    }

    /// The rest of a quoted string, whose end must be on this line. A backslash takes the next byte as it is, whichever
    /// that may be.
    fn quoted(&mut self) -> Result<Secret, Malformed> {
        // The capacity is enough, so that no copy is left behind by growing.
        let mut text = Zeroizing::new(Vec::with_capacity(self.0.len()));
        let mut bytes = self.0.iter();
        loop {
            let byte = match *bytes.next().ok_or(Malformed)? {
                b'"' => break,
                b'\\' => *bytes.next().ok_or(Malformed)?,
                byte => byte,
            };
            if matches!(byte, b'\r' | b'\n' | 0) {
                return Err(Malformed);
            }
            text.push(byte);
        }
        self.0 = bytes.as_slice();
        Ok(Secret::new(std::mem::take(&mut *text)))
    }

    /// An announcement, up to the end of the line. No digits at all mean zero, as in nginx.
    fn literal(&mut self) -> Result<Announcement, Malformed> {
        let inner = self.0.strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}")).ok_or(Malformed)?;
        let (digits, is_synchronizing) = match inner.strip_suffix(b"+") {
            Some(digits) => (digits, false),
            None => (inner, true),
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(Malformed);
        }
        let append =
            |size: usize, digit: &u8| size.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
        let size = digits.iter().fold(0, append);
        self.0 = &[];
        Ok(Announcement { size, is_synchronizing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<Argument, Malformed> {
        Ok(Argument::Text(bytes.into()))
    }

    fn literal(size: usize, is_synchronizing: bool) -> Result<Argument, Malformed> {
        Ok(Argument::Literal(Announcement { size, is_synchronizing }))
    }

    #[track_caller]
    fn check(line: &[u8], expected: Result<Argument, Malformed>, rest: &[u8]) {
        let mut cursor = Cursor::new(line);
        let argument = cursor.argument();
        assert_eq!(argument, expected, "{}", line.escape_ascii());
        if argument.is_ok() {
            assert_eq!(cursor.rest(), rest, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn atoms() {
        check(b"joe", text(b"joe"), b"");
        check(b"joe pw", text(b"joe"), b" pw");
        check(br#"a"b\c{3}"#, text(br#"a"b\c{3}"#), b"");
        check(b"(joe)", text(b"(joe)"), b"");
        check(b"\xc3\xa9\t%*]", text(b"\xc3\xa9\t%*]"), b"");
        check(b"", Err(Malformed), b"");
        check(b" joe", Err(Malformed), b"");
        check(b"jo\re", Err(Malformed), b"");
        check(b"jo\0e", Err(Malformed), b"");
    }

    #[test]
    fn quoted_strings() {
        check(br#""""#, text(b""), b"");
        check(br#""joe" x"#, text(b"joe"), b" x");
        check(br#""joe"x"#, text(b"joe"), b"x");
        check(br#""a b{3}\"\\\c""#, text(br#"a b{3}"\c"#), b"");
        check(b"\"\xc3\xa9\t\"", text(b"\xc3\xa9\t"), b"");
        for malformed in
            [&b"\""[..], b"\"joe", br#""joe\""#, br#""joe\"#, b"\"a\rb\"", b"\"a\\\rb\"", b"\"a\0b\""]
        {
            check(malformed, Err(Malformed), b"");
        }
    }

    #[test]
    fn literals() {
        check(b"{3}", literal(3, true), b"");
        check(b"{3+}", literal(3, false), b"");
        check(b"{0}", literal(0, true), b"");
        check(b"{}", literal(0, true), b"");
        check(b"{+}", literal(0, false), b"");
        check(b"{0004}", literal(4, true), b"");
        check(b"{99999999999999999999999999}", literal(usize::MAX, true), b"");
        for malformed in [
            &b"{"[..],
            b"{3",
            b"{3} ",
            b"{3}x",
            b"{3}\r",
            b"{-3}",
            b"{3++}",
            b"{+3}",
            b"{3-}",
            b"{ 3}",
            b"{{3}}",
        ] {
            check(malformed, Err(Malformed), b"");
        }
    }

    #[test]
    fn only_strings_where_an_atom_is_none() {
        assert_eq!(Cursor::new(b"joe").string(), Err(Malformed));
        assert_eq!(Cursor::new(b"NIL").string(), Err(Malformed));
        assert_eq!(Cursor::new(br#""joe""#).string(), text(b"joe"));
    }

    #[test]
    fn debug_shows_no_argument() {
        let argument = Cursor::new(br#""hunter2""#).argument();
        assert_eq!(format!("{argument:?}"), "Ok(Text(Secret(..)))");
    }
}

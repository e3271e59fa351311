//! The parameters of ID (RFC 2971 section 3.3): `NIL`, or `(` and pairs of a field and a value and `)`.
//!
//! They are read for their grammar alone and not kept.

use super::scan::{Announcement, Argument, Cursor, Malformed};

/// How far the parameters have come.
#[derive(Debug, Default)]
pub(super) enum Parameters {
    /// Nothing was said yet.
    #[default]
    Start,
    /// Inside the list.
    List {
        /// Fields and values so far.
        strings: usize,
    },
    /// Nothing may follow.
    Complete,
}

impl Parameters {
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }

    /// Reads a line up to its end or to a literal at its end.
    pub(super) fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Announcement>, Malformed> {
        let mut is_separated = false;
        loop {
            is_separated |= cursor.skip_spaces();
            if cursor.is_at_end() {
                return Ok(None);
            }
            match self {
                Self::Start if !is_separated => return Err(Malformed),
                Self::Start if cursor.skip(b'(') => *self = Self::List { strings: 0 },
                Self::Start if cursor.skip_nil() => *self = Self::Complete,
                Self::Start | Self::Complete => return Err(Malformed),
                Self::List { strings } => {
                    if strings.is_multiple_of(2) && cursor.skip(b')') {
                        *self = Self::Complete;
                        continue;
                    }
                    if !is_separated {
                        return Err(Malformed);
                    }
                    // A value may be NIL, a field not.
                    if strings.is_multiple_of(2) || !cursor.skip_nil() {
                        match cursor.string()? {
                            Argument::Text(_) => {}
                            Argument::Literal(announcement) => return Ok(Some(announcement)),
                        }
                    }
                    *strings += 1;
                    is_separated = false;
                }
            }
        }
    }

    /// Takes the literal that the last line announced.
    pub(super) fn on_literal(&mut self) {
        if let Self::List { strings } = self {
            *strings += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<bool>) {
        let mut parameters = Parameters::default();
        let read = parameters.read(&mut Cursor::new(line.as_bytes()));
        assert_eq!(
            read.ok().map(|literal| literal.is_none() && parameters.is_complete()),
            expected,
            "{line:?}"
        );
    }

    #[test]
    fn parameters() {
        for complete in [
            " NIL",
            " nil ",
            " ()",
            " ( )",
            r#" ("name" "x")"#,
            r#"  ( "name"  "x" "version" NIL ) "#,
            r#" ("name" nil)"#,
            r#" ("\")" "(")"#,
        ] {
            check(complete, Some(true));
        }
        for unfinished in ["", " ", " (", r#" ("name" "x""#, " ({4}", r#" ("name" {4+}"#] {
            check(unfinished, Some(false));
        }
        for malformed in [
            "NIL",
            "()",
            " x",
            " ) ",
            " (NIL NIL)",
            r#" ("name")"#,
            r#" ("name""x")"#,
            r#" ("name" "x"("#,
            r#" ("name" "x") NIL"#,
            r#" ("name" "x"#,
            " (name x)",
            " NIL NIL",
            " NILS",
            " ({x}",
            r#" "name" "x""#,
        ] {
            check(malformed, None);
        }
    }

    #[test]
    fn literals_are_strings() {
        let mut parameters = Parameters::default();
        assert!(parameters.read(&mut Cursor::new(b" ({4}")).is_ok_and(|literal| literal.is_some()));
        parameters.on_literal();
        assert!(parameters.read(&mut Cursor::new(b" {1+}")).is_ok_and(|literal| literal.is_some()));
        parameters.on_literal();
        assert_eq!(parameters.read(&mut Cursor::new(b")")), Ok(None));
        assert!(parameters.is_complete());
    }
}

//! From bytes to statements (spec/config.md section 1). Knows no directive and no file.

use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

/// A word is refused when it does not end within this many bytes.
const WORD_LIMIT: usize = 4096;

/// Reads one text, statement by statement.
#[derive(Clone, Debug)]
pub(super) struct Lexer {
    text: Arc<[u8]>,
    position: usize,
    line: usize,
    /// How many blocks are open.
    depth: usize,
    /// Where the words of the last statement are, quotes included; the `}` of a block's end.
    spans: Vec<Range<usize>>,
}

/// The next thing in a text. Words are as stored: quotes gone, escapes replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// One or more words and `;`.
    Simple(Vec<Vec<u8>>),
    /// One or more words and `{`.
    Open(Vec<Vec<u8>>),
    /// `}`.
    Close,
    /// The end of the text.
    End,
}

/// A text that is no sequence of statements.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub(super) struct LexError {
    pub(super) kind: LexErrorKind,
    /// Counts from 1.
    pub(super) line: usize,
    /// The bytes at fault: the one that cannot stand there, or where began what does not end.
    pub(super) span: Range<usize>,
}

/// What the text has instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum LexErrorKind {
    /// A byte that cannot stand where it stands.
    #[error("unexpected \"{}\"", shown(&[*.0]))]
    Unexpected(u8),
    /// The end, in a word or behind words.
    #[error("unexpected end of file, expecting \";\" or \"}}\"")]
    End,
    /// The end, in a block.
    #[error("unexpected end of file, expecting \"}}\"")]
    EndInBlock,
    /// A bare word without an end; its first ten bytes.
    #[error("too long parameter \"{}...\" started", shown(.0))]
    TooLong(Vec<u8>),
    /// A quoted word without an end; the quote.
    #[error("too long parameter, probably missing terminating \"{}\" character", char::from(*.0))]
    MissingQuote(u8),
}

impl Lexer {
    pub(super) fn new(text: Arc<[u8]>) -> Self {
        Self { text, position: 0, line: 1, depth: 0, spans: Vec::new() }
    }

    /// The line that has been reached: behind a statement that of its `;` or `{`.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Where in the text the word with this index in the last statement is; empty where there is none.
    pub(super) fn span(&self, index: usize) -> Range<usize> {
        self.spans.get(index).cloned().unwrap_or_default()
    }

    /// Reads up to the next `;`, `{`, `}` or the end.
    pub(super) fn next(&mut self) -> Result<Item, LexError> {
        let mut words = Vec::new();
        self.spans.clear();
        loop {
            self.skip_blanks();
            let start = self.position;
            match self.peek() {
                None if words.is_empty() => return Ok(Item::End),
                None => return Err(self.error(LexErrorKind::End)),
                Some(byte @ (b';' | b'{')) if words.is_empty() => return Err(self.unexpected(byte)),
                Some(b'}') if !words.is_empty() => return Err(self.unexpected(b'}')),
                Some(b';') => {
                    self.advance();
                    return Ok(Item::Simple(words));
                }
                Some(b'{') => {
                    self.advance();
                    self.depth += 1;
                    return Ok(Item::Open(words));
                }
                Some(b'}') => {
                    self.advance();
                    self.depth = self.depth.saturating_sub(1);
                    self.spans.push(start..self.position);
                    return Ok(Item::Close);
                }
                Some(quote @ (b'"' | b'\'')) => words.push(self.quoted_word(quote)?),
                Some(_) => words.push(self.bare_word()?),
            }
            self.spans.push(start..self.position);
        }
    }

    /// How many blocks are open.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Passes over the rest of the innermost blocks, whatever is in them, until only this many are open.
    pub(super) fn skip_to(&mut self, depth: usize) -> Result<(), LexError> {
        while self.depth > depth {
            if self.next()? == Item::End {
                return Err(self.error(LexErrorKind::EndInBlock));
            }
        }
        Ok(())
    }

    fn skip_blanks(&mut self) {
        let mut is_comment = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => is_comment = false,
                b'#' => is_comment = true,
                _ if is_comment || is_blank(byte) => {}
                _ => return,
            }
            self.advance();
        }
    }

    /// A word up to a blank, `;` or `{`; a `{` directly behind `$` is part of it, as in `${name}`.
    fn bare_word(&mut self) -> Result<Vec<u8>, LexError> {
        let (start, line) = (self.position, self.line);
        let mut is_after_dollar = false;
        loop {
            let byte = self.peek_in_word(start, line, None)?;
            match byte {
                b'{' if is_after_dollar => {}
                b';' | b'{' => break,
                _ if is_blank(byte) => break,
                _ => is_after_dollar = byte == b'$',
            }
            self.advance();
            if byte == b'\\' {
                self.peek_in_word(start, line, None)?;
                self.advance();
            }
        }
        Ok(unescape(&self.text[start..self.position]))
    }

    fn quoted_word(&mut self, quote: u8) -> Result<Vec<u8>, LexError> {
        self.advance();
        let (start, line) = (self.position, self.line);
        loop {
            let byte = self.peek_in_word(start, line, Some(quote))?;
            self.advance();
            if byte == quote {
                break;
            }
            if byte == b'\\' {
                self.peek_in_word(start, line, Some(quote))?;
                self.advance();
            }
        }
        let word = unescape(&self.text[start..self.position - 1]);
        match self.peek() {
            // `)` begins a new word: the rewrite language wants it so.
            None | Some(b';' | b'{' | b')') => Ok(word),
            Some(byte) if is_blank(byte) => Ok(word),
            Some(byte) => Err(self.unexpected(byte)),
        }
    }

    /// The next byte of a word that began at `start`.
    fn peek_in_word(&self, start: usize, line: usize, quote: Option<u8>) -> Result<u8, LexError> {
        let byte = self.peek().ok_or_else(|| self.error(LexErrorKind::End))?;
        if self.position - start < WORD_LIMIT {
            return Ok(byte);
        }
        let kind = match quote {
            Some(quote) => LexErrorKind::MissingQuote(quote),
            None => LexErrorKind::TooLong(self.text[start..start + 10].to_vec()),
        };
        Err(LexError { kind, line, span: start..start + 10 })
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.position).copied()
    }

    fn advance(&mut self) {
        self.line += usize::from(self.peek() == Some(b'\n'));
        self.position += 1;
    }

    fn unexpected(&self, byte: u8) -> LexError {
        self.error(LexErrorKind::Unexpected(byte))
    }

    fn error(&self, kind: LexErrorKind) -> LexError {
        let span = match kind {
            // The end itself has nothing to show.
            LexErrorKind::End | LexErrorKind::EndInBlock => self.span(0),
            LexErrorKind::Unexpected(_) | LexErrorKind::TooLong(_) | LexErrorKind::MissingQuote(_) => {
                self.position..self.position + 1
            }
        };
        LexError { kind, line: self.line, span }
    }
}

/// Bytes as a message shows them: as they are where they are printable.
fn shown(bytes: &[u8]) -> String {
    let show = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    };
    bytes.iter().map(show).collect()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Replaces the six escapes that have a meaning; other pairs stay as they are.
fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut word = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, tail)) = rest.split_first() {
        let (stored, left) = match (byte, tail) {
            (b'\\', [quoted @ (b'"' | b'\'' | b'\\'), left @ ..]) => (*quoted, left),
            (b'\\', [b't', left @ ..]) => (b'\t', left),
            (b'\\', [b'r', left @ ..]) => (b'\r', left),
            (b'\\', [b'n', left @ ..]) => (b'\n', left),
            _ => (byte, tail),
        };
        word.push(stored);
        rest = left;
    }
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lexer(text: impl AsRef<[u8]>) -> Lexer {
        Lexer::new(text.as_ref().into())
    }

    /// `a b;` as `a|b;`, or the error with its line.
    fn read(text: impl AsRef<[u8]>) -> String {
        let mut lexer = lexer(text);
        let mut shown = String::new();
        let join = |words: Vec<Vec<u8>>| String::from_utf8_lossy(&words.join(&b'|')).into_owned();
        loop {
            match lexer.next() {
                Ok(Item::Simple(words)) => shown += &(join(words) + ";"),
                Ok(Item::Open(words)) => shown += &(join(words) + "{"),
                Ok(Item::Close) => shown += "}",
                Ok(Item::End) => return shown,
                Err(error) => return format!("{error} in {}", error.line),
            }
        }
    }

    #[test]
    fn words_end_where_they_should() {
        for (text, items) in [
            ("a b\tc\r\nd;", "a|b|c|d;"),
            ("a{b c;}d;", "a{b|c;}d;"),
            ("env a}b;", "env|a}b;"),
            ("env x\"y\";", "env|x\"y\";"),
            ("a 'b c' \"d'e\";", "a|b c|d'e;"),
            ("a \"\" '';", "a||;"),
            ("a \"b\nc\";", "a|b\nc;"),
            ("if (\"a\")b;", "if|(\"a\")b;"),
            ("x \"a\")b;", "x|a|)b;"),
            ("a ${b}c ${{d} $e;", "a|${b}c|${{d}|$e;"),
            ("a $b{", "a|$b{"),
            ("# a;\na#b; # c {\n#", "a#b;"),
            ("", ""),
            ("a \u{b}\u{a0};", "a|\u{b}\u{a0};"),
            ("\u{feff}a;", "\u{feff}a;"),
        ] {
            assert_eq!(read(text), items, "{text:?}");
        }
    }

    #[test]
    fn escapes() {
        for (text, items) in [
            (r#"a \"\'\\;"#, r#"a|"'\;"#),
            (r"a x\ty\rz\n;", "a|x\ty\rz\n;"),
            (r"a b\ c;", r"a|b\ c;"),
            (r"a 1\;;", r"a|1\;;"),
            (r"a b\{c\}\#;", r"a|b\{c\}\#;"),
            (r#"a "b\"c" 'd\'e';"#, "a|b\"c|d'e;"),
            (r"a \\n;", r"a|\n;"),
        ] {
            assert_eq!(read(text), items, "{text:?}");
        }
    }

    #[test]
    fn errors_name_the_line_that_was_reached() {
        for (text, error) in [
            (";", "unexpected \";\" in 1"),
            ("a;\n{", "unexpected \"{\" in 2"),
            ("a\n}", "unexpected \"}\" in 2"),
            ("a \"b\"#c;", "unexpected \"#\" in 1"),
            ("a \"b\"\"c\";", "unexpected \"\"\" in 1"),
            ("a 'b'\u{1};", "unexpected \"\\x01\" in 1"),
            ("a\n\nb", "unexpected end of file, expecting \";\" or \"}\" in 3"),
            ("a \"b\n", "unexpected end of file, expecting \";\" or \"}\" in 2"),
            ("a \\", "unexpected end of file, expecting \";\" or \"}\" in 1"),
            ("a \"b\"", "unexpected end of file, expecting \";\" or \"}\" in 1"),
        ] {
            assert_eq!(read(text), error, "{text:?}");
        }
    }

    #[test]
    fn words_have_a_limit() {
        let fits = "x".repeat(WORD_LIMIT - 1);
        assert_eq!(read(format!("{fits};")), format!("{fits};"));
        assert_eq!(read(format!("\"{fits}\";")), format!("{fits};"));
        let long = "x".repeat(WORD_LIMIT) + ";";
        assert_eq!(read(format!("a\n{long}")), "too long parameter \"xxxxxxxxxx...\" started in 2");
        let quoted = format!("a\n\"{}\";", "\n".repeat(WORD_LIMIT));
        assert_eq!(read(quoted), "too long parameter, probably missing terminating \"\"\" character in 2");
        // A comment is no word.
        assert_eq!(read(format!("#{long}\na;")), "a;");
    }

    #[test]
    fn blocks_are_skipped_by_their_braces() {
        let mut text = lexer("a { b 'c }'; d { e; } # }\n } after;");
        assert_eq!(text.next(), Ok(Item::Open(vec![b"a".to_vec()])));
        assert_eq!((text.depth(), text.skip_to(0)), (1, Ok(())));
        assert_eq!(text.next(), Ok(Item::Simple(vec![b"after".to_vec()])));
        let mut open = lexer("a { b { c; }");
        assert!(open.next().is_ok());
        assert_eq!(open.skip_to(0), Err(LexError { kind: LexErrorKind::EndInBlock, line: 1, span: 0..0 }));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in prop::collection::vec(prop::sample::select(&b"a\\\"'{};$# \n)\xff"[..]), 0..200)) {
            let mut lexer = lexer(&text);
            let lines = text.iter().filter(|&&byte| byte == b'\n').count();
            while let Ok(item) = lexer.next() {
                prop_assert!(lexer.line() <= lines + 1);
                if item == Item::End {
                    prop_assert_eq!(lexer.position, text.len());
                    break;
                }
            }
        }

        #[test]
        fn quoting_any_word_keeps_it(word in prop::collection::vec(any::<u8>(), 0..50)) {
            let mut text = b"a \"".to_vec();
            for &byte in &word {
                if matches!(byte, b'"' | b'\\') {
                    text.push(b'\\');
                }
                text.push(byte);
            }
            text.extend(b"\";");
            prop_assert_eq!(lexer(&text).next(), Ok(Item::Simple(vec![b"a".to_vec(), word])));
        }
    }
}

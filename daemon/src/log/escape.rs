//! Values from outside, made safe for one line of a log.

use std::borrow::Cow;

/// `bytes` with controls, `"`, `\` and whatever is not UTF-8 as `\xHH`: one event stays one line, and quotes delimit
/// (spec/auth-http-and-ops.md O01).
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' | '\0'..='\x1F' | '\x7F' => push_hex(&mut text, character as u8),
                // C1 controls are valid UTF-8, but a terminal may obey them.
                '\u{80}'..='\u{9F}' => {
                    character.encode_utf8(&mut [0; 2]).bytes().for_each(|byte| push_hex(&mut text, byte));
                }
                _ => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_hex(&mut text, *byte));
    }
    text
}

/// `text` with controls as `\xHH`, for messages that quote as nginx does and must stay one line all the same.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 3);
    for character in text.chars() {
        if character.is_control() {
            character.encode_utf8(&mut [0; 2]).bytes().for_each(|byte| push_hex(&mut line, byte));
        } else {
            line.push(character);
        }
    }
    Cow::Owned(line)
}

fn push_hex(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push_str("\\x");
    text.push(char::from(DIGITS[usize::from(byte >> 4)]));
    text.push(char::from(DIGITS[usize::from(byte & 15)]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_could_forge_a_line_and_nothing_else() {
        for (bytes, text) in [
            (&b"alice@example.org"[..], "alice@example.org"),
            (b"a\nb\r\x00", "a\\x0Ab\\x0D\\x00"),
            (b"say \"hi\" \\ \x7F", "say \\x22hi\\x22 \\x5C \\x7F"),
            ("jürgen".as_bytes(), "jürgen"),
            (b"bad \xFF\xC3", "bad \\xFF\\xC3"),
            ("\u{9B}31m".as_bytes(), "\\xC2\\x9B31m"),
            (b"", ""),
        ] {
            assert_eq!(escape(bytes), text);
        }
    }

    #[test]
    fn one_line_leaves_quotes_alone() {
        for (text, line) in [
            ("unknown directive \"a\\b\"", "unknown directive \"a\\b\""),
            ("a\nb\r\0 jürgen", "a\\x0Ab\\x0D\\x00 jürgen"),
            ("\u{9B}31m\u{7F}", "\\xC2\\x9B31m\\x7F"),
        ] {
            assert_eq!(one_line(text), line);
        }
    }
}

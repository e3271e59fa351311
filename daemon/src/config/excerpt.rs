//! The source line of an error, with a caret under the word at fault.

use std::ops::Range;

/// Words of a line that show a secret may be on it; such a line is not printed.
const SECRETS: [&str; 2] = ["auth_http_header", "data:"];

/// Longest part of a line that is shown, in characters.
const WIDTH: usize = 100;

/// Characters shown in front of the word where a line is too long.
const LEAD: usize = 40;

/// Two lines without an end: `  12 | the source` and `     | ^^^`, the hint behind the caret.
///
/// `None` where there is no word to show, or it may not be shown.
pub(super) fn excerpt(content: &[u8], word: &Range<usize>, hint: Option<&str>) -> Option<String> {
    if word.is_empty() || word.end > content.len() {
        return None;
    }
    let before = &content[..word.start];
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |position| position + 1);
    let number = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let length = content[start..].iter().position(|&byte| byte == b'\n').unwrap_or(content.len() - start);
    let line = &content[start..start + length];
    if SECRETS.iter().any(|secret| line.windows(secret.len()).any(|part| part == secret.as_bytes())) {
        return None;
    }
    let column = characters(&line[..word.start - start]).count();
    // A word that goes on over lines is marked to the end of its first.
    let width = characters(&line[word.start - start..(word.end - start).min(length)]).count().max(1);
    let skipped = if column + width > WIDTH { column.saturating_sub(LEAD) } else { 0 };
    let shown: String = characters(line).skip(skipped).take(WIDTH).collect();
    let carets = "^".repeat(width.min(WIDTH - (column - skipped)));
    let blanks = " ".repeat(column - skipped);
    let hint = hint.map(|hint| format!(" {hint}")).unwrap_or_default();
    Some(format!("{number:>5} | {}\n      | {blanks}{carets}{hint}", shown.trim_end()))
}

/// A line as it can be printed: one column for each control character, and for each byte that is no UTF-8.
fn characters(line: &[u8]) -> impl Iterator<Item = char> {
    let chunks = line.utf8_chunks();
    let parts = chunks.flat_map(|chunk| chunk.valid().chars().chain(chunk.invalid().iter().map(|_| '?')));
    parts.map(|character| match character {
        '\t' | '\r' => ' ',
        _ if character.is_control() => '?',
        _ => character,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str, word: &str) -> Option<String> {
        let start = text.find(word).expect("the word is there");
        excerpt(text.as_bytes(), &(start..start + word.len()), Some("hint"))
    }

    #[test]
    fn the_caret_is_under_the_word() {
        for (text, word, expected) in [
            ("foo;", "foo", "    1 | foo;\n      | ^^^ hint"),
            ("a;\n\tä lisen 1;\r\nb;", "lisen", "    2 |  ä lisen 1;\n      |    ^^^^^ hint"),
            ("x \"a\nb\";", "\"a\nb\"", "    1 | x \"a\n      |   ^^ hint"),
            ("\u{1b}[1m foo", "foo", "    1 | ?[1m foo\n      |      ^^^ hint"),
        ] {
            assert_eq!(marked(text, word).as_deref(), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_word() {
        let text = format!("{} foo {}", "x".repeat(500), "y".repeat(500));
        let shown = marked(&text, "foo").expect("an excerpt");
        let (line, caret) = shown.split_once('\n').expect("two lines");
        assert_eq!(line.chars().count(), "    1 | ".len() + WIDTH);
        assert_eq!(line.find("foo"), caret.find("^^^"));
        let all = marked(&text, &"y".repeat(500)).expect("an excerpt");
        assert!(all.lines().all(|line| line.chars().count() <= "    1 | ".len() + WIDTH + " hint".len()));
    }

    #[test]
    fn lines_with_secrets_are_not_shown() {
        for text in ["foo; auth_http_header X-Key secret;", "ssl_certificate_key data:MII; foo"] {
            assert_eq!(marked(text, "foo"), None, "{text}");
        }
    }

    #[test]
    fn odd_spans_show_nothing() {
        assert_eq!(excerpt(b"abc", &(1..1), None), None);
        assert_eq!(excerpt(b"abc", &(2..9), None), None);
        assert_eq!(excerpt(b"a\xffb c", &(4..5), None).as_deref(), Some("    1 | a?b c\n      |     ^"));
    }
}

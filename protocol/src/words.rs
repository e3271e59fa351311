//! The line grammar that POP3 and SMTP share (spec/protocols.md section 3.2): a verb, and arguments divided by spaces.

/// The verbs a protocol knows, by name.
pub(crate) type Verbs<V> = [(&'static [u8], V)];

/// The verb that a line begins with, in any case, and what stands behind it; `None` if it is unknown.
pub(crate) fn split_verb<'a, V: Copy>(verbs: &Verbs<V>, line: &'a [u8]) -> Option<(V, &'a [u8])> {
    let &(name, verb) = find(verbs, line)?;
    Some((verb, &line[name.len()..]))
}

/// The verb of a line that was never completed, for the log: its name if it is known, and nothing else, for the bytes
/// may be part of a password.
pub(crate) fn verb_name<V>(verbs: &Verbs<V>, line: &[u8]) -> Vec<u8> {
    find(verbs, line).map_or_else(Vec::new, |(name, _)| name.to_vec())
}

fn find<'a, V>(verbs: &'a Verbs<V>, line: &[u8]) -> Option<&'a (&'static [u8], V)> {
    let word = &line[..memchr::memchr(b' ', line).unwrap_or(line.len())];
    verbs.iter().find(|(name, _)| word.eq_ignore_ascii_case(name))
}

/// Divides arguments at spaces; several count as one.
pub(crate) fn words(arguments: &[u8]) -> impl Iterator<Item = &[u8]> {
    arguments.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
}

/// What may be shown of a line that was never taken for a command: nothing behind a verb that is followed by a password,
/// in front of which there may be a tag.
pub(crate) fn without_credentials(line: &[u8]) -> &[u8] {
    const VERBS: [&[u8]; 5] = [b"APOP", b"AUTH", b"AUTHENTICATE", b"LOGIN", b"PASS"];
    let mut end = 0;
    let is_space = |byte: &u8| *byte <= b' ';
    for word in line.split(is_space).filter(|word| !word.is_empty()).take(2) {
        // Words stand in the line one behind the other.
        end += line[end..].iter().take_while(|byte| is_space(byte)).count() + word.len();
        if VERBS.iter().any(|verb| word.eq_ignore_ascii_case(verb)) {
            return &line[..end];
        }
    }
    line
}

/// Spaces at the end of a line carry nothing.
pub(crate) fn trim_end(line: &[u8]) -> &[u8] {
    let kept = line.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &line[..kept]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (line, shown) in [
            ("a1 LOGIN joe secret", "a1 LOGIN"),
            ("a1  login joe secret", "a1  login"),
            ("PASS secret", "PASS"),
            (" pass secret", " pass"),
            ("PASS\tsecret", "PASS"),
            ("\0AUTH\x0bPLAIN secret", "\0AUTH"),
            ("AUTH PLAIN AGpvZQBzZWNyZXQ=", "AUTH"),
            ("a1 AUTHENTICATE PLAIN AGpvZQBzZWNyZXQ=", "a1 AUTHENTICATE"),
            ("a1 NOOP", "a1 NOOP"),
            ("GET / HTTP/1.1", "GET / HTTP/1.1"),
            ("PROXY TCP4 PASS", "PROXY TCP4 PASS"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(line.as_bytes()), shown.as_bytes(), "{line:?}");
        }
    }

    const VERBS: [(&[u8], u8); 2] = [(b"PASS", 1), (b"AUTH", 2)];

    #[test]
    fn verbs_end_at_a_space_or_with_the_line() {
        for (line, expected) in [
            ("PASS", Some((1, ""))),
            ("pAsS  a b ", Some((1, "  a b "))),
            ("AUTH ", Some((2, " "))),
            ("PAS", None),
            ("PASSX", None),
            ("PASS\t", None),
            (" PASS", None),
            ("", None),
        ] {
            let expected = expected.map(|(verb, rest): (u8, &str)| (verb, rest.as_bytes()));
            assert_eq!(split_verb(&VERBS, line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn the_log_sees_names_of_verbs_only() {
        for (line, name) in [
            ("pass hunter2", "PASS"),
            ("AUTH", "AUTH"),
            ("AUTHhunter2", ""),
            ("hunter2 PASS", ""),
            ("PAS", ""),
            ("", ""),
        ] {
            assert_eq!(verb_name(&VERBS, line.as_bytes()), name.as_bytes(), "{line:?}");
        }
    }

    #[test]
    fn spaces_divide_and_end() {
        let expected: [&[u8]; 3] = [b"a", b"\tb", b"c"];
        assert!(words(b"  a \tb   c ").eq(expected));
        assert_eq!(words(b"  ").count(), 0);
        for (line, trimmed) in [("a  b  ", "a  b"), (" a\t", " a\t"), ("  ", ""), ("", "")] {
            assert_eq!(trim_end(line.as_bytes()), trimmed.as_bytes(), "{line:?}");
        }
    }
}

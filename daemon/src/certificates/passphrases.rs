//! Passphrases of keys, as `ssl_password_file` and its like have them.

use gatepost_protocol::secret::Secret;

/// What keys may be encrypted with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passphrases<'a> {
    /// The directive that names the file they are in.
    pub(crate) directive: &'a str,
    /// None without that directive.
    pub(crate) phrases: &'a [Secret],
}

/// Bytes that a line may have, its end not counted.
const LONGEST_LINE: usize = 4095;

/// The passphrases of a file: one on each line, empty lines do not count. A file without any has one, the empty one.
/// `None` if a line is too long.
pub(crate) fn passphrases(text: &[u8]) -> Option<Vec<Secret>> {
    let mut passphrases = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        if line.len() > LONGEST_LINE {
            return None;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            passphrases.push(Secret::from(line));
        }
    }
    if passphrases.is_empty() {
        passphrases.push(Secret::new(Vec::new()));
    }
    Some(passphrases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_on_each_line() {
        for (text, expected) in [
            (&b"one\ntwo\n"[..], &[&b"one"[..], b"two"][..]),
            (b"one\r\n\r\n\n t wo\r\r\nthree", &[b"one", b" t wo\r", b"three"]),
            (b"", &[b""]),
            (b"\n\r\n", &[b""]),
            (b"\xff\0\n", &[b"\xff\0"]),
        ] {
            let found = passphrases(text).expect("short lines");
            let found: Vec<_> = found.iter().map(Secret::expose).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn lines_have_an_end() {
        let mut text = vec![b'x'; LONGEST_LINE];
        assert!(passphrases(&text).is_some());
        text.extend(b"\nx\n");
        assert!(passphrases(&text).is_some());
        text.insert(0, b'x');
        assert!(passphrases(&text).is_none());
    }
}

//! The sections of a PEM text (RFC 7468), those with headers (RFC 1421) included.

use zeroize::Zeroizing;

/// One section, from its `BEGIN` line to its `END` line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub(super) label: &'a str,
    /// All of it.
    pub(super) text: &'a [u8],
    /// What is between its first and its last line; without a last line there is none.
    inner: Option<&'a [u8]>,
}

/// The sections of a text one after the other. What stands between them is passed over.
pub(super) fn sections(text: &[u8]) -> impl Iterator<Item = Section<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let (line, behind) = split_line(rest);
            if line.is_empty() {
                return None;
            }
            let begin = rest;
            rest = behind;
            if let Some(label) = label(line, "-----BEGIN ") {
                let section = section(label, begin, behind);
                rest = &begin[section.text.len()..];
                return Some(section);
            }
        }
    })
}

/// `begin` is the text from the section's first line on, `inner` from its second.
fn section<'a>(label_of_begin: &'a str, begin: &'a [u8], inner: &'a [u8]) -> Section<'a> {
    let mut rest = inner;
    loop {
        let (line, behind) = split_line(rest);
        if line.is_empty() {
            return Section { label: label_of_begin, text: begin, inner: None };
        }
        if label(line, "-----END ") == Some(label_of_begin) {
            let text = &begin[..begin.len() - behind.len()];
            return Section { label: label_of_begin, text, inner: Some(&inner[..inner.len() - rest.len()]) };
        }
        rest = behind;
    }
}

/// The first line with its end, and the rest.
fn split_line(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| end + 1);
    text.split_at(length)
}

fn label<'a>(line: &'a [u8], before: &str) -> Option<&'a str> {
    let label = line.trim_ascii_end().strip_prefix(before.as_bytes())?.strip_suffix(b"-----")?;
    str::from_utf8(label).ok()
}

impl<'a> Section<'a> {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        let (headers, _) = self.parts(self.inner?);
        let mut lines = headers.split(|&byte| byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
        str::from_utf8(value.trim_ascii()).ok()
    }

    /// The bytes that it stands for. If they are a key they are the caller's to wipe.
    pub(super) fn decode(&self) -> Result<Vec<u8>, String> {
        let label = self.label;
        let inner = self.inner.ok_or_else(|| format!("\"-----END {label}-----\" is missing"))?;
        let (_, body) = self.parts(inner);
        // As large as it may become: growing would leave copies behind.
        let mut digits = Zeroizing::new(Vec::with_capacity(body.len()));
        digits.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
        data_encoding::BASE64.decode(&digits).map_err(|error| format!("bad base64 in \"{label}\": {error}"))
    }

    /// Headers and body. Headers end with an empty line; base64 has no colon.
    fn parts(&self, inner: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        if !split_line(inner).0.contains(&b':') {
            return (&[], inner);
        }
        let mut body = inner;
        loop {
            let (line, behind) = split_line(body);
            body = behind;
            if line.trim_ascii().is_empty() {
                return inner.split_at(inner.len() - body.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<&str> {
        sections(text.as_bytes()).map(|section| section.label).collect()
    }

    #[test]
    fn sections_with_anything_between_them() {
        let text = "x\n-----BEGIN A-----\r\nAAAA\r\n-----END A-----\r\n\ny\n-----BEGIN B C-----\nAA\n AA\n-----END B C-----";
        assert_eq!(labels(text), ["A", "B C"]);
        for section in sections(text.as_bytes()) {
            assert_eq!(section.decode(), Ok(vec![0; 3]));
            assert_eq!(section.header("Proc-Type"), None);
            assert!(
                section.text.starts_with(b"-----BEGIN ") && section.text.trim_ascii().ends_with(b"-----")
            );
        }
    }

    #[test]
    fn headers_end_with_an_empty_line() {
        let text =
            "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: X,00 \r\n\r\nAAAA\n-----END A-----\n";
        let section = sections(text.as_bytes()).next().expect("a section");
        assert_eq!(section.header("Proc-Type"), Some("4,ENCRYPTED"));
        assert_eq!(section.header("DEK-Info"), Some("X,00"));
        assert_eq!(section.header("Proc"), None);
        assert_eq!(section.decode(), Ok(vec![0; 3]));
    }

    #[test]
    fn what_is_broken_says_how() {
        for (text, expected) in [
            ("-----BEGIN A-----\nAAAA\n", "\"-----END A-----\" is missing"),
            ("-----BEGIN A-----\nAAAA\n-----END B-----\n", "\"-----END A-----\" is missing"),
            ("-----BEGIN A-----", "\"-----END A-----\" is missing"),
            ("-----BEGIN A-----\nA\n-----END A-----", "bad base64 in \"A\": invalid length at 0"),
            ("-----BEGIN A-----\nAA?A\n-----END A-----", "bad base64 in \"A\": invalid symbol at 2"),
        ] {
            let section = sections(text.as_bytes()).next().expect("a section");
            assert_eq!(section.decode(), Err(expected.to_owned()), "{text}");
        }
        let unfinished = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n-----END A-----\n";
        assert_eq!(sections(unfinished.as_bytes()).next().expect("a section").decode(), Ok(Vec::new()));
        for nothing in ["", "\n", "text", "-----BEGIN A", "-----END A-----\n"] {
            assert_eq!(labels(nothing), [""; 0], "{nothing}");
        }
    }
}

//! Replies: ours as constants, a backend's as it comes in (RFC 5321 section 4.2).

pub(super) const OK: &[u8] = b"250 2.0.0 OK\r\n";
pub(super) const BYE: &[u8] = b"221 2.0.0 Bye\r\n";
pub(super) const START_TLS: &[u8] = b"220 2.0.0 Start TLS\r\n";
pub(super) const HELP: &[u8] = b"214 2.0.0 See RFC 5321\r\n";
pub(super) const AUTHENTICATED: &[u8] = b"235 2.0.0 OK\r\n";
pub(super) const CANNOT_VERIFY: &[u8] = b"252 2.0.0 Cannot verify the address\r\n";

pub(super) const INVALID_COMMAND: &[u8] = b"500 5.5.1 Invalid command\r\n";
pub(super) const TOO_LONG: &[u8] = b"500 5.5.2 Line too long\r\n";
/// RFC 4954 section 6.
pub(super) const TOO_LONG_RESPONSE: &[u8] = b"500 5.5.6 Authentication exchange line is too long\r\n";
pub(super) const INVALID_ARGUMENT: &[u8] = b"501 5.5.4 Invalid argument\r\n";
pub(super) const NOT_IMPLEMENTED: &[u8] = b"502 5.5.1 Command not implemented\r\n";
pub(super) const BAD_SEQUENCE: &[u8] = b"503 5.5.1 Bad sequence of commands\r\n";
pub(super) const IMPROPER_PIPELINING: &[u8] = b"503 5.5.0 Improper use of SMTP command pipelining\r\n";
pub(super) const AUTH_REQUIRED: &[u8] = b"530 5.7.1 Authentication required\r\n";
/// RFC 3207 section 4.
pub(super) const STARTTLS_REQUIRED: &[u8] = b"530 5.7.0 Must issue a STARTTLS command first\r\n";

/// RFC 4954 section 4 for this and the next four.
pub(super) const UNKNOWN_MECHANISM: &[u8] = b"504 5.5.4 Unrecognized authentication type\r\n";
pub(super) const INVALID_BASE64: &[u8] = b"501 5.5.2 Invalid base64 encoding\r\n";
pub(super) const INVALID_RESPONSE: &[u8] = b"501 5.5.2 Invalid authentication response\r\n";
pub(super) const NO_INITIAL_RESPONSE: &[u8] = b"501 5.7.0 Mechanism has no initial response\r\n";
pub(super) const CANCELLED: &[u8] = b"501 5.7.0 Authentication cancelled\r\n";

pub(super) const UNAVAILABLE: &[u8] = b"454 4.7.0 Temporary authentication failure\r\n";
pub(super) const INTERNAL_ERROR: &[u8] = b"451 4.3.2 Internal server error\r\n";

/// A backend's reply, of one line or more.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// The lines so far, each with its CRLF.
    bytes: Vec<u8>,
}

/// What a line made of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More lines follow.
    Partial,
    /// This line was the last.
    Complete,
    /// The line does not begin with a code.
    Malformed,
    /// The line does not fit the limit and was left out.
    TooLong,
}

impl Reply {
    /// Adds one line without its end. The whole reply may take up to `limit` bytes, line ends included.
    pub(super) fn push(&mut self, line: &[u8], limit: usize) -> Progress {
        if self.bytes.len().saturating_add(line.len()).saturating_add(2) > limit {
            return Progress::TooLong;
        }
        self.bytes.extend_from_slice(line);
        self.bytes.extend_from_slice(b"\r\n");
        match line.split_at_checked(3) {
            Some((code, rest)) if code.iter().all(u8::is_ascii_digit) => match rest.first() {
                Some(b'-') => Progress::Partial,
                Some(b' ') | None => Progress::Complete,
                Some(_) => Progress::Malformed,
            },
            Some(_) | None => Progress::Malformed,
        }
    }

    /// The code, from the first line; as in nginx nobody looks at those of further lines. Empty before the first line.
    pub(super) fn code(&self) -> &[u8] {
        self.bytes.get(..3).unwrap_or_default()
    }

    /// What follows the codes, line by line.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.text().split(|&byte| byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            line.get(4..).unwrap_or_default()
        })
    }

    /// All lines without the last line end.
    pub(super) fn text(&self) -> &[u8] {
        self.bytes.strip_suffix(b"\r\n").unwrap_or(&self.bytes)
    }

    /// All lines with their ends.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_with_the_line_without_a_dash() {
        for (lines, expected) in [
            (&["220 mx"][..], Progress::Complete),
            (&["220"], Progress::Complete),
            (&["250-mx"], Progress::Partial),
            (&["250-"], Progress::Partial),
            (&["250-mx", "250-SIZE", "250 OK"], Progress::Complete),
            (&["250-mx", "550 no"], Progress::Complete),
            (&["250-mx", ""], Progress::Malformed),
            (&[""], Progress::Malformed),
            (&["25"], Progress::Malformed),
            (&["2x0 OK"], Progress::Malformed),
            (&["250OK"], Progress::Malformed),
            (&["+OK"], Progress::Malformed),
        ] {
            let mut reply = Reply::default();
            let mut progress = Progress::Partial;
            for line in lines {
                assert_eq!(progress, Progress::Partial, "{lines:?}");
                progress = reply.push(line.as_bytes(), 512);
            }
            assert_eq!(progress, expected, "{lines:?}");
            assert_eq!(reply.text(), lines.join("\r\n").as_bytes());
            assert_eq!(reply.into_bytes(), (lines.join("\r\n") + "\r\n").as_bytes());
        }
    }

    #[test]
    fn code_and_texts() {
        let mut reply = Reply::default();
        assert_eq!(reply.code(), b"");
        for line in ["250-mx.example", "250-XCLIENT NAME ADDR", "250", "250 HELP"] {
            reply.push(line.as_bytes(), 512);
        }
        assert_eq!(reply.code(), b"250");
        let expected: [&[u8]; 4] = [b"mx.example", b"XCLIENT NAME ADDR", b"", b"HELP"];
        assert!(reply.texts().eq(expected));
    }

    #[test]
    fn a_reply_is_limited_as_a_whole() {
        let mut reply = Reply::default();
        assert_eq!(reply.push(b"250-12345", 20), Progress::Partial);
        assert_eq!(reply.push(b"250 12345", 20), Progress::TooLong);
        assert_eq!(reply.text(), b"250-12345");
        assert_eq!(reply.push(b"250 123", 20), Progress::Complete);
    }
}

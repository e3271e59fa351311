//! Where a response's body ends: what a connection must know before it can carry the next exchange.

use std::mem;

/// The framing of one response body (RFC 9112 section 6), followed byte by byte. The bytes themselves are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// All of it has arrived.
    Complete,
    /// This many bytes are to come.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked(Chunk),
    /// It ends with the connection, is longer than we follow, or is malformed.
    Unknown,
}

/// What comes next in a chunked body (RFC 9112 section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// The size line, of which this much has been read.
    Size { size: u64, digits: u8 },
    /// The rest of the size line; extensions mean nothing to us.
    Extension { size: u64 },
    /// This many bytes of data.
    Data(u64),
    /// The line end behind the data, or after its CR only the LF.
    DataEnd { after_cr: bool },
    /// The trailer section, within a line that is empty so far or not.
    Trailer { line_is_empty: bool },
}

impl Body {
    /// The framing that the response's head announces; `bodiless` where the status has no body (204, 304).
    pub(crate) fn from_head(bodiless: bool, framing: &Framing) -> Self {
        match (bodiless, framing) {
            (true, _) | (false, Framing::Length(0)) => Self::Complete,
            (false, Framing::Length(length)) if *length <= LONGEST => Self::Length(*length),
            (false, Framing::Chunked) => Self::Chunked(Chunk::Size { size: 0, digits: 0 }),
            (false, Framing::Length(_) | Framing::UntilEof) => Self::Unknown,
        }
    }

    /// Follows `bytes`. A byte behind the end makes the body unknown: it belongs to no answer of ours.
    pub(crate) fn on_bytes(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            let taken = match self {
                Self::Length(left) | Self::Chunked(Chunk::Data(left)) => {
                    let taken = (*left).min(bytes.len() as u64);
                    *left -= taken;
                    taken as usize
                }
                Self::Chunked(chunk) => {
                    *self = chunk.on_byte(*first);
                    bytes = rest;
                    continue;
                }
                Self::Complete | Self::Unknown => {
                    *self = Self::Unknown;
                    return;
                }
            };
            bytes = &bytes[taken..];
            match self {
                Self::Length(0) => *self = Self::Complete,
                Self::Chunked(Chunk::Data(0)) => *self = Self::Chunked(Chunk::DataEnd { after_cr: false }),
                Self::Length(_) | Self::Chunked(_) | Self::Complete | Self::Unknown => {}
            }
        }
    }
}

impl Chunk {
    /// Follows one byte outside chunk data.
    fn on_byte(self, byte: u8) -> Body {
        let next = match (self, byte) {
            (Self::Size { size, digits }, _) if byte.is_ascii_hexdigit() && digits < MOST_SIZE_DIGITS => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                Self::Size { size: size * 16 + u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Body::Unknown,
            (Self::Size { size, .. } | Self::Extension { size }, b'\n') => match size {
                0 => Self::Trailer { line_is_empty: true },
                1..=LONGEST => Self::Data(size),
                _ => return Body::Unknown,
            },
            (Self::Size { size, .. }, b'\r' | b';' | b' ' | b'\t') => Self::Extension { size },
            (Self::Extension { .. }, _) => self,
            (Self::DataEnd { after_cr: false }, b'\r') => Self::DataEnd { after_cr: true },
            (Self::DataEnd { .. }, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::Trailer { line_is_empty: true }, b'\n') => return Body::Complete,
            (Self::Trailer { line_is_empty: true }, b'\r') => self,
            (Self::Trailer { .. }, _) => Self::Trailer { line_is_empty: byte == b'\n' },
            (Self::Size { .. } | Self::DataEnd { .. } | Self::Data(_), _) => return Body::Unknown,
        };
        Body::Chunked(next)
    }
}

/// What the header lines say of the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Nothing that we understand: it ends with the connection.
    #[default]
    UntilEof,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Gathers [`Framing`] from header lines. Lines that contradict each other make the end unknown
/// (RFC 9112 section 6.3): whoever sits between us and the server may see another end than we do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FramingLines {
    seen: Framing,
    contradiction: bool,
}

impl FramingLines {
    /// A `Content-Length` line.
    pub(crate) fn on_content_length(&mut self, value: &[u8]) {
        self.set(decimal(value).map(Framing::Length));
    }

    /// A `Transfer-Encoding` line.
    pub(crate) fn on_transfer_encoding(&mut self, value: &[u8]) {
        self.set(value.eq_ignore_ascii_case(b"chunked").then_some(Framing::Chunked));
    }

    /// What all lines together say.
    pub(crate) fn framing(&self) -> Framing {
        if self.contradiction { Framing::UntilEof } else { self.seen }
    }

    fn set(&mut self, framing: Option<Framing>) {
        let before = mem::replace(&mut self.seen, framing.unwrap_or_default());
        self.contradiction |= framing.is_none() || (before != Framing::UntilEof && before != self.seen);
    }
}

/// A number of digits only; `None` for anything else, and for more than 19 digits.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let all_digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    all_digits.then(|| str::from_utf8(text).ok()?.parse().ok())?
}

/// Bodies longer than this are not followed: the connection is closed rather than read to its end.
const LONGEST: u64 = 65_536;

/// Enough for [`LONGEST`] with leading zeros, and far from an overflow.
const MOST_SIZE_DIGITS: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(framing: Framing, bytes: &[u8]) -> Body {
        let mut whole = Body::from_head(false, &framing);
        let mut split = whole;
        whole.on_bytes(bytes);
        for byte in bytes {
            split.on_bytes(&[*byte]);
        }
        assert_eq!(whole, split, "{framing:?} {bytes:?}");
        whole
    }

    #[test]
    fn lengths() {
        assert_eq!(after(Framing::Length(0), b""), Body::Complete);
        assert_eq!(after(Framing::Length(0), b"x"), Body::Unknown);
        assert_eq!(after(Framing::Length(3), b"ab"), Body::Length(1));
        assert_eq!(after(Framing::Length(3), b"abc"), Body::Complete);
        assert_eq!(after(Framing::Length(3), b"abcd"), Body::Unknown);
        assert_eq!(after(Framing::Length(LONGEST + 1), b""), Body::Unknown);
        assert_eq!(after(Framing::UntilEof, b""), Body::Unknown);
    }

    #[test]
    fn no_body_whatever_the_lines_say() {
        assert_eq!(Body::from_head(true, &Framing::Length(7)), Body::Complete);
        assert_eq!(Body::from_head(true, &Framing::UntilEof), Body::Complete);
    }

    #[test]
    fn chunks() {
        for complete in [
            &b"0\r\n\r\n"[..],
            b"0\n\n",
            b"00\r\nX-Trailer: 1\r\n\r\n",
            b"3\r\nabc\r\n0\r\n\r\n",
            b"A;name=value\r\n0123456789\r\n1 \r\nx\r\n0\r\n\r\n",
        ] {
            assert_eq!(after(Framing::Chunked, complete), Body::Complete, "{complete:?}");
            let more = [complete, b"x"].concat();
            assert_eq!(after(Framing::Chunked, &more), Body::Unknown, "{more:?}");
        }
        for unfinished in [&b""[..], b"0", b"0\r\n", b"0\r\n\r", b"3\r\nab", b"3\r\nabc\r", b"0\r\nX: y\r\n"]
        {
            assert!(matches!(after(Framing::Chunked, unfinished), Body::Chunked(_)), "{unfinished:?}");
        }
        for broken in [
            &b"\r\n"[..],
            b"x",
            b"-1\r\n",
            b"3\r\nabcd",
            b"3\r\nabc\rx",
            b"10001\r\n",
            b"0000000000000001\r\n",
        ] {
            assert_eq!(after(Framing::Chunked, broken), Body::Unknown, "{broken:?}");
        }
    }

    #[test]
    fn lines_that_contradict_each_other() {
        let framing = |lines: &[(bool, &[u8])]| {
            let mut all = FramingLines::default();
            for (is_length, value) in lines {
                if *is_length { all.on_content_length(value) } else { all.on_transfer_encoding(value) }
            }
            all.framing()
        };
        assert_eq!(framing(&[]), Framing::UntilEof);
        assert_eq!(framing(&[(true, b"5")]), Framing::Length(5));
        assert_eq!(framing(&[(true, b"5"), (true, b"5")]), Framing::Length(5));
        assert_eq!(framing(&[(false, b"Chunked")]), Framing::Chunked);
        for unknown in [
            &[(true, &b"5"[..]), (true, b"6")][..],
            &[(true, b"5"), (false, b"chunked")],
            &[(false, b"chunked"), (true, b"5")],
            &[(true, b"+5")],
            &[(true, b"5"), (true, b"")],
            &[(true, b"99999999999999999999")],
            &[(false, b"gzip, chunked")],
        ] {
            assert_eq!(framing(unknown), Framing::UntilEof, "{unknown:?}");
        }
    }
}

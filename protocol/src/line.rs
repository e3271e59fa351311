//! Cutting a peer's bytes into lines, and keeping what is unfinished.

use std::fmt;

use zeroize::Zeroizing;

/// What stands at the front of a peer's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front<'a> {
    /// A line, and how many bytes it took with its end. It has lost its LF and a CR directly before that; a CR elsewhere
    /// stays and makes the line malformed. A bare LF ends a line too.
    Line(&'a [u8], usize),
    /// The end of the line is still to come and may fit.
    Partial,
    /// The line does not fit.
    TooLong,
}

/// Looks at the first line, which may have `limit` bytes with its end. How the bytes were split on their way makes no
/// difference to what is too long.
pub(crate) fn front(bytes: &[u8], limit: usize) -> Front<'_> {
    let window = &bytes[..bytes.len().min(limit)];
    match memchr::memchr(b'\n', window) {
        Some(end) => {
            let line = &window[..end];
            Front::Line(line.strip_suffix(b"\r").unwrap_or(line), end + 1)
        }
        None if bytes.len() >= limit => Front::TooLong,
        None => Front::Partial,
    }
}

/// Bytes of a peer that nobody can use yet. Holds exactly what it needs, nothing when empty, and is wiped; it prints
/// how many, as they may be half a password.
#[derive(Default)]
pub(crate) struct Pending(Zeroizing<Box<[u8]>>);

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps `bytes` behind what there is.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut joined = Vec::with_capacity(self.0.len() + bytes.len());
        joined.extend_from_slice(&self.0);
        joined.extend_from_slice(bytes);
        self.0 = Zeroizing::new(joined.into_boxed_slice());
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> Zeroizing<Box<[u8]>> {
        std::mem::take(&mut self.0)
    }

    /// What there is, and `bytes` behind it, in one piece; `bytes` themselves where there was nothing.
    pub(crate) fn join<'a>(&mut self, bytes: &'a [u8]) -> Joined<'a> {
        if self.is_empty() {
            return Joined::Lent(bytes);
        }
        self.append(bytes);
        Joined::Owned(self.take())
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} bytes)", self.len())
    }
}

/// See [`Pending::join`].
pub(crate) enum Joined<'a> {
    Lent(&'a [u8]),
    Owned(Zeroizing<Box<[u8]>>),
}

impl std::ops::Deref for Joined<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Lent(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_lose_their_end() {
        let table: [(&[u8], Front<'_>); 7] = [
            (b"NOOP\r\nQUIT\r\n", Front::Line(b"NOOP", 6)),
            (b"NOOP\nQUIT\n", Front::Line(b"NOOP", 5)),
            (b"\r\n", Front::Line(b"", 2)),
            (b"a\rb\r\r\n", Front::Line(b"a\rb\r", 6)),
            (b"NOOP\r", Front::Partial),
            (b"", Front::Partial),
            (b"1234567890", Front::TooLong),
        ];
        for (bytes, expected) in table {
            assert_eq!(front(bytes, 10), expected, "{bytes:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_line_end_however_the_bytes_come() {
        assert_eq!(front(b"12345678\r\n", 10), Front::Line(b"12345678", 10));
        assert_eq!(front(b"123456789\r\n", 10), Front::TooLong);
        assert_eq!(front(b"123456789\r", 10), Front::TooLong);
        assert_eq!(front(b"123456789", 10), Front::Partial);
        assert_eq!(front(b"", 0), Front::TooLong);
    }

    #[test]
    fn pending_bytes_keep_their_order_and_leave_nothing_behind() {
        let mut pending = Pending::default();
        assert!(matches!(pending.join(b"abc"), Joined::Lent(b"abc")));
        pending.append(b"ab");
        pending.append(b"");
        pending.append(b"c");
        assert_eq!(pending.len(), 3);
        assert_eq!(&*pending.join(b"d"), b"abcd");
        assert!(pending.is_empty());
    }
}

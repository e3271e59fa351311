//! A growing buffer that leaves no copy of its bytes behind.

use std::fmt;
use std::ops::Deref;

use zeroize::{Zeroize, Zeroizing};

/// Bytes that may hold a password: wiped when cleared, dropped, or moved to a larger allocation; not shown by `Debug`.
#[derive(Default)]
pub struct WipedBuffer(Zeroizing<Vec<u8>>);

impl WipedBuffer {
    /// An empty buffer; allocates with the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `bytes`.
    pub fn extend(&mut self, bytes: &[u8]) {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            // `Vec` would free the old allocation as it is; this one is wiped by the drop of the assignment.
            let mut larger = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two().max(SMALLEST)));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    /// Forgets the bytes, keeps the allocation.
    pub fn clear(&mut self) {
        self.0.zeroize();
    }

    /// Forgets the last byte if it is `byte`.
    pub(crate) fn pop_if(&mut self, byte: u8) {
        if self.0.last() == Some(&byte) {
            self.0.pop();
        }
    }

    /// Removes the bytes from `start` on for which `unwanted` holds; whether there were any.
    pub(crate) fn remove_from(&mut self, start: usize, unwanted: impl Fn(u8) -> bool) -> bool {
        let before = self.0.len();
        let mut index = 0;
        self.0.retain(|&byte| {
            index += 1;
            index <= start || !unwanted(byte)
        });
        self.0.len() < before
    }
}

impl Deref for WipedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WipedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WipedBuffer({} bytes)", self.0.len())
    }
}

/// What the first allocation holds at least: a usual header line, so that few buffers grow twice.
const SMALLEST: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_its_bytes() {
        let mut buffer = WipedBuffer::new();
        let mut expected = Vec::new();
        for byte in 0..=255 {
            buffer.extend(&[byte; 3]);
            expected.extend_from_slice(&[byte; 3]);
        }
        assert_eq!(&*buffer, &*expected);
        buffer.clear();
        assert!(buffer.is_empty());
    }

    #[test]
    fn debug_shows_the_length_only() {
        let mut buffer = WipedBuffer::new();
        buffer.extend(b"Auth-Pass: hunter2");
        assert_eq!(format!("{buffer:?} {buffer:#?}"), "WipedBuffer(18 bytes) WipedBuffer(18 bytes)");
    }

    #[test]
    fn removes_behind_the_start_only() {
        let mut buffer = WipedBuffer::new();
        buffer.extend(b"\x01a\x01b\x01");
        assert!(buffer.remove_from(1, |byte| byte == 1));
        assert_eq!(&*buffer, b"\x01ab");
        assert!(!buffer.remove_from(1, |byte| byte == 1));
    }
}

//! Keys for tickets in a fixed number of bytes, new ones for every period.
//!
//! All zeroes are an empty table. Nothing in the bytes is trusted: they may be shared with other processes.

use zeroize::Zeroizing;

use super::digest::Digest;
use super::session_table::number;

pub(super) type Key = Zeroizing<[u8; 32]>;

/// Owner, period, last use, key of the period, key of the period before.
const ROW: usize = 32 + 8 + 8 + 32 + 32;

/// Bytes for as many owners as there may be at a time: servers that differ in their certificates, say. With more of
/// them the one that was not heard of for longest gets a new key too early.
pub(super) const SIZE: usize = 512 * ROW;

/// Makes the bytes an empty table.
pub(super) fn clear(bytes: &mut [u8]) {
    bytes.fill(0);
}

/// The keys of one owner.
pub(super) struct Keys {
    pub(super) current: Key,
    pub(super) previous: Option<Key>,
}

/// The owner's keys in the period with this number; `fresh` draws a key. A clock that was set back a
/// little leaves them as they are.
pub(super) fn keys(
    bytes: &mut [u8],
    owner: &Digest,
    period: u64,
    now: u64,
    fresh: impl Fn() -> Option<Key>,
) -> Option<Keys> {
    let known = bytes.chunks_exact(ROW).position(|row| row[..32] == *owner);
    // An empty row was used last at zero.
    let oldest = || bytes.chunks_exact(ROW).enumerate().min_by_key(|(_, row)| number(&row[40..48]));
    let index = known.or_else(|| oldest().map(|(index, _)| index))?;
    let row = &mut bytes[index * ROW..(index + 1) * ROW];
    let of_row = number(&row[32..40]);
    if known.is_none() || of_row < period || of_row > period.saturating_add(1) {
        let fresh = fresh()?;
        let (state, keys) = row.split_at_mut(48);
        let (current, previous) = keys.split_at_mut(32);
        match known.is_some() && of_row.checked_add(1) == Some(period) {
            true => previous.copy_from_slice(current),
            false => previous.fill(0),
        }
        current.copy_from_slice(&*fresh);
        state[..32].copy_from_slice(owner);
        state[32..40].copy_from_slice(&period.to_ne_bytes());
    }
    row[40..48].copy_from_slice(&now.max(1).to_ne_bytes());
    let key = |bytes: &[u8]| {
        let mut key = Key::default();
        key.copy_from_slice(bytes);
        key
    };
    let previous = key(&row[80..]);
    Some(Keys { current: key(&row[48..80]), previous: (*previous != [0; 32]).then_some(previous) })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A table whose keys are numbered from 1.
    struct Table {
        bytes: Vec<u8>,
        drawn: Cell<u8>,
    }

    impl Table {
        fn new(rows: usize) -> Self {
            Self { bytes: vec![0; rows * ROW], drawn: Cell::new(0) }
        }

        /// The numbers of an owner's keys; no previous one is 0.
        fn keys(&mut self, owner: u8, period: u64, now: u64) -> (u8, u8) {
            let draw = || {
                self.drawn.set(self.drawn.get() + 1);
                Some(Key::new([self.drawn.get(); 32]))
            };
            let keys = keys(&mut self.bytes, &[owner; 32], period, now, draw).expect("keys");
            (keys.current[0], keys.previous.map_or(0, |key| key[0]))
        }
    }

    #[test]
    fn a_key_lasts_for_its_period_and_the_next() {
        let mut table = Table::new(2);
        assert_eq!(table.keys(1, 7, 1), (1, 0));
        assert_eq!(table.keys(1, 7, 2), (1, 0));
        assert_eq!(table.keys(1, 8, 3), (2, 1));
        assert_eq!(table.keys(1, 7, 3), (2, 1), "the clock was set back");
        assert_eq!(table.keys(1, 9, 4), (3, 2));
        assert_eq!(table.keys(1, 11, 5), (4, 0), "nothing of two periods ago");
        assert!(!table.bytes.contains(&2), "it is forgotten");
        assert_eq!(table.keys(1, 9, 6), (5, 0), "the clock had been wrong");
    }

    #[test]
    fn owners_have_their_own_and_the_oldest_makes_room() {
        let mut table = Table::new(2);
        assert_eq!(table.keys(1, 1, 10), (1, 0));
        assert_eq!(table.keys(2, 1, 11), (2, 0));
        assert_eq!(table.keys(1, 1, 12), (1, 0));
        assert_eq!(table.keys(3, 1, 13), (3, 0));
        assert_eq!(table.keys(1, 1, 14), (1, 0));
        assert_eq!(table.keys(2, 2, 15), (4, 0), "nothing of whoever had the row");
    }

    #[test]
    fn without_bytes_or_randomness_there_is_no_key() {
        assert!(keys(&mut [], &[1; 32], 1, 1, || Some(Key::default())).is_none());
        assert!(keys(&mut [0; SIZE], &[1; 32], 1, 1, || None).is_none());
    }
}

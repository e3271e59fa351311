//! Sessions in a fixed number of bytes: the oldest make room for new ones.
//!
//! The bytes hold the position of the next entry, an index, and a ring of entries. Positions count all bytes ever
//! written to the ring, so a position says by itself whether its entry is still there. All zeroes are an empty table.
//! Nothing in the bytes is trusted: they may be shared with other processes.

use super::digest::Digest;

/// Longer sessions, which are those with many certificates, are not kept.
const LONGEST: usize = 16 * 1024;

/// Digest, expiry and length of an entry.
const HEADER: usize = 48;

/// Bytes of the table for each position in the index: about the size of a session without certificates.
const BYTES_PER_POSITION: usize = 128;

/// Positions among which a digest may be.
const WAYS: usize = 4;

const WORD: usize = 8;

/// Makes the bytes an empty table. Entries stay until others take their room, but nothing leads to them: a large table
/// would keep its worker for long, and cost all the memory that it may ever need.
pub(super) fn clear(bytes: &mut [u8]) {
    if let Some(table) = SessionTable::new(bytes) {
        table.next.fill(0);
        table.index.fill(0);
    }
}

/// A table in some bytes.
pub(super) struct SessionTable<'a> {
    /// The position of the next entry.
    next: &'a mut [u8],
    /// Positions plus one; zero is none.
    index: &'a mut [u8],
    ring: &'a mut [u8],
}

impl<'a> SessionTable<'a> {
    /// The table that is in the bytes; `None` if they are too few for any session.
    pub(super) fn new(bytes: &'a mut [u8]) -> Option<Self> {
        let sets = bytes.len() / (BYTES_PER_POSITION * WAYS);
        let (next, rest) = bytes.split_at_mut_checked(WORD)?;
        let (index, ring) = rest.split_at_mut_checked(sets * WAYS * WORD)?;
        let length = ring.len() / WORD * WORD;
        let ring = &mut ring[..length];
        (sets > 0 && !ring.is_empty()).then_some(Self { next, index, ring })
    }

    /// Keeps a session until `expires`, in seconds; whether there was room for it.
    pub(super) fn put(&mut self, digest: &Digest, expires: u64, session: &[u8]) -> bool {
        self.remove(digest);
        let size = (HEADER + session.len()).next_multiple_of(WORD);
        if session.len() > LONGEST || size > self.ring.len() {
            return false;
        }
        let mut position = number(self.next);
        let offset = self.offset(position);
        if self.ring.len() - offset < size {
            // Entries are in one piece.
            position = position.wrapping_add((self.ring.len() - offset) as u64);
        }
        let offset = self.offset(position);
        let entry = &mut self.ring[offset..offset + size];
        entry.fill(0);
        entry[..32].copy_from_slice(digest);
        entry[32..40].copy_from_slice(&expires.to_ne_bytes());
        entry[40..48].copy_from_slice(&(session.len() as u64).to_ne_bytes());
        entry[HEADER..HEADER + session.len()].copy_from_slice(session);
        self.next.copy_from_slice(&position.wrapping_add(size as u64).to_ne_bytes());
        let set = self.set(digest);
        // An empty place has the smallest number of all; otherwise the oldest goes.
        if let Some(place) = self.index[set].chunks_exact_mut(WORD).min_by_key(|place| number(place)) {
            place.copy_from_slice(&position.wrapping_add(1).to_ne_bytes());
        }
        true
    }

    /// The session, if it is there and has not expired.
    pub(super) fn get(&self, digest: &Digest, now: u64) -> Option<Vec<u8>> {
        let (_, session) = self.find(digest)?;
        let entry = &self.ring[session.start - HEADER..session.end];
        (number(&entry[32..40]) > now).then(|| entry[HEADER..].to_vec())
    }

    /// [`get`](Self::get), and the session is no longer there.
    pub(super) fn take(&mut self, digest: &Digest, now: u64) -> Option<Vec<u8>> {
        let found = self.get(digest, now);
        self.remove(digest);
        found
    }

    /// Wipes the session, if it is there. No copy of it is made.
    fn remove(&mut self, digest: &Digest) {
        if let Some((place, session)) = self.find(digest) {
            self.index[place..place + WORD].fill(0);
            self.ring[session].fill(0);
        }
    }

    /// Where its position and where its bytes are.
    fn find(&self, digest: &Digest) -> Option<(usize, std::ops::Range<usize>)> {
        let next = number(self.next);
        self.set(digest).step_by(WORD).find_map(|place| {
            let position = number(&self.index[place..place + WORD]).checked_sub(1)?;
            let written = next.checked_sub(position)?;
            if written > self.ring.len() as u64 {
                return None;
            }
            let start = self.offset(position) + HEADER;
            let header = self.ring.get(start - HEADER..start)?;
            let length = usize::try_from(number(&header[40..48])).ok().filter(|&length| length <= LONGEST)?;
            let session = start..start + length;
            (header[..32] == *digest && session.end <= self.ring.len()).then_some((place, session))
        })
    }

    fn offset(&self, position: u64) -> usize {
        // The remainder is less than the length, which is a usize.
        (position % self.ring.len() as u64) as usize / WORD * WORD
    }

    /// The places of the index where a digest may be.
    fn set(&self, digest: &Digest) -> std::ops::Range<usize> {
        let size = WAYS * WORD;
        let sets = (self.index.len() / size) as u64;
        let start = (number(&digest[..WORD]) % sets) as usize * size;
        start..start + size
    }
}

/// A number of eight bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn digest(number: u8) -> Digest {
        let mut digest = [number; 32];
        digest[0] = number.wrapping_mul(37);
        digest
    }

    #[test]
    fn sessions_are_there_until_they_expire_or_are_taken() {
        let mut bytes = vec![0; 4096];
        let mut table = SessionTable::new(&mut bytes).expect("a table");
        assert_eq!(table.get(&digest(1), 0), None);
        assert!(table.put(&digest(1), 100, b"one"));
        assert!(table.put(&digest(2), 100, b""));
        assert_eq!(table.get(&digest(1), 99).as_deref(), Some(&b"one"[..]));
        assert_eq!(table.get(&digest(1), 100), None);
        assert_eq!(table.get(&digest(2), 0).as_deref(), Some(&b""[..]));
        assert!(table.put(&digest(1), 100, b"another"));
        assert_eq!(table.take(&digest(1), 0).as_deref(), Some(&b"another"[..]));
        assert_eq!(table.get(&digest(1), 0), None);
        assert!(
            !bytes.windows(3).any(|window| window == b"ano" || window == b"one"),
            "taken, and still there"
        );
    }

    #[test]
    fn a_table_that_is_cleared_has_nothing_and_takes_new_ones() {
        let mut bytes = vec![0; 4096];
        let ring = 8 + 4096 / 512 * 32;
        // Whatever was in the index.
        bytes[..ring].fill(1);
        bytes[ring..].fill(7);
        clear(&mut bytes);
        assert!(bytes[ring..].iter().all(|&byte| byte == 7), "the ring is left alone");
        let mut table = SessionTable::new(&mut bytes).expect("a table");
        assert_eq!(table.get(&digest(1), 0), None);
        assert!(table.put(&digest(1), 100, b"one"));
        clear(&mut bytes);
        let mut table = SessionTable::new(&mut bytes).expect("a table");
        assert_eq!(table.get(&digest(1), 0), None);
        assert!(table.put(&digest(2), 100, b"two"));
        assert_eq!(table.get(&digest(2), 0).as_deref(), Some(&b"two"[..]));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut bytes = vec![0; 32 * 1024];
        let mut table = SessionTable::new(&mut bytes).expect("a table");
        let digests: Vec<Digest> = (0..2000_u64)
            .map(|number| {
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes());
                digest
            })
            .collect();
        for (index, digest) in digests.iter().enumerate() {
            assert!(table.put(digest, 1, &[1; 90]));
            assert!(table.get(digest, 0).is_some(), "{index}");
        }
        let kept: Vec<_> = digests.iter().map(|digest| table.get(digest, 0).is_some()).collect();
        let count = kept.iter().filter(|&&is_kept| is_kept).count();
        assert!(count > 120, "{count} are kept");
        assert!(kept[1950..].iter().filter(|&&is_kept| is_kept).count() > 40, "the newest are kept");
        assert!(kept[..1500].iter().all(|&is_kept| !is_kept), "the oldest are gone");
    }

    #[test]
    fn what_does_not_fit_is_not_kept() {
        assert!(SessionTable::new(&mut []).is_none());
        assert!(SessionTable::new(&mut [0; 511]).is_none());
        let mut bytes = vec![0; 64 * 1024];
        let mut table = SessionTable::new(&mut bytes).expect("a table");
        assert!(table.put(&digest(1), 1, &vec![1; LONGEST]));
        assert!(!table.put(&digest(1), 1, &vec![1; LONGEST + 1]));
        assert_eq!(table.get(&digest(1), 0), None, "nor is what it was before");
    }

    proptest! {
        /// Whatever comes back is what was put last, and the last that was put is there.
        #[test]
        fn a_table_never_mixes_sessions(
            size in 512_usize..3000,
            steps in prop::collection::vec((0_u8..12, 0_usize..400, any::<bool>()), 0..200),
        ) {
            let mut bytes = vec![0; size];
            let mut table = SessionTable::new(&mut bytes).expect("a table");
            let mut last = HashMap::new();
            for (number, (key, length, is_taken)) in steps.into_iter().enumerate() {
                let digest = digest(key);
                let found = if is_taken { table.take(&digest, 0) } else { table.get(&digest, 0) };
                if let Some(found) = found {
                    prop_assert_eq!(Some(&found), last.get(&key));
                }
                if is_taken {
                    prop_assert_eq!(table.get(&digest, 0), None);
                    last.remove(&key);
                } else {
                    let session = vec![number as u8; length];
                    if table.put(&digest, 1, &session) {
                        prop_assert_eq!(table.get(&digest, 0), Some(session.clone()));
                        last.insert(key, session);
                    } else {
                        last.remove(&key);
                    }
                }
            }
        }

        /// Bytes that somebody else wrote cannot do worse than to lose sessions.
        #[test]
        fn any_bytes_are_a_table(mut bytes in prop::collection::vec(any::<u8>(), 512..1500), start: [u8; 2]) {
            // Small positions are likelier to look right.
            bytes[2..8].fill(0);
            bytes[..2].copy_from_slice(&start);
            let mut table = SessionTable::new(&mut bytes).expect("a table");
            table.take(&digest(1), 0);
            table.put(&digest(1), 1, b"session");
            prop_assert_eq!(table.get(&digest(1), 0), Some(b"session".to_vec()));
        }
    }
}

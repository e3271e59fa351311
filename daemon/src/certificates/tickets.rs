//! Session tickets that all workers can read, of all generations.
//!
//! Their keys come from files, or are drawn at random for each period in memory that the workers share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::SecureRandom;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::digest::{Digest, digest_of};
use super::now_seconds;
use super::ticket_file::TicketKey;
use super::ticket_table::{self, Key, Keys};
use crate::sys::SharedMemory;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as crypto;

use crypto::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Bytes of shared memory that all servers need for their keys.
pub(crate) const SHARED_SIZE: usize = ticket_table::SIZE;

/// A key is not used for less than this.
const SHORTEST_PERIOD: Duration = Duration::from_secs(60);

/// No ticket may promise more (RFC 8446 section 4.6.1).
const LONGEST_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where the keys of tickets come from.
#[derive(Clone, Debug)]
pub(crate) enum TicketKeys {
    /// New ones for every timeout, in this memory.
    Shared(Arc<SharedMemory>),
    /// `ssl_session_ticket_key`, one at least. The first seals.
    Files(Arc<[TicketKey]>),
}

/// The tickets of one server. One opens until its session's timeout, on servers with the same identity.
pub(super) struct Tickets {
    keys: TicketKeys,
    /// The certificates of the server, and whose it trusts.
    identity: Digest,
    lifetime_seconds: u32,
    random: &'static dyn SecureRandom,
}

impl Tickets {
    pub(super) fn new(
        keys: TicketKeys,
        identity: &Digest,
        timeout: Duration,
        random: &'static dyn SecureRandom,
    ) -> Self {
        let lifetime = timeout.min(LONGEST_LIFETIME);
        let lifetime_seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        Self { keys, identity: *identity, lifetime_seconds, random }
    }

    /// Seals a session with its time; `None` without random numbers, or when nobody gets at the keys.
    fn seal(&self, session: &[u8], now_seconds: u64) -> Option<Vec<u8>> {
        let plain = Zeroizing::new([&now_seconds.to_be_bytes(), session].concat());
        match &self.keys {
            TicketKeys::Shared(memory) => {
                seal(&self.shared_keys(memory, now_seconds)?.current, self.random()?, &plain)
            }
            TicketKeys::Files(keys) => keys.first()?.seal(&plain, self.random()?, &self.identity),
        }
    }

    fn open(&self, ticket: &[u8], now_seconds: u64) -> Option<Vec<u8>> {
        let plain = match &self.keys {
            TicketKeys::Shared(memory) => {
                let Keys { current, previous } = self.shared_keys(memory, now_seconds)?;
                open(&current, ticket).or_else(|| open(&previous?, ticket))
            }
            TicketKeys::Files(keys) => keys.iter().find_map(|key| key.open(ticket, &self.identity)),
        }?;
        let (time, session) = plain.split_first_chunk()?;
        let age = now_seconds.saturating_sub(u64::from_be_bytes(*time));
        (age <= u64::from(self.lifetime_seconds)).then(|| session.to_vec())
    }

    fn shared_keys(&self, memory: &SharedMemory, now_seconds: u64) -> Option<Keys> {
        let seconds = u64::from(self.lifetime_seconds).max(SHORTEST_PERIOD.as_secs());
        let owner = digest_of(&[&self.identity, &seconds.to_be_bytes()]);
        let fresh = || self.random::<32>().map(Key::new);
        memory
            .with(ticket_table::clear, |bytes| {
                ticket_table::keys(bytes, &owner, now_seconds / seconds, now_seconds, fresh)
            })
            .flatten()
    }

    fn random<const N: usize>(&self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// The nonce, then what was sealed.
fn seal(key: &Key, nonce: [u8; NONCE_LEN], plain: &[u8]) -> Option<Vec<u8>> {
    // With room for the tag: growing would leave a copy of the session behind.
    let mut sealed = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(plain);
    let unique = Nonce::assume_unique_for_key(nonce);
    sealing_key(key)?.seal_in_place_append_tag(unique, Aad::empty(), &mut sealed).ok()?;
    Some([&nonce[..], &sealed].concat())
}

fn open(key: &Key, ticket: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut bytes = Zeroizing::new(sealed.to_vec());
    let length = sealing_key(key)?.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn sealing_key(key: &Key) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &**key).ok().map(LessSafeKey::new)
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_seconds
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now_seconds())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now_seconds())
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("lifetime_seconds", &self.lifetime_seconds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::provider;

    const HOUR: u64 = 3600;

    fn shared() -> TicketKeys {
        TicketKeys::Shared(Arc::new(SharedMemory::new(SHARED_SIZE).expect("memory")))
    }

    fn files(numbers: &[u8]) -> TicketKeys {
        TicketKeys::Files(
            numbers.iter().map(|&number| TicketKey::new(&[number; 80]).expect("a key")).collect(),
        )
    }

    fn tickets(keys: &TicketKeys, identity: u8) -> Tickets {
        Tickets::new(keys.clone(), &[identity; 32], Duration::from_secs(HOUR), provider().secure_random)
    }

    #[test]
    fn tickets_open_for_all_who_share_the_keys_and_the_identity() {
        for (keys, others) in [(shared(), shared()), (files(&[1]), files(&[2]))] {
            let ticket = tickets(&keys, 1).seal(b"session", 10).expect("a ticket");
            assert_eq!(tickets(&keys, 1).open(&ticket, 20).as_deref(), Some(&b"session"[..]));
            assert_eq!(tickets(&keys, 2).open(&ticket, 20), None);
            assert_eq!(tickets(&others, 1).open(&ticket, 20), None);
        }
    }

    #[test]
    fn tickets_end_with_the_timeout() {
        for keys in [shared(), files(&[1])] {
            let (sealing, reading) = (tickets(&keys, 1), tickets(&keys, 1));
            // Its key is replaced a second later.
            let ticket = sealing.seal(b"x", 5 * HOUR - 1).expect("a ticket");
            assert!(reading.open(&ticket, 5 * HOUR).is_some());
            assert!(reading.open(&ticket, 6 * HOUR - 1).is_some());
            assert!(reading.open(&ticket, 6 * HOUR).is_none());
        }
    }

    #[test]
    fn keys_of_two_timeouts_ago_are_forgotten() {
        let keys = shared();
        let ticket = tickets(&keys, 1).seal(b"x", 5 * HOUR).expect("a ticket");
        assert!(tickets(&keys, 1).open(&ticket, 7 * HOUR).is_none());
        // A clock that is set back does not bring them back.
        assert!(tickets(&keys, 1).open(&ticket, 5 * HOUR).is_none());
    }

    #[test]
    fn the_first_file_seals_and_all_open() {
        let [old, both, new] = [&[1][..], &[2, 1], &[2]].map(|numbers| tickets(&files(numbers), 1));
        let ticket = old.seal(b"x", 0).expect("a ticket");
        assert!(both.open(&ticket, 0).is_some() && new.open(&ticket, 0).is_none());
        let ticket = both.seal(b"x", 0).expect("a ticket");
        assert!(new.open(&ticket, 0).is_some() && old.open(&ticket, 0).is_none());
    }

    #[test]
    fn what_is_no_ticket_is_refused() {
        for keys in [shared(), files(&[1])] {
            let tickets = tickets(&keys, 1);
            let mut ticket = tickets.seal(b"x", 0).expect("a ticket");
            assert_ne!(ticket, tickets.seal(b"x", 0).expect("another"));
            for length in 0..ticket.len() {
                assert_eq!(tickets.open(&ticket[..length], 0), None);
            }
            ticket[20] ^= 1;
            assert_eq!(tickets.open(&ticket, 0), None);
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", tickets(&files(&[1]), 1)), "Tickets { lifetime_seconds: 3600, .. }");
        assert_eq!(format!("{:?}", files(&[1])), "Files([TicketKey(..)])");
    }
}

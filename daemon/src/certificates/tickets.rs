//! Session tickets that all workers can read.
//!
//! Keys form a chain: each follows from the one before, and not the other way. All processes that came from one master
//! go along it by the clock, so they have the same keys without a word between them, and nobody can go back.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use rustls::crypto::SecureRandom;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as crypto;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as crypto;

use crypto::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use crypto::hmac;

/// A key is not used for less than this.
const SHORTEST_PERIOD: Duration = Duration::from_secs(60);

/// No ticket may promise more (RFC 8446 section 4.6.1).
const LONGEST_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

type Key = Zeroizing<[u8; 32]>;

/// The tickets of one server. One is good until the key after its own is replaced: between one and two timeouts.
pub(super) struct Tickets {
    lifetime_seconds: u32,
    period_seconds: u64,
    chain: Mutex<Chain>,
    random: &'static dyn SecureRandom,
}

struct Chain {
    /// The number of the period since 1970.
    period: u64,
    current: Key,
    previous: Option<Key>,
}

impl Tickets {
    /// The chain that `seed` begins for the server with this identity: its certificates, and whose it trusts.
    pub(super) fn new(
        seed: &[u8; 32],
        identity: &[&[u8]],
        timeout: Duration,
        random: &'static dyn SecureRandom,
    ) -> Self {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, seed));
        context.update(b"MAIL");
        for part in identity {
            // With lengths, so that no two lists look the same.
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        let timeout = timeout.min(LONGEST_LIFETIME);
        let period_seconds = timeout.max(SHORTEST_PERIOD).as_secs();
        let current = key_from(&context.sign());
        let chain = Chain { period: now_seconds() / period_seconds, current, previous: None };
        let lifetime_seconds = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX);
        Self { lifetime_seconds, period_seconds, chain: Mutex::new(chain), random }
    }

    /// Seals with the key of this time; `None` without random numbers.
    fn seal(&self, plain: &[u8], now_seconds: u64) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let key = self.at(now_seconds, |chain| sealing_key(&chain.current))?;
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::empty(), &mut sealed).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    fn open(&self, ticket: &[u8], now_seconds: u64) -> Option<Vec<u8>> {
        let (nonce, sealed) = ticket.split_at_checked(NONCE_LEN)?;
        let keys = self.at(now_seconds, |chain| {
            [Some(&chain.current), chain.previous.as_ref()].map(|key| key.and_then(sealing_key))
        });
        keys.into_iter().flatten().find_map(|key| {
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let mut bytes = sealed.to_vec();
            key.open_in_place(nonce, Aad::empty(), &mut bytes).ok().map(|plain| plain.to_vec())
        })
    }

    /// Looks at the chain as it is at this time. A clock that was set back leaves it where it is.
    fn at<T>(&self, now_seconds: u64, look: impl FnOnce(&Chain) -> T) -> T {
        let mut chain = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
        while chain.period < now_seconds / self.period_seconds {
            let step = hmac::Key::new(hmac::HMAC_SHA256, &*chain.current);
            let next = key_from(&hmac::sign(&step, b"next"));
            chain.previous = Some(std::mem::replace(&mut chain.current, next));
            chain.period += 1;
        }
        look(&chain)
    }
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
        f.debug_struct("Tickets").field("period_seconds", &self.period_seconds).finish_non_exhaustive()
    }
}

fn now_seconds() -> u64 {
    crate::sys::wall_clock().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

fn key_from(tag: &hmac::Tag) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(tag.as_ref());
    key
}

/// The key that tickets are sealed with, which does not lead to the next one.
fn sealing_key(key: &Key) -> Option<LessSafeKey> {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &**key), b"ticket");
    UnboundKey::new(&AES_256_GCM, tag.as_ref()).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::provider;

    const HOUR: u64 = 3600;

    fn tickets(seed: u8, identity: &[u8]) -> Tickets {
        let random = provider().secure_random;
        let tickets = Tickets::new(&[seed; 32], &[identity], Duration::from_secs(HOUR), random);
        tickets.chain.lock().expect("the chain").period = 0;
        tickets
    }

    #[test]
    fn tickets_are_read_by_all_who_share_the_seed_and_the_certificates() {
        let ticket = tickets(1, b"a").seal(b"session", 10).expect("a ticket");
        assert_eq!(tickets(1, b"a").open(&ticket, 20).as_deref(), Some(&b"session"[..]));
        assert_eq!(tickets(2, b"a").open(&ticket, 20), None);
        assert_eq!(tickets(1, b"b").open(&ticket, 20), None);
    }

    #[test]
    fn tickets_outlive_one_change_of_keys_and_no_second() {
        let (sealing, reading) = (tickets(1, b"a"), tickets(1, b"a"));
        let ticket = sealing.seal(b"x", 5 * HOUR - 1).expect("a ticket");
        assert!(reading.open(&ticket, 5 * HOUR).is_some());
        assert!(reading.open(&ticket, 6 * HOUR).is_none());
        // Nor does a clock that is set back bring the key back.
        assert!(reading.open(&ticket, 5 * HOUR).is_none());
        assert!(sealing.open(&ticket, 5 * HOUR).is_some());
    }

    #[test]
    fn what_is_no_ticket_is_refused() {
        let tickets = tickets(1, b"a");
        let mut ticket = tickets.seal(b"x", 0).expect("a ticket");
        assert_ne!(ticket, tickets.seal(b"x", 0).expect("another"));
        for length in 0..ticket.len() {
            assert_eq!(tickets.open(&ticket[..length], 0), None);
        }
        ticket[20] ^= 1;
        assert_eq!(tickets.open(&ticket, 0), None);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", tickets(1, b"a")), "Tickets { period_seconds: 3600, .. }");
    }
}

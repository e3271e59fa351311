//! Sessions that clients resume by an id: `ssl_session_cache`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, StoresServerSessions};

use super::digest::{Digest, digest_of};
use super::now_seconds;
use super::session_table::{self, SessionTable};
use crate::sys::SharedMemory;

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub(crate) enum SessionCache {
    /// `off`: nowhere, and clients are told so.
    Off,
    /// `none`: nowhere, but clients get ids as if.
    None,
    Memory(Arc<SharedMemory>),
}

impl SessionCache {
    /// What the TLS library asks. Sessions of servers with another identity are not there.
    pub(super) fn storage(&self, identity: &Digest, timeout: Duration) -> Arc<dyn StoresServerSessions> {
        match self {
            Self::Off => Arc::new(NoServerSessionStorage {}),
            Self::None => Arc::new(Pretence),
            Self::Memory(memory) => Arc::new(Storage {
                memory: Arc::clone(memory),
                identity: *identity,
                timeout_seconds: timeout.as_secs(),
            }),
        }
    }
}

/// Keeps nothing.
#[derive(Debug)]
struct Pretence;

impl StoresServerSessions for Pretence {
    fn put(&self, _: Vec<u8>, _: Vec<u8>) -> bool {
        false
    }

    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn can_cache(&self) -> bool {
        true
    }
}

struct Storage {
    memory: Arc<SharedMemory>,
    identity: Digest,
    timeout_seconds: u64,
}

impl Storage {
    fn digest(&self, id: &[u8]) -> Digest {
        digest_of(&[&self.identity, id])
    }

    fn with<T>(&self, work: impl FnOnce(&mut SessionTable<'_>) -> T) -> Option<T> {
        self.memory
            .with(session_table::clear, |bytes| SessionTable::new(bytes).map(|mut table| work(&mut table)))
            .flatten()
    }
}

impl StoresServerSessions for Storage {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        let digest = self.digest(&id);
        let session = zeroize::Zeroizing::new(session);
        let expires = now_seconds().saturating_add(self.timeout_seconds);
        self.with(|table| table.put(&digest, expires, &session)).unwrap_or(false)
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        let digest = self.digest(id);
        let now = now_seconds();
        self.with(|table| table.get(&digest, now)).flatten()
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        let digest = self.digest(id);
        let now = now_seconds();
        self.with(|table| table.take(&digest, now)).flatten()
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("timeout_seconds", &self.timeout_seconds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> SessionCache {
        SessionCache::Memory(Arc::new(SharedMemory::new(32 * 1024).expect("memory")))
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn servers_with_one_identity_share_sessions() {
        let cache = memory();
        let [one, same, other] = [1, 1, 2].map(|identity| cache.storage(&[identity; 32], HOUR));
        assert!(one.can_cache() && one.put(vec![1], b"session".to_vec()));
        assert_eq!(same.get(&[1]).as_deref(), Some(&b"session"[..]));
        assert_eq!(same.get(&[2]), None);
        assert_eq!(other.get(&[1]), None);
        assert_eq!(same.take(&[1]).as_deref(), Some(&b"session"[..]));
        assert_eq!(one.get(&[1]), None);
        assert_eq!(format!("{one:?}"), "Storage { timeout_seconds: 3600, .. }");
    }

    #[test]
    fn sessions_end_with_the_timeout() {
        let storage = memory().storage(&[1; 32], Duration::ZERO);
        assert!(storage.put(vec![1], b"session".to_vec()));
        assert_eq!(storage.get(&[1]), None);
    }

    #[test]
    fn off_says_so_and_none_does_not() {
        for (cache, can_cache) in [(SessionCache::Off, false), (SessionCache::None, true)] {
            let storage = cache.storage(&[1; 32], HOUR);
            assert_eq!(storage.can_cache(), can_cache);
            assert!(!storage.put(vec![1], vec![1]));
            assert_eq!((storage.get(&[1]), storage.take(&[1])), (None, None));
        }
    }
}

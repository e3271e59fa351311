//! Addresses that no other test uses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

/// An address in 127.0.0.0/8 that belongs to one test. All of that network is the local host on Linux.
#[derive(Clone, Copy, Debug)]
pub struct Loopback(Ipv4Addr);

/// Addresses that one network of 256 has for hosts.
const HOSTS: usize = 254;

/// What makes the networks of one test program of the first one.
const NETWORKS: [u8; 4] = [0, 128, 64, 192];

impl Loopback {
    /// The next free one: the process id picks the networks, a counter the host.
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let most = NETWORKS.len() * HOSTS;
        assert!(number < most, "a test program uses at most {most} loopback addresses");
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let high = match high ^ NETWORKS[number / HOSTS] {
            // 127.0.0.0/16 is left to others.
            0 => 32 + low % 32,
            high => high,
        };
        Self(Ipv4Addr::new(127, high, low, u8::try_from(1 + number % HOSTS).unwrap()))
    }

    /// A socket address on it.
    pub fn port(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.0), port)
    }

    /// The address itself.
    pub fn ip(self) -> Ipv4Addr {
        self.0
    }
}

impl Default for Loopback {
    fn default() -> Self {
        Self::new()
    }
}

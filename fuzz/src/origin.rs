//! Where a session begins: its client, and its clock.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use gatepost_protocol::address::{ClientAddr, Origin};

/// A client and where it connected to.
pub(crate) fn origin() -> Origin {
    origin_of(b"")
}

/// The same, of another family for the letters `I` (IPv6), `J` (IPv4 in IPv6) and `U` (a unix socket).
pub(crate) fn origin_of(letters: &[u8]) -> Origin {
    let has = |letter| letters.contains(&letter);
    let address = |host: u8| match (has(b'I'), has(b'J')) {
        (true, _) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into())),
        (false, true) => IpAddr::V6(Ipv4Addr::new(192, 0, 2, host).to_ipv6_mapped()),
        (false, false) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
    };
    let (peer, local) = match has(b'U') {
        true => (ClientAddr::Unix, ClientAddr::Unix),
        false => (ClientAddr::Inet((address(7), 4711).into()), ClientAddr::Inet((address(1), 143).into())),
    };
    Origin { peer, local, unix_time: 1_750_000_000, entropy: *b"no randomness :)" }
}

/// Where the clock begins; all else is relative to it.
pub(crate) fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

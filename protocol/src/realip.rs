//! `set_real_ip_from`: whose PROXY header may replace the client's address (spec/protocols.md section 4).

use std::net::{IpAddr, SocketAddr};

use crate::address::{ClientAddr, ProxyAddresses};
use crate::config::Network;

/// The client behind a trusted balancer: the source of the header if `peer` is in one of the networks. `None` if it is
/// not, or if the source is not an address.
pub(crate) fn real_client(
    peer: &ClientAddr,
    header: &ProxyAddresses,
    trusted: &[Network],
) -> Option<ClientAddr> {
    if !trusted.iter().any(|network| network.contains(peer)) {
        return None;
    }
    let source: IpAddr = header.source.parse().ok()?;
    Some(ClientAddr::Inet(SocketAddr::new(source, header.source_port)))
}

impl Network {
    /// Whether a peer is in the network. An IPv4 network also means peers that a dual-stack listener shows as
    /// `::ffff:a.b.c.d`.
    pub fn contains(&self, peer: &ClientAddr) -> bool {
        match (self, peer) {
            (Self::Unix, ClientAddr::Unix) => true,
            (Self::Inet { address, prefix }, ClientAddr::Inet(peer)) => {
                match (address, peer.ip().to_canonical()) {
                    (IpAddr::V4(network), IpAddr::V4(peer)) => {
                        share_prefix(u32::from(*network).into(), u32::from(peer).into(), *prefix, 32)
                    }
                    (IpAddr::V6(network), IpAddr::V6(peer)) => {
                        share_prefix(u128::from(*network), u128::from(peer), *prefix, 128)
                    }
                    (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
                }
            }
            (Self::Unix, ClientAddr::Inet(_)) | (Self::Inet { .. }, ClientAddr::Unix) => false,
        }
    }
}

/// Whether two addresses of `width` bits share their first `prefix` bits.
fn share_prefix(one: u128, other: u128, prefix: u8, width: u32) -> bool {
    let host_bits = width.saturating_sub(prefix.into());
    (one ^ other).checked_shr(host_bits).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(address: &str) -> ClientAddr {
        ClientAddr::Inet(address.parse().unwrap())
    }

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network::Inet { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    fn header(source: &str) -> ProxyAddresses {
        ProxyAddresses {
            source: source.into(),
            source_port: 4711,
            destination: "192.0.2.1".into(),
            destination_port: 143,
        }
    }

    #[test]
    fn networks_contain_what_shares_their_prefix() {
        let table = [
            ("10.0.0.0/8", "10.255.1.2:9", true),
            ("10.0.0.0/8", "11.0.0.0:9", false),
            ("10.1.2.3/32", "10.1.2.3:9", true),
            ("10.1.2.3/32", "10.1.2.2:9", false),
            ("0.0.0.0/0", "203.0.113.9:9", true),
            ("0.0.0.0/0", "[2001:db8::1]:9", false),
            ("10.0.0.0/8", "[::ffff:10.9.9.9]:9", true),
            ("2001:db8::/32", "[2001:db8:ffff::1]:9", true),
            ("2001:db8::/32", "[2001:db9::1]:9", false),
            ("::/0", "[2001:db9::1]:9", true),
            ("::1/128", "[::1]:9", true),
            ("::1/128", "[::2]:9", false),
        ];
        for (trusted, peer, expected) in table {
            assert_eq!(network(trusted).contains(&inet(peer)), expected, "{trusted} {peer}");
        }
        assert!(Network::Unix.contains(&ClientAddr::Unix));
        assert!(!Network::Unix.contains(&inet("127.0.0.1:9")));
        assert!(!network("0.0.0.0/0").contains(&ClientAddr::Unix));
    }

    #[test]
    fn only_a_trusted_header_with_an_address_replaces_the_client() {
        let trusted = [network("127.0.0.0/8"), Network::Unix];
        let real = |peer, source| real_client(&peer, &header(source), &trusted);
        assert_eq!(real(inet("127.0.0.1:9"), "198.51.100.7"), Some(inet("198.51.100.7:4711")));
        assert_eq!(real(ClientAddr::Unix, "2001:db8::7"), Some(inet("[2001:db8::7]:4711")));
        assert_eq!(real(inet("192.0.2.9:9"), "198.51.100.7"), None);
        assert_eq!(real(inet("127.0.0.1:9"), "1234"), None);
        assert_eq!(real_client(&inet("127.0.0.1:9"), &header("198.51.100.7"), &[]), None);
    }
}

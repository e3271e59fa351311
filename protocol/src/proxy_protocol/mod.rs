//! The PROXY protocol, versions 1 and 2: read from a balancer, written to a backend.
//!
//! Source: "The PROXY protocol, versions 1 & 2" by HAProxy Technologies; spec/protocols.md sections 4 and 10.

mod crc32c;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::address::{ClientAddr, ProxyAddresses};
use crate::config::ProxyProtocol;
use crate::event::Event;
use crate::transport::TlsFacts;

/// What the first bytes of a connection say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A header may be under way: ask again with more bytes.
    Incomplete,
    /// The header is complete.
    Done {
        /// What it says of the connection; `None` for `UNKNOWN`, `LOCAL` and other families than internet streams.
        addresses: Option<ProxyAddresses>,
        /// How many bytes it has; what follows belongs to TLS or to the mail protocol.
        length: usize,
    },
    /// There is no header, or a wrong one: log this and close.
    Failed(Event),
}

/// Reads the header at the front of `bytes`, which hold all that has arrived so far; the version is told by its
/// content.
///
/// A header of version 1 has at most 107 bytes, one of version 2 at most 4096; `Incomplete` never asks for more.
/// Addresses must belong to the stated family, and the checksum of version 2, where there is one, must be right.
pub fn parse(bytes: &[u8]) -> Parsed {
    if is_binary(bytes) { v2::parse(bytes) } else { v1::parse(bytes) }
}

/// What the log shows of a header that ended before it was complete; empty only if nothing came.
pub(crate) fn unfinished(bytes: &[u8]) -> Event {
    let excerpt = if is_binary(bytes) { v2::excerpt(bytes) } else { v1::excerpt(bytes) };
    Event::BrokenProxyHeader(excerpt.to_vec())
}

fn is_binary(bytes: &[u8]) -> bool {
    bytes.first() == Some(&v2::SIGNATURE[0])
}

/// Appends the header for a backend: `client` (after realip) as the source, `local`, the address the client connected
/// to, as the destination.
///
/// If only one of the two is IPv4 it is mapped into IPv6. TLS facts go into version 2 only, which always ends with a
/// checksum; its optional sub-fields about our own certificate (0x24, 0x25) are left out.
pub(crate) fn write(
    version: ProxyProtocol,
    client: ClientAddr,
    local: ClientAddr,
    tls: Option<&TlsFacts>,
    out: &mut Vec<u8>,
) {
    match version {
        ProxyProtocol::Off => {}
        ProxyProtocol::V1 => v1::write(Addresses::new(client, local), out),
        ProxyProtocol::V2 => v2::write(Addresses::new(client, local).unmapped(), tls, out),
    }
}

/// Source and destination, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Addresses {
    V4(SocketAddrV4, SocketAddrV4),
    V6(SocketAddrV6, SocketAddrV6),
    /// At least one side is no internet address.
    Unknown,
}

impl Addresses {
    fn new(client: ClientAddr, local: ClientAddr) -> Self {
        match (client, local) {
            (ClientAddr::Inet(SocketAddr::V4(source)), ClientAddr::Inet(SocketAddr::V4(destination))) => {
                Self::V4(source, destination)
            }
            (ClientAddr::Inet(source), ClientAddr::Inet(destination)) => {
                Self::V6(mapped(source), mapped(destination))
            }
            (ClientAddr::Unix, _) | (_, ClientAddr::Unix) => Self::Unknown,
        }
    }

    /// As IPv4 if both sides are IPv4 mapped into IPv6.
    fn unmapped(self) -> Self {
        let Self::V6(source, destination) = self else {
            return self;
        };
        match (source.ip().to_ipv4_mapped(), destination.ip().to_ipv4_mapped()) {
            (Some(source_ip), Some(destination_ip)) => Self::V4(
                SocketAddrV4::new(source_ip, source.port()),
                SocketAddrV4::new(destination_ip, destination.port()),
            ),
            (None, _) | (_, None) => self,
        }
    }
}

fn mapped(address: SocketAddr) -> SocketAddrV6 {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddrV6::new(ip, address.port(), 0, 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inet(text: &str) -> ClientAddr {
        ClientAddr::Inet(text.parse().unwrap())
    }

    fn written(version: ProxyProtocol, client: ClientAddr, local: ClientAddr) -> Vec<u8> {
        let mut out = Vec::new();
        write(version, client, local, None, &mut out);
        out
    }

    #[test]
    fn off_writes_nothing() {
        assert!(written(ProxyProtocol::Off, inet("1.2.3.4:5"), inet("6.7.8.9:10")).is_empty());
    }

    #[test]
    fn families_that_differ_meet_in_ipv6() {
        let (v4, v6) = (inet("192.0.2.1:1"), inet("[2001:db8::1]:2"));
        assert_eq!(
            Addresses::new(v4, v6),
            Addresses::V6(mapped("192.0.2.1:1".parse().unwrap()), "[2001:db8::1]:2".parse().unwrap())
        );
        assert_eq!(written(ProxyProtocol::V1, v4, v6), b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n");
        assert_eq!(written(ProxyProtocol::V1, v6, v4), b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 2 1\r\n");
        assert_eq!(Addresses::new(v4, ClientAddr::Unix), Addresses::Unknown);
        assert_eq!(Addresses::new(ClientAddr::Unix, v6), Addresses::Unknown);
    }

    #[test]
    fn two_mapped_addresses_are_ipv4_in_version_2() {
        let mapped = |version| written(version, inet("[::ffff:192.0.2.1]:1"), inet("[::ffff:192.0.2.2]:2"));
        let plain = |version| written(version, inet("192.0.2.1:1"), inet("192.0.2.2:2"));
        assert_eq!(mapped(ProxyProtocol::V2), plain(ProxyProtocol::V2));
        assert_eq!(mapped(ProxyProtocol::V1), b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n");
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            parse(&bytes);
        }

        #[test]
        fn noise_behind_a_true_beginning_never_panics(version: bool, cut in 0..20usize, rest: Vec<u8>) {
            let start = if version { &v2::SIGNATURE[..] } else { b"PROXY TCP4 1.2.3.4 5" };
            parse(&[&start[..cut.min(start.len())], &rest].concat());
        }

        #[test]
        fn what_is_written_can_be_read(
            source: SocketAddr, destination: SocketAddr, binary: bool, secured: bool, rest: Vec<u8>,
        ) {
            let tls = TlsFacts {
                protocol: "TLSv1.3",
                cipher: "TLS_AES_128_GCM_SHA256",
                server_name: Some("mail.example".into()),
                alpn: None,
                client: None,
            };
            let version = if binary { ProxyProtocol::V2 } else { ProxyProtocol::V1 };
            let mut bytes = Vec::new();
            write(
                version,
                ClientAddr::Inet(source),
                ClientAddr::Inet(destination),
                secured.then_some(&tls),
                &mut bytes,
            );
            let length = bytes.len();
            for cut in 0..length {
                prop_assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete);
            }
            bytes.extend(rest);
            let Parsed::Done { addresses: Some(addresses), length: read } = parse(&bytes) else {
                panic!("{:?}", parse(&bytes));
            };
            prop_assert_eq!(read, length);
            let text = |address: &str| address.parse::<IpAddr>().unwrap().to_canonical();
            prop_assert_eq!(text(&addresses.source), source.ip().to_canonical());
            prop_assert_eq!(text(&addresses.destination), destination.ip().to_canonical());
            prop_assert_eq!(addresses.source_port, source.port());
            prop_assert_eq!(addresses.destination_port, destination.port());
        }
    }
}

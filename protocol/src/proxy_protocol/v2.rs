//! Version 2: binary, with type-length-value fields.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::crc32c::crc32c;
use super::{Addresses, Parsed};
use crate::address::ProxyAddresses;
use crate::client_certificate::ClientFacts;
use crate::event::Event;
use crate::transport::TlsFacts;

/// See [`super::parse`].
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return broken(bytes);
    }
    if let Some(command) = bytes.get(COMMAND)
        && command >> 4 != VERSION
    {
        return Parsed::Failed(Event::UnknownProxyVersion(command >> 4));
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Parsed::Incomplete;
    };
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > LIMIT {
        return Parsed::Failed(Event::ProxyHeaderTooLarge);
    }
    let family = match (fixed[COMMAND] & 0xf, fixed[FAMILY]) {
        (LOCAL, _) => None,
        (PROXY, TCP4) => Some(4),
        (PROXY, TCP6) => Some(16),
        (PROXY, _) => None,
        _ => return broken(bytes),
    };
    let Some(body) = rest.get(..length - FIXED) else {
        return Parsed::Incomplete;
    };
    let Some(size) = family else {
        return Parsed::Done { addresses: None, length };
    };
    match body.split_at_checked(2 * size + 4) {
        Some((block, fields)) if is_intact(&bytes[..length], length - fields.len()) => {
            Parsed::Done { addresses: Some(addresses(block, size)), length }
        }
        Some(_) | None => broken(bytes),
    }
}

/// The address block of a family whose addresses have `size` bytes.
fn addresses(block: &[u8], size: usize) -> ProxyAddresses {
    let (source, rest) = block.split_at(size);
    let (destination, ports) = rest.split_at(size);
    ProxyAddresses {
        source: text(source),
        source_port: u16::from_be_bytes([ports[0], ports[1]]),
        destination: text(destination),
        destination_port: u16::from_be_bytes([ports[2], ports[3]]),
    }
}

fn text(address: &[u8]) -> Box<str> {
    let ip = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
        (Ok(octets), _) => IpAddr::V4(Ipv4Addr::from(octets)),
        (Err(_), octets) => IpAddr::V6(Ipv6Addr::from(octets.unwrap_or_default())),
    };
    ip.to_string().into_boxed_str()
}

/// Whether the checksum in the fields that begin at `at` is right. A header without one is taken as it is, and so are
/// malformed fields: none of the others is used.
fn is_intact(header: &[u8], mut at: usize) -> bool {
    while let Some(&[kind, high, low]) = header.get(at..at + 3) {
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        if kind == CRC32C {
            let mut copy = header.to_vec();
            let Some(Ok(sum)) = copy.get_mut(value).map(<&mut [u8; 4]>::try_from) else {
                return false;
            };
            let stated = u32::from_be_bytes(std::mem::take(sum));
            return crc32c(&copy) == stated;
        }
        at = value.end;
    }
    true
}

/// The event shows the fixed part: the rule of version 1, up to the first CR or LF, would show nothing. Of what is no
/// header of version 2 it shows as much as looks like one: whatever follows may be a password.
pub(super) fn excerpt(bytes: &[u8]) -> &[u8] {
    let same = bytes.iter().zip(&SIGNATURE).take_while(|(byte, wanted)| byte == wanted).count();
    let end = if same == SIGNATURE.len() { FIXED } else { same };
    &bytes[..bytes.len().min(end)]
}

fn broken(bytes: &[u8]) -> Parsed {
    Parsed::Failed(Event::BrokenProxyHeader(excerpt(bytes).to_vec()))
}

/// Appends the header.
pub(super) fn write(addresses: Addresses, tls: Option<&TlsFacts>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&SIGNATURE);
    let (command, family) = match addresses {
        Addresses::V4(..) => (PROXY, TCP4),
        Addresses::V6(..) => (PROXY, TCP6),
        Addresses::Unknown => (LOCAL, UNSPECIFIED),
    };
    out.extend_from_slice(&[VERSION << 4 | command, family, 0, 0]);
    match addresses {
        Addresses::V4(source, destination) => {
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
            write_ports(source.port(), destination.port(), out);
        }
        Addresses::V6(source, destination) => {
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
            write_ports(source.port(), destination.port(), out);
        }
        Addresses::Unknown => {}
    }
    if let Some(tls) = tls {
        write_tls(tls, out);
    }
    write_field(CRC32C, &[0; 4], out);
    let length = out.len() - start - FIXED;
    let length = u16::try_from(length).expect("every field is bounded by FIELD_LIMIT");
    out[start + FIXED - 2..start + FIXED].copy_from_slice(&length.to_be_bytes());
    let sum = crc32c(&out[start..]).to_be_bytes();
    let end = out.len();
    out[end - sum.len()..].copy_from_slice(&sum);
}

fn write_ports(source: u16, destination: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(&source.to_be_bytes());
    out.extend_from_slice(&destination.to_be_bytes());
}

fn write_tls(tls: &TlsFacts, out: &mut Vec<u8>) {
    if let Some(name) = &tls.server_name {
        write_field(AUTHORITY, name.as_bytes(), out);
    }
    if let Some(alpn) = &tls.alpn {
        write_field(ALPN, alpn.as_bytes(), out);
    }
    let certificate = tls.client.as_ref().and_then(|client| client.certificate.as_ref());
    let mut flags = CLIENT_SSL;
    if certificate.is_some() {
        let is_resumed = tls.client.as_ref().is_some_and(|client| client.resumed);
        flags |= if is_resumed { CLIENT_CERT_SESS } else { CLIENT_CERT_SESS | CLIENT_CERT_CONN };
    }
    let mut ssl = vec![flags];
    let verify = tls.client.as_ref().map_or(NOT_VERIFIED, ClientFacts::code);
    ssl.extend_from_slice(&verify.to_be_bytes());
    write_field(SSL_VERSION, tls.protocol.as_bytes(), &mut ssl);
    if let Some(name) = certificate.and_then(|certificate| certificate.common_name.as_deref())
        && name.len() <= LONGEST_NAME
    {
        write_field(SSL_CN, name.as_bytes(), &mut ssl);
    }
    write_field(SSL_CIPHER, tls.cipher.as_bytes(), &mut ssl);
    write_field(SSL, &ssl, out);
}

/// Appends a field; one that is too long to be true is left out.
fn write_field(kind: u8, value: &[u8], out: &mut Vec<u8>) {
    if value.len() > FIELD_LIMIT {
        return;
    }
    out.push(kind);
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

/// What every header begins with.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const COMMAND: usize = 12;
const FAMILY: usize = 13;
/// Signature, command, family and length.
const FIXED: usize = 16;
/// The longest header we take, fixed part included.
const LIMIT: usize = 4096;

const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPECIFIED: u8 = 0;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
/// `PP2_CLIENT_SSL`: the client came over TLS.
const CLIENT_SSL: u8 = 1;
/// `PP2_CLIENT_CERT_CONN`: it presented a certificate on this connection.
const CLIENT_CERT_CONN: u8 = 2;
/// `PP2_CLIENT_CERT_SESS`: it presented a certificate on this connection or on the one whose session was resumed.
const CLIENT_CERT_SESS: u8 = 4;
/// The client presented no certificate that was verified.
const NOT_VERIFIED: u32 = 1;
/// Room for every name of a host (253 bytes) and of an ALPN protocol (255 bytes).
const FIELD_LIMIT: usize = 1024;
/// Room for every common name (RFC 5280: 64 characters); the TLS field stays within `FIELD_LIMIT`.
const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::client_certificate::{ClientCertificate, VerifyFailure};

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.replace(' ', "").as_bytes()).unwrap()
    }

    /// A header with this command, family and body.
    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    fn ipv4(fields: &[u8]) -> Vec<u8> {
        header(0x21, TCP4, &[&[192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 4, 0, 143][..], fields].concat())
    }

    fn done(
        source: &str,
        source_port: u16,
        destination: &str,
        destination_port: u16,
        length: usize,
    ) -> Parsed {
        let (source, destination) = (source.into(), destination.into());
        let addresses = ProxyAddresses { source, source_port, destination, destination_port };
        Parsed::Done { addresses: Some(addresses), length }
    }

    /// The bytes recorded in spec/protocols.md section 10.
    const RECORDED: &str = "0d0a0d0a000d0a515549540a 21 11 0013 7f000001 7f000001 d3ce 889e 03 0004 2bf06f19";

    #[test]
    fn the_recorded_header_is_written_and_read() {
        let addresses = Addresses::V4("127.0.0.1:54222".parse().unwrap(), "127.0.0.1:34974".parse().unwrap());
        let mut out = b"before".to_vec();
        write(addresses, None, &mut out);
        assert_eq!(out[6..], hex(RECORDED));
        assert_eq!(parse(&out[6..]), done("127.0.0.1", 54222, "127.0.0.1", 34974, 35));
    }

    #[test]
    fn good_headers() {
        let ipv6 =
            [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 10], &[255, 255, 1, 2, 3, 4], &[0, 1, 0, 2]];
        let unknown = |length| Parsed::Done { addresses: None, length };
        for (bytes, expected) in [
            (ipv4(&[]), done("192.0.2.1", 56324, "198.51.100.2", 143, 28)),
            (ipv4(&[4, 0, 2, 9, 9]), done("192.0.2.1", 56324, "198.51.100.2", 143, 33)),
            (header(0x21, TCP6, &ipv6.concat()), done("2001:db8::1", 1, "::ffff:1.2.3.4", 2, 52)),
            // Malformed fields are nobody's business but the checksum's.
            (ipv4(&[4, 0, 9, 9]), done("192.0.2.1", 56324, "198.51.100.2", 143, 32)),
            (header(0x20, TCP4, &[1, 2, 3]), unknown(19)),
            (header(0x20, UNSPECIFIED, &[]), unknown(16)),
            (header(0x21, UNSPECIFIED, &[]), unknown(16)),
            (header(0x21, 0x12, &[0; 12]), unknown(28)),
            (header(0x21, 0x31, &[0; 216]), unknown(232)),
            (header(0x21, 0xff, &[7]), unknown(17)),
            (header(0x20, UNSPECIFIED, &[0; 4080]), unknown(4096)),
        ] {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete, "{cut} {bytes:x?}");
            }
            assert_eq!(parse(&bytes), expected, "{bytes:x?}");
            assert_eq!(parse(&[&bytes[..], b"EHLO x\r\n"].concat()), expected);
        }
    }

    #[test]
    fn broken_headers() {
        for bytes in [
            header(0x22, TCP4, &[0; 12]),
            header(0x2f, TCP4, &[0; 12]),
            header(0x21, TCP4, &[0; 11]),
            header(0x21, TCP6, &[0; 35]),
            ipv4(&[CRC32C, 0, 4, 1, 2, 3, 4]),
            ipv4(&[CRC32C, 0, 3, 1, 2, 3]),
            ipv4(&[CRC32C, 0, 4, 1, 2, 3]),
        ] {
            let text = bytes[..16].to_vec();
            assert_eq!(parse(&bytes), Parsed::Failed(Event::BrokenProxyHeader(text)), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_no_header_is_not_shown() {
        for (bytes, text) in [
            (&b"\r\n\r\n\0\r\nQUIT\r........"[..], &b"\r\n\r\n\0\r\nQUIT"[..]),
            (b"\ra1 NOOP", b"\r"),
            (b"\r\nPASS secret\r\n", b"\r\n"),
        ] {
            assert_eq!(parse(bytes), Parsed::Failed(Event::BrokenProxyHeader(text.to_vec())), "{bytes:x?}");
        }
    }

    #[test]
    fn versions_and_lengths_are_judged_before_the_rest_arrives() {
        let other = header(0x31, TCP4, &[]);
        assert_eq!(parse(&other[..13]), Parsed::Failed(Event::UnknownProxyVersion(3)));
        let large = header(0x21, TCP4, &[0; 4081]);
        assert_eq!(parse(&large[..16]), Parsed::Failed(Event::ProxyHeaderTooLarge));
    }

    #[test]
    fn every_damaged_byte_behind_the_length_breaks_the_checksum() {
        let good = hex(RECORDED);
        for at in 16..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            // A damaged type or length hides the checksum; this is not an error.
            if !(28..31).contains(&at) {
                assert!(matches!(parse(&bad), Parsed::Failed(Event::BrokenProxyHeader(_))), "{at}");
            }
        }
    }

    #[test]
    fn tls_facts_are_fields() {
        let tls = TlsFacts {
            protocol: "TLSv1.3",
            cipher: "TLS_AES_256_GCM_SHA384",
            server_name: Some("mx.example".into()),
            alpn: Some("imap".into()),
            client: None,
        };
        let mut out = Vec::new();
        write(Addresses::Unknown, Some(&tls), &mut out);
        let fields = [
            &b"\x02\x00\x0amx.example\x01\x00\x04imap"[..],
            b"\x20\x00\x28\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_256_GCM_SHA384",
            b"\x03\x00\x04",
        ]
        .concat();
        let (without_sum, sum) = out.split_at(out.len() - 4);
        assert_eq!(
            without_sum,
            header(0x20, 0, &[&fields[..], &[0; 4]].concat()).split_last_chunk::<4>().unwrap().0
        );
        assert_eq!(sum, crc32c(&[without_sum, &[0; 4]].concat()).to_be_bytes());
    }

    #[test]
    fn client_certificates_are_flags_a_verdict_and_a_name() {
        let certificate = |failure, name: &str| {
            Arc::new(ClientCertificate {
                failure,
                subject: "".into(),
                issuer: "".into(),
                serial: "".into(),
                fingerprint: "".into(),
                common_name: Some(name.into()),
                der: Box::default(),
            })
        };
        let stranger = VerifyFailure { code: 21, reason: "unable", is_unknown_issuer: true };
        for (certificate, resumed, expected) in [
            (None, true, b"\x01\x00\x00\x00\x01\x21\x00\x01v\x23\x00\x01c".to_vec()),
            (
                Some(certificate(None, "joe")),
                false,
                b"\x07\x00\x00\x00\x00\x21\x00\x01v\x22\x00\x03joe\x23\x00\x01c".to_vec(),
            ),
            (
                Some(certificate(Some(stranger), &"x".repeat(257))),
                true,
                b"\x05\x00\x00\x00\x15\x21\x00\x01v\x23\x00\x01c".to_vec(),
            ),
        ] {
            let client = Some(ClientFacts { certificate, resumed });
            let tls = TlsFacts { protocol: "v", cipher: "c", server_name: None, alpn: None, client };
            let mut out = Vec::new();
            write(Addresses::Unknown, Some(&tls), &mut out);
            assert_eq!(out[FIXED..FIXED + 3], [SSL, 0, expected.len() as u8]);
            assert_eq!(out[FIXED + 3..FIXED + 3 + expected.len()], expected);
        }
    }
}

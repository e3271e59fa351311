//! Version 1: one line of text.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Parsed};
use crate::address::ProxyAddresses;
use crate::event::Event;
use crate::words::without_credentials;

/// See [`super::parse`].
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(LIMIT)];
    let known = window.len().min(START.len());
    if window[..known] != START[..known] {
        return broken(window);
    }
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() == LIMIT { broken(window) } else { Parsed::Incomplete };
    };
    let Some(line) = window[..end].strip_suffix(b"\r") else {
        return broken(window);
    };
    match fields(&line[START.len()..]) {
        Some(addresses) => Parsed::Done { addresses, length: end + 1 },
        None => broken(window),
    }
}

/// What stands behind `PROXY `; `None` if it is malformed.
fn fields(bytes: &[u8]) -> Option<Option<ProxyAddresses>> {
    if bytes.split(|&byte| byte == b' ').next() == Some(b"UNKNOWN") {
        // The rest, if any, is to be ignored, whatever its bytes.
        return Some(None);
    }
    let mut fields = std::str::from_utf8(bytes).ok()?.split(' ');
    let family = fields.next()?;
    let (source, destination) = (fields.next()?, fields.next()?);
    let (source_port, destination_port) = (port(fields.next()?)?, port(fields.next()?)?);
    let is_address = match family {
        "TCP4" => |text: &str| text.parse::<Ipv4Addr>().is_ok(),
        "TCP6" => |text: &str| text.parse::<Ipv6Addr>().is_ok(),
        _ => return None,
    };
    if fields.next().is_some() || !is_address(source) || !is_address(destination) {
        return None;
    }
    Some(Some(ProxyAddresses {
        source: source.into(),
        source_port,
        destination: destination.into(),
        destination_port,
    }))
}

fn port(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The event shows the bytes up to the first CR or LF, but no password of a client that came without a header; line
/// ends alone where the first byte is one, since an empty text means that nothing came.
pub(super) fn excerpt(window: &[u8]) -> &[u8] {
    match memchr::memchr2(b'\r', b'\n', window) {
        Some(0) => &window[..window.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()],
        end => without_credentials(&window[..end.unwrap_or(window.len())]),
    }
}

fn broken(window: &[u8]) -> Parsed {
    Parsed::Failed(Event::BrokenProxyHeader(excerpt(window).to_vec()))
}

/// Appends the line.
pub(super) fn write(addresses: Addresses, out: &mut Vec<u8>) {
    let line = match addresses {
        Addresses::V4(source, destination) => tcp("TCP4", source.into(), destination.into()),
        Addresses::V6(source, destination) => tcp("TCP6", source.into(), destination.into()),
        Addresses::Unknown => "PROXY UNKNOWN\r\n".to_owned(),
    };
    out.extend_from_slice(line.as_bytes());
}

fn tcp(family: &str, source: SocketAddr, destination: SocketAddr) -> String {
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    )
}

const START: &[u8] = b"PROXY ";
/// The longest line, CR LF included.
const LIMIT: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn good_lines() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.1 198.51.100.2 56324 143\r\n",
                done("192.0.2.1", 56324, "198.51.100.2", 143, 45),
            ),
            (
                "PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n",
                done("0.0.0.0", 0, "255.255.255.255", 65535, 44),
            ),
            // As received: not in the canonical form.
            ("PROXY TCP6 2001:DB8:0::1 ::1 1 2\r\n", done("2001:DB8:0::1", 1, "::1", 2, 34)),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", done("::ffff:192.0.2.1", 1, "::1", 2, 37)),
            ("PROXY UNKNOWN\r\n", Parsed::Done { addresses: None, length: 15 }),
            ("PROXY UNKNOWN ::1 ::2 1 2\r\n", Parsed::Done { addresses: None, length: 27 }),
            ("PROXY UNKNOWN  what ever\r\n", Parsed::Done { addresses: None, length: 26 }),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
            assert_eq!(parse([line, "a1 NOOP\r\n"].concat().as_bytes()), expected, "{line:?}");
            for cut in 0..line.len() {
                assert_eq!(parse(&line.as_bytes()[..cut]), Parsed::Incomplete, "{line:?} {cut}");
            }
        }
    }

    #[test]
    fn what_follows_unknown_may_be_any_bytes() {
        let line = b"PROXY UNKNOWN \xff\0\r\xc3\r\n";
        assert_eq!(parse(line), Parsed::Done { addresses: None, length: line.len() });
        assert!(matches!(parse(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 \xff\r\n"), Parsed::Failed(_)));
    }

    #[test]
    fn broken_lines() {
        for line in [
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n",
            "PROXY TCP4 1.2.3.256 5.6.7.8 1 2\r\n",
            "PROXY TCP4 ::1 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 ::1 1 2\r\n",
            "PROXY TCP6 ::1%eth0 ::1 1 2\r\n",
            "PROXY TCP6 : ::1 1 2\r\n",
            "PROXY TCP5 ::1 ::1 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY \r\n",
            "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
        ] {
            let text = line.trim_end_matches(['\r', '\n']).as_bytes().to_vec();
            assert_eq!(parse(line.as_bytes()), Parsed::Failed(Event::BrokenProxyHeader(text)), "{line:?}");
        }
    }

    #[test]
    fn other_protocols_are_told_from_their_first_bytes() {
        for (bytes, text) in [
            (&b"GET / HTTP/1.0\r\n\r\n"[..], &b"GET / HTTP/1.0"[..]),
            (b"proxy", b"proxy"),
            (b"PROXY\r\n", b"PROXY"),
            (b"Q", b"Q"),
            (b"\nPROXY", b"\n"),
            (b"\n\r\nPASS secret\r\n", b"\n\r\n"),
            (b"PASS secret\r\n", b"PASS"),
            (b"a1 LOGIN joe sec", b"a1 LOGIN"),
            (b"\x16\x03\x01", b"\x16\x03\x01"),
        ] {
            assert_eq!(parse(bytes), Parsed::Failed(Event::BrokenProxyHeader(text.to_vec())), "{bytes:?}");
        }
    }

    #[test]
    fn a_line_has_107_bytes_at_most() {
        let line =
            |length: usize| format!("PROXY UNKNOWN{}\r\n", " x".repeat(length).split_at(length - 15).0);
        assert_eq!(parse(line(107).as_bytes()), Parsed::Done { addresses: None, length: 107 });
        assert!(matches!(parse(line(108).as_bytes()), Parsed::Failed(_)));
        assert_eq!(parse(&line(108).as_bytes()[..106]), Parsed::Incomplete);
    }

    #[test]
    fn lines_are_written_as_a_backend_expects() {
        let written = |addresses| {
            let mut out = Vec::new();
            write(addresses, &mut out);
            String::from_utf8(out).unwrap()
        };
        let v4 = Addresses::V4("192.0.2.1:56324".parse().unwrap(), "198.51.100.2:143".parse().unwrap());
        assert_eq!(written(v4), "PROXY TCP4 192.0.2.1 198.51.100.2 56324 143\r\n");
        let v6 = Addresses::V6("[2001:db8::1]:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        assert_eq!(written(v6), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
        assert_eq!(written(Addresses::Unknown), "PROXY UNKNOWN\r\n");
    }
}

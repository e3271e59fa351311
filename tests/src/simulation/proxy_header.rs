//! PROXY headers: what the balancer says to the proxy, and what backends must hear of it.

use std::net::{IpAddr, SocketAddr};

use gatepost_protocol::config::ProxyProtocol;

use super::peer::{Conn, Gone};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const FIXED: usize = SIGNATURE.len() + 4;
/// TCP over IPv4: two addresses, two ports.
const ADDRESSES: usize = 12;

/// The field that tells of TLS, and the checksum.
const SSL: u8 = 0x20;
const CRC32C: u8 = 0x03;

/// The header of a connection, in version 1 or 2.
pub(super) fn header(client: SocketAddr, listen: SocketAddr, is_binary: bool) -> Vec<u8> {
    if !is_binary {
        let (source, destination) = (client.ip(), listen.ip());
        return format!("PROXY TCP4 {source} {destination} {} {}\r\n", client.port(), listen.port()).into();
    }
    // With a field that nobody knows.
    let fields = b"\xe0\0\x03abc";
    let length = u16::try_from(ADDRESSES + fields.len()).unwrap_or_default().to_be_bytes();
    [SIGNATURE, b"\x21\x11", &length, &addresses(client, listen), fields].concat()
}

fn addresses(client: SocketAddr, listen: SocketAddr) -> Vec<u8> {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => unreachable!("all are IPv4"),
    };
    let ports = [client.port().to_be_bytes(), listen.port().to_be_bytes()].concat();
    [&octets(client)[..], &octets(listen), &ports].concat()
}

/// Takes the header that a backend must get first, and nothing behind it.
pub(super) async fn expect(
    conn: &Conn,
    version: ProxyProtocol,
    client: SocketAddr,
    listen: SocketAddr,
    is_secured: bool,
) -> Result<(), Gone> {
    match version {
        ProxyProtocol::Off => {}
        ProxyProtocol::V1 => {
            let line = [conn.read_line().await?, b"\r\n".to_vec()].concat();
            if line != header(client, listen, false) {
                conn.world.complain(format!("a backend got the header {:?}", String::from_utf8_lossy(&line)));
            }
        }
        ProxyProtocol::V2 => {
            let head = conn.read_exactly(FIXED).await?;
            let length = usize::from(u16::from_be_bytes([head[FIXED - 2], head[FIXED - 1]]));
            let body = conn.read_exactly(length).await?;
            let is_right = head.starts_with(SIGNATURE)
                && head[SIGNATURE.len()..].starts_with(b"\x21\x11")
                && body.starts_with(&addresses(client, listen))
                && kinds(&body[ADDRESSES..])
                    .is_some_and(|kinds| kinds.contains(&SSL) == is_secured && kinds.last() == Some(&CRC32C));
            if !is_right {
                conn.world.complain(format!("a backend got the header {head:02x?} {body:02x?}"));
            }
        }
    }
    Ok(())
}

/// The kinds of the fields, if these are fields.
fn kinds(mut fields: &[u8]) -> Option<Vec<u8>> {
    let mut kinds = Vec::new();
    while let Some((head, rest)) = fields.split_at_checked(3) {
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        fields = rest.get(length..)?;
        kinds.push(head[0]);
    }
    fields.is_empty().then_some(kinds)
}

//! The auth service: an HTTP server of one purpose, as small as they can be.

use std::io;
use std::net::SocketAddr;

use super::mailbox::User;
use super::peer::Peer;

/// Where each protocol's backend listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backends {
    pub(super) imap: SocketAddr,
    pub(super) pop3: SocketAddr,
    pub(super) smtp: SocketAddr,
}

/// Answers requests until the client does not want to keep the connection.
pub(super) fn session(peer: &mut Peer, backends: &Backends) -> io::Result<()> {
    loop {
        let request = Request::read(peer)?;
        let keep_alive = request.keep_alive;
        peer.reply(if keep_alive { "HTTP/1.1 200 OK" } else { "HTTP/1.0 200 OK" });
        for line in answer(&request, backends) {
            peer.reply(line);
        }
        peer.reply("Content-Length: 0");
        peer.reply("");
        if !keep_alive {
            return Ok(());
        }
    }
}

/// The headers of a request that matter here, decoded.
#[derive(Debug, Default)]
struct Request {
    method: Vec<u8>,
    login: Vec<u8>,
    password: Vec<u8>,
    protocol: Vec<u8>,
    keep_alive: bool,
}

impl Request {
    fn read(peer: &mut Peer) -> io::Result<Self> {
        let mut request = Self { keep_alive: peer.line()?.ends_with(b"HTTP/1.1"), ..Self::default() };
        for _ in 0..MOST_HEADERS {
            let line = peer.line()?;
            if line.is_empty() {
                return Ok(request);
            }
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let value = line[colon + 1..].trim_ascii();
            match line[..colon].to_ascii_lowercase().as_slice() {
                b"auth-method" => request.method = value.to_vec(),
                b"auth-user" => request.login = unescape(value),
                b"auth-pass" => request.password = unescape(value),
                b"auth-protocol" => request.protocol = value.to_vec(),
                b"connection" => request.keep_alive &= !value.eq_ignore_ascii_case(b"close"),
                _ => {}
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// The header lines of the answer.
fn answer(request: &Request, backends: &Backends) -> Vec<String> {
    let backend = match request.protocol.as_slice() {
        b"imap" => backends.imap,
        b"pop3" => backends.pop3,
        b"smtp" => backends.smtp,
        _ => return vec!["Auth-Status: Unknown protocol".into()],
    };
    let user = match request.method.as_slice() {
        b"plain" => User::authenticate(&request.login, &request.password),
        _ => return vec!["Auth-Status: Authentication mechanism not available".into()],
    };
    match user {
        Some(user) => vec![
            "Auth-Status: OK".into(),
            format!("Auth-Server: {}", backend.ip()),
            format!("Auth-Port: {}", backend.port()),
            // `alice@demo.example` may log in as well; her mailbox is `alice`.
            format!("Auth-User: {}", user.name()),
        ],
        None => {
            vec!["Auth-Status: Invalid login or password".into(), format!("Auth-Wait: {PENALTY_SECONDS}")]
        }
    }
}

/// Undoes `%HH`; anything else stays.
fn unescape(mut value: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(value.len());
    while let [first, rest @ ..] = value {
        let hex = |digit: u8| (digit as char).to_digit(16).map(|digit| digit as u8);
        match (first, rest) {
            (b'%', [high, low, rest @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                decoded.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                value = rest;
            }
            _ => {
                decoded.push(*first);
                value = rest;
            }
        }
    }
    decoded
}

/// How long a client that guesses must wait before its next try.
const PENALTY_SECONDS: u32 = 2;
/// Header lines a request may have.
const MOST_HEADERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (value, expected) in [
            (&b"a%20b%25"[..], &b"a b%"[..]),
            (b"%", b"%"),
            (b"%4", b"%4"),
            (b"%zz", b"%zz"),
            (b"+%2B\xff", b"++\xff"),
        ] {
            assert_eq!(unescape(value), expected);
        }
    }

    #[test]
    fn answers() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let backends = Backends { imap: address(1), pop3: address(2), smtp: address(3) };
        let request = |method: &str, login: &str, password: &str, protocol: &str| Request {
            method: method.into(),
            login: login.into(),
            password: password.into(),
            protocol: protocol.into(),
            keep_alive: false,
        };
        let ok = |port: u16| {
            vec![
                "Auth-Status: OK".to_owned(),
                "Auth-Server: 127.0.0.1".to_owned(),
                format!("Auth-Port: {port}"),
                "Auth-User: alice".to_owned(),
            ]
        };
        for (protocol, port) in [("imap", 1), ("pop3", 2), ("smtp", 3)] {
            let request = request("plain", "alice@demo.example", "wonderland", protocol);
            assert_eq!(answer(&request, &backends), ok(port));
        }
        let refused = answer(&request("plain", "alice", "builder", "imap"), &backends);
        assert_eq!(refused, ["Auth-Status: Invalid login or password", "Auth-Wait: 2"]);
        let refused = answer(&request("apop", "alice", "wonderland", "pop3"), &backends);
        assert_eq!(refused, ["Auth-Status: Authentication mechanism not available"]);
    }
}

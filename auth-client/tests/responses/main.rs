//! Tables of responses and what they mean: `spec/auth-http-and-ops.md` sections 3 to 7 with the decided A points.
//! Every row also runs split at each byte and byte by byte.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod connections;
mod grammar;
mod outcomes;

use std::net::SocketAddr;
use std::sync::Arc;

use gatepost_auth_client::{Exchange, Settings};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, AuthRequest, BackendAddr, Credentials};
use gatepost_protocol::config::Protocol;
use gatepost_protocol::secret::Secret;
use proptest::prelude::*;

type Outcome = Result<AuthReply, AuthFailure>;

fn plain() -> Credentials {
    Credentials::Plain { login: b"alice".to_vec(), password: Secret::from(&b"p"[..]) }
}

fn cram_md5() -> Credentials {
    Credentials::CramMd5 {
        login: b"alice".to_vec(),
        digest: Secret::from(&b"00112233445566778899aabbccddeeff"[..]),
        challenge: "<1.2@mail>".into(),
    }
}

fn request(protocol: Protocol, credentials: Credentials) -> AuthRequest {
    AuthRequest {
        credentials: Arc::new(credentials),
        protocol,
        attempt: 1,
        client: ClientAddr::Inet("192.0.2.7:4711".parse().unwrap()),
        client_host: None,
        proxy: None,
        tls: None,
    }
}

fn exchange(protocol: Protocol, credentials: Credentials, keepalive: bool) -> Exchange {
    let request = request(protocol, credentials);
    Exchange::new(&request, &Settings::new("localhost", "/").unwrap().with_keepalive(keepalive))
}

fn imap() -> Exchange {
    exchange(Protocol::Imap, plain(), false)
}

/// Hands in the pieces, then end of file if there is no result yet.
fn feed<'a>(mut exchange: Exchange, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Outcome, Exchange) {
    let mut outcome = None;
    for piece in pieces {
        let result = exchange.handle_input(piece);
        assert!(outcome.is_none() || result.is_none(), "there is one result");
        outcome = outcome.or(result);
    }
    let outcome = outcome.unwrap_or_else(|| Err(exchange.handle_eof()));
    (outcome, exchange)
}

/// The outcome of `response`, the same for every way it may arrive in.
#[track_caller]
fn outcome_of(make: impl Fn() -> Exchange, response: &[u8]) -> Outcome {
    let (whole, exchange) = feed(make(), [response]);
    let mut splits: Vec<Vec<&[u8]>> = vec![response.chunks(1).collect()];
    if response.len() < 2000 {
        splits.extend((0..=response.len()).map(|at| vec![&response[..at], &response[at..]]));
    }
    for pieces in splits {
        let (outcome, split) = feed(make(), pieces.iter().copied());
        assert_eq!(outcome, whole, "{pieces:?}");
        assert_eq!(split.is_reusable(), exchange.is_reusable(), "{pieces:?}");
    }
    whole
}

#[track_caller]
fn outcome(response: &str) -> Outcome {
    outcome_of(imap, response.as_bytes())
}

fn backend(address: &str, name: &str) -> BackendAddr {
    BackendAddr { target: address.parse::<SocketAddr>().unwrap().into(), name: name.into() }
}

fn accepted() -> Outcome {
    let backend = backend("127.0.0.1:143", "127.0.0.1:143");
    Ok(AuthReply::Accepted(Accepted { backend, ssl: None, login: None, password: None }))
}

const OK: &str = "Auth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 143\r\n";

/// Pieces of responses, right and wrong, for [`any_response_however_split`].
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    const LINES: [&str; 17] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 500 x\n",
        "Auth-Status: OK\r\n",
        "Auth-Status: WAIT\r\n",
        "Auth-Status: no\n",
        "Auth-Server: ::1\r\n",
        "Auth-Port: 1\r\n",
        "Auth-Wait: 9\r\n",
        "Auth-Pass: a\0b\r\n",
        "Auth-Error-Code: 454 4.7.0\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n",
        "\n",
        "5\r\nhello\r\n",
        "0\r\n",
        " fold\r\n",
    ];
    prop_oneof![
        4 => proptest::sample::select(&LINES[..]).prop_map(|line| line.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn any_response_however_split(
        fragments in proptest::collection::vec(fragment(), 0..16),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        keepalive: bool,
    ) {
        let response = fragments.concat();
        let make = || exchange(Protocol::Pop3, cram_md5(), keepalive);
        let (whole, first) = feed(make(), [&response[..]]);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(response.len() + 1)).collect();
        cuts.extend([0, response.len()]);
        cuts.sort_unstable();
        let (split, second) = feed(make(), cuts.windows(2).map(|pair| &response[pair[0]..pair[1]]));
        prop_assert_eq!(first.is_reusable(), second.is_reusable());
        prop_assert_eq!(&whole, &split);
        if let Ok(AuthReply::Refused(refusal)) = whole {
            prop_assert!(!refusal.text.is_empty() && !refusal.text.iter().any(u8::is_ascii_control));
        }
    }
}

//! What becomes of the connection behind a response (A10).

use gatepost_protocol::config::Protocol;

use crate::{OK, accepted, exchange, feed, imap, outcome_of, plain};

#[test]
fn reusable_connections() {
    for (response, keepalive, reusable) in [
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", true, true),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, false),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", true, true),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\no", true, false),
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nokay", true, false),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n", true, true),
        ("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\n", true, false),
        ("HTTP/1.1 204 No Content\n\n", true, true),
        ("HTTP/1.1 204 No Content\n\nx", true, false),
        ("HTTP/1.1 403 Forbidden\nAuth-Status: no\nContent-Length: 0\n\n", true, true),
        ("HTTP/1.1 200 OK\n\n", true, false),
        ("HTTP/1.1 200 OK\nContent-Length: 0\nContent-Length: 1\n\n", true, false),
        ("HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n", true, false),
        ("HTTP/1.1 200 OK\nContent-Length: 0\nConnection: x, Close\n\n", true, false),
        ("HTTP/1.0 200 OK\nContent-Length: 0\n\n", true, false),
        ("HTTP/1.0 200 OK\nContent-Length: 0\nConnection: Keep-Alive\n\n", true, true),
        ("HTTP/1.0 200 OK\nContent-Length: 0\nConnection: keep-alive, close\n\n", true, false),
        ("Content-Length: 0\nConnection: keep-alive\n\n", true, false),
        ("HTTP/1.1 200 OK\nbad header\nContent-Length: 0\n\n", true, false),
        ("HTTP/1.1 200 OK\nContent-Length: 0\n", true, false),
    ] {
        let response = response.replace('\n', "\r\n");
        let make = || exchange(Protocol::Imap, plain(), keepalive);
        let _ = outcome_of(make, response.as_bytes());
        let (_, exchange) = feed(make(), [response.as_bytes()]);
        assert_eq!(exchange.is_reusable(), reusable, "{response:?}");
    }
}

#[test]
fn a_body_may_come_after_the_result() {
    let mut exchange = exchange(Protocol::Imap, plain(), true);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n{OK}\r\n");
    assert_eq!(exchange.handle_input(head.as_bytes()), Some(accepted()));
    assert!(!exchange.is_reusable() && exchange.may_become_reusable());
    assert_eq!(exchange.handle_input(b"body"), None);
    assert!(exchange.is_reusable());
    assert_eq!(exchange.handle_input(b"HTTP/1.1 200 OK\r\n"), None);
    assert!(!exchange.is_reusable(), "nobody asked for a second response");
    assert!(!exchange.may_become_reusable());
}

#[test]
fn a_body_that_ends_with_its_connection_is_not_worth_reading() {
    for head in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n", ""] {
        let mut exchange = exchange(Protocol::Imap, plain(), true);
        assert!(!exchange.may_become_reusable());
        assert_eq!(exchange.handle_input(format!("{head}{OK}\r\n").as_bytes()), Some(accepted()));
        assert!(!exchange.may_become_reusable(), "{head:?}");
    }
}

#[test]
fn a_server_that_sent_a_byte_has_answered() {
    let mut exchange = imap();
    assert!(!exchange.is_answered());
    assert_eq!(exchange.handle_input(b""), None);
    assert!(!exchange.is_answered());
    assert_eq!(exchange.handle_input(b"H"), None);
    assert!(exchange.is_answered());
}

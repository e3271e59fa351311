//! The form of a response head (section 3, A03, A04, A07).

use gatepost_auth_client::HEAD_LIMIT;
use gatepost_protocol::auth::AuthFailure;

use crate::{OK, accepted, imap, outcome};

#[test]
fn forms_of_the_head() {
    for head in [
        &format!("HTTP/1.0 200 OK\r\n{OK}\r\n")[..],
        &format!("HTTP/1.1 200 OK\r\n{OK}\r\nsome body"),
        &format!("HTTP/1.1 200 \r\n{OK}\r\n"),
        &format!("HTTP/1.1 200\r\n{OK}\r\n"),
        &format!("HTTP/1.1 204 No Content\r\n{OK}\r\n"),
        &format!("HTTP/1.0 200 Schön\r\n{OK}\r\n"),
        // No status line, as old services answer.
        &format!("{OK}\r\n"),
        &format!("HTTP: 500\r\n{OK}\r\n"),
        // Bare LF.
        &format!("HTTP/1.0 200 OK\n{OK}\n").replace("\r\n", "\n"),
        // Any case of the names, any order, blanks around values.
        "AUTH-PORT: 143\r\nauth-server:127.0.0.1\r\naUTH-sTATUS: \t OK \t \r\n\r\n",
        // Unknown names, also such that nginx refuses; a name without colon; empty values.
        &format!("HTTP/1.0 200 OK\r\nX_y!: 1\r\nServer\r\nX-Empty:\r\nX-Blank: \r\n{OK}\r\n"),
        // Control bytes in a value nobody reads.
        &format!("HTTP/1.0 200 OK\r\nX-Odd: a\x01\x7fb\tc\r\n{OK}\r\n"),
        // The last of repeated lines.
        &format!("Auth-Server: nonsense\r\nAuth-Port: 0\r\n{OK}\r\n"),
    ] {
        assert_eq!(outcome(head), accepted(), "{head:?}");
    }
}

#[test]
fn malformed_heads() {
    use AuthFailure::{Closed, InvalidHeader, InvalidResponse};
    for (head, failure) in [
        ("", Closed),
        ("HTTP/1.0 200 OK\r\n", Closed),
        (OK, Closed),
        (&OK[..OK.len() - 1], Closed),
        ("HTTP/1.0 200 OK\rX\r\n\r\n", InvalidResponse),
        ("HTTP/1.0 OK\r\n\r\n", InvalidResponse),
        ("HTTP/2 200\r\n\r\n", InvalidResponse),
        ("HTTP/1.0 20\r\n\r\n", InvalidResponse),
        ("HTTP/\r\n\r\n", InvalidResponse),
        ("HTTP/1.0 200 OK\r\nHTTP/1.0 200 OK\r\n\r\n", InvalidHeader),
        ("HTTP", Closed),
        ("http/1.0 200 OK\r\n", InvalidHeader),
        ("* OK IMAP ready\r\n", InvalidHeader),
        ("Auth-Status : OK\r\n\r\n", InvalidHeader),
        ("Auth Status: OK\r\n\r\n", InvalidHeader),
        (": OK\r\n\r\n", InvalidHeader),
        ("Auth-\u{dc}: OK\r\n\r\n", InvalidHeader),
        // Folded lines, behind a header and in front of all.
        ("Auth-Status: no\r\n such user\r\n\r\n", InvalidHeader),
        ("Auth-Status: no\r\n\tsuch: user\r\n\r\n", InvalidHeader),
        (" Auth-Status: no\r\n\r\n", InvalidHeader),
        ("HTTP/1.0 200 OK\r\n Auth-Status: no\r\n\r\n", InvalidHeader),
        // A CR that no LF follows, and one that only the second LF follows.
        ("Auth-Status: a\rb\r\n\r\n", InvalidHeader),
        ("Auth-Status: a\r\r\n\r\n", InvalidHeader),
        ("Auth\r-Status: a\r\n\r\n", InvalidHeader),
        ("Auth-Status: OK\r\n\r\r\n", InvalidHeader),
        // Control bytes in addresses, numbers and framing.
        ("Auth-Server: 127.0.0.1\0\r\n\r\n", InvalidHeader),
        ("Auth-Port: 14\x013\r\n\r\n", InvalidHeader),
        ("Auth-Wait: 1\x7f\r\n\r\n", InvalidHeader),
        ("Content-Length: 1\x011\r\n\r\n", InvalidHeader),
    ] {
        assert_eq!(outcome(head), Err(failure), "{head:?}");
    }
}

#[test]
fn the_result_comes_with_the_blank_line() {
    let mut exchange = imap();
    assert_eq!(exchange.handle_input(OK.as_bytes()), None);
    assert_eq!(exchange.handle_input(b"\r"), None);
    assert_eq!(exchange.handle_input(b"\n"), Some(accepted()));
    assert_eq!(exchange.handle_input(b"Auth-Status: no\r\n\r\n"), None);
}

#[test]
fn faults_are_told_with_the_line_that_has_them() {
    let mut exchange = imap();
    assert_eq!(exchange.handle_input(b"a b\n"), Some(Err(AuthFailure::InvalidHeader)));
    assert_eq!(exchange.handle_input(format!("{OK}\r\n").as_bytes()), None);
}

#[test]
fn size_limit() {
    let filler = |length: usize| {
        let rest = format!("HTTP/1.0 200 OK\r\n{OK}X: \r\n\r\n").len();
        format!("HTTP/1.0 200 OK\r\n{OK}X: {}\r\n\r\n", "x".repeat(length - rest))
    };
    assert_eq!(outcome(&filler(HEAD_LIMIT)), accepted());
    assert_eq!(outcome(&filler(HEAD_LIMIT + 1)), Err(AuthFailure::TooBig));
    assert_eq!(outcome(&"x".repeat(HEAD_LIMIT)), Err(AuthFailure::Closed));
    assert_eq!(outcome(&"x".repeat(HEAD_LIMIT + 1)), Err(AuthFailure::TooBig));
    assert_eq!(outcome(&"x:\n".repeat(HEAD_LIMIT)), Err(AuthFailure::TooBig));
    // A body does not count.
    assert_eq!(outcome(&format!("{OK}\r\n{}", "x".repeat(HEAD_LIMIT))), accepted());
}

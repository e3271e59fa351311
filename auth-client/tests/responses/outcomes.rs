//! What the header lines mean (sections 4 to 6, A05, A06, A08, A11, A12).

use std::time::Duration;

use gatepost_auth_client::{Exchange, Settings};
use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, Credentials, Refusal, Target};
use gatepost_protocol::config::{Protocol, ProxySsl};
use gatepost_protocol::secret::Secret;

use crate::{OK, Outcome, accepted, backend, cram_md5, exchange, outcome, outcome_of, plain, request};

/// The outcome of header lines behind `HTTP/1.0 200 OK`, each with LF in the table for CR LF on the wire.
#[track_caller]
fn headers(lines: &str) -> Outcome {
    outcome(&format!("HTTP/1.0 200 OK\n{lines}\n\n").replace('\n', "\r\n"))
}

fn refused(text: &str) -> Refusal {
    Refusal { text: text.as_bytes().to_vec(), code: None, wait: None, login: None }
}

fn waits(seconds: u64) -> Outcome {
    Ok(AuthReply::Wait(Duration::from_secs(seconds)))
}

#[test]
fn failure_texts() {
    for (lines, text) in [
        ("Auth-Status: Invalid login or password", "Invalid login or password"),
        ("Auth-Status: ok", "ok"),
        ("Auth-Status: wait", "wait"),
        ("Auth-Status: OK.", "OK."),
        // It counts beside OK and WAIT, before and behind; of several the last.
        ("Auth-Status: OK\nAuth-Status: no", "no"),
        ("Auth-Status: no\nAuth-Status: OK", "no"),
        ("Auth-Status: WAIT\nAuth-Status: no\nAuth-Wait:", "no"),
        ("Auth-Status: no\nAuth-Status: never", "never"),
        ("Auth-Status: no\nAuth-Status:", "no"),
        // Nothing else need be right.
        ("Auth-Status: no\nAuth-Server: x\nAuth-Port: y\nAuth-Pass: a\0b", "no"),
        ("Auth-Status: n\x1b[0m\x07o\x7f\0", "n[0mo"),
        ("Auth-Status: a\tb", "ab"),
        ("Auth-Status: na\u{ef}ve", "na\u{ef}ve"),
    ] {
        assert_eq!(headers(lines), Ok(AuthReply::Refused(refused(text))), "{lines:?}");
    }
}

#[test]
fn what_comes_with_a_failure_text() {
    let text = "Auth-Status: no\n";
    let seconds = |n| Some(Duration::from_secs(n));
    for (line, wait) in [
        ("Auth-Wait: 3", seconds(3)),
        ("Auth-Wait: 0", seconds(0)),
        ("Auth-Wait: 007", seconds(7)),
        ("Auth-Wait: 600", seconds(600)),
        ("Auth-Wait: 601", seconds(600)),
        ("Auth-Wait: 9999999999999999999", seconds(600)),
        ("Auth-Wait:", None),
        ("Auth-Wait: -1", None),
        ("Auth-Wait: +1", None),
        ("Auth-Wait: 1.5", None),
        ("Auth-Wait: 1 s", None),
        ("Auth-Wait: 99999999999999999999", None),
        ("Auth-Wait: 1\nAuth-Wait: 2", seconds(2)),
        ("Auth-Wait: 1\nAuth-Wait: x", seconds(1)),
    ] {
        let expected = Refusal { wait, ..refused("no") };
        assert_eq!(headers(&format!("{text}{line}")), Ok(AuthReply::Refused(expected)), "{line:?}");
    }
    for (code, taken) in [
        ("535", true),
        ("454 4.7.0", true),
        ("550 5.7.123", true),
        ("", false),
        ("53", false),
        ("5355", false),
        ("235", false),
        ("235 2.7.0", false),
        ("535 2.7.0", false),
        ("535 5.7", false),
        ("535 5.7.1.1", false),
        ("535 5.7.1234", false),
        ("535 5..1", false),
        ("535  5.7.1", false),
        ("535 5.7.1 x", false),
        ("535-5.7.1", false),
        ("5x5", false),
        ("\u{665}35", false),
    ] {
        let expected = Refusal { code: taken.then(|| code.into()), ..refused("no") };
        let lines = format!("{text}Auth-Error-Code: {code}");
        assert_eq!(headers(&lines), Ok(AuthReply::Refused(expected)), "{code:?}");
    }
    let expected = Refusal { login: Some(b"bob".to_vec()), ..refused("no") };
    assert_eq!(headers("Auth-Status: no\nAuth-User: bob"), Ok(AuthReply::Refused(expected)));
    assert_eq!(headers("Auth-Status: no\nAuth-User: b\0b"), Ok(AuthReply::Refused(refused("no"))));
}

#[test]
fn the_status_code() {
    let with_code = |code: &str, lines: &str| outcome(&format!("HTTP/1.1 {code}\r\n{lines}\r\n"));
    for code in ["200 OK", "201 Created", "204 No Content", "299 x"] {
        assert_eq!(with_code(code, OK), accepted(), "{code}");
    }
    for code in [100, 199, 300, 302, 401, 403, 404, 500, 502, 599, 999] {
        let line = format!("{code} x");
        assert_eq!(with_code(&line, OK), Err(AuthFailure::HttpStatus(code)));
        assert_eq!(with_code(&line, ""), Err(AuthFailure::HttpStatus(code)));
        assert_eq!(with_code(&line, "Auth-Status:\r\n"), Err(AuthFailure::HttpStatus(code)));
        assert_eq!(with_code(&line, "Auth-Status: WAIT\r\n"), Err(AuthFailure::HttpStatus(code)));
        assert_eq!(with_code(&line, "Auth-Status: no\r\n"), Ok(AuthReply::Refused(refused("no"))));
    }
}

#[test]
fn no_status() {
    for lines in [
        "",
        "\r\n",
        "Auth-Server: 127.0.0.1\r\nAuth-Port: 143\r\n",
        "Auth-Status:\r\n",
        "Auth-Status: \x01\r\n",
        "Auth-Status: \r\nAuth-Status: OK\r\n",
        "Auth-Status: WAIT\r\nAuth-Status:\r\n",
        "Auth-Status\r\n",
    ] {
        assert_eq!(outcome(&format!("{lines}\r\n")), Err(AuthFailure::NoStatus), "{lines:?}");
    }
}

#[test]
fn wait() {
    for (lines, seconds) in [
        ("Auth-Status: WAIT", 0),
        ("Auth-Status: WAIT\nAuth-Wait: 0", 0),
        ("Auth-Status: WAIT\nAuth-Wait: 5", 5),
        ("Auth-Wait: 5\nAuth-Status: WAIT", 5),
        ("Auth-Status: WAIT\nAuth-Wait: x", 0),
        ("Auth-Status: WAIT\nAuth-Wait: 86400", 600),
        ("Auth-Status: OK\nAuth-Status: WAIT", 0),
        ("Auth-Status: WAIT\nAuth-Status: OK", 0),
    ] {
        assert_eq!(headers(lines), waits(seconds), "{lines:?}");
    }
}

#[test]
fn backends() {
    for (server, port, address, name) in [
        ("127.0.0.1", "143", "127.0.0.1:143", "127.0.0.1:143"),
        ("127.0.0.1", "1", "127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1", "65535", "127.0.0.1:65535", "127.0.0.1:65535"),
        ("127.0.0.1", "0143", "127.0.0.1:143", "127.0.0.1:0143"),
        ("::1", "143", "[::1]:143", "::1:143"),
        ("[::1]", "143", "[::1]:143", "[::1]:143"),
        ("::ffff:1.2.3.4", "143", "[::ffff:1.2.3.4]:143", "::ffff:1.2.3.4:143"),
    ] {
        let lines = format!("Auth-Status: OK\nAuth-Server: {server}\nAuth-Port: {port}");
        let expected = Accepted { backend: backend(address, name), ssl: None, login: None, password: None };
        assert_eq!(headers(&lines), Ok(AuthReply::Accepted(expected)), "{lines:?}");
    }
}

#[test]
fn no_backend() {
    let outcome = |server: &str, port: &str| headers(&format!("Auth-Status: OK\n{server}\n{port}"));
    for (server, port) in [("X: 1", "Auth-Port: 1"), ("Auth-Server: ::1", "X: 1"), ("X: 1", "X: 1")] {
        assert_eq!(outcome(server, port), Err(AuthFailure::NoServerOrPort));
    }
    assert_eq!(outcome("Auth-Server:", "Auth-Port: 1"), Err(AuthFailure::NoServerOrPort));
    assert_eq!(outcome("Auth-Server: ::1", "Auth-Port:"), Err(AuthFailure::NoServerOrPort));
    for server in [
        "localhost",
        "1.2.3",
        "1.2.3.4:143",
        "fe80::1%eth0",
        "[127.0.0.1]",
        "[::1",
        "unix:/s",
        "::1 x",
        "\u{e9}",
    ] {
        let failure = AuthFailure::InvalidServer(server.as_bytes().to_vec());
        assert_eq!(outcome(&format!("Auth-Server: {server}"), "Auth-Port: x"), Err(failure));
    }
    for port in ["0", "65536", "-1", "+1", "1x", "imap", "1 1", "99999999999999999999999"] {
        let failure = AuthFailure::InvalidPort(port.as_bytes().to_vec());
        assert_eq!(outcome("Auth-Server: ::1", &format!("Auth-Port: {port}")), Err(failure));
    }
}

#[test]
fn host_names_where_they_can_be_looked_up() {
    let named = |server: &str| {
        let settings = Settings::new("h", "/").unwrap().with_host_names(true);
        let request = request(Protocol::Pop3, plain());
        let response = format!("Auth-Status: OK\r\nAuth-Server: {server}\r\nAuth-Port: 0110\r\n\r\n");
        match outcome_of(|| Exchange::new(&request, &settings), response.as_bytes()) {
            Ok(AuthReply::Accepted(accepted)) => Ok((accepted.backend.target, accepted.backend.name)),
            outcome => Err(outcome),
        }
    };
    for host in
        ["mx", "mx.example", "Mx-1.Example", "a_b.example", "1and1.example", "10.example", &"x".repeat(63)]
    {
        let target = Target::Name { host: host.into(), port: 110 };
        assert_eq!(named(host), Ok((target, format!("{host}:0110").into())), "{host:?}");
    }
    for address in ["192.0.2.1", "::1", "[::1]"] {
        assert!(matches!(named(address), Ok((Target::Address(_), _))), "{address:?}");
    }
    let too_long = format!("{}x", "long.".repeat(51));
    for wrong in [
        "mx.",
        ".mx",
        "a..b",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "127.1",
        "mx:110",
        "mx/x",
        "unix:/run/s",
        "[mx]",
        "fe80::1%eth0",
        "m\u{fc}x.example",
        "mx example",
        &"x".repeat(64),
        &too_long,
    ] {
        let failure = AuthFailure::InvalidServer(wrong.as_bytes().to_vec());
        assert_eq!(named(wrong), Err(Err(failure)), "{wrong:?}");
    }
}

#[test]
fn tls_to_the_backend() {
    let with = |lines: &str| outcome(&format!("{OK}{lines}\r\n"));
    let accepted = |ssl: Option<ProxySsl>| {
        let backend = backend("127.0.0.1:143", "127.0.0.1:143");
        Ok(AuthReply::Accepted(Accepted { backend, ssl, login: None, password: None }))
    };
    for (line, ssl) in [
        ("", None),
        ("Auth-Server-SSL: on\r\n", Some(ProxySsl::On)),
        ("auth-server-ssl: Off\r\n", Some(ProxySsl::Off)),
        ("Auth-Server-SSL: STARTTLS\r\n", Some(ProxySsl::StartTls)),
        ("Auth-Server-SSL: off\r\nAuth-Server-SSL: on\r\n", Some(ProxySsl::On)),
    ] {
        assert_eq!(with(line), accepted(ssl), "{line:?}");
    }
    for value in ["", "yes", "onn", "start tls", "1"] {
        let failure = AuthFailure::InvalidServerSsl(value.into());
        assert_eq!(with(&format!("Auth-Server-SSL: {value}\r\n")), Err(failure));
    }
}

#[test]
fn logins_and_passwords() {
    let with = |lines: &str| outcome(&format!("{OK}{lines}\r\n"));
    let accepted = |login: Option<&[u8]>, password: Option<&[u8]>| {
        Ok(AuthReply::Accepted(Accepted {
            backend: backend("127.0.0.1:143", "127.0.0.1:143"),
            ssl: None,
            login: login.map(<[u8]>::to_vec),
            password: password.map(Secret::from),
        }))
    };
    assert_eq!(with("Auth-User: bob\r\nAuth-Pass: secret\r\n"), accepted(Some(b"bob"), Some(b"secret")));
    assert_eq!(with("Auth-User:\r\nAuth-Pass:\r\n"), accepted(Some(b""), Some(b"")));
    assert_eq!(with("Auth-Pass: a%20b c%\r\n"), accepted(None, Some(b"a%20b c%")));
    assert_eq!(with("Auth-Pass: a\tb:c \u{e9} \r\n"), accepted(None, Some("a\tb:c \u{e9}".as_bytes())));
    assert_eq!(with("Auth-User: a\r\nAuth-User: b\r\n"), accepted(Some(b"b"), None));
    assert_eq!(with("Auth-User: a\0\r\nAuth-User: b\r\n"), accepted(Some(b"b"), None));
    for lines in ["Auth-User: a\0b\r\n", "Auth-Pass: a\x01b\r\n", "Auth-Pass: \x7f\r\n"] {
        assert_eq!(with(lines), Err(AuthFailure::InvalidCredentials), "{lines:?}");
    }
}

#[test]
fn who_needs_a_password() {
    let external = || Credentials::External { login: b"alice".to_vec() };
    let apop = || Credentials::Apop {
        login: b"alice".to_vec(),
        digest: Secret::from(&b"d"[..]),
        challenge: "<1.2@mail>".into(),
    };
    let without = |protocol, credentials: &dyn Fn() -> Credentials| {
        outcome_of(|| exchange(protocol, credentials(), false), format!("{OK}\r\n").as_bytes())
    };
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        assert_eq!(without(protocol, &plain), accepted());
        assert_eq!(without(protocol, &cram_md5), Err(AuthFailure::NoPassword));
        assert_eq!(without(protocol, &apop), Err(AuthFailure::NoPassword));
        assert_eq!(without(protocol, &external), Err(AuthFailure::NoPassword));
        for (line, password) in [("Auth-Pass: x", &b"x"[..]), ("Auth-Pass:", b"")] {
            let response = format!("{OK}{line}\r\n\r\n");
            let outcome = outcome_of(|| exchange(protocol, cram_md5(), false), response.as_bytes());
            let Ok(AuthReply::Accepted(accepted)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(accepted.password, Some(Secret::from(password)));
        }
    }
    assert_eq!(without(Protocol::Smtp, &cram_md5), accepted());
    assert_eq!(without(Protocol::Smtp, &external), accepted());
    assert_eq!(without(Protocol::Smtp, &|| Credentials::Envelope(Default::default())), accepted());
}

#[test]
fn the_order_of_the_rules() {
    // Each row breaks one rule more than the next; the first broken one is told.
    let exchange = || exchange(Protocol::Imap, cram_md5(), false);
    let rows = [
        ("HTTP/1.0 500 x", "Auth-Status: no", Ok(AuthReply::Refused(refused("no")))),
        ("HTTP/1.0 500 x", "Auth-Status: WAIT", Err(AuthFailure::HttpStatus(500))),
        ("HTTP/1.0 200 x", "Auth-Status:", Err(AuthFailure::NoStatus)),
        ("HTTP/1.0 200 x", "Auth-Status: WAIT", waits(0)),
        ("HTTP/1.0 200 x", "Auth-Status: OK", Err(AuthFailure::NoServerOrPort)),
        ("HTTP/1.0 200 x", "Auth-Status: OK\nAuth-Server: x\nAuth-Port: y", Err(AuthFailure::NoPassword)),
        (
            "HTTP/1.0 200 x",
            "Auth-Status: OK\nAuth-Server: x\nAuth-Port: y\nAuth-Pass: \0",
            Err(AuthFailure::InvalidServer(b"x".to_vec())),
        ),
        (
            "HTTP/1.0 200 x",
            "Auth-Status: OK\nAuth-Server: ::1\nAuth-Port: y\nAuth-Pass: \0",
            Err(AuthFailure::InvalidPort(b"y".to_vec())),
        ),
        (
            "HTTP/1.0 200 x",
            "Auth-Status: OK\nAuth-Server: ::1\nAuth-Port: 1\nAuth-Pass: \0",
            Err(AuthFailure::InvalidCredentials),
        ),
    ];
    for (status, lines, expected) in rows {
        let response = format!("{status}\n{lines}\n\n").replace('\n', "\r\n");
        assert_eq!(outcome_of(exchange, response.as_bytes()), expected, "{response:?}");
    }
}

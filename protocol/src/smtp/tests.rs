//! Transcripts: each runs the machine over its inputs and compares all that happened.

use super::*;

mod auth;
mod backend;
mod driver;
mod envelope;
mod properties;
mod refusals;

use driver::{Driver, check, plain, server, with};

#[test]
fn greeting() {
    check(&plain(), "CONNECT\n S: 220 mx.test ESMTP ready");
    check(&plain(), "EARLY INPUT\n S: 503 5.5.0 Improper use of SMTP command pipelining");
}

#[test]
fn hello() {
    check(
        &plain(),
        "C: HELO client.test
            S: 250 mx.test
        C: EHLO client.test
            S: 250-mx.test
            S: 250-SIZE 1000
            S: 250 AUTH PLAIN LOGIN
        C: ehlo   [IPv6:2001:db8::1]\x20
            S: 250-mx.test
            S: 250-SIZE 1000
            S: 250 AUTH PLAIN LOGIN",
    );
    for line in ["HELO", "EHLO", "HELO  ", "EHLO a b", "HELO a b c", "EHLO caf\u{e9}"] {
        check(&plain(), &format!("C: {line}\n S: 501 5.5.4 Invalid argument"));
    }
    let long = "h".repeat(256);
    check(&plain(), &format!("C: EHLO {long}\n S: 501 5.5.4 Invalid argument"));
}

#[test]
fn ehlo_offers_what_would_be_accepted() {
    check(
        &server(StartTls::On, "plain external"),
        "C: EHLO a
            S: 250-mx.test
            S: 250-SIZE 1000
            S: 250-AUTH PLAIN EXTERNAL
            S: 250 STARTTLS
        TLS
        C: EHLO a
            S: 250-mx.test
            S: 250-SIZE 1000
            S: 250 AUTH PLAIN EXTERNAL",
    );
    check(
        &server(StartTls::Only, "cram-md5 login"),
        "C: EHLO a
            S: 250-mx.test
            S: 250-SIZE 1000
            S: 250 STARTTLS
        TLS
        C: EHLO a
            S: 250-mx.test
            S: 250-SIZE 1000
            S: 250 AUTH LOGIN CRAM-MD5",
    );
    check(
        &server(StartTls::Off, "none"),
        "C: EHLO a
            S: 250-mx.test
            S: 250 SIZE 1000",
    );
}

#[test]
fn commands_without_state() {
    check(
        &plain(),
        "C: NOOP
            S: 250 2.0.0 OK
        C: noop with words
            S: 250 2.0.0 OK
        C: RSET
            S: 250 2.0.0 OK
        C: VRFY joe
            S: 252 2.0.0 Cannot verify the address
        C: HELP
            S: 214 2.0.0 See RFC 5321
        C: EXPN list
            S: 502 5.5.1 Command not implemented
        C: Quit now
            S: 221 2.0.0 Bye
            => close",
    );
}

#[test]
fn malformed_lines() {
    for line in
        ["", " ", " NOOP", "NOOPS", "DATA", "XCLIENT NAME=a", "ETRN a", "NOOP\t", "EHLO a\0", "EHLO a\rb"]
    {
        check(&plain(), &format!("C: {line}\n S: 500 5.5.1 Invalid command"));
    }
    check(&plain(), "C: NOOP 1 2 3 4 5 6 7 8 9 10 11\n S: 250 2.0.0 OK");
    check(&plain(), "C: NOOP 1 2 3 4 5 6 7 8 9 10 11 12\n S: 500 5.5.1 Invalid command");
}

#[test]
fn starttls() {
    check(
        &server(StartTls::On, "plain"),
        "C: STARTTLS now
            S: 501 5.5.4 Invalid argument
        C: STARTTLS
            S: 220 2.0.0 Start TLS
            => STARTTLS
        TLS
        C: STARTTLS
            S: 500 5.5.1 Invalid command",
    );
    check(&plain(), "C: STARTTLS\n S: 500 5.5.1 Invalid command");
    check(
        &server(StartTls::On, "plain"),
        "C: STARTTLS
            S: 220 2.0.0 Start TLS
            => STARTTLS
        BYTES IN CLEAR
            S: 503 5.5.0 Improper use of SMTP command pipelining",
    );
}

#[test]
fn tls_forgets_what_was_said_in_clear() {
    check(
        &server(StartTls::On, "plain none"),
        "C: HELO client.test
            S: 250 mx.test
        C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: STARTTLS
            S: 220 2.0.0 Start TLS
            => STARTTLS
        TLS
        C: RCPT TO:<joe@mx.test>
            S: 503 5.5.1 Bad sequence of commands
        C: AUTH PLAIN AGpvZQBwdw==
            S: 503 5.5.1 Bad sequence of commands
        C: MAIL FROM:<b@client.test>
            S: 250 2.0.0 OK
        C: RCPT TO:<joe@mx.test>
            => none \"\" \"MAIL FROM:<b@client.test>\" \"RCPT TO:<joe@mx.test>\"",
    );
}

#[test]
fn starttls_only_comes_before_any_login() {
    check(
        &server(StartTls::Only, "plain none"),
        "C: AUTH
            S: 530 5.7.0 Must issue a STARTTLS command first
        C: AUTH PLAIN AGpvZQBwdw==
            S: 530 5.7.0 Must issue a STARTTLS command first
        C: MAIL FROM:<a@client.test>
            S: 530 5.7.0 Must issue a STARTTLS command first
        C: RCPT TO:<joe@mx.test>
            S: 530 5.7.0 Must issue a STARTTLS command first
        TLS
        C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK",
    );
}

#[test]
fn refusals_by_the_auth_server() {
    check(
        &plain(),
        "REFUSED Invalid login or password
            S: 535 5.7.0 Invalid login or password
        REFUSED 451 4.3.0|Come back later
            S: 451 4.3.0 Come back later
        REFUSED 550|No
            S: 550 No",
    );
}

#[test]
fn what_ends_a_login_elsewhere() {
    check(
        &plain(),
        "UNAVAILABLE
            S: 454 4.7.0 Temporary authentication failure
        INTERNAL ERROR
            S: 451 4.3.2 Internal server error
        TIMEOUT
            S: 421 4.4.2 mx.test Error: timeout exceeded
        SHUTDOWN
            S: 421 4.3.2 mx.test shutting down
        BACKEND REFUSED 535 5.7.8 Authentication failed
            S: 535 5.7.8 Authentication failed",
    );
}

#[test]
fn lines_that_are_too_long() {
    check(
        &plain(),
        "TOO LONG EHLO aaaaaaaaaa
            LOG TooLongCommand(\"EHLO\", 15), in auth state
            S: 500 5.5.2 Line too long
            => close",
    );
    check(
        &plain(),
        "C: HELO a
            S: 250 mx.test
        C: AUTH LOGIN am9l
            S: 334 UGFzc3dvcmQ6
        TOO LONG NOOP aHVudGVyMg
            LOG TooLongCommand(\"\", 15), in auth state
            S: 500 5.5.6 Authentication exchange line is too long
            => close",
    );
}

#[test]
fn client_errors_are_limited_and_failed_logins_are_not_among_them() {
    let server = Server { max_errors: 3, ..plain() };
    check(
        &server,
        "C: HELO a
            S: 250 mx.test
        C: DATA
            S: 500 5.5.1 Invalid command
        C: AUTH PLAIN AGpvZQBwdw==
            => plain \"joe\" pw
        REFUSED no
            S: 535 5.7.0 no
        C: AUTH PLAIN AGpvZQBwdw==
            => plain \"joe\" pw
        UNAVAILABLE
            S: 454 4.7.0 Temporary authentication failure
        C: AUTH NTLM
            S: 504 5.5.4 Unrecognized authentication type
        C: VRFY joe
            S: 252 2.0.0 Cannot verify the address
        C: MAIL FROM:<a>
            LOG Rejected(\"MAIL FROM:<a>\"), in auth state
            LOG TooManyErrors, in auth state
            S: 530 5.7.1 Authentication required
            => close",
    );
}

#[test]
fn every_negative_reply_counts() {
    for line in [
        "",
        "EXPN a",
        "EHLO",
        "RCPT TO:<a>",
        "MAIL FROM:<a>",
        "STARTTLS",
        "AUTH",
        "AUTH NTLM",
        "AUTH PLAIN ?",
        "AUTH PLAIN AAAA",
        "AUTH PLAIN a b",
    ] {
        let server = Server { max_errors: 1, ..plain() };
        let mut driver = Driver::new(&server);
        driver.input("C: HELO a");
        let step = driver.call(|machine, context| machine.on_line(line.as_bytes(), context));
        assert_eq!((step, driver.errors), (Step::Close, 1), "{line:?}");
        let reply = driver.seen.last().expect("a reply");
        assert!(reply.starts_with("S: 5"), "{line:?} {reply:?}");
    }
}

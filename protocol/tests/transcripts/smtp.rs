//! SMTP towards the client: the states `Idle` and `Mail`, and every reply of theirs.

use gatepost_protocol::config::{Server, StartTls};

use crate::support::server::{listener, smtp, smtp_with};
use crate::support::transcript::{check, check_over};
use crate::tls::{Upgrading, secured};

/// A server that relays mail without a login.
fn open_relay() -> Server {
    Server { max_errors: 50, ..smtp_with(StartTls::Off, true, |_| {}) }
}

#[test]
fn smtp_logs_in_and_relays() {
    check(
        &listener(smtp(StartTls::Off)),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO laptop
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250 AUTH PLAIN LOGIN CRAM-MD5
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 XCLIENT ADDR LOGIN NAME
        P: XCLIENT ADDR=192.0.2.7 LOGIN=joe NAME=[UNAVAILABLE]
        B: 220 backend
        P: EHLO laptop
        B: 250 backend
        S: 235 2.0.0 OK
        ! log LoggedIn
        ! relay
        C: MAIL FROM:<joe@example>
        P: MAIL FROM:<joe@example>
        ",
    );
}

#[test]
fn smtp_without_login_replays_the_envelope() {
    check(
        &listener(smtp_with(StartTls::Off, true, |_| {})),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO a.example
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250 AUTH PLAIN LOGIN CRAM-MD5
        C: MAIL FROM:<a@a.example>
        S: 250 2.0.0 OK
        C: RCPT TO:<b@mx.example>
        ! authenticate 1 none a.example | MAIL FROM:<a@a.example> | RCPT TO:<b@mx.example>, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 XCLIENT ADDR NAME
        P: XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]
        B: 220 backend
        P: EHLO a.example
        B: 250 backend
        P: MAIL FROM:<a@a.example>
        B: 250 sender
        P: RCPT TO:<b@mx.example>
        B: 250 recipient
        S: 250 recipient
        ! log LoggedIn
        ! relay
        C: DATA
        P: DATA
        ",
    );
}

#[test]
fn idle_answers_what_needs_no_login() {
    check(
        &listener(smtp(StartTls::Off)),
        "
        S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: NOOP
        S: 250 2.0.0 OK
        C: RSET
        S: 250 2.0.0 OK
        C: VRFY joe
        S: 252 2.0.0 Cannot verify the address
        C: help
        S: 214 2.0.0 See RFC 5321
        C: QUIT
        S: 221 2.0.0 Bye
        ! close client
        ! finish
        ",
    );
}

#[test]
fn idle_refuses_what_is_malformed_or_not_offered() {
    check(
        &listener(Server { max_errors: 50, ..smtp(StartTls::Off) }),
        "
        S: 220 mx.example ESMTP ready
        C: DATA
        S: 500 5.5.1 Invalid command
        C:
        S: 500 5.5.1 Invalid command
        C: NOOP \t
        S: 500 5.5.1 Invalid command
        C: STARTTLS
        S: 500 5.5.1 Invalid command
        C: HELO
        S: 501 5.5.4 Invalid argument
        C: EHLO a b
        S: 501 5.5.4 Invalid argument
        C: EXPN list
        S: 502 5.5.1 Command not implemented
        C: MAIL FROM:<a@b>
        S: 530 5.7.1 Authentication required
        ! log Rejected \"MAIL FROM:<a@b>\" while in auth state
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: AUTH PLAIN
        S: 503 5.5.1 Bad sequence of commands
        C: HELO laptop
        S: 250 mx.example
        C: AUTH
        S: 501 5.5.4 Invalid argument
        C: AUTH XOAUTH2
        S: 504 5.5.4 Unrecognized authentication type
        C: AUTH PLAIN a b
        S: 501 5.5.4 Invalid argument
        ",
    );
}

#[test]
fn mail_waits_for_a_recipient() {
    check(
        &listener(open_relay()),
        "
        S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: MAIL <a@b>
        S: 501 5.5.4 Invalid argument
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: MAIL FROM:<a@b>
        S: 503 5.5.1 Bad sequence of commands
        C: AUTH PLAIN
        S: 503 5.5.1 Bad sequence of commands
        C: RCPT <c@d>
        S: 501 5.5.4 Invalid argument
        C: NOOP
        S: 250 2.0.0 OK
        C: RCPT TO:<nobody@d>
        ! authenticate 1 none laptop | MAIL FROM:<a@b> | RCPT TO:<nobody@d>, host [UNAVAILABLE]
        > refused-with 550_5.1.1 1 No such user
        ! log LoginRefused \"No such user\"
        > sleep 1
        S: 550 5.1.1 No such user
        C: RCPT TO:<c@d>
        ! authenticate 2 none laptop | MAIL FROM:<a@b> | RCPT TO:<c@d>, host [UNAVAILABLE]
        > outage
        S: 454 4.7.0 Temporary authentication failure
        ! log AuthFailed(Connect(Errno(111))) while in http auth state
        C: QUIT
        S: 221 2.0.0 Bye
        ! close client
        ! finish
        ",
    );
}

#[test]
fn mail_is_forgotten_by_rset_helo_and_ehlo() {
    for (command, reply) in [("RSET", "250 2.0.0 OK"), ("HELO other", "250 mx.example")] {
        let dialogue = format!(
            "S: 220 mx.example ESMTP ready
            C: MAIL FROM:<a@b>
            S: 250 2.0.0 OK
            C: {command}
            S: {reply}
            C: RCPT TO:<c@d>
            S: 503 5.5.1 Bad sequence of commands"
        );
        check(&listener(open_relay()), &dialogue);
    }
    check(
        &listener(open_relay()),
        "
        S: 220 mx.example ESMTP ready
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: EHLO other
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250 AUTH PLAIN LOGIN CRAM-MD5
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        ",
    );
}

#[test]
fn starttls_leads_to_idle_under_tls() {
    check_over::<Upgrading>(
        &secured(smtp_with(StartTls::On, true, |_| {})),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO laptop
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250-AUTH PLAIN LOGIN CRAM-MD5
        S: 250 STARTTLS
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: STARTTLS now
        S: 501 5.5.4 Invalid argument
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        > handshake
        C: RCPT TO:<c@d>
        S: 503 5.5.1 Bad sequence of commands
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        S: 503 5.5.1 Bad sequence of commands
        C: STARTTLS
        S: 500 5.5.1 Invalid command
        C: EHLO laptop
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250 AUTH PLAIN LOGIN CRAM-MD5
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        ",
    );
}

#[test]
fn starttls_only_refuses_logins_in_clear() {
    check_over::<Upgrading>(
        &secured(smtp_with(StartTls::Only, true, |_| {})),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO laptop
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250 STARTTLS
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: MAIL FROM:<a@b>
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: RCPT TO:<c@d>
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: STARTTLS
        S: 220 2.0.0 Start TLS
        > handshake
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        ",
    );
}

#[test]
fn a_line_that_is_too_long_ends_every_state() {
    let long = "x".repeat(600);
    for (before, reply, verb) in [
        ("C: ", "500 5.5.2 Line too long", ""),
        ("C: EHLO ", "500 5.5.2 Line too long", "EHLO"),
        ("C: MAIL FROM:<a@b>\nS: 250 2.0.0 OK\nC: RCPT ", "500 5.5.2 Line too long", "RCPT"),
        (
            "C: HELO a\nS: 250 mx.example\nC: AUTH PLAIN\nS: 334\x20\nC: ",
            "500 5.5.6 Authentication exchange line is too long",
            "",
        ),
    ] {
        let dialogue = format!(
            "S: 220 mx.example ESMTP ready
            {before}{long}
            S: {reply}
            ! log TooLongCommand \"{verb}\" 512 while in auth state
            ! close client
            ! finish"
        );
        check(&listener(open_relay()), &dialogue);
    }
}

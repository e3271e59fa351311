//! The login to an SMTP backend: every state, well met and badly.

use gatepost_protocol::config::{Server, StartTls};
use gatepost_protocol::smtp::{Settings, Xclient};

use crate::support::server::{listener, smtp, smtp_with};
use crate::support::transcript::check;

/// A login up to the backend's greeting; the client has said HELO.
const CONNECTED: &str = "
    S: 220 mx.example ESMTP ready
    C: HELO laptop
    S: 250 mx.example
    C: AUTH PLAIN AGpvZQBzZWNyZXQ=
    ! authenticate 1 plain joe secret, host [UNAVAILABLE]
    > accepted 127.0.0.1:1025
    ! connect 127.0.0.1:1025
    > connected
";

const LOGGED_IN: &str = "
    S: 235 2.0.0 OK
    ! log LoggedIn
    ! relay
";

/// The end of a login that the backend spoilt.
const SPOILT: &str = "
    S: 451 4.3.2 Internal server error
    ! close client
    ! close backend
    ! finish
";

#[track_caller]
fn check_login(change: impl FnOnce(&mut Settings), dialogues: &[&str]) {
    let server = smtp_with(StartTls::Off, false, change);
    check(&listener(server), &[&[CONNECTED], dialogues].concat().concat());
}

/// With `xclient off` and `proxy_smtp_auth on`.
fn with_auth(settings: &mut Settings) {
    settings.xclient = Xclient::Off;
    settings.proxy_smtp_auth = true;
}

fn refused(reply: &str) -> String {
    format!(
        "
        B: {reply}
        P: QUIT
        ! log BackendRefused \"{reply}\" passed=false
    "
    )
}

#[test]
fn connected_and_hello_sent_suffice_without_xclient() {
    let rest = "
        B: 220-backend
        B: 220 ready
        P: HELO mx.example
        B: 250 backend
    ";
    check_login(|settings| settings.xclient = Xclient::Off, &[rest, LOGGED_IN]);
}

#[test]
fn connected_wants_220() {
    check_login(|_| {}, &[&refused("554 no"), SPOILT]);
    check_login(|_| {}, &[&refused("+OK POP3 ready"), SPOILT]);
}

#[test]
fn hello_sent_wants_250() {
    let sent = "
        B: 220 backend
        P: EHLO mx.example
    ";
    check_login(|_| {}, &[sent, &refused("502 no"), SPOILT]);
}

#[test]
fn hello_sent_looks_for_xclient() {
    let rest = "
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 SIZE
        ! log NoXclient { fatal: false } while reading response from upstream
    ";
    check_login(|_| {}, &[rest, LOGGED_IN]);
    let rest = "
        B: 220 backend
        P: EHLO mx.example
        B: 250 backend
        P: QUIT
        ! log NoXclient { fatal: true } while reading response from upstream
    ";
    check_login(|settings| settings.xclient = Xclient::Required, &[rest, SPOILT]);
}

#[test]
fn xclient_sent_may_take_two_lines() {
    let login = "x".repeat(480);
    let dialogue = format!(
        "S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025 {login}
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 XCLIENT ADDR NAME LOGIN PROTO
        P: XCLIENT LOGIN={login} PROTO=SMTP
        B: 250 fine
        P: XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]
        B: 220 backend
        P: HELO laptop
        B: 250 backend
        {LOGGED_IN}"
    );
    check(&listener(smtp(StartTls::Off)), &dialogue);
}

#[test]
fn xclient_sent_without_a_hello_leads_straight_to_mail() {
    check(
        &listener(smtp_with(StartTls::Off, true, |_| {})),
        "
        S: 220 mx.example ESMTP ready
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        ! authenticate 1 none  | MAIL FROM:<a@b> | RCPT TO:<c@d>, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 XCLIENT ADDR
        P: XCLIENT ADDR=192.0.2.7
        B: 220 backend
        P: MAIL FROM:<a@b>
        B: 250 sender
        P: RCPT TO:<c@d>
        B: 550 no such user
        S: 550 no such user
        ! log LoggedIn
        ! relay
        ",
    );
}

#[test]
fn xclient_sent_and_client_hello_sent_want_success() {
    let sent = "
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 XCLIENT ADDR
        P: XCLIENT ADDR=192.0.2.7
    ";
    check_login(|_| {}, &[sent, &refused("550 not from you"), SPOILT]);
    let hello = "
        B: 220 backend
        P: HELO laptop
    ";
    check_login(|_| {}, &[sent, hello, &refused("550 not from you"), SPOILT]);
}

#[test]
fn mail_sent_wants_250() {
    let server = smtp_with(StartTls::Off, true, |settings| settings.xclient = Xclient::Off);
    check(
        &listener(Server { pass_error_message: true, ..server }),
        "
        S: 220 mx.example ESMTP ready
        C: MAIL FROM:<a@b>
        S: 250 2.0.0 OK
        C: RCPT TO:<c@d>
        ! authenticate 1 none  | MAIL FROM:<a@b> | RCPT TO:<c@d>, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: HELO mx.example
        B: 250 backend
        P: MAIL FROM:<a@b>
        B: 550-not
        B: 550 from you
        P: QUIT
        S: 550-not
        S: 550 from you
        ! log BackendRefused \"550-not\\r\\n550 from you\" passed=true
        ! close client
        ! close backend
        ! finish
        ",
    );
}

/// Up to `AuthSent`.
const AUTH_SENT: &str = "
    B: 220 backend
    P: HELO mx.example
    B: 250 backend
    P: AUTH PLAIN AGpvZQBzZWNyZXQ=
";

#[test]
fn auth_sent_succeeds_with_235() {
    check_login(with_auth, &[AUTH_SENT, "B: 235 welcome", LOGGED_IN]);
    check_login(with_auth, &[AUTH_SENT, &refused("250 fine"), SPOILT]);
}

#[test]
fn auth_sent_refused_may_be_tried_again() {
    let server = Server { pass_error_message: true, ..smtp_with(StartTls::Off, false, with_auth) };
    let rest = "
        B: 535 wrong password
        P: QUIT
        ! log BackendRefused \"535 wrong password\" passed=true
        ! close backend
        B: 221 over is deaf
        > eof backend
        > sleep 2
        S: 535 wrong password
        C: AUTH PLAIN AGppbQBwdw==
        ! authenticate 2 plain jim pw, host [UNAVAILABLE]
    ";
    check(&listener(server), &[CONNECTED, AUTH_SENT, rest].concat());
}

#[test]
fn over_without_a_password_to_send() {
    let server = smtp_with(StartTls::Off, false, with_auth);
    let rest = "
        S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: AUTH CRAM-MD5
        S: 334 [1]
        C: am9lIDAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm
        ! authenticate 1 cram-md5 joe 0123456789abcdef0123456789abcdef <1>, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: HELO mx.example
        B: 250 backend
        P: QUIT
        ! log NoPassword while sending AUTH to upstream
    ";
    check(&listener(server), &[rest, SPOILT].concat());
}

#[test]
fn a_reply_over_the_buffer_spoils_the_login() {
    let (line, shown) = ("x".repeat(300), "x".repeat(202));
    let dialogue = format!(
        "
        B: 220-{line}
        B: 220 {line}
        P: QUIT
        ! log BackendReplyTooLong \"220 {shown}\" while reading response from upstream
    "
    );
    check_login(|_| {}, &[&dialogue, SPOILT]);
}

//! POP3 towards the client: every state and reply.

use gatepost_protocol::config::{Server, StartTls};

use crate::support::server::{listener, mechanisms, pop3, pop3_with};
use crate::support::transcript::{check, check_over};
use crate::tls::{Upgrading, secured};

#[test]
fn pop3_logs_in_and_relays() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        B: +OK backend <1.2@backend>
        P: USER joe
        B: +OK
        P: PASS secret
        B: +OK welcome
        S: +OK welcome
        ! log LoggedIn
        ! relay
        C: STAT
        P: STAT
        B: +OK 0 0
        S: +OK 0 0
        > eof backend
        ! shutdown client
        > eof client
        ! log Done
        ! close client
        ! close backend
        ! finish
        ",
    );
}

#[test]
fn start_answers_what_needs_no_login() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: NOOP
        S: +OK
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN LOGIN
        S: .
        C: AUTH
        S: +OK methods supported:
        S: PLAIN
        S: LOGIN
        S: .
        C: quit
        S: +OK
        ! close client
        ! finish
        ",
    );
}

#[test]
fn start_refuses_what_is_out_of_place_or_off() {
    check(
        &listener(Server { max_errors: 50, ..pop3(StartTls::Off) }),
        "
        S: +OK POP3 ready
        C: PASS secret
        S: -ERR invalid command
        C: USER
        S: -ERR invalid command
        C: APOP joe 0123
        S: -ERR invalid command
        C: AUTH CRAM-MD5
        S: -ERR invalid command
        C: AUTH XOAUTH2
        S: -ERR invalid command
        C: STLS
        S: -ERR invalid command
        C: STAT
        S: -ERR invalid command
        C: NOOP 1 2 3 4
        S: -ERR invalid command
        C:
        S: -ERR invalid command
        C: USER jo\re
        S: -ERR invalid command
        C: USER jo\0e
        S: -ERR invalid command
        ! log InvalidCredentials while in auth state
        ",
    );
}

#[test]
fn user_keeps_the_login_over_noop_and_capa() {
    check(
        &listener(pop3(StartTls::On)),
        "
        S: +OK POP3 ready
        C: USER joe smith
        S: +OK
        C: NOOP
        S: +OK
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN LOGIN
        S: .
        C: PASS my secret
        ! authenticate 1 plain joe smith my secret
        ",
    );
}

#[test]
fn user_is_forgotten_by_every_error() {
    for error in ["USER joe", "APOP joe 0123", "AUTH PLAIN", "STLS", "STAT", "PASS", "PASS a\rb"] {
        let dialogue = format!(
            "S: +OK POP3 ready
            C: USER joe
            S: +OK
            C: {error}
            S: -ERR invalid command
            C: PASS secret
            S: -ERR invalid command"
        );
        check(&listener(pop3(StartTls::On)), &dialogue);
    }
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS pw\0
        S: -ERR invalid command
        ! log InvalidCredentials while in auth state
        C: PASS pw
        S: -ERR invalid command
        ",
    );
}

#[test]
fn user_quits() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: QUIT
        S: +OK
        ! close client
        ! finish
        ",
    );
}

#[test]
fn apop_answers_the_greetings_challenge() {
    check(
        &listener(pop3_with(StartTls::Off, mechanisms(), true)),
        "
        S: +OK POP3 ready <1>
        C: APOP joe
        S: -ERR invalid command
        C: APOP joe 0123
        ! authenticate 1 apop joe 0123 <1>
        > refused 1 no
        ! log LoginRefused \"no\"
        > sleep 1
        S: -ERR no
        C: APOP joe 4567
        ! authenticate 2 apop joe 4567 <1>
        ",
    );
}

#[test]
fn stls_leads_to_a_fresh_start_under_tls() {
    check_over::<Upgrading>(
        &secured(pop3(StartTls::On)),
        "
        S: +OK POP3 ready
        C: STLS now
        S: -ERR invalid command
        C: STLS
        S: +OK
        > handshake
        C: PASS secret
        S: -ERR invalid command
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN LOGIN
        S: .
        C: STLS
        S: -ERR invalid command
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        ",
    );
}

#[test]
fn starttls_only_refuses_logins_in_clear() {
    check_over::<Upgrading>(
        &secured(pop3_with(StartTls::Only, mechanisms(), true)),
        "
        S: +OK POP3 ready <1>
        C: CAPA
        S: +OK Capability list follows
        S: TOP
        S: UIDL
        S: STLS
        S: .
        C: USER joe
        S: -ERR invalid command
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        S: -ERR invalid command
        C: APOP joe 0123
        S: -ERR invalid command
        C: STLS
        S: +OK
        > handshake
        C: APOP joe 0123
        ! authenticate 1 apop joe 0123 <1>
        ",
    );
}

#[test]
fn a_line_that_is_too_long_ends_every_state() {
    let long = "x".repeat(600);
    for (before, verb) in [
        ("C: PASS ", "PASS"),
        ("C: USER joe\nS: +OK\nC: PASS ", "PASS"),
        ("C: ", ""),
        ("C: AUTH PLAIN\nS: +\x20\nC: ", ""),
    ] {
        let dialogue = format!(
            "S: +OK POP3 ready
            {before}{long}
            S: -ERR line too long
            ! log TooLongCommand \"{verb}\" 512 while in auth state
            ! close client
            ! finish"
        );
        check(&listener(pop3(StartTls::Off)), &dialogue);
    }
}

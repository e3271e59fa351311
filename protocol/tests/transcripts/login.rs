//! What the auth server says, and what becomes of the login then.

use crate::support::Driver;
use crate::support::server::{imap, listener, pop3, smtp};
use crate::support::transcript::{check, order};
use gatepost_protocol::action::{Action, Side};
use gatepost_protocol::config::StartTls;

#[test]
fn a_refused_login_with_a_wait_leads_back_to_the_commands() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS wrong
        ! authenticate 1 plain joe wrong
        > refused 3 Invalid login
        ! log LoginRefused \"Invalid login\"
        > sleep 2
        > sleep 1
        S: -ERR Invalid login
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 2 plain joe secret
        > refused 0 No more
        S: -ERR No more
        ! log LoginRefused \"No more\"
        ! close client
        ! finish
        ",
    );
}

#[test]
fn wait_asks_again_with_the_same_attempt() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > wait 7
        > sleep 6
        > sleep 1
        ! authenticate 1 plain joe secret
        > wait 0
        > sleep 1
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        ",
    );
}

/// The client may have gone, and the commands it left behind do not tell: all pauses of a login are `timeout` at most.
#[test]
fn a_client_that_has_ended_is_not_waited_for_long() {
    let login = "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        C: a2 NOOP
    ";
    let end = "
        S: a1 NO [UNAVAILABLE] Temporary authentication failure
        ! log AuthFailed(TooManyWaits) while in http auth state
        ! close client
        ! finish
    ";
    let again = "> sleep 40\n! authenticate 1 plain joe secret\n";
    for orders in [
        "> wait 600\n> sleep 300\n> eof client\n",
        "> eof client\n> wait 61\n",
        &format!("> wait 40\n> eof client\n{again}> wait 21\n"),
    ] {
        check(&listener(imap(StartTls::Off)), &[login, orders, end].concat());
    }
    let in_time = format!(
        "> wait 40\n> eof client\n{again}> wait 20\n{}> accepted 127.0.0.1:1143\n! connect 127.0.0.1:1143",
        again.replace("40", "20")
    );
    check(&listener(imap(StartTls::Off)), &[login, &in_time].concat());
    // Nobody reads whether a client has gone whose bytes fill the buffer.
    let full = format!("C: {}\n", "x".repeat(600));
    check(&listener(imap(StartTls::Off)), &[login, &full, "> wait 61\n", end].concat());
}

#[test]
fn wait_said_too_often_is_an_internal_error() {
    let mut dialogue = "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
    "
    .to_owned();
    for _ in 0..10 {
        dialogue += "> wait 1
            > sleep 1
            ! authenticate 1 plain joe secret
        ";
    }
    dialogue += "> wait 1
        S: a1 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        ! log AuthFailed(TooManyWaits) while in http auth state
        ! close client
        ! finish
    ";
    check(&listener(imap(StartTls::Off)), &dialogue);
}

#[test]
fn an_auth_server_that_is_away_is_temporary() {
    for (server, dialogue) in [
        (
            pop3(StartTls::Off),
            "
            S: +OK POP3 ready
            C: USER joe
            S: +OK
            C: PASS secret
            ! authenticate 1 plain joe secret
            > outage
            ! log AuthFailed(Connect(Errno(111))) while in http auth state
            S: -ERR [SYS/TEMP] Temporary authentication failure
            C: NOOP
            S: +OK
            ",
        ),
        (
            imap(StartTls::Off),
            "
            S: * OK IMAP4 ready
            C: a1 LOGIN joe secret
            ! authenticate 1 plain joe secret
            > sleep 30
            ! cancel
            ! log AuthFailed(TimedOut) while in http auth state
            S: a1 NO [UNAVAILABLE] Temporary authentication failure
            C: a2 NOOP
            S: a2 OK completed
            ",
        ),
        (
            smtp(StartTls::Off),
            "
            S: 220 mx.example ESMTP ready
            C: EHLO x
            S: 250-mx.example
            S: 250-SIZE 1000
            S: 250 AUTH PLAIN LOGIN CRAM-MD5
            C: AUTH PLAIN AGpvZQBzZWNyZXQ=
            ! authenticate 1 plain joe secret, host [UNAVAILABLE]
            > outage
            ! log AuthFailed(Connect(Errno(111))) while in http auth state
            S: 454 4.7.0 Temporary authentication failure
            C: NOOP
            S: 250 2.0.0 OK
            ",
        ),
    ] {
        check(&listener(server), dialogue);
    }
}

#[test]
fn an_auth_server_that_talks_nonsense_is_an_internal_error() {
    check(
        &listener(smtp(StartTls::Off)),
        "
        S: 220 mx.example ESMTP ready
        C: EHLO x
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250 AUTH PLAIN LOGIN CRAM-MD5
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        > nonsense
        ! log AuthFailed(NoStatus) while in http auth state
        S: 451 4.3.2 Internal server error
        ! close client
        ! finish
        ",
    );
}

#[test]
fn what_comes_behind_a_login_goes_to_the_backend_behind_ours() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        C: STAT
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        C: LIST
        > connected
        C: QUI\\
        > eof client
        B: +OK
        P: USER joe
        B: +OK
        P: PASS secret
        B: +OK
        S: +OK
        P: STAT
        P: LIST
        P: QUI\\
        ! log LoggedIn
        ! relay
        ! shutdown backend
        B: +OK 0 0
        S: +OK 0 0
        > eof backend
        ! log Done
        ! close client
        ! close backend
        ! finish
        ",
    );
}

#[test]
fn commands_behind_a_refused_login_are_answered_before_the_end_counts() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS wrong
        ! authenticate 1 plain joe wrong
        C: CAPA
        C: NOOP
        > eof client
        > refused 1 no
        ! log LoginRefused \"no\"
        > sleep 1
        S: -ERR no
        S: +OK Capability list follows
        S: TOP
        S: USER
        S: UIDL
        S: SASL PLAIN LOGIN
        S: .
        S: +OK
        ! close client
        ! finish
        ",
    );
}

#[test]
fn no_password_is_ever_shown() {
    let logins = [
        (pop3(StartTls::Off), "USER joe\r\nPASS hunter2\r\n", "+OK\r\n"),
        (pop3(StartTls::Off), "AUTH PLAIN AGpvZQBodW50ZXIy\r\n", "+OK\r\n"),
        (imap(StartTls::Off), "a LOGIN {3+}\r\njoe {7+}\r\nhunter2\r\n", "+ \r\n"),
        (imap(StartTls::Off), "a LOGIN joe \"hunter2\"\r\n", "* OK\r\n"),
        (smtp(StartTls::Off), "EHLO x\r\nAUTH LOGIN\r\nam9l\r\naHVudGVyMg==\r\n", "250 x\r\n"),
    ];
    let forms: [&str; 3] = ["hunter2", &format!("{:?}", b"hunter2")[1..30], "aHVudGVyMg"];
    let check = |what: &str| assert!(!forms.iter().any(|form| what.contains(form)), "{what}");
    for (server, login, reply) in logins {
        let mut driver = Driver::open(&listener(server));
        for byte in login.as_bytes() {
            driver.input(Side::Client, &[*byte]);
            check(&driver.debug());
        }
        assert!(matches!(driver.actions.last(), Some(Action::Authenticate(_))));
        order("accepted 127.0.0.1:1", &mut driver);
        check(&driver.debug());
        order("connected", &mut driver);
        for _ in 0..3 {
            driver.input(Side::Backend, reply.as_bytes());
            check(&driver.debug());
        }
        check(&format!("{:?}", driver.actions));
    }
}

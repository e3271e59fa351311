//! The login to an IMAP backend: every state, well met and badly. `backend.rs` in the folder above has more.

use gatepost_protocol::config::{Server, StartTls};

use crate::support::server::{imap, listener};
use crate::support::transcript::check;

/// A login up to the backend's greeting.
const CONNECTED: &str = "
    S: * OK IMAP4 ready
    C: a1 LOGIN joe secret
    ! authenticate 1 plain joe secret
    > accepted 127.0.0.1:1143
    ! connect 127.0.0.1:1143
    > connected
";

/// The end of a login that the backend spoilt.
const SPOILT: &str = "
    S: a1 NO [UNAVAILABLE] internal server error
    S: * BYE internal server error
    ! close client
    ! close backend
    ! finish
";

#[track_caller]
fn check_login(dialogue: &str) {
    check(&listener(imap(StartTls::Off)), &[CONNECTED, dialogue].concat());
}

/// With `proxy_pass_error_message on`.
#[track_caller]
fn check_passing(dialogue: &str) {
    let server = Server { pass_error_message: true, ..imap(StartTls::Off) };
    check(&listener(server), &[CONNECTED, dialogue].concat());
}

#[test]
fn connected_to_literal_plus_needs_one_write() {
    check_login(
        "
        B: * OK [CAPABILITY IMAP4rev1 LITERAL+] ready
        P: a1 LOGIN {3+}
        P: joe {6+}
        P: secret
        B: a1 OK done
        S: a1 OK done
        ! log LoggedIn
        ! relay
        ",
    );
}

#[test]
fn connected_to_literal_minus_waits_with_what_is_long() {
    check_login(
        "
        B: * OK [CAPABILITY IMAP4rev1 LITERAL-] ready
        P: a1 LOGIN {3+}
        P: joe {6+}
        P: secret
        B: a1 OK done
        S: a1 OK done
        ! log LoggedIn
        ! relay
        ",
    );
    let long = "x".repeat(5000);
    let dialogue = format!(
        "S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143 joe {long}
        ! connect 127.0.0.1:1143
        > connected
        B: * OK [CAPABILITY IMAP4rev1 LITERAL-] ready
        P: a1 LOGIN {{3}}
        B: + go on
        P: joe {{5000}}
        B: + go on
        P: {long}"
    );
    check(&listener(imap(StartTls::Off)), &dialogue);
}

#[test]
fn connected_and_logged_in_already() {
    check_login(
        "
        B: * PREAUTH welcome
        S: a1 OK completed
        ! log LoggedIn
        ! relay
        ",
    );
}

#[test]
fn connected_wants_a_positive_greeting() {
    for greeting in ["* BYE overloaded", "+OK POP3 ready", "a1 OK"] {
        let refused = format!(
            "
            B: {greeting}
            P: logout LOGOUT
            ! log BackendRefused \"{greeting}\" passed=false
        "
        );
        check_login(&[&refused, SPOILT].concat());
    }
}

#[test]
fn login_announced_refused_may_be_tried_again() {
    check_passing(
        "
        B: * OK ready
        P: a1 LOGIN {3}
        B: a1 NO no literals today
        P: logout LOGOUT
        ! log BackendRefused \"NO no literals today\" passed=true
        ! close backend
        > sleep 2
        S: a1 NO no literals today
        C: a2 LOGIN jim secret
        ! authenticate 2 plain jim secret
        ",
    );
}

/// No LOGOUT: the backend may take it for the literal.
#[test]
fn login_announced_ends_without_a_word() {
    for line in ["* BYE", "* OK [ALERT] {3}", "b1 OK", "220 mx"] {
        let refused = format!(
            "
            B: * OK ready
            P: a1 LOGIN {{3}}
            B: {line}
            ! log BackendRefused \"{line}\" passed=false
        "
        );
        check_login(&[&refused, SPOILT].concat());
    }
}

#[test]
fn password_announced_refused_shows_the_untagged_lines_too() {
    check_passing(
        "
        B: * OK ready
        P: a1 LOGIN {3}
        B: + go on
        P: joe {6}
        B: * OK [ALERT] locked
        B: a1 NO mailbox is locked
        P: logout LOGOUT
        ! log BackendRefused \"NO mailbox is locked\" passed=true
        ! close backend
        > sleep 2
        S: * OK [ALERT] locked
        S: a1 NO mailbox is locked
        C: a2 NOOP
        S: a2 OK completed
        ",
    );
}

#[test]
fn password_announced_ends_without_a_word() {
    let refused = "
        B: * OK ready
        P: a1 LOGIN {3}
        B: + go on
        P: joe {6}
        B: what?
        ! log BackendRefused \"what?\" passed=false
    ";
    check_login(&[refused, SPOILT].concat());
}

#[test]
fn password_sent_wants_ok() {
    let sent = "
        B: * OK ready
        P: a1 LOGIN {3}
        B: + go on
        P: joe {6}
        B: + go on
        P: secret
    ";
    for (line, shown) in [("a1 BAD what", "BAD what"), ("+ more", "+ more"), ("* BYE", "* BYE")] {
        let refused = format!(
            "
            B: {line}
            P: logout LOGOUT
            ! log BackendRefused \"{shown}\" passed=false
        "
        );
        check_login(&[sent, &refused, SPOILT].concat());
    }
    let refused = "
        B: a1 NO wrong password
        P: logout LOGOUT
        ! log BackendRefused \"NO wrong password\" passed=true
        ! close backend
    ";
    let over_is_deaf = "
        B: * BYE
        B: logout OK
        > eof backend
        > sleep 2
        S: a1 NO wrong password
    ";
    check_passing(&[sent, refused, over_is_deaf].concat());
}

/// Such a login cannot come from the auth client; this is the last gate.
#[test]
fn over_without_a_command_where_the_login_could_be_two() {
    let dialogue = "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143 joe\0
        ! connect 127.0.0.1:1143
        > connected
        B: * OK ready
        P: logout LOGOUT
        ! log InvalidCredentials while reading response from upstream
    ";
    check(&listener(imap(StartTls::Off)), &[dialogue, SPOILT].concat());
}

#[test]
fn over_in_a_literal_behind_too_much_untagged_talk() {
    let line = format!("* OK {}", "x".repeat(295));
    let dialogue = format!(
        "
        B: * OK ready
        P: a1 LOGIN {{3}}
        B: {line}
        B: + go on
        P: joe {{6}}
        B: {line}
        ! log BackendReplyTooLong \"{line}\" while reading response from upstream
    "
    );
    check_login(&[&dialogue, SPOILT].concat());
}

//! The login to a POP3 backend: every state, well met and badly. `backend.rs` in the folder above has more.

use gatepost_protocol::config::{Server, StartTls};

use crate::support::server::{listener, mechanisms, pop3, pop3_with};
use crate::support::transcript::check;

/// A login up to the backend's greeting.
const CONNECTED: &str = "
    S: +OK POP3 ready
    C: USER joe
    S: +OK
    C: PASS secret
    ! authenticate 1 plain joe secret
    > accepted 127.0.0.1:1100
    ! connect 127.0.0.1:1100
    > connected
";

/// The end of a login that the backend spoilt.
const SPOILT: &str = "
    S: -ERR internal server error
    ! close client
    ! close backend
    ! finish
";

#[track_caller]
fn check_login(dialogue: &str) {
    check(&listener(pop3(StartTls::Off)), &[CONNECTED, dialogue].concat());
}

/// With `proxy_pass_error_message on`.
#[track_caller]
fn check_passing(dialogue: &str) {
    let server = Server { pass_error_message: true, ..pop3(StartTls::Off) };
    check(&listener(server), &[CONNECTED, dialogue].concat());
}

#[test]
fn connected_wants_a_positive_greeting() {
    let refused = "
        B: 220 mx ESMTP
        P: QUIT
        ! log BackendRefused \"220 mx ESMTP\" passed=false
    ";
    check_login(&[refused, SPOILT].concat());
}

#[test]
fn user_sent_refused_may_be_tried_again() {
    check_passing(
        "
        B: +OK
        P: USER joe
        B: -ERR no such user
        P: QUIT
        ! log BackendRefused \"-ERR no such user\" passed=true
        ! close backend
        > sleep 2
        S: -ERR no such user
        C: USER jim
        S: +OK
        C: PASS secret
        ! authenticate 2 plain jim secret
        ",
    );
}

#[test]
fn user_sent_wants_a_reply_of_pop3() {
    check_passing(
        "
        B: +OK
        P: USER joe
        B: + go on
        P: QUIT
        S: + go on
        ! log BackendRefused \"+ go on\" passed=true
        ! close client
        ! close backend
        ! finish
        ",
    );
}

#[test]
fn pass_sent_wants_a_reply_of_pop3() {
    let refused = "
        B: +OK
        P: USER joe
        B: +OK
        P: PASS secret
        B: * BYE
        P: QUIT
        ! log BackendRefused \"* BYE\" passed=false
    ";
    check_login(&[refused, SPOILT].concat());
}

#[test]
fn over_is_deaf() {
    check_passing(
        "
        B: +OK
        P: USER joe
        B: -ERR no such user
        P: QUIT
        ! log BackendRefused \"-ERR no such user\" passed=true
        ! close backend
        B: +OK bye
        > eof backend
        > sleep 2
        S: -ERR no such user
        ",
    );
}

/// Such a login cannot come from the auth client; this is the last gate.
#[test]
fn over_without_a_command_where_the_login_could_be_two() {
    let dialogue = "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1100 joe\rDELE
        ! connect 127.0.0.1:1100
        > connected
        B: +OK
        P: QUIT
        ! log InvalidCredentials while reading response from upstream
    ";
    check(&listener(pop3(StartTls::Off)), &[dialogue, SPOILT].concat());
}

#[test]
fn a_login_without_password_needs_one_from_the_auth_server() {
    let apop = || listener(pop3_with(StartTls::Off, mechanisms(), true));
    let asked = "
        S: +OK POP3 ready <1>
        C: APOP joe 0123
        ! authenticate 1 apop joe 0123 <1>
    ";
    let without = "
        > accepted 127.0.0.1:1100
        ! log AuthFailed(NoPassword) while in http auth state
        S: -ERR internal server error
        ! close client
        ! finish
    ";
    check(&apop(), &[asked, without].concat());
    let with = "
        > accepted 127.0.0.1:1100 jim pw
        ! connect 127.0.0.1:1100
        > connected
        B: +OK
        P: USER jim
        B: +OK
        P: PASS pw
        B: +OK 2 messages
        S: +OK 2 messages
        ! log LoggedIn
        ! relay
    ";
    check(&apop(), &[asked, with].concat());
}

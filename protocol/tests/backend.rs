//! The backend: what it may say during the login, and what becomes of a session whose backend fails.

mod support;

use std::net::SocketAddr;
use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Errno, Output, Side};
use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, BackendAddr};
use gatepost_protocol::config::{ProxyProtocol, Server, StartTls};
use gatepost_protocol::event::{Event, Stage};
use gatepost_protocol::session::{Session, SocketFailure};
use support::server::{imap, listener, pop3, smtp_with};
use support::transcript::{check, order};
use support::{Driver, SECOND, origin};

/// A backend that refuses the password, up to that refusal.
const REFUSED_BY_BACKEND: &str = "
    S: +OK POP3 ready
    C: USER joe
    S: +OK
    C: PASS secret
    ! authenticate 1 plain joe secret
    > accepted 127.0.0.1:1100
    ! connect 127.0.0.1:1100
    > connected
    B: +OK
    P: USER joe
    B: +OK
    P: PASS secret
    B: -ERR mailbox is locked
    P: QUIT
";

#[test]
fn a_backend_refusal_is_an_internal_error() {
    let rest = "
        ! log BackendRefused \"-ERR mailbox is locked\" passed=false
        S: -ERR internal server error
        ! close client
        ! close backend
        ! finish
    ";
    check(&listener(pop3(StartTls::Off)), &[REFUSED_BY_BACKEND, rest].concat());
}

#[test]
fn a_backend_refusal_can_be_passed_on_and_the_login_tried_again() {
    let rest = "
        ! log BackendRefused \"-ERR mailbox is locked\" passed=true
        ! close backend
        > sleep 1
        > sleep 1
        S: -ERR mailbox is locked
        C: USER joe
        S: +OK
        C: PASS other
        ! authenticate 2 plain joe other
    ";
    let server = Server { pass_error_message: true, ..pop3(StartTls::Off) };
    check(&listener(server), &[REFUSED_BY_BACKEND, rest].concat());
}

/// `proxy_auth_failure`: in our words, whatever the backend's are.
#[test]
fn a_backend_refusal_can_be_told_as_a_failed_login() {
    let rest = "
        ! log BackendRefused \"-ERR mailbox is locked\" passed=true
        ! close backend
        > sleep 2
        S: -ERR invalid login or password
        C: USER joe
        S: +OK
        C: PASS other
        ! authenticate 2 plain joe other
    ";
    let server = Server { auth_failure: true, ..pop3(StartTls::Off) };
    check(&listener(server), &[REFUSED_BY_BACKEND, rest].concat());
    let server = Server { auth_failure: true, ..imap(StartTls::Off) };
    check(
        &listener(server),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        > connected
        B: * OK [CAPABILITY IMAP4rev1 LITERAL+] ready
        P: a1 LOGIN {3+}
        P: joe {6+}
        P: secret
        B: a1 NO no such user
        P: logout LOGOUT
        ! log BackendRefused \"NO no such user\" passed=true
        ! close backend
        > sleep 2
        S: a1 NO [AUTHENTICATIONFAILED] invalid login or password
        ",
    );
    let mut server = smtp_with(StartTls::Off, false, |settings| settings.proxy_smtp_auth = true);
    server.auth_failure = true;
    check(
        &listener(server),
        "
        S: 220 mx.example ESMTP ready
        C: HELO laptop
        S: 250 mx.example
        C: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! authenticate 1 plain joe secret, host [UNAVAILABLE]
        > accepted 127.0.0.1:1025
        ! connect 127.0.0.1:1025
        > connected
        B: 220 backend
        P: EHLO mx.example
        B: 250-backend
        B: 250 XCLIENT
        P: AUTH PLAIN AGpvZQBzZWNyZXQ=
        ! log NoXclient { fatal: false } while reading response from upstream
        B: 535 no
        P: QUIT
        ! log BackendRefused \"535 no\" passed=true
        ! close backend
        > sleep 2
        S: 535 5.7.8 invalid login or password
        ",
    );
}

/// What says nothing of the credentials stays an error of ours.
#[test]
fn only_a_clean_refusal_is_told_as_a_failed_login() {
    let server = Server { auth_failure: true, ..pop3(StartTls::Off) };
    check(
        &listener(server),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        B: -ERR try later
        P: QUIT
        S: -ERR internal server error
        ! log BackendRefused \"-ERR try later\" passed=false
        ! close client
        ! close backend
        ! finish
        ",
    );
}

/// A backend's outage is no wrong password, whatever step it shows at.
#[test]
fn a_refusal_for_another_reason_is_an_internal_error() {
    let server = Server { auth_failure: true, ..pop3(StartTls::Off) };
    let rest = "
        S: -ERR internal server error
        ! log BackendRefused \"-ERR [SYS/TEMP] mailbox is locked\" passed=false
        ! close client
        ! close backend
        ! finish
    ";
    let refused = REFUSED_BY_BACKEND.replace("-ERR ", "-ERR [SYS/TEMP] ");
    check(&listener(server), &[&refused, rest].concat());
}

/// The client that is shown the reason may wait and try again, as after any clean refusal.
#[test]
fn a_refusal_for_another_reason_is_passed_on() {
    let server = Server { auth_failure: true, pass_error_message: true, ..pop3(StartTls::Off) };
    let rest = "
        ! log BackendRefused \"-ERR [IN-USE] mailbox is locked\" passed=true
        ! close backend
        > sleep 2
        S: -ERR [IN-USE] mailbox is locked
        C: USER joe
        S: +OK
    ";
    let refused = REFUSED_BY_BACKEND.replace("-ERR ", "-ERR [IN-USE] ");
    check(&listener(server), &[&refused, rest].concat());
}

#[test]
fn a_backend_that_is_busy_ends_the_session() {
    let server = Server { pass_error_message: true, ..pop3(StartTls::Off) };
    check(
        &listener(server),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        B: -ERR try later
        P: QUIT
        S: -ERR try later
        ! log BackendRefused \"-ERR try later\" passed=true
        ! close client
        ! close backend
        ! finish
        ",
    );
}

#[test]
fn a_backend_that_cannot_be_reached_is_an_internal_error() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        > unreachable
        S: a1 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        ! log ConnectFailed(Refused(Errno(111))) while connecting to upstream
        ! close client
        ! finish
        ",
    );
}

#[test]
fn a_backend_gets_the_clients_addresses_first() {
    let server = Server { proxy_protocol: ProxyProtocol::V1, ..pop3(StartTls::Off) };
    check(
        &listener(server),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        P: PROXY TCP4 192.0.2.7 192.0.2.1 4711 143
        B: +OK
        P: USER joe
        ",
    );
}

#[test]
fn untagged_responses_may_come_whenever_the_backend_likes() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        > connected
        B: * OK ready
        P: a1 LOGIN {3}
        B: * OK still ready
        B: + go on
        P: joe {6}
        B: + go on
        P: secret
        B: * CAPABILITY IMAP4rev1
        B: a1 OK done
        S: * OK still ready
        S: * CAPABILITY IMAP4rev1
        S: a1 OK done
        ! log LoggedIn
        ! relay
        ",
    );
}

#[test]
fn a_backend_has_one_timeout_for_connect_and_login() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        > sleep 60
        S: a1 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        ! log BackendTimedOut while connecting to upstream
        ! cancel
        ! close client
        ! finish
        ",
    );
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > accepted 127.0.0.1:1143
        ! connect 127.0.0.1:1143
        > sleep 40
        > connected
        > sleep 20
        S: a1 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        ! log BackendTimedOut while reading response from upstream
        ! close client
        ! close backend
        ! finish
        ",
    );
}

/// A POP3 login up to the backend's greeting.
const CONNECTED: &str = "
    S: +OK POP3 ready
    C: USER joe
    S: +OK
    C: PASS x
    ! authenticate 1 plain joe x
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

#[test]
fn a_backend_that_closes_is_an_internal_error() {
    let closes = "
        B: +O\\
        > eof backend
        ! log BackendClosed while reading response from upstream
    ";
    check(&listener(pop3(StartTls::Off)), &[CONNECTED, closes, SPOILT].concat());
    let closes_after_the_password = "
        B: +OK ready
        P: USER joe
        B: +OK
        P: PASS x
        > eof backend
        ! log BackendClosed while reading response from upstream
    ";
    check(&listener(pop3(StartTls::Off)), &[CONNECTED, closes_after_the_password, SPOILT].concat());
}

#[test]
fn a_backend_that_answers_what_was_not_asked_is_an_internal_error() {
    let mut driver = Driver::open(&listener(pop3(StartTls::Off)));
    driver.input(Side::Client, b"USER joe\r\nPASS x\r\n");
    order("accepted 127.0.0.1:1100", &mut driver);
    order("connected", &mut driver);
    driver.take_client();
    driver.take_actions();
    driver.input(Side::Backend, b"+OK ready\r\n+OK user\r\n+OK pass\r\n");
    assert_eq!(driver.take_client(), "-ERR internal server error\r\n");
    assert!(!driver.take_backend().contains("PASS"));
    assert!(matches!(
        &driver.take_actions()[..],
        [Action::Log(..), Action::Close(Side::Client), Action::Close(Side::Backend), Action::Finish]
    ));
}

#[test]
fn a_backend_reply_over_the_buffer_is_an_internal_error() {
    let mut driver = Driver::open(&listener(pop3(StartTls::Off)));
    driver.input(Side::Client, b"USER joe\r\nPASS x\r\n");
    order("accepted 127.0.0.1:1100", &mut driver);
    order("connected", &mut driver);
    assert_eq!(driver.input_limit(Side::Backend), 512);
    driver.input(Side::Backend, &[b'x'; 500]);
    assert_eq!(driver.input_limit(Side::Backend), 12);
    driver.take_actions();
    driver.input(Side::Backend, &[b'x'; 12]);
    assert!(matches!(
        &driver.take_actions()[..],
        [Action::Log(..), Action::Close(Side::Client), Action::Close(Side::Backend), Action::Finish]
    ));
}

#[test]
fn a_backend_reply_over_the_buffer_is_logged_as_far_as_it_fits() {
    let long = "x".repeat(600);
    let shown = "x".repeat(512);
    let dialogue = format!(
        "
        B: {long}
        P: QUIT
        ! log BackendReplyTooLong \"{shown}\" while reading response from upstream
    "
    );
    check(&listener(pop3(StartTls::Off)), &[CONNECTED, &dialogue, SPOILT].concat());
}

/// The log names the backend while there is one.
#[test]
fn a_backend_that_has_refused_is_not_named_any_more() {
    let server = Server { pass_error_message: true, ..pop3(StartTls::Off) };
    let mut driver = Driver::open(&listener(server));
    let upstream = |driver: &Driver| driver.log_context().upstream.as_deref().map(str::to_owned);
    driver.input(Side::Client, b"USER joe\r\nPASS secret\r\n");
    assert_eq!(upstream(&driver), None);
    order("accepted 127.0.0.1:1100", &mut driver);
    assert_eq!(upstream(&driver).as_deref(), Some("127.0.0.1:1100"));
    order("connected", &mut driver);
    driver.input(Side::Backend, b"+OK\r\n");
    driver.input(Side::Backend, b"-ERR no\r\n");
    assert_eq!(upstream(&driver).as_deref(), Some("127.0.0.1:1100"), "until the client is told");
    driver.wait(2 * SECOND);
    assert_eq!(upstream(&driver), None);
    driver.input(Side::Client, b"USER joe\r\nPASS secret\r\n");
    order("accepted 127.0.0.1:1100", &mut driver);
    order("unreachable", &mut driver);
    assert_eq!(upstream(&driver).as_deref(), Some("127.0.0.1:1100"));
}

/// Nor is one that nobody will connect to.
#[test]
fn a_backend_without_its_password_is_not_named() {
    let mut driver = Driver::open(&listener(imap(StartTls::Off)));
    driver.input(Side::Client, b"a1 AUTHENTICATE CRAM-MD5\r\n");
    driver.input(Side::Client, b"am9lIDAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYmNjZGRlZWZm\r\n");
    order("accepted 127.0.0.1:1143", &mut driver);
    let failed = Action::Log(Event::AuthFailed(AuthFailure::NoPassword), Some(Stage::HttpAuth));
    assert!(driver.take_actions().contains(&failed));
    assert_eq!(driver.log_context().upstream, None);
}

/// Nothing follows `Relay`: what becomes of a leg before the relay is made is told by the relay, which is over then.
#[test]
fn a_leg_that_fails_behind_relay_is_the_relays() {
    for (side, first, second) in [
        (Side::Client, Action::Abort(Side::Client), Action::Close(Side::Backend)),
        (Side::Backend, Action::Close(Side::Client), Action::Abort(Side::Backend)),
    ] {
        let (mut session, now, mut out) = logged_in();
        session.handle_failure(side, SocketFailure::Send(Errno(32)), now, &mut out);
        assert_eq!(session.poll_action(), None);
        out = Output::default();
        let mut relay = session.into_relay(now, &mut out);
        assert!(out.is_empty());
        let actions: Vec<Action> = std::iter::from_fn(|| relay.poll_action()).collect();
        let stage = if side == Side::Client { Stage::SendingClient } else { Stage::SendingBackend };
        let failed = Action::Log(Event::SendFailed(side, Errno(32)), Some(stage));
        assert_eq!(actions, [failed, Action::Log(Event::Done, None), first, second, Action::Finish]);
        assert_eq!(relay.poll_deadline(), None);
    }
}

/// A session whose `Relay` is out.
fn logged_in() -> (Session, Instant, Output) {
    #[expect(clippy::disallowed_methods, reason = "a test's clock has to start somewhere")]
    let now = Instant::now();
    let mut out = Output::default();
    let mut session = Session::open(&listener(pop3(StartTls::Off)), &origin(), now, &mut out);
    let drain = |session: &mut Session| std::iter::from_fn(|| session.poll_action()).last();
    let accepted = Accepted {
        backend: BackendAddr { target: SocketAddr::from(([127, 0, 0, 1], 1100)).into(), name: "a".into() },
        ssl: None,
        login: None,
        password: None,
    };
    drain(&mut session);
    session.handle_input(Side::Client, &mut b"USER joe\r\nPASS x\r\n".to_vec(), now, &mut out);
    drain(&mut session);
    session.handle_completion(Completion::Auth(Ok(AuthReply::Accepted(accepted))), now, &mut out);
    drain(&mut session);
    session.handle_completion(Completion::Connected(Ok(())), now, &mut out);
    for _ in 0..3 {
        assert_ne!(drain(&mut session), Some(Action::Relay));
        session.handle_input(Side::Backend, &mut b"+OK\r\n".to_vec(), now, &mut out);
    }
    assert_eq!(drain(&mut session), Some(Action::Relay));
    (session, now, out)
}

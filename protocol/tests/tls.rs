//! Sessions under TLS: implicit and by STARTTLS, and what may go wrong on the way there.

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::sync::Arc;

use gatepost_protocol::action::{Action, Side};
use gatepost_protocol::client_certificate::{
    ClientCertificate, ClientVerification, ClientVerifier, VerifyClient,
};
use gatepost_protocol::config::{Listener, Server, StartTls};
use gatepost_protocol::event::{Event, Stage};
use rustls::pki_types::CertificateDer;
use support::server::{imap, listener, pop3, smtp};
use support::transcript::{check, order};
use support::{Driver, SECOND};
use tls::{TlsClient, secured};

fn implicit(server: Server) -> Listener {
    Listener { ssl: true, ..secured(server) }
}

#[test]
fn implicit_tls_covers_greeting_login_and_relay() {
    for step in [usize::MAX, 1] {
        let mut driver = Driver::open(&implicit(imap(StartTls::Off)));
        assert_eq!(driver.take_client(), "", "no greeting in clear");
        let mut client = TlsClient::new(step);
        assert_eq!(client.say(b"", &mut driver), "* OK IMAP4 ready\r\n");
        assert_eq!(client.say(b"a1 LOGIN joe secret\r\na2 SELECT x\r\n", &mut driver), "");
        let actions = driver.take_actions();
        let Some(Action::Authenticate(request)) = actions.last() else { panic!("{actions:?}") };
        assert_eq!(request.tls.as_ref().unwrap().protocol, "TLSv1.3");
        order("accepted 127.0.0.1:1143", &mut driver);
        order("connected", &mut driver);
        for line in ["* OK\r\n", "+ \r\n", "+ \r\n", "a1 OK done\r\n"] {
            driver.input(Side::Backend, line.as_bytes());
        }
        assert!(driver.is_relay() && !driver.relay().unwrap().is_transparent());
        assert!(driver.take_backend().ends_with("secret\r\na2 SELECT x\r\n"));
        assert_eq!(client.exchange(&mut driver), "a1 OK done\r\n");
        assert_eq!(client.say(b"a3 IDLE\r\n", &mut driver), "");
        assert_eq!(driver.take_backend(), "a3 IDLE\r\n");
        driver.input(Side::Backend, b"* 1 EXISTS\r\n");
        assert_eq!(client.exchange(&mut driver), "* 1 EXISTS\r\n");
    }
}

/// Must not be needed: the clients of these tests have no certificate.
#[derive(Debug)]
struct NoVerifier;

impl ClientVerifier for NoVerifier {
    fn verify(&self, chain: &[CertificateDer<'_>], _: u64) -> ClientCertificate {
        panic!("{chain:?}")
    }
}

#[test]
fn a_missing_certificate_is_told_under_tls() {
    let required = |server: Server, policy| {
        let verification = ClientVerification { policy, verifier: Arc::new(NoVerifier) };
        Server { verify_client: Some(verification), ..server }
    };
    for (server, starttls, positive, expected) in [
        (
            imap(StartTls::On),
            "a STARTTLS\r\n",
            "* OK IMAP4 ready\r\n",
            "* BYE No required SSL certificate\r\n",
        ),
        (pop3(StartTls::On), "STLS\r\n", "+OK POP3 ready\r\n", "-ERR No required SSL certificate\r\n"),
        (smtp(StartTls::On), "EHLO a\r\nSTARTTLS\r\n", "220 ", "421 4.7.1 No required SSL certificate\r\n"),
    ] {
        let optional = implicit(required(server.clone(), VerifyClient::Optional));
        let mut driver = Driver::open(&optional);
        assert!(TlsClient::new(usize::MAX).say(b"", &mut driver).starts_with(positive));

        let server = required(server, VerifyClient::Required);
        let mut driver = Driver::open(&implicit(server.clone()));
        assert_eq!(TlsClient::new(usize::MAX).say(b"", &mut driver), expected, "no greeting");
        assert_eq!(driver.take_actions()[1..], turned_away(Stage::Handshaking));

        let mut driver = Driver::open(&secured(server));
        driver.input(Side::Client, starttls.as_bytes());
        driver.take_client();
        driver.take_actions();
        // What comes right behind the handshake is not heard.
        assert_eq!(TlsClient::new(usize::MAX).say(b"NOOP\r\n", &mut driver), expected);
        assert_eq!(driver.take_actions(), turned_away(Stage::StartingTls));
    }
}

fn turned_away(stage: Stage) -> [Action; 3] {
    [Action::Log(Event::NoCertificate, Some(stage)), Action::Close(Side::Client), Action::Finish]
}

/// A session that relays under TLS, and its client.
fn relaying() -> (Driver, TlsClient) {
    let mut driver = Driver::open(&implicit(pop3(StartTls::Off)));
    let mut client = TlsClient::new(usize::MAX);
    client.say(b"USER joe\r\nPASS x\r\n", &mut driver);
    order("accepted 127.0.0.1:1100", &mut driver);
    order("connected", &mut driver);
    (0..3).for_each(|_| driver.input(Side::Backend, b"+OK\r\n"));
    client.exchange(&mut driver);
    driver.take_actions();
    driver.take_backend();
    (driver, client)
}

#[test]
fn close_notify_is_an_end_of_input() {
    let (mut driver, mut client) = relaying();
    client.close(&mut driver);
    assert_eq!(driver.take_actions(), [Action::Shutdown(Side::Backend)]);
    driver.input(Side::Backend, b"+OK\r\n");
    assert_eq!(client.exchange(&mut driver), "+OK\r\n", "the other direction goes on");
    driver.eof(Side::Client);
    assert_eq!(driver.take_actions(), [], "the FIN behind it says nothing new");
    driver.eof(Side::Backend);
    assert_eq!(driver.take_actions().last(), Some(&Action::Finish));
    client.exchange(&mut driver);
    assert!(client.has_got_close_notify());
}

#[test]
fn bytes_behind_a_close_notify_are_no_sign_of_life() {
    let (mut driver, mut client) = relaying();
    client.close(&mut driver);
    driver.take_actions();
    let limit = driver.deadline();
    driver.wait(SECOND);
    driver.input(Side::Client, b"x");
    assert_eq!(driver.deadline(), limit);
    driver.input(Side::Backend, b"+OK\r\n");
    assert!(driver.deadline() > limit);
}

#[test]
fn the_end_of_the_backend_reaches_the_client_as_close_notify() {
    let (mut driver, mut client) = relaying();
    driver.eof(Side::Backend);
    assert_eq!(driver.take_actions(), [Action::Shutdown(Side::Client)]);
    client.exchange(&mut driver);
    assert!(client.has_got_close_notify());
    client.say(b"QUIT\r\n", &mut driver);
    assert_eq!(driver.take_backend(), "QUIT\r\n", "the other direction goes on");
}

#[test]
fn starttls_starts_a_session_anew_under_tls() {
    for (server, commands) in [
        (imap(StartTls::Only), ["a1 STARTTLS\r\n", "a2 NOOP\r\n", "a2 OK completed\r\n"]),
        (pop3(StartTls::On), ["STLS\r\n", "NOOP\r\n", "+OK\r\n"]),
        (smtp(StartTls::On), ["STARTTLS\r\n", "NOOP\r\n", "250 2.0.0 OK\r\n"]),
    ] {
        let mut driver = Driver::open(&secured(server));
        driver.take_client();
        assert!(!driver.log_context().starttls);
        driver.input(Side::Client, commands[0].as_bytes());
        assert!(driver.take_client().contains(['O', '2']), "a positive reply in clear");
        assert!(driver.log_context().starttls);
        let mut client = TlsClient::new(usize::MAX);
        assert_eq!(client.say(b"", &mut driver), "", "no second greeting");
        assert_eq!(client.say(commands[1].as_bytes(), &mut driver), commands[2]);
        assert_eq!(driver.deadline_after(), Some(60 * SECOND), "the deadline runs on");
    }
}

#[test]
fn bytes_in_clear_behind_starttls_end_the_session() {
    for (server, command, reply) in [
        (imap(StartTls::On), "a1 STARTTLS\r\na2 NOOP\r\n", "a1 BAD invalid command\r\n"),
        (pop3(StartTls::On), "STLS\r\nNOOP\r\n", "-ERR invalid command\r\n"),
        (smtp(StartTls::On), "STARTTLS\r\n\r\n", "50"),
    ] {
        let mut driver = Driver::open(&secured(server));
        driver.take_client();
        driver.take_actions();
        driver.input(Side::Client, command.as_bytes());
        let said = driver.take_client();
        assert!(said.starts_with(reply) && said.lines().count() == 1, "{said}");
        assert_eq!(
            driver.take_actions(),
            [
                Action::Log(Event::PlaintextAfterStartTls(Side::Client), Some(Stage::Auth)),
                Action::Close(Side::Client),
                Action::Finish
            ]
        );
    }
}

#[test]
fn bytes_in_clear_instead_of_a_handshake_end_the_session() {
    let mut driver = Driver::open(&secured(pop3(StartTls::On)));
    driver.input(Side::Client, b"STLS\r\n");
    driver.take_actions();
    driver.input(Side::Client, b"USER joe\r\nPASS secret\r\n");
    let actions = driver.take_actions();
    assert!(
        matches!(
            &actions[..],
            [
                Action::Log(Event::TlsFailed(Side::Client, _), Some(Stage::StartingTls)),
                Action::Close(Side::Client),
                Action::Finish
            ]
        ),
        "{actions:?}"
    );
}

#[test]
fn a_handshake_has_to_end_within_timeout() {
    check(
        &implicit(pop3(StartTls::Off)),
        "
        > sleep 60
        ! log ClientTimedOut while SSL handshaking
        ! close client
        ! finish
        ",
    );
    check(
        &secured(pop3(StartTls::On)),
        "
        S: +OK POP3 ready
        > sleep 20
        C: STLS
        S: +OK
        > sleep 40
        ! log ClientTimedOut while in starttls state
        ! close client
        ! finish
        ",
    );
}

#[test]
fn tls_follows_a_proxy_header() {
    for step in [usize::MAX, 7] {
        let listener = Listener { proxy_protocol: true, ..implicit(pop3(StartTls::Off)) };
        let mut driver = Driver::open(&listener);
        for part in b"PROXY TCP4 198.51.100.7 192.0.2.1 5 995\r\n".chunks(step) {
            driver.input(Side::Client, part);
        }
        let mut client = TlsClient::new(step);
        assert_eq!(client.say(b"NOOP\r\n", &mut driver), "+OK POP3 ready\r\n+OK\r\n");
    }
}

#[test]
fn a_session_under_tls_ends_with_close_notify() {
    let mut driver = Driver::open(&implicit(pop3(StartTls::Off)));
    let mut client = TlsClient::new(usize::MAX);
    assert_eq!(client.say(b"QUIT\r\n", &mut driver), "+OK POP3 ready\r\n+OK\r\n");
    assert!(client.has_got_close_notify());
    assert_eq!(driver.take_actions().last(), Some(&Action::Finish));
}

#[test]
fn a_listener_without_certificate_closes() {
    let driver = Driver::open(&Listener { ssl: true, ..listener(pop3(StartTls::Off)) });
    assert!(matches!(driver.actions[1], Action::Log(Event::TlsFailed(Side::Client, _), _)));
    assert_eq!(driver.actions.last(), Some(&Action::Finish));
}

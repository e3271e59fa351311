//! TLS towards the backend where it fails: then the login does, and never in clear.

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::action::{Action, Completion, Side};
use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, BackendAddr};
use gatepost_protocol::client_certificate::VerifyFailure;
use gatepost_protocol::config::{BackendTls, Listener, ProxySsl, Server, StartTls};
use gatepost_protocol::event::{Event, Stage};
use gatepost_protocol::session::SocketFailure;
use gatepost_protocol::transport::PeerFault;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use support::server::{NAME, imap, listener, pop3, smtp};
use support::transcript::order;
use support::{Driver, SECOND};
use tls::{TlsBackend, configs, take_clear, with_backend_tls};

const POP3_ERROR: &str = "-ERR internal server error\r\n";

/// A client that has logged in with POP3, and a backend that is connected.
fn connected(listener: &Listener) -> Driver {
    let mut driver = asked(listener);
    order("accepted 127.0.0.1:1100", &mut driver);
    order("connected", &mut driver);
    driver.take_client();
    driver.take_actions();
    driver
}

/// The same before the auth server has answered.
fn asked(listener: &Listener) -> Driver {
    let mut driver = Driver::open(listener);
    driver.input(Side::Client, b"USER joe\r\nPASS secret\r\n");
    driver
}

fn towards(mode: ProxySsl) -> Listener {
    listener(with_backend_tls(mode, pop3(StartTls::Off)))
}

#[track_caller]
fn assert_over(driver: &mut Driver, event: Event, stage: Stage) {
    assert_eq!(driver.take_client(), POP3_ERROR);
    let expected = [
        Action::Log(event, Some(stage)),
        Action::Close(Side::Client),
        Action::Close(Side::Backend),
        Action::Finish,
    ];
    assert_eq!(driver.take_actions(), expected);
    assert_eq!(driver.deadline(), None);
}

/// Another certificate for the same name.
fn stranger() -> Arc<ServerConfig> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.into()], key);
    Arc::new(config.expect("a server"))
}

#[test]
fn a_strangers_certificate_ends_the_login() {
    for step in [1, usize::MAX] {
        let mut driver = connected(&towards(ProxySsl::On));
        let mut backend = TlsBackend::with(stranger(), step);
        backend.exchange(&mut driver).expect_err("an alert");
        let failure =
            VerifyFailure { code: 7, reason: "certificate signature failure", is_unknown_issuer: false };
        let event = Event::BackendNotTrusted(PeerFault::Unverified(failure));
        assert_over(&mut driver, event, Stage::HandshakingBackend);
    }
}

#[test]
fn a_certificate_for_another_name_ends_the_login() {
    let name = ServerName::try_from("other.example").expect("a name");
    let proxy_ssl = BackendTls { mode: ProxySsl::On, config: Some(configs().1), name: Some(name) };
    let mut driver = connected(&listener(Server { proxy_ssl, ..pop3(StartTls::Off) }));
    TlsBackend::new(9).exchange(&mut driver).expect_err("an alert");
    let event = Event::BackendNotTrusted(PeerFault::WrongName("other.example".into()));
    assert_over(&mut driver, event, Stage::HandshakingBackend);
}

/// Without `proxy_ssl_name` the address is what the certificate must be for.
#[test]
fn the_address_is_the_name_that_is_expected() {
    let proxy_ssl = BackendTls { mode: ProxySsl::On, config: Some(configs().1), name: None };
    let mut driver = connected(&listener(Server { proxy_ssl, ..pop3(StartTls::Off) }));
    let mut backend = TlsBackend::new(usize::MAX);
    backend.exchange(&mut driver).expect_err("an alert");
    assert_eq!(backend.server_name(), None, "an address is no server name");
    let event = Event::BackendNotTrusted(PeerFault::WrongName("127.0.0.1".into()));
    assert_over(&mut driver, event, Stage::HandshakingBackend);
}

#[test]
fn the_backend_hears_the_name_and_no_alpn() {
    let mut driver = connected(&towards(ProxySsl::On));
    let mut backend = TlsBackend::new(usize::MAX);
    backend.exchange(&mut driver).expect("a handshake");
    assert_eq!((backend.server_name(), backend.alpn()), (Some(NAME), None));
}

#[test]
fn a_backend_that_speaks_in_clear_is_not_understood() {
    for step in [1, usize::MAX] {
        let mut driver = connected(&towards(ProxySsl::On));
        driver.take_backend();
        b"+OK POP3 ready\r\n".chunks(step.min(16)).for_each(|part| driver.input(Side::Backend, part));
        let event = Event::TlsFailed(Side::Backend, "wrong version number".into());
        assert_over(&mut driver, event, Stage::HandshakingBackend);
        assert!(!driver.take_backend().contains("USER"));
    }
}

/// What lies behind the answer to STARTTLS was not said by whom TLS will vouch for.
#[test]
fn bytes_in_clear_behind_the_answer_end_the_login() {
    let tls = |server| listener(with_backend_tls(ProxySsl::StartTls, server));
    for (listener, client, answers, said, reply) in [
        (
            tls(pop3(StartTls::Off)),
            "USER joe\r\nPASS secret\r\n",
            &["+OK ready\r\n", "+OK begin\r\n+OK in advance\r\n"][..],
            "STLS\r\n",
            POP3_ERROR,
        ),
        (
            tls(imap(StartTls::Off)),
            "a1 LOGIN joe secret\r\n",
            &["* OK ready\r\n", "starttls OK begin\r\n* CAPABILITY X\r\n"],
            "starttls STARTTLS\r\n",
            "a1 NO [UNAVAILABLE] internal server error\r\n* BYE internal server error\r\n",
        ),
        (
            tls(smtp(StartTls::Off)),
            "EHLO x\r\nAUTH PLAIN AGpvZQBzZWNyZXQ=\r\n",
            &["220 ready\r\n", "250-x\r\n250 STARTTLS\r\n", "220 go\r\n2"],
            "EHLO mx.example\r\nSTARTTLS\r\n",
            "451 4.3.2 Internal server error\r\n",
        ),
    ] {
        let mut driver = Driver::open(&listener);
        driver.input(Side::Client, client.as_bytes());
        order("accepted 127.0.0.1:1100", &mut driver);
        order("connected", &mut driver);
        driver.take_client();
        driver.take_actions();
        answers.iter().for_each(|answer| driver.input(Side::Backend, answer.as_bytes()));
        assert_eq!(driver.take_backend(), said, "and no handshake");
        assert_eq!(driver.take_client(), reply);
        let event = Event::PlaintextAfterStartTls(Side::Backend);
        assert_eq!(driver.take_actions()[0], Action::Log(event, Some(Stage::ReadingResponse)));
    }
}

/// The same bytes in a read of their own: they are no TLS.
#[test]
fn bytes_in_clear_instead_of_the_handshake_end_the_login() {
    let mut driver = connected(&towards(ProxySsl::StartTls));
    driver.input(Side::Backend, b"+OK ready\r\n");
    driver.input(Side::Backend, b"+OK begin\r\n");
    assert_eq!(take_clear(&mut driver), "STLS\r\n");
    driver.input(Side::Backend, b"+OK in advance\r\n");
    let event = Event::TlsFailed(Side::Backend, "wrong version number".into());
    assert_over(&mut driver, event, Stage::HandshakingBackend);
}

/// A server that speaks before the client's part of the handshake is over.
fn hasty() -> Arc<ServerConfig> {
    let mut config = (*configs().0).clone();
    config.send_half_rtt_data = true;
    Arc::new(config)
}

#[test]
fn a_greeting_may_come_with_the_handshake() {
    for step in [1, usize::MAX] {
        let mut driver = connected(&towards(ProxySsl::On));
        let mut backend = TlsBackend::with(hasty(), step);
        assert_eq!(backend.say(b"+OK ready\r\n", &mut driver).expect("TLS"), "USER joe\r\n");
    }
}

/// Under TLS, too, a backend has nothing to say before the first command behind STARTTLS.
#[test]
fn early_words_behind_starttls_are_no_reply() {
    let mut driver = connected(&towards(ProxySsl::StartTls));
    driver.input(Side::Backend, b"+OK ready\r\n");
    driver.input(Side::Backend, b"+OK begin\r\n");
    take_clear(&mut driver);
    let mut backend = TlsBackend::with(hasty(), usize::MAX);
    assert_eq!(backend.say(b"+OK in advance\r\n", &mut driver).expect("TLS"), "QUIT\r\n");
    let event = Event::BackendRefused { text: b"+OK in advance".to_vec(), passed: false };
    assert_over(&mut driver, event, Stage::ReadingResponse);
}

#[test]
fn a_backend_that_leaves_in_the_handshake_is_an_internal_error() {
    let mut driver = connected(&towards(ProxySsl::On));
    driver.eof(Side::Backend);
    assert_over(&mut driver, Event::ClosedInHandshake(Side::Backend), Stage::HandshakingBackend);

    let mut driver = connected(&towards(ProxySsl::On));
    order("reset backend", &mut driver);
    assert_eq!(driver.take_client(), POP3_ERROR);
    let event = Event::ReceiveFailed(Side::Backend, gatepost_protocol::action::Errno(104));
    assert_eq!(
        driver.take_actions()[..2],
        [Action::Log(event, Some(Stage::HandshakingBackend)), Action::Abort(Side::Backend),]
    );
}

#[test]
fn a_failure_under_tls_writes_no_farewell() {
    let mut driver = connected(&towards(ProxySsl::On));
    let mut backend = TlsBackend::new(usize::MAX);
    backend.say(b"+OK ready\r\n", &mut driver).expect("a handshake");
    driver.failure(Side::Backend, SocketFailure::Send(gatepost_protocol::action::Errno(32)));
    assert_eq!(driver.take_client(), POP3_ERROR);
    assert!(driver.backend.is_empty());
}

/// `timeout` covers the handshake like all that comes before the relay.
#[test]
fn the_handshake_is_part_of_the_login_time() {
    let mut driver = connected(&towards(ProxySsl::On));
    assert_eq!(driver.deadline_after(), Some(Duration::from_secs(60)));
    driver.wait(59 * SECOND);
    assert!(driver.take_actions().is_empty());
    driver.wait(SECOND);
    assert_over(&mut driver, Event::BackendTimedOut, Stage::HandshakingBackend);
}

#[test]
fn the_patience_of_a_stopping_worker_ends_the_handshake() {
    let mut driver = connected(&towards(ProxySsl::On));
    order("expire", &mut driver);
    assert_over(&mut driver, Event::ShutdownTimedOut, Stage::HandshakingBackend);
}

#[test]
fn a_refusal_under_tls_says_goodbye_under_tls() {
    let server = Server { pass_error_message: true, ..pop3(StartTls::Off) };
    let mut driver = connected(&listener(with_backend_tls(ProxySsl::On, server)));
    for round in 0..2 {
        let mut backend = TlsBackend::new(7);
        assert_eq!(backend.say(b"+OK ready\r\n", &mut driver).expect("TLS"), "USER joe\r\n", "{round}");
        assert_eq!(backend.say(b"+OK\r\n", &mut driver).expect("TLS"), "PASS secret\r\n");
        assert_eq!(backend.say(b"-ERR no\r\n", &mut driver).expect("TLS"), "QUIT\r\n");
        assert!(backend.has_got_close_notify());
        driver.wait(2 * SECOND);
        assert_eq!(driver.take_client(), "-ERR no\r\n");
        // The next backend gets a handshake of its own.
        driver.input(Side::Client, b"USER joe\r\nPASS secret\r\n");
        order("accepted 127.0.0.1:1100", &mut driver);
        order("connected", &mut driver);
        driver.take_client();
    }
}

#[test]
fn close_notify_is_the_end_of_a_backend() {
    let mut driver = connected(&towards(ProxySsl::On));
    let mut backend = TlsBackend::new(usize::MAX);
    backend.say(b"+OK ready\r\n", &mut driver).expect("TLS");
    backend.close(&mut driver).expect("TLS");
    assert_over(&mut driver, Event::BackendClosed, Stage::ReadingResponse);
}

/// rustls hands out the record with the last reply before it looks at the next one: the login is complete, and the relay
/// ends as it began. Nothing is said in clear, and the client gets no second answer.
#[test]
fn a_broken_record_behind_the_last_reply_ends_the_relay() {
    for junk in [&b"junk\n"[..], &[23, 3, 3, 0, 1, 0], &[21, 3, 3, 0, 2, 2, 40]] {
        let mut driver = connected(&towards(ProxySsl::On));
        let mut backend = TlsBackend::new(usize::MAX);
        for line in ["+OK ready\r\n", "+OK\r\n"] {
            backend.say(line.as_bytes(), &mut driver).expect("TLS");
        }
        let last = backend.records(b"+OK 2 messages\r\n");
        driver.input(Side::Backend, &[&last, junk].concat());
        assert_eq!(driver.take_client(), "+OK 2 messages\r\n");
        assert!(driver.is_relay());
        let actions = driver.take_actions();
        let Action::Log(Event::TlsFailed(Side::Backend, _), Some(Stage::ReadingBackend)) = &actions[2] else {
            panic!("{actions:?}");
        };
        assert_eq!(actions[..2], [Action::Log(Event::LoggedIn, None), Action::Relay]);
        let end = [
            Action::Log(Event::Done, None),
            Action::Close(Side::Client),
            Action::Close(Side::Backend),
            Action::Finish,
        ];
        assert_eq!(actions[3..], end);
        assert_eq!(driver.deadline(), None);
        driver.take_backend();
        driver.input(Side::Client, b"RETR 1\r\n");
        assert_eq!(driver.take_backend(), "");
    }
}

#[test]
fn the_relay_passes_ends_under_tls() {
    let mut driver = connected(&towards(ProxySsl::On));
    let mut backend = TlsBackend::new(3);
    for line in ["+OK ready\r\n", "+OK\r\n", "+OK 2 messages\r\n"] {
        backend.say(line.as_bytes(), &mut driver).expect("TLS");
    }
    assert_eq!(driver.take_client(), "+OK 2 messages\r\n");
    driver.take_actions();
    driver.input(Side::Client, b"QUIT\r\n");
    driver.eof(Side::Client);
    assert_eq!(driver.take_actions(), [Action::Shutdown(Side::Backend)]);
    assert_eq!(backend.say(b"+OK bye\r\n", &mut driver).expect("TLS"), "QUIT\r\n");
    assert!(backend.has_got_close_notify());
    assert_eq!(driver.take_client(), "+OK bye\r\n");
    backend.close(&mut driver).expect("TLS");
    assert_eq!(driver.take_actions().last(), Some(&Action::Finish));
}

/// `Auth-Server-SSL` decides for one login.
#[test]
fn the_auth_server_chooses_per_login() {
    for (configured, chosen, expected) in [
        (ProxySsl::Off, Some(ProxySsl::On), ProxySsl::On),
        (ProxySsl::On, Some(ProxySsl::Off), ProxySsl::Off),
        (ProxySsl::On, Some(ProxySsl::StartTls), ProxySsl::StartTls),
        (ProxySsl::StartTls, None, ProxySsl::StartTls),
    ] {
        let mut driver = asked(&towards(configured));
        driver.complete(Completion::Auth(Ok(AuthReply::Accepted(accepted(chosen)))));
        order("connected", &mut driver);
        let begins_at_once = !driver.backend.is_empty();
        assert_eq!(begins_at_once, expected == ProxySsl::On, "{configured:?} {chosen:?}");
        if expected != ProxySsl::On {
            driver.input(Side::Backend, b"+OK ready\r\n");
            let command = if expected == ProxySsl::Off { "USER joe\r\n" } else { "STLS\r\n" };
            assert_eq!(driver.take_backend(), command);
        }
    }
}

#[test]
fn tls_that_is_not_configured_is_not_done_without() {
    for mode in [ProxySsl::On, ProxySsl::StartTls] {
        let mut driver = asked(&listener(pop3(StartTls::Off)));
        driver.take_client();
        driver.take_actions();
        driver.complete(Completion::Auth(Ok(AuthReply::Accepted(accepted(Some(mode))))));
        assert_eq!(driver.take_client(), POP3_ERROR);
        let event = Event::AuthFailed(AuthFailure::NoBackendTls);
        let expected =
            [Action::Log(event, Some(Stage::HttpAuth)), Action::Close(Side::Client), Action::Finish];
        assert_eq!(driver.take_actions(), expected);
    }
}

fn accepted(ssl: Option<ProxySsl>) -> Accepted {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1100));
    let backend = BackendAddr { target: address.into(), name: "127.0.0.1:1100".into() };
    Accepted { backend, ssl, login: None, password: None }
}

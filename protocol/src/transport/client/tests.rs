//! The client transport against rustls's own server, in memory.

use std::io::{Read, Write};

use proptest::prelude::*;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::*;
use crate::client_certificate::VerifyFailure;
use crate::transport::tests::{BOTH, configs};
use crate::transport::{PeerFault, TlsCause};

/// Both ends of one connection, and what each has received in clear.
struct Pair {
    client: TlsClient,
    server: ServerConnection,
    at_client: Vec<u8>,
    at_server: Vec<u8>,
    /// The client's output that has not been given to the server.
    output: BytesMut,
    /// How many wire bytes the client gets at once.
    step: usize,
}

impl Pair {
    fn new(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>, name: &'static str, step: usize) -> Self {
        let mut output = BytesMut::new();
        let name = ServerName::try_from(name).unwrap();
        let client = TlsClient::new(client, name, &mut output).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        server.set_buffer_limit(None);
        Self { client, server, at_client: Vec::new(), at_server: Vec::new(), output, step }
    }

    fn connected(version: &'static rustls::SupportedProtocolVersion, step: usize) -> Self {
        let (server, client) = configs(version);
        let mut pair = Self::new(&server, &Arc::new(client), "mail.example", step);
        pair.exchange();
        assert!(!pair.client.is_handshaking() && !pair.server.is_handshaking());
        pair
    }

    fn server_wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn give_client(&mut self, wire: &[u8]) -> Result<(), TlsError> {
        for part in wire.chunks(self.step) {
            let mut part = part.to_vec();
            self.client.receive(&mut part, &mut self.output, &mut |bytes| {
                self.at_client.extend_from_slice(bytes);
            })?;
        }
        Ok(())
    }

    fn give_server(&mut self) -> Result<(), rustls::Error> {
        let wire = self.output.split();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            self.server.read_tls(&mut rest).unwrap();
            self.server.process_new_packets()?;
            let mut part = Vec::new();
            match self.server.reader().read_to_end(&mut part) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
            self.at_server.extend_from_slice(&part);
        }
        Ok(())
    }

    /// Passes wire bytes both ways until there are none.
    fn exchange(&mut self) {
        loop {
            self.give_server().unwrap();
            let wire = self.server_wire();
            if wire.is_empty() && self.output.is_empty() {
                return;
            }
            self.give_client(&wire).unwrap();
        }
    }

    /// How the client takes the server's side of the handshake.
    fn shake(&mut self) -> Result<(), TlsError> {
        for _ in 0..4 {
            self.give_server().unwrap();
            let wire = self.server_wire();
            self.give_client(&wire)?;
        }
        Ok(())
    }
}

#[test]
fn the_client_speaks_first() {
    let (server, client) = configs(&TLS13);
    let pair = Pair::new(&server, &Arc::new(client), "mail.example", 1);
    assert!(pair.client.is_handshaking());
    assert_eq!(&pair.output[..3], [22, 3, 1]);
}

#[test]
fn data_passes_however_input_is_cut() {
    for version in BOTH {
        for step in [1, 2, 5, 6, 100, 1000, usize::MAX] {
            let mut pair = Pair::connected(version, step);
            assert_eq!(pair.client.pending_capacity(), 0);
            pair.server.writer().write_all(b"* OK ready\r\n").unwrap();
            pair.server.writer().write_all(b"* OK more\r\n").unwrap();
            pair.client.send(b"a1 CAPABILITY\r\n", &mut pair.output);
            pair.exchange();
            assert_eq!(pair.at_client, b"* OK ready\r\n* OK more\r\n", "{version:?} {step}");
            assert_eq!(pair.at_server, b"a1 CAPABILITY\r\n");
            assert_eq!(pair.client.pending_capacity(), 0);
        }
    }
}

/// A backend's greeting comes with the last flight of its handshake.
#[test]
fn data_behind_the_handshake_is_not_lost() {
    for version in BOTH {
        for step in [1, usize::MAX] {
            let (server, client) = configs(version);
            let mut pair = Pair::new(&server, &Arc::new(client), "mail.example", step);
            pair.server.writer().write_all(b"+OK ready\r\n").unwrap();
            pair.exchange();
            assert_eq!(pair.at_client, b"+OK ready\r\n");
        }
    }
}

#[test]
fn a_certificate_for_others_is_told_by_the_name_that_was_wanted() {
    for version in BOTH {
        let (server, client) = configs(version);
        let mut pair = Pair::new(&server, &Arc::new(client), "other.example", 9);
        let error = pair.shake().unwrap_err();
        assert_eq!(error.peer_fault(), Some(PeerFault::WrongName("other.example".into())));
        // The server is told why, and hears nothing else.
        let alert = pair.give_server().unwrap_err();
        assert_eq!(alert, rustls::Error::AlertReceived(rustls::AlertDescription::BadCertificate));
        pair.client.send(b"USER joe\r\n", &mut pair.output);
        assert!(pair.output.is_empty() && pair.client.is_handshaking());
    }
}

/// Another key under the same name.
#[test]
fn a_strangers_certificate_is_told_in_openssls_words() {
    let (server, _) = configs(&TLS13);
    let (_, client) = configs(&TLS13);
    let error = Pair::new(&server, &Arc::new(client), "mail.example", 100).shake().unwrap_err();
    let failure =
        VerifyFailure { code: 7, reason: "certificate signature failure", is_unknown_issuer: false };
    assert_eq!(error.peer_fault(), Some(PeerFault::Unverified(failure)));
}

#[test]
fn clear_text_where_a_handshake_is_due_is_named() {
    for wire in [&b"+OK ready\r\n"[..], b"* OK ready\r\n", b"220 mx ESMTP\r\n"] {
        for step in [1, usize::MAX] {
            let (server, client) = configs(&TLS13);
            let mut pair = Pair::new(&server, &Arc::new(client), "mail.example", step);
            let error = pair.give_client(wire).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.peer_fault()), ("wrong version number", None));
            assert_eq!(error.cause(), TlsCause::NoTls);
            assert!(pair.at_client.is_empty());
            pair.give_client(wire).unwrap();
            assert!(pair.at_client.is_empty() && pair.client.pending_capacity() == 0);
        }
    }
}

#[test]
fn versions_that_do_not_meet_are_told() {
    let (server, _) = configs(&TLS12);
    let (_, client) = configs(&TLS13);
    let mut pair = Pair::new(&server, &Arc::new(client), "mail.example", usize::MAX);
    pair.give_server().unwrap_err();
    let wire = pair.server_wire();
    let error = pair.give_client(&wire).unwrap_err();
    assert!(error.to_string().starts_with("received fatal alert: "), "{error}");
    assert_eq!(error.cause(), TlsCause::Version);
}

#[test]
fn what_a_setting_would_change_is_known_of_alerts() {
    for (alert, cause) in [
        (70, TlsCause::Version),
        (40, TlsCause::Negotiation),
        (71, TlsCause::Negotiation),
        (116, TlsCause::OwnCertificate),
        (42, TlsCause::OwnCertificate),
        (46, TlsCause::OwnCertificate),
        (48, TlsCause::OwnCertificate),
        (112, TlsCause::Name),
        (120, TlsCause::Application),
        (80, TlsCause::Other),
    ] {
        let (server, client) = configs(&TLS12);
        let mut pair = Pair::new(&server, &Arc::new(client), "mail.example", usize::MAX);
        let error = pair.give_client(&[21, 3, 3, 0, 2, 2, alert]).unwrap_err();
        assert_eq!((error.cause(), error.peer_fault()), (cause, None), "{error}");
    }
}

#[test]
fn sessions_resume() {
    for version in BOTH {
        let (server, client) = configs(version);
        let client = Arc::new(client);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut pair = Pair::new(&server, &client, "mail.example", 100);
            pair.exchange();
            assert_eq!(pair.server.handshake_kind(), Some(kind));
        }
    }
}

#[test]
fn close_notify_is_heard_and_said_once() {
    for version in BOTH {
        let mut pair = Pair::connected(version, 7);
        pair.server.writer().write_all(b"* BYE\r\n").unwrap();
        pair.server.send_close_notify();
        let wire = pair.server_wire();
        pair.give_client(&wire).unwrap();
        assert_eq!(pair.at_client, b"* BYE\r\n");
        assert!(pair.client.is_closed_by_peer());
        pair.client.send(b"last words", &mut pair.output);
        pair.client.close(&mut pair.output);
        let length = pair.output.len();
        pair.client.close(&mut pair.output);
        pair.client.send(b"more", &mut pair.output);
        assert_eq!(pair.output.len(), length);
        pair.give_server().unwrap();
        assert_eq!(pair.at_server, b"last words");
    }
}

#[test]
fn key_updates_are_answered_before_the_next_data() {
    let mut pair = Pair::connected(&TLS13, 3);
    for round in 1..4 {
        pair.server.refresh_traffic_keys().unwrap();
        pair.server.writer().write_all(b"x").unwrap();
        let wire = pair.server_wire();
        pair.give_client(&wire).unwrap();
        pair.client.send(b"y", &mut pair.output);
        pair.give_server().unwrap();
        assert_eq!((pair.at_client.len(), pair.at_server.len()), (round, round));
    }
}

#[test]
fn debug_shows_no_bytes() {
    let pair = Pair::connected(&TLS13, 1);
    assert_eq!(
        format!("{:?}", pair.client),
        "Tls { handshaking: false, pending: 0, deaf: false, mute: false, .. }"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One damaged byte anywhere in what the server sends, in pieces of any size.
    #[test]
    fn damage_never_panics(tls13: bool, at in 0..1500usize, flip in 1..=255u8, step in 1..600usize) {
        let (server, client) = configs(BOTH[usize::from(tls13)]);
        let mut pair = Pair::new(&server, &Arc::new(client), "mail.example", step);
        let mut sent = 0;
        for round in 0..4 {
            if pair.give_server().is_err() {
                break;
            }
            if round == 2 {
                pair.server.writer().write_all(b"* OK ready\r\n").unwrap();
            }
            let mut wire = pair.server_wire();
            if let Some(byte) = at.checked_sub(sent).and_then(|at| wire.get_mut(at)) {
                *byte ^= flip;
            }
            sent += wire.len();
            if pair.give_client(&wire).is_err() {
                break;
            }
            if !pair.client.is_handshaking() {
                pair.client.send(b"a1 NOOP\r\n", &mut pair.output);
            }
        }
        pair.client.close(&mut pair.output);
        prop_assert!(pair.at_client.is_empty() || pair.at_client == b"* OK ready\r\n");
    }
}

//! The server transport against rustls's own client, in memory.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::*;

pub(super) const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A server configuration with ALPN `imap`, and a client configuration that trusts it.
pub(super) fn configs(version: &'static SupportedProtocolVersion) -> (Arc<ServerConfig>, ClientConfig) {
    let certified = rcgen::generate_simple_self_signed(["mail.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let certificate: CertificateDer<'static> = certified.cert.into();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    server.alpn_protocols = vec![b"imap".to_vec()];
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), client)
}

/// Both ends of one connection, and what each has received in clear.
struct Pair {
    transport: Transport,
    client: ClientConnection,
    at_server: Vec<u8>,
    at_client: Vec<u8>,
    /// The server's output that has not been given to the client.
    output: BytesMut,
    /// How many wire bytes the server gets at once.
    step: usize,
}

impl Pair {
    fn new(server: &Arc<ServerConfig>, client: ClientConfig, step: usize) -> Self {
        let name = ServerName::try_from("mail.example").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        client.set_buffer_limit(None);
        Self {
            transport: Transport::server(server).unwrap(),
            client,
            at_server: Vec::new(),
            at_client: Vec::new(),
            output: BytesMut::new(),
            step,
        }
    }

    /// With the handshake done.
    fn connected(version: &'static SupportedProtocolVersion, step: usize) -> Self {
        let (server, client) = configs(version);
        let mut pair = Self::new(&server, client, step);
        pair.exchange();
        assert!(
            pair.transport.is_secured() && !pair.transport.is_handshaking() && !pair.client.is_handshaking()
        );
        pair
    }

    fn give_server(&mut self, wire: &[u8]) -> Result<(), TlsError> {
        for part in wire.chunks(self.step) {
            let mut part = part.to_vec();
            self.transport.receive(&mut part, &mut self.output, &mut |bytes| {
                self.at_server.extend_from_slice(bytes);
            })?;
        }
        Ok(())
    }

    fn client_wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        wire
    }

    fn give_client(&mut self) -> Result<(), rustls::Error> {
        let wire = self.output.split();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets()?;
            let mut part = Vec::new();
            match self.client.reader().read_to_end(&mut part) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
            self.at_client.extend_from_slice(&part);
        }
        Ok(())
    }

    /// Passes wire bytes both ways until there are none.
    fn exchange(&mut self) {
        loop {
            let wire = self.client_wire();
            if wire.is_empty() && self.output.is_empty() {
                return;
            }
            self.give_server(&wire).unwrap();
            self.give_client().unwrap();
        }
    }

    fn held_memory(&self) -> usize {
        match &self.transport {
            Transport::Plain => 0,
            Transport::Server(tls) => tls.pending_capacity(),
            Transport::Client(tls) => tls.pending_capacity(),
        }
    }
}

#[test]
fn plain_passes_bytes_through() {
    let mut transport = Transport::plain();
    let mut output = BytesMut::new();
    let mut received: Vec<u8> = Vec::new();
    transport
        .receive(&mut b"a1 NOOP\r\n".to_owned(), &mut output, &mut |part| received.extend_from_slice(part))
        .unwrap();
    assert_eq!(received, b"a1 NOOP\r\n");
    assert!(output.is_empty());
    transport.send(b"a1 OK\r\n", &mut output);
    transport.close(&mut output);
    assert_eq!(&output[..], b"a1 OK\r\n");
    assert!(transport.is_plain() && !transport.is_secured() && !transport.is_handshaking());
    assert_eq!(transport.facts(), None);
}

#[test]
fn data_passes_however_input_is_cut() {
    for version in BOTH {
        for step in [1, 2, 5, 6, 100, 1000, usize::MAX] {
            let mut pair = Pair::connected(version, step);
            assert_eq!(pair.held_memory(), 0);
            pair.client.writer().write_all(b"a1 CAPABILITY\r\n").unwrap();
            pair.client.writer().write_all(b"a2 NOOP\r\n").unwrap();
            pair.transport.send(b"* OK ready\r\n", &mut pair.output);
            pair.exchange();
            assert_eq!(pair.at_server, b"a1 CAPABILITY\r\na2 NOOP\r\n", "{version:?} {step}");
            assert_eq!(pair.at_client, b"* OK ready\r\n");
            assert_eq!(pair.held_memory(), 0);
        }
    }
}

/// The client's finished message and its first commands come in one read.
#[test]
fn data_behind_the_handshake_is_not_lost() {
    for version in BOTH {
        for step in [1, usize::MAX] {
            let (server, client) = configs(version);
            let mut pair = Pair::new(&server, client, step);
            // rustls's client keeps what is written early and sends it right behind its last flight.
            pair.client.writer().write_all(b"a1 NOOP\r\n").unwrap();
            pair.exchange();
            assert_eq!(pair.at_server, b"a1 NOOP\r\n");
        }
    }
}

#[test]
fn tickets_and_greeting_leave_together() {
    let (server, client) = configs(&TLS13);
    let mut pair = Pair::new(&server, client, usize::MAX);
    for _ in 0..2 {
        let wire = pair.client_wire();
        pair.give_server(&wire).unwrap();
        if pair.transport.is_handshaking() {
            pair.give_client().unwrap();
        }
    }
    let tickets = pair.output.len();
    assert!(tickets > 0 && pair.transport.is_secured());
    pair.transport.send(b"+OK\r\n", &mut pair.output);
    assert_eq!(pair.output.len(), tickets + 5 + 5 + 1 + 16);
    pair.give_client().unwrap();
    assert_eq!(pair.at_client, b"+OK\r\n");
}

#[test]
fn facts_are_in_openssl_words() {
    for version in BOTH {
        let (server, mut client) = configs(version);
        client.alpn_protocols = vec![b"h2".to_vec(), b"imap".to_vec()];
        let mut pair = Pair::new(&server, client, 3);
        assert_eq!(pair.transport.facts(), None);
        pair.exchange();
        let facts = pair.transport.facts().unwrap();
        assert_eq!(facts.server_name.as_deref(), Some("mail.example"));
        assert_eq!(facts.alpn.as_deref(), Some("imap"));
        let expected = if version == &TLS13 {
            ("TLSv1.3", "TLS_AES_256_GCM_SHA384")
        } else {
            ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")
        };
        assert_eq!((facts.protocol, facts.cipher), expected);
    }
    let facts = Pair::connected(&TLS13, 1).transport.facts().unwrap();
    assert_eq!(facts.alpn, None);
}

#[test]
fn facts_survive_resumption() {
    for version in BOTH {
        let (server, client) = configs(version);
        for kind in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
            let mut pair = Pair::new(&server, client.clone(), 100);
            pair.exchange();
            assert_eq!(pair.client.handshake_kind(), Some(kind));
            assert_eq!(pair.transport.facts().unwrap().server_name.as_deref(), Some("mail.example"));
        }
    }
}

#[test]
fn a_wrong_protocol_name_is_refused_with_its_alert() {
    let (server, mut client) = configs(&TLS13);
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut pair = Pair::new(&server, client, usize::MAX);
    let wire = pair.client_wire();
    assert_eq!(pair.give_server(&wire).unwrap_err().to_string(), "no application protocol");
    let error = pair.give_client().unwrap_err();
    assert_eq!(error, rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol));
    assert!(!pair.transport.is_secured());
}

#[test]
fn versions_that_do_not_meet_are_told() {
    let (server, _) = configs(&TLS13);
    let (_, client) = configs(&TLS12);
    let mut pair = Pair::new(&server, client, usize::MAX);
    let wire = pair.client_wire();
    assert_eq!(pair.give_server(&wire).unwrap_err().to_string(), "unsupported protocol");
    assert!(!pair.output.is_empty());
}

#[test]
fn clear_text_on_a_tls_port_is_named() {
    for wire in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"a1 LOGIN x y\r\n", b"EHLO x\r\n", b"\0\0\0\0\0\0"] {
        for step in [1, usize::MAX] {
            let (server, client) = configs(&TLS13);
            let mut pair = Pair::new(&server, client, step);
            let error = pair.give_server(wire).unwrap_err();
            assert_eq!(error.to_string(), "wrong version number");
            // A fatal alert in clear: decode_error.
            assert_eq!(&pair.output[..], [21, 3, 3, 0, 2, 2, 50]);
            // The leg is dead, and calls on it are harmless.
            pair.give_server(wire).unwrap();
            pair.transport.close(&mut pair.output);
            assert_eq!(pair.output.len(), 7);
            assert_eq!(pair.held_memory(), 0);
        }
    }
}

#[test]
fn an_unknown_authority_is_the_clients_alert() {
    let (server, _) = configs(&TLS13);
    let (_, client) = configs(&TLS13);
    let mut pair = Pair::new(&server, client, usize::MAX);
    let wire = pair.client_wire();
    pair.give_server(&wire).unwrap();
    pair.give_client().unwrap_err();
    let wire = pair.client_wire();
    let error = pair.give_server(&wire).unwrap_err().to_string();
    assert!(error.starts_with("received fatal alert: "), "{error}");
}

#[test]
fn a_truncated_handshake_waits() {
    let (server, client) = configs(&TLS13);
    let mut pair = Pair::new(&server, client, usize::MAX);
    let wire = pair.client_wire();
    pair.give_server(&wire[..wire.len() - 1]).unwrap();
    assert!(pair.transport.is_handshaking() && pair.output.is_empty());
    assert_eq!(pair.held_memory(), wire.len() - 1);
    pair.transport.close(&mut pair.output);
    assert!(pair.output.is_empty());
}

#[test]
fn a_handshake_message_in_many_records_is_joined() {
    let (server, client) = configs(&TLS13);
    for record in [1, 7, 64] {
        for step in [1, 9, usize::MAX] {
            let mut pair = Pair::new(&server, client.clone(), step);
            let hello = pair.client_wire();
            let wire: Vec<u8> = hello[5..]
                .chunks(record)
                .flat_map(|part| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat())
                .collect();
            pair.give_server(&wire).unwrap();
            assert!(!pair.output.is_empty());
            pair.give_client().unwrap();
            pair.exchange();
            assert_eq!(pair.transport.facts().unwrap().server_name.as_deref(), Some("mail.example"));
            assert_eq!(pair.held_memory(), 0);
        }
    }
}

#[test]
fn an_endless_handshake_message_is_cut_off() {
    let (server, client) = configs(&TLS13);
    let mut pair = Pair::new(&server, client, usize::MAX);
    let mut wire = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    let mut most = 0;
    let error = loop {
        if let Err(error) = pair.give_server(&wire) {
            break error;
        }
        most = most.max(pair.held_memory());
        wire = [22, 3, 1, 0, 1, 0].repeat(100);
    };
    assert!(error.to_string().contains("HandshakePayloadTooLarge"), "{error}");
    assert!(most <= 2 * 0xffff, "{most}");
    assert_eq!(pair.held_memory(), 0);
}

#[test]
fn a_damaged_record_ends_the_connection() {
    for version in BOTH {
        let mut pair = Pair::connected(version, 4);
        pair.client.writer().write_all(b"one").unwrap();
        let mut wire = pair.client_wire();
        pair.client.writer().write_all(b"two").unwrap();
        wire.extend(pair.client_wire());
        *wire.last_mut().unwrap() ^= 1;
        let error = pair.give_server(&wire).unwrap_err();
        assert_eq!(pair.at_server, b"one");
        assert_eq!(error.to_string(), "cannot decrypt peer's message");
        let alert = pair.give_client().unwrap_err();
        assert_eq!(alert, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
        pair.transport.send(b"never", &mut pair.output);
        assert!(pair.output.is_empty());
    }
}

#[test]
fn close_notify_is_heard() {
    for version in BOTH {
        for step in [1, usize::MAX] {
            let mut pair = Pair::connected(version, step);
            pair.client.writer().write_all(b"a1 LOGOUT\r\n").unwrap();
            pair.client.send_close_notify();
            let mut wire = pair.client_wire();
            wire.extend(b"noise behind the end");
            pair.give_server(&wire).unwrap();
            assert_eq!(pair.at_server, b"a1 LOGOUT\r\n");
            assert!(pair.transport.is_closed_by_peer());
            assert_eq!(pair.held_memory(), 0);
            // The other direction goes on.
            pair.transport.send(b"* BYE\r\n", &mut pair.output);
            pair.transport.close(&mut pair.output);
            pair.give_client().unwrap();
            assert_eq!(pair.at_client, b"* BYE\r\n");
        }
    }
}

#[test]
fn close_notify_is_said_once_and_last() {
    for version in BOTH {
        let mut pair = Pair::connected(version, usize::MAX);
        pair.transport.send(b"+OK bye\r\n", &mut pair.output);
        pair.transport.close(&mut pair.output);
        let length = pair.output.len();
        pair.transport.close(&mut pair.output);
        pair.transport.send(b"more", &mut pair.output);
        assert_eq!(pair.output.len(), length);
        let wire = pair.output.split();
        pair.client.read_tls(&mut &wire[..]).unwrap();
        assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
        // What the client still sends arrives, and what breaks TLS now is answered by nothing.
        pair.client.writer().write_all(b"last words").unwrap();
        let wire = pair.client_wire();
        pair.give_server(&wire).unwrap();
        assert_eq!(pair.at_server, b"last words");
        assert!(pair.give_server(b"GET / HTTP/1.0\r\n\r\n").is_err());
        assert!(pair.output.is_empty());
    }
}

#[test]
fn a_mebibyte_passes_both_ways() {
    let data: Vec<u8> = (0..1u32 << 20).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    for version in BOTH {
        for step in [1000, 4096, 65536] {
            let mut pair = Pair::connected(version, step);
            pair.client.writer().write_all(&data).unwrap();
            for part in data.chunks(60_000) {
                pair.transport.send(part, &mut pair.output);
            }
            pair.exchange();
            assert!(pair.at_server == data && pair.at_client == data);
            assert_eq!(pair.held_memory(), 0);
        }
    }
}

#[test]
fn records_are_full() {
    let mut pair = Pair::connected(&TLS13, 1);
    pair.transport.send(&[7; 40_000], &mut pair.output);
    let lengths = [16_384, 16_384, 40_000 - 2 * 16_384].map(|length| length + 5 + 1 + 16);
    assert_eq!(pair.output.len(), lengths.iter().sum::<usize>());
}

#[test]
fn key_updates_are_answered_before_the_next_data() {
    for step in [1, usize::MAX] {
        let mut pair = Pair::connected(&TLS13, step);
        for round in 0..3 {
            pair.client.refresh_traffic_keys().unwrap();
            pair.client.writer().write_all(b"x").unwrap();
            let wire = pair.client_wire();
            pair.give_server(&wire).unwrap();
            pair.transport.send(b"y", &mut pair.output);
            pair.give_client().unwrap();
            assert_eq!((pair.at_server.len(), pair.at_client.len()), (round + 1, round + 1));
        }
    }
}

#[test]
fn debug_shows_no_bytes() {
    let mut pair = Pair::connected(&TLS13, 1);
    pair.client.writer().write_all(b"hunter2").unwrap();
    let wire = pair.client_wire();
    pair.give_server(&wire[..wire.len() - 1]).unwrap();
    let shown = format!("{:?} {:?}", pair.transport, Transport::plain());
    assert_eq!(
        shown,
        format!(
            "Tls {{ handshaking: false, pending: {}, deaf: false, mute: false, .. }} Plain",
            wire.len() - 1
        )
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One damaged byte anywhere in what the client sends, in pieces of any size.
    #[test]
    fn damage_never_panics(tls13: bool, at in 0..1200usize, flip in 1..=255u8, step in 1..600usize, closed: bool) {
        let (server, client) = configs(BOTH[usize::from(tls13)]);
        let mut pair = Pair::new(&server, client, step);
        let mut sent = 0;
        for round in 0..4 {
            if round == 2 && pair.transport.is_secured() {
                pair.transport.send(b"* OK ready\r\n", &mut pair.output);
                if closed {
                    pair.transport.close(&mut pair.output);
                }
                pair.client.writer().write_all(b"a1 NOOP\r\n").unwrap();
            }
            let mut wire = pair.client_wire();
            if let Some(byte) = at.checked_sub(sent).and_then(|at| wire.get_mut(at)) {
                *byte ^= flip;
            }
            sent += wire.len();
            if pair.give_server(&wire).is_err() || pair.give_client().is_err() {
                break;
            }
        }
        pair.transport.close(&mut pair.output);
        prop_assert!(pair.at_server.is_empty() || pair.at_server == b"a1 NOOP\r\n");
    }
}

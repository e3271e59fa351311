//! A TLS client in memory, and the certificate it trusts.

#![allow(dead_code, unreachable_pub, reason = "each program includes all of this and uses its own part")]

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use gatepost_protocol::action::Side;
use gatepost_protocol::config::{Listener, Server};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::support::Driver;
use crate::support::server::{NAME, listener};
use crate::support::transcript::Channel;

/// The server's settings, and a client's that trust them.
pub fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = OnceLock::new();
    let (server, client) = CONFIGS.get_or_init(|| {
        let certified = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).expect("a key");
        let certificate: CertificateDer<'static> = certified.cert.into();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a server");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Arc::new(server), Arc::new(client))
    });
    (Arc::clone(server), Arc::clone(client))
}

/// A listener with that certificate.
pub fn secured(server: Server) -> Listener {
    listener(Server { tls: Some(configs().0), ..server })
}

/// The client's end of a session's TLS.
pub struct TlsClient {
    connection: ClientConnection,
    /// How many wire bytes the session gets at once.
    step: usize,
}

impl TlsClient {
    pub fn new(step: usize) -> Self {
        let name = ServerName::try_from(NAME).expect("a name");
        let connection = ClientConnection::new(configs().1, name).expect("a client");
        Self { connection, step }
    }

    /// Shakes hands, if that is due, and says `plaintext`; what the session says comes back.
    pub fn say(&mut self, plaintext: &[u8], driver: &mut Driver) -> String {
        self.connection.writer().write_all(plaintext).expect("a buffer without limit");
        self.exchange(driver)
    }

    /// Says that no more is sent.
    pub fn close(&mut self, driver: &mut Driver) -> String {
        self.connection.send_close_notify();
        self.exchange(driver)
    }

    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the session has said that it sends no more. Call after an exchange.
    pub fn has_got_close_notify(&mut self) -> bool {
        self.connection.process_new_packets().expect("TLS").peer_has_closed()
    }

    /// Passes wire bytes to and fro until both are silent.
    pub fn exchange(&mut self, driver: &mut Driver) -> String {
        let mut heard = Vec::new();
        loop {
            let mut wire = Vec::new();
            while self.connection.wants_write() {
                self.connection.write_tls(&mut wire).expect("a vector takes all");
            }
            for part in wire.chunks(self.step) {
                driver.input(Side::Client, part);
            }
            let answer = std::mem::take(&mut driver.client);
            if wire.is_empty() && answer.is_empty() {
                return String::from_utf8_lossy(&heard).into_owned();
            }
            let mut answer = &answer[..];
            while !answer.is_empty() {
                self.connection.read_tls(&mut answer).expect("a slice gives all");
                let news = self.connection.process_new_packets().expect("TLS");
                let mut piece = vec![0; news.plaintext_bytes_to_read()];
                self.connection.reader().read_exact(&mut piece).expect("as announced");
                heard.extend_from_slice(&piece);
            }
        }
    }
}

/// A client in a dialogue: in clear up to `> handshake`.
pub struct Upgrading {
    step: usize,
    tls: Option<TlsClient>,
    /// What came with the answer to something said.
    heard: String,
}

impl Channel for Upgrading {
    fn new(step: usize) -> Self {
        Self { step, tls: None, heard: String::new() }
    }

    fn say(&mut self, words: &[u8], driver: &mut Driver) {
        match &mut self.tls {
            Some(tls) => self.heard += &tls.say(words, driver),
            None => words.chunks(self.step).for_each(|part| driver.input(Side::Client, part)),
        }
    }

    fn hear(&mut self, driver: &mut Driver) -> String {
        let heard = std::mem::take(&mut self.heard);
        match &mut self.tls {
            Some(tls) => heard + &tls.exchange(driver),
            None => heard + &driver.take_client(),
        }
    }

    fn shake_hands(&mut self, driver: &mut Driver) {
        // What was said in clear is no part of the handshake.
        self.heard += &driver.take_client();
        let mut tls = TlsClient::new(self.step);
        self.heard += &tls.say(b"", driver);
        assert!(!tls.is_handshaking(), "the session does not shake hands");
        self.tls = Some(tls);
    }
}

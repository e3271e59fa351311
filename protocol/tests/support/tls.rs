//! A TLS client and a TLS server in memory, and the certificate that all trust.

#![allow(dead_code, unreachable_pub, reason = "each program includes all of this and uses its own part")]

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use gatepost_protocol::action::Side;
use gatepost_protocol::config::{BackendTls, Listener, ProxySsl, Server};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

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

/// A server whose backends must have that certificate, under the same name.
pub fn with_backend_tls(mode: ProxySsl, server: Server) -> Server {
    let name = ServerName::try_from(NAME).expect("a name");
    Server { proxy_ssl: BackendTls { mode, config: Some(configs().1), name: Some(name) }, ..server }
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

/// A backend's end of a session's TLS.
pub struct TlsBackend {
    connection: ServerConnection,
    /// How many wire bytes the session gets at once.
    step: usize,
}

impl TlsBackend {
    pub fn new(step: usize) -> Self {
        Self::with(configs().0, step)
    }

    pub fn with(config: Arc<ServerConfig>, step: usize) -> Self {
        Self { connection: ServerConnection::new(config).expect("a server"), step }
    }

    /// Says `plaintext`; what the session says comes back.
    pub fn say(&mut self, plaintext: &[u8], driver: &mut Driver) -> Result<String, rustls::Error> {
        self.connection.writer().write_all(plaintext).expect("a buffer without limit");
        self.exchange(driver)
    }

    /// The records that say `plaintext`, for whoever sends them otherwise.
    pub fn records(&mut self, plaintext: &[u8]) -> Vec<u8> {
        self.connection.writer().write_all(plaintext).expect("a buffer without limit");
        let mut wire = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut wire).expect("a vector takes all");
        }
        wire
    }

    /// Says that no more is sent.
    pub fn close(&mut self, driver: &mut Driver) -> Result<String, rustls::Error> {
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

    /// The name the session asked for.
    pub fn server_name(&self) -> Option<&str> {
        self.connection.server_name()
    }

    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// Passes wire bytes to and fro until both are silent.
    pub fn exchange(&mut self, driver: &mut Driver) -> Result<String, rustls::Error> {
        let mut heard = Vec::new();
        loop {
            let said = std::mem::take(&mut driver.backend);
            let mut rest = &said[..];
            while !rest.is_empty() {
                self.connection.read_tls(&mut rest).expect("a slice gives all");
                let news = self.connection.process_new_packets()?;
                let mut piece = vec![0; news.plaintext_bytes_to_read()];
                self.connection.reader().read_exact(&mut piece).expect("as announced");
                heard.extend_from_slice(&piece);
            }
            let wire = self.records(b"");
            if wire.is_empty() && said.is_empty() {
                return Ok(String::from_utf8_lossy(&heard).into_owned());
            }
            for part in wire.chunks(self.step) {
                driver.input(Side::Backend, part);
            }
        }
    }
}

/// Takes what the session has said to the backend in clear; a handshake it has begun stays.
pub fn take_clear(driver: &mut Driver) -> String {
    let start = driver.backend.windows(3).position(|bytes| bytes == CLIENT_HELLO);
    let clear: Vec<u8> = driver.backend.drain(..start.unwrap_or(driver.backend.len())).collect();
    String::from_utf8_lossy(&clear).into_owned()
}

/// A handshake record of TLS 1.0, as every client begins.
const CLIENT_HELLO: [u8; 3] = [22, 3, 1];

/// Client and backend of a dialogue: in clear up to `> handshake` and `> backend handshake`.
pub struct Upgrading {
    step: usize,
    tls: Option<TlsClient>,
    backend: Option<TlsBackend>,
    /// What came with the answer to something said.
    heard: String,
    heard_by_backend: String,
}

impl Channel for Upgrading {
    fn new(step: usize) -> Self {
        Self { step, tls: None, backend: None, heard: String::new(), heard_by_backend: String::new() }
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

    fn say_as_backend(&mut self, words: &[u8], driver: &mut Driver) {
        match &mut self.backend {
            Some(tls) => self.heard_by_backend += &tls.say(words, driver).expect("TLS"),
            None => words.chunks(self.step).for_each(|part| driver.input(Side::Backend, part)),
        }
    }

    fn hear_as_backend(&mut self, driver: &mut Driver) -> String {
        let heard = std::mem::take(&mut self.heard_by_backend);
        match &mut self.backend {
            Some(tls) => heard + &tls.exchange(driver).expect("TLS"),
            None => heard + &take_clear(driver),
        }
    }

    fn shake_hands_as_backend(&mut self, driver: &mut Driver) {
        self.heard_by_backend += &take_clear(driver);
        let mut tls = TlsBackend::new(self.step);
        self.heard_by_backend += &tls.exchange(driver).expect("TLS");
        assert!(!tls.is_handshaking(), "the session does not shake hands with the backend");
        self.backend = Some(tls);
    }
}

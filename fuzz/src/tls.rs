//! TLS under a script: a client in memory, and cryptography that leaves nothing to chance.
//!
//! Handshake and records are rustls's own. Only what would differ from run to run is fixed: the random bytes and the key
//! exchange, which so costs nothing either; nobody checks the certificate.

use std::io::{Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup, ring,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, NamedGroup, ServerConfig, SignatureScheme,
};

/// The name in the certificate.
const NAME: &str = "mx.example";

/// The client's end.
pub(crate) struct Client {
    connection: ClientConnection,
    is_broken: bool,
    has_heard: bool,
}

impl Client {
    /// Begins a handshake; its first message waits in [`wire`](Self::wire).
    pub(crate) fn new() -> Self {
        let name = ServerName::try_from(NAME).expect("the name is well-formed");
        let connection = ClientConnection::new(configs().1, name).expect("the configuration is complete");
        Self { connection, is_broken: false, has_heard: false }
    }

    /// Whether the other end has said something, so that it has agreed too, and nothing was wrong since.
    pub(crate) fn is_established(&self) -> bool {
        !self.is_broken && self.has_heard
    }

    /// Whether the other end has said, under TLS, that it says no more.
    pub(crate) fn has_got_close_notify(&mut self) -> bool {
        self.connection.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }

    /// Says these bytes once the handshake is over.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.is_broken |= self.connection.writer().write_all(bytes).is_err();
    }

    /// Says that no more will be said. Somebody who may not speak TLS at all is not listened to any more: behind its
    /// close_notify rustls takes no mistake of its peer.
    pub(crate) fn close(&mut self) {
        self.is_broken |= !self.has_heard;
        self.connection.send_close_notify();
    }

    /// What waits to be sent.
    pub(crate) fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut wire).expect("a vector takes all");
        }
        wire
    }

    /// Takes what was received and gives it in clear. What is no TLS ends the connection, as in every client.
    pub(crate) fn hear(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        while !wire.is_empty() && !self.is_broken {
            self.connection.read_tls(&mut wire).expect("a slice gives all");
            match self.connection.process_new_packets() {
                Ok(state) => {
                    let mut piece = vec![0; state.plaintext_bytes_to_read()];
                    self.connection.reader().read_exact(&mut piece).expect("as announced");
                    heard.extend_from_slice(&piece);
                    self.has_heard |= !piece.is_empty();
                    // Behind the end of TLS nothing is read.
                    self.is_broken |= state.peer_has_closed() && !wire.is_empty();
                }
                Err(_) => self.is_broken = true,
            }
        }
        heard
    }
}

/// The settings of the servers that are fuzzed.
pub(crate) fn server() -> Arc<ServerConfig> {
    configs().0
}

fn configs() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    static CONFIGS: OnceLock<(Arc<ServerConfig>, Arc<ClientConfig>)> = OnceLock::new();
    let (server, client) = CONFIGS.get_or_init(|| {
        let (certificate, key) = certificate();
        let mut server = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key fits the certificate");
        let mut client = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        // A resumed session would depend on the inputs before.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        client.resumption = Resumption::disabled();
        (Arc::new(server), Arc::new(client))
    });
    (Arc::clone(server), Arc::clone(client))
}

/// Ed25519 signs without random numbers.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let parameters = rcgen::CertificateParams::new([NAME.to_owned()]).expect("the name is well-formed");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    (certificate.into(), PrivateKeyDer::try_from(key.serialize_der()).expect("the key is well-formed"))
}

fn provider() -> CryptoProvider {
    CryptoProvider { kx_groups: vec![&FixedGroup], secure_random: &FixedRandom, ..ring::default_provider() }
}

#[derive(Debug)]
struct FixedRandom;

impl SecureRandom for FixedRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        buffer.fill(4);
        Ok(())
    }
}

/// Both ends agree on the same secret, always.
#[derive(Debug)]
struct FixedGroup;

impl SupportedKxGroup for FixedGroup {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Self))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for FixedGroup {
    fn complete(self: Box<Self>, _peer: &[u8]) -> Result<SharedSecret, Error> {
        Ok(SharedSecret::from(&[4; 32][..]))
    }

    fn pub_key(&self) -> &[u8] {
        &[4; 32]
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

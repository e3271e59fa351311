//! The settings of both ends.

use std::array;
use std::sync::{Arc, OnceLock};

use gatepost_protocol::config::Protocol;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ServerConfig};

use super::NAME;
use super::provider::provider;
use super::trust::{Told, fault};

/// A backend, which does not wait for the end of the handshake with what it has to say.
pub(super) fn backend() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut config = new_server(false);
        config.send_half_rtt_data = true;
        Arc::new(config)
    });
    Arc::clone(config)
}

/// The server that is fuzzed; `asks` the client for its certificate.
pub(crate) fn server(asks: bool) -> Arc<ServerConfig> {
    static CONFIGS: OnceLock<[Arc<ServerConfig>; 2]> = OnceLock::new();
    let configs = CONFIGS.get_or_init(|| [new_server(false), new_server(true)].map(Arc::new));
    Arc::clone(&configs[usize::from(asks)])
}

fn new_server(asks: bool) -> ServerConfig {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for both versions");
    let builder = match asks {
        false => builder.with_no_client_auth(),
        true => builder.with_client_cert_verifier(Arc::new(Told::default())),
    };
    let (certificate, key) = certificate();
    let mut config = builder.with_single_cert(vec![certificate], key).expect("the key fits the certificate");
    // A resumed session would depend on the inputs before.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = ALPN.map(|protocol| protocol.name().into()).into();
    config
}

/// The proxy as a client of backends, which trusts them but for the fault of this digit.
pub(crate) fn backend_client(digit: Option<u8>) -> Arc<ClientConfig> {
    static CONFIGS: OnceLock<[Arc<ClientConfig>; 11]> = OnceLock::new();
    let configs = CONFIGS.get_or_init(|| {
        array::from_fn(|index| {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("the provider has suites for both versions")
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Told(fault(b'0' + index as u8))));
            let mut config = builder.with_no_client_auth();
            config.resumption = Resumption::disabled();
            Arc::new(config)
        })
    });
    Arc::clone(&configs[digit.map_or(10, |digit| usize::from(digit - b'0'))])
}

/// What a client of the fuzzed server is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// It speaks no TLS 1.3.
    pub(crate) is_old: bool,
    /// It offers the server's protocol by ALPN.
    pub(crate) offers_alpn: bool,
    /// It offers something else by ALPN.
    pub(crate) offers_other_alpn: bool,
    /// It has a certificate.
    pub(crate) has_certificate: bool,
}

pub(super) fn client(manner: Manner) -> Arc<ClientConfig> {
    let versions: &[_] = if manner.is_old { &[&TLS12] } else { &[&TLS12, &TLS13] };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Told::default()));
    let mut config = match manner.has_certificate {
        false => builder.with_no_client_auth(),
        true => {
            let (certificate, key) = certificate();
            builder.with_client_auth_cert(vec![certificate], key).expect("the key fits the certificate")
        }
    };
    config.resumption = Resumption::disabled();
    if manner.offers_alpn {
        config.alpn_protocols = vec![b"imap".to_vec()];
    }
    if manner.offers_other_alpn {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Arc::new(config)
}

/// Ed25519 signs without random numbers.
fn certificate() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    static PAIR: OnceLock<(CertificateDer<'static>, Vec<u8>)> = OnceLock::new();
    let (certificate, key) = PAIR.get_or_init(|| {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let parameters = rcgen::CertificateParams::new([NAME.to_owned()]).expect("the name is well-formed");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        (certificate.into(), key.serialize_der())
    });
    (certificate.clone(), PrivateKeyDer::try_from(key.clone()).expect("the key is well-formed"))
}

/// One name for each protocol: which of them is the listener's does not matter to TLS.
const ALPN: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];

//! The proxy's certificate, and clients that trust it.

use std::sync::{Arc, LazyLock};

use gatepost_daemon::config::Memory;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

struct Identity {
    certificate: String,
    key: String,
    client: Arc<ClientConfig>,
}

/// A signature of Ed25519 has always the same length, and no session is resumed: so the handshakes of two runs of a seed
/// differ in their bytes, but not in their shape.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut client = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::disabled();
    Identity { certificate: certificate.pem(), key: key.serialize_pem(), client: Arc::new(client) }
});

/// The proxy's files.
pub(super) fn files() -> Memory {
    Memory::default()
        .with_file("/certificate.pem", IDENTITY.certificate.as_bytes())
        .with_file("/key.pem", IDENTITY.key.as_bytes())
}

/// How clients speak TLS.
pub(super) fn client() -> Arc<ClientConfig> {
    Arc::clone(&IDENTITY.client)
}

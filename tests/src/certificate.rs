//! A self-signed certificate for one proxy, and a client configuration that trusts it alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::Identity;

/// A P-256 certificate for `localhost`, with its key, as files in a test's folder.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    /// The PEM file of the certificate.
    pub certificate: PathBuf,
    /// The PEM file of the key.
    pub key: PathBuf,
}

impl Certificate {
    /// Makes a new one in `folder`, replacing an older one there.
    pub fn write(folder: &Path) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = folder.join("certificate.pem");
        let key = folder.join("key.pem");
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self { der: made.cert.der().clone(), certificate, key }
    }

    /// A TLS client that accepts this certificate and no other.
    pub fn client(&self, versions: &[&'static rustls::SupportedProtocolVersion]) -> Arc<ClientConfig> {
        self.client_as(None, versions)
    }

    /// The same, which presents a certificate of its own when it is asked for one.
    pub fn client_as(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match identity.cloned() {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config.with_client_auth_cert(chain, key).unwrap(),
        })
    }
}

//! An authority that makes certificates of clients and servers, and revokes them.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName,
    DnType, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{DEFAULT_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// A root, or an authority below one, with its key.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// From its own certificate up to the one below the root; none for a root.
    chain: Vec<CertificateDer<'static>>,
}

/// A client's chain and key.
#[derive(Debug)]
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// The certificate.
    pub fn der(&self) -> &[u8] {
        &self.chain[0]
    }
}

impl Identity {
    /// TLS settings of a server that shows this.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.server_config_of(DEFAULT_VERSIONS)
    }

    /// The same, of a server that knows these versions.
    pub fn server_config_of(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let config = config.unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(self.chain.clone(), self.key.clone_key()).unwrap())
    }

    /// The same, of a server that wants a certificate of this authority from its clients.
    pub fn server_config_for_clients_of(&self, authority: &Authority) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_client_cert_verifier(verifier.unwrap());
        Arc::new(config.with_single_cert(self.chain.clone(), self.key.clone_key()).unwrap())
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl Authority {
    /// Makes a new one with this common name.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(for_authority(name), key).unwrap(), chain: Vec::new() }
    }

    /// Makes one below it. Whoever it signs for shows all certificates but the root's.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::signed_by(for_authority(name), key, &self.issuer).unwrap();
        let chain = [&[issuer.der().clone()], &self.chain[..]].concat();
        Self { issuer, chain }
    }

    /// Writes its certificate in PEM form.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.issuer.pem()).unwrap();
    }

    /// Writes a list that revokes these serial numbers.
    pub fn write_crl(&self, path: &Path, revoked: &[u64]) {
        let revoked_certs = revoked.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(4000, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        std::fs::write(path, parameters.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
    }

    /// A client with this common name and serial number.
    pub fn client(&self, name: &str, serial: u64) -> Identity {
        self.sign(named(name), serial)
    }

    /// The same, whose time is over.
    pub fn expired(&self, name: &str, serial: u64) -> Identity {
        let mut parameters = named(name);
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2021, 1, 1);
        self.sign(parameters, serial)
    }

    /// A server with these names and addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(for_server(names), 1)
    }

    /// The same, whose time is over.
    pub fn expired_server(&self, names: &[&str]) -> Identity {
        let mut parameters = for_server(names);
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2021, 1, 1);
        self.sign(parameters, 1)
    }

    /// Writes the certificate and the key of a server with these names and addresses, in PEM form.
    pub fn write_server(&self, names: &[&str], certificate: &Path, key: &Path) {
        let pair = KeyPair::generate().unwrap();
        let signed = for_server(names).signed_by(&pair, &self.issuer).unwrap();
        std::fs::write(certificate, signed.pem()).unwrap();
        std::fs::write(key, pair.serialize_pem()).unwrap();
    }

    fn sign(&self, mut parameters: CertificateParams, serial: u64) -> Identity {
        parameters.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity { chain: [&[certificate.der().clone()], &self.chain[..]].concat(), key }
    }
}

fn for_authority(name: &str) -> CertificateParams {
    let mut parameters = named(name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn for_server(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name = named("server").distinguished_name;
    parameters
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

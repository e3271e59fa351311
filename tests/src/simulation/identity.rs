//! Certificates of the proxy and of the backends, and clients that trust the former.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, OnceLock};

use gatepost_daemon::config::Memory;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, SerialNumber};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::{SESSIONS, script};

/// A signature of Ed25519 has always the same length, serial numbers are given, and no session is resumed: so the
/// handshakes of two runs of a seed differ in their bytes, but not in their shape.
static IDENTITY: LazyLock<Identity> = LazyLock::new(Identity::new);

/// What each backend shows, made when it is first asked for.
static BACKENDS: [OnceLock<Arc<ServerConfig>>; SESSIONS] = [const { OnceLock::new() }; SESSIONS];

/// What the auth server shows, in the present version of TLS and in the one before.
static AUTH_SERVERS: LazyLock<[Arc<ServerConfig>; 2]> = LazyLock::new(|| [false, true].map(new_auth_server));

struct Identity {
    certificate: String,
    key: String,
    /// Of the present version of TLS, and of the one before.
    clients: [Arc<ClientConfig>; 2],
    /// Signs what backends show.
    authority: CertifiedIssuer<'static, KeyPair>,
    backend_key: KeyPair,
}

impl Identity {
    fn new() -> Self {
        let key = new_key();
        let certificate = parameters(vec!["localhost".to_owned()], 1).self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let mut authority = parameters(Vec::new(), 2);
        authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            clients: [false, true].map(|is_old| new_client(roots.clone(), is_old)),
            authority: CertifiedIssuer::self_signed(authority, new_key()).unwrap(),
            backend_key: new_key(),
        }
    }
}

fn new_key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn parameters(names: Vec<String>, serial: u64) -> CertificateParams {
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn versions(is_old: bool) -> [&'static SupportedProtocolVersion; 1] {
    [if is_old { &version::TLS12 } else { &version::TLS13 }]
}

fn new_client(roots: RootCertStore, is_old: bool) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&versions(is_old));
    let mut client = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
    client.resumption = Resumption::disabled();
    Arc::new(client)
}

fn new_backend(session: usize) -> Arc<ServerConfig> {
    let mut parameters = parameters(vec![script::backend_name(session)], 1_000_000 + session as u64);
    parameters.subject_alt_names.push(SanType::IpAddress(script::backend_address(session).ip()));
    new_server(&parameters, is_old(session))
}

fn new_auth_server(is_old: bool) -> Arc<ServerConfig> {
    let address: SocketAddr = super::world::AUTH_SERVERS[0].parse().unwrap();
    new_server(&parameters(vec![address.ip().to_string()], 3), is_old)
}

/// A server whose certificate the authority has signed.
fn new_server(parameters: &CertificateParams, is_old: bool) -> Arc<ServerConfig> {
    let identity = &*IDENTITY;
    let certificate = parameters.signed_by(&identity.backend_key, &identity.authority).unwrap();
    let key = PrivateKeyDer::try_from(identity.backend_key.serialize_der()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&versions(is_old));
    let builder = builder.unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// Whether the peers of this session speak the older version of TLS.
fn is_old(session: usize) -> bool {
    session.is_multiple_of(4)
}

/// The proxy's files.
pub(super) fn files() -> Memory {
    Memory::default()
        .with_file("/certificate.pem", IDENTITY.certificate.as_bytes())
        .with_file("/key.pem", IDENTITY.key.as_bytes())
        .with_file("/backends.pem", IDENTITY.authority.pem().as_bytes())
}

/// How this session's client speaks TLS.
pub(super) fn client(session: usize) -> Arc<ClientConfig> {
    Arc::clone(&IDENTITY.clients[usize::from(is_old(session))])
}

/// How the auth server does when this session asks it.
pub(super) fn auth_server(session: usize) -> Arc<ServerConfig> {
    Arc::clone(&AUTH_SERVERS[usize::from(is_old(session))])
}

/// How this session's backend does. Its certificate is for its own name and address alone.
pub(super) fn backend(session: usize) -> Arc<ServerConfig> {
    Arc::clone(BACKENDS[session].get_or_init(|| new_backend(session)))
}

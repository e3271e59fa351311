//! Certificates and keys, and the TLS settings made of them (spec/config.md section 15).

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::config::Protocol;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ProducesTickets, ResolvesServerCert,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, Error, InconsistentKeys, ServerConfig, SignatureScheme, SupportedProtocolVersion,
};
use zeroize::Zeroizing;

/// How one mail server speaks TLS with its clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    /// Also the only name that a client's ALPN list may ask for.
    pub(crate) protocol: Protocol,
    /// Each certificate with its key: absolute paths, or PEM behind `data:`. Of several pairs the client's server
    /// name chooses, then the signatures it knows, then the order.
    pub(crate) pairs: &'a [(String, String)],
    /// `ssl_protocols`, as far as there is an implementation.
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
    /// How long a client is told to keep a session for resumption; `None` for `ssl_session_tickets off`.
    pub(crate) tickets: Option<Duration>,
    /// `ssl_prefer_server_ciphers`.
    pub(crate) prefers_own_ciphers: bool,
}

/// Reads the files and checks that they fit together. The result is complete: nothing in it is read or made later,
/// so that all workers forked from here have the same keys for session tickets.
///
/// # Errors
/// One line for the log, without a position.
pub(crate) fn server_config(
    settings: &Settings<'_>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider());
    let load = |(certificate, key): &(String, String)| load(certificate, key, &provider, read);
    let certificates = settings.pairs.iter().map(load).collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(settings.versions)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates(certificates)));
    config.alpn_protocols = vec![settings.protocol.name().into()];
    config.ignore_client_order = settings.prefers_own_ciphers;
    // Workers share no memory for sessions: a session is in its ticket or nowhere.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if let Some(lifetime) = settings.tickets {
        let keys = ticketer().map_err(|error| format!("keys for session tickets cannot be made: {error}"))?;
        let lifetime = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).min(keys.lifetime());
        config.ticketer = Arc::new(Tickets { keys, lifetime });
    }
    Ok(Arc::new(config))
}

#[cfg(feature = "aws-lc-rs")]
use rustls::crypto::aws_lc_rs as cryptography;
#[cfg(not(feature = "aws-lc-rs"))]
use rustls::crypto::ring as cryptography;

fn provider() -> CryptoProvider {
    cryptography::default_provider()
}

fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    cryptography::Ticketer::new()
}

fn load(
    certificate: &str,
    key: &str,
    provider: &CryptoProvider,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Arc<CertifiedKey>, String> {
    let no_certificate =
        |reason: String| format!("cannot load certificate \"{}\": {reason}", shown(certificate));
    let no_key = |reason: String| format!("cannot load certificate key \"{}\": {reason}", shown(key));
    let chain = content(certificate, read).and_then(|text| chain(&text)).map_err(no_certificate)?;
    let private = content(key, read).and_then(|text| private_key(&text)).map_err(no_key)?;
    let private =
        provider.key_provider.load_private_key(private).map_err(|error| no_key(error.to_string()))?;
    let pair = CertifiedKey::new(chain, private);
    match pair.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(format!(
            "SSL_CTX_use_PrivateKey(\"{}\") failed (key values mismatch: it is not the key of \"{}\")",
            shown(key),
            shown(certificate)
        )),
        Err(Error::InvalidCertificate(CertificateError::BadEncoding)) => {
            Err(no_certificate("this is no X.509 certificate".into()))
        }
        // What else may be wrong with it, its age for one, is for clients to judge.
        Ok(()) | Err(_) => Ok(Arc::new(pair)),
    }
}

/// The name for messages: a key in the configuration must not get into the log.
fn shown(name: &str) -> &str {
    if name.starts_with(DATA) { "data:..." } else { name }
}

/// PEM stands in the configuration itself.
const DATA: &str = "data:";

fn content(name: &str, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, String> {
    let content = match name.strip_prefix(DATA) {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => read(Path::new(name)),
    };
    content
        .map(Zeroizing::new)
        .map_err(|error| format!("open() failed {}", crate::log::lines::error_text(&error)))
}

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if chain.is_empty() => Err("there is no PEM certificate in it".into()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(format!("broken PEM: {error}")),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let contains = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    match PrivateKeyDer::from_pem_slice(text) {
        _ if contains(b"ENCRYPTED") => {
            Err("it is encrypted; only keys without passphrase can be read".into())
        }
        Err(pem::Error::NoItemsFound) => Err("there is no PEM private key in it".into()),
        Err(error) => Err(format!("broken PEM: {error}")),
        Ok(key) => Ok(key),
    }
}

/// The pairs of one server, one or more.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl Certificates {
    /// The pair for a client that wants this name and knows these signatures. A name that no certificate has is no
    /// reason to refuse a client: it may not check names at all.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let [first, others @ ..] = &self.0[..] else { return None };
        if others.is_empty() {
            return Some(Arc::clone(first));
        }
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let is_usable = |pair: &&Arc<CertifiedKey>| pair.key.choose_scheme(schemes).is_some();
        let is_named = |pair: &&Arc<CertifiedKey>| name.as_ref().is_some_and(|name| has_name(pair, name));
        let mut usable = self.0.iter().filter(is_usable);
        let chosen = usable.clone().find(is_named).or_else(|| usable.next()).unwrap_or(first);
        Some(Arc::clone(chosen))
    }
}

fn has_name(pair: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = pair.end_entity_cert().and_then(ParsedCertificate::try_from);
    certificate.is_ok_and(|certificate| verify_server_name(&certificate, name).is_ok())
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

/// Session tickets whose keys roll over as the provider wants it; clients are told an earlier end.
#[derive(Debug)]
struct Tickets {
    keys: Arc<dyn ProducesTickets>,
    /// In seconds.
    lifetime: u32,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys.decrypt(cipher)
    }
}

#[cfg(test)]
mod tests;

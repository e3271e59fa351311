//! Certificates and keys, and the TLS settings made of them.

mod attributes;
mod chooser;
mod ciphers;
mod clients;
mod commands;
mod digest;
mod failure;
mod groups;
mod keys;
mod name;
mod negotiation;
mod pair;
mod passphrases;
mod pem;
mod read;
mod request;
mod session_cache;
mod session_table;
mod ticket_file;
mod ticket_table;
mod tickets;
mod traditional;
mod upstreams;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gatepost_protocol::secret::Secret;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ServerConfig;
use rustls::sign::SigningKey;
use thiserror::Error;

use self::chooser::Chooser;
pub(crate) use self::ciphers::DEFAULT as DEFAULT_CIPHERS;
pub(crate) use self::clients::{ClientSettings, Clients};
pub(crate) use self::commands::command;
use self::digest::digest_of;
pub(crate) use self::negotiation::Negotiation;
use self::pair::certified_key;
pub(crate) use self::passphrases::{Passphrases, passphrases};
use self::request::AskForCertificate;
pub(crate) use self::session_cache::SessionCache;
pub(crate) use self::ticket_file::TicketKey;
use self::tickets::Tickets;
pub(crate) use self::tickets::{SHARED_SIZE as TICKETS_SIZE, TicketKeys};
pub(crate) use self::upstreams::{Trust, UpstreamSettings, client_config};

/// What the TLS of one server is made of.
#[derive(Debug)]
pub(crate) struct Settings<'a> {
    /// Chains with their keys, one or more.
    pub(crate) pairs: Vec<(Certificates, Certificates)>,
    /// What keys may be encrypted with.
    pub(crate) passphrases: Passphrases<'a>,
    pub(crate) negotiation: Negotiation,
    /// Sessions of clients without tickets.
    pub(crate) session_cache: SessionCache,
    pub(crate) ticket_keys: TicketKeys,
    pub(crate) session_timeout: Duration,
    /// The name of the protocol, for ALPN.
    pub(crate) alpn: &'static str,
    /// `ssl_verify_client`, unless it is `off`.
    pub(crate) clients: Option<&'a Clients>,
}

/// Where PEM text is. Prints as messages name it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Certificates {
    File(PathBuf),
    /// `data:`
    Data(Secret),
    /// `engine:` or `store:`, which need OpenSSL.
    Elsewhere(String),
}

impl fmt::Display for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            // The text may be a key.
            Self::Data(_) => f.write_str("data:..."),
            Self::Elsewhere(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why certificates or keys cannot be used.
#[derive(Debug, Error)]
pub(crate) enum CertificateError {
    #[error("cannot load certificate \"{0}\": {1}")]
    Certificate(Certificates, String),
    #[error("cannot load certificate key \"{0}\": {1}")]
    Key(Certificates, String),
    #[error("SSL_CTX_load_verify_locations(\"{0}\") failed (SSL: {1})")]
    Authority(Certificates, String),
    #[error("cannot load CRL \"{0}\": {1}")]
    Crl(Certificates, String),
    #[error(
        "SSL_CTX_use_PrivateKey(\"{0}\") failed (SSL: error:05800074:x509 certificate routines::key values mismatch)"
    )]
    Mismatch(Certificates, Certificates),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl CertificateError {
    /// What to look at.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Mismatch(_, certificates) => {
                Some(format!("it is not the key of the first certificate in \"{certificates}\""))
            }
            Self::Certificate(..) | Self::Key(..) | Self::Authority(..) | Self::Crl(..) | Self::Tls(_) => {
                None
            }
        }
    }
}

/// The cryptography that was compiled in.
pub(crate) fn provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::default_provider();
}

/// Takes a key into the cryptography that was compiled in. The provider's own way would not leave it to be wiped.
fn signing_key(der: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::sign::any_supported_type(der);
    #[cfg(not(feature = "aws-lc-rs"))]
    return rustls::crypto::ring::sign::any_supported_type(der);
}

/// Whether there is what `ssl_dhparam` names.
pub(crate) fn has_dh_parameters(text: &[u8]) -> bool {
    pem::sections(text).any(|section| matches!(section.label, "DH PARAMETERS" | "X9.42 DH PARAMETERS"))
}

/// Loads the certificates and keys and builds the TLS settings of one server.
pub(crate) fn server_config(
    settings: &Settings<'_>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let negotiation = &settings.negotiation;
    let mut provider = provider();
    negotiation.restrict(&mut provider);
    let provider = Arc::new(provider);
    let mut keys = Vec::new();
    for (certificates, key) in &settings.pairs {
        keys.push(Arc::new(certified_key(certificates, key, settings.passphrases, read)?));
    }
    // Sessions resume only where they could have begun: the certificates, and what clients are asked for, are part of
    // what they are kept under.
    let mut identity: Vec<&[u8]> = keys.iter().flat_map(|key| key.cert.iter().map(AsRef::as_ref)).collect();
    identity.extend(settings.clients.iter().flat_map(|clients| clients.identity.iter().map(Vec::as_slice)));
    let identity = digest_of(&identity);
    let random = provider.secure_random;
    let algorithms = provider.signature_verification_algorithms;
    let builder =
        ServerConfig::builder_with_provider(provider).with_protocol_versions(&negotiation.versions())?;
    let builder = match settings.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let names = Arc::clone(&clients.names);
            builder.with_client_cert_verifier(Arc::new(AskForCertificate { names, algorithms }))
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(Chooser::new(keys)));
    config.alpn_protocols = vec![settings.alpn.into()];
    config.ignore_client_order = negotiation.prefers_own_ciphers;
    config.session_storage = settings.session_cache.storage(&identity, settings.session_timeout);
    config.send_tls13_tickets = negotiation.tls13_tickets;
    if negotiation.tickets {
        let keys = settings.ticket_keys.clone();
        config.ticketer = Arc::new(Tickets::new(keys, &identity, settings.session_timeout, random));
    }
    Ok(Arc::new(config))
}

/// Seconds since 1970.
fn now_seconds() -> u64 {
    crate::sys::wall_clock().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

#[cfg(test)]
mod tests;

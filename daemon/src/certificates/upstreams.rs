//! TLS towards servers that we connect to, backends and auth servers: whom to trust, and what to show.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::clients::Verifier;
use super::{CertificateError, Certificates, Negotiation, Passphrases, certified_key, provider};

/// What the TLS of one server towards its backends, or its auth server, is made of.
#[derive(Debug)]
pub(crate) struct UpstreamSettings<'a> {
    /// `None` where verification is off.
    pub(crate) trust: Option<Trust>,
    /// Whether they are told the name by SNI.
    pub(crate) sends_name: bool,
    /// Whether sessions are resumed.
    pub(crate) resumes: bool,
    /// The certificate and the key to show to who asks.
    pub(crate) pair: Option<(Certificates, Certificates)>,
    /// What the key may be encrypted with.
    pub(crate) passphrases: Passphrases<'a>,
    pub(crate) negotiation: Negotiation,
    /// The application protocol, if it is to be told.
    pub(crate) alpn: Option<&'static str>,
}

/// Whom to trust.
#[derive(Debug)]
pub(crate) struct Trust {
    /// `proxy_ssl_trusted_certificate` or its like.
    pub(crate) authorities: Certificates,
    /// `proxy_ssl_crl` or its like.
    pub(crate) crl: Option<Certificates>,
    /// How many intermediate certificates a chain may have.
    pub(crate) depth: usize,
}

/// Sessions that a worker keeps for resumption, of as many names.
const SESSIONS: usize = 32;

/// Loads the files and builds the TLS settings.
///
/// # Errors
/// nginx's message for a file that cannot be used.
pub(crate) fn client_config(
    settings: &UpstreamSettings<'_>,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Arc<ClientConfig>, CertificateError> {
    let mut provider = provider();
    settings.negotiation.restrict(&mut provider);
    let algorithms = provider.signature_verification_algorithms;
    let trusted = match &settings.trust {
        Some(Trust { authorities, crl, depth }) => {
            Some(Verifier::of_servers(authorities, crl.as_ref(), *depth, read)?)
        }
        None => None,
    };
    let pair = match &settings.pair {
        Some((certificates, key)) => Some(certified_key(certificates, key, settings.passphrases, read)?),
        None => None,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&settings.negotiation.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Upstreams { trusted, algorithms }));
    let mut config = match pair {
        Some(pair) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair))),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = settings.sends_name;
    config.alpn_protocols = settings.alpn.into_iter().map(Into::into).collect();
    config.resumption =
        if settings.resumes { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
    Ok(Arc::new(config))
}

/// Judges the certificates of servers, in OpenSSL's words.
#[derive(Debug)]
struct Upstreams {
    /// `None`: anybody is welcome who holds the key of the certificate shown.
    trusted: Option<Verifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Upstreams {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        let mut chain = vec![certificate.clone()];
        chain.extend_from_slice(intermediates);
        if let Err(failure) = trusted.check(&chain, now.as_secs()) {
            let error = rustls::CertificateError::Other(OtherError(Arc::new(failure)));
            return Err(Error::InvalidCertificate(error));
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;

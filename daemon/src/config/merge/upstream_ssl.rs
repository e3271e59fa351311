//! What TLS towards servers that we connect to is made of.

use std::sync::Arc;

use gatepost_protocol::config::{BackendTls, ProxySsl};
use rustls::ClientConfig;

use super::tls::{cannot_load, named, passphrases, versions};
use crate::certificates::{self, Certificates, Negotiation, Trust, UpstreamSettings};
use crate::config::error::{Error, Place};
use crate::config::layer::{Layer, UpstreamSsl};
use crate::config::reader::Reader;

/// TLS towards the backends of one server: where it is the rule, and where an auth server may ask for it, which is
/// wherever it is said whom to trust.
pub(super) fn backend_tls(reader: &Reader<'_>, layer: &Layer) -> Result<BackendTls, Error> {
    let (mode, place) = match &layer.proxy_ssl {
        Some((mode, place)) => (*mode, Some(place)),
        None => (ProxySsl::Off, None),
    };
    let ssl = &layer.proxy_ssl_settings;
    let is_prepared = ssl.verify == Some(false) || ssl.trusted_certificate.is_some();
    if mode == ProxySsl::Off && !is_prepared {
        return Ok(BackendTls::default());
    }
    let family = Family { prefix: "proxy_ssl", peers: "the backends", alpn: None, ssl, place };
    Ok(BackendTls { mode, config: Some(family.config(reader)?), name: ssl.name.clone() })
}

/// TLS towards the auth server. `place` is where it is asked for.
pub(super) fn auth_tls(
    reader: &Reader<'_>,
    layer: &Layer,
    place: &Place,
) -> Result<Arc<ClientConfig>, Error> {
    let ssl = &layer.auth_http_ssl;
    let (peers, place) = ("the auth server", Some(place));
    Family { prefix: "auth_http_ssl", peers, alpn: Some("http/1.1"), ssl, place }.config(reader)
}

/// The directives of one kind of servers.
struct Family<'a> {
    /// What their names begin with.
    prefix: &'static str,
    /// Whom they are about.
    peers: &'static str,
    /// The application protocol that they are told.
    alpn: Option<&'static str>,
    ssl: &'a UpstreamSsl,
    /// Where it is said that TLS is spoken.
    place: Option<&'a Place>,
}

impl Family<'_> {
    fn config(&self, reader: &Reader<'_>) -> Result<Arc<ClientConfig>, Error> {
        let password_file = self.directive("password_file");
        let settings = UpstreamSettings {
            trust: if self.ssl.verify.unwrap_or(true) { Some(self.trust(reader)?) } else { None },
            sends_name: self.ssl.server_name.unwrap_or(true),
            resumes: self.ssl.session_reuse.unwrap_or(true),
            pair: self.pair(reader)?,
            passphrases: passphrases(&password_file, &self.ssl.password_file),
            negotiation: self.negotiation()?,
            alpn: self.alpn,
        };
        certificates::client_config(&settings, &|path| reader.environment.read(path))
            .map_err(|error| cannot_load(&error, &password_file))
    }

    fn trust(&self, reader: &Reader<'_>) -> Result<Trust, Error> {
        let Some(authorities) = &self.ssl.trusted_certificate else {
            let (trusted, verify) = (self.directive("trusted_certificate"), self.directive("verify"));
            let hint =
                format!("it names the file with the CA of {}; \"{verify} off\" trusts anybody", self.peers);
            let error = self.error(format!("no {trusted} for {verify}"));
            return Err(error.with_hint(Some(hint)).for_lack_of(&[&trusted, &verify]));
        };
        Ok(Trust {
            authorities: named(reader, authorities),
            crl: self.ssl.crl.as_ref().map(|crl| named(reader, crl)),
            depth: self.ssl.verify_depth.unwrap_or(1),
        })
    }

    fn pair(&self, reader: &Reader<'_>) -> Result<Option<(Certificates, Certificates)>, Error> {
        let Some(certificate) = &self.ssl.certificate else { return Ok(None) };
        let certificate = named(reader, certificate);
        let Some(key) = &self.ssl.certificate_key else {
            let missing = self.directive("certificate_key");
            let message = format!("no \"{missing}\" is defined for certificate \"{certificate}\"");
            return Err(Error::nowhere(message).for_lack_of(&[&missing]));
        };
        Ok(Some((certificate, named(reader, key))))
    }

    fn negotiation(&self) -> Result<Negotiation, Error> {
        let (tls12, tls13) = versions(&self.ssl.protocols);
        if !tls12 && !tls13 {
            let protocols = self.directive("protocols");
            let error = self.error(format!("\"{protocols}\" has neither \"TLSv1.2\" nor \"TLSv1.3\""));
            return Err(error.for_lack_of(&[&protocols]));
        }
        let ciphers = self.ssl.ciphers.as_deref().unwrap_or(certificates::DEFAULT_CIPHERS);
        let negotiation = Negotiation::new(tls12, tls13, ciphers).map_err(Error::nowhere)?;
        if !negotiation.is_possible() {
            let ciphers = self.directive("ciphers");
            return Err(Error::nowhere(format!("\"{ciphers}\" leaves no protocol with a cipher suite")));
        }
        Ok(negotiation)
    }

    fn directive(&self, rest: &str) -> String {
        format!("{}_{rest}", self.prefix)
    }

    fn error(&self, message: String) -> Error {
        Error::new(message, self.place.cloned().unwrap_or(Place::Nowhere))
    }
}

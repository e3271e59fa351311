//! What TLS towards backends is made of.

use gatepost_protocol::config::{BackendTls, ProxySsl};

use super::tls::{cannot_load, named, versions};
use crate::certificates::{self, BackendSettings, Negotiation, Trust};
use crate::config::error::{Error, Place};
use crate::config::layer::Layer;
use crate::config::reader::Reader;

/// TLS towards the backends of one server: where it is the rule, and where an auth server may ask for it, which is
/// wherever it is said whom to trust.
pub(super) fn backend_tls(reader: &Reader<'_>, layer: &Layer) -> Result<BackendTls, Error> {
    let (mode, place) = match &layer.proxy_ssl {
        Some((mode, place)) => (*mode, Some(place)),
        None => (ProxySsl::Off, None),
    };
    let verifies = layer.proxy_ssl_verify.unwrap_or(true);
    let is_prepared = !verifies || layer.proxy_ssl_trusted_certificate.is_some();
    if mode == ProxySsl::Off && !is_prepared {
        return Ok(BackendTls::default());
    }
    let settings = BackendSettings {
        trust: if verifies { Some(trust(reader, layer, place)?) } else { None },
        sends_name: layer.proxy_ssl_server_name.unwrap_or(true),
        resumes: layer.proxy_ssl_session_reuse.unwrap_or(true),
        pair: pair(reader, layer)?,
        negotiation: negotiation(layer, place)?,
    };
    let config =
        certificates::client_config(&settings, &|path| reader.environment.read(path)).map_err(cannot_load)?;
    Ok(BackendTls { mode, config: Some(config), name: layer.proxy_ssl_name.clone() })
}

fn trust(reader: &Reader<'_>, layer: &Layer, place: Option<&Place>) -> Result<Trust, Error> {
    let Some(authorities) = &layer.proxy_ssl_trusted_certificate else {
        let message = "no proxy_ssl_trusted_certificate for proxy_ssl_verify";
        let hint = "it names the file with the CA of the backends; \"proxy_ssl_verify off\" trusts anybody";
        let error = place.map_or_else(|| Error::nowhere(message), |place| Error::new(message, place.clone()));
        return Err(error
            .with_hint(Some(hint.into()))
            .for_lack_of(&["proxy_ssl_trusted_certificate", "proxy_ssl_verify"]));
    };
    Ok(Trust {
        authorities: named(reader, authorities),
        crl: layer.proxy_ssl_crl.as_ref().map(|crl| named(reader, crl)),
        depth: layer.proxy_ssl_verify_depth.unwrap_or(1),
    })
}

fn pair(
    reader: &Reader<'_>,
    layer: &Layer,
) -> Result<Option<(certificates::Certificates, certificates::Certificates)>, Error> {
    let Some(certificate) = &layer.proxy_ssl_certificate else { return Ok(None) };
    let certificate = named(reader, certificate);
    let Some(key) = &layer.proxy_ssl_certificate_key else {
        let message =
            format!("no \"proxy_ssl_certificate_key\" is defined for certificate \"{certificate}\"");
        return Err(Error::nowhere(message).for_lack_of(&["proxy_ssl_certificate_key"]));
    };
    Ok(Some((certificate, named(reader, key))))
}

fn negotiation(layer: &Layer, place: Option<&Place>) -> Result<Negotiation, Error> {
    let (tls12, tls13) = versions(&layer.proxy_ssl_protocols);
    if !tls12 && !tls13 {
        let message = "\"proxy_ssl_protocols\" has neither \"TLSv1.2\" nor \"TLSv1.3\"";
        let error = place.map_or_else(|| Error::nowhere(message), |place| Error::new(message, place.clone()));
        return Err(error.for_lack_of(&["proxy_ssl_protocols"]));
    }
    let ciphers = layer.proxy_ssl_ciphers.as_deref().unwrap_or(certificates::DEFAULT_CIPHERS);
    let negotiation = Negotiation::new(tls12, tls13, ciphers).map_err(Error::nowhere)?;
    if !negotiation.is_possible() {
        return Err(Error::nowhere("\"proxy_ssl_ciphers\" leaves no protocol with a cipher suite"));
    }
    Ok(negotiation)
}

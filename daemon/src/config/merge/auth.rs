//! The auth server of one server.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::upstream_ssl::auth_tls;
use crate::config::error::{Error, Place};
use crate::config::layer::{Layer, UpstreamSsl};
use crate::config::mail::ServerBlock;
use crate::config::mail::auth::{AuthHttp, Found, Scheme};
use crate::config::reader::Reader;
use crate::config::{AuthAddress, AuthServer, AuthTls};

/// The TLS settings that there are already. Servers that say the same have the same, so that they share connections to
/// the auth server, and sessions with it.
#[derive(Default)]
pub(super) struct Known(Vec<(UpstreamSsl, Arc<ClientConfig>)>);

impl Known {
    /// `place` is where TLS is asked for.
    fn config(
        &mut self,
        reader: &Reader<'_>,
        layer: &Layer,
        place: &Place,
    ) -> Result<Arc<ClientConfig>, Error> {
        if let Some((_, config)) = self.0.iter().find(|(ssl, _)| *ssl == layer.auth_http_ssl) {
            return Ok(Arc::clone(config));
        }
        let config = auth_tls(reader, layer, place)?;
        self.0.push((layer.auth_http_ssl.clone(), Arc::clone(&config)));
        Ok(config)
    }
}

/// `auth_http` and what goes with it.
pub(super) fn auth_server(
    reader: &Reader<'_>,
    block: &ServerBlock,
    layer: &Layer,
    known: &mut Known,
) -> Result<AuthServer, Error> {
    let Some(auth) = &layer.auth_http else {
        let error = Error::new("no \"auth_http\" is defined for server", block.place.clone());
        return Err(error.for_lack_of(&["auth_http"]));
    };
    let mut settings = auth
        .settings
        .clone()
        .with_keepalive(layer.auth_http_keepalive.unwrap_or(false))
        .with_client_certificate(layer.auth_http_pass_client_cert.unwrap_or(false))
        .with_host_names(matches!(layer.resolver, Some(Some(_))));
    for (name, value) in &layer.auth_http_header {
        // Checked when it was read.
        settings.add_header(name, value).map_err(|error| Error::nowhere(error.to_string()))?;
    }
    Ok(AuthServer { settings, addresses: addresses(reader, layer, auth, known)? })
}

/// All addresses, each once.
fn addresses(
    reader: &Reader<'_>,
    layer: &Layer,
    auth: &AuthHttp,
    known: &mut Known,
) -> Result<Vec<AuthAddress>, Error> {
    let mut addresses = Vec::new();
    let backups = layer.auth_http_backup.iter().map(|backup| match backup.scheme {
        Some(scheme) => (scheme, &backup.found, &backup.found),
        None => (auth.scheme, &backup.found, &auth.found),
    });
    for (scheme, found, named) in std::iter::once((auth.scheme, &auth.found, &auth.found)).chain(backups) {
        let tls = match scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let config = known.config(reader, layer, &found.place)?;
                Some(AuthTls { config, name: name(layer, named)? })
            }
        };
        for peer in found.peers(scheme) {
            let address = AuthAddress { peer, tls: tls.clone() };
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

/// What the certificate must be for.
fn name(layer: &Layer, found: &Found) -> Result<ServerName<'static>, Error> {
    if let Some(name) = &layer.auth_http_ssl.name {
        return Ok(name.clone());
    }
    found.name().ok_or_else(|| {
        let message = format!("no certificate can be for \"{}\"", found.host);
        let hint = "\"auth_http_ssl_name\" says what it is for".to_owned();
        Error::new(message, found.place.clone()).with_hint(Some(hint)).for_lack_of(&["auth_http_ssl_name"])
    })
}

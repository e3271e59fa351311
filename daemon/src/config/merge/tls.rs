//! What a server's TLS is made of (spec/config.md section 15).

use std::io;
use std::sync::Arc;

use gatepost_protocol::client_certificate::{ClientVerification, VerifyClient};
use gatepost_protocol::config::{Protocol, StartTls};
use gatepost_protocol::secret::Secret;
use zeroize::Zeroizing;

use super::MINUTE;
use crate::certificates::{
    self, CertificateError, Certificates, ClientSettings, Clients, Negotiation, Passphrases, SessionCache,
    TicketKey, TicketKeys,
};
use crate::config;
use crate::config::error::{Error, Place};
use crate::config::layer::Layer;
use crate::config::mail::ServerBlock;
use crate::config::mail::tls::{CacheKind, ConfCommand, TlsProtocol, Zone};
use crate::config::reader::Reader;
use crate::log::lines::error_text;
use crate::sys::SharedMemory;

/// TLS of one server.
pub(super) struct Tls {
    pub(super) config: Arc<rustls::ServerConfig>,
    pub(super) verify_client: Option<ClientVerification>,
}

/// TLS of one server, if it uses any.
pub(super) fn tls(
    reader: &mut Reader<'_>,
    block: &ServerBlock,
    layer: &Layer,
    protocol: Protocol,
) -> Result<Option<Tls>, Error> {
    let Some((mode, place)) = tls_mode(block, layer) else { return Ok(None) };
    let (certificates, keys) = (&layer.ssl_certificate, &layer.ssl_certificate_key);
    let missing = |what: String| {
        let names = &["ssl_certificate", "ssl_certificate_key"];
        Err(Error::new(what, place.clone()).for_lack_of(names))
    };
    let Some(last) = certificates.last() else {
        return missing(format!("no \"ssl_certificate\" is defined for the \"{mode}\" directive"));
    };
    if keys.is_empty() {
        return missing(format!("no \"ssl_certificate_key\" is defined for the \"{mode}\" directive"));
    }
    if keys.len() < certificates.len() {
        return missing(format!(
            "no \"ssl_certificate_key\" is defined for certificate \"{}\" and the \"{mode}\" directive",
            shown(last)
        ));
    }
    let negotiation = negotiation(reader, layer, place)?;
    let clients = clients(reader, layer)?;
    let pairs = certificates.iter().zip(keys);
    let settings = certificates::Settings {
        pairs: pairs.map(|(certificate, key)| (named(reader, certificate), named(reader, key))).collect(),
        passphrases: passphrases("ssl_password_file", &layer.ssl_password_file),
        negotiation,
        session_cache: session_cache(reader, layer)?,
        ticket_keys: ticket_keys(reader, layer)?,
        session_timeout: layer.ssl_session_timeout.unwrap_or(MINUTE * 5),
        alpn: protocol.name(),
        clients: clients.as_ref(),
    };
    let config = certificates::server_config(&settings, &|path| reader.environment.read(path))
        .map_err(|error| cannot_load(&error, "ssl_password_file"))?;
    Ok(Some(Tls { config, verify_client: clients.map(|clients| clients.verification) }))
}

/// Versions, cipher suites, groups and tickets. `place` is the directive's that asks for TLS.
fn negotiation(reader: &mut Reader<'_>, layer: &Layer, place: &Place) -> Result<Negotiation, Error> {
    let (tls12, tls13) = versions(&layer.ssl_protocols);
    if !tls12 && !tls13 {
        let message = "\"ssl_protocols\" has neither \"TLSv1.2\" nor \"TLSv1.3\"";
        return Err(Error::new(message, place.clone()).for_lack_of(&["ssl_protocols"]));
    }
    let ciphers = layer.ssl_ciphers.as_deref().unwrap_or(certificates::DEFAULT_CIPHERS);
    let mut negotiation = Negotiation::new(tls12, tls13, ciphers).map_err(|message| {
        let hint = "TLSv1.2 has ECDHE with AES in GCM mode or ChaCha20 here";
        Error::nowhere(message).with_hint(Some(hint.into()))
    })?;
    negotiation.prefers_own_ciphers = layer.ssl_prefer_server_ciphers.unwrap_or(false);
    negotiation.tickets = layer.ssl_session_tickets.unwrap_or(true);
    if let Some(path) = &layer.ssl_dhparam {
        check_dhparam(reader, path)?;
    }
    if let Some((curves, place)) = &layer.ssl_ecdh_curve {
        for name in negotiation.set_curves(curves).map_err(Error::nowhere)? {
            reader.warn_at(place, format!("\"{name}\" in \"ssl_ecdh_curve\" has no effect"));
        }
    }
    for ConfCommand { name, value, place } in &layer.ssl_conf_command {
        for what in certificates::command(&mut negotiation, name, value).map_err(Error::nowhere)? {
            reader.warn_at(place, format!("\"ssl_conf_command {what}\" has no effect"));
        }
    }
    if !negotiation.is_possible() {
        let message = "\"ssl_conf_command\" leaves no protocol with a cipher suite";
        return Err(Error::new(message, place.clone()));
    }
    Ok(negotiation)
}

/// Whether TLS 1.2 and TLS 1.3 are spoken; without a directive they are.
pub(super) fn versions(listed: &[TlsProtocol]) -> (bool, bool) {
    let is_spoken = |version| listed.is_empty() || listed.contains(&version);
    (is_spoken(TlsProtocol::Tls12), is_spoken(TlsProtocol::Tls13))
}

/// The parameters are of no use, but a file that is not there is a mistake.
fn check_dhparam(reader: &Reader<'_>, path: &str) -> Result<(), Error> {
    let path = config::absolute(&reader.conf_prefix, path);
    let failed = |function: &str, reason: &str| {
        Error::nowhere(format!("{function}(\"{}\") failed (SSL: {reason})", path.display()))
    };
    let text = reader.environment.read(&path);
    let text =
        text.map_err(|error| failed("BIO_new_file", &format!("open() failed {}", error_text(&error))))?;
    match certificates::has_dh_parameters(&text) {
        true => Ok(()),
        false => Err(failed(
            "PEM_read_bio_DHparams",
            "error:0480006C:PEM routines::no start line:Expecting: DH PARAMETERS",
        )),
    }
}

/// Bytes for a session of a `builtin` cache.
const SESSION_SIZE: usize = 256;

/// However many sessions are asked for.
const LARGEST_BUILTIN: usize = 1 << 28;

fn session_cache(reader: &Reader<'_>, layer: &Layer) -> Result<SessionCache, Error> {
    let memory = match (layer.ssl_session_cache.unwrap_or(CacheKind::None), &layer.ssl_session_cache_zone) {
        (CacheKind::Off, _) => return Ok(SessionCache::Off),
        (CacheKind::None, _) | (CacheKind::Zone, None) => return Ok(SessionCache::None),
        (CacheKind::Builtin(_) | CacheKind::Zone, Some(Zone { name, size })) => {
            let size = usize::try_from(*size).unwrap_or(usize::MAX);
            shared_memory(reader, &format!("zone {name}"), size)?
        }
        (CacheKind::Builtin(count), None) => {
            let size = count.saturating_mul(SESSION_SIZE).clamp(SESSION_SIZE * 16, LARGEST_BUILTIN);
            SharedMemory::new(size).map(Arc::new).map_err(|error| no_memory(size, &error))?
        }
    };
    Ok(SessionCache::Memory(memory))
}

fn ticket_keys(reader: &Reader<'_>, layer: &Layer) -> Result<TicketKeys, Error> {
    if layer.ssl_session_ticket_key.is_empty() {
        return shared_memory(reader, "tickets", certificates::TICKETS_SIZE).map(TicketKeys::Shared);
    }
    let mut keys = Vec::new();
    for path in &layer.ssl_session_ticket_key {
        let path = config::absolute(&reader.conf_prefix, path);
        let failed = |message| Error::new(message, reader.place());
        let content = Zeroizing::new(reader.content(&path).map_err(failed)?);
        let wrong = || failed(format!("\"{}\" must be 48 or 80 bytes", path.display()));
        keys.push(TicketKey::new(&content).ok_or_else(wrong)?);
    }
    Ok(TicketKeys::Files(keys.into()))
}

fn shared_memory(reader: &Reader<'_>, name: &str, size: usize) -> Result<Arc<SharedMemory>, Error> {
    reader.environment.shared_memory(name, size).map_err(|error| no_memory(size, &error))
}

fn no_memory(size: usize, error: &io::Error) -> Error {
    Error::nowhere(format!("mmap(MAP_ANON|MAP_SHARED, {size}) failed {}", error_text(error)))
}

/// `ssl_verify_client` and what goes with it.
fn clients(reader: &Reader<'_>, layer: &Layer) -> Result<Option<Clients>, Error> {
    let Some(policy) = layer.ssl_verify_client.flatten() else { return Ok(None) };
    let from = |text: &Option<String>| text.as_ref().map(|text| named(reader, text));
    let settings = ClientSettings {
        policy,
        named: from(&layer.ssl_client_certificate),
        trusted: from(&layer.ssl_trusted_certificate),
        crl: from(&layer.ssl_crl),
        depth: layer.ssl_verify_depth.unwrap_or(1),
    };
    if policy != VerifyClient::OptionalNoCa && settings.named.is_none() && settings.trusted.is_none() {
        let message = "no ssl_client_certificate or ssl_trusted_certificate for ssl_verify_client";
        let names = &["ssl_client_certificate", "ssl_trusted_certificate"];
        return Err(Error::nowhere(message).for_lack_of(names));
    }
    Clients::load(&settings, &|path| reader.environment.read(path))
        .map(Some)
        .map_err(|error| cannot_load(&error, "ssl_password_file"))
}

pub(super) fn passphrases<'a>(directive: &'a str, phrases: &'a Option<Arc<[Secret]>>) -> Passphrases<'a> {
    Passphrases { directive, phrases: phrases.as_deref().unwrap_or_default() }
}

/// `password_file` is the directive that names the passphrases.
pub(super) fn cannot_load(error: &CertificateError, password_file: &str) -> Error {
    let hint = error.hint();
    // The passphrase of a key may be in a file that was refused.
    let is_about_a_key = matches!(error, CertificateError::Key(..));
    let missing: &[_] = if is_about_a_key { &[password_file] } else { &[] };
    Error::nowhere(error.to_string()).with_hint(hint).for_lack_of(missing)
}

/// Which directive asks for TLS, and where: the last `listen ... ssl`, else `ssl`, else `starttls`.
fn tls_mode<'a>(block: &'a ServerBlock, layer: &'a Layer) -> Option<(&'static str, &'a Place)> {
    if let Some(listen) = block.listens.iter().rev().find(|listen| listen.ssl) {
        return Some(("listen ... ssl", &listen.place));
    }
    match (&layer.ssl, &layer.starttls) {
        (Some((true, place)), _) => Some(("ssl", place)),
        (_, Some((StartTls::On | StartTls::Only, place))) => Some(("starttls", place)),
        (_, Some((StartTls::Off, _)) | None) => None,
    }
}

pub(super) fn named(reader: &Reader<'_>, text: &str) -> Certificates {
    match text.strip_prefix("data:") {
        Some(pem) => Certificates::Data(pem.as_bytes().into()),
        None if text.starts_with("engine:") || text.starts_with("store:") => {
            Certificates::Elsewhere(text.to_owned())
        }
        None => Certificates::File(config::absolute(&reader.conf_prefix, text)),
    }
}

/// A certificate as the directive names it, which may be the certificate itself.
fn shown(certificate: &str) -> &str {
    if certificate.starts_with("data:") { "data:..." } else { certificate }
}

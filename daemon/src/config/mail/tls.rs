//! TLS towards clients (spec/config.md section 15).

use std::sync::Arc;

use gatepost_protocol::client_certificate::VerifyClient;
use gatepost_protocol::config::StartTls;
use gatepost_protocol::secret::Secret;
use zeroize::Zeroizing;

use super::methods::add_choices;
use crate::certificates::passphrases;
use crate::config;
use crate::config::directive::{Directive, MAIL_SERVER, MANY, Words, once};
use crate::config::error::{Fault, Place};
use crate::config::layer::Layer;
use crate::config::reader::{NO_EFFECT, Reader};
use crate::config::value;

/// A word of `ssl_protocols`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum TlsProtocol {
    /// Accepted, never spoken.
    Old(&'static str),
    Tls12,
    Tls13,
}

/// `ssl_conf_command`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct ConfCommand {
    pub(in crate::config) name: String,
    pub(in crate::config) value: String,
    pub(in crate::config) place: Place,
}

/// `ssl_session_cache`, but for its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum CacheKind {
    Off,
    None,
    /// So many sessions in a cache of the server's own, unless there is a zone.
    Builtin(usize),
    Zone,
}

/// A zone of `ssl_session_cache shared:NAME:SIZE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Zone {
    pub(in crate::config) name: String,
    /// Bytes.
    pub(in crate::config) size: u64,
}

/// Sessions of `builtin` without a number.
const BUILTIN_SESSIONS: usize = 20480;

/// Eight pages: the least that a shared zone may have.
const SMALLEST_ZONE: u64 = 8 * 4096;

pub(super) const TABLE: &[Directive] = &[
    Directive::one("ssl_certificate", MAIL_SERVER, |reader, words| {
        reader.layer().ssl_certificate.push(words.string()?);
        Ok(())
    }),
    Directive::one("ssl_certificate_compression", MAIL_SERVER, |reader, words| {
        let is_on = words.flag()?;
        once_by_name(reader, words)?;
        reader.ignore(NO_EFFECT);
        if is_on {
            reader.warn("\"ssl_certificate_compression\" is not supported on this platform, ignored");
        }
        Ok(())
    }),
    Directive::one("ssl_certificate_key", MAIL_SERVER, |reader, words| {
        reader.layer().ssl_certificate_key.push(words.string()?);
        Ok(())
    }),
    Directive::one("ssl_ciphers", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_ciphers, words.string())
    }),
    Directive::one("ssl_client_certificate", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_client_certificate, words.string())
    }),
    Directive::new("ssl_conf_command", MAIL_SERVER, 2..=2, |reader, words| {
        let place = reader.place();
        let (name, value) = (words.arguments[0].clone(), words.arguments[1].clone());
        reader.layer().ssl_conf_command.push(ConfCommand { name, value, place });
        Ok(())
    }),
    Directive::one("ssl_crl", MAIL_SERVER, |reader, words| once(&mut reader.layer().ssl_crl, words.string())),
    Directive::one("ssl_dhparam", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_dhparam, words.string())?;
        unused(reader, words)
    }),
    Directive::one("ssl_ecdh_curve", MAIL_SERVER, |reader, words| {
        let place = reader.place();
        once(&mut reader.layer().ssl_ecdh_curve, words.string().map(|curves| (curves, place)))
    }),
    Directive::one("ssl_password_file", MAIL_SERVER, |reader, words| {
        password_file(reader, words, |layer| &mut layer.ssl_password_file)
    }),
    Directive::one("ssl_prefer_server_ciphers", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_prefer_server_ciphers, words.flag())
    }),
    Directive::new("ssl_protocols", MAIL_SERVER, MANY, |reader, words| {
        add_protocols(reader, words, |layer| &mut layer.ssl_protocols)
    }),
    Directive::new("ssl_session_cache", MAIL_SERVER, 1..=2, ssl_session_cache),
    Directive::one("ssl_session_ticket_key", MAIL_SERVER, |reader, words| {
        reader.layer().ssl_session_ticket_key.push(words.string()?);
        Ok(())
    }),
    Directive::one("ssl_session_tickets", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_session_tickets, words.flag())
    }),
    Directive::one("ssl_session_timeout", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_session_timeout, words.time_s())
    }),
    Directive::one("ssl_trusted_certificate", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_trusted_certificate, words.string())
    }),
    Directive::one("ssl_verify_client", MAIL_SERVER, ssl_verify_client),
    Directive::one("ssl_verify_depth", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().ssl_verify_depth, depth(words))
    }),
    Directive::one("starttls", MAIL_SERVER, |reader, words| {
        let kinds = [("off", StartTls::Off), ("on", StartTls::On), ("only", StartTls::Only)];
        let place = reader.place();
        once(&mut reader.layer().starttls, words.choice(&kinds).map(|kind| (kind, place)))
    }),
];

/// A directive that has no effect yet.
fn unused(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let name = &words.name;
    reader.warn_once(name, &format!("\"{name}\" has no effect"));
    reader.ignore(NO_EFFECT);
    Ok(())
}

fn once_by_name(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let seen = &mut reader.layer().seen;
    if seen.contains(&words.name) {
        return Err(Fault::DUPLICATE);
    }
    seen.push(words.name.clone());
    Ok(())
}

/// Reads the file of `ssl_password_file` or its like.
pub(super) fn password_file(
    reader: &mut Reader<'_>,
    words: &Words,
    slot: fn(&mut Layer) -> &mut Option<Arc<[Secret]>>,
) -> Result<(), Fault> {
    if slot(reader.layer()).is_some() {
        return Err(Fault::DUPLICATE);
    }
    let path = config::absolute(&reader.conf_prefix, words.first());
    let content = Zeroizing::new(reader.content(&path).map_err(Fault::Message)?);
    let too_long = || Fault::Message(format!("too long line in \"{}\"", path.display()));
    let passphrases = passphrases(&content).ok_or_else(too_long)?;
    *slot(reader.layer()) = Some(passphrases.into());
    Ok(())
}

/// How many intermediate certificates a chain may have.
pub(super) fn depth(words: &Words) -> Result<usize, Fault> {
    words.number().map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// Adds the words of `ssl_protocols` or its like to the list it has.
pub(super) fn add_protocols(
    reader: &mut Reader<'_>,
    words: &Words,
    list: fn(&mut Layer) -> &mut Vec<TlsProtocol>,
) -> Result<(), Fault> {
    const OLD: [&str; 4] = ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"];
    let mut known = vec![("TLSv1.2", TlsProtocol::Tls12), ("TLSv1.3", TlsProtocol::Tls13)];
    known.extend(OLD.map(|old| (old, TlsProtocol::Old(old))));
    add_choices(reader, words, &known, list)?;
    if words.arguments.iter().any(|word| OLD.iter().any(|old| word.eq_ignore_ascii_case(old))) {
        reader.warn_once(&words.name, &format!("\"{}\" before TLSv1.2 are not spoken", words.name));
    }
    Ok(())
}

/// May be repeated: each part is what was said of it last.
fn ssl_session_cache(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    for word in &words.arguments {
        let invalid = || Fault::Message(format!("invalid session cache \"{word}\""));
        let kind = match word.split_once(':') {
            None if word == "off" => CacheKind::Off,
            None if word == "none" => CacheKind::None,
            None if word == "builtin" => CacheKind::Builtin(BUILTIN_SESSIONS),
            Some(("builtin", count)) => match value::number(count).ok_or_else(invalid)? {
                // As many as may come, for OpenSSL.
                0 => CacheKind::Builtin(BUILTIN_SESSIONS),
                count => CacheKind::Builtin(usize::try_from(count).unwrap_or(usize::MAX)),
            },
            Some(("shared", zone)) => {
                let (name, size) = zone.split_once(':').ok_or_else(invalid)?;
                let size = value::size(size).filter(|_| !name.is_empty()).ok_or_else(invalid)?;
                if size < SMALLEST_ZONE {
                    return Err(Fault::Message(format!("session cache \"{word}\" is too small")));
                }
                declare_zone(reader, name, size)?;
                reader.layer().ssl_session_cache_zone = Some(Zone { name: name.to_owned(), size });
                reader.layer().ssl_session_cache.get_or_insert(CacheKind::Zone);
                continue;
            }
            _ => return Err(invalid()),
        };
        reader.layer().ssl_session_cache = Some(kind);
    }
    Ok(())
}

/// One name has one size.
fn declare_zone(reader: &mut Reader<'_>, name: &str, size: u64) -> Result<(), Fault> {
    let zones = &mut reader.mail.get_or_insert_default().zones;
    let declared = *zones.entry(name.to_owned()).or_insert(size);
    if declared == size {
        return Ok(());
    }
    Err(Fault::Message(format!(
        "the size {size} of shared memory zone \"{name}\" conflicts with already declared size {declared}"
    )))
}

fn ssl_verify_client(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let kinds = [
        ("off", None),
        ("on", Some(VerifyClient::Required)),
        ("optional", Some(VerifyClient::Optional)),
        ("optional_no_ca", Some(VerifyClient::OptionalNoCa)),
    ];
    once(&mut reader.layer().ssl_verify_client, words.choice(&kinds))
}

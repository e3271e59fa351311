//! TLS towards backends, by the names that nginx has for it elsewhere.

use gatepost_protocol::config::ProxySsl;
use rustls::pki_types::ServerName;

use super::tls::add_protocols;
use crate::config::directive::{Directive, MAIL_SERVER, MANY, Words, once};
use crate::config::error::Fault;
use crate::config::reader::Reader;

pub(super) const TABLE: &[Directive] = &[
    Directive::one("proxy_ssl", MAIL_SERVER, |reader, words| {
        let kinds = [("off", ProxySsl::Off), ("on", ProxySsl::On), ("starttls", ProxySsl::StartTls)];
        let place = reader.place();
        once(&mut reader.layer().proxy_ssl, words.choice(&kinds).map(|kind| (kind, place)))
    }),
    Directive::one("proxy_ssl_certificate", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_certificate, words.string())
    }),
    Directive::one("proxy_ssl_certificate_key", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_certificate_key, words.string())
    }),
    Directive::one("proxy_ssl_ciphers", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_ciphers, words.string())
    }),
    Directive::one("proxy_ssl_crl", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_crl, words.string())
    }),
    Directive::one("proxy_ssl_name", MAIL_SERVER, proxy_ssl_name),
    Directive::new("proxy_ssl_protocols", MAIL_SERVER, MANY, |reader, words| {
        add_protocols(reader, words, |layer| &mut layer.proxy_ssl_protocols)
    }),
    Directive::one("proxy_ssl_server_name", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_server_name, words.flag())
    }),
    Directive::one("proxy_ssl_session_reuse", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_session_reuse, words.flag())
    }),
    Directive::one("proxy_ssl_trusted_certificate", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_trusted_certificate, words.string())
    }),
    Directive::one("proxy_ssl_verify", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_ssl_verify, words.flag())
    }),
    Directive::one("proxy_ssl_verify_depth", MAIL_SERVER, |reader, words| {
        let depth = words.number().map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        once(&mut reader.layer().proxy_ssl_verify_depth, depth)
    }),
];

/// A DNS name or an address.
fn proxy_ssl_name(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let word = words.first();
    let invalid = |_| {
        let hint = "it is a DNS name or an address, as a certificate has it".to_owned();
        Fault::Hinted(format!("invalid name \"{word}\" in \"proxy_ssl_name\""), hint)
    };
    once(&mut reader.layer().proxy_ssl_name, ServerName::try_from(word.to_owned()).map_err(invalid))
}

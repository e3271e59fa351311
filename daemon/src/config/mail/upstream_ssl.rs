//! TLS towards servers that we connect to, by the names that nginx has for it elsewhere.

use rustls::pki_types::ServerName;

use super::tls::{add_protocols, depth, password_file};
use crate::config::directive::{Directive, MAIL_SERVER, MANY, Words, once};
use crate::config::error::Fault;

/// The directives that begin with `$prefix`; they set what is in `$part` of a level.
macro_rules! directives {
    ($prefix:literal, $part:ident) => {
        &[
            Directive::one(concat!($prefix, "_certificate"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.certificate, words.string())
            }),
            Directive::one(concat!($prefix, "_certificate_key"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.certificate_key, words.string())
            }),
            Directive::one(concat!($prefix, "_ciphers"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.ciphers, words.string())
            }),
            Directive::one(concat!($prefix, "_crl"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.crl, words.string())
            }),
            Directive::one(concat!($prefix, "_name"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.name, name(words))
            }),
            Directive::one(concat!($prefix, "_password_file"), MAIL_SERVER, |reader, words| {
                password_file(reader, words, |layer| &mut layer.$part.password_file)
            }),
            Directive::new(concat!($prefix, "_protocols"), MAIL_SERVER, MANY, |reader, words| {
                add_protocols(reader, words, |layer| &mut layer.$part.protocols)
            }),
            Directive::one(concat!($prefix, "_server_name"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.server_name, words.flag())
            }),
            Directive::one(concat!($prefix, "_session_reuse"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.session_reuse, words.flag())
            }),
            Directive::one(concat!($prefix, "_trusted_certificate"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.trusted_certificate, words.string())
            }),
            Directive::one(concat!($prefix, "_verify"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.verify, words.flag())
            }),
            Directive::one(concat!($prefix, "_verify_depth"), MAIL_SERVER, |reader, words| {
                once(&mut reader.layer().$part.verify_depth, depth(words))
            }),
        ]
    };
}

/// Towards auth servers.
pub(super) const AUTH_HTTP_SSL: &[Directive] = directives!("auth_http_ssl", auth_http_ssl);

/// Towards backends.
pub(super) const PROXY_SSL: &[Directive] = directives!("proxy_ssl", proxy_ssl_settings);

/// A DNS name or an address.
fn name(words: &Words) -> Result<ServerName<'static>, Fault> {
    let word = words.first();
    ServerName::try_from(word.to_owned()).map_err(|_| {
        let hint = "it is a DNS name or an address, as a certificate has it".to_owned();
        Fault::Hinted(format!("invalid name \"{word}\" in \"{}\"", words.name), hint)
    })
}

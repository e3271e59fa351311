//! Towards the backend, and who the client is (spec/config.md sections 13 and 14).

use gatepost_protocol::config::{ProxyProtocol, ProxySsl};

use super::methods::buffer;
use super::server::warn_of_milliseconds;
use crate::config::directive::{Directive, MAIL_SERVER, Words, once};
use crate::config::error::Fault;
use crate::config::network;
use crate::config::reader::{NO_EFFECT, Reader};

pub(super) const TABLE: &[Directive] = &[
    // Has no effect, and stands in many configurations.
    Directive::one("proxy", MAIL_SERVER, |reader, words| {
        reader.ignore(NO_EFFECT);
        once(&mut reader.layer().proxy, words.flag())
    }),
    Directive::one("proxy_auth_failure", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_auth_failure, words.flag())
    }),
    Directive::one("proxy_buffer", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_buffer, buffer(words))
    }),
    Directive::one("proxy_pass_error_message", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_pass_error_message, words.flag())
    }),
    Directive::one("proxy_protocol", MAIL_SERVER, |reader, words| {
        let kinds = [("off", ProxyProtocol::Off), ("on", ProxyProtocol::V1), ("v2", ProxyProtocol::V2)];
        once(&mut reader.layer().proxy_protocol, words.choice(&kinds))
    }),
    Directive::one("proxy_session_log", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_session_log, words.flag())
    }),
    Directive::one("proxy_smtp_auth", MAIL_SERVER, |reader, words| {
        once(&mut reader.layer().proxy_smtp_auth, words.flag())
    }),
    Directive::one("proxy_ssl", MAIL_SERVER, |reader, words| {
        let kinds = [("off", ProxySsl::Off), ("on", ProxySsl::On), ("starttls", ProxySsl::StartTls)];
        let place = reader.place();
        once(&mut reader.layer().proxy_ssl, words.choice(&kinds).map(|kind| (kind, place)))
    }),
    Directive::one("proxy_timeout", MAIL_SERVER, |reader, words| {
        warn_of_milliseconds(reader, words);
        once(&mut reader.layer().proxy_timeout, words.time_ms())
    }),
    Directive::one("set_real_ip_from", MAIL_SERVER, set_real_ip_from),
    Directive::one("xclient", MAIL_SERVER, |reader, words| once(&mut reader.layer().xclient, words.flag())),
];

fn set_real_ip_from(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let networks = network::read(reader, words)?;
    reader.layer().set_real_ip_from.extend(networks);
    Ok(())
}

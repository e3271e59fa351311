//! The listener of a session target, chosen by letters.

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::config::{Listener, Mail, Network, Protocol, ProxyProtocol, Server, StartTls};
use gatepost_protocol::sasl::{Mechanism, Mechanisms};
use gatepost_protocol::smtp::Xclient;
use gatepost_protocol::{imap, pop3, smtp};

use crate::tls;

/// Builds a listener: each letter switches something on.
pub(crate) fn listener(protocol: Protocol, letters: &[u8]) -> Listener {
    let has = |letter| letters.contains(&letter);
    let starttls = match (has(b'T'), has(b't')) {
        (true, _) => StartTls::Only,
        (false, true) => StartTls::On,
        (false, false) => StartTls::Off,
    };
    let ssl = has(b'i');
    let mail = match protocol {
        Protocol::Imap => {
            Mail::Imap(imap::Settings::new(starttls, &imap::Settings::DEFAULT_CAPABILITIES, mechanisms()))
        }
        Protocol::Pop3 => Mail::Pop3(pop3::Settings::new(
            starttls,
            &pop3::Settings::DEFAULT_CAPABILITIES,
            mechanisms(),
            true,
        )),
        Protocol::Smtp => Mail::Smtp(smtp_settings(starttls, &has)),
    };
    let server = Server {
        mail,
        name: "mx.example".into(),
        timeout: Duration::from_secs(60),
        auth_timeout: Duration::from_secs(30),
        proxy_timeout: Duration::from_secs(3600),
        resolver_timeout: Duration::from_secs(5),
        resolve: has(b'r'),
        max_errors: 5,
        client_buffer: BUFFER,
        proxy_buffer: BUFFER,
        starttls,
        tls: (ssl || starttls != StartTls::Off).then(tls::server),
        pass_error_message: has(b'm'),
        proxy_protocol: match (has(b'o'), has(b'O')) {
            (_, true) => ProxyProtocol::V2,
            (true, false) => ProxyProtocol::V1,
            (false, false) => ProxyProtocol::Off,
        },
        verify_client: None,
        auth_failure: has(b'f'),
        session_log: has(b'l'),
        proxy_ssl: gatepost_protocol::config::BackendTls::default(),
        real_ip_from: vec![Network::Inet { address: [0, 0, 0, 0].into(), prefix: 0 }],
    };
    Listener { server: Arc::new(server), ssl, proxy_protocol: has(b'p') }
}

fn smtp_settings(starttls: StartTls, has: &impl Fn(u8) -> bool) -> smtp::Settings {
    let mut settings =
        smtp::Settings::new("mx.example", starttls, &["PIPELINING", "SIZE 1000"], mechanisms(), has(b'n'));
    settings.proxy_smtp_auth = has(b's');
    settings.greeting_delay = Duration::from_secs(if has(b'g') { 1 } else { 0 });
    settings.xclient = match (has(b'x'), has(b'X')) {
        (true, _) => Xclient::Required,
        (false, true) => Xclient::Off,
        (false, false) => Xclient::IfOffered,
    };
    settings
}

fn mechanisms() -> Mechanisms {
    [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External].into_iter().collect()
}

/// The smallest buffers there may be: limits are reached early.
pub(crate) const BUFFER: usize = 512;

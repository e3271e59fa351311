//! The listener of a session target, chosen by letters.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::client_certificate::{ClientVerification, VerifyClient};
use gatepost_protocol::config::{
    BackendTls, Listener, Mail, Network, Protocol, ProxyProtocol, ProxySsl, Server, StartTls,
};
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
    let mechanisms = mechanisms(has(b'M'));
    let verify_client = verify_client(&has);
    let mail = match protocol {
        Protocol::Imap => {
            Mail::Imap(imap::Settings::new(starttls, &imap::Settings::DEFAULT_CAPABILITIES, mechanisms))
        }
        Protocol::Pop3 => Mail::Pop3(pop3::Settings::new(
            starttls,
            &pop3::Settings::DEFAULT_CAPABILITIES,
            mechanisms,
            !has(b'M'),
        )),
        Protocol::Smtp => Mail::Smtp(smtp_settings(starttls, mechanisms, &has)),
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
        tls: (ssl || starttls != StartTls::Off).then(|| tls::server(verify_client.is_some())),
        pass_error_message: has(b'm'),
        proxy_protocol: match (has(b'o'), has(b'O')) {
            (_, true) => ProxyProtocol::V2,
            (true, false) => ProxyProtocol::V1,
            (false, false) => ProxyProtocol::Off,
        },
        verify_client,
        auth_failure: has(b'f'),
        session_log: has(b'l'),
        proxy_ssl: backend_tls(letters),
        real_ip_from: if has(b'h') { TRUSTED[..1].into() } else { TRUSTED.into() },
    };
    Listener { server: Arc::new(server), ssl, proxy_protocol: has(b'p') }
}

/// How the client of a session speaks TLS.
pub(crate) fn manner(letters: &[u8]) -> tls::Manner {
    let has = |letter| letters.contains(&letter);
    tls::Manner {
        is_old: has(b'L'),
        offers_alpn: has(b'a'),
        offers_other_alpn: has(b'A'),
        has_certificate: has(b'k'),
    }
}

fn verify_client(has: &impl Fn(u8) -> bool) -> Option<ClientVerification> {
    let policy = match (has(b'v'), has(b'w'), has(b'V')) {
        (true, ..) => VerifyClient::Required,
        (false, true, _) => VerifyClient::Optional,
        (false, false, true) => VerifyClient::OptionalNoCa,
        (false, false, false) => return None,
    };
    let finding = match (has(b'e'), has(b'u')) {
        (true, _) => Some(tls::EXPIRED),
        (false, true) => Some(tls::SELF_SIGNED),
        (false, false) => None,
    };
    Some(ClientVerification { policy, verifier: Arc::new(tls::Finding(finding)) })
}

fn backend_tls(letters: &[u8]) -> BackendTls {
    let has = |letter| letters.contains(&letter);
    let fault = letters.iter().copied().find(u8::is_ascii_digit);
    BackendTls {
        mode: match (has(b'y'), has(b'Y')) {
            (true, _) => ProxySsl::On,
            (false, true) => ProxySsl::StartTls,
            (false, false) => ProxySsl::Off,
        },
        config: (!has(b'z')).then(|| tls::backend_client(fault)),
        name: has(b'N').then(|| "mx.example".try_into().expect("the name is well-formed")),
    }
}

fn smtp_settings(starttls: StartTls, mechanisms: Mechanisms, has: &impl Fn(u8) -> bool) -> smtp::Settings {
    let mut settings =
        smtp::Settings::new("mx.example", starttls, &["PIPELINING", "SIZE 1000"], mechanisms, has(b'n'));
    settings.proxy_smtp_auth = has(b's');
    settings.greeting_delay = Duration::from_secs(if has(b'g') { 1 } else { 0 });
    settings.xclient = match (has(b'x'), has(b'X')) {
        (true, _) => Xclient::Required,
        (false, true) => Xclient::Off,
        (false, false) => Xclient::IfOffered,
    };
    settings
}

fn mechanisms(has_few: bool) -> Mechanisms {
    let all = [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];
    all.into_iter().skip(if has_few { 3 } else { 0 }).collect()
}

/// Those of all origins; the letter `h` leaves only the first.
const TRUSTED: [Network; 3] = [
    Network::Inet { address: IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)), prefix: 32 },
    Network::Inet { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)), prefix: 24 },
    Network::Unix,
];

/// The smallest buffers there may be: limits are reached early.
pub(crate) const BUFFER: usize = 512;

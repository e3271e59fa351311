//! Settings for tests: small buffers, round times, the capabilities nginx has by default.

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::config::{Listener, Mail, ProxyProtocol, Server, StartTls};
use gatepost_protocol::sasl::{Mechanism, Mechanisms};
use gatepost_protocol::{imap, pop3, smtp};

pub const NAME: &str = "mx.example";

/// What SMTP and IMAP servers offer here; POP3 does without CRAM-MD5, which would put a challenge into its greeting.
pub fn mechanisms() -> Mechanisms {
    [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5].into_iter().collect()
}

fn server(mail: Mail) -> Server {
    Server {
        mail,
        name: NAME.into(),
        timeout: Duration::from_secs(60),
        auth_timeout: Duration::from_secs(30),
        proxy_timeout: Duration::from_secs(3600),
        resolver_timeout: Duration::from_secs(5),
        resolve: false,
        max_errors: 5,
        client_buffer: 512,
        proxy_buffer: 512,
        starttls: StartTls::Off,
        tls: None,
        pass_error_message: false,
        proxy_protocol: ProxyProtocol::Off,
        verify_client: None,
        auth_failure: false,
        session_log: false,
        proxy_ssl: gatepost_protocol::config::BackendTls::default(),
        real_ip_from: Vec::new(),
    }
}

/// A POP3 server whose greeting is always the same.
pub fn pop3(starttls: StartTls) -> Server {
    pop3_with(starttls, [Mechanism::Plain, Mechanism::Login].into_iter().collect(), false)
}

pub fn pop3_with(starttls: StartTls, mechanisms: Mechanisms, apop: bool) -> Server {
    let settings = pop3::Settings::new(starttls, &pop3::Settings::DEFAULT_CAPABILITIES, mechanisms, apop);
    Server { starttls, ..server(Mail::Pop3(settings)) }
}

pub fn imap(starttls: StartTls) -> Server {
    imap_with(starttls, mechanisms())
}

pub fn imap_with(starttls: StartTls, mechanisms: Mechanisms) -> Server {
    let settings = imap::Settings::new(starttls, &["IMAP4rev1"], mechanisms);
    Server { starttls, ..server(Mail::Imap(settings)) }
}

pub fn smtp(starttls: StartTls) -> Server {
    smtp_with(starttls, false, |_| {})
}

/// `none` lets clients send mail without a login; `change` adjusts what has no argument in `Settings::new`.
pub fn smtp_with(starttls: StartTls, none: bool, change: impl FnOnce(&mut smtp::Settings)) -> Server {
    smtp_offering(mechanisms(), starttls, none, change)
}

pub fn smtp_offering(
    mechanisms: Mechanisms,
    starttls: StartTls,
    none: bool,
    change: impl FnOnce(&mut smtp::Settings),
) -> Server {
    let mut settings = smtp::Settings::new(NAME, starttls, &["SIZE 1000"], mechanisms, none);
    change(&mut settings);
    Server { starttls, ..server(Mail::Smtp(settings)) }
}

/// A plain `listen` without a PROXY header.
pub fn listener(server: Server) -> Listener {
    Listener { server: Arc::new(server), ssl: false, proxy_protocol: false }
}

/// A `listen ... proxy_protocol`.
pub fn behind_balancer(server: Server) -> Listener {
    Listener { proxy_protocol: true, ..listener(server) }
}

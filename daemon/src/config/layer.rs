//! The settings of one level: `mail {}` or one `server {}` (spec/config.md section 9).

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::client_certificate::VerifyClient;
use gatepost_protocol::config::{Network, ProxyProtocol, ProxySsl, StartTls};
use gatepost_protocol::secret::Secret;
use rustls::pki_types::ServerName;

use super::Resolver;
use super::error::Place;
use super::log_target::{LogFormat, LogTarget};
use super::mail::auth::{AuthHttp, Backup};
use super::mail::methods::Method;
use super::mail::tls::{CacheKind, ConfCommand, TlsProtocol, Zone};

/// Declares a level, or a part of one, with its one rule: what is set hides what is set further out, lists included.
macro_rules! layer {
    ($(#[$meta:meta])* $name:ident {
        values { $($value:ident: $type:ty,)* }
        lists { $($(#[$note:meta])* $list:ident: $item:ty,)* }
        parts { $($part:ident: $kind:ty,)* }
    }) => {
        $(#[$meta])*
        #[derive(Clone, Default)]
        pub(super) struct $name {
            $(pub(super) $value: Option<$type>,)*
            $($(#[$note])* pub(super) $list: Vec<$item>,)*
            $(pub(super) $part: $kind,)*
        }

        impl $name {
            /// This, with what it does not set taken from further out.
            fn hiding(&self, outer: &Self) -> Self {
                Self {
                    $($value: self.$value.clone().or_else(|| outer.$value.clone()),)*
                    $($list: if self.$list.is_empty() { &outer.$list } else { &self.$list }.clone(),)*
                    $($part: self.$part.hiding(&outer.$part),)*
                }
            }
        }
    };
}

impl Layer {
    /// This level, with what it does not set taken from the one further out.
    pub(super) fn over(&self, outer: &Self) -> Self {
        let mut merged = self.hiding(outer);
        if self.auth_http.is_some() {
            // Stand-ins for another auth server are none for this one.
            merged.auth_http_backup.clone_from(&self.auth_http_backup);
        }
        merged
    }
}

layer! {
    /// TLS towards servers that we connect to: what follows `proxy_ssl_` and its like in a directive's name. Has no
    /// `Debug`: keys may be in it.
    #[derive(PartialEq)]
    UpstreamSsl {
        values {
            certificate: String,
            certificate_key: String,
            ciphers: String,
            crl: String,
            name: ServerName<'static>,
            password_file: Arc<[Secret]>,
            server_name: bool,
            session_reuse: bool,
            trusted_certificate: String,
            verify: bool,
            verify_depth: usize,
        }
        lists {
            protocols: TlsProtocol,
        }
        parts {}
    }
}

layer! {
    /// What one level sets. Has no `Debug`: keys may be in it.
    Layer {
        values {
            timeout: Duration,
            server_name: String,
            resolver: Option<Resolver>,
            resolver_timeout: Duration,
            max_errors: u64,
        error_log_format: LogFormat,

            imap_client_buffer: usize,
            pop3_client_buffer: usize,
            smtp_client_buffer: usize,
            smtp_greeting_delay: Duration,

            auth_http: AuthHttp,
            auth_http_timeout: Duration,
            auth_http_pass_client_cert: bool,
            auth_http_keepalive: bool,

            proxy: bool,
            proxy_buffer: usize,
            proxy_timeout: Duration,
            proxy_pass_error_message: bool,
            proxy_auth_failure: bool,
            proxy_session_log: bool,
            proxy_smtp_auth: bool,
            proxy_protocol: ProxyProtocol,
            proxy_ssl: (ProxySsl, Place),
            xclient: bool,

            starttls: (StartTls, Place),
            ssl: (bool, Place),
            ssl_ciphers: String,
            ssl_client_certificate: String,
            ssl_crl: String,
            ssl_dhparam: String,
            ssl_ecdh_curve: (String, Place),
            ssl_password_file: Arc<[Secret]>,
            ssl_prefer_server_ciphers: bool,
            ssl_session_cache: CacheKind,
            ssl_session_cache_zone: Zone,
            ssl_session_timeout: Duration,
            ssl_session_tickets: bool,
            ssl_trusted_certificate: String,
            ssl_verify_client: Option<VerifyClient>,
            ssl_verify_depth: usize,
            so_keepalive: bool,
        }
        lists {
            error_log: LogTarget,
            imap_auth: Method,
            imap_capabilities: String,
            pop3_auth: Method,
            pop3_capabilities: String,
            smtp_auth: Method,
            smtp_capabilities: String,
            auth_http_header: (String, String),
            auth_http_backup: Backup,
            set_real_ip_from: Network,
            ssl_certificate: String,
            ssl_certificate_key: String,
            ssl_conf_command: ConfCommand,
            ssl_protocols: TlsProtocol,
            ssl_session_ticket_key: String,
            /// Directives without a value of their own here that may not be repeated.
            seen: String,
        }
        parts {
            auth_http_ssl: UpstreamSsl,
            proxy_ssl_settings: UpstreamSsl,
        }
    }
}

//! The settings of one level: `mail {}` or one `server {}` (spec/config.md section 9).

use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::client_certificate::VerifyClient;
use gatepost_protocol::config::{Network, ProxyProtocol, ProxySsl, StartTls};
use gatepost_protocol::secret::Secret;
use rustls::pki_types::ServerName;

use super::Resolver;
use super::error::Place;
use super::log_target::LogTarget;
use super::mail::auth::AuthHttp;
use super::mail::methods::Method;
use super::mail::tls::{CacheKind, ConfCommand, TlsProtocol, Zone};
use crate::runtime::Peer;

/// Declares the level with its one rule: what is set hides what is set further out, lists included.
macro_rules! layer {
    (values { $($value:ident: $type:ty,)* } lists { $($list:ident: $item:ty,)* }) => {
        /// What one level sets. Has no `Debug`: keys may be in it.
        #[derive(Clone, Default)]
        pub(super) struct Layer {
            $(pub(super) $value: Option<$type>,)*
            $(pub(super) $list: Vec<$item>,)*
            /// Directives without a value of their own here that may not be repeated.
            pub(super) seen: Vec<String>,
        }

        impl Layer {
            /// This level, with what it does not set taken from the one further out.
            pub(super) fn over(&self, outer: &Self) -> Self {
                let mut merged = Self {
                    $($value: self.$value.clone().or_else(|| outer.$value.clone()),)*
                    $($list: if self.$list.is_empty() { &outer.$list } else { &self.$list }.clone(),)*
                    seen: Vec::new(),
                };
                if self.auth_http.is_some() {
                    // Stand-ins for another auth server are none for this one.
                    merged.auth_http_backup.clone_from(&self.auth_http_backup);
                }
                merged
            }
        }
    };
}

layer! {
    values {
        timeout: Duration,
        server_name: String,
        resolver: Option<Resolver>,
        resolver_timeout: Duration,
        max_errors: u64,

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
        proxy_ssl_certificate: String,
        proxy_ssl_certificate_key: String,
        proxy_ssl_ciphers: String,
        proxy_ssl_crl: String,
        proxy_ssl_name: ServerName<'static>,
        proxy_ssl_server_name: bool,
        proxy_ssl_session_reuse: bool,
        proxy_ssl_trusted_certificate: String,
        proxy_ssl_verify: bool,
        proxy_ssl_verify_depth: usize,
        xclient: bool,

        starttls: (StartTls, Place),
        ssl: bool,
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
        auth_http_backup: Peer,
        proxy_ssl_protocols: TlsProtocol,
        set_real_ip_from: Network,
        ssl_certificate: String,
        ssl_certificate_key: String,
        ssl_conf_command: ConfCommand,
        ssl_protocols: TlsProtocol,
        ssl_session_ticket_key: String,
    }
}

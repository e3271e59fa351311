//! Checked settings of one mail server. A value that exists is valid; only the daemon knows braces and semicolons.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client_certificate::ClientVerification;
use crate::{imap, pop3, smtp};

/// The mail protocols, as `protocol` and `Auth-Protocol` spell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocols' own names")]
pub enum Protocol {
    Imap,
    Pop3,
    Smtp,
}

impl Protocol {
    /// `imap`, `pop3` or `smtp`; also the ALPN name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One `listen` of one server: what a session starts from. Shared by all its sessions.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The settings of the `server` block.
    pub server: Arc<Server>,
    /// `listen ... ssl`: TLS from the first byte. Needs `server.tls`.
    pub ssl: bool,
    /// `listen ... proxy_protocol`: a PROXY header comes first.
    pub proxy_protocol: bool,
}

/// The effective settings of one `server` block.
#[derive(Clone, Debug)]
pub struct Server {
    /// The settings of its protocol, with the replies built from them.
    pub mail: Mail,
    /// `server_name`: printable ASCII without blanks.
    pub name: Box<str>,
    /// `timeout`: limits the time from greeting to login attempt, and then the backend login.
    pub timeout: Duration,
    /// `auth_http_timeout`: limits one exchange with the auth server.
    pub auth_timeout: Duration,
    /// `proxy_timeout`: limits the silence of both sides in the relay.
    pub proxy_timeout: Duration,
    /// `resolver_timeout`; the lookup itself happens if `resolve` is set.
    pub resolver_timeout: Duration,
    /// Whether a `resolver` is configured, and SMTP looks up the client's name.
    pub resolve: bool,
    /// `max_errors`: the session closes at this many client errors.
    pub max_errors: u32,
    /// `imap_client_buffer`, `pop3_client_buffer` or `smtp_client_buffer`: bytes one command may have, at least 512.
    pub client_buffer: usize,
    /// `proxy_buffer`: bytes one backend reply may have during login, at least 512.
    pub proxy_buffer: usize,
    /// `starttls`.
    pub starttls: StartTls,
    /// TLS towards clients: present if a `listen ... ssl` or `starttls on|only` needs it.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// `ssl_verify_client`; `None` is `off`. Goes with a `tls` that asks for certificates.
    pub verify_client: Option<ClientVerification>,
    /// `proxy_pass_error_message`.
    pub pass_error_message: bool,
    /// `proxy_auth_failure`: a backend's refusal is told as a failed login, if it is about the credentials.
    pub auth_failure: bool,
    /// `proxy_session_log`: the end of a session tells bytes and time.
    pub session_log: bool,
    /// `proxy_ssl` and what goes with it.
    pub proxy_ssl: BackendTls,
    /// `proxy_protocol`: the header sent to backends.
    pub proxy_protocol: ProxyProtocol,
    /// `set_real_ip_from`.
    pub real_ip_from: Vec<Network>,
}

impl Server {
    /// Which protocol this server speaks.
    pub fn protocol(&self) -> Protocol {
        match &self.mail {
            Mail::Imap(_) => Protocol::Imap,
            Mail::Pop3(_) => Protocol::Pop3,
            Mail::Smtp(_) => Protocol::Smtp,
        }
    }
}

/// The settings that only one protocol has.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the protocols' own names")]
pub enum Mail {
    Imap(imap::Settings),
    Pop3(pop3::Settings),
    Smtp(smtp::Settings),
}

/// `starttls`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// Not offered.
    #[default]
    Off,
    /// Offered.
    On,
    /// Offered, and logins are refused before it.
    Only,
}

/// `proxy_ssl`: how the leg to a backend is protected. Nothing falls back to less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxySsl {
    /// In clear.
    #[default]
    Off,
    /// TLS from the first byte behind the PROXY header.
    On,
    /// STARTTLS (IMAP, SMTP) or STLS (POP3), before anybody is named.
    StartTls,
}

/// TLS towards backends. The default is none.
#[derive(Clone, Debug, Default)]
pub struct BackendTls {
    /// Where the auth server does not say `Auth-Server-SSL`.
    pub mode: ProxySsl,
    /// Whom to trust and how to shake hands; a backend that needs it and finds none is not connected. ALPN is not for
    /// backends, so it has no `alpn_protocols`.
    pub config: Option<Arc<rustls::ClientConfig>>,
    /// `proxy_ssl_name`: what the certificate must be for, instead of the backend's address.
    pub name: Option<rustls::pki_types::ServerName<'static>>,
}

/// `proxy_protocol`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// No header.
    #[default]
    Off,
    /// The text header.
    V1,
    /// The binary header.
    V2,
}

/// Peers that a directive like `set_real_ip_from` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Addresses that share the first `prefix` bits.
    Inet {
        /// The network address, host bits cleared.
        address: IpAddr,
        /// 0 to 32 or 128.
        prefix: u8,
    },
    /// `unix:`.
    Unix,
}

//! The question to the auth server and its answer, as values. `gatepost-auth-client` puts them on the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::action::Errno;
use crate::address::{ClientAddr, ProxyAddresses};
use crate::config::{Protocol, ProxySsl};
use crate::secret::Secret;
use crate::transport::{PeerFault, TlsCause, TlsError, TlsFacts};

/// What one login attempt offers, by `Auth-Method`. Wiped when dropped.
///
/// No login, password, digest or envelope line in here holds CR, LF or NUL.
#[derive(Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `plain`: USER/PASS, the LOGIN command, SASL PLAIN and LOGIN.
    Plain {
        /// The login.
        login: Vec<u8>,
        /// The password, may be empty.
        password: Secret,
    },
    /// `apop` (RFC 1939 section 7).
    Apop {
        /// The login.
        login: Vec<u8>,
        /// The digest as the client sent it.
        digest: Secret,
        /// The challenge with its angle brackets.
        challenge: Box<str>,
    },
    /// `cram-md5` (RFC 2195).
    CramMd5 {
        /// The login.
        login: Vec<u8>,
        /// 32 hexadecimal digits.
        digest: Secret,
        /// The challenge with its angle brackets.
        challenge: Box<str>,
    },
    /// `external` (RFC 4422 appendix A).
    External {
        /// The login.
        login: Vec<u8>,
    },
    /// `none`: SMTP without authentication; the first recipient asks.
    Envelope(Envelope),
}

/// What an SMTP client said before its first recipient was judged (`smtp_auth none`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The HELO or EHLO argument, may be empty.
    pub helo: Vec<u8>,
    /// The MAIL line as typed, without CRLF.
    pub mail: Vec<u8>,
    /// The RCPT line as typed, without CRLF.
    pub rcpt: Vec<u8>,
}

impl Credentials {
    /// The value of `Auth-Method`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "plain",
            Self::Apop { .. } => "apop",
            Self::CramMd5 { .. } => "cram-md5",
            Self::External { .. } => "external",
            Self::Envelope(_) => "none",
        }
    }

    /// The login; empty for method `none`.
    pub fn login(&self) -> &[u8] {
        match self {
            Self::Plain { login, .. }
            | Self::Apop { login, .. }
            | Self::CramMd5 { login, .. }
            | Self::External { login } => login,
            Self::Envelope(_) => b"",
        }
    }

    /// The password that also opens the backend, where the client sent one.
    pub fn password(&self) -> Option<&Secret> {
        match self {
            Self::Plain { password, .. } => Some(password),
            Self::Apop { .. } | Self::CramMd5 { .. } | Self::External { .. } | Self::Envelope(_) => None,
        }
    }
}

/// One question to the auth server (spec/auth-http-and-ops.md section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRequest {
    /// What the client offered. Shared with the session, which needs it again for WAIT and for the backend.
    pub credentials: Arc<Credentials>,
    /// The server's protocol.
    pub protocol: Protocol,
    /// 1 for the first login attempt of the session; WAIT retries do not raise it.
    pub attempt: u32,
    /// The client, after realip.
    pub client: ClientAddr,
    /// SMTP only: the confirmed name, `[UNAVAILABLE]` or `[TEMPUNAVAIL]`.
    pub client_host: Option<Box<str>>,
    /// The addresses of the PROXY header, if one with addresses came in.
    pub proxy: Option<ProxyAddresses>,
    /// Facts of the client's TLS session, if there is one.
    pub tls: Option<TlsFacts>,
}

/// A usable answer of the auth server.
#[derive(Debug, PartialEq, Eq)]
pub enum AuthReply {
    /// `Auth-Status: OK`.
    Accepted(Accepted),
    /// Any other status: the text for the client.
    Refused(Refusal),
    /// `Auth-Status: WAIT`: ask again after this long (zero where the server named no time).
    Wait(Duration),
}

/// Where to log in, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The backend to connect to.
    pub backend: BackendAddr,
    /// `Auth-Server-SSL`: replaces `proxy_ssl`.
    pub ssl: Option<ProxySsl>,
    /// `Auth-User`: replaces the login.
    pub login: Option<Vec<u8>>,
    /// `Auth-Pass`: replaces the password.
    pub password: Option<Secret>,
}

/// A backend, as the auth server named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendAddr {
    /// Where to connect.
    pub target: Target,
    /// `Auth-Server:Auth-Port` as received, for the log.
    pub name: Box<str>,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At this address.
    Address(SocketAddr),
    /// At the addresses of a name, each of which is as good.
    Name {
        /// Letters, digits, `-`, `_` and dots between them.
        host: Box<str>,
        /// The port at each address.
        port: u16,
    },
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

/// A refused login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The text for the client: no control bytes, never empty.
    pub text: Vec<u8>,
    /// `Auth-Error-Code`, checked to look like `ddd` or `ddd d.d.d`; SMTP shows it instead of `535 5.7.0`.
    pub code: Option<Box<str>>,
    /// `Auth-Wait`: keep silent this long, then let the client try again. `None` or zero: reply and close.
    pub wait: Option<Duration>,
    /// `Auth-User`, taken over (for the log) even by a failed attempt.
    pub login: Option<Vec<u8>>,
}

/// Why the auth server gave no usable answer (spec/auth-http-and-ops.md section 7).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// The connection could not be opened: the system call failed at once.
    #[error("connect failed")]
    Connect(Errno),
    /// The server, which has one address alone, refused the connection. The log has nginx's word for it.
    #[error("recv failed")]
    Refused(Errno),
    /// The connection was reset while waiting for the answer.
    #[error("recv failed")]
    Receive(Errno),
    /// The request could not be written.
    #[error("send failed")]
    Send(Errno),
    /// The connection was not there in time: when `auth_http_timeout` had passed, or this address's share of it.
    #[error("connecting timed out")]
    ConnectTimedOut,
    /// The TLS handshake had not finished in time; as with `ConnectTimedOut`.
    #[error("TLS handshake timed out")]
    HandshakeTimedOut,
    /// Closed in the middle of the TLS handshake.
    #[error("closed connection in TLS handshake")]
    ClosedInHandshake,
    /// The connection failed in the middle of the TLS handshake.
    #[error("connection failed in TLS handshake")]
    HandshakeBroken(Errno),
    /// The TLS handshake, or a record after it, failed.
    #[error("TLS failed")]
    Tls {
        /// In `TlsError`'s words.
        reason: Box<str>,
        /// What may be wrong.
        cause: TlsCause,
    },
    /// The server's certificate is not accepted.
    #[error("certificate not accepted")]
    NotTrusted(PeerFault),
    /// `auth_http_timeout` passed before the server had taken the request.
    #[error("sending timed out")]
    SendTimedOut,
    /// `auth_http_timeout` passed.
    #[error("timed out")]
    TimedOut,
    /// Closed before the blank line.
    #[error("prematurely closed connection")]
    Closed,
    /// The status line is malformed.
    #[error("sent invalid response")]
    InvalidResponse,
    /// A header line is malformed.
    #[error("sent invalid header in response")]
    InvalidHeader,
    /// The header part is over the limit.
    #[error("sent too big header")]
    TooBig,
    /// No `Auth-Status`, or an empty one.
    #[error("did not send status")]
    NoStatus,
    /// The HTTP status is not 200 and there is no failure text.
    #[error("returned status {0}")]
    HttpStatus(u16),
    /// `Auth-Server` or `Auth-Port` is missing.
    #[error("did not send server or port")]
    NoServerOrPort,
    /// POP3 and IMAP need a password for the backend and none is known.
    #[error("did not send password")]
    NoPassword,
    /// `Auth-Server` is not an address.
    #[error("sent invalid server address")]
    InvalidServer(Vec<u8>),
    /// `Auth-Port` is not a port.
    #[error("sent invalid server port")]
    InvalidPort(Vec<u8>),
    /// `Auth-Server-SSL` is none of its words.
    #[error("sent invalid server ssl")]
    InvalidServerSsl(Vec<u8>),
    /// `Auth-Server-SSL` asks for TLS and the server has no settings for it.
    #[error("asked for SSL to upstream, for which no \"proxy_ssl\" is configured")]
    NoBackendTls,
    /// `Auth-User` or `Auth-Pass` holds bytes that no backend dialogue can carry.
    #[error("sent invalid credentials")]
    InvalidCredentials,
    /// WAIT came more often than a session bears.
    #[error("asked to wait too often")]
    TooManyWaits,
    /// The worker has no free connection slot; the number is its `worker_connections`.
    #[error("worker_connections are not enough")]
    NoSlots(usize),
}

impl From<TlsError> for AuthFailure {
    fn from(error: TlsError) -> Self {
        match error.peer_fault() {
            Some(fault) => Self::NotTrusted(fault),
            None => Self::Tls { reason: error.to_string().into(), cause: error.cause() },
        }
    }
}

/// How far an exchange with the auth server got that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthPhase {
    /// There was no connection yet.
    Connecting,
    /// There was no TLS yet, or the server had not accepted it.
    Handshaking,
    /// The request was on its way.
    Sending,
    /// The answer was awaited.
    Receiving,
}

impl AuthPhase {
    /// Its name in the log: the system call, where it is one.
    pub fn text(self) -> &'static str {
        match self {
            Self::Connecting => "connect()",
            Self::Handshaking => "SSL handshake",
            Self::Sending => "send()",
            Self::Receiving => "recv()",
        }
    }
}

impl AuthFailure {
    /// Where the exchange broke off; `None` if an answer came, or nobody was asked.
    pub fn phase(&self) -> Option<AuthPhase> {
        match self {
            Self::Connect(_) | Self::Refused(_) | Self::ConnectTimedOut => Some(AuthPhase::Connecting),
            Self::HandshakeTimedOut
            | Self::ClosedInHandshake
            | Self::HandshakeBroken(_)
            | Self::Tls { .. }
            | Self::NotTrusted(_) => Some(AuthPhase::Handshaking),
            Self::Send(_) | Self::SendTimedOut => Some(AuthPhase::Sending),
            Self::Receive(_) | Self::TimedOut | Self::Closed => Some(AuthPhase::Receiving),
            Self::InvalidResponse
            | Self::InvalidHeader
            | Self::TooBig
            | Self::NoStatus
            | Self::HttpStatus(_)
            | Self::NoServerOrPort
            | Self::NoPassword
            | Self::InvalidServer(_)
            | Self::InvalidPort(_)
            | Self::InvalidServerSsl(_)
            | Self::NoBackendTls
            | Self::InvalidCredentials
            | Self::TooManyWaits
            | Self::NoSlots(_) => None,
        }
    }
}

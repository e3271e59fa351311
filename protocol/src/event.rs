//! Facts for the log and the metrics. The daemon renders them in nginx's words (spec/auth-http-and-ops.md section 10).

use std::time::Duration;

use crate::action::{ConnectFailure, Errno, LookupFailure, Side};
use crate::auth::AuthFailure;
use crate::relay::Traffic;
use crate::transport::PeerFault;

/// Severity, in `error_log`'s words; the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of error_log")]
pub enum Level {
    Emerg,
    Alert,
    Crit,
    Error,
    Warn,
    Notice,
    Info,
    Debug,
}

/// One fact about a session. Byte strings are as the peer sent them: render them escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The client was accepted.
    Connected,
    /// A deadline on the client passed (`timeout`, or `proxy_timeout` in the relay).
    ClientTimedOut,
    /// Reading from a leg failed.
    ReceiveFailed(Side, Errno),
    /// Writing to a leg failed.
    SendFailed(Side, Errno),
    /// The PROXY header is malformed; the bytes up to the first CR or LF. Empty: the peer closed without a byte.
    BrokenProxyHeader(Vec<u8>),
    /// The PROXY header has this unknown version.
    UnknownProxyVersion(u8),
    /// The PROXY header is longer than we accept.
    ProxyHeaderTooLarge,
    /// This leg's peer closed in the middle of the TLS handshake.
    ClosedInHandshake(Side),
    /// The TLS handshake, or a record after it, failed on this leg; the text is `TlsError`'s reason.
    TlsFailed(Side, Box<str>),
    /// The client's certificate does not verify.
    CertificateRefused(Box<str>),
    /// `ssl_verify_client on` and no certificate.
    NoCertificate,
    /// Bytes in clear of this leg's peer were already there behind STARTTLS, or behind the answer to ours.
    PlaintextAfterStartTls(Side),
    /// The client's name could not be looked up or confirmed.
    LookupFailed(LookupFailure),
    /// SMTP: the client spoke before the greeting; the first line of what it said, or no more than the verb AUTH.
    RejectedBeforeGreeting(Vec<u8>),
    /// SMTP: MAIL without authentication; the MAIL line.
    Rejected(Vec<u8>),
    /// A command does not fit the buffer: its verb, and how many bytes came or (IMAP literals) were
    /// announced.
    TooLongCommand(Vec<u8>, usize),
    /// `max_errors` reached.
    TooManyErrors,
    /// The client sent an HTTP request line instead of a command: a browser was led to the wrong port.
    HttpRequest,
    /// A SASL exchange held bad base64; the mechanism.
    InvalidBase64(&'static str),
    /// AUTH PLAIN without a login.
    InvalidPlainLogin,
    /// AUTH PLAIN without a password.
    InvalidPlainPassword,
    /// CRAM-MD5 without 32 hexadecimal digits.
    InvalidCramMd5,
    /// Login or password hold CR, LF or NUL, or an identity that differs from the login.
    InvalidCredentials,
    /// The auth server gave no usable answer.
    AuthFailed(AuthFailure),
    /// The auth server refused the login; its text.
    LoginRefused(Vec<u8>),
    /// The backend could not be connected.
    ConnectFailed(ConnectFailure),
    /// The backend did not finish the login within `timeout`.
    BackendTimedOut,
    /// The backend closed before the login was complete.
    BackendClosed,
    /// A backend reply does not fit `proxy_buffer`.
    BackendReplyTooLong(Vec<u8>),
    /// The backend said what it should not; `passed` where the client gets to know (`proxy_pass_error_message`,
    /// `proxy_auth_failure`).
    BackendRefused {
        /// The reply, without the final CRLF.
        text: Vec<u8>,
        /// Whether the client gets to know, which makes it info instead of error.
        passed: bool,
    },
    /// `proxy_smtp_auth` and no password is known.
    NoPassword,
    /// `xclient` is on and the backend does not offer XCLIENT; fatal where `xclient on` was explicit.
    NoXclient {
        /// Whether the session ends for it.
        fatal: bool,
    },
    /// The backend's certificate is not accepted.
    BackendNotTrusted(PeerFault),
    /// STARTTLS is wanted and the backend does not offer it.
    NoStartTls,
    /// The relay begins.
    LoggedIn,
    /// The relay ended.
    Done,
    /// The same with `proxy_session_log`.
    DoneWith(Summary),
    /// `worker_shutdown_timeout` ended the session.
    ShutdownTimedOut,
}

/// What a session was, told at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What the relay passed on.
    pub traffic: Traffic,
    /// From the accepted connection to the end.
    pub time: Duration,
}

/// What the session was doing, for ` while ACTION` in the log (spec/auth-http-and-ops.md section 10.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is its own text, see `text`")]
pub enum Stage {
    SendingGreeting,
    ReadingProxyHeader,
    Handshaking,
    StartingTls,
    ResolvingAddress,
    ResolvingName,
    DelayingGreeting,
    Auth,
    HttpAuth,
    Connecting,
    SendingProxyHeader,
    HandshakingBackend,
    ReadingResponse,
    SendingStartTls,
    SendingCapability,
    SendingUser,
    SendingPassword,
    SendingLogin,
    SendingHelo,
    SendingXclient,
    SendingClientHelo,
    SendingAuth,
    SendingMail,
    SendingRcpt,
    Proxying,
    ReadingClient,
    SendingBackend,
    ReadingBackend,
    SendingClient,
}

impl Stage {
    /// The words of the log.
    pub fn text(self) -> &'static str {
        match self {
            Self::SendingGreeting => "sending client greeting line",
            Self::ReadingProxyHeader => "reading PROXY protocol",
            Self::Handshaking => "SSL handshaking",
            Self::StartingTls => "in starttls state",
            Self::ResolvingAddress => "in resolving client address",
            Self::ResolvingName => "in resolving client hostname",
            Self::DelayingGreeting => "in delay pipelining state",
            Self::Auth => "in auth state",
            Self::HttpAuth => "in http auth state",
            Self::Connecting => "connecting to upstream",
            Self::SendingProxyHeader => "sending PROXY protocol header to upstream",
            Self::HandshakingBackend => "SSL handshaking to upstream",
            Self::SendingStartTls => "sending STARTTLS to upstream",
            Self::SendingCapability => "sending CAPABILITY command to upstream",
            Self::ReadingResponse => "reading response from upstream",
            Self::SendingUser => "sending user name to upstream",
            Self::SendingPassword => "sending password to upstream",
            Self::SendingLogin => "sending LOGIN command to upstream",
            Self::SendingHelo => "sending HELO/EHLO to upstream",
            Self::SendingXclient => "sending XCLIENT to upstream",
            Self::SendingClientHelo => "sending client HELO/EHLO to upstream",
            Self::SendingAuth => "sending AUTH to upstream",
            Self::SendingMail => "sending MAIL FROM to upstream",
            Self::SendingRcpt => "sending RCPT TO to upstream",
            Self::Proxying => "proxying",
            Self::ReadingClient => "proxying and reading from client",
            Self::SendingBackend => "proxying and sending to upstream",
            Self::ReadingBackend => "proxying and reading from upstream",
            Self::SendingClient => "proxying and sending to client",
        }
    }
}

/// What every log line of a session shows beside its event.
#[derive(Clone, Debug)]
pub struct LogContext {
    /// The TCP peer at accept; after a trusted PROXY header the address in it.
    pub client: crate::address::ClientAddr,
    /// Whether STARTTLS has begun.
    pub starttls: bool,
    /// The login, once known and not empty.
    pub login: Option<Box<[u8]>>,
    /// The backend's name, once chosen.
    pub upstream: Option<Box<str>>,
}

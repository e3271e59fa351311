//! What the log says of each event of a session, in nginx's words (spec/auth-http-and-ops.md section 10).

mod auth;
mod fields;

use std::io;

use gatepost_protocol::action::{ConnectFailure, DnsError, Errno, LookupFailure, Side};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::event::{Event, Level, LogContext, Summary};
use gatepost_protocol::transport::PeerFault;
use nix::libc;

pub(crate) use self::auth::{auth_attempt, auth_attempt_level};
use super::entry::{Entry, Situation};
use super::escape;
use crate::runtime::Peer;

/// What a line shows of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The `listen` that accepted the client, as an address.
    pub(crate) listen: &'a str,
    /// The address of the auth server that was asked last.
    pub(crate) auth_server: &'a str,
}

/// What is said of one event.
pub(crate) fn entry<'a>(event: &'a Event, session: Situation<'a>) -> Entry<'a> {
    let Situation { context, place, .. } = session;
    if *event == Event::Connected {
        let message = format!("client {} connected to {}", client_text(&context.client), place.listen);
        return Entry { is_complete: true, ..Entry::new(message, session) };
    }
    let mut entry = Entry::new(message(event, context, place), session);
    fields::add(&mut entry, event, place);
    if let Event::DoneWith(Summary { traffic, time }) = event {
        let (from, to) = (traffic.from_client, traffic.to_client);
        let (seconds, millis) = (time.as_secs(), time.subsec_millis());
        entry.tail = format!(", bytes from/to client: {from}/{to}, session time: {seconds}.{millis:03}");
    }
    entry
}

/// How severe an event is.
pub(crate) fn level(event: &Event) -> Level {
    match event {
        Event::Connected
        | Event::ClientTimedOut
        | Event::ClosedInHandshake(Side::Client)
        | Event::TlsFailed(Side::Client, _)
        | Event::CertificateRefused(_)
        | Event::NoCertificate
        | Event::PlaintextAfterStartTls(Side::Client)
        | Event::RejectedBeforeGreeting(_)
        | Event::Rejected(_)
        | Event::TooLongCommand(..)
        | Event::TooManyErrors
        | Event::HttpRequest
        | Event::InvalidBase64(_)
        | Event::InvalidPlainLogin
        | Event::InvalidPlainPassword
        | Event::InvalidCramMd5
        | Event::InvalidCredentials
        | Event::LoginRefused(_)
        | Event::BackendRefused { passed: true, .. }
        | Event::LoggedIn
        | Event::Done
        | Event::DoneWith(_)
        | Event::ShutdownTimedOut => Level::Info,
        Event::NoXclient { fatal: false } => Level::Warn,
        Event::BrokenProxyHeader(header) if header.is_empty() => Level::Info,
        Event::BrokenProxyHeader(_)
        | Event::UnknownProxyVersion(_)
        | Event::ProxyHeaderTooLarge
        | Event::ClosedInHandshake(Side::Backend)
        | Event::TlsFailed(Side::Backend, _)
        | Event::PlaintextAfterStartTls(Side::Backend)
        | Event::BackendNotTrusted(_)
        | Event::NoStartTls
        | Event::BackendTimedOut
        | Event::BackendClosed
        | Event::BackendReplyTooLong(_)
        | Event::BackendRefused { passed: false, .. }
        | Event::NoPassword
        | Event::NoXclient { fatal: true } => Level::Error,
        Event::LookupFailed(LookupFailure::Mismatch) => Level::Debug,
        Event::LookupFailed(
            LookupFailure::Address(_) | LookupFailure::InvalidName(_) | LookupFailure::Name(..),
        ) => Level::Error,
        Event::ReceiveFailed(side, errno) | Event::SendFailed(side, errno) => socket_level(*side, *errno),
        Event::ConnectFailed(failure) => match failure {
            ConnectFailure::Immediate(errno) => connect_level(*errno),
            ConnectFailure::Refused(errno) => socket_level(Side::Backend, *errno),
            ConnectFailure::AddressFailed(_, errno) => connect_level(*errno),
            ConnectFailure::AddressTimedOut(_)
            | ConnectFailure::Unresolved(_)
            | ConnectFailure::OwnAddress(_) => Level::Error,
            ConnectFailure::NoSlots(_) => Level::Alert,
        },
        Event::AuthFailed(failure) => auth::level(failure),
    }
}

/// What a peer or a network does every day is the client's (info) or the service's (error) concern; what is left
/// points at this machine.
fn socket_level(side: Side, Errno(errno): Errno) -> Level {
    match errno {
        libc::ECONNRESET
        | libc::EPIPE
        | libc::ENOTCONN
        | libc::ETIMEDOUT
        | libc::ECONNREFUSED
        | libc::ENETDOWN
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH => match side {
            Side::Client => Level::Info,
            Side::Backend => Level::Error,
        },
        _ => Level::Alert,
    }
}

fn connect_level(Errno(errno): Errno) -> Level {
    match errno {
        libc::ECONNREFUSED
        | libc::ECONNRESET
        | libc::EAGAIN
        | libc::ETIMEDOUT
        | libc::ENETDOWN
        | libc::ENETUNREACH
        | libc::EHOSTDOWN
        | libc::EHOSTUNREACH => Level::Error,
        _ => Level::Crit,
    }
}

fn message(event: &Event, context: &LogContext, place: Place<'_>) -> String {
    match event {
        Event::Connected => "client connected".into(),
        Event::ClientTimedOut => "client timed out (110: Connection timed out)".into(),
        Event::ReceiveFailed(_, errno) => format!("recv() failed {}", errno_text(errno.0)),
        Event::SendFailed(_, errno) => format!("send() failed {}", errno_text(errno.0)),
        Event::BrokenProxyHeader(header) => format!("broken header: {}", quoted(header)),
        Event::UnknownProxyVersion(version) => format!("unknown PROXY protocol version: {version}"),
        Event::ProxyHeaderTooLarge => "header is too large".into(),
        Event::ClosedInHandshake(_) => "peer closed connection in SSL handshake".into(),
        Event::TlsFailed(_, reason) => {
            format!("SSL_do_handshake() failed (SSL: {})", escape(reason.as_bytes()))
        }
        Event::CertificateRefused(reason) => {
            format!("client SSL certificate verify error: ({})", escape(reason.as_bytes()))
        }
        Event::NoCertificate => "client sent no required SSL certificate".into(),
        Event::PlaintextAfterStartTls(Side::Client) => "plaintext data after STARTTLS".into(),
        Event::PlaintextAfterStartTls(Side::Backend) => "upstream sent plaintext data after STARTTLS".into(),
        Event::BackendNotTrusted(PeerFault::Unverified(failure)) => {
            format!("upstream SSL certificate verify error: ({failure})")
        }
        Event::BackendNotTrusted(PeerFault::WrongName(name)) => {
            format!("upstream SSL certificate does not match {}", quoted(name.as_bytes()))
        }
        Event::NoStartTls => "upstream does not offer STARTTLS".into(),
        Event::LookupFailed(failure) => lookup_message(failure),
        Event::RejectedBeforeGreeting(text) => {
            format!("client was rejected before greeting: {}", quoted(text))
        }
        Event::Rejected(line) => format!("client was rejected: {}", quoted(line)),
        Event::TooLongCommand(verb, count) => {
            format!("client sent too long command {}, {count} bytes", quoted(verb))
        }
        Event::TooManyErrors => "client sent too many invalid commands".into(),
        Event::HttpRequest => "client sent an HTTP request".into(),
        Event::InvalidBase64(mechanism) => {
            format!("client sent invalid base64 encoding in AUTH {mechanism} command")
        }
        Event::InvalidPlainLogin => "client sent invalid login in AUTH PLAIN command".into(),
        Event::InvalidPlainPassword => "client sent invalid password in AUTH PLAIN command".into(),
        Event::InvalidCramMd5 => "client sent invalid CRAM-MD5 hash in AUTH CRAM-MD5 command".into(),
        Event::InvalidCredentials => "client sent invalid login or password".into(),
        Event::AuthFailed(failure) => auth::message(failure, place.auth_server),
        Event::LoginRefused(text) => format!("client login failed: {}", quoted(text)),
        Event::ConnectFailed(failure) => connect_message(failure, context),
        Event::BackendTimedOut => "upstream timed out (110: Connection timed out)".into(),
        Event::BackendClosed => "upstream prematurely closed connection".into(),
        Event::BackendReplyTooLong(text) => format!("upstream sent too long response line: {}", quoted(text)),
        Event::BackendRefused { text, .. } => format!("upstream sent invalid response: {}", quoted(text)),
        Event::NoPassword => "no password available".into(),
        Event::NoXclient { .. } => "upstream does not offer XCLIENT".into(),
        Event::LoggedIn => "client logged in".into(),
        Event::Done | Event::DoneWith(_) => "proxied session done".into(),
        Event::ShutdownTimedOut => "shutdown timeout".into(),
    }
}

fn connect_message(failure: &ConnectFailure, context: &LogContext) -> String {
    match failure {
        ConnectFailure::Immediate(errno) => {
            let upstream = context.upstream.as_deref().unwrap_or_default();
            format!("connect() to {} failed {}", escape(upstream.as_bytes()), errno_text(errno.0))
        }
        ConnectFailure::Refused(errno) => format!("connect() failed {}", errno_text(errno.0)),
        ConnectFailure::NoSlots(limit) => no_slots(*limit),
        ConnectFailure::AddressFailed(address, errno) => {
            format!("connect() to {address} failed {}", errno_text(errno.0))
        }
        ConnectFailure::AddressTimedOut(address) => {
            format!("connect() to {address} failed {}", errno_text(libc::ETIMEDOUT))
        }
        ConnectFailure::Unresolved(error) => {
            let upstream = context.upstream.as_deref().unwrap_or_default();
            let host = upstream.rsplit_once(':').map_or(upstream, |(host, _)| host);
            format!("{} could not be resolved {}", quoted(host.as_bytes()), dns_text(*error))
        }
        ConnectFailure::OwnAddress(address) => {
            format!("upstream address {address} is one that this proxy listens on")
        }
    }
}

fn lookup_message(failure: &LookupFailure) -> String {
    match failure {
        LookupFailure::Address(error) => format!("IP could not be resolved {}", dns_text(*error)),
        LookupFailure::InvalidName(name) => format!("IP resolved to invalid host name {}", quoted(name)),
        LookupFailure::Name(name, error) => {
            format!("{} could not be resolved {}", quoted(name.as_bytes()), dns_text(*error))
        }
        LookupFailure::Mismatch => "IP resolved to a name with other addresses".into(),
    }
}

fn dns_text(error: DnsError) -> &'static str {
    match error {
        DnsError::Format => "(1: Format error)",
        DnsError::ServerFailure => "(2: Server failure)",
        DnsError::NotFound => "(3: Host not found)",
        DnsError::Unimplemented => "(4: Unimplemented)",
        DnsError::Refused => "(5: Operation refused)",
        DnsError::TimedOut => "(110: Operation timed out)",
    }
}

/// The message for an exhausted `worker_connections`.
pub(crate) fn no_slots(limit: usize) -> String {
    format!("{limit} worker_connections are not enough")
}

pub(super) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", escape(bytes))
}

/// `(N: text)` of an operating system error.
pub(crate) fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    // The standard library repeats the number behind the system's text.
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    format!("({errno}: {text})")
}

/// [`errno_text`] of an error that may not come from the operating system.
pub(crate) fn error_text(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| format!("({error})"), errno_text)
}

/// An address as lines show it: `127.0.0.1:143`, `[::1]:143`, `unix:/path`.
pub(crate) fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => address.to_string(),
        Peer::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn client_text(client: &ClientAddr) -> String {
    match client {
        ClientAddr::Inet(address) => address.to_string(),
        ClientAddr::Unix => client.to_string(),
    }
}

#[cfg(test)]
mod tests;

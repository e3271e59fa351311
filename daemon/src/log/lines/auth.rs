//! Lines about the auth server.

use std::time::Duration;

use gatepost_protocol::action::{Errno, Side};
use gatepost_protocol::auth::{AuthFailure, AuthPhase};
use gatepost_protocol::event::{Level, LogContext, Stage};
use gatepost_protocol::transport::{PeerFault, TlsCause};

use super::{Place, connect_level, errno_text, no_slots, quoted, socket_level};
use crate::log::entry::{Entry, Situation, Value};
use crate::log::escape;

/// How long one exchange with the auth server took, or where and after how long it broke off
/// (spec/auth-http-and-ops.md A14).
pub(crate) fn auth_attempt<'a>(
    time: Duration,
    phase: Option<AuthPhase>,
    context: &'a LogContext,
    place: Place<'a>,
) -> Entry<'a> {
    let (server, seconds) = (place.auth_server, time.as_secs_f64());
    let message = match phase {
        None => format!("auth http server {server} took {seconds:.3} s"),
        Some(phase) => format!("auth http server {server} failed in {} after {seconds:.3} s", phase.text()),
    };
    let entry = Entry::new(message, Situation { stage: Some(Stage::HttpAuth), context, place })
        .with("auth_server", Value::Text(server.as_bytes().into()))
        .with("auth_time", Value::Seconds(time));
    match phase {
        Some(phase) => entry.with("auth_phase", Value::Text(phase.text().as_bytes().into())),
        None => entry,
    }
}

/// How severe that is.
pub(crate) fn auth_attempt_level(phase: Option<AuthPhase>) -> Level {
    if phase.is_some() { Level::Error } else { Level::Info }
}

/// How severe a failure is.
pub(super) fn level(failure: &AuthFailure) -> Level {
    match failure {
        AuthFailure::Connect(errno) => connect_level(*errno),
        AuthFailure::Refused(errno)
        | AuthFailure::Receive(errno)
        | AuthFailure::Send(errno)
        | AuthFailure::HandshakeBroken(errno) => socket_level(Side::Backend, *errno),
        AuthFailure::NoSlots(_) => Level::Alert,
        AuthFailure::ConnectTimedOut
        | AuthFailure::HandshakeTimedOut
        | AuthFailure::ClosedInHandshake
        | AuthFailure::Tls { .. }
        | AuthFailure::NotTrusted(_)
        | AuthFailure::SendTimedOut
        | AuthFailure::TimedOut
        | AuthFailure::Closed
        | AuthFailure::InvalidResponse
        | AuthFailure::InvalidHeader
        | AuthFailure::TooBig
        | AuthFailure::NoStatus
        | AuthFailure::HttpStatus(_)
        | AuthFailure::NoServerOrPort
        | AuthFailure::NoPassword
        | AuthFailure::InvalidServer(_)
        | AuthFailure::InvalidPort(_)
        | AuthFailure::InvalidServerSsl(_)
        | AuthFailure::NoBackendTls
        | AuthFailure::InvalidCredentials
        | AuthFailure::TooManyWaits => Level::Error,
    }
}

/// What is said of a failure of this auth server.
pub(super) fn message(failure: &AuthFailure, server: &str) -> String {
    let complaint = match failure {
        AuthFailure::Connect(errno) => {
            return format!("connect() to {server} failed {}", errno_text(errno.0));
        }
        AuthFailure::Refused(errno) | AuthFailure::Receive(errno) => {
            return format!("recv() failed {}", errno_text(errno.0));
        }
        AuthFailure::Send(errno) => return format!("send() failed {}", errno_text(errno.0)),
        AuthFailure::NoSlots(limit) => return no_slots(*limit),
        AuthFailure::ConnectTimedOut | AuthFailure::SendTimedOut | AuthFailure::TimedOut => {
            "timed out (110: Connection timed out)".into()
        }
        AuthFailure::HandshakeTimedOut => "timed out (110: Connection timed out) in SSL handshake".into(),
        AuthFailure::HandshakeBroken(Errno(errno)) => {
            format!("failed in SSL handshake {}", errno_text(*errno))
        }
        AuthFailure::ClosedInHandshake => {
            format!("closed connection in SSL handshake{}", advice(TlsCause::NoTls))
        }
        AuthFailure::Tls { reason, cause } => {
            format!("SSL error: ({}){}", escape(reason.as_bytes()), advice(*cause))
        }
        AuthFailure::NotTrusted(PeerFault::Unverified(failure)) => {
            format!("SSL certificate verify error: ({failure}), see \"auth_http_ssl_trusted_certificate\"")
        }
        AuthFailure::NotTrusted(PeerFault::WrongName(name)) => {
            format!("SSL certificate does not match {}, see \"auth_http_ssl_name\"", quoted(name.as_bytes()))
        }
        AuthFailure::InvalidServer(value) => format!("sent invalid server address:{}", quoted(value)),
        AuthFailure::InvalidPort(value) => format!("sent invalid server port:{}", quoted(value)),
        AuthFailure::InvalidServerSsl(value) => format!("sent invalid server ssl:{}", quoted(value)),
        AuthFailure::Closed
        | AuthFailure::InvalidResponse
        | AuthFailure::InvalidHeader
        | AuthFailure::TooBig
        | AuthFailure::NoStatus
        | AuthFailure::HttpStatus(_)
        | AuthFailure::NoServerOrPort
        | AuthFailure::NoPassword
        | AuthFailure::NoBackendTls
        | AuthFailure::InvalidCredentials
        | AuthFailure::TooManyWaits => failure.to_string(),
    };
    format!("auth http server {server} {complaint}")
}

/// What to do about a failure of TLS.
fn advice(cause: TlsCause) -> &'static str {
    match cause {
        TlsCause::NoTls => ", it may be one for \"http://\"",
        TlsCause::Version => ", see \"auth_http_ssl_protocols\"",
        TlsCause::Negotiation => ", see \"auth_http_ssl_ciphers\" and \"auth_http_ssl_certificate\"",
        TlsCause::OwnCertificate => ", see \"auth_http_ssl_certificate\"",
        TlsCause::Name => ", see \"auth_http_ssl_name\"",
        TlsCause::Application => ", it does not speak HTTP/1.1",
        TlsCause::Other => "",
    }
}

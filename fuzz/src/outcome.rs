//! How an operation ends, as a script says it: one byte for the kind, and a login or a text.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gatepost_auth_client::Exchange;
use gatepost_protocol::action::{Completion, ConnectFailure, DnsError, Errno, LookupFailure};
use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, BackendAddr, Refusal, Target};
use gatepost_protocol::config::ProxySsl;
use gatepost_protocol::secret::Secret;

use crate::ledger::Operation;

/// What the auth server tells of the backend.
pub(crate) const PASSWORD: &[u8] = b"backend-password";

/// The end of `operation`.
pub(crate) fn completion(operation: Operation, detail: &[u8]) -> Completion {
    let (kind, detail) = detail.split_first().map_or((b'+', detail), |(kind, detail)| (*kind, detail));
    match operation {
        Operation::Resolve => Completion::Resolved(name(kind)),
        Operation::Connect => Completion::Connected(connection(kind)),
        Operation::Auth { needs_password } => Completion::Auth(judged(answer(kind, detail, needs_password))),
    }
}

/// The auth server answers a question with these bytes, and closes.
pub(crate) fn response(mut exchange: Exchange, bytes: &[u8]) -> Completion {
    Completion::Auth(exchange.handle_input(bytes).unwrap_or_else(|| Err(exchange.handle_eof())))
}

fn name(kind: u8) -> Result<Box<str>, LookupFailure> {
    Err(match kind {
        b'+' => return Ok("client.example".into()),
        b'-' => LookupFailure::Mismatch,
        b'i' => LookupFailure::InvalidName(b"a b".to_vec()),
        b'n' => LookupFailure::Name("client.example".into(), DnsError::NotFound),
        b'p' => LookupFailure::Name("client.example".into(), DnsError::ServerFailure),
        b'x' => LookupFailure::Address(DnsError::NotFound),
        _ => LookupFailure::Address(DnsError::TimedOut),
    })
}

fn connection(kind: u8) -> Result<(), ConnectFailure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 143));
    Err(match kind {
        b'-' => ConnectFailure::Refused(Errno(111)),
        b'i' => ConnectFailure::Immediate(Errno(101)),
        b's' => ConnectFailure::NoSlots(512),
        b'a' => ConnectFailure::AddressFailed(address, Errno(111)),
        b't' => ConnectFailure::AddressTimedOut(address),
        b'u' => ConnectFailure::Unresolved(DnsError::NotFound),
        b'o' => ConnectFailure::OwnAddress(address),
        _ => return Ok(()),
    })
}

/// An answer, and what the log would look at where there is none.
fn judged(answer: Result<AuthReply, AuthFailure>) -> Result<AuthReply, AuthFailure> {
    let phase = answer.as_ref().err().and_then(AuthFailure::phase);
    assert!(phase.is_none_or(|phase| !phase.text().is_empty()));
    answer
}

/// An answer of the auth server, such as the auth client lets pass.
fn answer(kind: u8, detail: &[u8], needs_password: bool) -> Result<AuthReply, AuthFailure> {
    let text: Vec<u8> = detail.iter().copied().filter(|byte| !byte.is_ascii_control()).collect();
    let refusal = |wait| {
        let text = if text.is_empty() { b"no".to_vec() } else { text.clone() };
        Ok(AuthReply::Refused(Refusal { text, code: None, wait, login: None }))
    };
    match kind {
        b'-' => refusal(None),
        b'~' => refusal(Some(Duration::from_secs(1))),
        b'w' => Ok(AuthReply::Wait(Duration::ZERO)),
        b'W' => Ok(AuthReply::Wait(Duration::from_secs(5))),
        b'l' => Ok(AuthReply::Wait(Duration::from_secs(61))),
        b'!' => Err(AuthFailure::TimedOut),
        b'?' => Err(AuthFailure::NoStatus),
        b'r' => Err(AuthFailure::Receive(Errno(104))),
        b's' => Err(AuthFailure::Send(Errno(32))),
        b'x' => Err(AuthFailure::Connect(Errno(101))),
        b't' => Err(AuthFailure::ConnectTimedOut),
        _ => {
            let login = if text.is_empty() { None } else { Some(text) };
            let password = (kind != b'=' || needs_password).then(|| Secret::from(PASSWORD));
            let ssl = match kind {
                b'y' => Some(ProxySsl::On),
                b'Y' => Some(ProxySsl::StartTls),
                b'c' => Some(ProxySsl::Off),
                _ => None,
            };
            Ok(AuthReply::Accepted(Accepted { backend: backend(kind == b'n'), ssl, login, password }))
        }
    }
}

fn backend(is_name: bool) -> BackendAddr {
    if is_name {
        let target = Target::Name { host: "backend.example".into(), port: 143 };
        return BackendAddr { target, name: "backend.example:143".into() };
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 143));
    BackendAddr { target: address.into(), name: "127.0.0.1:143".into() }
}

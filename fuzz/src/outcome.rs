//! How an operation ends, as a script says it: one byte for the kind, and a login or a text.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use gatepost_protocol::action::{Completion, ConnectFailure, DnsError, Errno, LookupFailure};
use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, BackendAddr, Refusal};
use gatepost_protocol::secret::Secret;

use crate::ledger::Operation;

/// What the auth server tells of the backend.
pub(crate) const PASSWORD: &[u8] = b"backend-password";

/// The end of `operation`.
pub(crate) fn completion(operation: Operation, detail: &[u8]) -> Completion {
    let (kind, detail) = detail.split_first().map_or((b'+', detail), |(kind, detail)| (*kind, detail));
    match (operation, kind) {
        (Operation::Resolve, b'+') => Completion::Resolved(Ok("client.example".into())),
        (Operation::Resolve, b'-') => Completion::Resolved(Err(LookupFailure::Mismatch)),
        (Operation::Resolve, _) => Completion::Resolved(Err(LookupFailure::Address(DnsError::TimedOut))),
        (Operation::Connect, b'-') => Completion::Connected(Err(ConnectFailure::Refused(Errno(111)))),
        (Operation::Connect, _) => Completion::Connected(Ok(())),
        (Operation::Auth { needs_password }, _) => Completion::Auth(answer(kind, detail, needs_password)),
    }
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
        b'!' => Err(AuthFailure::TimedOut),
        b'?' => Err(AuthFailure::NoStatus),
        _ => {
            let login = if text.is_empty() { None } else { Some(text) };
            let password = (kind != b'=' || needs_password).then(|| Secret::from(PASSWORD));
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 143));
            let backend = BackendAddr { target: address.into(), name: "127.0.0.1:143".into() };
            Ok(AuthReply::Accepted(Accepted { backend, ssl: None, login, password }))
        }
    }
}

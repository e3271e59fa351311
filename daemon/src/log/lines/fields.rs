//! What a message about an event says, as fields for programs.

use std::borrow::Cow;

use gatepost_protocol::action::{ConnectFailure, Errno, LookupFailure};
use gatepost_protocol::auth::AuthFailure;
use gatepost_protocol::event::{Event, Summary};
use nix::libc;

use super::Place;
use crate::log::entry::{Entry, Value};

/// Adds the fields of `event`: numbers of the operating system, and what a peer has said.
pub(super) fn add<'a>(entry: &mut Entry<'a>, event: &'a Event, place: Place<'a>) {
    if matches!(event, Event::AuthFailed(_)) {
        entry.fields.push(("auth_server", text(place.auth_server.as_bytes())));
    }
    if let Some(Errno(errno)) = errno(event) {
        entry.fields.push(("errno", Value::Number(errno.unsigned_abs().into())));
    }
    if let Some(said) = said(event) {
        entry.fields.push(("text", text(said)));
    }
    if let Event::TooLongCommand(_, bytes) = event {
        entry.fields.push(("bytes", Value::Number(*bytes as u64)));
    } else if let Event::DoneWith(Summary { traffic, time }) = event {
        entry.fields.push(("bytes_from_client", Value::Number(traffic.from_client)));
        entry.fields.push(("bytes_to_client", Value::Number(traffic.to_client)));
        entry.fields.push(("session_time", Value::Seconds(*time)));
    }
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::Text(Cow::Borrowed(bytes))
}

/// The error of the operating system that the message shows.
fn errno(event: &Event) -> Option<Errno> {
    let timed_out = Some(Errno(libc::ETIMEDOUT));
    if let Event::ReceiveFailed(_, errno) | Event::SendFailed(_, errno) = event {
        Some(*errno)
    } else if let Event::ConnectFailed(failure) = event {
        match failure {
            ConnectFailure::Immediate(errno)
            | ConnectFailure::Refused(errno)
            | ConnectFailure::AddressFailed(_, errno) => Some(*errno),
            ConnectFailure::AddressTimedOut(_) => timed_out,
            ConnectFailure::NoSlots(_) | ConnectFailure::Unresolved(_) | ConnectFailure::OwnAddress(_) => {
                None
            }
        }
    } else if let Event::AuthFailed(
        AuthFailure::Connect(errno)
        | AuthFailure::Refused(errno)
        | AuthFailure::Receive(errno)
        | AuthFailure::Send(errno)
        | AuthFailure::HandshakeBroken(errno),
    ) = event
    {
        Some(*errno)
    } else if matches!(
        event,
        Event::ClientTimedOut
            | Event::BackendTimedOut
            | Event::AuthFailed(
                AuthFailure::ConnectTimedOut
                    | AuthFailure::HandshakeTimedOut
                    | AuthFailure::SendTimedOut
                    | AuthFailure::TimedOut
            )
    ) {
        timed_out
    } else {
        None
    }
}

/// What the message quotes of a peer.
fn said(event: &Event) -> Option<&[u8]> {
    if let Event::BrokenProxyHeader(said)
    | Event::RejectedBeforeGreeting(said)
    | Event::Rejected(said)
    | Event::TooLongCommand(said, _)
    | Event::LookupFailed(LookupFailure::InvalidName(said))
    | Event::LoginRefused(said)
    | Event::BackendReplyTooLong(said)
    | Event::BackendRefused { text: said, .. }
    | Event::AuthFailed(
        AuthFailure::InvalidServer(said)
        | AuthFailure::InvalidPort(said)
        | AuthFailure::InvalidServerSsl(said),
    ) = event
    {
        Some(said)
    } else {
        None
    }
}

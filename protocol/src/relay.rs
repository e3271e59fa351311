//! After the login: bytes pass, an idle limit runs, counters count.

use std::time::Instant;

use crate::action::{Action, Output, Side};
use crate::event::LogContext;
use crate::session::SocketFailure;

/// The relay of a logged-in session. Same contract as `Session`.
#[derive(Debug)]
pub struct Relay {}

impl Relay {
    /// Takes all of `wire`, as read from this leg's socket; what the other leg should get is appended to `out`.
    pub fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        let _ = (side, wire, now, out);
        todo!()
    }

    /// Whether bytes of this leg pass unchanged (plain on both legs): the caller may then write them itself, without
    /// `handle_input`, and report them with [`handle_passed`](Self::handle_passed).
    pub fn is_transparent(&self) -> bool {
        todo!()
    }

    /// `count` bytes read from this leg were passed on by the caller.
    pub fn handle_passed(&mut self, side: Side, count: usize, now: Instant) {
        let _ = (side, count, now);
        todo!()
    }

    /// This leg's peer has closed its sending direction.
    pub fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        let _ = (side, now, out);
        todo!()
    }

    /// Reading from or writing to this leg's socket failed.
    pub fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        let _ = (side, failure, now, out);
        todo!()
    }

    /// `now` may have reached the deadline; harmless if it has not.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        let _ = (now, out);
        todo!()
    }

    /// The worker's patience ends (`worker_shutdown_timeout`): close.
    pub fn handle_shutdown_timeout(&mut self) {
        todo!()
    }

    /// The next thing to do, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }

    /// When to call `handle_deadline`. Moves with every byte: re-arm lazily.
    pub fn poll_deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// How many bytes have passed in each direction, in clear.
    pub fn traffic(&self) -> Traffic {
        todo!()
    }

    /// What log lines show beside the event.
    pub fn log_context(&self) -> &LogContext {
        todo!()
    }
}

/// What a relay has passed on, in bytes without TLS; what was read too early during the login counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client to the backend.
    pub from_client: u64,
    /// From the backend to the client.
    pub to_client: u64,
}

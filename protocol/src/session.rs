//! One proxied connection up to the login: a mail machine, two transports, deadlines.

use std::time::Instant;

use crate::action::{Action, Completion, Output, Side};
use crate::address::Origin;
use crate::config::Listener;
use crate::event::LogContext;
use crate::relay::Relay;

/// A session from accept to login. See the crate documentation for the contract.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Starts a session on an accepted connection; `out` may already hold the greeting.
    pub fn open(listener: &Listener, origin: &Origin, now: Instant, out: &mut Output) -> Self {
        let _ = (listener, origin, now, out);
        todo!()
    }

    /// Takes all of `wire`, as read from this leg's socket; records are decrypted in place.
    pub fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        let _ = (side, wire, now, out);
        todo!()
    }

    /// This leg's peer has closed its sending direction.
    pub fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        let _ = (side, now, out);
        todo!()
    }

    /// Reading from (`write` false) or writing to this leg's socket failed; the leg is gone.
    pub fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        let _ = (side, failure, now, out);
        todo!()
    }

    /// The outcome of an action that takes time.
    pub fn handle_completion(&mut self, completion: Completion, now: Instant, out: &mut Output) {
        let _ = (completion, now, out);
        todo!()
    }

    /// `now` may have reached the deadline; harmless if it has not.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        let _ = (now, out);
        todo!()
    }

    /// The worker shuts down gracefully: a session that waits for a command ends now, a running login goes on.
    pub fn handle_shutdown(&mut self, now: Instant, out: &mut Output) {
        let _ = (now, out);
        todo!()
    }

    /// The next thing to do, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        todo!()
    }

    /// When to call `handle_deadline`.
    pub fn poll_deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// Whether this leg's socket should be read now.
    pub fn wants_input(&self, side: Side) -> bool {
        self.input_limit(side) > 0
    }

    /// How many bytes to read from this leg's socket at most; zero: do not read it now.
    ///
    /// A caller that keeps to it bounds what a session retains to its configured buffers (under TLS: plus one
    /// record). One that reads more loses nothing: every byte handed in is kept.
    pub fn input_limit(&self, side: Side) -> usize {
        let _ = side;
        todo!()
    }

    /// What log lines show beside the event.
    pub fn log_context(&self) -> &LogContext {
        todo!()
    }

    /// After [`Action::Relay`]: drops machine and credentials, keeps transports and left-over bytes.
    pub fn into_relay(self, now: Instant, out: &mut Output) -> Relay {
        let _ = (now, out);
        todo!()
    }
}

/// How a leg's socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFailure {
    /// Reading failed.
    Receive(crate::action::Errno),
    /// Writing failed.
    Send(crate::action::Errno),
}

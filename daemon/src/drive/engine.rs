//! What the loop needs of the engine: `Session` up to the login, `Relay` after it, one contract.

use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::event::{LogContext, Stage};
use gatepost_protocol::relay::{Relay, Traffic};
use gatepost_protocol::session::{Session, SocketFailure};

use crate::metrics::Activity;
use crate::sessions::Phase;

/// One `handle_*`, then write the output, then [`poll_action`](Self::poll_action) until `None`.
pub(super) trait Engine: Unpin + 'static {
    /// Whether what is read may be a credential, and is answered: buffers are wiped, and a leg that does not take its
    /// replies is not read.
    const IS_LOGIN: bool;

    fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output);
    fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output);
    fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output);
    fn handle_completion(&mut self, completion: Completion, now: Instant, out: &mut Output);
    fn handle_deadline(&mut self, now: Instant, out: &mut Output);
    fn handle_phase(&mut self, phase: Phase, now: Instant, out: &mut Output);
    fn poll_action(&mut self) -> Option<Action>;
    fn poll_deadline(&self) -> Option<Instant>;
    fn input_limit(&self, side: Side) -> usize;
    fn log_context(&self) -> &LogContext;

    /// The address that the client connected to, for a login.
    fn local(&self) -> ClientAddr;
    fn stage(&self) -> Stage;
    /// What it is counted as.
    fn activity(&self) -> Activity;
    /// What a relay has passed on.
    fn traffic(&self) -> Traffic;

    /// After [`Action::Relay`], which only a login asks for.
    fn into_relay(self, now: Instant, out: &mut Output) -> Option<Relay>;

    /// Whether the loop may pass bytes on by itself and report them with [`handle_passed`](Self::handle_passed).
    fn is_transparent(&self) -> bool;
    fn handle_passed(&mut self, side: Side, count: usize, now: Instant);

    /// A leg has taken bytes that had to wait for it.
    fn handle_taken(&mut self, _now: Instant) {}
}

impl Engine for Session {
    const IS_LOGIN: bool = true;

    fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        self.handle_input(side, wire, now, out);
    }

    fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        self.handle_eof(side, now, out);
    }

    fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        self.handle_failure(side, failure, now, out);
    }

    fn handle_completion(&mut self, completion: Completion, now: Instant, out: &mut Output) {
        self.handle_completion(completion, now, out);
    }

    fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        self.handle_deadline(now, out);
    }

    fn handle_phase(&mut self, phase: Phase, now: Instant, out: &mut Output) {
        match phase {
            Phase::Draining => self.handle_shutdown(now, out),
            Phase::Expired => self.handle_shutdown_timeout(out),
            Phase::Open => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }

    fn poll_deadline(&self) -> Option<Instant> {
        self.poll_deadline()
    }

    fn input_limit(&self, side: Side) -> usize {
        self.input_limit(side)
    }

    fn log_context(&self) -> &LogContext {
        self.log_context()
    }

    fn stage(&self) -> Stage {
        self.stage()
    }

    fn activity(&self) -> Activity {
        if self.is_sleeping() { Activity::Sleeping } else { Activity::LoggingIn }
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn local(&self) -> ClientAddr {
        self.local()
    }

    fn into_relay(self, now: Instant, out: &mut Output) -> Option<Relay> {
        Some(self.into_relay(now, out))
    }

    fn is_transparent(&self) -> bool {
        false
    }

    fn handle_passed(&mut self, _side: Side, _count: usize, _now: Instant) {}
}

impl Engine for Relay {
    const IS_LOGIN: bool = false;

    fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        self.handle_input(side, wire, now, out);
    }

    fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        self.handle_eof(side, now, out);
    }

    fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        self.handle_failure(side, failure, now, out);
    }

    /// A relay asks for nothing that takes time.
    fn handle_completion(&mut self, _completion: Completion, _now: Instant, _out: &mut Output) {}

    fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        self.handle_deadline(now, out);
    }

    fn handle_phase(&mut self, phase: Phase, now: Instant, _out: &mut Output) {
        match phase {
            Phase::Expired => self.handle_shutdown_timeout(now),
            Phase::Open | Phase::Draining => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.poll_action()
    }

    fn poll_deadline(&self) -> Option<Instant> {
        self.poll_deadline()
    }

    fn input_limit(&self, _side: Side) -> usize {
        usize::MAX
    }

    fn log_context(&self) -> &LogContext {
        self.log_context()
    }

    fn stage(&self) -> Stage {
        Stage::Proxying
    }

    fn activity(&self) -> Activity {
        Activity::Relaying
    }

    fn traffic(&self) -> Traffic {
        self.traffic()
    }

    /// A relay connects to nobody.
    fn local(&self) -> ClientAddr {
        ClientAddr::Unix
    }

    fn into_relay(self, _now: Instant, _out: &mut Output) -> Option<Relay> {
        None
    }

    fn is_transparent(&self) -> bool {
        self.is_transparent()
    }

    fn handle_passed(&mut self, side: Side, count: usize, now: Instant) {
        self.handle_passed(side, count, now);
    }

    fn handle_taken(&mut self, now: Instant) {
        self.handle_taken(now);
    }
}

//! After the login: bytes pass, an idle limit runs, counters count (spec/protocols.md section 11).
//!
//! The relay looks into nothing it passes on. Activity in either direction re-arms the idle limit (`proxy_timeout`).
//! The end of one side is handed on as the end of our sending to the other, and that direction goes on until it ends
//! too. A client that has ended waits for an answer, and has it within the same limit. Once the backend has ended no
//! answer can come: silence is borne for `timeout` only, if that is shorter. [`Event::Done`] is logged last, whatever
//! ended the relay.

use std::time::{Duration, Instant};

use crate::action::{Action, Output, Side};
use crate::event::{Event, LogContext, Stage, Summary};
use crate::queue::ActionQueue;
use crate::session::SocketFailure;
use crate::transport::Transport;

/// The relay of a logged-in session. Same contract as [`Session`](crate::session::Session).
#[derive(Debug)]
pub struct Relay {
    client: Leg,
    backend: Leg,
    last_activity: Instant,
    limits: IdleLimits,
    actions: ActionQueue,
    log_context: LogContext,
    /// When the session began, where its end is to tell how long it was.
    summary_since: Option<Instant>,
    is_over: bool,
}

/// How long silence is borne.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleLimits {
    /// While the backend may still send: `proxy_timeout`.
    pub(crate) open: Duration,
    /// Once the backend has ended: `timeout`, where that is shorter.
    pub(crate) backend_ended: Duration,
}

/// One leg: how to speak to it, and what became of it.
#[derive(Debug)]
struct Leg {
    transport: Transport,
    /// The peer sends no more.
    has_ended: bool,
    /// Bytes read from it, in clear.
    received: u64,
}

/// How a leg broke.
#[derive(Debug)]
pub(crate) enum LegFailure {
    /// In its TLS, as this event says; nothing can be sent there any more but the alert that is out already.
    Tls(Event),
    /// In its socket, which is gone.
    Socket(SocketFailure),
}

/// What a relay has passed on, in bytes without TLS; what was read too early during the login counts too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the client to the backend.
    pub from_client: u64,
    /// From the backend to the client.
    pub to_client: u64,
}

impl Relay {
    /// Takes over from a session. `traffic` is what the session itself has passed on already.
    pub(crate) fn new(
        client: Transport,
        backend: Transport,
        traffic: Traffic,
        limits: IdleLimits,
        log_context: LogContext,
        summary_since: Option<Instant>,
        now: Instant,
    ) -> Self {
        Self {
            client: Leg { transport: client, has_ended: false, received: traffic.from_client },
            backend: Leg { transport: backend, has_ended: false, received: traffic.to_client },
            last_activity: now,
            limits,
            actions: ActionQueue::default(),
            log_context,
            summary_since,
            is_over: false,
        }
    }

    /// Takes all of `wire`, as read from this leg's socket; what the other leg should get is appended to `out`.
    pub fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        self.actions.begin_change();
        if self.is_over || wire.is_empty() {
            return;
        }
        let (from, to, back, forth) = match side {
            Side::Client => (&mut self.client, &mut self.backend, &mut out.client, &mut out.backend),
            Side::Backend => (&mut self.backend, &mut self.client, &mut out.backend, &mut out.client),
        };
        if from.has_ended {
            return;
        }
        self.last_activity = now;
        let received = &mut from.received;
        let outcome = from.transport.receive(wire, back, &mut |plaintext| {
            *received += plaintext.len() as u64;
            to.transport.send(plaintext, forth);
        });
        if let Err(error) = outcome {
            self.fail(side, LegFailure::Tls(Event::TlsFailed(side, error.to_string().into())), now, out);
        } else if from.transport.is_closed_by_peer() {
            self.end_of_input(side, now, out);
        }
    }

    /// Whether bytes of this leg pass unchanged (plain on both legs): the caller may then write them itself, without
    /// `handle_input`, and report them with [`handle_passed`](Self::handle_passed).
    pub fn is_transparent(&self) -> bool {
        self.client.transport.is_plain() && self.backend.transport.is_plain()
    }

    /// `count` bytes read from this leg were passed on by the caller. Leads to no action.
    pub fn handle_passed(&mut self, side: Side, count: usize, now: Instant) {
        self.last_activity = now;
        self.leg(side).received += count as u64;
    }

    /// A leg has taken bytes that had to wait: a slow reader is no idle one. Leads to no action.
    pub fn handle_taken(&mut self, now: Instant) {
        self.last_activity = now;
    }

    /// This leg's peer has closed its sending direction.
    pub fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        self.actions.begin_change();
        if !self.is_over {
            self.last_activity = now;
            self.end_of_input(side, now, out);
        }
    }

    /// Reading from or writing to this leg's socket failed; the leg is gone.
    pub fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        self.actions.begin_change();
        if !self.is_over {
            self.fail(side, LegFailure::Socket(failure), now, out);
        }
    }

    /// `now` may have reached the deadline; harmless if it has not.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        self.actions.begin_change();
        if self.poll_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match (self.client.has_ended, self.backend.has_ended) {
            (false, false) => self.actions.log(Event::ClientTimedOut, Some(Stage::Proxying)),
            // What the client waits for did not come.
            (true, false) => self.actions.log(Event::BackendTimedOut, Some(Stage::Proxying)),
            (_, true) => {}
        }
        self.end(None, now, out);
    }

    /// The worker's patience ends (`worker_shutdown_timeout`): close.
    pub fn handle_shutdown_timeout(&mut self, now: Instant) {
        self.actions.begin_change();
        if !self.is_over {
            self.actions.log(Event::ShutdownTimedOut, Some(Stage::Proxying));
            // Closed without a word, as the peers' last bytes may be anywhere.
            self.end(None, now, &mut Output::default());
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.poll()
    }

    /// When to call `handle_deadline`. Moves with every byte: re-arm lazily.
    pub fn poll_deadline(&self) -> Option<Instant> {
        if self.is_over {
            return None;
        }
        let limits = &self.limits;
        let limit = if self.backend.has_ended { limits.backend_ended.min(limits.open) } else { limits.open };
        self.last_activity.checked_add(limit)
    }

    /// How many bytes have passed in each direction, in clear.
    pub fn traffic(&self) -> Traffic {
        Traffic { from_client: self.client.received, to_client: self.backend.received }
    }

    /// What log lines show beside the event.
    pub fn log_context(&self) -> &LogContext {
        &self.log_context
    }

    /// One side sends no more; the first of the two ends only its own direction.
    pub(crate) fn end_of_input(&mut self, side: Side, now: Instant, out: &mut Output) {
        if std::mem::replace(&mut self.leg(side).has_ended, true) {
            return;
        }
        let other = self.leg(side.other());
        if other.has_ended {
            self.end(None, now, out);
        } else {
            other.transport.close(out.side(side.other()));
            self.actions.push(Action::Shutdown(side.other()));
        }
    }

    /// A leg broke: says so, and ends.
    pub(crate) fn fail(&mut self, side: Side, failure: LegFailure, now: Instant, out: &mut Output) {
        match failure {
            LegFailure::Tls(event) => {
                self.actions.log(event, Some(reading(side)));
                self.end(None, now, out);
            }
            LegFailure::Socket(failure) => {
                let stage = match failure {
                    SocketFailure::Receive(_) => reading(side),
                    SocketFailure::Send(_) => sending(side),
                };
                self.actions.log(failure.event(side), Some(stage));
                self.end(Some(side), now, out);
            }
        }
    }

    /// Closes both legs; the one that failed without a word.
    pub(crate) fn end(&mut self, failed: Option<Side>, now: Instant, out: &mut Output) {
        let time = self.summary_since.map(|start| now.saturating_duration_since(start));
        let summary = time.map(|time| Summary { traffic: self.traffic(), time });
        self.actions.log(summary.map_or(Event::Done, Event::DoneWith), None);
        for side in [Side::Client, Side::Backend] {
            if failed == Some(side) {
                self.actions.push(Action::Abort(side));
            } else {
                self.leg(side).transport.close(out.side(side));
                self.actions.push(Action::Close(side));
            }
        }
        self.actions.push(Action::Finish);
        self.is_over = true;
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
    }
}

fn reading(side: Side) -> Stage {
    match side {
        Side::Client => Stage::ReadingClient,
        Side::Backend => Stage::ReadingBackend,
    }
}

fn sending(side: Side) -> Stage {
    match side {
        Side::Client => Stage::SendingClient,
        Side::Backend => Stage::SendingBackend,
    }
}

#[cfg(test)]
mod tests;

//! A session or the relay it became: the same calls for either.

use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::relay::Relay;
use gatepost_protocol::session::{Session, SocketFailure};

/// Which of the two a connection is served by.
#[derive(Debug)]
pub(crate) enum Stage {
    Login(Box<Session>),
    Relay(Box<Relay>),
    /// While one becomes the other.
    Between,
}

impl Stage {
    pub(crate) fn is_relay(&self) -> bool {
        matches!(self, Self::Relay(_))
    }

    /// Whether what a leg brings may be written to the other as it is.
    pub(crate) fn is_transparent(&self) -> bool {
        matches!(self, Self::Relay(relay) if relay.is_transparent())
    }

    /// The caller has passed on so much of what this leg brought.
    pub(crate) fn passed(&mut self, side: Side, count: usize, now: Instant) {
        if let Self::Relay(relay) = self {
            relay.handle_passed(side, count, now);
        }
    }

    /// What logs and metrics look at, at any time.
    pub(crate) fn look(&self) {
        let context = match self {
            Self::Login(session) => {
                for side in [Side::Client, Side::Backend] {
                    assert_eq!(session.wants_input(side), session.input_limit(side) > 0);
                }
                assert!(!session.stage().text().is_empty());
                assert!(!session.is_sleeping() || session.poll_deadline().is_some(), "nobody would wake it");
                let _ = session.local();
                session.log_context()
            }
            Self::Relay(relay) => relay.log_context(),
            Self::Between => return,
        };
        assert!(context.login.as_ref().is_none_or(|login| !login.is_empty()));
    }

    /// How many bytes the next read from this leg may have.
    pub(crate) fn input_limit(&self, side: Side) -> usize {
        match self {
            Self::Login(session) => session.input_limit(side),
            Self::Relay(_) => usize::MAX,
            Self::Between => 0,
        }
    }

    pub(crate) fn input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        match self {
            Self::Login(session) => session.handle_input(side, wire, now, out),
            Self::Relay(relay) => relay.handle_input(side, wire, now, out),
            Self::Between => {}
        }
    }

    pub(crate) fn eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        match self {
            Self::Login(session) => session.handle_eof(side, now, out),
            Self::Relay(relay) => relay.handle_eof(side, now, out),
            Self::Between => {}
        }
    }

    pub(crate) fn failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        match self {
            Self::Login(session) => session.handle_failure(side, failure, now, out),
            Self::Relay(relay) => relay.handle_failure(side, failure, now, out),
            Self::Between => {}
        }
    }

    pub(crate) fn completion(&mut self, completion: Completion, now: Instant, out: &mut Output) {
        match self {
            Self::Login(session) => session.handle_completion(completion, now, out),
            Self::Relay(_) | Self::Between => panic!("a relay has no operation under way"),
        }
    }

    pub(crate) fn reach_deadline(&mut self, now: Instant, out: &mut Output) {
        match self {
            Self::Login(session) => session.handle_deadline(now, out),
            Self::Relay(relay) => relay.handle_deadline(now, out),
            Self::Between => {}
        }
    }

    /// The worker stops; told again, its patience has ended. A relay is told only then.
    pub(crate) fn shutdown(&mut self, is_again: bool, now: Instant, out: &mut Output) {
        match self {
            Self::Login(session) if is_again => session.handle_shutdown_timeout(out),
            Self::Login(session) => session.handle_shutdown(now, out),
            Self::Relay(relay) => relay.handle_shutdown_timeout(now),
            Self::Between => {}
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        match self {
            Self::Login(session) => session.poll_action(),
            Self::Relay(relay) => relay.poll_action(),
            Self::Between => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Login(session) => session.poll_deadline(),
            Self::Relay(relay) => relay.poll_deadline(),
            Self::Between => None,
        }
    }

    /// The session has said that the login is complete.
    pub(crate) fn become_relay(&mut self, now: Instant, out: &mut Output) {
        if let Self::Login(session) = std::mem::replace(self, Self::Between) {
            *self = Self::Relay(Box::new(session.into_relay(now, out)));
        }
    }
}

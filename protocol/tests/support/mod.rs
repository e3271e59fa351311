//! Drives a session without a socket: bytes and completions in, bytes and actions out, and a clock that the test moves.
//!
//! Written against the public face of the crate only, so that fuzz targets and simulations can include it as it is;
//! `tls.rs` beside it, which needs a certificate and a TLS client, is included by those who want it.

#![allow(dead_code, unreachable_pub, reason = "each program includes all of this and uses its own part")]

mod orders;
pub mod server;
pub mod transcript;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::address::{ClientAddr, Origin};
use gatepost_protocol::config::Listener;
use gatepost_protocol::event::LogContext;
use gatepost_protocol::relay::Relay;
use gatepost_protocol::session::{Session, SocketFailure};

/// Where the test's client connects from.
pub const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 4711);
/// Where it connects to.
pub const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 143);

pub const SECOND: Duration = Duration::from_secs(1);

/// What an accepted connection looks like.
pub fn origin() -> Origin {
    Origin {
        peer: ClientAddr::Inet(CLIENT),
        local: ClientAddr::Inet(LOCAL),
        unix_time: 1_750_000_000,
        entropy: *b"no randomness :)",
    }
}

/// A session, then its relay, and what it has given out since the test last looked.
pub struct Driver {
    stage: Stage,
    start: Instant,
    now: Instant,
    /// For the client, as on the wire.
    pub client: Vec<u8>,
    /// For the backend, as on the wire.
    pub backend: Vec<u8>,
    pub actions: Vec<Action>,
}

enum Stage {
    Login(Box<Session>),
    Relay(Box<Relay>),
    /// While one becomes the other.
    Between,
}

impl Driver {
    /// Accepts a connection.
    pub fn open(listener: &Listener) -> Self {
        Self::open_from(listener, &origin())
    }

    pub fn open_from(listener: &Listener, origin: &Origin) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's clock has to start somewhere")]
        let now = Instant::now();
        let mut out = Output::default();
        let session = Session::open(listener, origin, now, &mut out);
        let mut driver = Self {
            stage: Stage::Login(Box::new(session)),
            start: now,
            now,
            client: Vec::new(),
            backend: Vec::new(),
            actions: Vec::new(),
        };
        driver.settle(out);
        driver
    }

    /// One read from a leg's socket. An action [`Action::Relay`] turns the session into a relay at once.
    pub fn input(&mut self, side: Side, wire: &[u8]) {
        let mut wire = wire.to_vec();
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_input(side, &mut wire, now, out),
            Stage::Relay(relay) => relay.handle_input(side, &mut wire, now, out),
            Stage::Between => {}
        });
    }

    pub fn eof(&mut self, side: Side) {
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_eof(side, now, out),
            Stage::Relay(relay) => relay.handle_eof(side, now, out),
            Stage::Between => {}
        });
    }

    pub fn failure(&mut self, side: Side, failure: SocketFailure) {
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_failure(side, failure, now, out),
            Stage::Relay(relay) => relay.handle_failure(side, failure, now, out),
            Stage::Between => {}
        });
    }

    /// Answers an action; a relay asks for nothing, so there it is ignored.
    pub fn complete(&mut self, completion: Completion) {
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_completion(completion, now, out),
            Stage::Relay(_) | Stage::Between => {}
        });
    }

    pub fn shut_down(&mut self) {
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_shutdown(now, out),
            Stage::Relay(_) | Stage::Between => {}
        });
    }

    /// Has the worker's patience end.
    pub fn expire(&mut self) {
        self.change(|stage, _, out| match stage {
            Stage::Login(session) => session.handle_shutdown_timeout(out),
            Stage::Relay(_) | Stage::Between => {}
        });
    }

    /// Lets time pass, calling `handle_deadline` whenever one is reached.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.change(|stage, now, out| match stage {
                Stage::Login(session) => session.handle_deadline(now, out),
                Stage::Relay(relay) => relay.handle_deadline(now, out),
                Stage::Between => {}
            });
            assert_ne!(self.deadline(), Some(deadline), "a deadline that is reached must move");
        }
        self.now = end;
    }

    pub fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Login(session) => session.poll_deadline(),
            Stage::Relay(relay) => relay.poll_deadline(),
            Stage::Between => None,
        }
    }

    /// The deadline, counted from the start.
    pub fn deadline_after(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline - self.start)
    }

    pub fn wants_input(&self, side: Side) -> bool {
        match &self.stage {
            Stage::Login(session) => session.wants_input(side),
            Stage::Relay(_) | Stage::Between => true,
        }
    }

    pub fn input_limit(&self, side: Side) -> usize {
        match &self.stage {
            Stage::Login(session) => session.input_limit(side),
            Stage::Relay(_) | Stage::Between => usize::MAX,
        }
    }

    pub fn log_context(&self) -> &LogContext {
        match &self.stage {
            Stage::Login(session) => session.log_context(),
            Stage::Relay(relay) => relay.log_context(),
            Stage::Between => unreachable!("only inside `settle`"),
        }
    }

    pub fn is_relay(&self) -> bool {
        matches!(self.stage, Stage::Relay(_))
    }

    pub fn relay(&self) -> Option<&Relay> {
        match &self.stage {
            Stage::Relay(relay) => Some(relay),
            Stage::Login(_) | Stage::Between => None,
        }
    }

    /// The engine's state as `Debug` shows it.
    pub fn debug(&self) -> String {
        match &self.stage {
            Stage::Login(session) => format!("{session:?}"),
            Stage::Relay(relay) => format!("{relay:?}"),
            Stage::Between => String::new(),
        }
    }

    /// What the client has got since the last call, as text.
    pub fn take_client(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.client)).into_owned()
    }

    /// What the backend has got since the last call, as text.
    pub fn take_backend(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.backend)).into_owned()
    }

    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn change(&mut self, call: impl FnOnce(&mut Stage, Instant, &mut Output)) {
        let mut out = Output::default();
        call(&mut self.stage, self.now, &mut out);
        self.settle(out);
    }

    /// What every caller does after every change: write, then act.
    fn settle(&mut self, mut out: Output) {
        loop {
            self.client.extend_from_slice(&out.client);
            self.backend.extend_from_slice(&out.backend);
            let first_new = self.actions.len();
            while let Some(action) = self.poll_action() {
                self.actions.push(action);
            }
            let Some(relay) = self.actions[first_new..].iter().position(|action| *action == Action::Relay)
            else {
                return;
            };
            let behind = &self.actions[first_new + relay + 1..];
            assert!(behind.is_empty(), "{behind:?} behind Relay");
            out = Output::default();
            self.stage = match std::mem::replace(&mut self.stage, Stage::Between) {
                Stage::Login(session) => Stage::Relay(Box::new(session.into_relay(self.now, &mut out))),
                stage @ (Stage::Relay(_) | Stage::Between) => stage,
            };
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        match &mut self.stage {
            Stage::Login(session) => session.poll_action(),
            Stage::Relay(relay) => relay.poll_action(),
            Stage::Between => None,
        }
    }
}

//! The level `debug`: what a session's loop does, step by step, and nothing that a peer said.

use std::time::{Duration, Instant};

use gatepost_protocol::action::{Action, Completion, Side};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::{AuthFailure, AuthReply, Target};
use gatepost_protocol::event::{Event, Level, Stage};

use super::engine::Engine;
use super::pump::Pump;
use crate::inlet::Inlet;
use crate::log::{Entry, Situation, lines};
use crate::runtime::Runtime;
use crate::worker::Worker;

/// Which lines of one session are written. Decided once, when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Those that some target takes.
    Configured,
    /// Those, and `debug` is a level that some target takes.
    Steps,
    /// All of them, to all targets (`debug_connection`).
    Everything,
}

impl Detail {
    pub(super) fn new<R: Runtime>(worker: &Worker<R>, inlet: &Inlet, client: &ClientAddr) -> Self {
        if worker.is_debugged(client) {
            Self::Everything
        } else if inlet.log.is_enabled(Level::Debug) {
            Self::Steps
        } else {
            Self::Configured
        }
    }
}

impl<R: Runtime, E: Engine> Pump<R, E> {
    pub(super) fn log(&self, event: &Event, stage: Option<Stage>) {
        self.worker.metrics.add_event(self.inlet.protocol(), event, stage);
        self.log_passed_over(event, stage);
    }

    /// Logs what does not end the login attempt, as there is another address to try: it is not counted.
    pub(super) fn log_passed_over(&self, event: &Event, stage: Option<Stage>) {
        self.log_entry(lines::level(event), || lines::entry(event, self.situation(stage)));
    }

    /// How long the auth server took at the address that was asked last, or after how long and where that failed.
    pub(super) fn log_auth_attempt(&self, time: Duration, failure: Option<&AuthFailure>) {
        if matches!(failure, Some(AuthFailure::NoSlots(_))) {
            return;
        }
        let phase = failure.and_then(AuthFailure::phase);
        self.log_entry(lines::auth_attempt_level(phase), || {
            let Situation { context, place, .. } = self.situation(None);
            lines::auth_attempt(time, phase, context, place)
        });
    }

    fn log_entry<'a>(&self, level: Level, entry: impl FnOnce() -> Entry<'a>) {
        if self.detail == Detail::Everything || self.inlet.log.is_enabled(level) {
            self.write_entry(level, entry());
        }
    }

    fn situation(&self, stage: Option<Stage>) -> Situation<'_> {
        Situation { stage, context: self.engine.log_context(), place: self.inlet.place(self.auth_address) }
    }

    /// Writes a step, which is put into words only if somebody reads them.
    pub(super) fn trace(&self, step: impl FnOnce(&E) -> String) {
        if self.detail != Detail::Configured {
            let session = self.situation(Some(self.engine.stage()));
            self.write_entry(Level::Debug, Entry::new(step(&self.engine), session));
        }
    }

    fn write_entry(&self, level: Level, entry: Entry<'_>) {
        let (at, log) = (self.worker.runtime.wall_clock(), &self.inlet.log);
        match self.detail {
            Detail::Everything => log.write_to_all(at, level, Some(self.id), &entry),
            Detail::Configured | Detail::Steps => log.write(at, level, Some(self.id), entry),
        }
    }
}

/// What is about to be done.
pub(super) fn action(action: &Action, engine: &impl Engine) -> String {
    match action {
        Action::Authenticate(request) => format!("ask the auth server, login attempt {}", request.attempt),
        Action::Resolve(address) => format!("look up the name of {address}"),
        Action::Connect(Target::Address(address)) => format!("connect to {address}"),
        Action::Connect(Target::Name { .. }) => "look up the backend's name and connect".into(),
        Action::Cancel => "give up what is under way".into(),
        Action::Relay => "the login is complete".into(),
        Action::Shutdown(side) => format!("end what is sent to the {}", name(*side)),
        Action::Close(side) => format!("close the connection of the {}", name(*side)),
        Action::Abort(side) => format!("drop the connection of the {}", name(*side)),
        Action::Log(..) => "log".into(),
        Action::Finish => {
            let traffic = engine.traffic();
            let (from, to) = (traffic.from_client, traffic.to_client);
            format!("the session is over, {from} bytes relayed from the client, {to} bytes to it")
        }
    }
}

/// How an operation has ended.
pub(super) fn completion(completion: &Completion) -> String {
    match completion {
        Completion::Auth(Ok(AuthReply::Accepted(_))) => "the auth server has accepted the login".into(),
        Completion::Auth(Ok(AuthReply::Refused(_))) => "the auth server has refused the login".into(),
        Completion::Auth(Ok(AuthReply::Wait(pause))) => {
            format!("the auth server wants to be asked again in {} ms", pause.as_millis())
        }
        Completion::Auth(Err(_)) => "the auth server has not answered".into(),
        Completion::Resolved(Ok(_)) => "the client's name is known".into(),
        Completion::Resolved(Err(_)) => "the client's name is not known".into(),
        Completion::Connected(Ok(())) => "the backend is connected".into(),
        Completion::Connected(Err(_)) => "the backend is not connected".into(),
    }
}

/// For how long the loop is going to wait.
pub(super) fn pause(deadline: Option<Instant>, now: Instant) -> String {
    match deadline {
        Some(deadline) => format!("wait, {} ms at most", deadline.saturating_duration_since(now).as_millis()),
        None => "wait".into(),
    }
}

pub(super) fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Backend => "upstream",
    }
}

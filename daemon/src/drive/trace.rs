//! The level `debug`: what a session's loop does, step by step, and nothing that a peer said.

use std::time::{Duration, Instant};

use gatepost_protocol::action::{Action, Completion, Side};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::{AuthFailure, AuthReply, Target};
use gatepost_protocol::event::{Event, Level, LogContext, Stage};

use super::engine::Engine;
use super::pump::Pump;
use crate::inlet::Inlet;
use crate::log::lines::{self, Place};
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
        self.log_line(lines::level(event), |context, place| lines::render(event, stage, context, place));
    }

    /// How long the auth server took at the address that was asked last, or after how long and where that failed.
    pub(super) fn log_auth_attempt(&self, time: Duration, failure: Option<&AuthFailure>) {
        if matches!(failure, Some(AuthFailure::NoSlots(_))) {
            return;
        }
        let phase = failure.and_then(AuthFailure::phase);
        self.log_line(lines::auth_attempt_level(phase), |context, place| {
            lines::auth_attempt(time, phase, context, place)
        });
    }

    fn log_line(&self, level: Level, line: impl FnOnce(&LogContext, Place<'_>) -> String) {
        if self.detail == Detail::Everything || self.inlet.log.is_enabled(level) {
            self.write_line(level, &line(self.engine.log_context(), self.place()));
        }
    }

    fn place(&self) -> Place<'_> {
        self.inlet.place(self.auth_address)
    }

    /// Writes a step, which is put into words only if somebody reads them.
    pub(super) fn trace(&self, step: impl FnOnce(&E) -> String) {
        if self.detail != Detail::Configured {
            let (stage, context) = (Some(self.engine.stage()), self.engine.log_context());
            let line = lines::in_context(step(&self.engine), stage, context, self.place());
            self.write_line(Level::Debug, &line);
        }
    }

    fn write_line(&self, level: Level, line: &str) {
        let (at, log) = (self.worker.runtime.wall_clock(), &self.inlet.log);
        match self.detail {
            Detail::Everything => log.write_to_all(at, level, Some(self.id), line),
            Detail::Configured | Detail::Steps => log.write(at, level, Some(self.id), line),
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

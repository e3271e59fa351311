//! What outlives the phases of a session: identities, counters, deadlines, and what waits to be said or done.

use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::action::{Action, Side};
use crate::address::{ClientAddr, Origin, ProxyAddresses};
use crate::config::{Listener, Protocol, Server};
use crate::deadline::{Deadlines, Timer};
use crate::event::{Event, LogContext, Stage};
use crate::line::Pending;
use crate::machine::{Challenges, Context, Machine};
use crate::queue::ActionQueue;
use crate::session::phase::Phase;
use crate::transport::TlsFacts;

/// Everything of a session but its transports and its phase.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) server: Arc<Server>,
    /// `listen ... ssl`.
    pub(super) ssl: bool,
    pub(super) machine: Machine,
    pub(super) local: ClientAddr,
    /// The PROXY header's addresses.
    pub(super) proxy: Option<ProxyAddresses>,
    /// SMTP: what `Client-Host` says.
    pub(super) client_host: Option<Box<str>>,
    /// Present once the client's leg is under TLS.
    pub(super) tls: Option<TlsFacts>,
    /// Client bytes in clear that cannot be used yet: an unfinished command, or what came behind a login.
    pub(super) inbox: Pending,
    /// The client sends no more; acted on once the inbox is used up.
    pub(super) client_ended: bool,
    pub(super) is_shutting_down: bool,
    /// When the client was heard last; at first, when it came.
    pub(super) last_heard: Instant,
    /// For `max_errors`.
    errors: u32,
    /// Login attempts so far.
    pub(super) attempts: u32,
    challenges: Challenges,
    /// When the session began.
    pub(super) opened: Instant,
    /// The same in seconds since 1970.
    pub(super) unix_time: u64,
    pub(super) deadlines: Deadlines,
    pub(super) actions: ActionQueue,
    /// An action that takes time waits for its completion.
    is_waiting: bool,
    is_client_gone: bool,
    is_backend_open: bool,
    pub(super) log_context: LogContext,
    pub(super) stage: Stage,
    /// For the client, in clear; empty between calls.
    pub(super) reply: Vec<u8>,
    /// For the backend, in clear; empty between calls.
    pub(super) command: Zeroizing<Vec<u8>>,
}

impl Core {
    pub(super) fn new(listener: &Listener, origin: &Origin, now: Instant) -> Self {
        let server = Arc::clone(&listener.server);
        Self {
            ssl: listener.ssl,
            machine: Machine::new(&server),
            server,
            local: origin.local,
            proxy: None,
            client_host: None,
            tls: None,
            inbox: Pending::default(),
            client_ended: false,
            is_shutting_down: false,
            last_heard: now,
            errors: 0,
            attempts: 0,
            challenges: Challenges::new(origin.entropy, origin.unix_time),
            opened: now,
            unix_time: origin.unix_time,
            deadlines: Deadlines::default(),
            actions: ActionQueue::default(),
            is_waiting: false,
            is_client_gone: false,
            is_backend_open: false,
            log_context: LogContext { client: origin.peer, starttls: false, login: None, upstream: None },
            stage: Stage::SendingGreeting,
            reply: Vec::new(),
            command: Zeroizing::default(),
        }
    }

    /// Calls the machine with all it may see and touch.
    pub(super) fn ask<T>(&mut self, call: impl FnOnce(&mut Machine, &mut Context<'_>) -> T) -> T {
        let mut log = Vec::new();
        let mut context = Context {
            server: &self.server,
            secured: self.tls.is_some(),
            reply: &mut self.reply,
            errors: &mut self.errors,
            challenges: &mut self.challenges,
            log: &mut log,
        };
        let answer = call(&mut self.machine, &mut context);
        self.actions.append(&mut log);
        answer
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.server.protocol()
    }

    /// Logs a fact at the present stage.
    pub(super) fn log(&mut self, event: Event) {
        self.actions.log(event, Some(self.stage));
    }

    /// Asks for something that takes time, and gives it `limit` from `now`.
    pub(super) fn start(&mut self, action: Action, timer: Timer, now: Instant, limit: std::time::Duration) {
        self.actions.push(action);
        self.is_waiting = true;
        self.deadlines.arm(timer, now, limit);
    }

    /// Whether a completion is awaited; it is no more, from now on.
    pub(super) fn stop_waiting(&mut self) -> bool {
        std::mem::take(&mut self.is_waiting)
    }

    /// Gives up what takes too long, or what nobody wants any more.
    pub(super) fn cancel(&mut self) {
        if self.stop_waiting() {
            self.actions.push(Action::Cancel);
        }
    }

    /// Whether the worker stops and this session has had its time to begin a login.
    pub(super) fn must_end(&self) -> bool {
        self.is_shutting_down && !self.deadlines.is_armed(Timer::Shutdown)
    }

    pub(super) fn backend_opened(&mut self) {
        self.is_backend_open = true;
    }

    pub(super) fn is_backend_open(&self) -> bool {
        self.is_backend_open
    }

    pub(super) fn close_backend(&mut self) {
        if std::mem::take(&mut self.is_backend_open) {
            self.actions.push(Action::Close(Side::Backend));
        }
    }

    /// The leg failed: there is nobody to take leave of.
    pub(super) fn leg_is_gone(&mut self, side: Side) {
        match side {
            Side::Client => self.is_client_gone = true,
            Side::Backend => {
                if std::mem::take(&mut self.is_backend_open) {
                    self.actions.push(Action::Abort(Side::Backend));
                }
            }
        }
    }

    /// Ends the session: what is written still leaves, nothing more is read.
    pub(super) fn close(&mut self) -> Phase {
        self.cancel();
        let client = if self.is_client_gone { Action::Abort } else { Action::Close };
        self.actions.push(client(Side::Client));
        self.close_backend();
        self.actions.push(Action::Finish);
        self.deadlines.clear_all();
        self.inbox.take();
        Phase::Closed
    }

    /// Ends the session for what became of a leg.
    pub(super) fn leg_failed(&mut self, side: Side) -> Phase {
        match side {
            Side::Client => self.close(),
            Side::Backend => self.internal_error(),
        }
    }

    /// Ends a login that cannot go on for a reason that is not the client's.
    pub(super) fn internal_error(&mut self) -> Phase {
        self.ask(|machine, context| machine.on_internal_error(context));
        self.close()
    }
}

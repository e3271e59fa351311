//! The phases of a session, and what each makes of an input that is not a line.

use std::time::Instant;

use crate::action::{Completion, DnsError, LookupFailure, Side};
use crate::auth::AuthFailure;
use crate::deadline::Timer;
use crate::event::{Event, Stage};
use crate::relay::LegFailure;
use crate::session::SocketFailure;
use crate::session::backend::{Connecting, LoggingIn, Relaying, Securing};
use crate::session::commands::Commands;
use crate::session::core::Core;
use crate::session::login::{Authenticating, Sleeping};
use crate::session::opening::{self, ProxyHeader};

/// What the session is doing. Moved by value: a phase that is left takes its data with it.
#[derive(Debug)]
pub(super) enum Phase {
    /// The PROXY header is still to come, or to be completed.
    ProxyHeader(ProxyHeader),
    /// `listen ... ssl`: the handshake before the greeting.
    Handshake,
    /// SMTP: the client's name is looked up.
    Lookup,
    /// SMTP: the client has to keep silent.
    GreetingDelay,
    /// The command loop.
    Commands(Commands),
    /// The handshake behind a positive reply to STARTTLS.
    StartTls,
    /// The auth server is asked.
    Authenticating(Authenticating),
    /// Silence before the reply to a failed login, or before asking again.
    Sleeping(Sleeping),
    /// The backend is being connected.
    Connecting(Connecting),
    /// The handshake with the backend.
    Securing(Securing),
    /// The backend has the word.
    LoggingIn(LoggingIn),
    /// `Action::Relay` is out.
    Relaying(Relaying),
    /// `Action::Finish` is out.
    Closed,
}

impl Phase {
    /// Client bytes in clear.
    pub(super) fn on_client(self, bytes: &[u8], core: &mut Core, now: Instant) -> Self {
        match self {
            Self::Commands(commands) => commands.on_client(bytes, core, now),
            Self::GreetingDelay => opening::on_early_input(bytes, core),
            Self::Relaying(relaying) => relaying.on_client(bytes, core),
            Self::Closed => self,
            // Before the handshake is over, during a lookup or a login: kept until somebody can read it.
            Self::ProxyHeader(_)
            | Self::Handshake
            | Self::Lookup
            | Self::StartTls
            | Self::Authenticating(_)
            | Self::Sleeping(_)
            | Self::Connecting(_)
            | Self::Securing(_)
            | Self::LoggingIn(_) => {
                core.inbox.append(bytes);
                self
            }
        }
    }

    /// Backend bytes in clear.
    pub(super) fn on_backend(self, bytes: &[u8], core: &mut Core, now: Instant) -> Self {
        match self {
            Self::Securing(securing) => securing.on_backend(bytes),
            Self::LoggingIn(login) => login.on_backend(bytes, core, now),
            Self::Relaying(relaying) => relaying.on_backend(bytes, core),
            // A leg that is closed already, or not open yet.
            Self::ProxyHeader(_)
            | Self::Handshake
            | Self::Lookup
            | Self::GreetingDelay
            | Self::Commands(_)
            | Self::StartTls
            | Self::Authenticating(_)
            | Self::Sleeping(_)
            | Self::Connecting(_)
            | Self::Closed => self,
        }
    }

    /// The client's handshake is complete.
    pub(super) fn on_secured(self, core: &mut Core, now: Instant) -> Self {
        match self {
            Self::Handshake => opening::start_mail(core, now),
            Self::StartTls => {
                core.machine.on_tls_started();
                Commands::go_on(core, now)
            }
            Self::ProxyHeader(_)
            | Self::Lookup
            | Self::GreetingDelay
            | Self::Commands(_)
            | Self::Authenticating(_)
            | Self::Sleeping(_)
            | Self::Connecting(_)
            | Self::Securing(_)
            | Self::LoggingIn(_)
            | Self::Relaying(_)
            | Self::Closed => self,
        }
    }

    /// The backend's handshake is complete.
    pub(super) fn on_backend_secured(self, core: &mut Core, now: Instant) -> Self {
        if let Self::Securing(securing) = self { securing.on_secured(core, now) } else { self }
    }

    /// The client sends no more. With commands still unanswered the end is acted on behind them.
    pub(super) fn on_client_eof(self, core: &mut Core) -> Self {
        match self {
            Self::ProxyHeader(header) => header.on_eof(core),
            Self::Handshake | Self::StartTls => {
                core.log(Event::ClosedInHandshake(Side::Client));
                core.close()
            }
            Self::GreetingDelay | Self::Commands(_) => core.close(),
            Self::Lookup
            | Self::Authenticating(_)
            | Self::Sleeping(_)
            | Self::Connecting(_)
            | Self::Securing(_)
            | Self::LoggingIn(_) => {
                if core.inbox.is_empty() {
                    return core.close();
                }
                if let Self::Sleeping(sleeping) = self {
                    return sleeping.on_client_end(core);
                }
                core.client_ended = true;
                self
            }
            Self::Relaying(_) => {
                core.client_ended = true;
                self
            }
            Self::Closed => self,
        }
    }

    /// The backend sends no more.
    pub(super) fn on_backend_eof(self, core: &mut Core) -> Self {
        match self {
            Self::Securing(_) => {
                core.log(Event::ClosedInHandshake(Side::Backend));
                core.internal_error()
            }
            Self::LoggingIn(_) => {
                // Whatever was sent last, an answer was what did not come.
                core.stage = Stage::ReadingResponse;
                core.log(Event::BackendClosed);
                core.internal_error()
            }
            Self::Relaying(relaying) => Self::Relaying(Relaying { backend_ended: true, ..relaying }),
            Self::ProxyHeader(_)
            | Self::Handshake
            | Self::Lookup
            | Self::GreetingDelay
            | Self::Commands(_)
            | Self::StartTls
            | Self::Authenticating(_)
            | Self::Sleeping(_)
            | Self::Connecting(_)
            | Self::Closed => self,
        }
    }

    /// A socket failed; its leg is gone.
    pub(super) fn on_failure(self, side: Side, failure: SocketFailure, core: &mut Core) -> Self {
        if let Self::Relaying(relaying) = self {
            return relaying.on_failure(side, LegFailure::Socket(failure));
        }
        if !self.uses(side) {
            return self;
        }
        if let (Self::Commands(commands), Side::Client, SocketFailure::Send(_)) = (&self, side, failure) {
            core.stage = commands.sending_stage();
        }
        if let (Self::LoggingIn(_), Side::Backend, SocketFailure::Receive(_)) = (&self, side, failure) {
            // Whatever was sent last, an answer was what was read for.
            core.stage = Stage::ReadingResponse;
        }
        core.log(failure.event(side));
        core.leg_is_gone(side);
        core.leg_failed(side)
    }

    /// TLS failed on a leg: `event` says how. Nothing passes there any more, in either direction.
    pub(super) fn on_tls_failure(self, side: Side, event: Event, core: &mut Core) -> Self {
        if let Self::Relaying(relaying) = self {
            return relaying.on_failure(side, LegFailure::Tls(event));
        }
        if !self.uses(side) {
            return self;
        }
        core.log(event);
        core.leg_failed(side)
    }

    /// Before the relay: whether what becomes of this leg matters.
    fn uses(&self, side: Side) -> bool {
        match side {
            Side::Client => !matches!(self, Self::Closed),
            Side::Backend => matches!(self, Self::Securing(_) | Self::LoggingIn(_)),
        }
    }

    /// What was asked for has come.
    pub(super) fn on_completion(self, completion: Completion, core: &mut Core, now: Instant) -> Self {
        if !core.stop_waiting() {
            return self;
        }
        match (self, completion) {
            (Self::Lookup, Completion::Resolved(name)) => opening::on_resolved(name, core, now),
            (Self::Authenticating(attempt), Completion::Auth(reply)) => attempt.on_reply(reply, core, now),
            (Self::Connecting(connecting), Completion::Connected(outcome)) => {
                connecting.on_connected(outcome, core, now)
            }
            (phase, Completion::Resolved(_) | Completion::Auth(_) | Completion::Connected(_)) => {
                debug_assert!(false, "a completion that was not asked for");
                phase
            }
        }
    }

    /// A deadline has passed.
    pub(super) fn on_timer(self, timer: Timer, core: &mut Core, now: Instant) -> Self {
        match (timer, self) {
            (Timer::Client, phase) => {
                core.log(Event::ClientTimedOut);
                if let Self::Commands(_) = phase {
                    core.ask(|machine, context| machine.on_timeout(context));
                }
                core.close()
            }
            (Timer::Lookup, Self::Lookup) => {
                core.cancel();
                opening::on_resolved(Err(LookupFailure::Address(DnsError::TimedOut)), core, now)
            }
            (Timer::GreetingDelay, Self::GreetingDelay) => opening::greet(core, now),
            (Timer::Auth, Self::Authenticating(attempt)) => {
                core.cancel();
                attempt.on_reply(Err(AuthFailure::TimedOut), core, now)
            }
            (Timer::Shutdown, phase) => phase.on_shutdown(core),
            (Timer::Wait, Self::Sleeping(sleeping)) => sleeping.on_wake(core, now),
            (Timer::Backend, phase @ (Self::Connecting(_) | Self::Securing(_) | Self::LoggingIn(_))) => {
                if matches!(phase, Self::LoggingIn(_)) {
                    core.stage = Stage::ReadingResponse;
                }
                core.log(Event::BackendTimedOut);
                core.cancel();
                core.internal_error()
            }
            (Timer::Lookup | Timer::GreetingDelay | Timer::Auth | Timer::Wait | Timer::Backend, phase) => {
                debug_assert!(false, "a timer that its phase did not clear");
                phase
            }
        }
    }

    /// The worker stops: who waits for the client ends, who is logging in goes on.
    pub(super) fn on_shutdown(self, core: &mut Core) -> Self {
        match self {
            Self::ProxyHeader(_) | Self::Handshake | Self::StartTls => core.close(),
            Self::Lookup | Self::GreetingDelay | Self::Commands(_) => {
                core.ask(|machine, context| machine.on_shutdown(context));
                core.close()
            }
            Self::Authenticating(_)
            | Self::Sleeping(_)
            | Self::Connecting(_)
            | Self::Securing(_)
            | Self::LoggingIn(_)
            | Self::Relaying(_)
            | Self::Closed => self,
        }
    }

    /// The worker stops now.
    pub(super) fn on_shutdown_timeout(self, core: &mut Core) -> Self {
        if matches!(self, Self::Relaying(_) | Self::Closed) {
            return self;
        }
        core.log(Event::ShutdownTimedOut);
        if matches!(
            self,
            Self::Authenticating(_)
                | Self::Sleeping(_)
                | Self::Connecting(_)
                | Self::Securing(_)
                | Self::LoggingIn(_)
        ) {
            // The command that waits for its answer gets one.
            return core.internal_error();
        }
        self.on_shutdown(core)
    }
}

//! Asking the auth server, and what its answers lead to (spec/auth-http-and-ops.md sections 5 to 7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::action::Action;
use crate::auth::{AuthFailure, AuthReply, AuthRequest, Credentials, Refusal};
use crate::config::Protocol;
use crate::deadline::Timer;
use crate::event::{Event, Stage};
use crate::session::backend::Connecting;
use crate::session::commands::Commands;
use crate::session::core::Core;
use crate::session::phase::Phase;

/// The longest silence an auth server can order.
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The pause before asking again where the auth server says WAIT and names no time.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);
/// How often one login may be told to WAIT.
const MOST_WAITS: u32 = 10;
/// The silence before a backend's refusal is shown, against guessing passwords at full speed.
const REFUSAL_DELAY: Duration = Duration::from_secs(2);

/// One login attempt at the auth server. Nothing of it outlives the attempt.
#[derive(Debug)]
pub(super) struct Authenticating {
    credentials: Arc<Credentials>,
    /// How often the auth server has said WAIT.
    waits: u32,
    /// How long it said so, all in all.
    pauses: Duration,
}

impl Authenticating {
    /// Starts an attempt. `timeout` stops here; the client is heard again afterwards.
    pub(super) fn begin(credentials: Credentials, core: &mut Core, now: Instant) -> Phase {
        core.attempts = core.attempts.saturating_add(1);
        core.deadlines.clear(Timer::Client);
        core.log_context.login = None;
        core.log_context.upstream = None;
        set_login(credentials.login(), core);
        Self { credentials: Arc::new(credentials), waits: 0, pauses: Duration::ZERO }.ask(core, now)
    }

    fn ask(self, core: &mut Core, now: Instant) -> Phase {
        core.stage = Stage::HttpAuth;
        let request = AuthRequest {
            credentials: Arc::clone(&self.credentials),
            protocol: core.protocol(),
            attempt: core.attempts,
            client: core.log_context.client,
            client_host: core.client_host.clone(),
            proxy: core.proxy.clone(),
            tls: core.tls.clone(),
        };
        let limit = core.server.auth_timeout;
        core.start(Action::Authenticate(Box::new(request)), Timer::Auth, now, limit);
        Phase::Authenticating(self)
    }

    /// The auth server has answered, or will not.
    pub(super) fn on_reply(
        self,
        reply: Result<AuthReply, AuthFailure>,
        core: &mut Core,
        now: Instant,
    ) -> Phase {
        core.deadlines.clear(Timer::Auth);
        match reply {
            Ok(AuthReply::Accepted(accepted)) => Connecting::begin(accepted, &self.credentials, core, now),
            Ok(AuthReply::Refused(refusal)) => on_refused(refusal, core, now),
            Ok(AuthReply::Wait(pause)) => self.on_wait(pause, core, now),
            Err(failure) => on_failure(failure, core, now),
        }
    }

    fn on_wait(self, pause: Duration, core: &mut Core, now: Instant) -> Phase {
        let waits = self.waits + 1;
        if waits > MOST_WAITS {
            return on_failure(AuthFailure::TooManyWaits, core, now);
        }
        let pause = if pause.is_zero() { DEFAULT_WAIT } else { pause.min(LONGEST_WAIT) };
        let attempt = Self { waits, pauses: self.pauses + pause, ..self };
        // Nor is it seen whether a client has gone whose bytes fill the buffer.
        let may_be_gone = core.client_ended || core.inbox.len() >= core.server.client_buffer;
        if may_be_gone && attempt.is_too_long(core) {
            return give_up(core);
        }
        Sleeping::AskAgain(attempt).begin(pause, core, now)
    }

    /// A client that has sent a batch and its end is waited for like one that says nothing.
    fn is_too_long(&self, core: &Core) -> bool {
        self.pauses > core.server.timeout
    }
}

/// What follows a silence.
#[derive(Debug)]
pub(super) enum Sleeping {
    /// The same question to the auth server (`Auth-Status: WAIT`).
    AskAgain(Authenticating),
    /// The reply to a login that the auth server refused (`Auth-Wait`).
    Refused(Refusal),
    /// The reply of a backend that refused the login.
    RefusedByBackend(Vec<u8>),
}

impl Sleeping {
    fn begin(self, pause: Duration, core: &mut Core, now: Instant) -> Phase {
        core.deadlines.arm(Timer::Wait, now, pause.min(LONGEST_WAIT));
        Phase::Sleeping(self)
    }

    /// The backend's refusal goes to the client, later; without `reply` it is told in our words.
    pub(super) fn after_backend_refusal(reply: Option<Vec<u8>>, core: &mut Core, now: Instant) -> Phase {
        core.stage = Stage::HttpAuth;
        let refused =
            reply.map_or_else(|| Self::Refused(auth_failure(core.protocol())), Self::RefusedByBackend);
        refused.begin(REFUSAL_DELAY, core, now)
    }

    /// The client sends no more, and has commands here that wait for this one. It may have gone, so it is waited for no
    /// longer than for one that says nothing; a refusal is told after its time, as half-closing is no way round that.
    pub(super) fn on_client_end(self, core: &mut Core) -> Phase {
        core.client_ended = true;
        match self {
            Self::AskAgain(ref attempt) if attempt.is_too_long(core) => give_up(core),
            Self::AskAgain(_) | Self::Refused(_) | Self::RefusedByBackend(_) => Phase::Sleeping(self),
        }
    }

    /// The silence is over.
    pub(super) fn on_wake(self, core: &mut Core, now: Instant) -> Phase {
        match self {
            Self::AskAgain(attempt) => return attempt.ask(core, now),
            Self::Refused(refusal) => core.ask(|machine, context| machine.on_refused(&refusal, context)),
            Self::RefusedByBackend(reply) => {
                core.ask(|machine, context| machine.on_backend_refusal(&reply, context));
            }
        }
        // A backend that has refused is no part of what follows.
        core.log_context.upstream = None;
        Commands::start(core, now)
    }
}

/// `proxy_auth_failure`: the codes are of RFC 5530 and RFC 4954.
fn auth_failure(protocol: Protocol) -> Refusal {
    let text: &[u8] = match protocol {
        Protocol::Imap => b"[AUTHENTICATIONFAILED] invalid login or password",
        Protocol::Pop3 | Protocol::Smtp => b"invalid login or password",
    };
    Refusal { text: text.into(), code: Some("535 5.7.8".into()), wait: None, login: None }
}

fn on_refused(mut refusal: Refusal, core: &mut Core, now: Instant) -> Phase {
    if let Some(login) = refusal.login.take() {
        set_login(&login, core);
    }
    core.log(Event::LoginRefused(refusal.text.clone()));
    match refusal.wait {
        Some(pause) if !pause.is_zero() => Sleeping::Refused(refusal).begin(pause, core, now),
        Some(_) | None => {
            core.ask(|machine, context| machine.on_refused(&refusal, context));
            core.close()
        }
    }
}

/// No usable answer: an auth server that is away may come back, so the client may try again; one that talks nonsense
/// is an internal error.
pub(super) fn on_failure(failure: AuthFailure, core: &mut Core, now: Instant) -> Phase {
    let is_outage = is_outage(&failure);
    core.log(Event::AuthFailed(failure));
    if !is_outage {
        return core.internal_error();
    }
    core.ask(|machine, context| machine.on_unavailable(context));
    Commands::start(core, now)
}

/// The auth server takes its time, and who waits for it may have gone: tells whoever is still there, and ends.
fn give_up(core: &mut Core) -> Phase {
    core.log(Event::AuthFailed(AuthFailure::TooManyWaits));
    core.ask(|machine, context| machine.on_unavailable(context));
    core.close()
}

fn is_outage(failure: &AuthFailure) -> bool {
    match failure {
        AuthFailure::Connect(_)
        | AuthFailure::Refused(_)
        | AuthFailure::Receive(_)
        | AuthFailure::Send(_)
        | AuthFailure::ConnectTimedOut
        | AuthFailure::HandshakeTimedOut
        | AuthFailure::ClosedInHandshake
        | AuthFailure::HandshakeBroken(_)
        | AuthFailure::Tls { .. }
        | AuthFailure::NotTrusted(_)
        | AuthFailure::SendTimedOut
        | AuthFailure::TimedOut
        | AuthFailure::Closed
        | AuthFailure::NoSlots(_) => true,
        AuthFailure::InvalidResponse
        | AuthFailure::InvalidHeader
        | AuthFailure::TooBig
        | AuthFailure::NoStatus
        | AuthFailure::HttpStatus(_)
        | AuthFailure::NoServerOrPort
        | AuthFailure::NoPassword
        | AuthFailure::InvalidServer(_)
        | AuthFailure::InvalidPort(_)
        | AuthFailure::InvalidServerSsl(_)
        | AuthFailure::NoBackendTls
        | AuthFailure::InvalidCredentials
        | AuthFailure::TooManyWaits => false,
    }
}

/// The log shows the login of this attempt that was last known and not empty.
pub(super) fn set_login(login: &[u8], core: &mut Core) {
    if !login.is_empty() {
        core.log_context.login = Some(login.into());
    }
}

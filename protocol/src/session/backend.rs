//! Connecting the backend, logging in to it, and the moment before the relay (spec/protocols.md section 9).

use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::action::{Action, ConnectFailure, Side};
use crate::auth::{Accepted, AuthFailure, Credentials, Target};
use crate::config::{Protocol, ProxyProtocol, ProxySsl};
use crate::deadline::Timer;
use crate::event::{Event, Stage};
use crate::line::{self, Front, Pending};
use crate::machine::{BackendContext, BackendLogin, BackendRefusal, BackendStep, Grounds, Login};
use crate::proxy_protocol;
use crate::relay::{LegFailure, Traffic};
use crate::session::core::Core;
use crate::session::login::{self, Sleeping};
use crate::session::phase::Phase;

/// Room for any command of a usual login.
const COMMAND_ROOM: usize = 1024;

/// Waits for the connection.
#[derive(Debug)]
pub(super) struct Connecting {
    login: BackendLogin,
    ssl: ProxySsl,
    tls: Option<TlsTarget>,
}

/// Whom a handshake is with.
#[derive(Debug)]
struct TlsTarget {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Connecting {
    /// The auth server let the client in. `timeout` covers everything up to the relay.
    pub(super) fn begin(
        accepted: Accepted,
        credentials: &Credentials,
        core: &mut Core,
        now: Instant,
    ) -> Phase {
        let login = accepted.login.unwrap_or_else(|| credentials.login().to_vec());
        let password = accepted.password.or_else(|| credentials.password().cloned());
        login::set_login(&login, core);
        let ssl = accepted.ssl.unwrap_or(core.server.proxy_ssl.mode);
        let tls = core.server.proxy_ssl.config.clone().filter(|_| ssl != ProxySsl::Off).and_then(|config| {
            let name = core.server.proxy_ssl.name.clone().or_else(|| name_of(&accepted.backend.target))?;
            Some(TlsTarget { config, name })
        });
        if ssl != ProxySsl::Off && tls.is_none() {
            return login::on_failure(AuthFailure::NoBackendTls, core, now);
        }
        if password.is_none() && core.protocol() != Protocol::Smtp {
            return login::on_failure(AuthFailure::NoPassword, core, now);
        }
        core.log_context.upstream = Some(accepted.backend.name);
        core.stage = Stage::Connecting;
        let limit = core.server.timeout;
        core.start(Action::Connect(accepted.backend.target), Timer::Backend, now, limit);
        let client = core.log_context.client;
        let client_host = core.client_host.clone().unwrap_or_default();
        let starttls = ssl == ProxySsl::StartTls;
        let login = BackendLogin { login, password, client, client_host, starttls };
        Phase::Connecting(Self { login, ssl, tls })
    }

    /// The connection is there, or will not be.
    pub(super) fn on_connected(
        self,
        outcome: Result<(), ConnectFailure>,
        core: &mut Core,
        now: Instant,
    ) -> Phase {
        let _ = now;
        if let Err(failure) = outcome {
            core.log(Event::ConnectFailed(failure));
            return core.internal_error();
        }
        core.backend_opened();
        core.stage = Stage::ReadingResponse;
        if core.server.proxy_protocol != ProxyProtocol::Off {
            core.stage = Stage::SendingProxyHeader;
            let client = core.log_context.client;
            proxy_protocol::write(
                core.server.proxy_protocol,
                client,
                core.local,
                core.tls.as_ref(),
                &mut core.command,
            );
        }
        let login = core.machine.backend(self.login);
        let login = LoggingIn { login, received: Pending::default(), used: 0, tls: self.tls };
        if self.ssl == ProxySsl::On {
            return login.secure(false, core);
        }
        Phase::LoggingIn(login)
    }
}

/// What a backend's certificate must be for, where nothing else is configured.
fn name_of(target: &Target) -> Option<ServerName<'static>> {
    match target {
        Target::Address(address) => Some(ServerName::IpAddress(address.ip().into())),
        Target::Name { host, .. } => ServerName::try_from(host.to_string()).ok(),
    }
}

/// Shakes hands, at the very start or behind STARTTLS.
#[derive(Debug)]
pub(super) struct Securing {
    login: LoggingIn,
    tls: TlsTarget,
    /// What the backend said under TLS before the handshake was over.
    early: Pending,
    is_upgrade: bool,
}

impl Securing {
    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.tls.config
    }

    pub(super) fn name(&self) -> ServerName<'static> {
        self.tls.name.clone()
    }

    pub(super) fn on_backend(mut self, bytes: &[u8]) -> Phase {
        self.early.append(bytes);
        Phase::Securing(self)
    }

    /// A greeting may have come early; behind STARTTLS it is our turn.
    pub(super) fn on_secured(mut self, core: &mut Core, now: Instant) -> Phase {
        core.stage = Stage::ReadingResponse;
        let early = self.early.take();
        if !self.is_upgrade {
            return self.login.on_backend(&early, core, now);
        }
        if !early.is_empty() {
            return self.login.on_surplus(&early, core);
        }
        let step = self.login.ask(core, |login, context| login.on_secured(context));
        match step {
            BackendStep::Continue => Phase::LoggingIn(self.login),
            BackendStep::StartTls | BackendStep::LoggedIn | BackendStep::Refused(_) | BackendStep::Failed => {
                self.login.on_failed(core)
            }
        }
    }
}

/// Logs in, line by line.
#[derive(Debug)]
pub(super) struct LoggingIn {
    login: Login,
    /// The beginning of a line.
    received: Pending,
    /// Bytes that the lines of an unfinished reply had so far.
    used: usize,
    /// For a handshake that is still to come.
    tls: Option<TlsTarget>,
}

impl LoggingIn {
    /// How many bytes to read from the backend at most.
    pub(super) fn input_limit(&self, core: &Core) -> usize {
        core.server.proxy_buffer.saturating_sub(self.received.len())
    }

    /// Takes backend bytes. What comes behind a line that we answer, and before the answer can have arrived, is no
    /// reply to it: it ends the login, as does a reply over `proxy_buffer`.
    pub(super) fn on_backend(mut self, bytes: &[u8], core: &mut Core, now: Instant) -> Phase {
        let joined = self.received.join(bytes);
        let mut rest: &[u8] = &joined;
        let mut has_answered = false;
        while !rest.is_empty() {
            if has_answered && !self.login.is_unsolicited(rest) {
                return self.on_surplus(rest, core);
            }
            let limit = core.server.proxy_buffer.saturating_sub(self.used);
            let (line, length) = match line::front(rest, limit) {
                Front::Line(line, length) => (line, length),
                Front::Partial => break,
                Front::TooLong => {
                    // Only what fits: the log must not depend on how the bytes were split.
                    let event = Event::BackendReplyTooLong(rest[..rest.len().min(limit)].to_vec());
                    core.actions.log(event, Some(Stage::ReadingResponse));
                    return self.on_failed(core);
                }
            };
            rest = &rest[length..];
            let written = core.command.len();
            let step = self.ask(core, |login, context| login.on_line(line, context));
            let is_answered = core.command.len() > written;
            has_answered |= is_answered;
            self.used = if is_answered { 0 } else { self.used + length };
            match step {
                BackendStep::Continue => {}
                BackendStep::StartTls if rest.is_empty() => return self.secure(true, core),
                BackendStep::StartTls => {
                    // Whoever put it there was not the backend (RFC 3207 section 6).
                    core.log(Event::PlaintextAfterStartTls(Side::Backend));
                    return core.internal_error();
                }
                BackendStep::LoggedIn => return Relaying::begin(rest, core),
                BackendStep::Refused(refusal) => return self.on_refused(refusal, core, now),
                BackendStep::Failed => return self.on_failed(core),
            }
        }
        self.received.append(rest);
        Phase::LoggingIn(self)
    }

    /// Lets TLS be put under the leg.
    fn secure(mut self, is_upgrade: bool, core: &mut Core) -> Phase {
        let Some(tls) = self.tls.take() else {
            debug_assert!(false, "a handshake with nobody");
            return core.internal_error();
        };
        core.stage = Stage::HandshakingBackend;
        Phase::Securing(Securing { login: self, tls, early: Pending::default(), is_upgrade })
    }

    fn ask(
        &mut self,
        core: &mut Core,
        call: impl FnOnce(&mut Login, &mut BackendContext<'_>) -> BackendStep,
    ) -> BackendStep {
        // Growing would leave copies of a password in freed memory.
        core.command.reserve(COMMAND_ROOM);
        let mut log = Vec::new();
        let mut context = BackendContext {
            server: &core.server,
            command: &mut core.command,
            reply: &mut core.reply,
            stage: &mut core.stage,
            log: &mut log,
        };
        let step = call(&mut self.login, &mut context);
        core.actions.append(&mut log);
        step
    }

    /// With `proxy_pass_error_message` the client sees the refusal, with `proxy_auth_failure` that its login failed, if the
    /// refusal says so; after a clean one it may try again.
    fn on_refused(mut self, refusal: BackendRefusal, core: &mut Core, now: Instant) -> Phase {
        let passed = core.server.pass_error_message;
        let told = passed || (core.server.auth_failure && refusal.grounds == Grounds::Credentials);
        let event = Event::BackendRefused { text: refusal.text, passed: told };
        core.actions.log(event, Some(Stage::ReadingResponse));
        self.login.on_quit(&mut core.command);
        if !told {
            return core.internal_error();
        }
        if !refusal.grounds.is_clean() {
            core.reply.extend_from_slice(&refusal.reply);
            return core.close();
        }
        core.deadlines.clear(Timer::Backend);
        core.close_backend();
        let reply = passed.then_some(refusal.reply);
        Sleeping::after_backend_refusal(reply, core, now)
    }

    /// What is no reply to anything.
    fn on_surplus(self, rest: &[u8], core: &mut Core) -> Phase {
        let text = rest.strip_suffix(b"\n").unwrap_or(rest);
        let text = text.strip_suffix(b"\r").unwrap_or(text).to_vec();
        core.actions.log(Event::BackendRefused { text, passed: false }, Some(Stage::ReadingResponse));
        self.on_failed(core)
    }

    /// The reason is logged; what is left is to take leave.
    fn on_failed(mut self, core: &mut Core) -> Phase {
        self.login.on_quit(&mut core.command);
        core.internal_error()
    }
}

/// Logged in: from here on bytes only pass, in both directions. No action follows [`Action::Relay`], so what becomes of
/// the legs is left to the relay.
#[derive(Debug)]
pub(super) struct Relaying {
    /// What has passed already.
    pub(super) traffic: Traffic,
    /// The backend sends no more.
    pub(super) backend_ended: bool,
    /// The leg that has broken, the first if both have.
    pub(super) failure: Option<(Side, LegFailure)>,
}

impl Relaying {
    /// `surplus` is what the backend said behind its last reply; what the client said behind its login goes first.
    fn begin(surplus: &[u8], core: &mut Core) -> Phase {
        core.deadlines.clear_all();
        core.actions.log(Event::LoggedIn, None);
        core.actions.push(Action::Relay);
        let said = core.inbox.take();
        core.command.extend_from_slice(&said);
        core.reply.extend_from_slice(surplus);
        let traffic = Traffic { from_client: said.len() as u64, to_client: surplus.len() as u64 };
        Phase::Relaying(Self { traffic, backend_ended: false, failure: None })
    }

    pub(super) fn on_client(mut self, bytes: &[u8], core: &mut Core) -> Phase {
        self.traffic.from_client += bytes.len() as u64;
        core.command.extend_from_slice(bytes);
        Phase::Relaying(self)
    }

    pub(super) fn on_backend(mut self, bytes: &[u8], core: &mut Core) -> Phase {
        self.traffic.to_client += bytes.len() as u64;
        core.reply.extend_from_slice(bytes);
        Phase::Relaying(self)
    }

    pub(super) fn on_failure(mut self, side: Side, failure: LegFailure) -> Phase {
        self.failure.get_or_insert((side, failure));
        Phase::Relaying(self)
    }
}

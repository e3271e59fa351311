//! One proxied connection up to the login: a mail machine, two transports, deadlines.
//!
//! [`Session`] speaks wire bytes. Inside it everything is in clear: it decrypts what comes in, hands it to the phase
//! the session is in, and encrypts what that phase wants said.
//!
//! ```text
//! PROXY header -> TLS handshake -> client name (SMTP) -> greeting delay (SMTP) -> greeting
//!     -> commands <-> STARTTLS handshake
//!           |  ^
//!           v  | refused, or no answer
//!        authenticating <-> sleeping (WAIT, Auth-Wait)
//!           |                  ^
//!           v                  | refused, and the client may see it
//!        connecting -> logging in to the backend <-> handshake with the backend
//!                          |
//!                          v
//!                        Relay
//! ```
//!
//! From everywhere the session can end: [`Action::Close`] for each leg, then [`Action::Finish`].

mod backend;
mod commands;
mod core;
mod login;
mod opening;
mod phase;

use std::time::{Duration, Instant};

use self::core::Core;
use self::opening::ProxyHeader;
use self::phase::Phase;
use crate::action::{Action, Completion, Errno, Output, Side};
use crate::address::{ClientAddr, Origin};
use crate::config::Listener;
use crate::deadline::Timer;
use crate::event::{Event, LogContext, Stage};
use crate::line::Pending;
use crate::proxy_protocol::{self, Parsed};
use crate::relay::{IdleLimits, Relay, Traffic};
use crate::transport::{TlsError, Transport};

/// A TLS record on the wire: its header, 16 KiB, and what a cipher may add (RFC 8446 section 5.2).
const LARGEST_RECORD: usize = 5 + (16 << 10) + 256;
/// More than the longest PROXY header that is accepted.
const LARGEST_PROXY_HEADER: usize = 4096;

/// What a client that was heard lately has from the start of a graceful shutdown to its next login attempt.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// A session from accept to login. See the [crate documentation](crate) for the contract.
#[derive(Debug)]
pub struct Session {
    client: Transport,
    backend: Transport,
    phase: Phase,
    core: Core,
}

/// How a leg's socket failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketFailure {
    /// Reading failed.
    Receive(Errno),
    /// Writing failed.
    Send(Errno),
}

impl SocketFailure {
    /// The same as a fact for the log.
    pub(crate) fn event(self, side: Side) -> Event {
        match self {
            Self::Receive(errno) => Event::ReceiveFailed(side, errno),
            Self::Send(errno) => Event::SendFailed(side, errno),
        }
    }
}

impl Session {
    /// Starts a session on an accepted connection; `out` may already hold the greeting.
    pub fn open(listener: &Listener, origin: &Origin, now: Instant, out: &mut Output) -> Self {
        let mut core = Core::new(listener, origin, now);
        core.actions.begin_change();
        let phase = opening::accept(listener.proxy_protocol, &mut core, now);
        let mut session = Self { client: Transport::plain(), backend: Transport::plain(), phase, core };
        session.settle(out);
        session
    }

    /// Takes all of `wire`, as read from this leg's socket; records are decrypted in place.
    pub fn handle_input(&mut self, side: Side, wire: &mut [u8], now: Instant, out: &mut Output) {
        self.core.actions.begin_change();
        if side == Side::Client {
            self.core.last_heard = now;
        }
        match side {
            Side::Client if matches!(self.phase, Phase::ProxyHeader(_)) => {
                self.receive_proxy_header(wire, now, out);
            }
            Side::Client => self.receive_from_client(wire, now, out),
            Side::Backend => self.receive_from_backend(wire, now, out),
        }
        self.settle(out);
    }

    /// This leg's peer has closed its sending direction.
    pub fn handle_eof(&mut self, side: Side, now: Instant, out: &mut Output) {
        let _ = now;
        self.core.actions.begin_change();
        self.advance(|phase, core| match side {
            Side::Client => phase.on_client_eof(core),
            Side::Backend => phase.on_backend_eof(core),
        });
        self.settle(out);
    }

    /// Reading from or writing to this leg's socket failed; the leg is gone.
    pub fn handle_failure(&mut self, side: Side, failure: SocketFailure, now: Instant, out: &mut Output) {
        let _ = now;
        self.core.actions.begin_change();
        self.advance(|phase, core| phase.on_failure(side, failure, core));
        if side == Side::Backend && !self.core.is_backend_open() {
            // There is nobody to take leave of.
            self.backend = Transport::plain();
        }
        self.settle(out);
    }

    /// The outcome of an action that takes time.
    pub fn handle_completion(&mut self, completion: Completion, now: Instant, out: &mut Output) {
        self.core.actions.begin_change();
        self.advance(|phase, core| phase.on_completion(completion, core, now));
        self.settle(out);
    }

    /// `now` may have reached the deadline; harmless if it has not.
    pub fn handle_deadline(&mut self, now: Instant, out: &mut Output) {
        self.core.actions.begin_change();
        while let Some(timer) = self.core.deadlines.take_expired(now) {
            self.advance(|phase, core| phase.on_timer(timer, core, now));
        }
        self.settle(out);
    }

    /// The worker shuts down gracefully: a running login goes on, and a session that waits for its client ends. It
    /// ends now, or in [`SHUTDOWN_GRACE`] if the client was heard within that time: then a login may be on its way.
    pub fn handle_shutdown(&mut self, now: Instant, out: &mut Output) {
        self.core.actions.begin_change();
        if matches!(self.phase, Phase::Relaying(_) | Phase::Closed) || self.core.is_shutting_down {
            return;
        }
        self.core.is_shutting_down = true;
        if now.saturating_duration_since(self.core.last_heard) < SHUTDOWN_GRACE {
            self.core.deadlines.arm(Timer::Shutdown, now, SHUTDOWN_GRACE);
        } else {
            self.advance(Phase::on_shutdown);
        }
        self.settle(out);
    }

    /// The worker's patience ends (`worker_shutdown_timeout`): close, whatever goes on. A session that has asked for its
    /// [`Relay`] leaves that to it.
    pub fn handle_shutdown_timeout(&mut self, out: &mut Output) {
        self.core.actions.begin_change();
        self.advance(Phase::on_shutdown_timeout);
        self.settle(out);
    }

    /// The next thing to do, until `None`.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.core.actions.poll()
    }

    /// When to call `handle_deadline`.
    pub fn poll_deadline(&self) -> Option<Instant> {
        self.core.deadlines.earliest()
    }

    /// Whether this leg's socket should be read now.
    pub fn wants_input(&self, side: Side) -> bool {
        self.input_limit(side) > 0
    }

    /// How many bytes to read from this leg's socket at most; zero: do not read it now.
    ///
    /// A caller that keeps to it bounds what a session retains to its configured buffers (under TLS: plus one
    /// record). One that reads more loses nothing: every byte handed in is kept.
    pub fn input_limit(&self, side: Side) -> usize {
        match (side, &self.phase) {
            (_, Phase::Relaying(_) | Phase::Closed) => 0,
            (Side::Client, _) if self.core.client_ended => 0,
            (Side::Client, Phase::ProxyHeader(header)) => {
                LARGEST_PROXY_HEADER.saturating_sub(header.received.len())
            }
            (Side::Client, _) => {
                let room = self.core.server.client_buffer.saturating_sub(self.core.inbox.len());
                if room > 0 && !self.client.is_plain() { LARGEST_RECORD } else { room }
            }
            (Side::Backend, Phase::Securing(_)) => LARGEST_RECORD,
            (Side::Backend, Phase::LoggingIn(login)) => {
                let room = login.input_limit(&self.core);
                if room > 0 && !self.backend.is_plain() { LARGEST_RECORD } else { room }
            }
            (Side::Backend, _) => 0,
        }
    }

    /// Whether the session is silent because it was told to be: by the auth server, or by a backend's refusal.
    pub fn is_sleeping(&self) -> bool {
        matches!(self.phase, Phase::Sleeping(_))
    }

    /// What the session is doing, in the words of the log.
    pub fn stage(&self) -> Stage {
        self.core.stage
    }

    /// The address that the client connected to.
    pub fn local(&self) -> ClientAddr {
        self.core.local
    }

    /// What log lines show beside the event.
    pub fn log_context(&self) -> &LogContext {
        &self.core.log_context
    }

    /// After [`Action::Relay`]: drops machine and credentials, keeps the transports. A relay whose leg has broken
    /// meanwhile is over at once, and so is one that nobody was told to make.
    pub fn into_relay(self, now: Instant, out: &mut Output) -> Relay {
        let Self { client, backend, phase, core } = self;
        let limits = IdleLimits { open: core.server.proxy_timeout, backend_ended: core.server.timeout };
        let summary_since = core.server.session_log.then_some(core.opened);
        let relay =
            |traffic| Relay::new(client, backend, traffic, limits, core.log_context, summary_since, now);
        let Phase::Relaying(relaying) = phase else {
            debug_assert!(false, "into_relay without Action::Relay");
            let mut relay = relay(Traffic::default());
            relay.end(None, now, out);
            return relay;
        };
        let mut relay = relay(relaying.traffic);
        match relaying.failure {
            Some((side, failure)) => relay.fail(side, failure, now, out),
            None => {
                if core.client_ended {
                    relay.end_of_input(Side::Client, now, out);
                }
                if relaying.backend_ended {
                    relay.end_of_input(Side::Backend, now, out);
                }
            }
        }
        relay
    }

    /// Moves the phase on, by value.
    fn advance(&mut self, step: impl FnOnce(Phase, &mut Core) -> Phase) {
        let phase = std::mem::replace(&mut self.phase, Phase::Closed);
        self.phase = step(phase, &mut self.core);
    }

    /// The PROXY header is in clear, whatever follows it.
    fn receive_proxy_header(&mut self, wire: &mut [u8], now: Instant, out: &mut Output) {
        let Phase::ProxyHeader(header) = &mut self.phase else { return };
        if header.received.is_empty() {
            return self.on_proxy_header(wire, now, out);
        }
        header.received.append(wire);
        let mut joined = header.received.take();
        self.on_proxy_header(&mut joined, now, out);
    }

    /// Looks at all that has come so far, and passes on what follows the header.
    fn on_proxy_header(&mut self, bytes: &mut [u8], now: Instant, out: &mut Output) {
        match proxy_protocol::parse(bytes) {
            Parsed::Incomplete => {
                let mut received = Pending::default();
                received.append(bytes);
                self.phase = Phase::ProxyHeader(ProxyHeader { received });
            }
            Parsed::Done { addresses, length } => {
                self.advance(|_, core| opening::on_proxy_header(addresses, core, now));
                self.start_tls_if_due();
                self.receive_from_client(&mut bytes[length..], now, out);
            }
            Parsed::Failed(event) => {
                self.core.log(event);
                self.advance(|_, core| core.close());
            }
        }
    }

    fn receive_from_client(&mut self, wire: &mut [u8], now: Instant, out: &mut Output) {
        if wire.is_empty() {
            return;
        }
        let was_handshaking = self.client.is_handshaking();
        let Self { client, phase, core, .. } = self;
        let outcome = client.receive(wire, &mut out.client, &mut |plaintext| {
            let current = std::mem::replace(phase, Phase::Closed);
            *phase = current.on_client(plaintext, core, now);
        });
        if let Err(error) = outcome {
            return self.client_tls_failed(error.to_string().into());
        }
        if was_handshaking && self.client.is_secured() {
            self.handshake_done(now);
        }
        if self.client.is_closed_by_peer() && !self.core.client_ended {
            self.advance(|phase, core| phase.on_client_eof(core));
        }
    }

    fn handshake_done(&mut self, now: Instant) {
        let mut facts = self.client.facts();
        let mut fault = None;
        if let (Some(facts), Some(verification)) = (&mut facts, &self.core.server.verify_client) {
            let chain = self.client.peer_certificates();
            let client = verification.examine(chain, self.client.is_resumed(), self.core.unix_time);
            fault = verification.fault(&client);
            facts.client = Some(client);
        }
        self.core.tls = facts;
        self.advance(|phase, core| match fault {
            Some(fault) => opening::on_certificate_fault(fault, core),
            None => phase.on_secured(core, now),
        });
    }

    fn receive_from_backend(&mut self, wire: &mut [u8], now: Instant, out: &mut Output) {
        if wire.is_empty() {
            return;
        }
        let was_handshaking = self.backend.is_handshaking();
        let Self { backend, phase, core, .. } = self;
        let outcome = backend.receive(wire, &mut out.backend, &mut |plaintext| {
            let current = std::mem::replace(phase, Phase::Closed);
            *phase = current.on_backend(plaintext, core, now);
        });
        if let Err(error) = outcome {
            return self.backend_tls_failed(&error);
        }
        if was_handshaking && self.backend.is_secured() {
            self.advance(|phase, core| phase.on_backend_secured(core, now));
        }
        if self.backend.is_closed_by_peer() {
            self.advance(Phase::on_backend_eof);
        }
    }

    /// A backend that cannot be had under TLS is not had at all.
    fn backend_tls_failed(&mut self, error: &TlsError) {
        let event = match error.peer_fault() {
            Some(fault) => Event::BackendNotTrusted(fault),
            None => Event::TlsFailed(Side::Backend, error.to_string().into()),
        };
        self.advance(|phase, core| phase.on_tls_failure(Side::Backend, event, core));
    }

    fn client_tls_failed(&mut self, reason: Box<str>) {
        let event = Event::TlsFailed(Side::Client, reason);
        self.advance(|phase, core| phase.on_tls_failure(Side::Client, event, core));
    }

    /// Ends every change: says what is to be said, in clear before a handshake, and takes leave under TLS.
    fn settle(&mut self, out: &mut Output) {
        if !self.core.reply.is_empty() {
            self.client.send(&std::mem::take(&mut self.core.reply), &mut out.client);
        }
        if !self.core.command.is_empty() {
            self.backend.send(&std::mem::take(&mut self.core.command), &mut out.backend);
        }
        self.start_tls_if_due();
        self.start_backend_tls_if_due(out);
        if !self.core.is_backend_open() && !self.backend.is_plain() {
            if self.backend.is_secured() {
                self.backend.close(&mut out.backend);
            }
            // The next backend, if there is one, begins in clear.
            self.backend = Transport::plain();
        }
        if matches!(self.phase, Phase::Closed) && self.client.is_secured() {
            self.client.close(&mut out.client);
        }
    }

    /// Puts TLS under a leg whose phase waits for a handshake.
    fn start_tls_if_due(&mut self) {
        if !matches!(self.phase, Phase::Handshake | Phase::StartTls) || !self.client.is_plain() {
            return;
        }
        let transport = match &self.core.server.tls {
            Some(config) => Transport::server(config).map_err(|error| error.to_string().into()),
            None => Err("no certificate is configured".into()),
        };
        match transport {
            Ok(transport) => self.client = transport,
            Err(reason) => self.client_tls_failed(reason),
        }
    }

    /// The same for the backend, where our side speaks first.
    fn start_backend_tls_if_due(&mut self, out: &mut Output) {
        let Phase::Securing(securing) = &self.phase else { return };
        if !self.backend.is_plain() {
            return;
        }
        match Transport::client(securing.config(), securing.name(), &mut out.backend) {
            Ok(transport) => self.backend = transport,
            Err(error) => {
                self.backend_tls_failed(&error);
                self.settle(out);
            }
        }
    }
}

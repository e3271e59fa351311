//! One session from a script, with all that a caller may rely on asserted after every step.

use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Errno, Output, Side};
use gatepost_protocol::address::{ClientAddr, Origin};
use gatepost_protocol::auth::AuthReply;
use gatepost_protocol::config::{Listener, Protocol, StartTls};
use gatepost_protocol::relay::Relay;
use gatepost_protocol::session::{Session, SocketFailure};

use crate::ledger::Ledger;
use crate::outcome::{self, PASSWORD};
use crate::script::{self, Step};
use crate::{settings, tls};

/// Runs the script, and without STARTTLS a second time with every read from the client one byte long: nobody can tell
/// the difference. (Reads may matter for what a client says behind STARTTLS and what a backend says before it was asked,
/// for neither must be taken for more than it is.)
pub(crate) fn run(protocol: Protocol, data: &[u8]) {
    let (letters, steps) = script::parse(data);
    let listener = settings::listener(protocol, letters);
    let start = start();
    let whole = Run::play(&listener, &steps, start, usize::MAX);
    if listener.server.starttls == StartTls::Off {
        let split = Run::play(&listener, &steps, start, 1);
        assert_eq!(whole.said, split.said, "reads of one byte lead elsewhere");
    }
}

/// What the peers and the caller saw.
#[derive(Default, PartialEq, Eq)]
struct Said {
    /// In clear, if the client has TLS.
    client: Vec<u8>,
    backend: Vec<u8>,
    /// Without log lines, which may tell how many bytes had come.
    actions: Vec<String>,
}

struct Run {
    stage: Stage,
    ledger: Ledger,
    now: Instant,
    /// Bytes one read from the client takes at most.
    client_read_limit: usize,
    client: Leg,
    backend: Leg,
    /// The client's TLS, from its first handshake message on.
    tls: Option<tls::Client>,
    said: Said,
    /// Whether the worker has been told to stop.
    is_stopping: bool,
}

enum Stage {
    Login(Box<Session>),
    Relay(Box<Relay>),
    /// While one becomes the other.
    Between,
}

/// A socket: what its peer has sent and nobody has read.
#[derive(Default)]
struct Leg {
    unread: Vec<u8>,
    has_ended: bool,
    is_end_told: bool,
}

impl Run {
    fn play(listener: &Listener, steps: &[Step<'_>], now: Instant, client_read_limit: usize) -> Self {
        let mut out = Output::default();
        let session = Session::open(listener, &origin(), now, &mut out);
        let mut run = Self {
            stage: Stage::Login(Box::new(session)),
            ledger: Ledger::new(),
            now,
            client_read_limit,
            client: Leg::default(),
            backend: Leg::default(),
            tls: None,
            said: Said::default(),
            is_stopping: false,
        };
        run.settle(&out);
        for step in steps {
            run.step(*step);
            run.read_what_waits();
        }
        run.assert_no_secret_is_shown();
        run.let_time_pass();
        run
    }

    fn step(&mut self, step: Step<'_>) {
        match step {
            Step::Client(bytes) => match &mut self.tls {
                Some(tls) => tls.say(bytes),
                None => self.send(Side::Client, bytes),
            },
            Step::ClientWire(bytes) => self.send(Side::Client, bytes),
            Step::ClientHandshake if self.tls.is_none() => self.tls = Some(tls::Client::new()),
            Step::ClientHandshake => {}
            Step::ClientCloseNotify => {
                if let Some(tls) = &mut self.tls {
                    tls.close();
                }
            }
            Step::Backend(bytes) => self.send(Side::Backend, bytes),
            Step::Outcome(detail) => self.complete(detail),
            Step::Deadline => self.reach_deadline(),
            Step::EarlyWakeUp => self.wake_up_early(),
            Step::ClientEof => self.leg(Side::Client).has_ended = true,
            Step::BackendEof if self.ledger.is_backend_open => self.leg(Side::Backend).has_ended = true,
            Step::BackendEof => {}
            Step::ClientFailure => self.fail(Side::Client, SocketFailure::Receive(Errno(104))),
            Step::BackendFailure => self.fail(Side::Backend, SocketFailure::Send(Errno(32))),
            Step::Shutdown => {
                let is_again = std::mem::replace(&mut self.is_stopping, true);
                self.change(|stage, now, out| match stage {
                    Stage::Login(session) if is_again => session.handle_shutdown_timeout(out),
                    Stage::Login(session) => session.handle_shutdown(now, out),
                    Stage::Relay(relay) => relay.handle_shutdown_timeout(now),
                    Stage::Between => {}
                });
            }
        }
    }

    fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
    }

    /// The peer sends; the session reads when it wants to.
    fn send(&mut self, side: Side, bytes: &[u8]) {
        if self.ledger.is_open(side) && !self.leg(side).has_ended {
            self.leg(side).unread.extend_from_slice(bytes);
        }
    }

    /// What the client's TLS has to say, if it has any, is on its way.
    fn send_records(&mut self) {
        let wire = self.tls.as_mut().map(tls::Client::wire).unwrap_or_default();
        self.send(Side::Client, &wire);
    }

    /// As the loop does: reads each leg for as long as the session takes more of it.
    fn read_what_waits(&mut self) {
        let mut is_idle = false;
        while !std::mem::replace(&mut is_idle, true) {
            self.send_records();
            for side in [Side::Client, Side::Backend] {
                while self.ledger.is_open(side) && self.read(side) {
                    is_idle = false;
                }
            }
        }
    }

    /// One read; false if there is nothing to read, or nobody to read it.
    fn read(&mut self, side: Side) -> bool {
        let is_relay = matches!(self.stage, Stage::Relay(_));
        let limit = match &self.stage {
            Stage::Login(session) => session.input_limit(side),
            Stage::Relay(_) => usize::MAX,
            Stage::Between => 0,
        };
        let read_limit = if side == Side::Client { self.client_read_limit } else { usize::MAX };
        let leg = self.leg(side);
        if leg.unread.is_empty() {
            let is_news = leg.has_ended && !std::mem::replace(&mut leg.is_end_told, leg.has_ended);
            if is_news {
                self.change(|stage, now, out| match stage {
                    Stage::Login(session) => session.handle_eof(side, now, out),
                    Stage::Relay(relay) => relay.handle_eof(side, now, out),
                    Stage::Between => {}
                });
            }
            return is_news;
        }
        let count = leg.unread.len().min(limit).min(read_limit);
        if count == 0 {
            return false;
        }
        let mut wire: Vec<u8> = leg.unread.drain(..count).collect();
        let before = self.said.bytes_for(side.other());
        let sent = if is_relay { wire.clone() } else { Vec::new() };
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_input(side, &mut wire, now, out),
            Stage::Relay(relay) => relay.handle_input(side, &mut wire, now, out),
            Stage::Between => {}
        });
        if is_relay && self.tls.is_none() {
            assert_eq!(
                self.said.of(side.other())[before..],
                sent,
                "the relay passes what came, all of it, once"
            );
        }
        true
    }

    fn fail(&mut self, side: Side, failure: SocketFailure) {
        if self.ledger.is_open(side) {
            *self.leg(side) = Leg { has_ended: true, is_end_told: true, ..Leg::default() };
            self.change(|stage, now, out| match stage {
                Stage::Login(session) => session.handle_failure(side, failure, now, out),
                Stage::Relay(relay) => relay.handle_failure(side, failure, now, out),
                Stage::Between => {}
            });
        }
    }

    /// Ends the operation under way.
    fn complete(&mut self, detail: &[u8]) {
        let Some(operation) = self.ledger.under_way.take() else { return };
        let completion = outcome::completion(operation, detail);
        match &completion {
            Completion::Auth(answer) => {
                self.ledger.is_accepted |= matches!(answer, Ok(AuthReply::Accepted(_)));
            }
            Completion::Connected(Ok(())) => {
                self.ledger.is_backend_open = true;
                self.backend = Leg::default();
            }
            Completion::Connected(Err(_)) | Completion::Resolved(_) => {}
        }
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_completion(completion, now, out),
            Stage::Relay(_) | Stage::Between => panic!("a relay has no operation under way"),
        });
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Login(session) => session.poll_deadline(),
            Stage::Relay(relay) => relay.poll_deadline(),
            Stage::Between => None,
        }
    }

    fn reach_deadline(&mut self) {
        let Some(deadline) = self.deadline() else { return };
        self.now = self.now.max(deadline);
        self.handle_deadline();
        assert_ne!(self.deadline(), Some(deadline), "a deadline that is reached must move");
    }

    fn wake_up_early(&mut self) {
        if self.deadline().is_none_or(|deadline| deadline > self.now) {
            let before = (self.said.client.len(), self.said.backend.len(), self.said.actions.len());
            self.handle_deadline();
            let after = (self.said.client.len(), self.said.backend.len(), self.said.actions.len());
            assert_eq!(before, after, "a wake-up before the deadline does nothing");
        }
    }

    fn handle_deadline(&mut self) {
        self.change(|stage, now, out| match stage {
            Stage::Login(session) => session.handle_deadline(now, out),
            Stage::Relay(relay) => relay.handle_deadline(now, out),
            Stage::Between => {}
        });
    }

    /// Nothing waits for ever, except for what a caller was asked to do.
    fn let_time_pass(&mut self) {
        for _ in 0..100 {
            if self.ledger.is_finished || (self.ledger.under_way.is_some() && self.deadline().is_none()) {
                return;
            }
            assert!(self.deadline().is_some(), "the session waits for nothing");
            self.reach_deadline();
            self.read_what_waits();
        }
        panic!("the session does not end");
    }

    /// One call, and what follows it.
    fn change(&mut self, call: impl FnOnce(&mut Stage, Instant, &mut Output)) {
        let mut out = Output::default();
        call(&mut self.stage, self.now, &mut out);
        self.settle(&out);
    }

    fn settle(&mut self, out: &Output) {
        self.take_output(out);
        let mut is_logged_in = false;
        loop {
            let action = match &mut self.stage {
                Stage::Login(session) => session.poll_action(),
                Stage::Relay(relay) => relay.poll_action(),
                Stage::Between => None,
            };
            let Some(action) = action else { break };
            assert!(!is_logged_in, "{action:?} behind Relay");
            self.ledger.on_action(&action);
            if action == Action::Close(Side::Client)
                && let Some(tls) = self.tls.as_mut().filter(|tls| tls.is_established())
                // A relay that the worker has no more patience with is cut off, and is to look like it.
                && !(self.is_stopping && matches!(self.stage, Stage::Relay(_)))
            {
                assert!(tls.has_got_close_notify(), "an end without a word looks like a truncation");
            }
            is_logged_in = action == Action::Relay;
            if !matches!(action, Action::Log(..)) {
                self.said.actions.push(format!("{action:?}"));
            }
        }
        if is_logged_in && let Stage::Login(session) = std::mem::replace(&mut self.stage, Stage::Between) {
            let mut out = Output::default();
            self.stage = Stage::Relay(Box::new(session.into_relay(self.now, &mut out)));
            self.settle(&out);
        }
    }

    fn take_output(&mut self, out: &Output) {
        self.ledger.on_output(out);
        match &mut self.tls {
            Some(tls) => self.said.client.extend_from_slice(&tls.hear(&out.client)),
            None => self.said.client.extend_from_slice(&out.client),
        }
        self.said.backend.extend_from_slice(&out.backend);
    }

    fn assert_no_secret_is_shown(&self) {
        let shown = match &self.stage {
            Stage::Login(session) => format!("{session:?}"),
            Stage::Relay(relay) => format!("{relay:?}"),
            Stage::Between => String::new(),
        };
        let password = std::str::from_utf8(PASSWORD).expect("it is ASCII");
        assert!(!shown.contains(password), "Debug shows the password");
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "client: {} backend: {} ", self.client.escape_ascii(), self.backend.escape_ascii())?;
        f.debug_list().entries(&self.actions).finish()
    }
}

impl Said {
    fn of(&self, side: Side) -> &[u8] {
        match side {
            Side::Client => &self.client,
            Side::Backend => &self.backend,
        }
    }

    fn bytes_for(&self, side: Side) -> usize {
        self.of(side).len()
    }
}

/// A client and where it connected to.
pub(crate) fn origin() -> Origin {
    Origin {
        peer: ClientAddr::Inet(([192, 0, 2, 7], 4711).into()),
        local: ClientAddr::Inet(([192, 0, 2, 1], 143).into()),
        unix_time: 1_750_000_000,
        entropy: *b"no randomness :)",
    }
}

/// Where the clock begins; all else is relative to it.
pub(crate) fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Inputs that stop half-way would still run, and show nothing.
    #[test]
    fn logins_lead_to_the_relay() {
        for (protocol, input) in [
            (Protocol::Imap, &include_bytes!("../corpus/imap_session/login")[..]),
            (Protocol::Imap, include_bytes!("../corpus/imap_session/login-literals")),
            (Protocol::Pop3, include_bytes!("../corpus/pop3_session/login")),
            (Protocol::Pop3, include_bytes!("../corpus/pop3_session/pipelined")),
            (Protocol::Pop3, include_bytes!("../corpus/pop3_session/apop")),
            (Protocol::Smtp, include_bytes!("../corpus/smtp_session/login")),
            (Protocol::Smtp, include_bytes!("../corpus/smtp_session/none")),
            (Protocol::Smtp, include_bytes!("../corpus/smtp_session/smtp-auth")),
        ] {
            let (letters, steps) = script::parse(input);
            let listener = settings::listener(protocol, letters);
            let run = Run::play(&listener, &steps, start(), usize::MAX);
            assert!(run.said.actions.iter().any(|action| action == "Relay"), "{:?}", run.said);
        }
    }
}

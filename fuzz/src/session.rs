//! One session from a script, with all that a caller may rely on asserted after every step.

use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Errno, Output, Side};
use gatepost_protocol::auth::AuthReply;
use gatepost_protocol::config::{Listener, Protocol, StartTls};
use gatepost_protocol::session::{Session, SocketFailure};

use crate::ledger::{Ledger, Operation};
use crate::leg::Leg;
use crate::origin::{origin_of, start};
use crate::outcome::{self, PASSWORD};
use crate::said::Said;
use crate::script::{self, Step};
use crate::stage::Stage;
use crate::{settings, tls};

/// Runs the script, and without STARTTLS a second time with every read from the client one byte long: nobody can tell
/// the difference. (Reads may matter for what a client says behind STARTTLS and what a backend says before it was asked,
/// for neither must be taken for more than it is.)
pub(crate) fn run(protocol: Protocol, data: &[u8]) {
    let (letters, steps) = script::parse(data);
    let listener = settings::listener(protocol, letters);
    let whole = Run::play(&listener, letters, &steps, usize::MAX);
    if listener.server.starttls == StartTls::Off {
        let split = Run::play(&listener, letters, &steps, 1);
        assert_eq!(whole.said, split.said, "reads of one byte lead elsewhere");
    }
}

struct Run {
    stage: Stage,
    ledger: Ledger,
    now: Instant,
    /// Bytes one read from the client takes at most.
    client_read_limit: usize,
    client: Leg,
    backend: Leg,
    /// How the client speaks TLS, once it does.
    manner: tls::Manner,
    /// Whether the caller writes what passes a relay in clear by itself.
    does_splice: bool,
    said: Said,
    /// Whether the worker has been told to stop.
    is_stopping: bool,
}

impl Run {
    fn play(listener: &Listener, letters: &[u8], steps: &[Step<'_>], client_read_limit: usize) -> Self {
        let mut out = Output::default();
        let session = Session::open(listener, &origin_of(letters), start(), &mut out);
        let mut run = Self {
            stage: Stage::Login(Box::new(session)),
            ledger: Ledger::new(),
            now: start(),
            client_read_limit,
            client: Leg::default(),
            backend: Leg::default(),
            manner: settings::manner(letters),
            does_splice: letters.contains(&b'P'),
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
            Step::Says(side, bytes) => match &mut self.leg(side).tls {
                Some(tls) => tls.say(bytes),
                None => self.send(side, bytes),
            },
            Step::Wire(side, bytes) => self.send(side, bytes),
            // Through a relay in clear the peers would shake hands with each other.
            Step::Handshake(..) if self.stage.is_relay() => {}
            Step::Handshake(Side::Client, bytes) => {
                let manner = self.manner;
                self.client.tls.get_or_insert_with(|| tls::Peer::client(manner)).say(bytes);
            }
            Step::Handshake(Side::Backend, bytes) if self.ledger.is_backend_open => {
                self.backend.begin_tls(bytes);
            }
            Step::Handshake(Side::Backend, _) => {}
            Step::CloseNotify(side, bytes) => {
                if let Some(tls) = &mut self.leg(side).tls {
                    tls.say(bytes);
                    tls.close();
                }
            }
            Step::Outcome(detail) => self.complete(detail),
            Step::Deadline => self.reach_deadline(),
            Step::EarlyWakeUp => self.wake_up_early(),
            Step::Eof(side) => self.leg(side).has_ended |= self.ledger.is_open(side),
            Step::Failure(side, detail) => self.fail(side, detail),
            Step::Shutdown => {
                let is_again = std::mem::replace(&mut self.is_stopping, true);
                self.change(|stage, now, out| stage.shutdown(is_again, now, out));
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

    /// What TLS of the peers has to say, if they have any, is on its way.
    fn send_records(&mut self) {
        for side in SIDES {
            let wire = self.leg(side).tls.as_mut().map(tls::Peer::wire).unwrap_or_default();
            self.send(side, &wire);
        }
    }

    /// As the loop does: reads each leg for as long as the session takes more of it.
    fn read_what_waits(&mut self) {
        let mut is_idle = false;
        while !std::mem::replace(&mut is_idle, true) {
            self.send_records();
            for side in SIDES {
                while self.ledger.is_open(side) && self.read(side) {
                    is_idle = false;
                }
            }
        }
    }

    /// One read; false if there is nothing to read, or nobody to read it.
    fn read(&mut self, side: Side) -> bool {
        let limit = self.stage.input_limit(side);
        let read_limit = if side == Side::Client { self.client_read_limit } else { usize::MAX };
        let leg = self.leg(side);
        if leg.unread.is_empty() {
            let is_news = leg.has_ended && !std::mem::replace(&mut leg.is_end_told, leg.has_ended);
            if is_news {
                self.change(|stage, now, out| stage.eof(side, now, out));
            }
            return is_news;
        }
        let count = leg.unread.len().min(limit).min(read_limit);
        if count == 0 {
            return false;
        }
        let mut wire: Vec<u8> = leg.unread.drain(..count).collect();
        let is_transparent = self.stage.is_transparent();
        if is_transparent && self.does_splice {
            let heard = self.leg(side.other()).hear(&wire);
            self.said.add(side.other(), &heard);
            self.change(|stage, now, _| stage.passed(side, count, now));
            return true;
        }
        let is_heard_as_sent = is_transparent && self.leg(side.other()).tls.is_none();
        let before = self.said.of(side.other()).len();
        let sent = wire.clone();
        self.change(|stage, now, out| stage.input(side, &mut wire, now, out));
        if is_heard_as_sent {
            assert_eq!(
                self.said.of(side.other())[before..],
                sent,
                "the relay passes what came, all of it, once"
            );
        }
        true
    }

    fn fail(&mut self, side: Side, detail: &[u8]) {
        let failure = match (side, detail) {
            (_, b"s") | (Side::Backend, b"") => SocketFailure::Send(Errno(32)),
            (Side::Client | Side::Backend, _) => SocketFailure::Receive(Errno(104)),
        };
        if self.ledger.is_open(side) {
            *self.leg(side) = Leg::failed();
            self.change(|stage, now, out| stage.failure(side, failure, now, out));
        }
    }

    /// Ends the operation under way.
    fn complete(&mut self, detail: &[u8]) {
        let Some(operation) = self.ledger.under_way.take() else { return };
        let completion = match (operation, self.ledger.exchange.take(), detail) {
            (Operation::Auth { .. }, Some(exchange), [b'H', response @ ..]) => {
                outcome::response(exchange, response)
            }
            _ => outcome::completion(operation, detail),
        };
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
        self.change(|stage, now, out| stage.completion(completion, now, out));
    }

    fn reach_deadline(&mut self) {
        let Some(deadline) = self.stage.deadline() else { return };
        self.now = self.now.max(deadline);
        self.change(Stage::reach_deadline);
        assert_ne!(self.stage.deadline(), Some(deadline), "a deadline that is reached must move");
    }

    fn wake_up_early(&mut self) {
        if self.stage.deadline().is_none_or(|deadline| deadline > self.now) {
            let before = self.said.lengths();
            self.change(Stage::reach_deadline);
            assert_eq!(before, self.said.lengths(), "a wake-up before the deadline does nothing");
        }
    }

    /// Nothing waits for ever, except for what a caller was asked to do.
    fn let_time_pass(&mut self) {
        for _ in 0..100 {
            let deadline = self.stage.deadline();
            if self.ledger.is_finished || (self.ledger.under_way.is_some() && deadline.is_none()) {
                return;
            }
            assert!(deadline.is_some(), "the session waits for nothing");
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
        self.stage.look();
    }

    fn settle(&mut self, out: &Output) {
        self.ledger.on_output(out);
        for (side, wire) in [(Side::Client, &out.client), (Side::Backend, &out.backend)] {
            let heard = self.leg(side).hear(wire);
            self.said.add(side, &heard);
        }
        let mut is_logged_in = false;
        while let Some(action) = self.stage.poll_action() {
            assert!(!is_logged_in, "{action:?} behind Relay");
            self.ledger.on_action(&action);
            self.assert_end_is_told(&action);
            is_logged_in = action == Action::Relay;
            if !matches!(action, Action::Log(..)) {
                self.said.actions.push(format!("{action:?}"));
            }
        }
        if is_logged_in {
            let mut out = Output::default();
            self.stage.become_relay(self.now, &mut out);
            self.settle(&out);
        }
    }

    /// A relay that the worker has no more patience with is cut off, and is to look like it. TLS that passes through a
    /// relay in clear is the peers' own.
    fn assert_end_is_told(&mut self, action: &Action) {
        let is_impatience = self.is_stopping && self.stage.is_relay();
        if let Action::Close(side) = action
            && !is_impatience
            && !self.stage.is_transparent()
        {
            assert!(!self.leg(*side).is_cut_off(), "an end without a word looks like a truncation");
        }
    }

    fn assert_no_secret_is_shown(&self) {
        let shown = format!("{:?}", self.stage);
        let password = std::str::from_utf8(PASSWORD).expect("it is ASCII");
        assert!(!shown.contains(password), "Debug shows the password");
    }
}

const SIDES: [Side; 2] = [Side::Client, Side::Backend];

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
            let run = Run::play(&listener, letters, &steps, usize::MAX);
            assert!(run.said.actions.iter().any(|action| action == "Relay"), "{:?}", run.said);
        }
    }
}

//! The loop itself: bytes in, bytes out, actions performed, one deadline kept, work bounded per wake-up.

use std::io;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Errno, Output, Side};
use gatepost_protocol::event::{Event, Stage};
use gatepost_protocol::relay::Relay;
use gatepost_protocol::session::SocketFailure;
use nix::libc;
use zeroize::Zeroize;

use super::engine::Engine;
use super::leg::Leg;
use super::linger;
use super::operation::{Operation, Outcome};
use super::trace::{self, Detail};
use crate::auth;
use crate::deadline::Deadline;
use crate::inlet::Inlet;
use crate::log::ConnectionId;
use crate::metrics::{Activity, Present};
use crate::runtime::{Runtime, Stream};
use crate::sessions::{Member, Phase};
use crate::worker::{Scratch, Worker};

/// Rounds of reading that one wake-up may do before the other sessions of the worker have their turn.
const ROUNDS_PER_WAKEUP: usize = 16;

/// One session, or its relay, on its legs.
pub(super) struct Pump<R: Runtime, E> {
    pub(super) engine: E,
    pub(super) worker: Rc<Worker<R>>,
    pub(super) inlet: Rc<Inlet>,
    /// The connection's number in the log.
    pub(super) id: ConnectionId,
    pub(super) detail: Detail,
    pub(super) client: Option<Leg<R::Stream>>,
    pub(super) backend: Option<Leg<R::Stream>>,
    operation: Option<Operation<R>>,
    /// The address of the auth server that was asked last.
    pub(super) auth_address: usize,
    deadline: Deadline,
    phase: Phase,
    pub(super) member: Member,
    /// Counted as what it is while it is.
    present: Present,
    /// Legs that failed and the engine does not know it yet. Those of the last moment of the login are news for the
    /// relay.
    lost: Vec<(Side, Errno)>,
}

/// How a pump ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The session is over.
    Finished,
    /// The login is complete.
    Relay,
}

impl<R: Runtime, E: Engine> Pump<R, E> {
    pub(super) fn new(
        engine: E,
        worker: Rc<Worker<R>>,
        inlet: Rc<Inlet>,
        id: ConnectionId,
        member: Member,
    ) -> Self {
        let deadline = Deadline::new(&worker.deadlines);
        let present = worker.metrics.enter(inlet.protocol(), engine.activity());
        let detail = Detail::new(&worker, &inlet, &engine.log_context().client);
        Self {
            engine,
            worker,
            inlet,
            id,
            detail,
            client: None,
            backend: None,
            operation: None,
            auth_address: 0,
            deadline,
            phase: Phase::Open,
            member,
            present,
            lost: Vec::new(),
        }
    }

    /// Does what there is to do, and is woken when there is more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<End> {
        for _ in 0..ROUNDS_PER_WAKEUP {
            match self.turn(cx, scratch) {
                ControlFlow::Break(end) => return Poll::Ready(end),
                ControlFlow::Continue(true) => {}
                ControlFlow::Continue(false) => {
                    let (protocol, activity) = (self.inlet.protocol(), self.engine.activity());
                    self.worker.metrics.update(&mut self.present, protocol, activity);
                    let now = self.worker.runtime.now();
                    self.trace(|engine| trace::pause(engine.poll_deadline(), now));
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// One round over everything that can happen; whether anything did.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> ControlFlow<End, bool> {
        let now = self.worker.runtime.now();
        let mut worked = false;
        if let Some(operation) = &mut self.operation
            && let Poll::Ready(outcome) = operation.as_mut().poll(cx)
        {
            self.operation = None;
            self.handle_outcome(outcome, now, &mut scratch.output);
            self.settle(cx, now, &mut scratch.output)?;
            worked = true;
        }
        if self.deadline.poll(self.engine.poll_deadline(), now, cx).is_ready() {
            self.trace(|_| "a deadline has passed".into());
            self.engine.handle_deadline(now, &mut scratch.output);
            self.settle(cx, now, &mut scratch.output)?;
            debug_assert!(
                self.engine.poll_deadline().is_none_or(|at| at > now),
                "a deadline stays in the past"
            );
            worked = true;
        }
        for side in [Side::Client, Side::Backend] {
            worked |= self.flush(side, cx, now, &mut scratch.output)?;
        }
        for side in [Side::Client, Side::Backend] {
            worked |= self.receive(side, cx, now, scratch)?;
        }
        // Last: a command that has arrived already still counts.
        if self.phase < self.worker.sessions.phase() {
            self.phase = self.worker.sessions.phase();
            self.trace(|_| "the worker is to end".into());
            self.engine.handle_phase(self.phase, now, &mut scratch.output);
            self.settle(cx, now, &mut scratch.output)?;
            worked = true;
        }
        ControlFlow::Continue(worked)
    }

    /// Performs what the engine asked for, when it was made or by now: writes, then actions. A leg that fails on the
    /// way is reported to the engine, which may ask for more.
    pub(super) fn settle(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut Output,
    ) -> ControlFlow<End> {
        loop {
            for side in [Side::Client, Side::Backend] {
                if let Some(errno) = self.write(side, cx, out) {
                    self.lost.push((side, errno));
                }
            }
            while let Some(action) = self.engine.poll_action() {
                self.perform(action, cx, now)?;
            }
            // One at a time: the engine is to be drained between any two things it is told.
            let Some((side, errno)) = self.lost.pop() else { return ControlFlow::Continue(()) };
            self.engine.handle_failure(side, SocketFailure::Send(errno), now, out);
        }
    }

    fn write(&mut self, side: Side, cx: &mut Context<'_>, out: &mut Output) -> Option<Errno> {
        let bytes = out.side(side);
        if bytes.is_empty() {
            return None;
        }
        let count = bytes.len();
        self.trace(|_| format!("send {count} bytes to the {}", trace::name(side)));
        let outcome = match self.leg(side) {
            Some(leg) => leg.write(cx, bytes),
            None => Ok(()),
        };
        if E::IS_LOGIN {
            bytes[..].zeroize();
        }
        bytes.clear();
        self.lose_on_error(side, outcome)
    }

    fn flush(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        now: Instant,
        out: &mut Output,
    ) -> ControlFlow<End, bool> {
        let Some(leg) = self.leg(side) else { return ControlFlow::Continue(false) };
        let waited = leg.waiting();
        let flushed = leg.poll_flush(cx);
        if leg.waiting() < waited {
            self.engine.handle_taken(now);
        }
        let Poll::Ready(outcome) = flushed else { return ControlFlow::Continue(false) };
        if let Some(errno) = self.lose_on_error(side, outcome) {
            self.engine.handle_failure(side, SocketFailure::Send(errno), now, out);
            self.settle(cx, now, out)?;
        }
        ControlFlow::Continue(waited > 0)
    }

    fn receive(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
    ) -> ControlFlow<End, bool> {
        let limit = self.read_limit(side).min(scratch.input.len());
        let Some(leg) = self.leg(side).filter(|leg| limit > 0 && !leg.ended) else {
            return ControlFlow::Continue(false);
        };
        match leg.stream.poll_read(cx, &mut scratch.input[..limit]) {
            Poll::Pending => return ControlFlow::Continue(false),
            Poll::Ready(Ok(0)) => {
                leg.ended = true;
                self.trace(|_| format!("the {} sends no more", trace::name(side)));
                self.engine.handle_eof(side, now, &mut scratch.output);
            }
            Poll::Ready(Ok(count)) => self.take_input(side, count, cx, now, scratch),
            Poll::Ready(Err(error)) => {
                *self.slot(side) = None;
                let failure = SocketFailure::Receive(errno_of(&error));
                self.engine.handle_failure(side, failure, now, &mut scratch.output);
            }
        }
        self.settle(cx, now, &mut scratch.output)?;
        ControlFlow::Continue(true)
    }

    /// Bytes to read from a leg at most. Whoever would get them, or their answers, must have taken all before.
    fn read_limit(&mut self, side: Side) -> usize {
        let is_congested = |leg: Option<&mut Leg<R::Stream>>| leg.is_some_and(|leg| leg.is_congested());
        if is_congested(self.leg(side.other())) || (E::IS_LOGIN && is_congested(self.leg(side))) {
            return 0;
        }
        self.engine.input_limit(side)
    }

    fn take_input(
        &mut self,
        side: Side,
        count: usize,
        cx: &mut Context<'_>,
        now: Instant,
        scratch: &mut Scratch,
    ) {
        self.trace(|_| format!("received {count} bytes from the {}", trace::name(side)));
        if !E::IS_LOGIN {
            self.worker.metrics.add_bytes(self.inlet.protocol(), side, count);
        }
        let input = &mut scratch.input[..count];
        if self.engine.is_transparent() {
            let other = side.other();
            let outcome = match self.leg(other) {
                Some(leg) => leg.write(cx, input),
                None => Ok(()),
            };
            self.engine.handle_passed(side, count, now);
            if let Some(errno) = self.lose_on_error(other, outcome) {
                self.engine.handle_failure(other, SocketFailure::Send(errno), now, &mut scratch.output);
            }
            return;
        }
        self.engine.handle_input(side, input, now, &mut scratch.output);
        if E::IS_LOGIN {
            input.zeroize();
        }
    }

    fn handle_outcome(&mut self, outcome: Outcome<R::Stream>, now: Instant, out: &mut Output) {
        let completion = match outcome {
            Outcome::Completed(completion) => completion,
            Outcome::Answered(answer) => {
                for auth::PassedOver { address, failure, time } in answer.passed_over {
                    self.auth_address = address;
                    self.log_auth_attempt(time, Some(&failure));
                    self.log_passed_over(&Event::AuthFailed(failure), Some(Stage::HttpAuth));
                }
                self.auth_address = answer.address;
                self.log_auth_attempt(answer.time, answer.outcome.as_ref().err());
                Completion::Auth(answer.outcome)
            }
            Outcome::Connected(connected) => {
                for failure in connected.passed_over {
                    self.log_passed_over(&Event::ConnectFailed(failure), Some(Stage::Connecting));
                }
                Completion::Connected(connected.outcome.map(|leg| self.backend = Some(leg)))
            }
        };
        self.trace(|_| trace::completion(&completion));
        self.engine.handle_completion(completion, now, out);
    }

    fn perform(&mut self, action: Action, cx: &mut Context<'_>, now: Instant) -> ControlFlow<End> {
        if !matches!(action, Action::Log(..)) {
            self.trace(|engine| trace::action(&action, engine));
        }
        match action {
            Action::Authenticate(request) => {
                self.operation =
                    Some(super::operation::authenticate(&self.worker, &self.inlet, request, now));
            }
            Action::Resolve(address) => {
                self.operation = Some(super::operation::resolve(&self.worker, &self.inlet, address));
            }
            Action::Connect(target) => {
                let local = self.engine.local();
                self.operation =
                    Some(super::operation::connect(&self.worker, &self.inlet, target, local, now));
            }
            Action::Cancel => self.operation = None,
            Action::Shutdown(side) => {
                if let Some(leg) = self.leg(side) {
                    leg.shut_down();
                    // A failure shows again when the leg is flushed next.
                    drop(leg.poll_flush(cx));
                }
            }
            Action::Close(side) => {
                if let Some(leg) = self.slot(side).take() {
                    linger::close(&self.worker, leg, self.inlet.listener.server.timeout, cx, now);
                }
            }
            Action::Abort(side) => *self.slot(side) = None,
            Action::Log(event, stage) => self.log(&event, stage),
            Action::Relay => return ControlFlow::Break(End::Relay),
            Action::Finish => return ControlFlow::Break(End::Finished),
        }
        ControlFlow::Continue(())
    }

    fn slot(&mut self, side: Side) -> &mut Option<Leg<R::Stream>> {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
    }

    fn leg(&mut self, side: Side) -> Option<&mut Leg<R::Stream>> {
        self.slot(side).as_mut()
    }

    /// Drops a leg whose stream failed.
    fn lose_on_error(&mut self, side: Side, outcome: io::Result<()>) -> Option<Errno> {
        let error = outcome.err()?;
        *self.slot(side) = None;
        Some(errno_of(&error))
    }

    /// The same legs, place and number after the login.
    pub(super) fn into_relay(self, now: Instant, out: &mut Output) -> Option<Pump<R, Relay>> {
        let present = self.worker.metrics.enter(self.inlet.protocol(), Activity::Relaying);
        Some(Pump {
            engine: self.engine.into_relay(now, out)?,
            deadline: Deadline::new(&self.worker.deadlines),
            worker: self.worker,
            inlet: self.inlet,
            id: self.id,
            detail: self.detail,
            client: self.client,
            backend: self.backend,
            operation: None,
            auth_address: self.auth_address,
            // Whatever phase the worker is in is news to the relay.
            phase: Phase::Open,
            member: self.member,
            present,
            lost: self.lost,
        })
    }
}

/// The system's number of an error; an error that has none is an I/O error.
pub(crate) fn errno_of(error: &io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Empties the output that a session left, or that a fault interrupted.
pub(super) fn clear(out: &mut Output) {
    for side in [Side::Client, Side::Backend] {
        let bytes = out.side(side);
        if !bytes.is_empty() {
            bytes[..].zeroize();
            bytes.clear();
        }
    }
}

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::event::{Event, Level, LogContext, Stage};
use gatepost_protocol::relay::{Relay, Traffic};
use gatepost_protocol::session::SocketFailure;

use super::*;
use crate::fake::{self, Fake, Pipe, Wakes};
use crate::log::{ConnectionId, Log, LogFiles, Target};
use crate::metrics::Activity;
use crate::sessions::Phase;

/// An engine that passes bytes on and notes what else it is told.
#[derive(Default)]
struct Script<const IS_LOGIN: bool> {
    context: Option<LogContext>,
    actions: VecDeque<Action>,
    told: Vec<String>,
    deadline: Option<Instant>,
    /// Asked for when a leg ends.
    at_end: Vec<Action>,
    /// Whether it was told something and not asked for its actions since.
    is_undrained: bool,
    /// Whether what is passed on goes back, too.
    echoes: bool,
    /// How often it heard that a leg has taken what had to wait.
    taken: usize,
}

impl<const IS_LOGIN: bool> Script<IS_LOGIN> {
    fn new() -> Self {
        let client = ClientAddr::Inet("192.0.2.7:1".parse().expect("an address"));
        let context = LogContext { client, starttls: false, login: None, upstream: None };
        Self { context: Some(context), ..Self::default() }
    }

    fn tell(&mut self, what: String) {
        assert!(!self.is_undrained, "{what} before the actions for {:?} were asked for", self.told.last());
        self.is_undrained = true;
        self.told.push(what);
    }
}

impl<const IS_LOGIN: bool> Engine for Script<IS_LOGIN> {
    const IS_LOGIN: bool = IS_LOGIN;

    fn handle_input(&mut self, side: Side, wire: &mut [u8], _now: Instant, out: &mut Output) {
        assert_ne!(wire, b"panic", "the test asked for it");
        out.side(side.other()).extend_from_slice(wire);
        if self.echoes {
            out.side(side).extend_from_slice(wire);
        }
    }

    fn handle_eof(&mut self, side: Side, _now: Instant, _out: &mut Output) {
        self.tell(format!("{side:?} ended"));
        self.actions.extend(self.at_end.drain(..));
    }

    fn handle_failure(&mut self, side: Side, failure: SocketFailure, _now: Instant, _out: &mut Output) {
        self.tell(format!("{side:?} {failure:?}"));
    }

    fn handle_completion(&mut self, completion: Completion, _now: Instant, _out: &mut Output) {
        self.tell(format!("{completion:?}"));
    }

    fn handle_deadline(&mut self, now: Instant, _out: &mut Output) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.tell("deadline".into());
        }
    }

    fn handle_phase(&mut self, phase: Phase, _now: Instant, out: &mut Output) {
        out.client.extend_from_slice(format!("{phase:?}").as_bytes());
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.pop_front();
        self.is_undrained &= action.is_some();
        action
    }

    fn poll_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn input_limit(&self, _side: Side) -> usize {
        100
    }

    fn log_context(&self) -> &LogContext {
        self.context.as_ref().expect("made by `new`")
    }

    fn stage(&self) -> Stage {
        Stage::Proxying
    }

    fn activity(&self) -> Activity {
        Activity::LoggingIn
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    fn local(&self) -> ClientAddr {
        ClientAddr::Unix
    }

    fn into_relay(self, _now: Instant, _out: &mut Output) -> Option<Relay> {
        None
    }

    fn is_transparent(&self) -> bool {
        false
    }

    fn handle_passed(&mut self, _side: Side, _count: usize, _now: Instant) {}

    fn handle_taken(&mut self, _now: Instant) {
        self.taken += 1;
    }
}

/// A worker, one session on two pipes, and its log.
struct Bench<const IS_LOGIN: bool> {
    fake: Fake,
    worker: Rc<Worker<Fake>>,
    pump: Pump<Fake, Script<IS_LOGIN>>,
    client: Pipe,
    backend: Pipe,
    log_path: PathBuf,
    _folder: tempfile::TempDir,
}

impl<const IS_LOGIN: bool> Bench<IS_LOGIN> {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log_path = folder.path().join("log");
        let file = LogFiles::default().open(&log_path).expect("a new file");
        let log = Log::new([(Level::Debug, Target::File(file))]);
        let inlet = fake::inlet(&log, false, None);
        let fake = Fake::new();
        let worker = fake::worker(&fake, &log);
        let member = worker.sessions.join();
        let mut pump =
            Pump::new(Script::new(), Rc::clone(&worker), inlet, ConnectionId { run: 0, number: 7 }, member);
        let (client, backend) = (Pipe::open(), Pipe::open());
        pump.client = Some(Leg::new(client.clone(), worker.slots.take().expect("a slot")));
        pump.backend = Some(Leg::new(backend.clone(), worker.slots.take().expect("a slot")));
        Self { fake, worker, pump, client, backend, log_path, _folder: folder }
    }

    fn poll(&mut self) -> Poll<End> {
        let mut cx = Context::from_waker(Waker::noop());
        self.pump.poll(&mut cx, &mut self.worker.scratch.borrow_mut())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log_path).expect("the log")
    }
}

#[test]
fn bytes_pass_both_ways() {
    let mut bench = Bench::<false>::new();
    bench.client.bring(b"one ");
    bench.client.bring(b"two");
    bench.backend.bring(b"three");
    assert!(bench.poll().is_pending());
    assert_eq!((bench.backend.written(), bench.client.written()), ("one two".into(), "three".into()));
}

#[test]
fn a_leg_with_a_backlog_stops_the_other_and_loses_nothing() {
    let mut bench = Bench::<false>::new();
    bench.backend.0.borrow_mut().room = 3;
    bench.client.bring(b"abcdef");
    bench.client.bring(b"ghi");
    bench.backend.bring(b"still heard");
    assert!(bench.poll().is_pending());
    assert_eq!(bench.backend.written(), "abc");
    assert_eq!(bench.client.0.borrow().reads, 1);
    assert_eq!(bench.client.written(), "still heard");
    for (room, taken) in [(0, 0), (2, 1), (0, 1), (1, 2), (100, 3)] {
        bench.backend.0.borrow_mut().room = room;
        assert!(bench.poll().is_pending());
        assert_eq!(bench.pump.engine.taken, taken);
    }
    assert_eq!(bench.backend.written(), "abcdefghi");
}

#[test]
fn a_login_is_not_read_while_its_replies_wait() {
    let mut bench = Bench::<true>::new();
    bench.client.0.borrow_mut().room = 1;
    bench.backend.bring(b"reply");
    assert!(bench.poll().is_pending());
    let reads = bench.client.0.borrow().reads;
    bench.client.bring(b"command");
    assert!(bench.poll().is_pending());
    assert_eq!(bench.client.0.borrow().reads, reads);
    bench.client.0.borrow_mut().room = 100;
    assert!(bench.poll().is_pending());
    assert_eq!((bench.client.written(), bench.backend.written()), ("reply".into(), "command".into()));
}

#[test]
fn what_a_login_read_or_wrote_is_wiped() {
    let mut bench = Bench::<true>::new();
    bench.client.bring(b"secret");
    assert!(bench.poll().is_pending());
    let scratch = bench.worker.scratch.borrow();
    assert!(scratch.input.iter().all(|byte| *byte == 0));
    assert!(scratch.output.is_empty());
}

#[test]
fn a_busy_session_lets_the_others_have_their_turn() {
    let mut bench = Bench::<false>::new();
    bench.client.0.borrow_mut().flood = Some(b"x".to_vec());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    assert!(bench.pump.poll(&mut cx, &mut bench.worker.scratch.borrow_mut()).is_pending());
    assert_eq!(wakes.count(), 1);
    let passed = bench.backend.written().len();
    assert!((1..1000).contains(&passed), "{passed}");
}

#[test]
fn failures_reach_the_engine_once_and_the_leg_is_gone() {
    let mut bench = Bench::<false>::new();
    bench.backend.0.borrow_mut().write_error = Some(32);
    bench.client.bring(b"x");
    assert!(bench.poll().is_pending());
    assert_eq!(bench.pump.engine.told, ["Backend Send(Errno(32))"]);
    assert!(bench.pump.backend.is_none());
    bench.client.0.borrow_mut().input.push_back(Err(io::Error::from_raw_os_error(104)));
    assert!(bench.poll().is_pending());
    assert_eq!(bench.pump.engine.told[1..], ["Client Receive(Errno(104))"]);
    assert!(bench.pump.client.is_none());
}

#[test]
fn two_failures_at_once_are_told_one_after_the_other() {
    let mut bench = Bench::<false>::new();
    for pipe in [&bench.client, &bench.backend] {
        pipe.0.borrow_mut().write_error = Some(32);
    }
    bench.pump.engine.echoes = true;
    bench.client.bring(b"for both");
    assert!(bench.poll().is_pending());
    let mut told = bench.pump.engine.told;
    told.sort();
    assert_eq!(told, ["Backend Send(Errno(32))", "Client Send(Errno(32))"]);
}

#[test]
fn a_failure_at_the_very_end_of_the_login_is_news_for_the_relay() {
    let mut bench = Bench::<false>::new();
    bench.client.0.borrow_mut().write_error = Some(32);
    bench.backend.bring(b"logged in");
    bench.pump.engine.actions.push_back(Action::Relay);
    assert_eq!(bench.poll(), Poll::Ready(End::Relay));
    assert!(bench.pump.engine.told.is_empty());
    let mut cx = Context::from_waker(Waker::noop());
    let now = bench.fake.now();
    let scratch = &mut *bench.worker.scratch.borrow_mut();
    assert!(bench.pump.settle(&mut cx, now, &mut scratch.output).is_continue());
    assert_eq!(bench.pump.engine.told, ["Client Send(Errno(32))"]);
}

#[test]
fn the_end_of_a_leg_is_told_once_behind_its_bytes() {
    let mut bench = Bench::<false>::new();
    bench.client.bring(b"last");
    bench.client.bring(b"");
    bench.pump.engine.at_end = vec![Action::Shutdown(Side::Backend)];
    assert!(bench.poll().is_pending());
    assert!(bench.poll().is_pending());
    assert_eq!(bench.pump.engine.told, ["Client ended"]);
    assert_eq!(bench.backend.written(), "last");
    assert!(bench.backend.0.borrow().is_shut_down && !bench.client.0.borrow().is_shut_down);
}

#[test]
fn a_half_close_waits_for_the_backlog() {
    let mut bench = Bench::<false>::new();
    bench.backend.0.borrow_mut().room = 1;
    bench.client.bring(b"last");
    bench.pump.engine.actions.push_back(Action::Shutdown(Side::Backend));
    assert!(bench.poll().is_pending());
    assert!(!bench.backend.0.borrow().is_shut_down);
    bench.backend.0.borrow_mut().room = 100;
    assert!(bench.poll().is_pending());
    assert_eq!(bench.backend.written(), "last");
    assert!(bench.backend.0.borrow().is_shut_down);
}

#[test]
fn the_deadline_moves_with_the_engine() {
    let mut bench = Bench::<false>::new();
    let now = bench.fake.now();
    bench.pump.engine.deadline = Some(now + Duration::from_secs(5));
    assert!(bench.poll().is_pending());
    bench.fake.advance(Duration::from_secs(4));
    bench.pump.engine.deadline = Some(now + Duration::from_secs(9));
    assert!(bench.poll().is_pending());
    bench.fake.advance(Duration::from_secs(4));
    assert!(bench.poll().is_pending());
    assert!(bench.pump.engine.told.is_empty());
    bench.fake.advance(Duration::from_secs(1));
    assert!(bench.poll().is_pending());
    assert_eq!(bench.pump.engine.told, ["deadline"]);
}

#[test]
fn a_refused_backend_is_told_and_slots_are_limited() {
    let mut bench = Bench::<true>::new();
    bench.pump.backend = None;
    let address = "192.0.2.1:110".parse::<SocketAddr>().expect("an address");
    bench.pump.engine.actions.push_back(Action::Connect(address.into()));
    bench.client.bring(b"x");
    assert!(bench.poll().is_pending());
    assert_eq!(bench.pump.engine.told, ["Connected(Err(Immediate(Errno(5))))"]);
    let _slots: Vec<_> = std::iter::from_fn(|| bench.worker.slots.take().ok()).collect();
    bench.pump.engine.actions.push_back(Action::Connect(address.into()));
    bench.client.bring(b"x");
    assert!(bench.poll().is_pending());
    assert_eq!(bench.pump.engine.told[1..], ["Connected(Err(NoSlots(10)))"]);
}

#[test]
fn a_phase_is_told_once() {
    let mut bench = Bench::<false>::new();
    bench.worker.sessions.enter(Phase::Draining);
    assert!(bench.poll().is_pending());
    assert!(bench.poll().is_pending());
    assert_eq!(bench.client.written(), "Draining");
}

#[test]
fn events_are_logged_with_number_and_context() {
    let mut bench = Bench::<false>::new();
    bench.pump.engine.actions.push_back(Action::Log(Event::LoggedIn, None));
    bench.client.bring(b"x");
    assert!(bench.poll().is_pending());
    let log = bench.log();
    let line = log.lines().find(|line| line.contains("[info]")).expect("the event");
    assert!(line.ends_with(" *7 client logged in, client: 192.0.2.7, server: 0.0.0.0:110"), "{log}");
}

#[test]
fn a_fault_ends_its_session_only() {
    let bench = Bench::<false>::new();
    install_hook();
    bench.worker.runtime.spawn(Task::new(bench.pump));
    assert_eq!(bench.fake.turn(), 1);
    bench.client.bring(b"panic");
    assert_eq!(bench.fake.turn(), 0);
    let log = fs::read_to_string(&bench.log_path).expect("the log");
    assert!(log.contains("[alert]"), "{log}");
    assert!(
        log.contains("*7 session ended by a fault of this program at daemon/src/drive/tests.rs:"),
        "{log}"
    );
    assert!(!log.contains("the test asked for it"), "{log}");
    // The next session finds the worker's buffers free and empty, and the slots given back.
    assert!(bench.worker.scratch.try_borrow_mut().is_ok());
    let free = std::iter::from_fn(|| bench.worker.slots.take().ok()).take(20).collect::<Vec<_>>();
    assert_eq!(free.len(), 10);
}

/// Polls until the session closes its client, and leaves it to linger.
fn close(bench: &mut Bench<false>) {
    bench.pump.engine.actions.push_back(Action::Close(Side::Client));
    bench.backend.bring(b"bye");
    assert!(bench.poll().is_pending());
}

#[test]
fn closing_waits_for_the_peer_and_discards_what_it_sends() {
    let mut bench = Bench::<false>::new();
    close(&mut bench);
    assert_eq!(bench.client.written(), "bye");
    assert!(bench.client.0.borrow().is_shut_down);
    bench.client.bring(b"more");
    assert_eq!(bench.fake.turn(), 1);
    bench.client.bring(b"");
    assert_eq!(bench.fake.turn(), 0);
}

#[test]
fn closing_ends_after_two_seconds_or_64_kib() {
    let mut bench = Bench::<false>::new();
    close(&mut bench);
    assert_eq!(bench.fake.turn(), 1);
    bench.fake.advance(Duration::from_millis(1999));
    assert_eq!(bench.fake.turn(), 1);
    bench.fake.advance(Duration::from_millis(1));
    assert_eq!(bench.fake.turn(), 0);

    let mut bench = Bench::<false>::new();
    close(&mut bench);
    bench.client.0.borrow_mut().flood = Some(vec![0; 1024]);
    assert_eq!(bench.fake.turn(), 0);
    assert!((64..70).contains(&bench.client.0.borrow().reads));
}

#[test]
fn closing_writes_the_backlog_first_within_the_timeout() {
    let mut bench = Bench::<false>::new();
    bench.client.0.borrow_mut().room = 1;
    close(&mut bench);
    assert_eq!(bench.client.written(), "b");
    bench.fake.advance(Duration::from_secs(30));
    assert_eq!(bench.fake.turn(), 1);
    bench.client.0.borrow_mut().room = 100;
    assert_eq!(bench.fake.turn(), 1);
    assert_eq!(bench.client.written(), "bye");
    assert!(bench.client.0.borrow().is_shut_down);
    bench.fake.advance(Duration::from_secs(2));
    assert_eq!(bench.fake.turn(), 0);

    let mut bench = Bench::<false>::new();
    bench.client.0.borrow_mut().room = 1;
    close(&mut bench);
    bench.fake.advance(Duration::from_secs(60));
    assert_eq!(bench.fake.turn(), 0);
}

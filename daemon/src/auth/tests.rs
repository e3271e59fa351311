mod tls;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use gatepost_protocol::action::Errno;
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::Protocol;
use gatepost_protocol::secret::Secret;

use super::*;
use crate::fake::{self, Fake, Pipe};
use crate::log::Log;
use crate::runtime::Peer;

const ACCEPTED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAuth-Status: OK\r\n\
    Auth-Server: 127.0.0.1\r\nAuth-Port: 110\r\n\r\n";

struct Bench {
    fake: Fake,
    worker: Rc<Worker<Fake>>,
    server: Rc<AuthServer>,
}

type Outcome = Result<AuthReply, AuthFailure>;

const TIMEOUT: Duration = Duration::from_secs(60);

impl Bench {
    fn new(keepalive: bool) -> Self {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        Self { fake, worker, server: Rc::clone(&fake::inlet(&Log::default(), keepalive, None).auth) }
    }

    /// With an auth server of so many addresses.
    fn with_addresses(count: u16) -> Self {
        let mut bench = Self::new(false);
        bench.server = Rc::new(AuthServer::new(&config::AuthServer {
            settings: bench.server.settings.clone(),
            addresses: (1..=count).map(in_clear).collect(),
        }));
        bench
    }

    /// The next connection leads to this server.
    fn server(&self) -> Pipe {
        let pipe = Pipe::open();
        self.fake.peers.borrow_mut().push_back(pipe.clone());
        pipe
    }

    /// The next connection fails with this error.
    fn failing(&self, errno: i32) {
        self.server().0.borrow_mut().connect_error = Some(errno);
    }

    fn ask(&self) -> Pin<Box<dyn Future<Output = Answer>>> {
        let (worker, server) = (Rc::clone(&self.worker), Rc::clone(&self.server));
        let until = self.fake.now().checked_add(TIMEOUT);
        Box::pin(async move {
            let credentials = Credentials::Plain { login: b"joe".to_vec(), password: Secret::default() };
            let request = AuthRequest {
                credentials: Arc::new(credentials),
                protocol: Protocol::Pop3,
                attempt: 1,
                client: ClientAddr::Unix,
                client_host: None,
                proxy: None,
                tls: None,
            };
            ask(&worker, &server, &request, until).await
        })
    }

    /// Asks a server that has its answer ready.
    fn ask_now(&self) -> Outcome {
        self.answer_now().outcome
    }

    fn answer_now(&self) -> Answer {
        match poll(&mut self.ask()) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("an answer was there"),
        }
    }

    fn free_slots(&self) -> usize {
        std::iter::from_fn(|| self.worker.slots.take().ok()).take(20).collect::<Vec<_>>().len()
    }
}

fn in_clear(port: u16) -> AuthAddress {
    AuthAddress { peer: Peer::Inet(([192, 0, 2, 1], port).into()), tls: None }
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(AuthReply::Accepted(_)))
}

#[test]
fn one_question_on_one_connection() {
    let bench = Bench::new(false);
    let server = bench.server();
    let mut answer = bench.ask();
    assert!(poll(&mut answer).is_pending());
    assert!(server.written().starts_with("GET / HTTP/1.0\r\n"));
    assert!(server.written().ends_with("\r\n\r\n"));
    server.bring(ACCEPTED);
    assert!(matches!(poll(&mut answer), Poll::Ready(answer) if is_accepted(&answer.outcome)));
    drop(answer);
    assert_eq!(bench.free_slots(), 10);
}

#[test]
fn a_slow_server_gets_the_request_in_pieces() {
    let bench = Bench::new(false);
    let server = bench.server();
    server.0.borrow_mut().room = 5;
    let mut answer = bench.ask();
    assert!(poll(&mut answer).is_pending());
    assert_eq!(server.written(), "GET /");
    server.0.borrow_mut().room = usize::MAX;
    server.bring(ACCEPTED);
    assert!(matches!(poll(&mut answer), Poll::Ready(answer) if is_accepted(&answer.outcome)));
    assert_eq!(server.written().matches("GET /").count(), 1);
}

#[test]
fn failures_keep_their_cause() {
    let bench = Bench::new(false);
    assert_eq!(bench.ask_now(), Err(AuthFailure::Connect(Errno(5))));
    bench.server().bring(b"");
    assert_eq!(bench.ask_now(), Err(AuthFailure::Closed));
    bench.server().0.borrow_mut().input.push_back(Err(io::Error::from_raw_os_error(104)));
    assert_eq!(bench.ask_now(), Err(AuthFailure::Receive(Errno(104))));
    bench.server().0.borrow_mut().write_error = Some(32);
    assert_eq!(bench.ask_now(), Err(AuthFailure::Send(Errno(32))));
    let _slots: Vec<_> = std::iter::from_fn(|| bench.worker.slots.take().ok()).collect();
    assert_eq!(bench.ask_now(), Err(AuthFailure::NoSlots(10)));
}

#[test]
fn a_connection_is_kept_and_used_again() {
    let bench = Bench::new(true);
    let server = bench.server();
    server.bring(&[ACCEPTED, b"OK"].concat());
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!(bench.free_slots(), 9);
    // No other server is there to be asked.
    let mut answer = bench.ask();
    assert!(poll(&mut answer).is_pending());
    server.bring(ACCEPTED);
    assert!(matches!(poll(&mut answer), Poll::Ready(answer) if is_accepted(&answer.outcome)));
    assert_eq!(server.written().matches("Auth-User: joe").count(), 2);
}

#[test]
fn the_rest_of_a_body_is_read_before_the_connection_is_kept() {
    let bench = Bench::new(true);
    let server = bench.server();
    server.bring(ACCEPTED);
    assert!(is_accepted(&bench.ask_now()));
    assert!(bench.worker.auth_pool.take(&bench.server.addresses[0].address).is_none());
    server.bring(b"OK");
    bench.fake.turn();
    assert!(bench.worker.auth_pool.take(&bench.server.addresses[0].address).is_some());
}

#[test]
fn a_body_that_does_not_come_costs_its_connection() {
    let bench = Bench::new(true);
    bench.server().bring(ACCEPTED);
    assert!(is_accepted(&bench.ask_now()));
    bench.fake.turn();
    bench.fake.advance(Duration::from_secs(1));
    bench.fake.turn();
    assert_eq!(bench.free_slots(), 10);
}

#[test]
fn a_kept_connection_that_died_is_replaced_by_a_new_one() {
    let bench = Bench::new(true);
    let old = bench.server();
    old.bring(&[ACCEPTED, b"OK"].concat());
    assert!(is_accepted(&bench.ask_now()));
    // It looks alive when it is taken, and fails when it is used.
    old.0.borrow_mut().write_error = Some(32);
    let new = bench.server();
    new.bring(ACCEPTED);
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!(new.written().matches("Auth-User: joe").count(), 1);
}

#[test]
fn a_kept_connection_that_the_server_closed_is_not_taken() {
    let bench = Bench::new(true);
    let old = bench.server();
    old.bring(&[ACCEPTED, b"OK"].concat());
    assert!(is_accepted(&bench.ask_now()));
    old.bring(b"");
    let written = old.written();
    bench.server().bring(ACCEPTED);
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!(old.written(), written);
}

#[test]
fn bytes_behind_an_answer_cost_the_connection() {
    let bench = Bench::new(true);
    let server = bench.server();
    server.bring(&[ACCEPTED, b"OK"].concat());
    server.bring(ACCEPTED);
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!(bench.free_slots(), 10);
}

#[test]
fn a_server_that_will_close_is_not_waited_for() {
    let bench = Bench::new(true);
    bench
        .server()
        .bring(b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: 1\r\n\r\n");
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!((bench.free_slots(), bench.fake.turn()), (10, 0));
}

#[test]
fn one_task_sweeps_however_often_the_pool_runs_dry() {
    let bench = Bench::new(true);
    let server = bench.server();
    for _ in 0..5 {
        let mut answer = bench.ask();
        assert!(poll(&mut answer).is_pending());
        server.bring(&[ACCEPTED, b"OK"].concat());
        assert!(matches!(poll(&mut answer), Poll::Ready(answer) if is_accepted(&answer.outcome)));
    }
    assert_eq!(bench.fake.turn(), 1);
}

#[test]
fn idle_connections_are_swept() {
    let bench = Bench::new(true);
    bench.server().bring(&[ACCEPTED, b"OK"].concat());
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!(bench.fake.turn(), 1);
    for _ in 0..11 {
        bench.fake.advance(Duration::from_secs(5));
        assert_eq!(bench.fake.turn(), 1);
    }
    assert_eq!(bench.free_slots(), 9);
    for _ in 0..2 {
        bench.fake.advance(Duration::from_secs(5));
        bench.fake.turn();
    }
    assert_eq!(bench.free_slots(), 10);
}

fn failures(answer: &Answer) -> Vec<(usize, AuthFailure)> {
    let passed_over = answer.passed_over.iter();
    passed_over.map(|PassedOver { address, failure, .. }| (*address, failure.clone())).collect()
}

#[test]
fn an_address_that_fails_is_passed_over_and_tried_last_for_a_while() {
    let bench = Bench::with_addresses(2);
    bench.failing(111);
    bench.server().bring(ACCEPTED);
    let answer = bench.answer_now();
    assert_eq!(failures(&answer), [(0, AuthFailure::Connect(Errno(111)))]);
    assert!(is_accepted(&answer.outcome) && answer.address == 1);
    bench.server().bring(ACCEPTED);
    let answer = bench.answer_now();
    assert!(answer.passed_over.is_empty() && answer.address == 1, "{answer:?}");
    bench.fake.advance(Duration::from_secs(10));
    bench.server().bring(ACCEPTED);
    assert_eq!(bench.answer_now().address, 0);
}

#[test]
fn when_all_addresses_fail_the_outcome_is_the_last_failure() {
    let bench = Bench::with_addresses(3);
    bench.failing(111);
    bench.server().bring(b"");
    bench.failing(113);
    let answer = bench.answer_now();
    assert_eq!(failures(&answer), [(0, AuthFailure::Connect(Errno(111))), (1, AuthFailure::Closed)]);
    assert_eq!((answer.address, answer.outcome), (2, Err(AuthFailure::Connect(Errno(113)))));
    assert_eq!(bench.free_slots(), 10);
}

#[test]
fn connecting_takes_no_more_than_its_share() {
    let bench = Bench::with_addresses(2);
    let dark = bench.server();
    dark.0.borrow_mut().is_connecting = true;
    let next = bench.server();
    let mut answer = bench.ask();
    assert!(poll(&mut answer).is_pending());
    bench.fake.advance(TIMEOUT / 2 - Duration::from_secs(1));
    assert!(poll(&mut answer).is_pending() && next.written().is_empty());
    bench.fake.advance(Duration::from_secs(1));
    assert!(poll(&mut answer).is_pending() && next.written().starts_with("GET / "));
    next.bring(ACCEPTED);
    let Poll::Ready(answer) = poll(&mut answer) else { panic!("an answer was there") };
    assert_eq!(failures(&answer), [(0, AuthFailure::ConnectTimedOut)]);
    assert!(is_accepted(&answer.outcome));
    // Each has its own time.
    assert_eq!((answer.passed_over[0].time, answer.time), (TIMEOUT / 2, Duration::ZERO));
}

#[test]
fn a_server_that_thinks_is_not_asked_twice() {
    let bench = Bench::with_addresses(2);
    let (silent, other) = (bench.server(), bench.server());
    let mut answer = bench.ask();
    assert!(poll(&mut answer).is_pending());
    bench.fake.advance(TIMEOUT - Duration::from_secs(1));
    assert!(poll(&mut answer).is_pending());
    bench.fake.advance(Duration::from_secs(1));
    let Poll::Ready(answer) = poll(&mut answer) else { panic!("the time is up") };
    assert_eq!((answer.address, answer.outcome), (0, Err(AuthFailure::TimedOut)));
    assert!(answer.passed_over.is_empty() && other.written().is_empty());
    assert!(silent.written().ends_with("\r\n\r\n"));
    // The next question goes to the other one first.
    other.bring(ACCEPTED);
    assert_eq!(bench.answer_now().address, 1);
}

#[test]
fn a_silent_server_that_nobody_waits_for_any_more_is_tried_last() {
    let leave_after = |seconds, beginning: &[u8]| {
        let bench = Bench::with_addresses(2);
        let server = bench.server();
        if !beginning.is_empty() {
            server.bring(beginning);
        }
        let mut answer = bench.ask();
        assert!(poll(&mut answer).is_pending());
        bench.fake.advance(Duration::from_secs(seconds));
        drop(answer);
        bench.server().bring(ACCEPTED);
        bench.answer_now().address
    };
    assert_eq!(leave_after(4, b""), 0, "who is impatient says nothing of the server");
    assert_eq!(leave_after(5, b""), 1);
    assert_eq!(leave_after(5, b"HTTP/1.0 "), 0, "it is slow, but there");
}

#[test]
fn a_server_that_sends_without_end_holds_up_nobody() {
    let bench = Bench::new(true);
    let server = bench.server();
    server.bring(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nAuth-Status: OK\r\n\
        Auth-Server: 127.0.0.1\r\nAuth-Port: 110\r\n\r\n",
    );
    server.0.borrow_mut().flood = Some(b"1\r\nx\r\n".to_vec());
    assert!(is_accepted(&bench.ask_now()));
    assert_eq!(bench.fake.turn(), 1, "the rest of the body is still being read");
    bench.fake.advance(Duration::from_secs(1));
    assert_eq!((bench.fake.turn(), bench.free_slots()), (0, 10));
}

#[test]
fn an_idle_connection_makes_room_where_slots_are_needed() {
    let bench = Bench::new(true);
    bench.server().bring(&[ACCEPTED, b"OK"].concat());
    assert!(is_accepted(&bench.ask_now()));
    let slots: Vec<_> = std::iter::from_fn(|| bench.worker.slots.take().ok()).collect();
    assert_eq!(slots.len(), 9);
    let last = bench.worker.take_slot().expect("the idle one's");
    assert_eq!(bench.worker.take_slot().expect_err("none is left"), 10);
    drop((slots, last));
    assert!(bench.worker.auth_pool.take(&bench.server.addresses[0].address).is_none());
}

#[test]
fn want_of_a_slot_says_nothing_of_the_server() {
    let bench = Bench::with_addresses(2);
    bench.failing(111);
    bench.server().bring(ACCEPTED);
    assert_eq!(bench.answer_now().address, 1);
    let slots: Vec<_> = std::iter::from_fn(|| bench.worker.slots.take().ok()).collect();
    for address in [1, 1] {
        let answer = bench.answer_now();
        assert_eq!((answer.address, answer.outcome), (address, Err(AuthFailure::NoSlots(10))));
    }
    drop(slots);
    bench.server().bring(ACCEPTED);
    assert_eq!(bench.answer_now().address, 1);
}

#[test]
fn an_answer_that_breaks_off_is_not_asked_for_elsewhere() {
    let bench = Bench::with_addresses(2);
    let server = bench.server();
    server.bring(b"HTTP/1.0 ");
    server.bring(b"");
    let other = bench.server();
    let answer = bench.answer_now();
    assert_eq!((answer.address, answer.outcome), (0, Err(AuthFailure::Closed)));
    assert!(other.written().is_empty());
}

#[test]
fn a_timeout_tells_what_it_interrupted() {
    let connecting = Pipe::open();
    connecting.0.borrow_mut().is_connecting = true;
    let sending = Pipe::default();
    for (pipe, failure) in [
        (connecting, AuthFailure::ConnectTimedOut),
        (sending, AuthFailure::SendTimedOut),
        (Pipe::open(), AuthFailure::TimedOut),
    ] {
        let bench = Bench::new(false);
        bench.fake.peers.borrow_mut().push_back(pipe);
        let mut answer = bench.ask();
        assert!(poll(&mut answer).is_pending());
        bench.fake.advance(TIMEOUT);
        let Poll::Ready(answer) = poll(&mut answer) else { panic!("the time is up") };
        assert_eq!(answer.outcome, Err(failure));
    }
}

#[test]
fn with_one_address_a_refused_connection_is_a_failed_read() {
    let bench = Bench::new(false);
    bench.failing(111);
    assert_eq!(bench.ask_now(), Err(AuthFailure::Refused(Errno(111))));
}

#[test]
fn no_other_address_is_tried_for_want_of_a_slot() {
    let bench = Bench::with_addresses(2);
    let _slots: Vec<_> = std::iter::from_fn(|| bench.worker.slots.take().ok()).collect();
    let answer = bench.answer_now();
    assert_eq!((answer.address, answer.outcome), (0, Err(AuthFailure::NoSlots(10))));
    assert!(answer.passed_over.is_empty());
}

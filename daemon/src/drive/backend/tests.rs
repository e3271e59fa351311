use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gatepost_protocol::action::Errno;
use gatepost_protocol::address::Origin;
use gatepost_protocol::config::{ProxyProtocol, Server};
use gatepost_protocol::dns;

use super::*;
use crate::config::{Config, Memory, Report};
use crate::fake::{self, Fake, Pipe};
use crate::log::Log;
use crate::resolver::Resolver;

const LISTENS: &str = "events {} mail { auth_http 192.0.2.9; server { listen 127.0.0.1:110; } }";

fn name_server() -> Rc<Resolver> {
    let settings = dns::Settings { servers: NonZeroUsize::MIN, ipv4: true, ipv6: false, valid: None };
    Rc::new(Resolver::new(vec!["192.0.2.53:53".parse().expect("an address")], settings))
}

/// A client at a listener of the proxy, which is about to be sent somewhere.
struct Bench {
    fake: Fake,
    worker: Rc<Worker<Fake>>,
    inlet: Rc<Inlet>,
}

impl Bench {
    fn new() -> Self {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        let mut inlet = fake::inlet(&Log::default(), false, Some(name_server()));
        let config =
            Config::parse(LISTENS, Memory::default(), &mut Report::default()).expect("a configuration");
        Rc::get_mut(&mut inlet).expect("nobody else has it").binds = config.binds.into();
        Self { fake, worker, inlet }
    }

    /// What is connected next is this.
    fn peer(&self) -> Pipe {
        let pipe = Pipe::open();
        self.fake.peers.borrow_mut().push_back(pipe.clone());
        pipe
    }

    /// A name server that gives these addresses to the next query.
    fn named(&self, last_octets: &[u8]) -> impl Fn() {
        let (server, records) = (self.peer(), last_octets.to_vec());
        move || {
            let query = server.0.borrow().written.clone();
            let mut message = query.clone();
            message[2] |= 0x80;
            message[7] = u8::try_from(records.len()).expect("few records");
            message.truncate(12 + query[12..].iter().position(|byte| *byte == 0).expect("a name") + 5);
            message[8..12].fill(0);
            for last in &records {
                message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, *last]);
            }
            server.bring(&message);
        }
    }

    fn connect(&self, target: Target) -> impl Future<Output = Connected<Pipe>> {
        let now = self.worker.runtime.now();
        async move { connect(&self.worker, &self.inlet, target, ClientAddr::Unix, now).await }
    }
}

fn name() -> Target {
    Target::Name { host: "mx.example".into(), port: 110 }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn the_addresses_of_a_name_are_tried_in_turn() {
    let bench = Bench::new();
    let answer = bench.named(&[1, 2, 3]);
    let mut connecting = pin!(bench.connect(name()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    answer();
    for errno in [111, 113] {
        bench.peer().0.borrow_mut().connect_error = Some(errno);
    }
    let third = bench.peer();
    let Poll::Ready(connected) = connecting.as_mut().poll(&mut cx) else { panic!("all is known") };
    let mut leg = connected.outcome.unwrap_or_else(|failure| panic!("{failure:?}"));
    let passed_over: Vec<_> = connected.passed_over;
    let ConnectFailure::AddressFailed(first, Errno(111)) = passed_over[0] else { panic!("{passed_over:?}") };
    let ConnectFailure::AddressFailed(second, Errno(113)) = passed_over[1] else { panic!("{passed_over:?}") };
    assert!(first != second && passed_over.len() == 2);
    leg.write(&mut cx, b"x").expect("an open pipe");
    assert_eq!(third.written(), "x");
}

#[test]
fn an_address_that_does_not_answer_leaves_time_for_the_next() {
    let bench = Bench::new();
    let answer = bench.named(&[1, 2]);
    let mut connecting = pin!(bench.connect(name()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    answer();
    bench.peer().0.borrow_mut().is_connecting = true;
    let _second = bench.peer();
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    bench.fake.advance(Duration::from_secs(30));
    let Poll::Ready(connected) = connecting.as_mut().poll(&mut cx) else { panic!("the second is there") };
    assert!(matches!(connected.passed_over[..], [ConnectFailure::AddressTimedOut(_)]));
    assert!(connected.outcome.is_ok());
}

#[test]
fn a_name_without_addresses_is_a_failure() {
    let bench = Bench::new();
    let answer = bench.named(&[]);
    let mut connecting = pin!(bench.connect(name()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    answer();
    let Poll::Ready(connected) = connecting.as_mut().poll(&mut cx) else { panic!("all is known") };
    assert_eq!(connected.outcome.err(), Some(ConnectFailure::Unresolved(DnsError::NotFound)));
}

#[test]
fn the_last_address_that_failed_is_the_outcome() {
    let bench = Bench::new();
    let answer = bench.named(&[1]);
    let mut connecting = pin!(bench.connect(name()));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    answer();
    bench.peer().0.borrow_mut().connect_error = Some(111);
    let Poll::Ready(connected) = connecting.as_mut().poll(&mut cx) else { panic!("all is known") };
    let failure = ConnectFailure::AddressFailed(address("192.0.2.1:110"), Errno(111));
    assert_eq!(connected.outcome.err(), Some(failure));
    assert!(connected.passed_over.is_empty());
}

#[test]
fn the_proxy_does_not_connect_to_itself() {
    let bench = Bench::new();
    let own = address("127.0.0.1:110");
    let mut connecting = pin!(bench.connect(own.into()));
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(connected) = connecting.as_mut().poll(&mut cx) else { panic!("nothing to wait for") };
    assert_eq!(connected.outcome.err(), Some(ConnectFailure::OwnAddress(own)));
    // Another port of the same machine is somebody else's.
    let _peer = bench.peer();
    let mut connecting = pin!(bench.connect(address("127.0.0.1:1110").into()));
    assert!(matches!(connecting.as_mut().poll(&mut cx), Poll::Ready(Connected { outcome: Ok(_), .. })));
}

#[test]
fn a_proxy_header_that_is_not_taken_at_once_waits() {
    let mut bench = Bench::new();
    let inlet = Rc::get_mut(&mut bench.inlet).expect("nobody else has it");
    inlet.listener.server = Arc::new(Server { proxy_protocol: ProxyProtocol::V1, ..fake::server() });
    let (client, auth, backend) = (Pipe::open(), bench.peer(), bench.peer());
    backend.0.borrow_mut().room = 20;
    client.bring(b"USER joe\r\nPASS secret\r\n");
    let slot = bench.worker.slots.take().expect("a slot");
    let inet = |text| ClientAddr::Inet(address(text));
    let (peer, local) = (inet("192.0.2.7:99"), inet("192.0.2.8:110"));
    let origin = Origin { peer, local, unix_time: 0, entropy: [0; 16] };
    super::super::start(&bench.worker, Rc::clone(&bench.inlet), client.clone(), &origin, slot);
    auth.bring(b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 192.0.2.1\r\nAuth-Port: 110\r\n\r\n");
    assert_eq!((bench.fake.turn(), bench.fake.turn()), (1, 1));
    assert_eq!(backend.written(), "PROXY TCP4 192.0.2.7");
    backend.0.borrow_mut().room = usize::MAX;
    // What a backend says before it has the header waits, too, until it has it.
    backend.bring(b"+OK ready\r\n");
    assert_eq!((bench.fake.turn(), bench.fake.turn()), (1, 1));
    assert_eq!(backend.written(), "PROXY TCP4 192.0.2.7 192.0.2.8 99 110\r\nUSER joe\r\n");
    for _ in 0..2 {
        backend.bring(b"+OK\r\n");
        assert_eq!(bench.fake.turn(), 1);
    }
    assert!(client.written().ends_with("+OK\r\n+OK\r\n"), "{}", client.written());
}

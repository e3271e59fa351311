//! Looking up the name of an SMTP client and the addresses of a backend: sockets for the lookups of `gatepost_protocol::dns`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use gatepost_protocol::action::{DnsError, LookupFailure};
use gatepost_protocol::dns::{self, Goal, Lookup, Next, Query, Transport};

use crate::deadline::Deadline;
use crate::inlet::Inlet;
use crate::runtime::{Peer, Runtime, Stream};
use crate::slots::Slot;
use crate::worker::{Worker, yield_now};

/// Bytes of the largest datagram that a name server sends without being asked for more.
const READ_SIZE: usize = 4096;

/// `resolver`: the name servers, and what this worker remembers of their answers.
#[derive(Debug)]
pub(crate) struct Resolver {
    servers: Vec<SocketAddr>,
    memory: RefCell<dns::Resolver>,
}

impl Resolver {
    /// `servers` are as many as `settings` says.
    pub(crate) fn new(servers: Vec<SocketAddr>, settings: dns::Settings) -> Self {
        Self { servers, memory: RefCell::new(dns::Resolver::new(settings)) }
    }
}

/// The confirmed name of a client. Dropping the future cancels the lookup.
pub(crate) async fn client_name<R: Runtime>(
    worker: &Worker<R>,
    inlet: &Inlet,
    client: IpAddr,
) -> Result<Box<str>, LookupFailure> {
    let Some(resolver) = &inlet.resolver else {
        return Err(LookupFailure::Address(DnsError::NotFound));
    };
    let timeout = inlet.listener.server.resolver_timeout;
    let now = worker.runtime.now();
    let lookup = resolver.memory.borrow_mut().lookup(client, timeout, worker.entropy(), now);
    run(worker, resolver, lookup).await
}

/// All addresses of a name, one or more. Dropping the future cancels the lookup.
pub(crate) async fn addresses<R: Runtime>(
    worker: &Worker<R>,
    inlet: &Inlet,
    name: &str,
) -> Result<Vec<IpAddr>, DnsError> {
    let resolver = inlet.resolver.as_ref().ok_or(DnsError::NotFound)?;
    let timeout = inlet.listener.server.resolver_timeout;
    let now = worker.runtime.now();
    let lookup = resolver.memory.borrow_mut().addresses(name, timeout, worker.entropy(), now);
    run(worker, resolver, lookup).await
}

async fn run<R: Runtime, G: Goal>(
    worker: &Worker<R>,
    resolver: &Resolver,
    mut lookup: Lookup<G>,
) -> G::Outcome {
    let mut conversation = None;
    let mut deadline = Deadline::new(&worker.deadlines);
    // The deadline before which something was read that was no answer yet.
    let mut read_in_vain = None;
    loop {
        match lookup.poll() {
            Next::Done(outcome) => return outcome,
            Next::Ask(query) => {
                // Without a socket there is no answer, and the deadline moves on to the next server.
                conversation = Conversation::open(worker, &resolver.servers, query).ok();
                read_in_vain = None;
            }
            Next::Wait(until) if read_in_vain == Some(until) => {
                // Whoever floods the socket holds up neither other sessions nor the deadline.
                yield_now().await;
                read_in_vain = None;
                let now = worker.runtime.now();
                if now >= until {
                    lookup.handle_deadline(&mut resolver.memory.borrow_mut(), now);
                }
            }
            Next::Wait(until) => {
                let mut buffer = [0; READ_SIZE];
                let heard = poll_fn(|cx| {
                    let now = worker.runtime.now();
                    if let Some(conversation) = &mut conversation
                        && let Poll::Ready(result) = conversation.poll(cx, &mut buffer)
                    {
                        return Poll::Ready(Heard::Read(result));
                    }
                    deadline.poll(Some(until), now, cx).map(|()| Heard::Deadline(now))
                })
                .await;
                let now = worker.runtime.now();
                let memory = &mut *resolver.memory.borrow_mut();
                match heard {
                    Heard::Read(Err(_)) => {
                        conversation = None;
                        lookup.handle_failure(memory, now);
                    }
                    Heard::Read(Ok(count)) => {
                        lookup.handle_input(&buffer[..count], memory, now);
                        read_in_vain = Some(until);
                    }
                    Heard::Deadline(now) => lookup.handle_deadline(memory, now),
                }
            }
        }
    }
}

enum Heard {
    Read(io::Result<usize>),
    Deadline(Instant),
}

/// One query on a socket of its own.
struct Conversation<S> {
    stream: S,
    query: Vec<u8>,
    sent: usize,
    is_connected: bool,
    is_stream: bool,
    _slot: Slot,
}

impl<S: Stream> Conversation<S> {
    fn open<R: Runtime<Stream = S>>(
        worker: &Worker<R>,
        servers: &[SocketAddr],
        query: Query,
    ) -> io::Result<Self> {
        let slot = worker.take_slot().map_err(|_| io::ErrorKind::QuotaExceeded)?;
        let server = *servers.get(query.server).ok_or(io::ErrorKind::NotFound)?;
        let is_stream = query.transport == Transport::Tcp;
        let stream = if is_stream {
            worker.runtime.connect(&Peer::Inet(server))?
        } else {
            worker.runtime.datagram(server)?
        };
        Ok(Self { stream, query: query.bytes, sent: 0, is_connected: !is_stream, is_stream, _slot: slot })
    }

    /// Connects, asks, and reads a piece of the answer.
    fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.is_connected {
            ready!(self.stream.poll_connected(cx))?;
            self.is_connected = true;
        }
        while self.sent < self.query.len() {
            self.sent += ready!(self.stream.poll_write(cx, &self.query[self.sent..]))?;
        }
        match ready!(self.stream.poll_read(cx, buffer)) {
            Ok(0) if self.is_stream => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            // An empty datagram is no answer, and no end.
            result => Poll::Ready(result),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::fake::{self, Fake, Pipe};
    use crate::log::Log;

    /// The answer to a query: the question again, and one record with these data.
    fn answer(query: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2] |= 0x80;
        message[7] = 1;
        // Whatever stood behind the question (EDNS) is left out.
        let name_end = 12 + query[12..].iter().position(|byte| *byte == 0).expect("a name") + 1;
        message.truncate(name_end + 4);
        message[8..12].fill(0);
        message.extend([0xC0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
        message.push(u8::try_from(data.len()).expect("short data"));
        message.extend_from_slice(data);
        message
    }

    fn name_server(fake: &Fake) -> Pipe {
        let pipe = Pipe::open();
        fake.peers.borrow_mut().push_back(pipe.clone());
        pipe
    }

    fn query(server: &Pipe) -> Vec<u8> {
        server.0.borrow().written.clone()
    }

    /// A listener whose clients' names are asked of one server.
    fn inlet() -> Rc<Inlet> {
        let settings = dns::Settings { servers: NonZeroUsize::MIN, ipv4: true, ipv6: false, valid: None };
        let resolver = Resolver::new(vec!["192.0.2.53:53".parse().expect("an address")], settings);
        fake::inlet(&Log::default(), false, Some(Rc::new(resolver)))
    }

    #[test]
    fn a_name_is_looked_up_and_confirmed_each_on_its_own_socket() {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        let inlet = inlet();
        let servers = [name_server(&fake), name_server(&fake)];
        let mut lookup = pin!(client_name(&worker, &inlet, "192.0.2.7".parse().expect("an address")));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(lookup.as_mut().poll(&mut cx).is_pending());
        servers[0].bring(&answer(&query(&servers[0]), 12, b"\x02Mx\x07example\0"));
        assert!(lookup.as_mut().poll(&mut cx).is_pending());
        let free = std::iter::from_fn(|| worker.slots.take().ok()).take(20).collect::<Vec<_>>();
        assert_eq!(free.len(), 9, "one socket at a time");
        drop(free);
        servers[1].bring(&answer(&query(&servers[1]), 1, &[192, 0, 2, 7]));
        assert_eq!(lookup.as_mut().poll(&mut cx), Poll::Ready(Ok("mx.example".into())));
    }

    #[test]
    fn without_a_free_slot_nobody_is_asked() {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        let inlet = inlet();
        let server = name_server(&fake);
        let _slots: Vec<_> = std::iter::from_fn(|| worker.slots.take().ok()).collect();
        let mut lookup = pin!(client_name(&worker, &inlet, "192.0.2.7".parse().expect("an address")));
        assert!(lookup.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(query(&server).is_empty());
    }

    #[test]
    fn silence_ends_with_the_timeout() {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        let inlet = inlet();
        let _silent = name_server(&fake);
        let mut lookup = pin!(client_name(&worker, &inlet, "192.0.2.7".parse().expect("an address")));
        let mut cx = Context::from_waker(Waker::noop());
        let mut steps = 0;
        let outcome = loop {
            match lookup.as_mut().poll(&mut cx) {
                Poll::Ready(outcome) => break outcome,
                Poll::Pending => fake.advance(Duration::from_secs(1)),
            }
            steps += 1;
            assert!(steps < 100, "the lookup must end");
        };
        assert_eq!(outcome, Err(LookupFailure::Address(DnsError::TimedOut)));
        assert_eq!(steps, 30);
    }

    #[test]
    fn an_empty_datagram_is_no_answer() {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        let inlet = inlet();
        let servers = [name_server(&fake), name_server(&fake)];
        let mut lookup = pin!(client_name(&worker, &inlet, "192.0.2.7".parse().expect("an address")));
        let mut cx = Context::from_waker(Waker::noop());
        servers[0].bring(b"");
        assert!(lookup.as_mut().poll(&mut cx).is_pending());
        servers[0].bring(&answer(&query(&servers[0]), 12, b"\x02Mx\x07example\0"));
        assert!(lookup.as_mut().poll(&mut cx).is_pending());
        servers[1].bring(&answer(&query(&servers[1]), 1, &[192, 0, 2, 7]));
        assert_eq!(lookup.as_mut().poll(&mut cx), Poll::Ready(Ok("mx.example".into())));
    }

    #[test]
    fn a_flood_of_what_is_no_answer_holds_up_nobody() {
        let fake = Fake::new();
        let worker = fake::worker(&fake, &Log::default());
        let inlet = inlet();
        let flooding = name_server(&fake);
        flooding.0.borrow_mut().flood = Some(b"no answer".to_vec());
        let mut lookup = pin!(client_name(&worker, &inlet, "192.0.2.7".parse().expect("an address")));
        let mut cx = Context::from_waker(Waker::noop());
        for reads in 1..=10 {
            assert!(lookup.as_mut().poll(&mut cx).is_pending());
            assert_eq!(flooding.0.borrow().reads, reads, "others have their turn after each");
        }
        let mut seconds = 0;
        while lookup.as_mut().poll(&mut cx).is_pending() {
            fake.advance(Duration::from_secs(1));
            seconds += 1;
            assert!(seconds < 100, "the lookup must end");
        }
    }
}

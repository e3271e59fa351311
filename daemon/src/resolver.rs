//! Looking up the name of an SMTP client: sockets for the lookups of `gatepost_protocol::dns`.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use gatepost_protocol::action::{DnsError, LookupFailure};
use gatepost_protocol::dns::{self, Next, Query, Transport};

use crate::deadline::Deadline;
use crate::inlet::Inlet;
use crate::runtime::{Peer, Runtime, Stream};
use crate::worker::Worker;

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
    let mut lookup = resolver.memory.borrow_mut().lookup(client, timeout, worker.entropy(), now);
    let mut conversation = None;
    let mut deadline = Deadline::new(&worker.deadlines);
    loop {
        match lookup.poll() {
            Next::Done(outcome) => return outcome,
            Next::Ask(query) => {
                // Without a socket there is no answer, and the deadline moves on to the next server.
                conversation = Conversation::open(worker, &resolver.servers, query).ok();
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
                    Heard::Read(Ok(0) | Err(_)) => {
                        conversation = None;
                        lookup.handle_failure(memory, now);
                    }
                    Heard::Read(Ok(count)) => lookup.handle_input(&buffer[..count], memory, now),
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
}

impl<S: Stream> Conversation<S> {
    fn open<R: Runtime<Stream = S>>(
        worker: &Worker<R>,
        servers: &[SocketAddr],
        query: Query,
    ) -> io::Result<Self> {
        let server = *servers.get(query.server).ok_or(io::ErrorKind::NotFound)?;
        let (stream, is_connected) = match query.transport {
            Transport::Udp => (worker.runtime.datagram(server)?, true),
            Transport::Tcp => (worker.runtime.connect(&Peer::Inet(server))?, false),
        };
        Ok(Self { stream, query: query.bytes, sent: 0, is_connected })
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
        self.stream.poll_read(cx, buffer)
    }
}

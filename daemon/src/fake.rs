//! A runtime for unit tests: streams in memory, a clock that is moved by hand, tasks that run when told to.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use gatepost_protocol::config::{Listener, Mail, ProxyProtocol, Server, StartTls};
use gatepost_protocol::pop3;
use gatepost_protocol::sasl::Mechanisms;

use crate::auth::AuthServer;
use crate::config;
use crate::inlet::Inlet;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::resolver::Resolver;
use crate::runtime::{Peer, Runtime, Stream, Timer};
use crate::slots::Slots;
use crate::worker::Worker;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The runtime; clones share everything.
#[derive(Clone)]
pub(crate) struct Fake {
    start: Instant,
    passed: Rc<Cell<Duration>>,
    tasks: Rc<RefCell<Vec<Task>>>,
    /// What connecting leads to, in order; nothing left: an error.
    pub(crate) peers: Rc<RefCell<VecDeque<Pipe>>>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        Self { start: crate::sys::now(), passed: Rc::default(), tasks: Rc::default(), peers: Rc::default() }
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.passed.set(self.passed.get() + time);
    }

    /// Polls every task once; those that end are dropped. How many are left.
    pub(crate) fn turn(&self) -> usize {
        let tasks = self.tasks.take();
        let mut cx = Context::from_waker(Waker::noop());
        let mut left: Vec<_> = tasks
            .into_iter()
            .filter_map(|mut task| match task.as_mut().poll(&mut cx) {
                Poll::Ready(()) => None,
                Poll::Pending => Some(task),
            })
            .collect();
        let mut tasks = self.tasks.borrow_mut();
        left.append(&mut tasks);
        *tasks = left;
        tasks.len()
    }
}

impl Runtime for Fake {
    type Stream = Pipe;
    type Timer = Never;

    fn connect(&self, _peer: &Peer) -> io::Result<Pipe> {
        self.peers.borrow_mut().pop_front().ok_or_else(|| io::ErrorKind::ConnectionRefused.into())
    }

    fn datagram(&self, server: SocketAddr) -> io::Result<Pipe> {
        self.connect(&Peer::Inet(server))
    }

    fn timer(&self) -> Never {
        Never
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut().push(Box::pin(task));
    }

    fn now(&self) -> Instant {
        self.start + self.passed.get()
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.passed.get()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

/// A stream whose peer is the test. Clones are the same stream.
#[derive(Clone, Default)]
pub(crate) struct Pipe(pub(crate) Rc<RefCell<PipeState>>);

#[derive(Default)]
pub(crate) struct PipeState {
    /// What reads bring, one element each; an empty one is the end.
    pub(crate) input: VecDeque<io::Result<Vec<u8>>>,
    /// Repeated for ever once `input` is empty.
    pub(crate) flood: Option<Vec<u8>>,
    pub(crate) written: Vec<u8>,
    /// How many bytes more are taken.
    pub(crate) room: usize,
    pub(crate) write_error: Option<i32>,
    /// The connection is still being made.
    pub(crate) is_connecting: bool,
    pub(crate) connect_error: Option<i32>,
    pub(crate) is_shut_down: bool,
    pub(crate) reads: usize,
}

impl Pipe {
    /// A pipe that takes whatever is written.
    pub(crate) fn open() -> Self {
        let pipe = Self::default();
        pipe.0.borrow_mut().room = usize::MAX;
        pipe
    }

    pub(crate) fn bring(&self, bytes: &[u8]) {
        self.0.borrow_mut().input.push_back(Ok(bytes.to_vec()));
    }

    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.0.borrow().written).into_owned()
    }
}

impl Stream for Pipe {
    fn poll_connected(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.0.borrow();
        match state.connect_error {
            Some(errno) => Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
            None if state.is_connecting => Poll::Pending,
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_read(&mut self, _cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        state.reads += 1;
        let next = state.input.pop_front().or_else(|| state.flood.clone().map(Ok));
        match next {
            None => Poll::Pending,
            Some(Err(error)) => Poll::Ready(Err(error)),
            Some(Ok(mut bytes)) => {
                let count = bytes.len().min(buffer.len());
                buffer[..count].copy_from_slice(&bytes[..count]);
                if count < bytes.len() {
                    state.input.push_front(Ok(bytes.split_off(count)));
                }
                Poll::Ready(Ok(count))
            }
        }
    }

    fn poll_write(&mut self, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.borrow_mut();
        if let Some(errno) = state.write_error {
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        let count = bytes.len().min(state.room);
        if count == 0 {
            return Poll::Pending;
        }
        state.room -= count;
        state.written.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.0.borrow_mut().is_shut_down = true;
        Ok(())
    }
}

/// No test waits for it.
pub(crate) struct Never;

impl Timer for Never {
    fn set(&mut self, _at: Instant) {}

    fn poll_expired(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// Counts how often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The settings of a POP3 server with nothing special.
pub(crate) fn server() -> Server {
    Server {
        mail: Mail::Pop3(pop3::Settings::new(StartTls::Off, &[""; 0], Mechanisms::default(), false)),
        name: "mx".into(),
        timeout: Duration::from_secs(60),
        auth_timeout: Duration::from_secs(60),
        proxy_timeout: Duration::from_secs(60),
        resolver_timeout: Duration::from_secs(30),
        resolve: false,
        max_errors: 5,
        client_buffer: 4096,
        proxy_buffer: 4096,
        starttls: StartTls::Off,
        tls: None,
        pass_error_message: false,
        proxy_protocol: ProxyProtocol::Off,
        verify_client: None,
        auth_failure: false,
        session_log: false,
        proxy_ssl: gatepost_protocol::config::BackendTls::default(),
        real_ip_from: Vec::new(),
    }
}

/// A listener of that server, asking an auth server that may keep its connections.
pub(crate) fn inlet(log: &Log, keepalive: bool, resolver: Option<Rc<Resolver>>) -> Rc<Inlet> {
    let settings = gatepost_auth_client::Settings::new("localhost", "/").expect("settings");
    Rc::new(Inlet {
        listener: Listener { server: Arc::new(server()), ssl: false, proxy_protocol: false },
        listen: "0.0.0.0:110".into(),
        auth: Rc::new(AuthServer::new(&config::AuthServer {
            settings: settings.with_keepalive(keepalive),
            addresses: vec![config::AuthAddress { peer: Peer::Unix("/auth".into()), tls: None }],
        })),
        binds: Rc::new([]),
        resolver,
        log: log.clone(),
    })
}

/// A worker with ten slots.
pub(crate) fn worker(fake: &Fake, log: &Log) -> Rc<Worker<Fake>> {
    Worker::new(fake.clone(), Slots::new(10, 0), log.clone(), [].into(), Metrics::new(0).expect("memory"))
}

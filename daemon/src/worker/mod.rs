//! A worker: one thread, one runtime, and the sessions on it.

mod accept;
mod exposition;
mod serve;
mod service;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use gatepost_protocol::action::Output;
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::config::Network;
use gatepost_protocol::event::Level;

pub use self::serve::Assignment;
pub use self::service::Service;
use crate::auth;
use crate::deadline::{Deadline, Deadlines};
use crate::log::{ConnectionId, Log};
use crate::metrics::Metrics;
use crate::runtime::Runtime;
use crate::sessions::Sessions;
use crate::slots::{Slot, Slots};

/// Bytes that one read may bring.
const READ_SIZE: usize = 64 * 1024;

/// What all sessions of a worker share.
pub(crate) struct Worker<R: Runtime> {
    pub(crate) runtime: R,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) slots: Rc<Slots>,
    pub(crate) sessions: Rc<Sessions>,
    pub(crate) auth_pool: auth::Pool<R::Stream>,
    pub(crate) scratch: RefCell<Scratch>,
    /// The main log, for what is not one mail server's.
    pub(crate) log: RefCell<Log>,
    debug_connections: RefCell<Rc<[Network]>>,
    pub(crate) metrics: Metrics,
}

/// The buffers that sessions borrow for one poll each.
pub(crate) struct Scratch {
    pub(crate) input: Box<[u8]>,
    pub(crate) output: Output,
}

impl<R: Runtime> Worker<R> {
    pub(crate) fn new(
        runtime: R,
        slots: Rc<Slots>,
        log: Log,
        debug_connections: Rc<[Network]>,
        metrics: Metrics,
    ) -> Rc<Self> {
        Rc::new(Self {
            runtime,
            deadlines: Rc::default(),
            slots,
            sessions: Rc::default(),
            auth_pool: auth::Pool::default(),
            scratch: RefCell::new(Scratch {
                input: vec![0; READ_SIZE].into_boxed_slice(),
                output: Output::default(),
            }),
            log: RefCell::new(log),
            debug_connections: RefCell::new(debug_connections),
            metrics,
        })
    }

    /// Writes a line to the main log.
    pub(crate) fn tell(&self, level: Level, connection: Option<ConnectionId>, message: &str) {
        self.log.borrow().write(self.runtime.wall_clock(), level, connection, message);
    }

    /// Whether all details of this client's session are to be logged (`debug_connection`).
    pub(crate) fn is_debugged(&self, client: &ClientAddr) -> bool {
        self.debug_connections.borrow().iter().any(|network| network.contains(client))
    }

    /// Numbers a new connection, whoever's it is.
    pub(crate) fn count_connection(&self) -> ConnectionId {
        self.metrics.next_connection()
    }

    /// Takes a slot for one more socket; a connection that only waits for another question makes room for it.
    ///
    /// # Errors
    /// When none is free: `worker_connections`, for the log.
    pub(crate) fn take_slot(&self) -> Result<Slot, usize> {
        let none_left = match self.slots.take() {
            Ok(slot) => return Ok(slot),
            Err(limit) => limit,
        };
        if self.auth_pool.give_up_one() { self.slots.take() } else { Err(none_left) }
    }

    /// Sixteen bytes that nobody can predict and nobody gets twice.
    pub(crate) fn entropy(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.runtime.fill_random(&mut bytes);
        bytes
    }

    /// Waits.
    pub(crate) async fn sleep(&self, duration: Duration) {
        let until = self.runtime.now() + duration;
        let mut deadline = Deadline::new(&self.deadlines);
        poll_fn(|cx| deadline.poll(Some(until), self.runtime.now(), cx)).await;
    }

    /// What a future comes to, if it does so in time.
    pub(crate) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.until(Some(self.runtime.now() + limit), future).await
    }

    /// What a future comes to, if it does so before then; `None` is for ever.
    pub(crate) async fn until<T>(
        &self,
        until: Option<Instant>,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut deadline = Deadline::new(&self.deadlines);
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(value));
            }
            deadline.poll(until, self.runtime.now(), cx).map(|()| None)
        })
        .await
    }
}

/// Lets every other task that is ready run first.
pub(crate) async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! Connections to auth servers that wait for their next question (`auth_http_keepalive`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connection::Connection;
use crate::config::AuthAddress;
use crate::runtime::{Runtime, Stream};
use crate::worker::Worker;

/// Idle connections that a worker keeps, over all its auth servers.
const CAPACITY: usize = 64;

/// How long a connection is kept without a question.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// How often the idle ones are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The idle connections of one worker.
#[derive(Debug)]
pub(crate) struct Pool<S: Stream> {
    /// The longest idle first.
    idle: RefCell<Vec<(Instant, Connection<S>)>>,
    /// Whether the task that looks at them runs.
    is_swept: Cell<bool>,
}

impl<S: Stream> Default for Pool<S> {
    fn default() -> Self {
        Self { idle: RefCell::default(), is_swept: Cell::default() }
    }
}

impl<S: Stream> Pool<S> {
    /// The connection to `address` that has been idle for the shortest time, if there is a live one.
    pub(super) fn take(&self, address: &AuthAddress) -> Option<Connection<S>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(index) = idle.iter().rposition(|(_, connection)| connection.address == *address) {
            let (_, mut connection) = idle.remove(index);
            if connection.is_alive() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next question, or closes it where enough are kept already.
    pub(super) fn put<R: Runtime<Stream = S>>(&self, worker: &Rc<Worker<R>>, mut connection: Connection<S>) {
        let mut idle = self.idle.borrow_mut();
        // Asking now also makes the runtime watch the connection: a later look finds what has come meanwhile.
        if idle.len() >= CAPACITY || !connection.is_alive() {
            return;
        }
        if !self.is_swept.replace(true) {
            worker.runtime.spawn(sweep(Rc::clone(worker)));
        }
        idle.push((worker.runtime.now(), connection));
    }

    /// Closes the one that has been idle for the longest time, whose slot somebody needs; whether there was one.
    pub(crate) fn give_up_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        oldest.is_some()
    }

    /// Closes what the server has closed and what is idle for too long; whether any is left to be swept.
    fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|(since, connection)| {
            now.saturating_duration_since(*since) < IDLE_LIMIT && connection.is_alive()
        });
        self.is_swept.set(!idle.is_empty());
        self.is_swept.get()
    }
}

async fn sweep<R: Runtime>(worker: Rc<Worker<R>>) {
    loop {
        worker.sleep(SWEEP_INTERVAL).await;
        if !worker.auth_pool.sweep(worker.runtime.now()) {
            return;
        }
    }
}

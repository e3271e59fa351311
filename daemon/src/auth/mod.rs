//! Asking the auth server: an exchange of `gatepost-auth-client` on a connection, new or kept alive.

mod connection;
mod pool;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use gatepost_auth_client::{Exchange, Servers, Settings, connect_share};
use gatepost_protocol::auth::{AuthFailure, AuthReply, AuthRequest};

use self::connection::{Connection, Received};
pub(crate) use self::pool::Pool;
use crate::config::{self, AuthAddress};
use crate::drive::errno_of;
use crate::log::lines::peer_text;
use crate::runtime::{Runtime, Stream};
use crate::worker::Worker;

/// How long the rest of a body may take before its connection is not worth keeping.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// Reads of one connection before everybody else has a turn.
const READS_PER_WAKEUP: u32 = 16;

/// The auth server of one mail server, as one worker knows it.
#[derive(Debug)]
pub(crate) struct AuthServer {
    /// All addresses, one or more.
    pub(crate) addresses: Vec<Address>,
    /// What all requests have in common.
    settings: Settings,
    /// Which addresses failed lately.
    health: RefCell<Servers>,
}

/// One address of an auth server.
#[derive(Debug)]
pub(crate) struct Address {
    address: AuthAddress,
    /// As the log shows it.
    pub(crate) text: Box<str>,
}

impl AuthServer {
    pub(crate) fn new(config: &config::AuthServer) -> Self {
        let address = |address: &AuthAddress| Address {
            address: address.clone(),
            text: peer_text(&address.peer).into(),
        };
        Self {
            addresses: config.addresses.iter().map(address).collect(),
            settings: config.settings.clone(),
            health: RefCell::new(Servers::new(config.addresses.len())),
        }
    }
}

/// What came of a question.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Addresses that were tried in vain before.
    pub(crate) passed_over: Vec<PassedOver>,
    /// The address that the outcome is about.
    pub(crate) address: usize,
    pub(crate) outcome: Result<AuthReply, AuthFailure>,
    /// How long it took there.
    pub(crate) time: Duration,
}

/// One address that was tried in vain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PassedOver {
    /// Its index.
    pub(crate) address: usize,
    /// Why another one was tried.
    pub(crate) failure: AuthFailure,
    /// After how long.
    pub(crate) time: Duration,
}

/// Asks the auth server, until then; `None` is for ever. The session drops the question when it has lost interest.
pub(crate) async fn ask<R: Runtime>(
    worker: &Rc<Worker<R>>,
    server: &AuthServer,
    request: &AuthRequest,
    until: Option<Instant>,
) -> Answer {
    let mut start = worker.runtime.now();
    let order = server.health.borrow().order(start);
    let mut passed_over = Vec::new();
    let mut candidates = order.len();
    for address in order {
        let asked = worker.runtime.now();
        let is_settled = Cell::new(false);
        let question = Question { worker, server, address, request, until, candidates, asked, is_settled };
        let conversation = question.put().await;
        question.is_settled.set(true);
        let now = worker.runtime.now();
        let (outcome, is_lost) = match conversation {
            Conversation::Over(outcome) => (outcome, false),
            Conversation::Lost(failure) => (Err(failure), true),
        };
        match outcome {
            // It was not asked.
            Err(AuthFailure::NoSlots(_)) => {}
            Err(AuthFailure::SendTimedOut | AuthFailure::TimedOut) => {
                server.health.borrow_mut().on_failure(address, now);
            }
            _ if is_lost => server.health.borrow_mut().on_failure(address, now),
            _ => server.health.borrow_mut().on_answer(address, now),
        }
        candidates -= 1;
        let time = now.saturating_duration_since(mem::replace(&mut start, now));
        match outcome {
            Err(failure) if is_lost && candidates > 0 => {
                passed_over.push(PassedOver { address, failure, time });
            }
            outcome => return Answer { passed_over, address, outcome, time },
        }
    }
    unreachable!("the last candidate's outcome is returned, and there is at least one");
}

/// A question to one address.
struct Question<'a, R: Runtime> {
    worker: &'a Rc<Worker<R>>,
    server: &'a AuthServer,
    address: usize,
    request: &'a AuthRequest,
    until: Option<Instant>,
    /// Addresses not tried yet, this one included.
    candidates: usize,
    asked: Instant,
    /// A byte has come back, or the outcome is known.
    is_settled: Cell<bool>,
}

impl<R: Runtime> Drop for Question<'_, R> {
    fn drop(&mut self) {
        if !self.is_settled.get() {
            let now = self.worker.runtime.now();
            self.server.health.borrow_mut().on_given_up(self.address, self.asked, now);
        }
    }
}

enum Conversation {
    Over(Result<AuthReply, AuthFailure>),
    /// There is no connection, or it failed before a byte came back: worth another one.
    Lost(AuthFailure),
}

impl<R: Runtime> Question<'_, R> {
    /// Asks on a connection that was kept, or on a new one.
    async fn put(&self) -> Conversation {
        let settings = &self.server.settings;
        if settings.keepalive()
            && let Some(connection) = self.worker.auth_pool.take(self.address())
        {
            match self.converse(connection, Exchange::new(self.request, settings)).await {
                // The server gave the connection up while it was idle, which is nobody's fault.
                Conversation::Lost(_) => {}
                over @ Conversation::Over(_) => return over,
            }
        }
        match self.open().await {
            Ok(connection) => self.converse(connection, Exchange::new(self.request, settings)).await,
            Err(failure @ AuthFailure::NoSlots(_)) => Conversation::Over(Err(failure)),
            Err(failure) => Conversation::Lost(failure),
        }
    }

    fn address(&self) -> &AuthAddress {
        &self.server.addresses[self.address].address
    }

    async fn open(&self) -> Result<Connection<R::Stream>, AuthFailure> {
        let worker = self.worker;
        let slot = worker.take_slot().map_err(AuthFailure::NoSlots)?;
        worker.count_connection();
        let failed = |error| AuthFailure::Connect(errno_of(&error));
        let mut stream = worker.runtime.connect(&self.address().peer).map_err(failed)?;
        let now = worker.runtime.now();
        let share =
            |until: Instant| now + connect_share(until.saturating_duration_since(now), self.candidates);
        let connected = poll_fn(|cx| stream.poll_connected(cx));
        let until = self.until.map(share);
        match worker.until(until, connected).await {
            None => return Err(AuthFailure::ConnectTimedOut),
            // What the log says of a refused connection does not tell whose it was.
            Some(Err(error)) if self.server.addresses.len() == 1 => {
                return Err(AuthFailure::Refused(errno_of(&error)));
            }
            Some(connected) => connected.map_err(failed)?,
        }
        let mut connection = Connection::new(self.address().clone(), stream, slot);
        let secured = worker.until(until, connection.secure()).await;
        secured.unwrap_or(Err(AuthFailure::HandshakeTimedOut))?;
        Ok(connection)
    }

    async fn converse(&self, mut connection: Connection<R::Stream>, mut exchange: Exchange) -> Conversation {
        let worker = self.worker;
        let outcome = match self.exchange_bytes(&mut connection, &mut exchange).await {
            // Servers with TLS 1.3 refuse a client's certificate, or the lack of one, no earlier than here.
            Err(
                failure @ (AuthFailure::Send(_)
                | AuthFailure::Receive(_)
                | AuthFailure::Closed
                | AuthFailure::Tls { .. }),
            ) if !exchange.is_answered() => return Conversation::Lost(failure),
            outcome => outcome,
        };
        if exchange.is_reusable() {
            worker.auth_pool.put(worker, connection);
        } else if exchange.may_become_reusable() {
            worker.runtime.spawn(finish_body(Rc::clone(worker), connection, exchange));
        }
        Conversation::Over(outcome)
    }

    async fn exchange_bytes(
        &self,
        connection: &mut Connection<R::Stream>,
        exchange: &mut Exchange,
    ) -> Result<AuthReply, AuthFailure> {
        let sent = self.worker.until(self.until, connection.send(exchange.request())).await;
        sent.unwrap_or(Err(AuthFailure::SendTimedOut))?;
        let received = self.worker.until(self.until, self.receive(connection, exchange)).await;
        received.unwrap_or(Err(AuthFailure::TimedOut))
    }

    async fn receive(
        &self,
        connection: &mut Connection<R::Stream>,
        exchange: &mut Exchange,
    ) -> Result<AuthReply, AuthFailure> {
        let mut reads = 0;
        poll_fn(|cx| {
            loop {
                ready!(others_first(&mut reads, cx));
                let mut answer = None;
                let received = ready!(connection.poll_receive(cx, &mut |bytes| {
                    self.is_settled.set(true);
                    let outcome = exchange.handle_input(bytes);
                    answer = answer.take().or(outcome);
                }));
                // One that is complete is good, whatever became of the connection behind it.
                if let Some(answer) = answer {
                    return Poll::Ready(answer);
                }
                if received? == Received::End {
                    return Poll::Ready(Err(exchange.handle_eof()));
                }
            }
        })
        .await
    }
}

/// Pending after each few reads, so that a server that sends without end holds up neither others nor a time limit.
fn others_first(reads: &mut u32, cx: &Context<'_>) -> Poll<()> {
    *reads += 1;
    if !reads.is_multiple_of(READS_PER_WAKEUP) {
        return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Reads what is left of a response, so that its connection can carry the next question.
async fn finish_body<R: Runtime>(
    worker: Rc<Worker<R>>,
    mut connection: Connection<R::Stream>,
    mut exchange: Exchange,
) {
    let mut reads = 0;
    let reading = poll_fn(|cx| {
        while exchange.may_become_reusable() && !exchange.is_reusable() {
            ready!(others_first(&mut reads, cx));
            let received =
                ready!(connection.poll_receive(cx, &mut |bytes| drop(exchange.handle_input(bytes))));
            if received != Ok(Received::Bytes) {
                break;
            }
        }
        Poll::Ready(exchange.is_reusable())
    });
    if worker.within(BODY_PATIENCE, reading).await == Some(true) {
        worker.auth_pool.put(&worker, connection);
    }
}

#[cfg(test)]
mod tests;

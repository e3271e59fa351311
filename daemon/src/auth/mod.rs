//! Asking the auth server: an exchange of `gatepost-auth-client` on a connection, new or kept alive.

mod pool;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use gatepost_auth_client::Exchange;
use gatepost_protocol::auth::{AuthFailure, AuthReply, AuthRequest};
use zeroize::Zeroizing;

use self::pool::Connection;
pub(crate) use self::pool::Pool;
use crate::drive::errno_of;
use crate::inlet::{AuthServer, Inlet};
use crate::runtime::{Runtime, Stream};
use crate::worker::Worker;

/// Bytes read at a time. A reply's head is some hundred bytes.
const READ_SIZE: usize = 4096;

/// How long the rest of a body may take before its connection is not worth keeping.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// Asks the auth server. The session limits the time, and drops the question when it has lost interest.
pub(crate) async fn ask<R: Runtime>(
    worker: &Rc<Worker<R>>,
    inlet: &Inlet,
    request: &AuthRequest,
) -> Result<AuthReply, AuthFailure> {
    let server = &inlet.auth;
    if server.settings.keepalive()
        && let Some(connection) = worker.auth_pool.take(&server.peer)
    {
        let exchange = Exchange::new(request, &server.settings);
        match converse(worker, connection, exchange, true).await {
            Conversation::Over(answer) => return answer,
            // The server gave the connection up while it was idle, which is nobody's fault.
            Conversation::Stale => {}
        }
    }
    let connection = open(worker, server).await?;
    let exchange = Exchange::new(request, &server.settings);
    match converse(worker, connection, exchange, false).await {
        Conversation::Over(answer) => answer,
        Conversation::Stale => Err(AuthFailure::Closed),
    }
}

enum Conversation {
    Over(Result<AuthReply, AuthFailure>),
    /// A kept-alive connection failed before a byte came back: worth another one.
    Stale,
}

async fn open<R: Runtime>(
    worker: &Worker<R>,
    server: &AuthServer,
) -> Result<Connection<R::Stream>, AuthFailure> {
    let slot = worker.slots.take().map_err(AuthFailure::NoSlots)?;
    worker.count_connection();
    let failed = |error| AuthFailure::Connect(errno_of(&error));
    let mut stream = worker.runtime.connect(&server.peer).map_err(failed)?;
    // The words of the log for a refused connection are those of a failed read.
    let connected = poll_fn(|cx| stream.poll_connected(cx)).await;
    connected.map_err(|error| AuthFailure::Receive(errno_of(&error)))?;
    Ok(Connection { peer: server.peer.clone(), stream, _slot: slot })
}

async fn converse<R: Runtime>(
    worker: &Rc<Worker<R>>,
    mut connection: Connection<R::Stream>,
    mut exchange: Exchange,
    reused: bool,
) -> Conversation {
    let answer = match exchange_bytes(&mut connection.stream, &mut exchange).await {
        Err(_) if exchange.may_retry(reused) => return Conversation::Stale,
        answer => answer,
    };
    if exchange.is_reusable() {
        worker.auth_pool.put(worker, connection);
    } else if exchange.may_become_reusable() {
        worker.runtime.spawn(finish_body(Rc::clone(worker), connection, exchange));
    }
    Conversation::Over(answer)
}

async fn exchange_bytes<S: Stream>(
    stream: &mut S,
    exchange: &mut Exchange,
) -> Result<AuthReply, AuthFailure> {
    let mut sent = 0;
    while sent < exchange.request().len() {
        let written = poll_fn(|cx| stream.poll_write(cx, &exchange.request()[sent..])).await;
        sent += written.map_err(|error| AuthFailure::Send(errno_of(&error)))?;
    }
    poll_fn(|cx| {
        loop {
            // Lives for one poll only: a session that waits holds no buffer.
            let mut buffer = Zeroizing::new([0; READ_SIZE]);
            let count = match stream.poll_read(cx, &mut buffer[..]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(exchange.handle_eof())),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(AuthFailure::Receive(errno_of(&error)))),
            };
            if let Some(answer) = exchange.handle_input(&buffer[..count]) {
                return Poll::Ready(answer);
            }
        }
    })
    .await
}

/// Reads what is left of a response, so that its connection can carry the next question.
async fn finish_body<R: Runtime>(
    worker: Rc<Worker<R>>,
    mut connection: Connection<R::Stream>,
    mut exchange: Exchange,
) {
    let stream = &mut connection.stream;
    let reading = poll_fn(|cx| {
        while exchange.may_become_reusable() && !exchange.is_reusable() {
            let mut buffer = [0; READ_SIZE];
            match stream.poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(count)) => drop(exchange.handle_input(&buffer[..count])),
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

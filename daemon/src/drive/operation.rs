//! What a session asks for that takes time: the auth server's answer, the client's name, the backend's connection.
//!
//! Each operation is a future of its own, dropped when the session cancels it or ends.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use gatepost_protocol::action::Completion;
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::{AuthRequest, Target};

use super::backend;
use crate::auth;
use crate::inlet::Inlet;
use crate::runtime::Runtime;
use crate::worker::Worker;

/// An operation under way.
pub(super) type Operation<R> = Pin<Box<dyn Future<Output = Outcome<<R as Runtime>::Stream>>>>;

/// What came of it.
pub(super) enum Outcome<S> {
    /// For the engine.
    Completed(Completion),
    /// The auth server has been asked.
    Answered(Box<auth::Answer>),
    /// The backend leg is open, or will not be.
    Connected(backend::Connected<S>),
}

pub(super) fn authenticate<R: Runtime>(
    worker: &Rc<Worker<R>>,
    inlet: &Rc<Inlet>,
    request: Box<AuthRequest>,
    now: Instant,
) -> Operation<R> {
    let (worker, inlet) = (Rc::clone(worker), Rc::clone(inlet));
    // The same end as the session's: asked first, this operation can tell what it was doing then.
    let until = now.checked_add(inlet.listener.server.auth_timeout);
    Box::pin(
        async move { Outcome::Answered(Box::new(auth::ask(&worker, &inlet.auth, &request, until).await)) },
    )
}

pub(super) fn resolve<R: Runtime>(
    worker: &Rc<Worker<R>>,
    inlet: &Rc<Inlet>,
    address: IpAddr,
) -> Operation<R> {
    let (worker, inlet) = (Rc::clone(worker), Rc::clone(inlet));
    Box::pin(async move {
        let name = crate::resolver::client_name(&worker, &inlet, address).await;
        Outcome::Completed(Completion::Resolved(name))
    })
}

pub(super) fn connect<R: Runtime>(
    worker: &Rc<Worker<R>>,
    inlet: &Rc<Inlet>,
    target: Target,
    local: ClientAddr,
    now: Instant,
) -> Operation<R> {
    let (worker, inlet) = (Rc::clone(worker), Rc::clone(inlet));
    Box::pin(async move { Outcome::Connected(backend::connect(&worker, &inlet, target, local, now).await) })
}

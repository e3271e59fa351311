//! The one drive loop: it owns the sockets of a session, and the engine owns everything else.
//!
//! A session is two tasks in sequence. The first drives `Session` up to the login; then a new, small one drives
//! `Relay`, because a task keeps the size of its largest state for as long as it lives. Both run the same loop
//! ([`pump`]) over the same contract: one `handle_*`, write the output, perform the actions, keep the one deadline.
//! Reads go into the worker's buffer, writes are tried at once and only the unsent tail is kept: an idle session
//! holds no buffer. A fault in a session ends that session alone.

mod backend;
mod engine;
mod fault;
mod leg;
mod linger;
mod operation;
mod pump;
mod trace;

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use gatepost_protocol::address::Origin;
use gatepost_protocol::session::Session;

use self::engine::Engine;
pub(crate) use self::fault::{install_hook, take_place};
use self::leg::Leg;
pub(crate) use self::pump::errno_of;
use self::pump::{End, Pump};
use crate::inlet::Inlet;
use crate::runtime::Runtime;
use crate::slots::Slot;
use crate::worker::Worker;

/// Starts a session on an accepted connection. The greeting leaves before this returns.
pub(crate) fn start<R: Runtime>(
    worker: &Rc<Worker<R>>,
    inlet: Rc<Inlet>,
    stream: R::Stream,
    origin: &Origin,
    slot: Slot,
) {
    let id = worker.count_connection();
    fault::contain(worker, id, || {
        let scratch = &mut *worker.scratch.borrow_mut();
        pump::clear(&mut scratch.output);
        let now = worker.runtime.now();
        let session = Session::open(&inlet.listener, origin, now, &mut scratch.output);
        let member = worker.sessions.join();
        let mut pump = Pump::new(session, Rc::clone(worker), inlet, id, member);
        pump.client = Some(Leg::new(stream, slot));
        // The task polls everything again with a waker of its own.
        let mut cx = Context::from_waker(Waker::noop());
        if let ControlFlow::Continue(()) = pump.settle(&mut cx, now, &mut scratch.output) {
            worker.runtime.spawn(Task::new(pump));
        }
    });
}

/// A pump as a task.
struct Task<R: Runtime, E: Engine> {
    /// `None` once it has ended.
    pump: Option<Pump<R, E>>,
    is_known: bool,
}

impl<R: Runtime, E: Engine> Task<R, E> {
    fn new(pump: Pump<R, E>) -> Self {
        Self { pump: Some(pump), is_known: false }
    }
}

impl<R: Runtime, E: Engine> Future for Task<R, E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let task = self.get_mut();
        let Some(pump) = &mut task.pump else { return Poll::Ready(()) };
        if !task.is_known {
            task.is_known = true;
            pump.member.set_task(cx);
        }
        let worker = Rc::clone(&pump.worker);
        let id = pump.id;
        let end = fault::contain(&worker, id, || {
            let scratch = &mut *worker.scratch.borrow_mut();
            pump::clear(&mut scratch.output);
            pump.poll(cx, scratch)
        });
        match end {
            Some(Poll::Pending) => return Poll::Pending,
            Some(Poll::Ready(End::Finished)) | None => task.pump = None,
            Some(Poll::Ready(End::Relay)) => {
                let pump = task.pump.take();
                fault::contain(&worker, id, || pump.map(relay));
            }
        }
        Poll::Ready(())
    }
}

/// Moves a logged-in session to a task of its own size.
fn relay<R: Runtime, E: Engine>(pump: Pump<R, E>) {
    let worker = Rc::clone(&pump.worker);
    let now = worker.runtime.now();
    let scratch = &mut *worker.scratch.borrow_mut();
    let Some(mut pump) = pump.into_relay(now, &mut scratch.output) else { return };
    let mut cx = Context::from_waker(Waker::noop());
    if let ControlFlow::Continue(()) = pump.settle(&mut cx, now, &mut scratch.output) {
        worker.runtime.spawn(Task::new(pump));
    }
}

#[cfg(test)]
mod tests;

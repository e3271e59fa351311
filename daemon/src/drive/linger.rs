//! Closing a leg so that what was written last arrives.
//!
//! A socket closed with unread input resets the connection, and the reset overtakes replies on their way. So the
//! sending direction ends first; what the peer still sends is read and thrown away until it closes too, for a short
//! while (spec/protocols.md P41).

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::leg::Leg;
use crate::deadline::Deadline;
use crate::runtime::{Runtime, Stream};
use crate::worker::Worker;

/// How long the peer may take to close, once everything is written.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of what the peer still sends is read.
const DISCARD_LIMIT: usize = 64 * 1024;

/// Closes a leg, in a task of its own where that takes time; at most `write_limit` for what is still unwritten.
pub(super) fn close<R: Runtime>(
    worker: &Rc<Worker<R>>,
    mut leg: Leg<R::Stream>,
    write_limit: Duration,
    cx: &mut Context<'_>,
    now: Instant,
) {
    if leg.ended && !leg.is_congested() {
        return;
    }
    leg.shut_down();
    let is_flushed = match leg.poll_flush(cx) {
        Poll::Ready(Err(_)) => return,
        Poll::Ready(Ok(())) if leg.ended => return,
        Poll::Ready(Ok(())) => true,
        Poll::Pending => false,
    };
    let until = now + if is_flushed { PATIENCE } else { write_limit };
    let mut linger = Linger { leg, left: DISCARD_LIMIT, until, is_flushed };
    let task_worker = Rc::clone(worker);
    // A worker that drains waits for this one, too.
    let member = worker.sessions.join();
    let mut deadline = Deadline::new(&worker.deadlines);
    worker.runtime.spawn(async move {
        poll_fn(|cx| {
            let scratch = &mut *task_worker.scratch.borrow_mut();
            let now = task_worker.runtime.now();
            if linger.poll(cx, now, &mut scratch.input).is_ready() {
                return Poll::Ready(());
            }
            deadline.poll(Some(linger.until), now, cx)
        })
        .await;
        drop(member);
    });
}

/// A leg on its way out.
struct Linger<S> {
    leg: Leg<S>,
    /// Bytes that may still be discarded.
    left: usize,
    /// When patience ends.
    until: Instant,
    is_flushed: bool,
}

impl<S: Stream> Linger<S> {
    fn poll(&mut self, cx: &mut Context<'_>, now: Instant, scratch: &mut [u8]) -> Poll<()> {
        if !self.is_flushed {
            match self.leg.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            self.is_flushed = true;
            self.until = now + PATIENCE;
        }
        while self.left > 0 && !self.leg.ended {
            let limit = self.left.min(scratch.len());
            match self.leg.stream.poll_read(cx, &mut scratch[..limit]) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(count)) => self.left -= count,
            }
        }
        Poll::Ready(())
    }
}

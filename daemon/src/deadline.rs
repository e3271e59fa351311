//! Deadlines of a worker's sessions: one runtime timer for all of them.
//!
//! A session has one [`Deadline`], armed for the earliest of its timers and moved lazily. All deadlines of a worker
//! lie in one ordered table; the task of [`Deadlines::run`] sleeps until the first one and wakes whom it belongs to.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::runtime::{Runtime, Timer};
use crate::worker::Worker;

/// All deadlines of one worker.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    /// Who waits for what; the number tells equal times apart.
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    next: Cell<u64>,
    sleeper: RefCell<Option<Waker>>,
}

impl Deadlines {
    /// Wakes whoever's time has come, for as long as the worker lives.
    pub(crate) async fn run<R: Runtime>(self: Rc<Self>, worker: Rc<Worker<R>>) {
        let runtime = &worker.runtime;
        let mut timer = runtime.timer();
        let mut asleep_until = None;
        poll_fn(|cx| {
            loop {
                *self.sleeper.borrow_mut() = Some(cx.waker().clone());
                self.wake_due(runtime.now());
                let Some(first) = self.first() else { return Poll::Pending };
                if asleep_until != Some(first) {
                    timer.set(first);
                    asleep_until = Some(first);
                }
                if timer.poll_expired(cx).is_pending() {
                    return Poll::<()>::Pending;
                }
                asleep_until = None;
            }
        })
        .await;
    }

    fn first(&self) -> Option<Instant> {
        self.waiting.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    fn wake_due(&self, now: Instant) {
        while let Some(at) = self.first()
            && at <= now
        {
            let due = self.waiting.borrow_mut().pop_first();
            // Outside the borrow: waking may run code of the runtime's.
            if let Some((_, waker)) = due {
                waker.wake();
            }
        }
    }

    fn insert(&self, at: Instant, waker: Waker) -> u64 {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let is_first = self.first().is_none_or(|first| at < first);
        self.waiting.borrow_mut().insert((at, number), waker);
        if is_first && let Some(sleeper) = self.sleeper.borrow_mut().take() {
            sleeper.wake();
        }
        number
    }
}

/// One task's deadline. Dropping it disarms it.
#[derive(Debug)]
pub(crate) struct Deadline {
    table: Rc<Deadlines>,
    armed: Option<(Instant, u64)>,
}

impl Deadline {
    pub(crate) fn new(table: &Rc<Deadlines>) -> Self {
        Self { table: Rc::clone(table), armed: None }
    }

    /// Ready once `wanted` has been reached; `None` is never reached. Otherwise the task is woken at `wanted` or
    /// earlier: a deadline that only moves away leaves the table as it is.
    pub(crate) fn poll(&mut self, wanted: Option<Instant>, now: Instant, cx: &Context<'_>) -> Poll<()> {
        let Some(wanted) = wanted else { return Poll::Pending };
        if wanted <= now {
            self.disarm();
            return Poll::Ready(());
        }
        // What was armed for a time that has passed has left the table with its waker.
        if self.armed.is_none_or(|(at, _)| at > wanted || at <= now) {
            self.disarm();
            self.armed = Some((wanted, self.table.insert(wanted, cx.waker().clone())));
        }
        Poll::Pending
    }

    fn disarm(&mut self) {
        if let Some(key) = self.armed.take() {
            self.table.waiting.borrow_mut().remove(&key);
        }
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.disarm();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn is_ready_when_reached_and_leaves_no_trace() {
        let table = Rc::<Deadlines>::default();
        let cx = Context::from_waker(Waker::noop());
        let start = crate::sys::now();
        let at = start + Duration::from_secs(5);
        let mut deadline = Deadline::new(&table);
        assert!(deadline.poll(Some(at), start, &cx).is_pending());
        assert_eq!(table.first(), Some(at));
        assert!(deadline.poll(Some(at), at, &cx).is_ready());
        assert_eq!(table.first(), None);
        assert!(deadline.poll(None, at, &cx).is_pending());
    }

    #[test]
    fn moving_away_is_lazy_and_moving_near_is_not() {
        let table = Rc::<Deadlines>::default();
        let cx = Context::from_waker(Waker::noop());
        let start = crate::sys::now();
        let [near, middle, far] = [1, 2, 3].map(|seconds| start + Duration::from_secs(seconds));
        let mut deadline = Deadline::new(&table);
        assert!(deadline.poll(Some(middle), start, &cx).is_pending());
        assert!(deadline.poll(Some(far), start, &cx).is_pending());
        assert_eq!(table.first(), Some(middle));
        table.wake_due(middle);
        assert!(deadline.poll(Some(far), middle, &cx).is_pending());
        assert_eq!(table.first(), Some(far));
        assert!(deadline.poll(Some(near), start, &cx).is_pending());
        assert_eq!(table.first(), Some(near));
        drop(deadline);
        assert_eq!(table.first(), None);
    }

    #[test]
    fn all_that_are_due_are_woken_in_order() {
        let table = Rc::<Deadlines>::default();
        let cx = Context::from_waker(Waker::noop());
        let start = crate::sys::now();
        let times = [3, 1, 1, 2].map(|seconds| start + Duration::from_secs(seconds));
        let mut deadlines = times.map(|at| (at, Deadline::new(&table)));
        for (at, deadline) in &mut deadlines {
            assert!(deadline.poll(Some(*at), start, &cx).is_pending());
        }
        table.wake_due(times[3]);
        assert_eq!(table.first(), Some(times[0]));
    }
}

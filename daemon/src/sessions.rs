//! The sessions of a worker: how many there are, and how all of them learn that the worker is to end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How far the worker is from its end; it only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serving.
    #[default]
    Open,
    /// No new clients; sessions end when they are done.
    Draining,
    /// `worker_shutdown_timeout` has passed.
    Expired,
}

/// All sessions of one worker.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    phase: Cell<Phase>,
    tasks: RefCell<BTreeMap<u64, Waker>>,
    next: Cell<u64>,
    /// Who waits for the last session to end.
    waiting: RefCell<Option<Waker>>,
}

impl Sessions {
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Enters a phase and wakes every session to it.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.set(self.phase.get().max(phase));
        let tasks: Vec<_> = self.tasks.borrow().values().cloned().collect();
        tasks.into_iter().for_each(Waker::wake);
    }

    /// Counts one more session.
    pub(crate) fn join(self: &Rc<Self>) -> Member {
        let number = self.next.get();
        self.next.set(number + 1);
        self.tasks.borrow_mut().insert(number, Waker::noop().clone());
        Member { sessions: Rc::clone(self), number }
    }

    /// Ready when there is no session.
    pub(crate) fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        if self.tasks.borrow().is_empty() {
            return Poll::Ready(());
        }
        *self.waiting.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// One session's place among the others; dropping it ends the count.
#[derive(Debug)]
pub(crate) struct Member {
    sessions: Rc<Sessions>,
    number: u64,
}

impl Member {
    /// Names the task to wake: to be called whenever the session has moved to another one.
    pub(crate) fn set_task(&self, cx: &Context<'_>) {
        if let Some(waker) = self.sessions.tasks.borrow_mut().get_mut(&self.number) {
            waker.clone_from(cx.waker());
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut tasks = self.sessions.tasks.borrow_mut();
        tasks.remove(&self.number);
        if tasks.is_empty()
            && let Some(waiting) = self.sessions.waiting.borrow_mut().take()
        {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_member_empties_the_count() {
        let sessions = Rc::<Sessions>::default();
        let cx = Context::from_waker(Waker::noop());
        let (first, second) = (sessions.join(), sessions.join());
        first.set_task(&cx);
        drop(first);
        assert!(sessions.poll_empty(&cx).is_pending());
        drop(second);
        assert!(sessions.poll_empty(&cx).is_ready());
    }

    #[test]
    fn phases_only_move_forward() {
        let sessions = Sessions::default();
        sessions.enter(Phase::Expired);
        sessions.enter(Phase::Draining);
        assert_eq!(sessions.phase(), Phase::Expired);
    }
}

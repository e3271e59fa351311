//! Tasks and virtual time.
//!
//! One step polls one task: among those that are ready a seeded generator chooses, so every seed is another order. When
//! nobody is ready the clock jumps to the next alarm; when there is no alarm either, the simulation is over. A task is
//! polled only when its own waker was called, so a wake-up that somebody forgets is a session that hangs.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Where a waiting task leaves its waker; an alarm takes it out. Whoever is woken too early asks for an alarm again.
#[derive(Clone, Default)]
pub(super) struct Slot(Rc<Waiting>);

#[derive(Default)]
struct Waiting {
    waker: RefCell<Option<Waker>>,
    /// When the next alarm is due.
    alarm: Cell<Option<Duration>>,
}

impl Slot {
    pub(super) fn wait(&self, cx: &Context<'_>) {
        *self.0.waker.borrow_mut() = Some(cx.waker().clone());
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.0.waker.borrow().is_some()
    }

    pub(super) fn wake(&self) {
        let waker = self.0.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Tasks, clock and alarms of one simulation.
pub(super) struct Executor {
    start: Instant,
    passed: Cell<Duration>,
    order: RefCell<Rng>,
    tasks: RefCell<Vec<Option<Task>>>,
    ready: Arc<Mutex<Vec<usize>>>,
    alarms: RefCell<BTreeMap<(Duration, u64), Slot>>,
    next_alarm: Cell<u64>,
    /// The session for which the present step works, if for any.
    owner: Cell<Option<usize>>,
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    signal: Arc<Signal>,
    owner: Option<usize>,
}

/// Puts a task among the ready ones, once.
struct Signal {
    task: usize,
    is_ready: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap().push(self.task);
        }
    }
}

impl Executor {
    pub(super) fn new(order: Rng) -> Self {
        Self {
            // Only differences are ever looked at.
            start: Instant::now(),
            passed: Cell::default(),
            order: RefCell::new(order),
            tasks: RefCell::default(),
            ready: Arc::default(),
            alarms: RefCell::default(),
            next_alarm: Cell::default(),
            owner: Cell::default(),
        }
    }

    /// Time since the simulation began.
    pub(super) fn passed(&self) -> Duration {
        self.passed.get()
    }

    pub(super) fn now(&self) -> Instant {
        self.start + self.passed.get()
    }

    /// A time of [`now`](Self::now)'s clock, since the simulation began.
    pub(super) fn since_start(&self, at: Instant) -> Duration {
        at.duration_since(self.start)
    }

    pub(super) fn owner(&self) -> Option<usize> {
        self.owner.get()
    }

    /// Works for a session: whatever is spawned meanwhile, and by that, belongs to it.
    pub(super) fn as_owner<T>(&self, owner: Option<usize>, work: impl FnOnce() -> T) -> T {
        let before = self.owner.replace(owner);
        let result = work();
        self.owner.set(before);
        result
    }

    pub(super) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let mut tasks = self.tasks.borrow_mut();
        let signal = Arc::new(Signal {
            task: tasks.len(),
            is_ready: AtomicBool::new(false),
            ready: Arc::clone(&self.ready),
        });
        Arc::clone(&signal).wake();
        tasks.push(Some(Task { future: Box::pin(future), signal, owner: self.owner.get() }));
    }

    /// Wakes whoever is in the slot then.
    pub(super) fn alarm(&self, at: Duration, slot: &Slot) {
        if slot.0.alarm.get().is_some_and(|earlier| earlier <= at) {
            return;
        }
        slot.0.alarm.set(Some(at));
        let number = self.next_alarm.get();
        self.next_alarm.set(number + 1);
        self.alarms.borrow_mut().insert((at, number), slot.clone());
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        let until = self.passed() + duration;
        let slot = Slot::default();
        self.alarm(until, &slot);
        poll_fn(|cx| {
            if self.passed() >= until {
                return Poll::Ready(());
            }
            slot.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Polls one task that is ready, and says which; moves the clock where none is. `None`: all is over.
    pub(super) fn step(&self) -> Option<Step> {
        let mut ready = self.ready.lock().unwrap();
        if ready.is_empty() {
            drop(ready);
            return self.advance().then_some(Step::Time);
        }
        let chosen = self.order.borrow_mut().usize(..ready.len());
        let number = ready.swap_remove(chosen);
        drop(ready);
        let task = self.tasks.borrow_mut()[number].take();
        let Some(mut task) = task else { return Some(Step::Task(number, None)) };
        let owner = task.owner;
        task.signal.is_ready.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.signal));
        let mut cx = Context::from_waker(&waker);
        let outcome = self.as_owner(owner, || task.future.as_mut().poll(&mut cx));
        match outcome {
            Poll::Pending => self.tasks.borrow_mut()[number] = Some(task),
            // What the task held works for its session to the last.
            Poll::Ready(()) => self.as_owner(owner, || drop(task.future)),
        }
        Some(Step::Task(number, owner))
    }

    /// Jumps to the next alarm that somebody waits for.
    fn advance(&self) -> bool {
        loop {
            let alarm = self.alarms.borrow_mut().pop_first();
            let Some(((at, _), slot)) = alarm else { return false };
            if slot.0.alarm.get() == Some(at) {
                slot.0.alarm.set(None);
            }
            if slot.is_waiting() {
                self.passed.set(self.passed.get().max(at));
                slot.wake();
                return true;
            }
        }
    }

    /// The tasks that never ended.
    pub(super) fn left(&self) -> usize {
        self.tasks.borrow().iter().flatten().count()
    }

    /// Drops all tasks: they hold what holds this.
    pub(super) fn clear(&self) {
        let tasks = self.tasks.take();
        drop(tasks);
        self.alarms.borrow_mut().clear();
    }
}

/// What one step did.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Polled this task of this session.
    Task(usize, Option<usize>),
    Time,
}

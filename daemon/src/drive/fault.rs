//! A fault of ours in one session ends that session, not the worker.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};

use gatepost_protocol::event::Level;

use crate::runtime::Runtime;
use crate::worker::Worker;

thread_local! {
    /// Where the last panic of this thread happened.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics note where they happened instead of printing what they say: a message may quote what a peer sent.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        LAST.with_borrow_mut(|last| *last = place);
    }));
}

/// Runs one step of a session; a panic in it is logged and leaves `None`. The session must be dropped then.
pub(super) fn contain<R: Runtime, T>(worker: &Worker<R>, id: u64, step: impl FnOnce() -> T) -> Option<T> {
    // What a step can leave half-done is its own session, dropped by the caller, and the scratch, cleared before each
    // step.
    let outcome = panic::catch_unwind(AssertUnwindSafe(step));
    if outcome.is_err() {
        let place = LAST.take().unwrap_or_else(|| "an unknown place".into());
        let message = format!("session ended by a fault of this program at {place}");
        worker.log.write(worker.runtime.wall_clock(), Level::Alert, Some(id), &message);
    }
    outcome.ok()
}

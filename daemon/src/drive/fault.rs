//! A fault of ours in one session ends that session, not the worker.

use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use gatepost_protocol::event::Level;

use crate::log::ConnectionId;
use crate::runtime::Runtime;
use crate::worker::Worker;

thread_local! {
    /// Where the last panic of this thread happened.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether this thread is in a step of a session.
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes panics note where they happened. Those in a session print nothing: a message may quote what a peer sent.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string);
            LAST.with_borrow_mut(|last| *last = place);
            if !IS_CONTAINED.get() {
                print(panic);
            }
        }));
    });
}

/// Where the last panic happened.
pub(crate) fn take_place() -> String {
    LAST.take().unwrap_or_else(|| "an unknown place".into())
}

/// Runs one step of a session; a panic in it is logged and leaves `None`. The session must be dropped then.
pub(super) fn contain<R: Runtime, T>(
    worker: &Worker<R>,
    id: ConnectionId,
    step: impl FnOnce() -> T,
) -> Option<T> {
    // What a step can leave half-done is its own session, dropped by the caller, and the scratch, cleared before each
    // step.
    IS_CONTAINED.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(step));
    IS_CONTAINED.set(false);
    if outcome.is_err() {
        let message = format!("session ended by a fault of this program at {}", take_place());
        worker.tell(Level::Alert, Some(id), &message);
    }
    outcome.ok()
}

//! `worker_connections`: how many sockets a worker may have open.

use std::cell::Cell;
use std::rc::Rc;

/// The worker's count of open sockets and its limit.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: Cell<usize>,
    /// Those that no session gets.
    reserved: Cell<usize>,
    taken: Cell<usize>,
}

impl Slots {
    /// `limit` is `worker_connections`; `reserved` of them serve listeners and the channel to the master.
    pub(crate) fn new(limit: usize, reserved: usize) -> Rc<Self> {
        Rc::new(Self { limit: Cell::new(limit), reserved: Cell::new(reserved), taken: Cell::default() })
    }

    /// Changes the limit and the reserve. What has been taken stays so, be it more than the limit by now.
    pub(crate) fn resize(&self, limit: usize, reserved: usize) {
        self.limit.set(limit);
        self.reserved.set(reserved);
    }

    /// Takes a slot, which is given back when it is dropped.
    ///
    /// # Errors
    /// When none is free: the configured limit, for the log.
    pub(crate) fn take(self: &Rc<Self>) -> Result<Slot, usize> {
        if self.taken.get() + self.reserved.get() >= self.limit.get() {
            return Err(self.limit.get());
        }
        self.taken.set(self.taken.get() + 1);
        Ok(Slot(Rc::clone(self)))
    }
}

/// The right to one open socket.
#[derive(Debug)]
pub(crate) struct Slot(Rc<Slots>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_run_out_and_come_back() {
        let slots = Slots::new(3, 1);
        let first = slots.take().expect("a slot");
        let _second = slots.take().expect("a slot");
        assert_eq!(slots.take().expect_err("none left"), 3);
        drop(first);
        assert!(slots.take().is_ok());
    }

    #[test]
    fn a_new_limit_counts_what_is_taken() {
        let slots = Slots::new(3, 1);
        let both = [(); 2].map(|()| slots.take().expect("a slot"));
        slots.resize(4, 1);
        let third = slots.take().expect("one more");
        assert_eq!(slots.take().expect_err("none left"), 4);
        slots.resize(3, 2);
        drop(third);
        assert_eq!(slots.take().expect_err("two are too many"), 3);
        drop(both);
        assert!(slots.take().is_ok());
    }
}

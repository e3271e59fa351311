//! `worker_connections`: every socket has a slot, and every slot that is taken has a socket.

use std::cell::RefCell;

use fastrand::Rng;

use super::script::Server;
use super::world::World;

/// Slots that a worker has taken before the first client comes: those of its listeners and of its master.
const RESERVED: usize = 3 * Server::ALL.len() + 1;

/// More than anybody needs.
const PLENTY: usize = 10_000;

/// The slots of each worker.
pub(super) struct Slots {
    limit: usize,
    open: RefCell<Vec<usize>>,
}

impl Slots {
    /// In one of three simulations there are too few.
    pub(super) fn draw(random: &mut Rng) -> Self {
        let limit = if random.u8(..3) == 0 { RESERVED + random.usize(20..120) } else { PLENTY };
        Self { limit, open: RefCell::default() }
    }

    /// The value of `worker_connections`.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn are_scarce(&self) -> bool {
        self.limit < PLENTY
    }

    fn count(&self, service: usize) -> usize {
        self.open.borrow().get(service).copied().unwrap_or(0)
    }

    /// A socket of this worker is no more.
    pub(super) fn close(&self, service: usize) {
        self.open.borrow_mut()[service] -= 1;
    }
}

impl World {
    /// A worker has got a socket; which worker.
    pub(super) fn on_socket_opened(&self) -> usize {
        let owner = self.executor.owner();
        let service = owner.map_or(0, |owner| self.ledger.borrow().records[owner].service);
        {
            let open = &mut *self.slots.open.borrow_mut();
            open.resize(open.len().max(service + 1), 0);
            open[service] += 1;
        }
        service
    }

    /// There was no slot: so all of them must be in use.
    pub(super) fn on_no_slot(&self) {
        let Some(owner) = self.executor.owner() else { return self.complain("nobody needs a slot") };
        let service = self.ledger.borrow().records[owner].service;
        let (open, most) = (self.slots.count(service), self.slots.limit - RESERVED);
        if open != most {
            self.complain(format!("no slot is free with {open} sockets of {most}"));
        }
    }
}

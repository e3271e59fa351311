//! Sessions without a daemon around them: the real loop for whoever brings connections of his own.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use gatepost_protocol::address::{ClientAddr, Origin};

use super::Worker;
use crate::config::Config;
use crate::drive;
use crate::inlet::Inlets;
use crate::plan::Plan;
use crate::runtime::{Peer, Runtime};
use crate::sessions::Phase;
use crate::slots::Slots;
use crate::sys::Shared;

/// A worker on any runtime, simulated ones included. It opens no listener, file or signal descriptor; its clients are
/// handed in, and its log lines go to a function.
pub struct Service<R: Runtime> {
    worker: Rc<Worker<R>>,
    inlets: Vec<Rc<Inlets>>,
}

impl<R: Runtime> Service<R> {
    /// Serves what `config` configures; `log` gets each line as the error log would have it, without the LF.
    ///
    /// # Errors
    /// A message, where there is no memory for the shared counters.
    pub fn new(runtime: R, config: Config, log: impl Fn(&str) + 'static) -> Result<Self, String> {
        let plan = Plan::with_log_function(config, Rc::new(log))?;
        let shared = Shared::new().map_err(|errno| errno.desc().to_owned())?;
        let slots = Slots::new(plan.connections, plan.inlets.len() + 1);
        let worker = Worker::new(runtime, slots, plan.log, shared);
        worker.runtime.spawn(Rc::clone(&worker.deadlines).run(Rc::clone(&worker)));
        drive::install_hook();
        Ok(Self { worker, inlets: plan.inlets })
    }

    /// Begins the session of a client at `peer` that connected to `local`, through the `listen` with the address
    /// `listen`. False if there is none, or if no connection slot is free: the connection is closed then.
    pub fn accept(&self, listen: &Peer, stream: R::Stream, peer: ClientAddr, local: ClientAddr) -> bool {
        let inlets = self.inlets.iter().find(|inlets| inlets.bind.address == *listen);
        let inlet = inlets.and_then(|inlets| inlets.select(|| Ok(local)).ok());
        let (Some(inlet), Ok(slot)) = (inlet, self.worker.slots.take()) else { return false };
        let passed = self.worker.runtime.wall_clock().duration_since(UNIX_EPOCH);
        let unix_time = passed.map_or(0, |passed| passed.as_secs());
        let origin = Origin { peer, local, unix_time, entropy: self.worker.entropy() };
        drive::start(&self.worker, Rc::clone(inlet), stream, &origin, slot);
        true
    }

    /// Lets sessions end as a worker that was told to quit does: those that wait for a command now, the others when
    /// they are done.
    pub fn drain(&self) {
        self.worker.sessions.enter(Phase::Draining);
    }

    /// Ends the relays that are left (`worker_shutdown_timeout`).
    pub fn expire(&self) {
        self.worker.sessions.enter(Phase::Expired);
    }

    /// Ready when no session is left.
    pub fn poll_empty(&self, cx: &Context<'_>) -> Poll<()> {
        self.worker.sessions.poll_empty(cx)
    }
}

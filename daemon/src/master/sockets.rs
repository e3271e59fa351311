//! The listening sockets of this program, and what a new configuration changes about them.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use gatepost_protocol::config::Network;
use gatepost_protocol::event::Level;

use crate::inlet::Inlets;
use crate::listener::{self, Listening, Options};
use crate::log::{Log, LogFiles};
use crate::plan::Plan;
use crate::runtime::Peer;

/// Clients of the counters that may wait.
const METRICS_BACKLOG: i32 = 16;

/// All that listen, and which names in the file system are ours to remove.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) listening: Vec<Listening>,
    /// Those that old workers alone serve. They stay open until these go, who may be needed again.
    parting: Vec<Listening>,
    /// Addresses that a supervisor lent us.
    lent: Vec<Peer>,
    /// Addresses of those that are closed, but whose names are still there.
    closed: Vec<Peer>,
}

impl Sockets {
    pub(super) fn new(listening: Vec<Listening>, lent: Vec<Peer>) -> Self {
        Self { listening, parting: Vec::new(), lent, closed: Vec::new() }
    }

    /// Opens what the plan wants, an address in use in so many attempts, and sets apart what it does not want any more.
    /// The error has been logged.
    pub(super) fn follow(&mut self, plan: &Plan, attempts: u32, log: &Log) -> Result<(), String> {
        let served = self.listening.len();
        self.listening.append(&mut self.parting);
        let known = self.listening.len();
        let mut message = String::new();
        let opened = listener::open_all(&wanted(plan), &mut self.listening, attempts, |level, text| {
            log.note(level, text);
            // The first names the address; the last says no more than that it was in vain.
            if message.is_empty() {
                text.clone_into(&mut message);
            }
        });
        if opened.is_err() {
            let new = self.listening.split_off(known);
            new.iter().for_each(|listening| listener::forget(&listening.address));
            self.parting = self.listening.split_off(served);
            return Err(message);
        }
        self.sort(plan);
        Ok(())
    }

    /// Sets apart what the plan does not want of those that are open, and takes back what it does.
    pub(super) fn sort(&mut self, plan: &Plan) {
        let all = self.listening.drain(..).chain(self.parting.drain(..));
        (self.listening, self.parting) = all.partition(|kept| is_wanted(plan, &kept.address));
        // The name of one that was closed before is that of a new socket by now.
        let listening = &self.listening;
        self.closed.retain(|address| !listening.iter().any(|opened| opened.address == *address));
        self.adjust(plan);
    }

    /// Closes those that nobody of this master serves any more, and removes their names, unless another master still
    /// serves them (`is_shared`).
    pub(super) fn part(&mut self, is_shared: bool) {
        self.closed.extend(self.parting.drain(..).map(|listening| listening.address));
        if !is_shared {
            self.forget_closed();
        }
    }

    /// Takes what a new worker serves, and closes the rest in it: it must not keep an address from being free.
    pub(super) fn take(&mut self) -> Vec<Listening> {
        self.parting.clear();
        std::mem::take(&mut self.listening)
    }

    /// Sockets that stay open follow the options in the configuration.
    pub(super) fn adjust(&self, plan: &Plan) {
        for (address, options) in wanted(plan) {
            let listening = self.listening.iter().find(|listening| listening.address == address);
            if let Some(Err(error)) = listening.map(|listening| listener::adjust(listening, &options)) {
                plan.log.note(Level::Alert, &error.to_string());
            }
        }
    }

    /// Closes all. Their names stay until [`forget_all`](Self::forget_all).
    pub(super) fn close(&mut self) {
        let all = self.listening.drain(..).chain(self.parting.drain(..));
        self.closed.extend(all.map(|listening| listening.address));
    }

    /// Removes the names of those that are closed, and once only: what has such a name later is somebody else's.
    pub(super) fn forget_closed(&mut self) {
        let closed = std::mem::take(&mut self.closed);
        self.forget_addresses(&closed);
    }

    /// Removes the names of all, at the end.
    pub(super) fn forget_all(&mut self) {
        let open = self.listening.iter().chain(&self.parting);
        self.forget_addresses(open.map(|listening| &listening.address));
        self.forget_closed();
    }

    fn forget_addresses<'a>(&self, addresses: impl IntoIterator<Item = &'a Peer>) {
        addresses.into_iter().filter(|address| !self.is_lent(address)).for_each(listener::forget);
    }

    /// Whether the socket, with its name, is a supervisor's.
    pub(super) fn is_lent(&self, address: &Peer) -> bool {
        self.lent.contains(address)
    }
}

pub(super) fn wanted(plan: &Plan) -> Vec<(Peer, Options)> {
    let mail = plan.inlets.iter().map(|inlets| (inlets.bind.address.clone(), inlets.bind.options.clone()));
    let options = Options { backlog: METRICS_BACKLOG, ..Options::default() };
    mail.chain(plan.metrics.iter().map(|address| (address.clone(), options.clone()))).collect()
}

/// Whether the plan has a use for a socket of this address.
pub(super) fn is_wanted(plan: &Plan, address: &Peer) -> bool {
    plan.metrics.as_ref() == Some(address) || plan.inlets.iter().any(|inlets| inlets.bind.address == *address)
}

/// What a worker serves.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) listening: Vec<(Rc<Inlets>, OwnedFd)>,
    /// Where the counters are shown.
    pub(crate) metrics: Option<OwnedFd>,
    /// The main log.
    pub(crate) log: Log,
    pub(crate) log_files: Rc<LogFiles>,
    /// `worker_connections`.
    pub(crate) connections: usize,
    /// For how long nobody is accepted once descriptors have run out.
    pub(crate) accept_pause: Duration,
    /// Clients whose sessions are logged with all details.
    pub(crate) debug_connections: Rc<[Network]>,
}

impl Post {
    /// The sockets with those that come in through them.
    pub(super) fn new(plan: &Plan, listening: impl IntoIterator<Item = Listening>) -> Self {
        let (mut mail, mut metrics) = (Vec::new(), None);
        for Listening { address, socket } in listening {
            if let Some(inlets) = plan.inlets.iter().find(|inlets| inlets.bind.address == address) {
                mail.push((Rc::clone(inlets), socket));
            } else if plan.metrics.as_ref() == Some(&address) {
                metrics = Some(socket);
            }
        }
        Self {
            listening: mail,
            metrics,
            log: plan.log.clone(),
            log_files: Rc::clone(&plan.log_files),
            connections: plan.connections,
            accept_pause: plan.accept_pause,
            debug_connections: Rc::clone(&plan.debug_connections),
        }
    }

    /// Slots that listeners and the channel to the master need.
    pub(crate) fn reserved(&self) -> usize {
        self.listening.len() + usize::from(self.metrics.is_some()) + 1
    }
}

//! Which address of the auth server is asked, and for how long: the rules for servers that have several.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ledger::Record;
use super::script::{ADDRESSES, Script};
use super::watch::{AUTH_TIMEOUT, DELAY, SLACK};
use super::world::World;

/// How long an address that failed is asked last.
const PENALTY: Duration = Duration::from_secs(10);

/// What is known of the addresses of each server of each worker, and of the connections to them.
#[derive(Default)]
pub(super) struct Failover {
    /// How each address failed last.
    failed: BTreeMap<Key, [Option<Failure>; ADDRESSES]>,
    streams: BTreeMap<usize, Asked>,
}

/// Worker, protocol and server.
type Key = (usize, usize, usize);

#[derive(Clone, Copy)]
struct Failure {
    at: Duration,
    /// It may not have been one, or a byte came from the address since: whether that was the answer which makes up for
    /// the failure nobody can see here.
    is_doubtful: bool,
}

/// A connection to an address.
struct Asked {
    address: usize,
    opened_at: Duration,
    /// How long it may take to be connected.
    share: Duration,
    is_connected: bool,
    /// Nothing has come yet.
    is_silent: bool,
    /// A question is under way.
    is_waiting: bool,
    has_failed: bool,
}

fn key(script: &Script, record: &Record) -> Key {
    (record.service, script.protocol as usize, script.server as usize)
}

impl Failover {
    fn failed(&mut self, key: Key) -> &mut [Option<Failure>; ADDRESSES] {
        self.failed.entry(key).or_default()
    }

    /// What is wrong with beginning a question at this address.
    fn wrong_beginning(
        &mut self,
        key: Key,
        asked: (usize, bool),
        count: usize,
        now: Duration,
    ) -> Option<String> {
        let (address, is_new) = asked;
        let failed = *self.failed(key);
        // On a connection that was kept it began before its first byte could be written.
        let slack = if is_new { SLACK } else { DELAY };
        let is_up = |failure: Option<Failure>| failure.is_none_or(|it| now > it.at + PENALTY + slack);
        let is_down = |failure: Option<Failure>| {
            failure.is_some_and(|it| !it.is_doubtful && it.at + slack < now && now + SLACK < it.at + PENALTY)
        };
        if (0..address).any(|earlier| is_up(failed[earlier])) {
            return Some(format!("address {address} is asked before one in front of it that has not failed"));
        }
        if is_down(failed[address]) && (0..count).any(|other| is_up(failed[other])) {
            let since = failed[address].map(|failure| failure.at);
            return Some(format!("address {address}, down since {since:?}, is asked before one that is not"));
        }
        None
    }
}

impl World {
    /// A question begins, or goes on, on a connection to this address: a new one, if it has no number yet.
    pub(super) fn on_auth_asked(&self, owner: usize, address: usize, is_new: bool) {
        let now = self.passed();
        let script = &self.scripts[owner];
        let count = script.server.auth_addresses();
        let mut complaint = None;
        {
            let record = &mut self.ledger.borrow_mut().records[owner];
            if record.ask(now) {
                record.tried = [false; ADDRESSES];
                complaint = self.failover.borrow_mut().wrong_beginning(
                    key(script, record),
                    (address, is_new),
                    count,
                    now,
                );
            }
            if is_new && std::mem::replace(&mut record.tried[address], true) {
                complaint = Some(format!("address {address} of the auth server is asked twice"));
            }
        }
        if let Some(text) = complaint {
            self.complain(text);
        }
    }

    /// A connection to an address of the auth server is opened.
    pub(super) fn on_auth_opened(&self, owner: usize, stream: usize, address: usize) {
        let now = self.passed();
        let record = &self.ledger.borrow().records[owner];
        let tried = record.tried.iter().filter(|tried| **tried).count();
        let candidates = (self.scripts[owner].server.auth_addresses() + 1).saturating_sub(tried).max(1);
        let left = (record.auth_asked_at + AUTH_TIMEOUT).saturating_sub(now);
        let share = left / u32::try_from(candidates).unwrap_or(1);
        let asked = Asked {
            address,
            opened_at: now,
            share,
            is_connected: false,
            is_silent: true,
            is_waiting: true,
            has_failed: false,
        };
        self.failover.borrow_mut().streams.insert(stream, asked);
    }

    /// A piece of a question is written; which address gets it.
    pub(super) fn on_auth_written(&self, stream: usize) -> Option<usize> {
        let mut failover = self.failover.borrow_mut();
        let asked = failover.streams.get_mut(&stream)?;
        asked.is_waiting = true;
        Some(asked.address)
    }

    pub(super) fn on_auth_connected(&self, stream: usize, is_connected: bool) {
        {
            let mut failover = self.failover.borrow_mut();
            let Some(asked) = failover.streams.get_mut(&stream) else { return };
            asked.is_connected = is_connected;
        }
        if !is_connected {
            self.on_auth_failed(stream);
            self.on_auth_refused();
        }
    }

    /// An address could not be connected, and is to be in the log where there are others.
    pub(super) fn on_auth_refused(&self) {
        if let Some(owner) = self.executor.owner() {
            self.ledger.borrow_mut().records[owner].refused += 1;
        }
    }

    /// A byte came.
    pub(super) fn on_auth_heard(&self, stream: usize) {
        let Some(owner) = self.executor.owner() else { return };
        let mut failover = self.failover.borrow_mut();
        let Some(asked) = failover.streams.get_mut(&stream) else { return };
        (asked.is_silent, asked.is_waiting) = (false, false);
        let address = asked.address;
        let key = key(&self.scripts[owner], &self.ledger.borrow().records[owner]);
        if let Some(failure) = &mut failover.failed(key)[address] {
            failure.is_doubtful = true;
        }
    }

    /// A connection broke or ended; before a byte has come that is a failure of its address.
    pub(super) fn on_auth_lost(&self, stream: usize) {
        let is_silent = self.failover.borrow().streams.get(&stream).is_some_and(|asked| asked.is_silent);
        if is_silent {
            self.on_auth_failed(stream);
        } else {
            // An answer that breaks off is one for all that.
            self.on_auth_heard(stream);
        }
    }

    /// The address could not be reached in time, or not at all.
    fn on_auth_failed(&self, stream: usize) {
        let address = {
            let mut failover = self.failover.borrow_mut();
            let Some(asked) = failover.streams.get_mut(&stream) else { return };
            asked.has_failed = true;
            asked.address
        };
        self.on_address_failed(address, false);
    }

    pub(super) fn on_address_failed(&self, address: usize, is_doubtful: bool) {
        let Some(owner) = self.executor.owner() else { return };
        let key = key(&self.scripts[owner], &self.ledger.borrow().records[owner]);
        let failure = Failure { at: self.passed(), is_doubtful };
        self.failover.borrow_mut().failed(key)[address] = Some(failure);
    }

    /// A connection is dropped: with no connection in sight, at the end of its share and not later.
    pub(super) fn on_auth_dropped(&self, stream: usize) {
        let now = self.passed();
        let Some(asked) = self.failover.borrow_mut().streams.remove(&stream) else { return };
        if asked.has_failed {
            return;
        }
        let waited = now - asked.opened_at;
        if !asked.is_connected {
            if waited > asked.share + SLACK {
                self.complain(format!("an auth server was given {waited:?} instead of {:?}", asked.share));
            }
            // On a connection that was kept the question may have begun before its first byte could be seen.
            self.on_address_failed(asked.address, waited + SLACK < asked.share);
            return;
        }
        // Whoever has been silent for long may have failed, too, though nobody waits for its answer any more.
        let Some(owner) = self.executor.owner() else { return };
        let asked_at = self.ledger.borrow().records[owner].auth_asked_at;
        if asked.is_waiting || now + DELAY >= asked_at + AUTH_TIMEOUT {
            self.on_address_failed(asked.address, true);
        }
    }
}

//! DNS messages for two lookups: the name of an SMTP client, and the addresses of a backend. Queries out, answers in,
//! no sockets.
//!
//! A [`Resolver`] belongs to a worker: it knows how many name servers there are and remembers answers. A [`Lookup`]
//! belongs to a session: it asks for the name of the client's address and then whether that name leads back to the
//! address (spec/protocols.md section 8.3), or for all addresses of a name. To run one:
//!
//! 1. [`Resolver::lookup`] or [`Resolver::addresses`] begins it.
//! 2. Call [`Lookup::poll`] after that and after every `handle_*`.
//!    - [`Next::Ask`]: drop the socket of the query before, open a new one to this server (a new one each time: its
//!      random port is part of the defence against forged answers), connect it, and write the bytes.
//!    - [`Next::Wait`]: read from the socket; what comes goes to [`Lookup::handle_input`], an error or the end of a
//!      TCP stream to [`Lookup::handle_failure`], and the time, once reached, to [`Lookup::handle_deadline`].
//!    - [`Next::Done`]: the outcome. That of a client's name is what
//!      [`Completion::Resolved`](crate::action::Completion::Resolved) wants.
//!
//! Dropping a lookup cancels it.

mod cache;
mod goal;
mod lookup;
mod message;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use self::cache::Cache;
pub use self::cache::{Answer, Question};
pub use self::goal::{Addresses, ClientName, Goal, Turn};
pub use self::lookup::{Lookup, Next, Query, Transport};

/// `resolver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many name servers there are. The caller keeps their addresses; queries name them by index.
    pub servers: NonZeroUsize,
    /// `ipv4=`: whether A records are asked for.
    pub ipv4: bool,
    /// `ipv6=`: whether AAAA records are asked for.
    pub ipv6: bool,
    /// `valid=`: how long good answers are remembered instead of their own time to live.
    pub valid: Option<Duration>,
}

/// What the lookups of one worker share: settings, the next server's turn, remembered answers.
#[derive(Debug)]
pub struct Resolver {
    settings: Settings,
    turn: usize,
    cache: Cache,
}

impl Resolver {
    /// A resolver that remembers nothing yet, and later at most 4096 answers.
    pub fn new(settings: Settings) -> Self {
        Self { settings, turn: 0, cache: Cache::default() }
    }

    /// Begins the lookup of a client's name. `timeout` is `resolver_timeout`, which limits each of the two steps;
    /// query ids are derived from `entropy`, fresh random bytes.
    pub fn lookup(&mut self, client: IpAddr, timeout: Duration, entropy: [u8; 16], now: Instant) -> Lookup {
        let (goal, first) = ClientName::begin(client);
        Lookup::new(goal, first, self, timeout, entropy, now)
    }

    /// Begins the lookup of all addresses of a name. `timeout` limits each of the two steps, one for each family;
    /// query ids are derived from `entropy`, fresh random bytes, and so is which address comes first.
    pub fn addresses(
        &mut self,
        name: &str,
        timeout: Duration,
        entropy: [u8; 16],
        now: Instant,
    ) -> Lookup<Addresses> {
        let (goal, first) = Addresses::begin(name, entropy[0].into(), &self.settings);
        Lookup::new(goal, first, self, timeout, entropy, now)
    }

    /// The server whose turn it is.
    fn take_turn(&mut self) -> usize {
        let server = self.turn;
        self.turn = (server + 1) % self.settings.servers;
        server
    }
}

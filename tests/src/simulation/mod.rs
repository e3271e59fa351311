//! The daemon's own loop, auth pool, resolver and sessions in a simulated world.
//!
//! Everything is drawn from one number, the seed: what some hundred sessions do, how their auth server and backends
//! behave, how the network cuts, delays and loses what they say, in which order ready tasks run, and when the
//! configuration is reloaded. Time is virtual, so that a minute of patience costs nothing. The real
//! [`Service`](gatepost_daemon::Service) runs on that; watch and ledger look at every byte, connection and log line, and at the end
//! each session is judged by its own script.
//!
//! The same seed is the same run to the last event ([`Outcome::hash`]).
//!
//! ```text
//! script      what a session is going to be           watch     rules checked at each read, write, close, log line
//! executor    tasks, virtual time                     failover  those for auth servers with several addresses
//! network     connections in memory                   slots     those for `worker_connections`
//! runtime     gatepost_daemon::runtime on these       ledger    what has become of each session
//! director    clients, reloads, the end               verdict   what must have become of it
//!                                                     counters  what must have been counted
//!                                                     trace     everything that happened
//! client, auth_server, backend, name_server, relay    the peers; peer and secured: their ends of connections
//! ```
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a script is asked for one plan at a time; the rest is usual"
)]

mod auth_server;
mod backend;
mod client;
mod counters;
mod director;
mod executor;
mod failover;
mod identity;
mod ledger;
mod name_server;
mod network;
mod peer;
mod proxy_header;
mod relay;
mod runtime;
mod script;
mod secured;
mod slots;
mod trace;
mod verdict;
mod watch;
mod world;

use std::fmt::Write as _;

/// Sessions of one seed.
pub const SESSIONS: usize = 200;

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// Stands for everything that happened, in order.
    pub hash: u64,
    /// How many things happened.
    pub happenings: usize,
    /// How many sessions were accepted, and how many of them were logged in.
    pub accepted: usize,
    /// How many of those were relayed.
    pub logged_in: usize,
    /// The rules that were broken, with what led there; `None` if all held.
    pub complaint: Option<String>,
}

/// Runs one seed to its end.
pub fn run(seed: u64) -> Outcome {
    let scripts: Vec<_> = (0..SESSIONS).map(|session| script::Script::draw(seed, session)).collect();
    let world = world::World::new(seed, scripts);
    director::play(&world, seed);
    let outcome = outcome(&world, seed);
    world.executor.clear();
    outcome
}

fn outcome(world: &world::World, seed: u64) -> Outcome {
    let ledger = world.ledger.borrow();
    let trace = world.trace.borrow();
    let accepted = ledger.records.iter().filter(|record| record.accepted_at.is_some()).count();
    let logged_in = ledger.records.iter().map(|record| record.count("client logged in")).sum();
    let complaint = (!ledger.broken.is_empty()).then(|| report(world, &ledger, &trace, seed));
    Outcome { hash: trace.hash(), happenings: trace.len(), accepted, logged_in, complaint }
}

/// What somebody needs who looks for the cause.
fn report(world: &world::World, ledger: &ledger::Ledger, trace: &trace::Trace, seed: u64) -> String {
    const RULES_SHOWN: usize = 10;
    let mut text = format!("seed {seed} broke {} rules:\n", ledger.broken.len());
    for broken in ledger.broken.iter().take(RULES_SHOWN) {
        let session = broken.session.map_or_else(|| "-".to_owned(), |session| session.to_string());
        let _ = writeln!(text, "  {:.6} s, session {session}: {}", broken.at.as_secs_f64(), broken.text);
    }
    if let Some(session) = ledger.broken.iter().find_map(|broken| broken.session) {
        let _ = writeln!(text, "the script of session {session}: {:?}", world.scripts[session]);
        let _ = writeln!(text, "its last events:\n{}", trace.tail(Some(session), 100));
    }
    let _ = writeln!(text, "the last events of all:\n{}", trace.tail(None, 20));
    let _ = writeln!(text, "again: GATEPOST_SEED={seed} cargo test -p gatepost-tests --test simulation");
    text
}

//! Seeds of the simulation (`gatepost_tests::simulation`); see `tests/README.md`.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

use std::env;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gatepost_tests::simulation;

/// Where the sweep begins, unless `GATEPOST_FIRST_SEED` says something else.
const FIRST_SEED: u64 = 1;

/// How long the sweep goes on where nobody says how many seeds it is to have. It has [`LEAST`] in any case.
const TIME: Duration = Duration::from_secs(10);

/// Seeds that are run however long it takes.
const LEAST: u64 = 20;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

/// Shows a line past the capture of test output.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[test]
fn every_rule_holds_for_every_seed() {
    if let Some(seed) = number("GATEPOST_SEED") {
        let outcome = simulation::run(seed);
        say(&format!("seed {seed}: {} events, hash {:016x}", outcome.happenings, outcome.hash));
        assert!(outcome.complaint.is_none(), "{}", outcome.complaint.unwrap_or_default());
        return;
    }
    let first = number("GATEPOST_FIRST_SEED").unwrap_or(FIRST_SEED);
    let seeds = number("GATEPOST_SEEDS");
    let begin = Instant::now();
    let [next, done, accepted, logged_in] = [(); 4].map(|()| AtomicU64::new(0));
    let has_failed = AtomicBool::new(false);
    let is_enough = |begun: u64| {
        has_failed.load(Ordering::Relaxed)
            || match seeds {
                Some(seeds) => begun >= seeds,
                None => begun >= LEAST && begin.elapsed() >= TIME,
            }
    };
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if is_enough(number) {
                return None;
            }
            let outcome = simulation::run(first + number);
            done.fetch_add(1, Ordering::Relaxed);
            accepted.fetch_add(outcome.accepted as u64, Ordering::Relaxed);
            logged_in.fetch_add(outcome.logged_in as u64, Ordering::Relaxed);
            if outcome.complaint.is_some() {
                has_failed.store(true, Ordering::Relaxed);
                return outcome.complaint;
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let complaints: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(complaints.is_empty(), "{}", complaints[0]);
    say(&format!(
        "{} seeds, {} sessions, {} logins, {:?}",
        done.load(Ordering::Relaxed),
        accepted.load(Ordering::Relaxed),
        logged_in.load(Ordering::Relaxed),
        begin.elapsed()
    ));
}

#[test]
fn a_seed_is_the_same_run_every_time() {
    for seed in [3, 4] {
        let [first, second] = [(); 2].map(|()| simulation::run(seed));
        assert_eq!((first.hash, first.happenings), (second.hash, second.happenings), "seed {seed}");
        assert!(first.happenings > simulation::SESSIONS, "nothing happens in seed {seed}");
    }
    assert_ne!(simulation::run(3).hash, simulation::run(4).hash);
}

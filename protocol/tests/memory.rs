//! What a session holds while nothing happens, counted by the allocator.

#![allow(unsafe_code, reason = "counting what is allocated takes an allocator")]

mod support;
#[path = "support/tls.rs"]
mod tls;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gatepost_protocol::action::{Action, Side};
use gatepost_protocol::config::{Listener, Server, StartTls};
use proptest::prelude::*;
use support::server::{imap, listener, pop3, smtp};
use support::transcript::order;
use support::{Driver, SECOND};
use tls::{TlsClient, configs};

/// Counts what each thread holds: tests run beside each other.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counter any more, and no test that looks at it.
    let _ = HELD.try_with(|held| held.set(held.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `build` leaves on the heap, as long as its driver lives.
fn held_by(build: impl FnOnce() -> Driver) -> isize {
    let before = HELD.get();
    let mut driver = build();
    driver.client = Vec::new();
    driver.backend = Vec::new();
    driver.actions = Vec::new();
    HELD.get() - before
}

#[track_caller]
#[expect(clippy::disallowed_macros, clippy::print_stdout, reason = "the figures are for people too")]
fn check(what: &str, held: isize, budget: isize) {
    println!("{what}: {held} bytes of heap, {budget} allowed");
    assert!(held <= budget, "{what}: {held} bytes of heap, {budget} allowed");
}

fn implicit(server: Server) -> Listener {
    Listener { ssl: true, ..listener(Server { tls: Some(configs().0), ..server }) }
}

fn log_in(driver: &mut Driver) {
    order("accepted 127.0.0.1:1143 joe secret", driver);
    order("connected", driver);
    for line in ["* OK\r\n", "+ \r\n", "+ \r\n", "a1 OK done\r\n"] {
        driver.input(Side::Backend, line.as_bytes());
    }
    assert!(driver.is_relay());
}

#[test]
fn a_session_that_waits_for_a_command() {
    for (what, server) in
        [("IMAP", imap(StartTls::Off)), ("POP3", pop3(StartTls::Off)), ("SMTP", smtp(StartTls::Off))]
    {
        let listener = listener(server);
        let held = held_by(|| {
            let mut driver = Driver::open(&listener);
            driver.input(Side::Client, &b"NOOP\r\n".repeat(4));
            driver
        });
        check(&format!("{what}, greeted"), held, 1536);
    }
}

#[test]
fn a_plain_relay() {
    let listener = listener(imap(StartTls::Off));
    let held = held_by(|| {
        let mut driver = Driver::open(&listener);
        driver.input(Side::Client, b"a1 LOGIN joe secret\r\n");
        log_in(&mut driver);
        driver.input(Side::Client, b"a2 IDLE\r\n");
        driver.input(Side::Backend, b"+ idling\r\n");
        driver
    });
    check("relay, plain", held, 512);
}

#[test]
fn a_relay_with_tls_to_the_client() {
    let listener = implicit(imap(StartTls::Off));
    let mut client = TlsClient::new(usize::MAX);
    let mut driver = Driver::open(&listener);
    client.say(b"a1 LOGIN joe secret\r\n", &mut driver);
    log_in(&mut driver);
    driver.input(Side::Backend, b"* 1 EXISTS\r\n");
    client.exchange(&mut driver);
    client.say(b"a2 IDLE\r\n", &mut driver);
    // The client's own memory must not count: only what goes with the driver does.
    let held_by_driver = |driver: &mut Driver| {
        (driver.client, driver.backend, driver.actions) = (Vec::new(), Vec::new(), Vec::new());
        HELD.get()
    };
    let before = held_by_driver(&mut driver);
    drop(driver);
    let held = before - HELD.get();
    check("relay, TLS to the client", held, 5 * 1024);
}

#[test]
fn what_a_client_says_too_early_is_bounded() {
    let listener = listener(pop3(StartTls::Off));
    let held = held_by(|| {
        let mut driver = Driver::open(&listener);
        driver.input(Side::Client, b"USER joe\r\nPASS x\r\n");
        driver.take_actions();
        while driver.wants_input(Side::Client) {
            let limit = driver.input_limit(Side::Client);
            driver.input(Side::Client, &vec![b'x'; limit.min(100)]);
        }
        driver.wait(SECOND);
        driver
    });
    check("login under way, with a full buffer behind it", held, 1536 + 512);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// A caller that keeps to `input_limit` has a bound, whatever is said to it.
    #[test]
    fn no_peer_makes_a_session_hold_more_than_its_buffers(
        protocol in 0..3_usize,
        said in prop::collection::vec((any::<prop::sample::Index>(), 0..400_usize), 0..40),
    ) {
        let server = match protocol {
            0 => imap(StartTls::Off),
            1 => pop3(StartTls::Off),
            _ => smtp(StartTls::Off),
        };
        // One command or what comes behind it, one reply of a backend, and what a login is kept in.
        let budget = (1536 + server.client_buffer + server.proxy_buffer + 2048).cast_signed();
        let listener = listener(server);
        let before = HELD.get();
        let mut driver = Driver::open(&listener);
        for (word, noise) in said {
            let word = *word.get(&SAID);
            match word.strip_prefix("> ") {
                Some(_) if !is_awaited(word, &driver) => {}
                Some(outcome) => order(outcome, &mut driver),
                None => {
                    let bytes = [word.as_bytes(), &vec![b'x'; noise]].concat();
                    let side = if driver.wants_input(Side::Backend) { Side::Backend } else { Side::Client };
                    let limit = driver.input_limit(side).min(bytes.len());
                    driver.input(side, &bytes[..limit]);
                }
            }
            (driver.client, driver.backend) = (Vec::new(), Vec::new());
            let awaited = std::mem::take(&mut driver.actions);
            let held = HELD.get() - before;
            driver.actions = awaited.into_iter().filter(is_operation).collect();
            prop_assert!(held <= budget, "{held} bytes behind {word:?}");
        }
    }
}

/// Commands that keep something, replies that are gathered, and noise; `>` ends an operation.
const SAID: [&str; 16] = [
    "",
    "\r\n",
    "a LOGIN {300}\r\n",
    "a LOGIN \"",
    "a LOGIN joe x\r\n",
    "USER ",
    "USER joe\r\nPASS x\r\n",
    "AUTH LOGIN\r\n",
    "am9l\r\n",
    "EHLO x\r\nAUTH PLAIN AGpvZQB4\r\n",
    "> accepted 127.0.0.1:1143 joe secret",
    "> connected",
    "* OK ",
    "+OK ",
    "220-x",
    "250-x\r\n",
];

fn is_operation(action: &Action) -> bool {
    matches!(action, Action::Authenticate(_) | Action::Connect(_))
}

/// Whether the session waits for this outcome.
fn is_awaited(word: &str, driver: &Driver) -> bool {
    let expected = if word == "> connected" {
        |action: &Action| matches!(action, Action::Connect(_))
    } else {
        |action: &Action| matches!(action, Action::Authenticate(_))
    };
    driver.actions.last().is_some_and(expected)
}

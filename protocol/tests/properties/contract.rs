//! Whatever happens, in whatever order: a session does not panic, it keeps its contract with the caller, and no byte
//! reaches a backend but by the latest login, once the auth server has let it in.

use gatepost_protocol::action::{Action, Completion, ConnectFailure, DnsError, Errno, LookupFailure, Side};
use gatepost_protocol::auth::{AuthFailure, AuthReply};
use gatepost_protocol::config::{Listener, Protocol, Server, StartTls};
use gatepost_protocol::session::SocketFailure;
use proptest::prelude::*;

use super::support::server::{imap, listener, pop3, smtp_with};
use super::support::{Driver, SECOND, transcript};
use super::tls;

/// One thing that may happen.
#[derive(Clone, Debug)]
enum Input {
    Client(Vec<u8>),
    Backend(Vec<u8>),
    Eof(Side),
    Failure(Side),
    /// The outcome of what is under way, if anything is: good, or bad in one of several ways.
    Outcome(u8),
    /// Seconds pass.
    Sleep(u32),
    Shutdown,
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => client_bytes().prop_map(Input::Client),
        4 => backend_bytes().prop_map(Input::Backend),
        4 => any::<u8>().prop_map(|way| Input::Outcome(way % 8)),
        1 => side().prop_map(Input::Eof),
        1 => side().prop_map(Input::Failure),
        1 => (0_u32..100).prop_map(Input::Sleep),
        1 => Just(Input::Shutdown),
    ]
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Client), Just(Side::Backend)]
}

/// Commands that lead somewhere, mutilated ones, and noise.
fn client_bytes() -> impl Strategy<Value = Vec<u8>> {
    let command = prop::sample::select(vec![
        "USER joe\r\n",
        "PASS x\r\n",
        "AUTH PLAIN AGpvZQB4\r\n",
        "STLS\r\n",
        "a LOGIN joe x\r\n",
        "a LOGIN {3}\r\njoe {1+}\r\nx\r\n",
        "a AUTHENTICATE LOGIN\r\n",
        "a STARTTLS\r\n",
        "EHLO x\r\n",
        "STARTTLS\r\n",
        "MAIL FROM:<a@b>\r\n",
        "RCPT TO:<c@d>\r\n",
        "PROXY TCP4 198.51.100.7 192.0.2.1 5 110\r\n",
        "NOOP\r\n",
    ]);
    prop_oneof![
        3 => command.clone().prop_map(|command| command.as_bytes().to_vec()),
        1 => (command, 0_usize..40).prop_map(|(command, end)| command.bytes().take(end).collect()),
        1 => prop::collection::vec(any::<u8>(), 0..700),
    ]
}

fn backend_bytes() -> impl Strategy<Value = Vec<u8>> {
    let reply = prop::sample::select(vec![
        "+OK\r\n",
        "-ERR no\r\n",
        "* OK\r\n",
        "+ \r\n",
        "a OK\r\n",
        "a NO no\r\n",
        "220 x\r\n",
        "250 x\r\n",
        "250-x\r\n",
        "550 no\r\n",
        "235 x\r\n",
    ]);
    prop_oneof![
        5 => reply.prop_map(|reply| reply.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..700),
    ]
}

fn client(line: &str) -> Input {
    Input::Client(line.as_bytes().to_vec())
}

fn backend(lines: &[&str]) -> impl Iterator<Item = Input> {
    lines.iter().map(|line| Input::Backend(line.as_bytes().to_vec()))
}

/// Up to the greeting.
fn opening(listener: &Listener) -> Vec<Input> {
    let mut way = Vec::new();
    if listener.proxy_protocol {
        way.push(client("PROXY TCP4 198.51.100.7 192.0.2.1 5 110\r\n"));
    }
    if listener.server.protocol() == Protocol::Smtp {
        way.extend([Input::Outcome(7), Input::Sleep(1)]);
    }
    way
}

fn login(listener: &Listener) -> Input {
    client(match listener.server.protocol() {
        Protocol::Imap => "a LOGIN joe x\r\n",
        Protocol::Pop3 => "USER joe\r\nPASS x\r\n",
        Protocol::Smtp => "EHLO x\r\nAUTH PLAIN AGpvZQB4\r\n",
    })
}

/// A login that leads nowhere and lets the client try again.
fn failed_login(listener: &Listener, way: u8) -> Vec<Input> {
    let refusal = match listener.server.protocol() {
        Protocol::Imap => ["* OK\r\n", "a NO no\r\n"],
        Protocol::Pop3 => ["+OK\r\n", "-ERR no\r\n"],
        Protocol::Smtp => ["220 x\r\n", "550 no\r\n"],
    };
    // An SMTP backend that refuses anything but AUTH ends the session.
    let is_passed = listener.server.pass_error_message && listener.server.protocol() != Protocol::Smtp;
    let mut inputs = vec![login(listener)];
    match way {
        0 if is_passed => {
            inputs.extend([Input::Outcome(7), Input::Outcome(7)]);
            inputs.extend(backend(&refusal));
            inputs.push(Input::Sleep(2));
        }
        0 | 1 => inputs.extend([Input::Outcome(0), Input::Sleep(3)]),
        _ => inputs.push(Input::Outcome(3)),
    }
    inputs
}

/// How a session gets to its relay, where nothing goes wrong but these logins at first.
fn good_way(listener: &Listener, failed_logins: &[u8]) -> Vec<Input> {
    let replies: &[&str] = match listener.server.protocol() {
        Protocol::Imap => &["* OK\r\n", "+ \r\n", "+ \r\n", "a OK\r\n"],
        Protocol::Pop3 => &["+OK\r\n", "+OK\r\n", "+OK\r\n"],
        Protocol::Smtp => &["220 x\r\n", "250-x\r\n250 XCLIENT NAME\r\n", "220 x\r\n", "250 x\r\n"],
    };
    let mut way = opening(listener);
    way.extend(failed_logins.iter().flat_map(|&failed| failed_login(listener, failed)));
    way.extend([login(listener), Input::Outcome(7), Input::Outcome(7)]);
    way.extend(backend(replies));
    way
}

fn failed_logins() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0_u8..3, 0..3)
}

fn listeners() -> impl Strategy<Value = Listener> {
    (0_u8..3, any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(protocol, resolve, delay, proxy_protocol, pass_error_message)| {
            let server = match protocol {
                0 => imap(StartTls::On),
                1 => pop3(StartTls::On),
                _ => smtp_with(StartTls::On, true, |settings| {
                    settings.greeting_delay = SECOND * u32::from(delay);
                }),
            };
            let tls = Some(tls::configs().0);
            let server = Server { resolve, tls, pass_error_message, ..server };
            Listener { proxy_protocol, ..listener(server) }
        },
    )
}

/// What is under way, and which legs are open, as a caller would know it from the actions.
#[derive(Default)]
struct Ledger {
    waiting: Option<&'static str>,
    /// The auth server let the latest attempt in.
    is_accepted: bool,
    is_backend_open: bool,
    is_client_closed: bool,
    is_finished: bool,
}

impl Ledger {
    fn note(&mut self, action: &Action) {
        assert!(!self.is_finished, "{action:?} behind Finish");
        match action {
            Action::Authenticate(_) => {
                assert!(!self.is_backend_open, "a backend from the attempt before");
                self.is_accepted = false;
                self.begin("auth");
            }
            Action::Resolve(_) => self.begin("resolve"),
            Action::Connect(_) => {
                assert!(self.is_accepted && !self.is_backend_open);
                self.begin("connect");
            }
            Action::Cancel => assert!(self.waiting.take().is_some(), "nothing to cancel"),
            Action::Relay => assert!(self.waiting.is_none() && self.may_write_to_backend()),
            Action::Shutdown(side) => assert!(*side == Side::Client || self.is_backend_open),
            Action::Close(Side::Backend) | Action::Abort(Side::Backend) => {
                assert!(std::mem::take(&mut self.is_backend_open), "no backend to close");
            }
            Action::Close(Side::Client) | Action::Abort(Side::Client) => {
                assert!(!std::mem::replace(&mut self.is_client_closed, true), "closed twice");
            }
            Action::Log(..) => {}
            Action::Finish => {
                assert!(self.is_client_closed && !self.is_backend_open && self.waiting.is_none());
                self.is_finished = true;
            }
        }
    }

    /// Whether there may be a byte for the backend. What is written before it is closed is still its.
    fn may_write_to_backend(&self) -> bool {
        self.is_accepted && self.is_backend_open
    }

    fn begin(&mut self, what: &'static str) {
        assert_eq!(self.waiting.replace(what), None, "one at a time");
    }

    /// The outcome of what is under way.
    fn complete(&mut self, way: u8, driver: &mut Driver) {
        match self.waiting.take() {
            None => {}
            Some("resolve") => driver.complete(Completion::Resolved(match way {
                0 => Err(LookupFailure::Address(DnsError::NotFound)),
                1 => Err(LookupFailure::Mismatch),
                _ => Ok("mail.example".into()),
            })),
            Some("connect") if way == 0 => {
                driver.complete(Completion::Connected(Err(ConnectFailure::NoSlots(1))));
            }
            Some("connect") => {
                self.is_backend_open = true;
                driver.complete(Completion::Connected(Ok(())));
            }
            Some(_) => match way {
                0 => transcript::order("refused 3 no", driver),
                1 => transcript::order("refused 0 no", driver),
                2 => driver.complete(Completion::Auth(Ok(AuthReply::Wait(SECOND * 2)))),
                3 => driver.complete(Completion::Auth(Err(AuthFailure::Closed))),
                4 => driver.complete(Completion::Auth(Err(AuthFailure::NoStatus))),
                _ => {
                    self.is_accepted = true;
                    transcript::order("accepted 127.0.0.1:1 joe pw", driver);
                }
            },
        }
    }
}

fn apply(input: &Input, driver: &mut Driver, ledger: &mut Ledger) {
    match input {
        Input::Client(bytes) => driver.input(Side::Client, bytes),
        Input::Backend(bytes) => driver.input(Side::Backend, bytes),
        Input::Eof(side) => driver.eof(*side),
        Input::Failure(side) => driver.failure(*side, SocketFailure::Send(Errno(32))),
        Input::Outcome(way) => ledger.complete(*way, driver),
        Input::Sleep(seconds) => driver.wait(SECOND * *seconds),
        Input::Shutdown => driver.shut_down(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_session_keeps_its_contract(
        listener in listeners(),
        failed_logins in failed_logins(),
        steps in 0_usize..22,
        disturbance in prop::option::of(input()),
        inputs in prop::collection::vec(input(), 0..30),
    ) {
        let mut driver = Driver::open(&listener);
        let mut ledger = Ledger::default();
        driver.take_actions().iter().for_each(|action| ledger.note(action));
        let mut way = good_way(&listener, &failed_logins);
        way.truncate(steps);
        way.extend(inputs);
        if let Some(disturbance) = disturbance {
            way.insert(steps.min(way.len()) / 2, disturbance);
        }
        for input in &way {
            apply(input, &mut driver, &mut ledger);
            let written = driver.take_backend();
            prop_assert!(ledger.may_write_to_backend() || written.is_empty(), "{written:?}");
            driver.take_actions().iter().for_each(|action| ledger.note(action));
        }
        // Nothing waits for ever but what a caller was asked for.
        if ledger.waiting.is_none() && !ledger.is_finished {
            driver.wait(SECOND * 4000);
            driver.take_actions().iter().for_each(|action| ledger.note(action));
            prop_assert!(ledger.is_finished || ledger.waiting.is_some());
        }
    }

    #[test]
    fn where_nothing_goes_wrong_a_session_gets_to_its_relay(
        listener in listeners(),
        failed_logins in failed_logins(),
    ) {
        let mut driver = Driver::open(&listener);
        let mut ledger = Ledger::default();
        driver.take_actions().iter().for_each(|action| ledger.note(action));
        for input in good_way(&listener, &failed_logins) {
            apply(&input, &mut driver, &mut ledger);
            driver.take_actions().iter().for_each(|action| ledger.note(action));
        }
        prop_assert!(driver.is_relay());
    }
}

//! Whatever bytes come in: nothing is written in clear to a leg that has had TLS.

use std::io::{Read, Write};

use gatepost_protocol::action::{Action, Errno, Side};
use gatepost_protocol::config::{Listener, Protocol, ProxySsl, Server, StartTls};
use gatepost_protocol::session::SocketFailure;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

use super::support::server::{NAME, imap, pop3, smtp};
use super::support::{Driver, SECOND, transcript};
use super::tls::{configs, secured, take_clear, with_backend_tls};

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A peer says these words, under TLS if it has that, and sends these bytes right behind them.
    Say(Side, &'static str, Vec<u8>),
    /// A peer begins TLS.
    Secure(Side),
    /// The auth server lets the client in, or the backend is connected, where that is waited for.
    GoOn,
    Eof(Side),
    Failure(Side),
    Sleep(u32),
}

fn say(side: Side, words: &'static str) -> Step {
    Step::Say(side, words, Vec::new())
}

/// How one login goes.
fn login(protocol: Protocol, mode: ProxySsl, last: &'static str) -> Vec<Step> {
    let (command, clear, secured): (_, &[_], &[_]) = match protocol {
        Protocol::Imap => ("a LOGIN joe x\r\n", &["* OK\r\n", "starttls OK\r\n"], &["+ \r\n", "+ \r\n"]),
        Protocol::Pop3 => ("USER joe\r\nPASS x\r\n", &["+OK\r\n", "+OK\r\n"], &["+OK\r\n"]),
        Protocol::Smtp => (
            "EHLO x\r\nAUTH PLAIN AGpvZQB4\r\n",
            &["220 x\r\n", "250-x\r\n250 STARTTLS\r\n", "220 x\r\n"],
            &[],
        ),
    };
    let again = if protocol == Protocol::Imap { "capability OK\r\n" } else { "" };
    let backend = |words: &'static str| say(Side::Backend, words);
    let mut steps = vec![say(Side::Client, command), Step::GoOn, Step::GoOn];
    match mode {
        ProxySsl::Off => steps.push(backend(clear[0])),
        ProxySsl::On => steps.extend([Step::Secure(Side::Backend), backend(clear[0])]),
        ProxySsl::StartTls => {
            steps.extend(clear.iter().map(|words| backend(words)));
            steps.extend([Step::Secure(Side::Backend), backend(again)]);
        }
    }
    steps.extend(secured.iter().map(|words| backend(words)));
    steps.push(backend(last));
    steps
}

/// A session that gets to its relay, at the second login if the first is to be refused.
fn way(protocol: Protocol, mode: ProxySsl, starttls: StartTls, is_refused: bool) -> Vec<Step> {
    let (command, refusal, last) = match protocol {
        Protocol::Imap => ("a STARTTLS\r\n", "a NO no\r\n", "a OK\r\n"),
        Protocol::Pop3 => ("STLS\r\n", "-ERR no\r\n", "+OK\r\n"),
        Protocol::Smtp => ("EHLO x\r\nSTARTTLS\r\n", "", "250 x\r\n"),
    };
    let mut way = Vec::new();
    if starttls == StartTls::On {
        way.push(say(Side::Client, command));
    }
    way.push(Step::Secure(Side::Client));
    if is_refused && protocol != Protocol::Smtp {
        way.extend(login(protocol, mode, refusal));
        way.push(Step::Sleep(2));
    }
    way.extend(login(protocol, mode, last));
    way.extend([say(Side::Client, "in secret\r\n"), say(Side::Backend, "in secret\r\n")]);
    way
}

fn server(protocol: Protocol, mode: ProxySsl, starttls: StartTls) -> Listener {
    let server = match protocol {
        Protocol::Imap => imap(starttls),
        Protocol::Pop3 => pop3(starttls),
        Protocol::Smtp => smtp(starttls),
    };
    let server = Server { pass_error_message: true, ..server };
    let server = if mode == ProxySsl::Off { server } else { with_backend_tls(mode, server) };
    Listener { ssl: starttls == StartTls::Off, ..secured(server) }
}

/// One leg from its peer's side.
struct Peer {
    side: Side,
    tls: Option<Connection>,
    is_open: bool,
}

impl Peer {
    fn new(side: Side, is_open: bool) -> Self {
        Self { side, tls: None, is_open }
    }

    fn secure(&mut self, driver: &mut Driver) {
        match self.side {
            Side::Client if self.tls.is_none() => {
                driver.take_client();
                let name = ServerName::try_from(NAME).expect("a name");
                self.tls = Some(ClientConnection::new(configs().1, name).expect("a client").into());
            }
            // The session begins; where it has not, something went wrong before.
            Side::Backend if self.tls.is_none() => {
                take_clear(driver);
                if !driver.backend.is_empty() {
                    self.tls = Some(ServerConnection::new(configs().0).expect("a server").into());
                }
            }
            Side::Client | Side::Backend => {}
        }
    }

    /// Says something, and passes records to and fro until both ends are silent.
    fn say(&mut self, words: &str, junk: &[u8], driver: &mut Driver) {
        let Some(tls) = &mut self.tls else {
            return if self.is_open {
                driver.input(self.side, &[words.as_bytes(), junk].concat())
            };
        };
        // A peer that was told of its error says no more.
        drop(tls.writer().write_all(words.as_bytes()));
        let mut junk = junk;
        loop {
            let heard = std::mem::take(match self.side {
                Side::Client => &mut driver.client,
                Side::Backend => &mut driver.backend,
            });
            assert_records(&heard);
            let mut rest = &heard[..];
            while !rest.is_empty() && tls.read_tls(&mut rest).is_ok() && tls.process_new_packets().is_ok() {
                // What is said does not matter, nor whether it ends properly.
                drop(tls.reader().read_to_end(&mut Vec::new()));
            }
            let mut wire = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut wire).expect("a vector takes all");
            }
            wire.extend_from_slice(std::mem::take(&mut junk));
            let side = self.side;
            let is_end =
                |action: &Action| matches!(action, Action::Close(leg) | Action::Abort(leg) if *leg == side);
            self.is_open &= !driver.actions.iter().any(is_end);
            if !self.is_open || wire.is_empty() && heard.is_empty() {
                return;
            }
            driver.input(self.side, &wire);
        }
    }
}

/// That these bytes are whole records of TLS (RFC 8446 section 5.1), and nothing else.
fn assert_records(wire: &[u8]) {
    let mut rest = wire;
    while !rest.is_empty() {
        let [20..=23, 3, 1 | 3, high, low, behind @ ..] = rest else {
            panic!("in clear: {}", rest.escape_ascii());
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(length <= behind.len(), "a record is cut off: {}", rest.escape_ascii());
        rest = &behind[length..];
    }
}

/// Plays the steps; whether that ends in a relay that is not over.
fn play(listener: &Listener, steps: &[Step]) -> bool {
    let mut driver = Driver::open(listener);
    let mut peers = [Peer::new(Side::Client, true), Peer::new(Side::Backend, false)];
    let mut waiting = None;
    for step in steps {
        let [client, backend] = &mut peers;
        let peer = |side: &Side| match side {
            Side::Client => client,
            Side::Backend => backend,
        };
        match step {
            Step::Say(side, words, junk) => peer(side).say(words, junk, &mut driver),
            Step::Secure(side) => peer(side).secure(&mut driver),
            Step::GoOn => {
                if let Some(order) = waiting.take() {
                    transcript::order(order, &mut driver);
                    peer(&Side::Backend).is_open = order == "connected";
                }
            }
            Step::Eof(side) => {
                if peer(side).is_open {
                    driver.eof(*side);
                }
            }
            Step::Failure(side) => {
                if std::mem::take(&mut peer(side).is_open) {
                    driver.failure(*side, SocketFailure::Receive(Errno(104)));
                }
            }
            Step::Sleep(seconds) => driver.wait(SECOND * *seconds),
        }
        peers.iter_mut().for_each(|peer| peer.say("", b"", &mut driver));
        for action in driver.take_actions() {
            if let Action::Authenticate(_) = action {
                waiting = Some("accepted 127.0.0.1:1");
            } else if let Action::Connect(_) = action {
                waiting = Some("connected");
                peers[1] = Peer::new(Side::Backend, false);
            } else if action == Action::Cancel {
                waiting = None;
            }
        }
    }
    driver.is_relay() && driver.deadline().is_some()
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop::sample::select(vec![Protocol::Imap, Protocol::Pop3, Protocol::Smtp])
}

fn modes() -> impl Strategy<Value = ProxySsl> {
    prop::sample::select(vec![ProxySsl::Off, ProxySsl::On, ProxySsl::StartTls])
}

fn starttls() -> impl Strategy<Value = StartTls> {
    prop::sample::select(vec![StartTls::Off, StartTls::On])
}

/// Noise, an alert in clear, the beginning of a record, and a record that does not decrypt.
fn junk() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..40),
        Just(vec![21, 3, 3, 0, 2, 2, 40]),
        Just(vec![23, 3, 3, 0, 30, 0]),
        prop::collection::vec(any::<u8>(), 17..40).prop_map(|bytes| [
            &[23, 3, 3, 0, bytes.len() as u8],
            &bytes[..]
        ]
        .concat()),
    ]
}

fn disturbance() -> impl Strategy<Value = Step> {
    let side = || prop::sample::select(vec![Side::Client, Side::Backend]);
    let words = prop::sample::select(vec!["QUIT\r\n", "a LOGIN joe x\r\n", "+OK\r\n", "a OK\r\n", ""]);
    prop_oneof![
        4 => (side(), words, junk()).prop_map(|(side, words, junk)| Step::Say(side, words, junk)),
        1 => side().prop_map(Step::Eof),
        1 => side().prop_map(Step::Failure),
        1 => (0_u32..100).prop_map(Step::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_leg_that_has_had_tls_is_never_written_to_in_clear(
        protocol in protocols(),
        mode in modes(),
        starttls in starttls(),
        is_refused: bool,
        broken in any::<prop::sample::Index>(),
        junk in junk(),
        disturbance in prop::option::of((any::<prop::sample::Index>(), disturbance())),
    ) {
        let mut way = way(protocol, mode, starttls, is_refused);
        // In clear, bytes are as good as others.
        let first = way.iter().position(|step| matches!(step, Step::Secure(_))).unwrap_or_default();
        let mut words: Vec<_> = way[first..]
            .iter_mut()
            .filter_map(|step| if let Step::Say(_, _, junk) = step { Some(junk) } else { None })
            .collect();
        let broken = broken.index(words.len());
        *words[broken] = junk;
        if let Some((place, step)) = disturbance {
            way.insert(first + 1 + place.index(way.len() - first), step);
        }
        play(&server(protocol, mode, starttls), &way);
    }

    #[test]
    fn where_nothing_is_broken_there_is_a_relay(
        protocol in protocols(),
        mode in modes(),
        starttls in starttls(),
        is_refused: bool,
    ) {
        let way = way(protocol, mode, starttls, is_refused);
        prop_assert!(play(&server(protocol, mode, starttls), &way));
    }
}

//! What name servers say to the lookup of a client's name, or of a backend's addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use gatepost_protocol::dns::{Goal, Lookup, Next, Query, Resolver, Settings, Transport};

use crate::origin::start;

/// Answers of name servers. The first byte is choices: two bits count the servers; then `valid=`, no IPv4, no IPv6, a
/// client of IPv6, the addresses of a backend's name instead of a client's name, and the same lookup once more. The rest
/// is a row of pieces: a byte for the kind, a byte for the length, and so many bytes. Answers echo id and question of
/// what was asked, as otherwise they would be nobody's; kind `r` is raw instead; `f` fails, `d` lets time pass.
///
/// A lookup ends, asks a bounded number of times, and gives a name that is one, or addresses of a family that was asked
/// for.
pub fn dns_answer(data: &[u8]) {
    let Some((choice, pieces)) = data.split_first() else { return };
    let choice = *choice;
    let mut resolver = resolver(choice);
    let now = start();
    for _ in 0..if choice & 128 == 0 { 1 } else { 2 } {
        if choice & 64 == 0 {
            let client = if choice & 32 == 0 { IPV4 } else { IPV6 };
            let lookup = resolver.lookup(client, TIMEOUT, ENTROPY, now);
            if let Ok(name) = Run::begin(&mut resolver, lookup).play(pieces) {
                assert_name(&name);
            }
        } else {
            let lookup = resolver.addresses("backend.example", TIMEOUT, ENTROPY, now);
            if let Ok(addresses) = Run::begin(&mut resolver, lookup).play(pieces) {
                assert!(!addresses.is_empty(), "success without an address");
                // Without either family IPv6 is asked for: the daemon does not let that be configured.
                let is_asked = |address: &IpAddr| choice & if address.is_ipv4() { 8 } else { 16 } == 0;
                assert!(choice & 24 == 24 || addresses.iter().all(is_asked), "{addresses:?}");
            }
        }
    }
}

fn resolver(choice: u8) -> Resolver {
    let servers = NonZeroUsize::new(usize::from(choice & 3) + 1).expect("at least one");
    let valid = (choice & 4 != 0).then(|| Duration::from_secs(30));
    Resolver::new(Settings { servers, ipv4: choice & 8 == 0, ipv6: choice & 16 == 0, valid })
}

fn assert_name(name: &str) {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    assert!(!name.is_empty() && name.bytes().all(is_letter), "{name:?}");
    assert!(name.len() <= 255);
}

struct Run<'a, G: Goal> {
    resolver: &'a mut Resolver,
    lookup: Lookup<G>,
    now: Instant,
    query: Query,
    queries: usize,
    deadline: Instant,
    outcome: Option<G::Outcome>,
}

impl<'a, G: Goal> Run<'a, G> {
    fn begin(resolver: &'a mut Resolver, lookup: Lookup<G>) -> Self {
        let query = Query { server: 0, transport: Transport::Udp, bytes: Vec::new() };
        let now = start();
        let mut run = Self { resolver, lookup, now, query, queries: 0, deadline: now, outcome: None };
        run.poll();
        run
    }

    fn play(mut self, mut rest: &[u8]) -> G::Outcome {
        while let [kind, length, following @ ..] = rest
            && self.outcome.is_none()
        {
            let (piece, next) = following.split_at(following.len().min(usize::from(*length)));
            rest = next;
            match kind {
                b'r' => self.hear(piece),
                b'f' => self.lookup.handle_failure(self.resolver, self.now),
                b'd' => self.reach_deadline(),
                _ => self.hear(&answer(&self.query, piece)),
            }
            self.poll();
        }
        for _ in 0..MOST_QUERIES {
            if let Some(outcome) = self.outcome {
                return outcome;
            }
            self.reach_deadline();
            self.poll();
        }
        panic!("the lookup does not end");
    }

    fn poll(&mut self) {
        loop {
            match self.lookup.poll() {
                Next::Ask(query) => {
                    self.queries += 1;
                    assert!(self.queries < MOST_QUERIES, "it asks without end");
                    self.query = query;
                }
                Next::Wait(deadline) => {
                    self.deadline = deadline;
                    return;
                }
                Next::Done(outcome) => {
                    self.outcome = Some(outcome);
                    return;
                }
            }
        }
    }

    /// TCP brings one byte at a time.
    fn hear(&mut self, message: &[u8]) {
        match self.query.transport {
            Transport::Udp => self.lookup.handle_input(message, self.resolver, self.now),
            Transport::Tcp => {
                let length = u16::try_from(message.len()).expect("a piece is short").to_be_bytes();
                for byte in [&length[..], message].concat() {
                    if !matches!(self.lookup.poll(), Next::Wait(_)) {
                        return;
                    }
                    self.lookup.handle_input(&[byte], self.resolver, self.now);
                }
            }
        }
    }

    fn reach_deadline(&mut self) {
        self.now = self.now.max(self.deadline);
        self.lookup.handle_deadline(self.resolver, self.now);
    }
}

/// Id and question are the query's. Of the piece the first byte holds the response code and, in bit 4, whether the answer
/// is truncated; the second counts the answer records; these follow.
fn answer(query: &Query, piece: &[u8]) -> Vec<u8> {
    let query = match query.transport {
        Transport::Udp => &query.bytes[..],
        Transport::Tcp => &query.bytes[2..],
    };
    let [kind, count, records @ ..] = piece else { return Vec::new() };
    let truncated = (kind & 16) >> 3;
    let header = [0x81 | truncated, 0x80 | kind & 15, 0, 1, 0, *count, 0, 0, 0, 0];
    [&query[..2], &header, &query[12..], records].concat()
}

const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 26));
const IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const ENTROPY: [u8; 16] = *b"no randomness :)";
const TIMEOUT: Duration = Duration::from_secs(30);

/// Two steps, 50 aliases, four servers, UDP and TCP: and then some.
const MOST_QUERIES: usize = 1000;

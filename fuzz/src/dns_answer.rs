//! What a name server says to the lookup of a client's name.

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use gatepost_protocol::dns::{Lookup, Next, Query, Resolver, Settings, Transport};

use crate::session::start;

/// Answers of name servers. The input is a row of pieces: a byte for the kind, a byte for the length, and so many bytes.
/// Answers echo id and question of what was asked, as otherwise they would be nobody's; kind `r` is raw instead; `f`
/// fails, `d` lets time pass.
///
/// A lookup ends, asks a bounded number of times, and gives a name that is one.
pub fn dns_answer(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let mut run = Run::begin(*choice);
    while let [kind, length, following @ ..] = rest {
        if run.is_over {
            break;
        }
        let (piece, next) = following.split_at(following.len().min(usize::from(*length)));
        rest = next;
        match kind {
            b'r' => run.hear(piece),
            b'f' => run.lookup.handle_failure(&mut run.resolver, run.now),
            b'd' => run.reach_deadline(),
            _ => run.hear(&answer(&run.query, piece)),
        }
        run.poll();
    }
    for _ in 0..MOST_QUERIES {
        if run.is_over {
            return;
        }
        run.reach_deadline();
        run.poll();
    }
    panic!("the lookup does not end");
}

struct Run {
    resolver: Resolver,
    lookup: Lookup,
    now: Instant,
    query: Query,
    queries: usize,
    deadline: Instant,
    is_over: bool,
}

impl Run {
    fn begin(choice: u8) -> Self {
        let servers = NonZeroUsize::new(usize::from(choice & 3) + 1).expect("at least one");
        let valid = (choice & 4 != 0).then(|| Duration::from_secs(30));
        let mut resolver =
            Resolver::new(Settings { servers, ipv4: choice & 8 == 0, ipv6: choice & 16 == 0, valid });
        let client = match choice & 32 {
            0 => [192, 0, 2, 26].into(),
            _ => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
        };
        let now = start();
        let lookup = resolver.lookup(client, Duration::from_secs(30), *b"no randomness :)", now);
        let query = Query { server: 0, transport: Transport::Udp, bytes: Vec::new() };
        let mut run = Self { resolver, lookup, now, query, queries: 0, deadline: now, is_over: false };
        run.poll();
        run
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
                Next::Done(result) => {
                    self.is_over = true;
                    if let Ok(name) = result {
                        let is_letter = |byte: u8| {
                            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte)
                        };
                        assert!(!name.is_empty() && name.bytes().all(is_letter), "{name:?}");
                        assert!(name.len() <= 255);
                    }
                    return;
                }
            }
        }
    }

    /// TCP brings one byte at a time.
    fn hear(&mut self, message: &[u8]) {
        match self.query.transport {
            Transport::Udp => self.lookup.handle_input(message, &mut self.resolver, self.now),
            Transport::Tcp => {
                let length = u16::try_from(message.len()).expect("a piece is short").to_be_bytes();
                for byte in [&length[..], message].concat() {
                    if !matches!(self.lookup.poll(), Next::Wait(_)) {
                        return;
                    }
                    self.lookup.handle_input(&[byte], &mut self.resolver, self.now);
                }
            }
        }
    }

    fn reach_deadline(&mut self) {
        self.now = self.now.max(self.deadline);
        self.lookup.handle_deadline(&mut self.resolver, self.now);
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

/// Two steps, 50 aliases, four servers, UDP and TCP: and then some.
const MOST_QUERIES: usize = 1000;

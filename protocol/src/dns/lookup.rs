//! One lookup: the PTR record of an address, then the address records of that name.

use std::fmt;
use std::hash::Hasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use super::Resolver;
use super::cache::{Answer, Question};
use super::message::{self, Reading, Records, WireName};
use crate::action::{DnsError, LookupFailure};

/// The lookup of one client's name. See the [module](super) for how to run it.
///
/// Only the family of the client's own address is asked for: no other record could confirm the name.
pub struct Lookup {
    client: IpAddr,
    timeout: Duration,
    entropy: [u8; 16],
    /// Queries made so far: no two have the same id by other than chance.
    made: u32,
    state: State,
}

/// What a [`Lookup`] wants next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this query, and forget the one before. Told once per query.
    Ask(Query),
    /// Wait for input, until then.
    Wait(Instant),
    /// The lookup is over: the confirmed name, lower-cased, or why there is none.
    Done(Result<Box<str>, LookupFailure>),
}

/// A query to a name server.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    /// Which server, below [`Settings::servers`](super::Settings::servers).
    pub server: usize,
    /// By what means.
    pub transport: Transport,
    /// The bytes to send as one datagram, or to write.
    pub bytes: Vec<u8>,
}

/// How a query travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As a datagram: each piece of input is one.
    Udp,
    /// As a stream: input may come in any pieces.
    Tcp,
}

enum State {
    /// A question is being asked.
    Asking(Box<Asking>),
    Done(Result<Box<str>, LookupFailure>),
}

/// One of the two steps.
struct Asking {
    question: Question,
    /// When the step as a whole has taken too long.
    end: Instant,
    /// The name to ask for: at first that of the question, then its aliases.
    name: WireName,
    /// CNAME records followed.
    aliases: usize,
    /// The shortest time to live of those.
    time: Duration,
    /// Servers that could not be reached or refused, as opposed to being silent.
    failures: usize,
    server: usize,
    transport: Transport,
    /// The present query, without the length that TCP puts in front.
    query: Vec<u8>,
    is_told: bool,
    /// When to ask the next server.
    deadline: Instant,
    /// What came over TCP.
    input: Vec<u8>,
}

impl Lookup {
    pub(super) fn new(
        resolver: &mut Resolver,
        client: IpAddr,
        timeout: Duration,
        entropy: [u8; 16],
        now: Instant,
    ) -> Self {
        // A client of a dual-stack listener: its records are those of the IPv4 address.
        let client = client.to_canonical();
        let mut lookup =
            Self { client, timeout, entropy, made: 0, state: State::Done(Err(LookupFailure::Mismatch)) };
        match WireName::reverse_from_addr(client) {
            Ok(name) => lookup.begin(Question::Name(client), name, resolver, now),
            Err(_) => lookup.state = State::Done(Err(LookupFailure::Address(DnsError::Format))),
        }
        lookup
    }

    /// What to do next. After [`Next::Done`] it stays so.
    pub fn poll(&mut self) -> Next {
        match &mut self.state {
            State::Done(result) => Next::Done(result.clone()),
            State::Asking(asking) if asking.is_told => Next::Wait(asking.deadline),
            State::Asking(asking) => {
                asking.is_told = true;
                let bytes = match asking.transport {
                    Transport::Udp => asking.query.clone(),
                    Transport::Tcp => {
                        [&(asking.query.len() as u16).to_be_bytes(), &asking.query[..]].concat()
                    }
                };
                Next::Ask(Query { server: asking.server, transport: asking.transport, bytes })
            }
        }
    }

    /// Takes what the present query's socket received. A datagram that is no answer to the query is ignored.
    pub fn handle_input(&mut self, input: &[u8], resolver: &mut Resolver, now: Instant) {
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        let reading = match asking.transport {
            Transport::Udp => message::read(input, &asking.query, ALIAS_LIMIT - asking.aliases),
            Transport::Tcp => {
                asking.input.extend_from_slice(input);
                let Some((length, message)) = asking.input.split_first_chunk() else {
                    return;
                };
                let Some(message) = message.get(..u16::from_be_bytes(*length).into()) else {
                    return;
                };
                message::read(message, &asking.query, ALIAS_LIMIT - asking.aliases)
            }
        };
        match (reading, asking.transport) {
            (Reading::Foreign, Transport::Udp) => {}
            (Reading::Truncated, Transport::Udp) => self.ask(Transport::Tcp, resolver, now),
            (Reading::Foreign | Reading::Truncated, Transport::Tcp) => {
                self.fail(Some(DnsError::Format), resolver, now);
            }
            (Reading::Failed(DnsError::NotFound), _) => {
                self.answer(Answer::Failed(DnsError::NotFound), FAILURE_TIME, resolver, now);
            }
            (Reading::Failed(error), _) => self.fail(Some(error), resolver, now),
            (Reading::Nothing { aliases: 0, .. }, _) => {
                self.answer(Answer::Failed(DnsError::NotFound), FAILURE_TIME, resolver, now);
            }
            (Reading::Nothing { name, aliases, time }, _) => {
                asking.name = name;
                asking.aliases += aliases;
                asking.time = asking.time.min(time);
                self.ask(Transport::Udp, resolver, now);
            }
            (Reading::Records { records, time }, _) => {
                let time = resolver.settings.valid.unwrap_or_else(|| asking.time.min(time));
                let answer = match records {
                    Records::Name(name) => Answer::Name(name),
                    Records::Addresses(addresses) => Answer::Addresses(addresses),
                };
                self.answer(answer, time, resolver, now);
            }
        }
    }

    /// The present query's socket failed or, over TCP, ended: the next server is asked at once. When each has failed,
    /// the lookup does.
    pub fn handle_failure(&mut self, resolver: &mut Resolver, now: Instant) {
        self.fail(None, resolver, now);
    }

    /// `now` may have reached the deadline; harmless if it has not.
    pub fn handle_deadline(&mut self, resolver: &mut Resolver, now: Instant) {
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        if now >= asking.end {
            self.conclude(Answer::Failed(DnsError::TimedOut), resolver, now);
        } else if now >= asking.deadline {
            asking.server = (asking.server + 1) % resolver.settings.servers;
            self.ask(Transport::Udp, resolver, now);
        }
    }

    /// Begins a step, which may be over at once if its answer is remembered.
    fn begin(&mut self, question: Question, name: WireName, resolver: &mut Resolver, now: Instant) {
        let remembered = resolver.cache.find(&question, now).cloned();
        let end = now + self.timeout;
        self.state = State::Asking(Box::new(Asking {
            question,
            end,
            name,
            aliases: 0,
            time: Duration::MAX,
            failures: 0,
            server: 0,
            transport: Transport::Udp,
            query: Vec::new(),
            is_told: true,
            deadline: end,
            input: Vec::new(),
        }));
        match remembered {
            Some(answer) => self.conclude(answer, resolver, now),
            None => {
                if let State::Asking(asking) = &mut self.state {
                    asking.server = resolver.take_turn();
                }
                self.ask(Transport::Udp, resolver, now);
            }
        }
    }

    /// Makes a query for the present name to the present server.
    fn ask(&mut self, transport: Transport, resolver: &Resolver, now: Instant) {
        let id = self.next_id();
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        debug_assert!(asking.server < resolver.settings.servers.get());
        let rtype = match asking.question {
            Question::Name(_) => Rtype::PTR,
            Question::Ipv4(_) => Rtype::A,
            Question::Ipv6(_) => Rtype::AAAA,
        };
        asking.query = message::query(id, &asking.name, rtype);
        asking.transport = transport;
        asking.is_told = false;
        asking.deadline = (now + TRY_TIME).min(asking.end);
        asking.input = Vec::new();
    }

    /// One server has failed, with what it said if it said something: the next one, or the end.
    fn fail(&mut self, error: Option<DnsError>, resolver: &mut Resolver, now: Instant) {
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        asking.failures += 1;
        if asking.failures < resolver.settings.servers.get() {
            asking.server = (asking.server + 1) % resolver.settings.servers;
            self.ask(Transport::Udp, resolver, now);
            return;
        }
        match error {
            Some(error) => self.answer(Answer::Failed(error), FAILURE_TIME, resolver, now),
            None => self.conclude(Answer::Failed(DnsError::ServerFailure), resolver, now),
        }
    }

    /// The name servers have spoken: remember and conclude.
    fn answer(&mut self, answer: Answer, time: Duration, resolver: &mut Resolver, now: Instant) {
        if let State::Asking(asking) = &self.state {
            resolver.cache.insert(asking.question.clone(), answer.clone(), time, now);
        }
        self.conclude(answer, resolver, now);
    }

    /// Goes on with what the answer to the present step means.
    fn conclude(&mut self, answer: Answer, resolver: &mut Resolver, now: Instant) {
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        let result = match (&asking.question, answer) {
            (Question::Name(_), Answer::Name(name)) => match host_name(&name) {
                Some((name, wire)) => return self.confirm(name, wire, resolver, now),
                None => Err(LookupFailure::InvalidName(name)),
            },
            (Question::Name(_), Answer::Failed(error)) => Err(LookupFailure::Address(error)),
            (Question::Ipv4(name) | Question::Ipv6(name), Answer::Addresses(addresses)) => {
                if addresses.contains(&self.client) { Ok(name.clone()) } else { Err(LookupFailure::Mismatch) }
            }
            (Question::Ipv4(name) | Question::Ipv6(name), Answer::Failed(error)) => {
                Err(LookupFailure::Name(name.clone(), error))
            }
            // Answers are made by the type of the question.
            (Question::Name(_), Answer::Addresses(_)) => Err(LookupFailure::Address(DnsError::Format)),
            (Question::Ipv4(name) | Question::Ipv6(name), Answer::Name(_)) => {
                Err(LookupFailure::Name(name.clone(), DnsError::Format))
            }
        };
        self.state = State::Done(result);
    }

    /// The second step: does the name lead back to the client?
    fn confirm(&mut self, name: Box<str>, wire: WireName, resolver: &mut Resolver, now: Instant) {
        let question = match self.client {
            IpAddr::V4(_) if resolver.settings.ipv4 => Question::Ipv4(name),
            IpAddr::V6(_) if resolver.settings.ipv6 => Question::Ipv6(name),
            IpAddr::V4(_) | IpAddr::V6(_) => {
                self.state = State::Done(Err(LookupFailure::Mismatch));
                return;
            }
        };
        self.begin(question, wire, resolver, now);
    }

    /// 16 bits that nobody can foretell without the entropy.
    fn next_id(&mut self) -> u16 {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(&self.entropy);
        hasher.write_u32(self.made);
        self.made = self.made.wrapping_add(1);
        hasher.finish() as u16
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ids and what they are made from stay out of sight.
        f.debug_struct("Lookup")
            .field("client", &self.client)
            .field("queries", &self.made)
            .finish_non_exhaustive()
    }
}

/// The name as text and in wire form, if it may stand in a header line: `[A-Za-z0-9.-]` only, and not empty.
fn host_name(name: &[u8]) -> Option<(Box<str>, WireName)> {
    if name.is_empty() || !name.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte)) {
        return None;
    }
    let text = std::str::from_utf8(name).ok()?;
    Some((text.into(), WireName::vec_from_str(text).ok()?))
}

/// How long one server is waited for.
const TRY_TIME: Duration = Duration::from_secs(5);
/// How long it is remembered that there is no answer.
const FAILURE_TIME: Duration = Duration::from_secs(30);
/// CNAME records followed in one step.
const ALIAS_LIMIT: usize = 50;

//! One lookup: questions to name servers, one after the other, until its goal is reached.

use std::fmt;
use std::hash::Hasher;
use std::time::{Duration, Instant};

use domain::base::iana::Rtype;

use super::Resolver;
use super::cache::{Answer, Question};
use super::goal::{ClientName, Goal, Turn};
use super::message::{self, Reading, Records, WireName};
use crate::action::DnsError;

/// One lookup, of a client's name or of what its [`Goal`] says. See the [module](super) for how to run it.
pub struct Lookup<G: Goal = ClientName> {
    goal: G,
    timeout: Duration,
    entropy: [u8; 16],
    /// Queries made so far: no two have the same id by other than chance.
    made: u32,
    state: State<G::Outcome>,
}

/// What a [`Lookup`] wants next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Send this query, and forget the one before. Told once per query.
    Ask(Query),
    /// Wait for input, until then.
    Wait(Instant),
    /// The lookup is over.
    Done(T),
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

enum State<T> {
    /// A question is being asked.
    Asking(Box<Asking>),
    Done(T),
}

/// One of the steps.
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

impl<G: Goal> Lookup<G> {
    /// Begins with the first turn of a goal.
    pub(super) fn new(
        goal: G,
        first: Turn<G::Outcome>,
        resolver: &mut Resolver,
        timeout: Duration,
        entropy: [u8; 16],
        now: Instant,
    ) -> Self {
        let state = match first {
            Turn::Done(outcome) => State::Done(outcome),
            Turn::Ask { question, name, .. } => {
                State::Asking(Box::new(Asking::new(question, name, now + timeout)))
            }
        };
        let mut lookup = Self { goal, timeout, entropy, made: 0, state };
        lookup.begin(resolver, now);
        lookup
    }

    /// What to do next. After [`Next::Done`] it stays so.
    pub fn poll(&mut self) -> Next<G::Outcome> {
        match &mut self.state {
            State::Done(outcome) => Next::Done(outcome.clone()),
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
    fn begin(&mut self, resolver: &mut Resolver, now: Instant) {
        let State::Asking(asking) = &mut self.state else {
            return;
        };
        match resolver.cache.find(&asking.question, now).cloned() {
            Some(answer) => self.conclude(answer, resolver, now),
            None => {
                asking.server = resolver.take_turn();
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
        let State::Asking(asking) = &self.state else {
            return;
        };
        match self.goal.on_answer(&asking.question, answer, &resolver.settings) {
            Turn::Done(outcome) => self.state = State::Done(outcome),
            Turn::Ask { question, name, limit } => {
                let end = now + self.timeout.min(limit);
                self.state = State::Asking(Box::new(Asking::new(question, name, end)));
                self.begin(resolver, now);
            }
        }
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

impl Asking {
    fn new(question: Question, name: WireName, end: Instant) -> Self {
        Self {
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
        }
    }
}

impl<G: Goal + fmt::Debug> fmt::Debug for Lookup<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Ids and what they are made from stay out of sight.
        f.debug_struct("Lookup")
            .field("goal", &self.goal)
            .field("queries", &self.made)
            .finish_non_exhaustive()
    }
}

/// How long one server is waited for.
pub(super) const TRY_TIME: Duration = Duration::from_secs(5);
/// How long it is remembered that there is no answer.
const FAILURE_TIME: Duration = Duration::from_secs(30);
/// CNAME records followed in one step.
const ALIAS_LIMIT: usize = 50;

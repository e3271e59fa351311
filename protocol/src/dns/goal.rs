//! What lookups are for: which questions they ask, and what the answers come to.

use std::net::IpAddr;
use std::time::Duration;

use super::Settings;
use super::cache::{Answer, Question};
use super::lookup::TRY_TIME;
use super::message::WireName;
use crate::action::{DnsError, LookupFailure};

/// What a [`Lookup`](super::Lookup) is for. There are two, [`ClientName`] and [`Addresses`].
pub trait Goal {
    /// What it comes to.
    type Outcome: Clone;

    /// The answer to a question of this goal.
    fn on_answer(&mut self, question: &Question, answer: Answer, settings: &Settings) -> Turn<Self::Outcome>;
}

/// How a lookup goes on.
#[derive(Debug)]
pub enum Turn<T> {
    /// With this question, about this name.
    Ask {
        /// What is asked, and remembered.
        question: Question,
        /// The name in the query.
        name: WireName,
        /// The longest it may take, besides the lookup's own timeout.
        limit: Duration,
    },
    /// It is over.
    Done(T),
}

/// The confirmed name of a client: the PTR record of its address, then the address records of that name.
///
/// Only the family of the client's own address is asked for: no other record could confirm the name.
#[derive(Debug)]
pub struct ClientName {
    client: IpAddr,
}

type NameOutcome = Result<Box<str>, LookupFailure>;

impl ClientName {
    pub(super) fn begin(client: IpAddr) -> (Self, Turn<NameOutcome>) {
        // A client of a dual-stack listener: its records are those of the IPv4 address.
        let client = client.to_canonical();
        let turn = match WireName::reverse_from_addr(client) {
            Ok(name) => Turn::Ask { question: Question::Name(client), name, limit: Duration::MAX },
            Err(_) => Turn::Done(Err(LookupFailure::Address(DnsError::Format))),
        };
        (Self { client }, turn)
    }

    /// The second step: does the name lead back to the client?
    fn confirm(&self, name: Box<str>, wire: WireName, settings: &Settings) -> Turn<NameOutcome> {
        let question = match self.client {
            IpAddr::V4(_) if settings.ipv4 => Question::Ipv4(name),
            IpAddr::V6(_) if settings.ipv6 => Question::Ipv6(name),
            IpAddr::V4(_) | IpAddr::V6(_) => return Turn::Done(Err(LookupFailure::Mismatch)),
        };
        Turn::Ask { question, name: wire, limit: Duration::MAX }
    }
}

impl Goal for ClientName {
    type Outcome = NameOutcome;

    fn on_answer(&mut self, question: &Question, answer: Answer, settings: &Settings) -> Turn<NameOutcome> {
        Turn::Done(match (question, answer) {
            (Question::Name(_), Answer::Name(name)) => match host_name(&name) {
                Some((name, wire)) => return self.confirm(name, wire, settings),
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
        })
    }
}

/// All addresses of a name, as `ipv4=` and `ipv6=` allow, those of IPv4 first.
#[derive(Debug)]
pub struct Addresses {
    name: WireName,
    found: Vec<IpAddr>,
    failure: Option<DnsError>,
    /// Which address of a family comes first, so that not everybody goes to the same.
    rotation: usize,
}

type AddressOutcome = Result<Vec<IpAddr>, DnsError>;

impl Addresses {
    /// A name that cannot be one has no addresses.
    pub(super) fn begin(name: &str, rotation: usize, settings: &Settings) -> (Self, Turn<AddressOutcome>) {
        let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let Ok(wire) = WireName::vec_from_str(&lower) else {
            let goal = Self { name: WireName::root_vec(), found: Vec::new(), failure: None, rotation };
            return (goal, Turn::Done(Err(DnsError::NotFound)));
        };
        let question = if settings.ipv4 { Question::Ipv4 } else { Question::Ipv6 }(lower.into());
        let turn = Turn::Ask { question, name: wire.clone(), limit: Duration::MAX };
        (Self { name: wire, found: Vec::new(), failure: None, rotation }, turn)
    }

    fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Addresses(mut addresses) => {
                if !addresses.is_empty() {
                    let count = addresses.len();
                    addresses.rotate_left(self.rotation % count);
                }
                self.found.append(&mut addresses);
            }
            Answer::Failed(error) => {
                self.failure.get_or_insert(error);
            }
            // Answers are made by the type of the question.
            Answer::Name(_) => {}
        }
    }
}

impl Goal for Addresses {
    type Outcome = AddressOutcome;

    fn on_answer(
        &mut self,
        question: &Question,
        answer: Answer,
        settings: &Settings,
    ) -> Turn<AddressOutcome> {
        self.take(answer);
        if let Question::Ipv4(name) = question
            && settings.ipv6
        {
            // With addresses in hand, the other family is not worth a long wait.
            let limit = if self.found.is_empty() { Duration::MAX } else { TRY_TIME };
            return Turn::Ask { question: Question::Ipv6(name.clone()), name: self.name.clone(), limit };
        }
        if self.found.is_empty() {
            return Turn::Done(Err(self.failure.unwrap_or(DnsError::NotFound)));
        }
        Turn::Done(Ok(std::mem::take(&mut self.found)))
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

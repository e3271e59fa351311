//! Answers, remembered for a while.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::action::DnsError;

/// A question whose answer can be remembered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// Which name does this address have?
    Name(IpAddr),
    /// Which IPv4 addresses does this name have?
    Ipv4(Box<str>),
    /// Which IPv6 addresses does this name have?
    Ipv6(Box<str>),
}

/// What name servers said to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The name, lower-cased; any bytes.
    Name(Vec<u8>),
    /// All addresses.
    Addresses(Vec<IpAddr>),
    /// There is none.
    Failed(DnsError),
}

/// A bounded number of answers with their ends.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: BTreeMap<Question, (Answer, Instant)>,
}

impl Cache {
    /// The answer, unless its time has passed.
    pub(super) fn find(&self, question: &Question, now: Instant) -> Option<&Answer> {
        self.answers.get(question).filter(|(_, end)| now < *end).map(|(answer, _)| answer)
    }

    /// Remembers an answer for `time`, at most a day. If there are too many, those whose time has passed go, else the
    /// one whose time passes first.
    pub(super) fn insert(&mut self, question: Question, answer: Answer, time: Duration, now: Instant) {
        if time.is_zero() {
            return;
        }
        if self.answers.len() >= LIMIT {
            self.answers.retain(|_, (_, end)| now < *end);
        }
        if self.answers.len() >= LIMIT
            && let Some((first, _)) = self.answers.iter().min_by_key(|(_, (_, end))| *end)
        {
            let first = first.clone();
            self.answers.remove(&first);
        }
        self.answers.insert(question, (answer, now + time.min(LONGEST)));
    }
}

const LIMIT: usize = 4096;
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::tests::start;

    fn question(number: u32) -> Question {
        Question::Name(Ipv4Addr::from(number).into())
    }

    #[test]
    fn an_answer_lasts_its_time() {
        let (mut cache, now) = (Cache::default(), start());
        let second = Duration::from_secs(1);
        cache.insert(question(1), Answer::Failed(DnsError::NotFound), 3 * second, now);
        assert_eq!(cache.find(&question(1), now + 2 * second), Some(&Answer::Failed(DnsError::NotFound)));
        assert_eq!(cache.find(&question(1), now + 3 * second), None);
        assert_eq!(cache.find(&question(2), now), None);
        cache.insert(question(1), Answer::Failed(DnsError::Refused), Duration::MAX, now);
        assert_eq!(
            cache.find(&question(1), now + LONGEST - second),
            Some(&Answer::Failed(DnsError::Refused))
        );
        assert_eq!(cache.find(&question(1), now + LONGEST), None);
        cache.insert(question(3), Answer::Failed(DnsError::NotFound), Duration::ZERO, now);
        assert_eq!(cache.find(&question(3), now), None);
    }

    #[test]
    fn there_are_never_too_many() {
        let (mut cache, now) = (Cache::default(), start());
        for number in 0..LIMIT as u32 + 10 {
            let time = Duration::from_secs(100 + u64::from(number));
            cache.insert(question(number), Answer::Addresses(Vec::new()), time, now);
        }
        assert_eq!(cache.answers.len(), LIMIT);
        assert_eq!(cache.find(&question(9), now), None);
        assert!(cache.find(&question(10), now).is_some());
        let later = now + Duration::from_secs(1000);
        cache.insert(question(0), Answer::Addresses(Vec::new()), Duration::from_secs(1), later);
        assert!(cache.answers.len() < LIMIT && cache.find(&question(0), later).is_some());
    }
}

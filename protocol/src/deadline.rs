//! The named deadlines of a session. The caller hears of the earliest only.

use std::time::{Duration, Instant};

/// What a deadline is for (spec/protocols.md section 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// `timeout` on the client: PROXY header, TLS handshake, and then, absolutely, from greeting to login attempt.
    Client,
    /// Twice `resolver_timeout`: the caller's two lookups together.
    Lookup,
    /// `smtp_greeting_delay`.
    GreetingDelay,
    /// `auth_http_timeout`: one exchange with the auth server.
    Auth,
    /// The silence before the reply to a failed login, or before asking the auth server again.
    Wait,
    /// `timeout` on the backend: connect and login together.
    Backend,
    /// How long a stopping worker waits for a client that was heard lately.
    Shutdown,
}

impl Timer {
    const ALL: [Self; 7] = [
        Self::Client,
        Self::Lookup,
        Self::GreetingDelay,
        Self::Auth,
        Self::Wait,
        Self::Backend,
        Self::Shutdown,
    ];
}

/// At most one deadline per timer.
#[derive(Debug, Default)]
pub(crate) struct Deadlines([Option<Instant>; Timer::ALL.len()]);

impl Deadlines {
    /// Lets `timer` expire `after` from `now`. A span beyond what the clock can express never ends.
    pub(crate) fn arm(&mut self, timer: Timer, now: Instant, after: Duration) {
        self.0[timer as usize] = now.checked_add(after);
    }

    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn clear_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Disarms and names the earliest timer, if it has expired.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Timer> {
        let earliest = self.earliest().filter(|at| *at <= now)?;
        let timer = Timer::ALL.into_iter().find(|timer| self.0[*timer as usize] == Some(earliest))?;
        self.clear(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::start;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_earliest_timer_expires_first() {
        let start = start();
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.earliest(), None);
        deadlines.arm(Timer::Backend, start, SECOND);
        deadlines.arm(Timer::Client, start, 2 * SECOND);
        assert_eq!(deadlines.earliest(), Some(start + SECOND));
        assert_eq!(deadlines.take_expired(start), None);
        let late = start + 3 * SECOND;
        assert_eq!(deadlines.take_expired(late), Some(Timer::Backend));
        assert_eq!(deadlines.take_expired(late), Some(Timer::Client));
        assert_eq!(deadlines.take_expired(late), None);
        assert_eq!(deadlines.earliest(), None);
    }

    #[test]
    fn arming_again_replaces() {
        let start = start();
        let mut deadlines = Deadlines::default();
        deadlines.arm(Timer::Wait, start, 5 * SECOND);
        deadlines.arm(Timer::Wait, start, SECOND);
        assert_eq!(deadlines.earliest(), Some(start + SECOND));
        deadlines.clear(Timer::Wait);
        assert_eq!(deadlines.earliest(), None);
    }

    #[test]
    fn a_span_beyond_the_clock_never_ends() {
        let mut deadlines = Deadlines::default();
        deadlines.arm(Timer::Client, start(), Duration::MAX);
        assert_eq!(deadlines.earliest(), None);
    }
}

//! Which address of an auth server is asked, and for how long, where it has several.

use std::time::{Duration, Instant};

/// How long an address that failed is tried last; nginx's `fail_timeout` of servers in a group.
const PENALTY: Duration = Duration::from_secs(10);

/// How long an address may be silent before a client that leaves meanwhile is its fault.
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of one auth server, by index, with what is remembered of their failures.
#[derive(Debug)]
pub struct Servers {
    /// When each failed, unless it has answered since.
    failed: Box<[Option<Instant>]>,
    /// When each answered last.
    answered: Box<[Option<Instant>]>,
}

impl Servers {
    /// This many addresses, of which nothing is known yet.
    pub fn new(count: usize) -> Self {
        Self { failed: vec![None; count].into(), answered: vec![None; count].into() }
    }

    /// The order in which the addresses are to be asked: as they are configured, but those that failed within the
    /// last ten seconds come behind the others, the longest ago first.
    pub fn order(&self, now: Instant) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.failed.len()).collect();
        order.sort_by_key(|&index| {
            self.failed[index].filter(|&failed| now.saturating_duration_since(failed) < PENALTY)
        });
        order
    }

    /// The address at `index` could not be reached, or did not answer.
    pub fn on_failure(&mut self, index: usize, now: Instant) {
        self.failed[index] = Some(now);
    }

    /// Nobody waits any more for the address at `index`, which had not sent a byte since it was `asked`. Clients that
    /// give up before `auth_http_timeout` would else find a dead address first for ever. One that has answered others
    /// meanwhile only thinks for long.
    pub fn on_given_up(&mut self, index: usize, asked: Instant, now: Instant) {
        let has_answered_others = self.answered[index].is_some_and(|answered| answered >= asked);
        if !has_answered_others && now.saturating_duration_since(asked) >= PATIENCE {
            self.on_failure(index, now);
        }
    }

    /// The address at `index` has answered.
    pub fn on_answer(&mut self, index: usize, now: Instant) {
        self.failed[index] = None;
        self.answered[index] = Some(now);
    }
}

/// How long connecting to one of several addresses may take: an equal share of what is `left` of `auth_http_timeout`,
/// where `candidates` addresses, this one among them, have not been tried. A server that is connected has all the
/// time that is left, because one that thinks for long must not be asked twice.
pub fn connect_share(left: Duration, candidates: usize) -> Duration {
    left / u32::try_from(candidates.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs some point in time")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn who_failed_lately_comes_last() {
        let (mut servers, start) = (Servers::new(3), start());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(servers.order(start), [0, 1, 2]);
        servers.on_failure(0, start);
        assert_eq!(servers.order(start), [1, 2, 0]);
        servers.on_failure(1, after(1));
        assert_eq!(servers.order(after(9)), [2, 0, 1]);
        servers.on_failure(2, after(2));
        assert_eq!(servers.order(after(9)), [0, 1, 2], "the longest ago first");
        assert_eq!(servers.order(after(10)), [0, 1, 2]);
        assert_eq!(servers.order(after(11)), [0, 1, 2]);
        servers.on_failure(0, after(11));
        assert_eq!(servers.order(after(12)), [1, 2, 0]);
        servers.on_answer(0, after(12));
        assert_eq!(servers.order(after(12)), [0, 1, 2]);
    }

    #[test]
    fn who_keeps_a_client_waiting_until_it_leaves_has_failed() {
        let (mut servers, start) = (Servers::new(2), start());
        let after = |millis| start + Duration::from_millis(millis);
        servers.on_given_up(0, start, after(4_999));
        assert_eq!(servers.order(after(5_000)), [0, 1]);
        servers.on_given_up(0, start, after(5_000));
        assert_eq!(servers.order(after(5_000)), [1, 0]);
        // Who is there for others is not away.
        servers.on_answer(0, after(6_000));
        servers.on_given_up(0, start, after(7_000));
        assert_eq!(servers.order(after(7_000)), [0, 1]);
        servers.on_given_up(0, after(6_500), after(11_500));
        assert_eq!(servers.order(after(11_500)), [1, 0]);
    }

    #[test]
    fn one_address_is_asked_whatever_it_did() {
        let (mut servers, start) = (Servers::new(1), start());
        servers.on_failure(0, start);
        assert_eq!(servers.order(start), [0]);
    }

    #[test]
    fn connecting_shares_the_time_that_is_left() {
        let minute = Duration::from_secs(60);
        assert_eq!(connect_share(minute, 1), minute);
        assert_eq!(connect_share(minute, 3), Duration::from_secs(20));
        assert_eq!(connect_share(Duration::from_secs(40), 2), Duration::from_secs(20));
        assert_eq!(connect_share(minute, 0), minute);
    }
}

//! Counters of all workers of all generations, and how they are shown: in the text format of Prometheus.
//!
//! They live in the shared mapping. What has happened is counted there once for all. What is going on is counted in a
//! *seat* of each worker, which the master clears when the worker has ended: one that was killed leaves nothing behind.

use std::fmt::Write as _;

use gatepost_protocol::action::Side;
use gatepost_protocol::config::Protocol;
use gatepost_protocol::event::{Event, Stage};

use crate::log::ConnectionId;
use crate::sys::Shared;

/// Workers that are told apart; all further ones share a seat that is never cleared.
const SEATS: usize = 256;

const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];

/// What is counted for each protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Accepted,
    NoSlot,
    TimedOut,
    LoggedIn,
    Refused,
    AuthFailed,
    BackendFailed,
    FromClient,
    FromBackend,
}

/// Each count with its name, its further label, and what it means.
const COUNTS: [(Count, &str, &str, &str); 9] = [
    (Count::Accepted, "clients_accepted_total", "", "Clients accepted."),
    (
        Count::NoSlot,
        "clients_turned_away_total",
        "",
        "Clients closed at once for want of worker_connections.",
    ),
    (Count::TimedOut, "clients_timed_out_total", "", "Clients that were silent for too long."),
    (Count::LoggedIn, "logins_total", "result=\"ok\"", "Login attempts by their outcome."),
    (Count::Refused, "logins_total", "result=\"refused\"", ""),
    (Count::AuthFailed, "logins_total", "result=\"auth_error\"", ""),
    (Count::BackendFailed, "logins_total", "result=\"backend_error\"", ""),
    (
        Count::FromClient,
        "relayed_bytes_total",
        "from=\"client\"",
        "Bytes read after the login, TLS included.",
    ),
    (Count::FromBackend, "relayed_bytes_total", "from=\"upstream\"", ""),
];

/// What a session is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    LoggingIn,
    Relaying,
    /// Silent because the auth server wants it so, or after a backend's refusal (spec/auth-http-and-ops.md A11).
    Sleeping,
}

const ACTIVITIES: [(Activity, &str); 3] =
    [(Activity::LoggingIn, "login"), (Activity::Relaying, "relay"), (Activity::Sleeping, "sleep")];

/// Counters in the mapping: the number of connections, then the counts, then the seats.
const FIRST_COUNT: usize = 1;
const FIRST_SEAT: usize = FIRST_COUNT + PROTOCOLS.len() * COUNTS.len();
const SEAT_SIZE: usize = PROTOCOLS.len() * ACTIVITIES.len();

/// The counters as one worker has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metrics {
    shared: Shared,
    seat: usize,
    /// Of whoever made the counters.
    run: u64,
}

/// One session's part in what is going on; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    shared: Shared,
    index: usize,
}

impl Metrics {
    /// Makes the counters, all zero, with the first seat. `run` tells their connections from those of others.
    ///
    /// # Errors
    /// `mmap`'s.
    pub(crate) fn new(run: u64) -> nix::Result<Self> {
        Ok(Self { shared: Shared::new(FIRST_SEAT + (SEATS + 1) * SEAT_SIZE)?, seat: 0, run })
    }

    /// The same counters on another seat.
    pub(crate) fn on_seat(self, seat: usize) -> Self {
        Self { seat: seat.min(SEATS), ..self }
    }

    /// Forgets what a worker that has ended was doing.
    pub(crate) fn clear_seat(self, seat: usize) {
        if seat < SEATS {
            (0..SEAT_SIZE).for_each(|offset| self.shared.set(FIRST_SEAT + seat * SEAT_SIZE + offset, 0));
        }
    }

    /// The number of the next connection, whoever's it is, counted from 1.
    pub(crate) fn next_connection(&self) -> ConnectionId {
        ConnectionId { run: self.run, number: self.shared.add(0, 1).wrapping_add(1) }
    }

    pub(crate) fn add(&self, protocol: Protocol, count: Count, number: u64) {
        self.shared.add(FIRST_COUNT + count as usize * PROTOCOLS.len() + protocol as usize, number);
    }

    /// Counts an event of a session, if it is one of those that are counted.
    pub(crate) fn add_event(&self, protocol: Protocol, event: &Event, stage: Option<Stage>) {
        if let Some(count) = count_of(event, stage) {
            self.add(protocol, count, 1);
        }
    }

    /// Counts bytes that a relay has read.
    pub(crate) fn add_bytes(&self, protocol: Protocol, side: Side, bytes: usize) {
        let count = match side {
            Side::Client => Count::FromClient,
            Side::Backend => Count::FromBackend,
        };
        self.add(protocol, count, bytes as u64);
    }

    /// Counts a session for as long as the result lives.
    pub(crate) fn enter(&self, protocol: Protocol, activity: Activity) -> Present {
        let index = seat_index(self.seat, activity, protocol);
        self.shared.add(index, 1);
        Present { shared: self.shared, index }
    }

    /// Counts a session as what it is now.
    pub(crate) fn update(&self, present: &mut Present, protocol: Protocol, activity: Activity) {
        if present.index != seat_index(self.seat, activity, protocol) {
            *present = self.enter(protocol, activity);
        }
    }

    /// All of it, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        let mut text = String::with_capacity(4096);
        let mut last = "";
        for (count, name, label, help) in COUNTS {
            if name != last {
                head(&mut text, name, help, "counter");
                last = name;
            }
            for protocol in PROTOCOLS {
                let comma = if label.is_empty() { "" } else { "," };
                let index = FIRST_COUNT + count as usize * PROTOCOLS.len() + protocol as usize;
                let (protocol, value) = (protocol.name(), self.shared.get(index));
                line(&mut text, name, &format!("protocol=\"{protocol}\"{comma}{label}"), value);
            }
        }
        head(&mut text, "sessions", "Sessions open now.", "gauge");
        for (activity, phase) in ACTIVITIES {
            for protocol in PROTOCOLS {
                let seats = (0..=SEATS).map(|seat| self.shared.get(seat_index(seat, activity, protocol)));
                let value = seats.fold(0, u64::wrapping_add);
                let protocol = protocol.name();
                line(&mut text, "sessions", &format!("protocol=\"{protocol}\",phase=\"{phase}\""), value);
            }
        }
        text
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.shared.add(self.index, u64::MAX);
    }
}

fn seat_index(seat: usize, activity: Activity, protocol: Protocol) -> usize {
    FIRST_SEAT + seat * SEAT_SIZE + activity as usize * PROTOCOLS.len() + protocol as usize
}

/// What ends a login attempt is counted once, and what happens to a relay is no login attempt.
fn count_of(event: &Event, stage: Option<Stage>) -> Option<Count> {
    if matches!(event, Event::Connected) {
        Some(Count::Accepted)
    } else if matches!(event, Event::ClientTimedOut) {
        Some(Count::TimedOut)
    } else if matches!(event, Event::LoggedIn) {
        Some(Count::LoggedIn)
    } else if matches!(event, Event::LoginRefused(_)) {
        Some(Count::Refused)
    } else if matches!(event, Event::AuthFailed(_)) {
        Some(Count::AuthFailed)
    } else if is_backend_failure(event) && !stage.is_some_and(is_of_relay) {
        Some(Count::BackendFailed)
    } else {
        None
    }
}

fn is_backend_failure(event: &Event) -> bool {
    matches!(
        event,
        Event::ConnectFailed(_)
            | Event::BackendTimedOut
            | Event::BackendClosed
            | Event::BackendReplyTooLong(_)
            | Event::BackendRefused { .. }
            | Event::BackendNotTrusted(_)
            | Event::ClosedInHandshake(Side::Backend)
            | Event::NoPassword
            | Event::NoStartTls
            | Event::NoXclient { fatal: true }
            | Event::PlaintextAfterStartTls(Side::Backend)
            | Event::ReceiveFailed(Side::Backend, _)
            | Event::SendFailed(Side::Backend, _)
            | Event::TlsFailed(Side::Backend, _)
    )
}

fn is_of_relay(stage: Stage) -> bool {
    matches!(
        stage,
        Stage::Proxying
            | Stage::ReadingClient
            | Stage::SendingBackend
            | Stage::ReadingBackend
            | Stage::SendingClient
    )
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP gatepost_{name} {help}\n# TYPE gatepost_{name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(text, "gatepost_{name}{{{labels}}} {value}");
}

#[cfg(test)]
mod tests {
    use gatepost_protocol::action::Errno;

    use super::*;

    #[test]
    fn numbers_of_connections_rise() {
        let metrics = Metrics::new(0xAB).expect("some pages of memory");
        let other = metrics.on_seat(7);
        let ids = [&metrics, &other, &metrics].map(|metrics| metrics.next_connection().to_string());
        assert_eq!(ids, ["00000000000000ab-1", "00000000000000ab-2", "00000000000000ab-3"]);
    }

    #[test]
    fn counts_of_all_seats_are_one() {
        let metrics = Metrics::new(0).expect("some pages of memory");
        let other = metrics.on_seat(1);
        metrics.add_event(Protocol::Imap, &Event::Connected, None);
        other.add_event(Protocol::Imap, &Event::Connected, None);
        other.add_event(Protocol::Pop3, &Event::LoginRefused(b"no".to_vec()), Some(Stage::HttpAuth));
        other.add_event(Protocol::Pop3, &Event::Done, None);
        metrics.add_bytes(Protocol::Smtp, Side::Backend, 1000);
        let text = metrics.render();
        for line in [
            "# TYPE gatepost_clients_accepted_total counter",
            "gatepost_clients_accepted_total{protocol=\"imap\"} 2",
            "gatepost_clients_accepted_total{protocol=\"pop3\"} 0",
            "gatepost_logins_total{protocol=\"pop3\",result=\"refused\"} 1",
            "gatepost_relayed_bytes_total{protocol=\"smtp\",from=\"upstream\"} 1000",
            "# TYPE gatepost_sessions gauge",
        ] {
            assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line}\n{text}");
        }
        // Each name is introduced once, and nothing but what was counted is there.
        assert_eq!(text.matches("# TYPE gatepost_logins_total ").count(), 1);
        assert_eq!(text.lines().filter(|line| !line.starts_with('#') && !line.ends_with(" 0")).count(), 3);
    }

    #[test]
    fn a_login_fails_at_the_backend_until_the_relay_begins() {
        let failures = [
            Event::NoStartTls,
            Event::ClosedInHandshake(Side::Backend),
            Event::PlaintextAfterStartTls(Side::Backend),
            Event::ReceiveFailed(Side::Backend, Errno(104)),
            Event::TlsFailed(Side::Backend, "bad record".into()),
        ];
        for failure in failures {
            let login = count_of(&failure, Some(Stage::ReadingResponse));
            assert_eq!(login, Some(Count::BackendFailed), "{failure:?}");
            assert_eq!(count_of(&failure, Some(Stage::ReadingBackend)), None, "{failure:?}");
        }
        for client in [Event::ReceiveFailed(Side::Client, Errno(104)), Event::NoXclient { fatal: false }] {
            assert_eq!(count_of(&client, Some(Stage::ReadingResponse)), None, "{client:?}");
        }
    }

    #[test]
    fn a_worker_that_is_gone_does_nothing_any_more() {
        let metrics = Metrics::new(0).expect("some pages of memory");
        let sessions = |protocol: &str, phase: &str| {
            let name = format!("gatepost_sessions{{protocol=\"{protocol}\",phase=\"{phase}\"}} ");
            let text = metrics.render();
            text.lines().find_map(|line| line.strip_prefix(&name)).expect("a line").to_owned()
        };
        let first = metrics.enter(Protocol::Imap, Activity::Relaying);
        let second = metrics.on_seat(SEATS + 5).enter(Protocol::Imap, Activity::Relaying);
        let killed = metrics.on_seat(3).enter(Protocol::Smtp, Activity::LoggingIn);
        assert_eq!((sessions("imap", "relay"), sessions("smtp", "login")), ("2".into(), "1".into()));
        let mut sleeper = metrics.on_seat(4).enter(Protocol::Pop3, Activity::LoggingIn);
        for (activity, expected) in [(Activity::Sleeping, ("0", "1")), (Activity::LoggingIn, ("1", "0"))] {
            for _ in 0..2 {
                metrics.on_seat(4).update(&mut sleeper, Protocol::Pop3, activity);
                let found = (sessions("pop3", "login"), sessions("pop3", "sleep"));
                assert_eq!(found, (expected.0.into(), expected.1.into()));
            }
        }
        std::mem::forget(killed);
        metrics.clear_seat(3);
        metrics.clear_seat(SEATS + 5);
        drop(first);
        assert_eq!((sessions("imap", "relay"), sessions("smtp", "login")), ("1".into(), "0".into()));
        drop(second);
        assert_eq!(sessions("imap", "relay"), "0");
    }
}

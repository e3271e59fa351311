//! What has become of each session, as far as anybody can see it from outside.

use std::time::Duration;

use super::script::ADDRESSES;

/// All sessions, and the rules that were broken.
pub(super) struct Ledger {
    pub(super) records: Vec<Record>,
    pub(super) broken: Vec<Broken>,
    /// When each service was told to drain, and when the relays that were left were ended.
    pub(super) drained_at: Vec<Option<Duration>>,
    pub(super) expired_at: Vec<Option<Duration>>,
    /// The end of what was written to each stream, in which a password may have begun.
    pub(super) written_ends: Vec<Vec<u8>>,
}

/// A rule that was broken.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) session: Option<usize>,
    pub(super) at: Duration,
    pub(super) text: String,
}

/// How the log says that there are no sockets left.
pub(super) const NO_SLOT: &str = " worker_connections are not enough";

/// One session.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// When it began, and at which service.
    pub(super) accepted_at: Option<Duration>,
    pub(super) service: usize,
    /// Streams to client and backend that the proxy holds.
    pub(super) open: usize,
    /// When the last of them was dropped.
    pub(super) closed_at: Option<Duration>,
    /// From when `timeout` counts for the client.
    pub(super) armed_at: Duration,
    pub(super) armed_before: Duration,
    /// Whether the client has seen its greeting.
    pub(super) is_greeted: bool,
    /// Whether the auth server has been asked in the client's present attempt.
    pub(super) is_judged: bool,
    /// Whether the auth server owes an answer, and since when.
    pub(super) is_asked: bool,
    pub(super) auth_asked_at: Duration,
    /// The addresses of the auth server that were connected for the present question, and how often one refused.
    pub(super) tried: [bool; ADDRESSES],
    pub(super) refused: usize,
    /// Whether a backend has been looked up or connected for the present attempt, and when that began.
    pub(super) is_backend_asked: bool,
    pub(super) backend_asked_at: Duration,
    /// How often an address of its name refused.
    pub(super) dead_ends: usize,
    /// When the relay read last.
    pub(super) active_at: Duration,
    /// When one of the peers last took bytes during the relay, and when before that.
    pub(super) taken_at: Duration,
    pub(super) taken_before: Duration,
    /// The client's present attempt to log in, from 0.
    pub(super) attempt: usize,
    /// How often the auth server said WAIT in it.
    pub(super) waits: u32,
    /// The challenge that the client was shown last.
    pub(super) challenge: String,
    /// The attempt that the auth server let in.
    pub(super) let_in: Option<usize>,
    /// Whether the backend has sent the reply that completes the login.
    pub(super) is_welcome: bool,
    /// Bytes of the client up to the end of its login.
    pub(super) login_end: usize,
    /// Bytes that the proxy read and wrote.
    pub(super) client_read: usize,
    pub(super) client_written: usize,
    pub(super) backend_read: usize,
    pub(super) backend_written: usize,
    /// Bytes that the relay read from client and backend.
    pub(super) relayed_up: usize,
    pub(super) relayed_down: usize,
    /// What was read and not written when the relay began, up and down.
    pub(super) held_at_login: Option<(isize, isize)>,
    /// Whether the relay has ended: what still comes is thrown away.
    pub(super) is_over: bool,
    /// Bytes of the other's stream that client and backend got.
    pub(super) down_got: usize,
    pub(super) up_got: usize,
    /// What the log said, by message.
    pub(super) lines: Vec<String>,
    /// What the client saw at last.
    pub(super) ending: Option<Ending>,
    /// What the backend saw at last, if it was relayed to.
    pub(super) backend_ending: Option<Ending>,
}

/// How a session ended in the eyes of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// All bytes of the other side came, and then its end.
    Complete,
    /// The relay ended before.
    Cut,
    /// The login was refused, by the auth server or the backend.
    Refused(String),
    /// The auth server was away.
    Temporary,
    /// Something else was.
    Internal,
    /// We were too slow.
    TimedOut,
    /// The proxy shuts down.
    Shutdown,
    /// A command was out of order.
    Rejected,
    /// The proxy closed without another word.
    Closed,
    /// The connection broke.
    Reset,
    /// We went ourselves.
    Left,
}

impl Ledger {
    pub(super) fn new(sessions: usize) -> Self {
        Self {
            records: vec![Record::default(); sessions],
            broken: Vec::new(),
            drained_at: Vec::new(),
            expired_at: Vec::new(),
            written_ends: Vec::new(),
        }
    }

    pub(super) fn complain(&mut self, session: Option<usize>, at: Duration, text: String) {
        self.broken.push(Broken { session, at, text });
    }

    /// Whether the relays that were left at this session's service were ended.
    pub(super) fn is_expired(&self, session: usize) -> bool {
        self.expired_at[self.records[session].service].is_some()
    }
}

impl Record {
    /// How many lines of the log began so.
    pub(super) fn count(&self, message: &str) -> usize {
        self.lines.iter().filter(|line| line.starts_with(message)).count()
    }

    /// Whether there was no socket for something that this session needed.
    pub(super) fn is_starved(&self) -> bool {
        self.lines.iter().any(|line| line.contains(NO_SLOT))
    }

    /// Whether the auth server was asked at all.
    pub(super) fn is_ever_asked(&self) -> bool {
        self.auth_asked_at > Duration::ZERO
    }

    pub(super) fn is_relaying(&self) -> bool {
        self.held_at_login.is_some()
    }
}

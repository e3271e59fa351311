//! The rules that are checked at every step: whenever the proxy reads, writes, connects, closes or logs.

use std::time::Duration;

use gatepost_protocol::config::ProxySsl;
use memchr::memmem;

use super::ledger::NO_SLOT;
use super::script::{self, AuthPlan, MARK, Server};
use super::trace::Leg;
use super::world::World;

/// `timeout` of the simulated configuration.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);
/// `auth_http_timeout`.
pub(super) const AUTH_TIMEOUT: Duration = Duration::from_secs(20);
/// `proxy_timeout`.
pub(super) const PROXY_TIMEOUT: Duration = Duration::from_secs(300);
/// The buffers for one command and for one reply of a backend.
pub(super) const BUFFER: usize = 4_096;

/// What one read may bring.
const LARGEST_READ: usize = 64 * 1024;

/// Under TLS a record may be incomplete, and the wire has more bytes than the stream.
const TLS_ALLOWANCE: usize = 32 * 1024;

/// Bytes of a close_notify as a record, at most.
const LONGEST_FAREWELL: usize = 31;

/// Bytes that one line of the log may have, its LF included.
const LOG_LINE_LIMIT: usize = 2_048;

/// How far a deadline may be missed, in virtual time.
pub(super) const SLACK: Duration = Duration::from_millis(1);

/// How much later the sign of a deadline's beginning may be seen than the beginning: the socket may have been full.
pub(super) const DELAY: Duration = Duration::from_secs(2);

/// A password without what may follow it: mark, session, attempt, kind.
const PASSWORD_LENGTH: usize = MARK.len() + 4 + 1 + 1 + 1 + 1;

/// [`MARK`] in base64, at each of the three places that it may have in a group; the letters that depend on neighbours
/// are left out.
const ENCODED_MARKS: [&str; 3] = ["U2VzYW1l", "Nlc2FtZS", "TZXNhbWUt"];

impl World {
    /// The proxy has read.
    pub(super) fn on_proxy_read(&self, leg: Leg, count: usize) {
        let Some(owner) = self.executor.owner() else { return };
        let now = self.passed();
        let mut complaint = None;
        {
            let record = &mut self.ledger.borrow_mut().records[owner];
            match leg {
                Leg::Client => record.client_read += count,
                Leg::Backend => record.backend_read += count,
                Leg::Auth | Leg::Names => return,
            }
            if record.is_relaying() {
                record.active_at = now;
                if !record.is_over {
                    match leg {
                        Leg::Client => record.relayed_up += count,
                        _ => record.relayed_down += count,
                    }
                }
            } else if record.is_judged
                && !record.is_over
                && !self.scripts[owner].server.is_secured()
                && record.client_read > record.login_end + BUFFER
            {
                complaint = Some("more than a buffer is kept of what came behind the login");
            }
            if let Some((up, down)) = record.held_at_login
                && !record.is_over
            {
                let script = &self.scripts[owner];
                let is_secured = script.server.is_secured() || script.backend_tls != ProxySsl::Off;
                let most = LARGEST_READ + BUFFER + if is_secured { TLS_ALLOWANCE } else { 0 };
                let (held_up, held_down) = record.held();
                if (held_up - up).max(held_down - down) > most.cast_signed() {
                    complaint = Some("the backlog has no limit");
                }
            }
        }
        if let Some(text) = complaint {
            self.complain(text);
        }
    }

    /// The proxy has written.
    pub(super) fn on_proxy_write(&self, stream: usize, leg: Leg, bytes: &[u8]) {
        let Some(owner) = self.executor.owner() else {
            return self.complain("bytes of nobody");
        };
        let now = self.passed();
        let mut is_early = false;
        // Under TLS the last word is no question.
        let is_farewell = self.is_secret(leg) && bytes.len() <= LONGEST_FAREWELL;
        if leg == Leg::Auth
            && !is_farewell
            && let Some(address) = self.on_auth_written(stream)
        {
            self.on_auth_asked(owner, address, false);
        }
        {
            let record = &mut self.ledger.borrow_mut().records[owner];
            if record.is_relaying() && matches!(leg, Leg::Client | Leg::Backend) {
                record.take(now);
            }
            match leg {
                Leg::Client => {
                    let is_greeting = match self.scripts[owner].server {
                        // It may be any of the records until it is seen.
                        Server::Implicit => !record.is_greeted,
                        _ => record.client_written == 0,
                    };
                    if is_greeting || record.is_judged {
                        record.arm(now);
                    }
                    record.client_written += bytes.len();
                }
                Leg::Backend => {
                    is_early = record.let_in.is_none();
                    record.backend_written += bytes.len();
                }
                Leg::Auth | Leg::Names => {}
            }
        }
        if is_early {
            self.complain("bytes reached a backend before the login");
        }
        self.look_for_passwords(owner, stream, leg, bytes);
    }

    /// Passwords are only where they belong.
    fn look_for_passwords(&self, owner: usize, stream: usize, leg: Leg, bytes: &[u8]) {
        let mut ends = std::mem::take(&mut self.ledger.borrow_mut().written_ends);
        if ends.len() <= stream {
            ends.resize(stream + 1, Vec::new());
        }
        let end = &mut ends[stream];
        let before = end.len();
        end.extend_from_slice(bytes);
        for at in memmem::find_iter(end, MARK) {
            // One that ended in what was seen before is known.
            if let Some(password) = end.get(at..at + PASSWORD_LENGTH)
                && at + PASSWORD_LENGTH > before
            {
                self.judge_password(owner, leg, &String::from_utf8_lossy(password));
            }
        }
        let is_under_tls = leg == Leg::Backend && self.scripts[owner].backend_tls != ProxySsl::Off;
        if (leg == Leg::Client || is_under_tls)
            && ENCODED_MARKS.iter().any(|mark| memmem::find(end, mark.as_bytes()).is_some())
        {
            self.complain(format!("a password in base64 where it does not belong: {leg:?}"));
        }
        let kept = end.len().min(PASSWORD_LENGTH - 1);
        end.drain(..end.len() - kept);
        self.ledger.borrow_mut().written_ends = ends;
    }

    fn judge_password(&self, owner: usize, leg: Leg, password: &str) {
        let record = self.ledger.borrow().records[owner].clone();
        let is_right =
            |attempt, is_rewritten| script::password(owner, attempt, is_rewritten).starts_with(password);
        let is_in_place = match (leg, record.let_in) {
            (Leg::Auth, _) if self.is_secret(leg) => false,
            (Leg::Auth, _) => is_right(record.attempt, false),
            // In clear, or it could not be read here.
            (Leg::Backend, _) if self.scripts[owner].backend_tls != ProxySsl::Off => false,
            (Leg::Backend, Some(attempt)) => is_right(attempt, self.is_password_rewritten(owner, attempt)),
            (Leg::Client | Leg::Backend | Leg::Names, _) => false,
        };
        if !is_in_place {
            self.complain(format!("a password, {password}, where it does not belong: {leg:?}"));
        }
    }

    /// Whether the auth server gives this attempt another password for the backend.
    pub(super) fn is_password_rewritten(&self, session: usize, attempt: usize) -> bool {
        matches!(self.scripts[session].attempts.get(attempt), Some(AuthPlan::Accepts { password: true, .. }))
    }

    /// A name is being looked up: the backend's, if the login has got that far.
    pub(super) fn on_lookup(&self) {
        let now = self.passed();
        if let Some(owner) = self.executor.owner() {
            let record = &mut self.ledger.borrow_mut().records[owner];
            if record.let_in.is_some() {
                record.ask_backend(now);
            }
        }
    }

    /// The backend is being connected.
    pub(super) fn on_backend_asked(&self, owner: usize) {
        let now = self.passed();
        let is_let_in = {
            let record = &mut self.ledger.borrow_mut().records[owner];
            record.ask_backend(now);
            record.let_in.is_some()
        };
        if !is_let_in {
            self.complain("a backend is connected before the login");
        }
    }

    /// The proxy has ended its sending direction.
    pub(super) fn on_proxy_shutdown(&self, leg: Leg) {
        if let (Leg::Client, Some(owner)) = (leg, self.executor.owner()) {
            let record = &mut self.ledger.borrow_mut().records[owner];
            // Unless it relays, it closes.
            record.is_over |= !record.is_relaying();
        }
    }

    /// The proxy has dropped a stream.
    pub(super) fn on_proxy_drop(&self, stream: usize, leg: Leg) {
        let now = self.passed();
        self.on_auth_dropped(stream);
        if let (Leg::Client | Leg::Backend, Some(owner)) = (leg, self.executor.owner()) {
            let record = &mut self.ledger.borrow_mut().records[owner];
            record.open -= 1;
            record.closed_at = (record.open == 0).then_some(now);
        }
    }

    /// The proxy has logged.
    pub(super) fn on_log(&self, line: &str) {
        // Time and process number are the machine's.
        let (frame, message) = line.split_once("#0: ").unwrap_or_default();
        let message = message.split_once(' ').filter(|_| message.starts_with('*')).map_or(message, |it| it.1);
        // A long line loses its end, and with it the client's address.
        let is_cut = line.len() >= LOG_LINE_LIMIT - 4;
        let session = if is_cut { self.executor.owner() } else { self.session_of_line(message) };
        let now = self.passed();
        self.trace.borrow_mut().push_line(now, session, message);
        if message.contains(MARK) || ENCODED_MARKS.iter().any(|mark| message.contains(mark)) {
            self.complain(format!("a password in the log: {message}"));
        }
        if message.contains(NO_SLOT) {
            self.on_no_slot();
        } else if ["[alert]", "[crit]", "[emerg]"].iter().any(|level| frame.contains(level)) {
            self.complain(format!("the log is alarmed: {message}"));
        }
        let Some(session) = session else {
            return self.complain(format!("a line of no session: {message}"));
        };
        if self.executor.owner() != Some(session) {
            self.complain(format!("a line about session {session}: {message}"));
        }
        self.check_deadline(session, message);
        let record = &mut self.ledger.borrow_mut().records[session];
        if message.starts_with("client logged in") {
            record.held_at_login = Some(record.held());
            record.active_at = now;
        }
        record.is_over |= message.starts_with("proxied session done");
        record.lines.push(message.to_owned());
    }

    fn session_of_line(&self, message: &str) -> Option<usize> {
        let (_, rest) = message.split_once("client: ").or_else(|| message.split_once("client "))?;
        let end = rest.find(|byte: char| !byte.is_ascii_digit() && byte != '.')?;
        self.session_at(&rest[..end])
    }

    /// Whoever is timed out has had all the time it has, and no more.
    fn check_deadline(&self, session: usize, message: &str) {
        let record = self.ledger.borrow().records[session].clone();
        let is_auth_timeout =
            message.starts_with("auth http server ") && message.contains(":80 timed out (110: ");
        // With other addresses behind it a connection has but a share of the time, and is told of at the end. The line
        // before says how far the exchange got.
        let was_connecting =
            record.lines.iter().rev().take(2).any(|line| line.contains(" failed in connect() "));
        let is_shared = self.scripts[session].server.auth_addresses() > 1 && was_connecting;
        let (since, limit) = if is_auth_timeout && !is_shared {
            (record.auth_asked_at, AUTH_TIMEOUT)
        } else if message.contains(" timed out (110: ") && message.contains("while proxying") {
            // Farewells may have left already.
            let has_spoken = record.taken_at == self.passed();
            let taken = if has_spoken { record.taken_before } else { record.taken_at };
            (record.active_at.max(taken), PROXY_TIMEOUT)
        } else if message.starts_with("upstream timed out") {
            if self.scripts[session].is_named && self.slots.are_scarce() {
                // Without a slot the lookup began before anybody could see it.
                return;
            }
            (record.backend_asked_at, TIMEOUT)
        } else if message.starts_with("client timed out") {
            // Its farewell may have left already.
            let has_spoken = record.armed_at == self.passed();
            (if has_spoken { record.armed_before } else { record.armed_at }, TIMEOUT)
        } else {
            return;
        };
        let passed = self.passed() - since;
        if passed > limit + SLACK || passed + DELAY < limit {
            self.complain(format!("a limit of {limit:?} ended after {passed:?}: {message}"));
        }
    }
}

impl super::ledger::Record {
    /// The client's time begins anew.
    fn arm(&mut self, now: Duration) {
        if self.armed_at < now {
            self.armed_before = std::mem::replace(&mut self.armed_at, now);
        }
    }

    /// A peer takes bytes of the relay.
    fn take(&mut self, now: Duration) {
        if self.taken_at < now {
            self.taken_before = std::mem::replace(&mut self.taken_at, now);
        }
    }

    /// A question to the auth server; false if it goes on, at another address or on another connection.
    pub(super) fn ask(&mut self, now: Duration) -> bool {
        self.is_judged = true;
        let is_first = !std::mem::replace(&mut self.is_asked, true);
        if is_first {
            self.auth_asked_at = now;
        }
        is_first
    }

    /// One limit holds for the lookup of a backend and all of its addresses.
    fn ask_backend(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.is_backend_asked, true) {
            self.backend_asked_at = now;
        }
    }

    /// What was read on one leg and not written on the other, up and down.
    fn held(&self) -> (isize, isize) {
        (
            self.client_read.cast_signed() - self.backend_written.cast_signed(),
            self.backend_read.cast_signed() - self.client_written.cast_signed(),
        )
    }
}

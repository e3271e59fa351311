//! What must have become of a session, by its script alone; and whether it did.

use std::time::Duration;

use gatepost_protocol::config::Protocol;

use super::auth_server::refusal;
use super::ledger::{Ending, Ledger, Record};
use super::script::{AuthPlan, BackendPlan, Manner, RelayEnd, Script, Server, TlsFault};

/// How long after its last event a session may take to close: what is unwritten, and the drain behind it.
const LINGER: Duration = Duration::from_secs(65);

/// How long the end of a relay may take to get from one side to the other and back: both may be slow to read what comes
/// before it. Less than `timeout`, which ends relays whose peers do not.
const PASSING: Duration = Duration::from_secs(45);

/// Judges one session at the end of a simulation; the rules that it broke.
pub(super) fn judge(script: &Script, session: usize, ledger: &Ledger) -> Vec<String> {
    let record = &ledger.records[session];
    if record.accepted_at.is_none() {
        return Vec::new();
    }
    let case = Case { script, session, ledger, record };
    let mut broken = case.bookkeeping();
    broken.extend(case.ending());
    broken.extend(case.duration());
    broken
}

struct Case<'a> {
    script: &'a Script,
    session: usize,
    ledger: &'a Ledger,
    record: &'a Record,
}

impl Case<'_> {
    /// The log and the streams tell the same story.
    fn bookkeeping(&self) -> Vec<String> {
        let record = self.record;
        let (logged_in, done) = (record.count("client logged in"), record.count("proxied session done"));
        let rules = [
            (record.count("client 10.") == 1, "is not logged as connected, once".to_owned()),
            (
                logged_in == done && logged_in <= 1,
                format!("has {logged_in} logins and {done} ends of a relay in the log"),
            ),
            (logged_in == 0 || record.is_welcome, "is logged in without the backend's consent".to_owned()),
            (
                logged_in == 1 || record.up_got + record.down_got == 0,
                "relayed bytes and is not logged in".to_owned(),
            ),
            (record.backend_ending.is_some() == record.is_welcome, "left its backend behind".to_owned()),
            (record.open == 0, format!("never ended: {} streams are open", record.open)),
        ];
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, text)| text).collect()
    }

    /// No session outlives its deadlines, even where nobody logs them.
    fn duration(&self) -> Option<String> {
        let record = self.record;
        let last = [record.accepted_at?, record.armed_at, record.active_at, record.backend_asked_at];
        let last = last.into_iter().max()?.max(record.auth_asked_at);
        let limit = super::watch::PROXY_TIMEOUT + LINGER;
        let lasted = record.closed_at?.saturating_sub(last);
        (lasted > limit).then(|| format!("ended {lasted:?} after its last sign of life"))
    }

    fn ending(&self) -> Option<String> {
        let Some(ending) = &self.record.ending else {
            return Some("has a client that waits for ever".into());
        };
        if self.record.is_starved() {
            // What becomes of it then depends on the others.
            return None;
        }
        let is_right = match self.script.manner {
            Manner::LeavesEarly { .. } | Manner::LeavesDuringLogin { .. } => {
                self.is_cut_off(ending) || *ending == Ending::Left
            }
            Manner::Silent | Manner::HalfCommand | Manner::FallsSilent => {
                self.is_cut_off(ending) || self.has_timed_out(ending)
            }
            Manner::Garbage => {
                self.is_cut_off(ending)
                    || *ending == Ending::Closed
                        && self.record.count("client sent too many invalid commands") == 1
            }
            Manner::Endless => {
                self.is_cut_off(ending)
                    || *ending == Ending::Closed && self.record.count("client sent too long command") == 1
            }
            Manner::Browser => {
                self.is_cut_off(ending)
                    || *ending == Ending::Closed && self.record.count("client sent an HTTP request") == 1
            }
            Manner::InjectsBehindStartTls => {
                self.is_cut_off(ending)
                    || *ending == Ending::Rejected && self.record.count("plaintext data after STARTTLS") == 1
            }
            Manner::Hasty => {
                self.is_cut_off(ending)
                    || *ending == Ending::Closed
                        && self.record.count("client was rejected before greeting: ") == 1
            }
            Manner::BrokenHeader => {
                self.is_cut_off(ending)
                    || *ending == Ending::Closed && self.record.count("broken header") == 1
            }
            Manner::Proper => return self.proper(ending),
        };
        (!is_right).then(|| format!("ended as {ending:?}"))
    }

    fn has_timed_out(&self, ending: &Ending) -> bool {
        // Before a handshake or a PROXY header nothing can be said.
        let begins_later = matches!(self.script.server, Server::Implicit | Server::Balanced);
        let is_mute =
            self.script.protocol == Protocol::Pop3 || begins_later && self.script.manner == Manner::Silent;
        let farewell = if is_mute { Ending::Closed } else { Ending::TimedOut };
        *ending == farewell && self.record.count("client timed out") == 1
    }

    /// A worker that drains sends away whoever is not logging in; at last it sends away whoever is.
    fn is_cut_off(&self, ending: &Ending) -> bool {
        let Some(drained_at) = self.ledger.drained_at[self.record.service] else { return false };
        if self.record.is_relaying() {
            return false;
        }
        let is_expired = self.ledger.is_expired(self.session);
        if is_expired && *ending == Ending::Internal {
            return true;
        }
        // Whoever had asked before, for the only time, was to get an answer.
        let was_judged = self.script.attempts.len() == 1
            && self.script.manner == Manner::Proper
            && self.record.auth_asked_at > Duration::ZERO
            && self.record.auth_asked_at < drained_at
            && self.script.is_let_in();
        if was_judged && !is_expired {
            return false;
        }
        match self.script.protocol {
            Protocol::Pop3 => *ending == Ending::Closed,
            Protocol::Imap | Protocol::Smtp => {
                // In a handshake, or before a PROXY header, nothing can be said.
                let is_mute = self.script.server.is_secured() || self.script.server == Server::Balanced;
                *ending == Ending::Shutdown || is_mute && *ending == Ending::Closed
            }
        }
    }

    fn proper(&self, ending: &Ending) -> Option<String> {
        if self.is_cut_off(ending) {
            return None;
        }
        let told = self.record.count("connect() to 10.0.0.");
        if self.script.server.auth_addresses() > 1 && told != self.record.refused {
            return Some(format!("is told {told} times of {} refusals by auth servers", self.record.refused));
        }
        if let Some(broken) = self.named(ending) {
            return broken;
        }
        let Some(expected) = self.failure() else { return self.relayed(ending) };
        if *ending != expected {
            return Some(format!("ended as {ending:?} instead of {expected:?}"));
        }
        self.unexplained_tls_failure()
    }

    /// A backend with a name may not be found, for all that its name server does; an address where nobody answers is told.
    fn named(&self, ending: &Ending) -> Option<Option<String>> {
        // That nothing was heard of an address is told in the same words.
        let is_told = |line: &&String| line.starts_with("connect() to 10.21.") && !line.contains("(110: ");
        let told = self.record.lines.iter().filter(is_told).count();
        if told != self.record.dead_ends {
            return Some(Some(format!("is told {told} times of {} dead ends", self.record.dead_ends)));
        }
        let is_lost = self.record.count("\"backend-") > 0;
        is_lost
            .then(|| (*ending != Ending::Internal).then(|| format!("has no backend and ended as {ending:?}")))
    }

    /// A backend that cannot be had under TLS is in the log, with the reason.
    fn unexplained_tls_failure(&self) -> Option<String> {
        let (BackendPlan::Tls(fault), Some(AuthPlan::Accepts { waits: ..=10, .. })) =
            (self.script.backend, self.script.attempts.last())
        else {
            return None;
        };
        let reasons: &[&str] = match fault {
            TlsFault::WrongName => &["upstream SSL certificate does not match "],
            // It may arrive together with the answer to STARTTLS, or too late for that.
            TlsFault::Clear | TlsFault::ClearBehindStartTls => {
                &["SSL_do_handshake() failed ", "upstream sent plaintext data after STARTTLS"]
            }
            TlsFault::NotOffered => &["upstream does not offer STARTTLS"],
            TlsFault::Silent => &["upstream timed out "],
            // Closing with the proxy's first message unread is a reset, too.
            TlsFault::Closes | TlsFault::Resets => {
                &["recv() failed ", "send() failed ", "peer closed connection in SSL handshake"]
            }
        };
        // Whatever happened before, with the auth server, has no backend.
        let lines = self.record.lines.iter().filter(|line| line.contains(", upstream: "));
        let said = lines.filter(|line| reasons.iter().any(|reason| line.starts_with(reason))).count();
        (said != 1).then(|| format!("was not told of {fault:?}, once: {:?}", self.record.lines))
    }

    /// How the login must fail, if it must.
    fn failure(&self) -> Option<Ending> {
        match self.script.attempts.last()? {
            AuthPlan::Refuses { .. } => Some(Ending::Refused(refusal(self.session))),
            AuthPlan::Away(_) => Some(Ending::Temporary),
            AuthPlan::Nonsense(_) | AuthPlan::Accepts { waits: 11.., .. } => Some(Ending::Internal),
            AuthPlan::Accepts { .. } => match self.script.backend {
                BackendPlan::Works => None,
                BackendPlan::Refuses if self.script.server == Server::Kept => {
                    Some(Ending::Refused("go away".into()))
                }
                _ => Some(Ending::Internal),
            },
        }
    }

    fn relayed(&self, ending: &Ending) -> Option<String> {
        let relay = self.script.relay;
        if relay.end == RelayEnd::BackendResets && *ending == Ending::Internal {
            // The reset overtook the reply to the login.
            return None;
        }
        if self.record.count("client logged in") != 1 {
            return Some(format!("was not logged in, and ended as {ending:?}"));
        }
        let others = self.record.backend_ending.as_ref();
        let is_complete = *ending == Ending::Complete && others == Some(&Ending::Complete);
        let may_be_cut = self.ledger.is_expired(self.session)
            || matches!(relay.end, RelayEnd::ClientResets | RelayEnd::BackendResets);
        if relay.end == RelayEnd::Idle && !self.ledger.is_expired(self.session) {
            let timeouts = self.record.count("client timed out");
            if timeouts != 1 {
                return Some(format!("was idle and was timed out {timeouts} times"));
            }
        }
        if is_complete && relay.end != RelayEnd::Idle && !may_be_cut {
            let silence = self.record.closed_at.unwrap_or_default().saturating_sub(self.record.active_at);
            if silence > PASSING {
                return Some(format!(
                    "closed {silence:?} after its last byte, as if an end were not passed on"
                ));
            }
        }
        (!is_complete && !may_be_cut).then(|| {
            format!(
                "ended as {ending:?}, its backend as {others:?}, after {} of {} bytes up and {} of {} down",
                self.record.up_got, relay.up, self.record.down_got, relay.down
            )
        })
    }
}

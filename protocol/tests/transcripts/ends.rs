//! Each phase of a session, and how the client's end, a failure of its leg and a stopping worker end it.

use gatepost_protocol::config::{Listener, Server, StartTls};

use crate::support::SECOND;
use crate::support::server::{behind_balancer, listener, pop3, smtp_with};
use crate::support::transcript::check;
use crate::tls::secured;

/// A session in one of its phases.
struct Phase {
    listener: Listener,
    /// How it gets there.
    way: String,
    /// What the log says it is doing.
    stage: &'static str,
    /// What has to be given up or closed beside the client.
    is_waiting: bool,
    has_backend: bool,
}

fn phase(listener: Listener, way: &[&str], stage: &'static str) -> Phase {
    Phase { listener, way: way.concat(), stage, is_waiting: false, has_backend: false }
}

const ASKED: &str = "
    S: +OK POP3 ready
    C: USER joe
    S: +OK
    C: PASS x
    ! authenticate 1 plain joe x
";
const CONNECTING: &str = "
    > accepted 127.0.0.1:1100
    ! connect 127.0.0.1:1100
";
const LOGGING_IN: &str = "
    > connected
    B: +OK
    P: USER joe
";
const SLEEPING: &str = "
    > refused 5 no
    ! log LoginRefused \"no\"
";
const ASKING_AGAIN: &str = "> wait 5";

/// Phases in which the worker's stop waits for what is under way.
fn logins() -> [Phase; 5] {
    let of = |way, stage| phase(listener(pop3(StartTls::Off)), way, stage);
    [
        Phase { is_waiting: true, ..of(&[ASKED], "in http auth state") },
        of(&[ASKED, SLEEPING], "in http auth state"),
        of(&[ASKED, ASKING_AGAIN], "in http auth state"),
        Phase { is_waiting: true, ..of(&[ASKED, CONNECTING], "connecting to upstream") },
        Phase { has_backend: true, ..of(&[ASKED, CONNECTING, LOGGING_IN], "sending user name to upstream") },
    ]
}

/// Phases that it ends at once, and its last words.
fn openings() -> [(Phase, &'static str); 6] {
    let smtp = || {
        let server = smtp_with(StartTls::Off, false, |settings| settings.greeting_delay = 30 * SECOND);
        listener(Server { resolve: true, ..server })
    };
    let last_words = "S: 421 4.3.2 mx.example shutting down";
    let implicit = Listener { ssl: true, ..secured(pop3(StartTls::Off)) };
    let lookup = "! resolve 192.0.2.7";
    let delay = "! resolve 192.0.2.7\n> mismatch";
    let starttls = "S: +OK POP3 ready\nC: STLS\nS: +OK";
    [
        (phase(behind_balancer(pop3(StartTls::Off)), &[], "reading PROXY protocol"), ""),
        (phase(implicit, &[], "SSL handshaking"), ""),
        (Phase { is_waiting: true, ..phase(smtp(), &[lookup], "in resolving client address") }, last_words),
        (phase(smtp(), &[delay], "in delay pipelining state"), last_words),
        (phase(listener(pop3(StartTls::Off)), &["S: +OK POP3 ready"], "in auth state"), ""),
        (phase(secured(pop3(StartTls::On)), &[starttls], "in starttls state"), ""),
    ]
}

fn all() -> impl Iterator<Item = Phase> {
    logins().into_iter().chain(openings().map(|(phase, _)| phase))
}

impl Phase {
    /// The end of the dialogue, after `event` and what it brings.
    #[track_caller]
    fn check_end(&self, event: &str, client: &str) {
        let cancel = if self.is_waiting { "! cancel" } else { "" };
        let backend = if self.has_backend { "! close backend" } else { "" };
        let dialogue =
            format!("{}\n{event}\n{cancel}\n! {client} client\n{backend}\n! finish\n> eof client", self.way);
        check(&self.listener, &dialogue);
    }
}

#[test]
fn a_client_may_leave_in_every_phase() {
    for phase in all() {
        let log = match phase.stage {
            "reading PROXY protocol" => "! log BrokenProxyHeader([]) while reading PROXY protocol",
            "SSL handshaking" => "! log ClosedInHandshake(Client) while SSL handshaking",
            "in starttls state" => "! log ClosedInHandshake(Client) while in starttls state",
            _ => "",
        };
        phase.check_end(&format!("> eof client\n{log}"), "close");
    }
}

#[test]
fn the_clients_leg_may_fail_in_every_phase() {
    for phase in all() {
        let event = format!("> reset client\n! log ReceiveFailed(Client, Errno(104)) while {}", phase.stage);
        phase.check_end(&event, "abort");
    }
}

#[test]
fn what_the_client_is_sent_may_fail_in_every_phase() {
    for phase in all() {
        // Nothing was sent but the greeting.
        let stage = if phase.stage == "in auth state" { "sending client greeting line" } else { phase.stage };
        let event = format!("> broken client\n! log SendFailed(Client, Errno(32)) while {stage}");
        phase.check_end(&event, "abort");
    }
    let way = "S: +OK POP3 ready\nC: NOOP\nS: +OK";
    let event = "> broken client\n! log SendFailed(Client, Errno(32)) while in auth state";
    phase(listener(pop3(StartTls::Off)), &[way], "in auth state").check_end(event, "abort");
}

#[test]
fn a_stopping_worker_ends_the_phases_without_a_login() {
    for (phase, last_words) in openings() {
        phase.check_end(&format!("> shutdown\n> sleep 5\n{last_words}"), "close");
    }
}

#[test]
fn a_stopping_worker_lets_a_login_go_on() {
    for phase in logins() {
        let dialogue = format!("{}\n> shutdown\n", phase.way);
        check(&phase.listener, &dialogue);
    }
}

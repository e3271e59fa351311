//! The counters of a worker are what happened, no more and no less.

use gatepost_protocol::config::Protocol;

use super::ledger::{Ledger, Record};
use super::script::{Manner, Script};

/// Judges the counters of one worker when all is over; `text` is what `metrics` shows.
pub(super) fn judge(text: &str, service: usize, scripts: &[Script], ledger: &Ledger) -> Vec<String> {
    [Protocol::Imap, Protocol::Pop3, Protocol::Smtp]
        .into_iter()
        .flat_map(|protocol| judge_protocol(text, protocol, service, scripts, ledger))
        .collect()
}

fn judge_protocol(
    text: &str,
    protocol: Protocol,
    service: usize,
    scripts: &[Script],
    ledger: &Ledger,
) -> Vec<String> {
    let label = format!("protocol=\"{}\"", protocol.name());
    let counted = |name: &str, rest: &str| value(text, &format!("{name}{{{label}{rest}}}"));
    let sessions = || {
        scripts.iter().zip(&ledger.records).filter(|(script, record)| {
            script.protocol == protocol && record.service == service && record.accepted_at.is_some()
        })
    };
    let lines = |message: &str| sessions().map(|(_, record)| record.count(message)).sum::<usize>();
    let relayed = |bytes: fn(&Record) -> usize| sessions().map(|(_, record)| bytes(record)).sum::<usize>();
    let [ok, refused, auth_error, backend_error] = ["ok", "refused", "auth_error", "backend_error"]
        .map(|result| counted("logins_total", &format!(",result=\"{result}\"")));
    let exact = [
        ("clients accepted", counted("clients_accepted_total", ""), sessions().count()),
        ("clients timed out", counted("clients_timed_out_total", ""), lines("client timed out")),
        ("logins", ok, lines("client logged in")),
        ("refusals", refused, lines("client login failed")),
        (
            "bytes from clients",
            counted("relayed_bytes_total", ",from=\"client\""),
            relayed(|record| record.relayed_up),
        ),
        (
            "bytes from backends",
            counted("relayed_bytes_total", ",from=\"upstream\""),
            relayed(|record| record.relayed_down),
        ),
        ("sessions that log in", counted("sessions", ",phase=\"login\""), 0),
        ("sessions that relay", counted("sessions", ",phase=\"relay\""), 0),
    ];
    let mut broken: Vec<_> = exact
        .into_iter()
        .filter(|(_, counted, happened)| counted != happened)
        .map(|(what, counted, happened)| format!("{counted} {what} are counted instead of {happened}"))
        .collect();
    let outcomes = ok + refused + auth_error + backend_error;
    let (least, most) = attempts(sessions());
    if !(least..=most).contains(&outcomes) {
        broken.push(format!("{outcomes} outcomes of logins are counted; there were {least} to {most}"));
    }
    broken.into_iter().map(|text| format!("worker {service}, {}: {text}", protocol.name())).collect()
}

/// How many logins had an outcome, at least and at most: a client that leaves, and one that is sent away, may or may
/// not have waited for it.
fn attempts<'a>(sessions: impl Iterator<Item = (&'a Script, &'a Record)>) -> (usize, usize) {
    sessions.fold((0, 0), |(least, most), (script, record)| {
        // Without a slot nobody could see that the auth server was to be asked.
        let is_begun = record.is_ever_asked() || record.is_starved();
        let begun = if is_begun { record.attempt + 1 } else { 0 };
        let is_certain = script.manner == Manner::Proper && record.is_relaying();
        (least + if is_certain { begun } else { begun.saturating_sub(1) }, most + begun)
    })
}

fn value(text: &str, name: &str) -> usize {
    let found = text.lines().find_map(|line| line.strip_prefix("gatepost_")?.strip_prefix(name));
    found.and_then(|value| value.trim().parse().ok()).unwrap_or(usize::MAX)
}

//! The same configuration, auth server, backends and clients for Debian's nginx and for gatepost: what the client, the
//! auth server and the backend see is compared, and what the error log says. Where it differs, the transcript names the row of docs/differences.md.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

mod configuration;
mod normal;
mod observe;
mod transcript;

use std::fmt::Write as _;
use std::sync::OnceLock;

use gatepost_protocol::config::Protocol;
use gatepost_tests::real::{Nginx, are_available};
use gatepost_tests::{Program, on_both};

use observe::{Observation, Observations, Subject, observe};
use transcript::{Difference, Transcript, parse};

on_both! {
    fn imap(program: Program) {
        static NGINX: OnceLock<Vec<Observations>> = OnceLock::new();
        compare(program, Protocol::Imap, include_str!("imap.txt"), &NGINX);
    }

    fn pop3(program: Program) {
        static NGINX: OnceLock<Vec<Observations>> = OnceLock::new();
        compare(program, Protocol::Pop3, include_str!("pop3.txt"), &NGINX);
    }

    fn smtp(program: Program) {
        static NGINX: OnceLock<Vec<Observations>> = OnceLock::new();
        compare(program, Protocol::Smtp, include_str!("smtp.txt"), &NGINX);
    }
}

fn all_transcripts() -> Vec<Transcript> {
    [include_str!("imap.txt"), include_str!("pop3.txt"), include_str!("smtp.txt")]
        .into_iter()
        .flat_map(parse)
        .collect()
}

#[test]
fn every_named_difference_is_a_row() {
    let page = include_str!("../../../docs/differences.md");
    for transcript in all_transcripts() {
        for difference in [&transcript.difference, &transcript.log_difference] {
            let Some(Difference::Row(area)) = difference else { continue };
            let is_row = page.lines().any(|line| line.starts_with(&format!("| {area} |")));
            assert!(is_row, "{:?}: docs/differences.md has no row {area:?}", transcript.name);
        }
    }
    for case in configuration::cases() {
        let Some(area) = case.differs else { continue };
        let is_row = page.lines().any(|line| line.starts_with(&format!("| {area} |")));
        assert!(is_row, "{:?}: docs/differences.md has no row {area:?}", case.name);
    }
}

/// Compares all transcripts of a file; nginx is asked once for both programs.
#[track_caller]
fn compare(program: Program, protocol: Protocol, text: &str, nginx: &OnceLock<Vec<Observations>>) {
    if !are_available(&Nginx::NEEDS) {
        return;
    }
    let transcripts = parse(text);
    let gatepost = observe(Subject::Gatepost(program), protocol, &transcripts);
    let nginx = nginx.get_or_init(|| observe(Subject::Nginx, protocol, &transcripts));
    let mut complaints = String::new();
    for ((transcript, ours), theirs) in transcripts.iter().zip(&gatepost).zip(nginx) {
        if let Some(complaint) = judge(transcript, ours, theirs) {
            writeln!(complaints, "== {}\n{complaint}", transcript.name).unwrap();
        }
    }
    assert!(complaints.is_empty(), "{protocol}, {}:\n{complaints}", program.name());
}

/// What is wrong with the observations of a transcript, if anything.
fn judge(transcript: &Transcript, ours: &Observations, theirs: &Observations) -> Option<String> {
    let mut complaint = String::new();
    let (mut peers_differ, mut logs_differ) = (false, false);
    for ((delivery, ours), (_, theirs)) in ours.iter().zip(theirs) {
        let peers_saw_the_same = Observation { log: theirs.log.clone(), ..ours.clone() } == *theirs;
        peers_differ |= !peers_saw_the_same;
        logs_differ |= ours.log != theirs.log;
        if transcript.difference.is_none() && !peers_saw_the_same {
            writeln!(complaint, "{delivery:?} differs\ngatepost: {ours:#?}\nnginx: {theirs:#?}").unwrap();
        } else if transcript.log_difference.is_none() && ours.log != theirs.log {
            let show = |observation: &Observation| observation.log.join("\n    ");
            let (ours, theirs) = (show(ours), show(theirs));
            writeln!(complaint, "{delivery:?}: logs differ\n  gatepost:\n    {ours}\n  nginx:\n    {theirs}")
                .unwrap();
        }
        if ours.log.is_empty() || theirs.log.is_empty() {
            writeln!(complaint, "{delivery:?}: no log\ngatepost: {:#?}\nnginx: {:#?}", ours.log, theirs.log)
                .unwrap();
        }
        if ours.missed && transcript.difference.is_none() {
            writeln!(complaint, "{delivery:?}: the client waited for a line in vain: {ours:#?}").unwrap();
        }
        for text in transcript.says.iter().filter(|text| !ours.client.contains(*text)) {
            writeln!(complaint, "{delivery:?}: gatepost never says {text:?}: {ours:#?}").unwrap();
        }
        for text in transcript.logs.iter().filter(|text| !ours.log.iter().any(|line| line.contains(*text))) {
            writeln!(complaint, "{delivery:?}: gatepost never logs {text:?}: {:#?}", ours.log).unwrap();
        }
    }
    if transcript.difference.is_some() && !peers_differ {
        writeln!(complaint, "there is no difference: {ours:#?}").unwrap();
    }
    if transcript.log_difference.is_some() && !logs_differ {
        writeln!(complaint, "there is no difference between the logs: {ours:#?}").unwrap();
    }
    (!complaint.is_empty()).then_some(complaint)
}

#[test]
fn stale_rows_and_unnamed_differences_show() {
    let seen = |client: &str, log: &str| {
        let log = vec![log.to_owned()];
        let seen = Observation { client: client.to_owned(), log, ..Observation::default() };
        vec![(observe::Delivery::Whole, seen)]
    };
    let text = "== same\n== named\ndiffers: AREA\nsays: +OK\n== logged\nlogs: AREA\nlog: one";
    let [same, named, logged] = parse(text).try_into().unwrap();
    let is_fine = |transcript: &Transcript, ours: [&str; 2], theirs: [&str; 2]| {
        judge(transcript, &seen(ours[0], ours[1]), &seen(theirs[0], theirs[1])).is_none()
    };
    assert!(is_fine(&same, ["+OK", "one"], ["+OK", "one"]));
    assert!(!is_fine(&same, ["+OK", "one"], ["-ERR", "one"]));
    assert!(!is_fine(&same, ["+OK", "one"], ["+OK", "two"]));
    assert!(is_fine(&named, ["+OK", "one"], ["-ERR", "one"]));
    assert!(!is_fine(&named, ["+OK", "one"], ["+OK", "one"]));
    assert!(!is_fine(&named, ["-NO", "one"], ["-ERR", "one"]));
    assert!(!is_fine(&named, ["+OK", "one"], ["-ERR", "two"]));
    assert!(is_fine(&logged, ["+OK", "one"], ["+OK", "two"]));
    assert!(!is_fine(&logged, ["+OK", "one"], ["+OK", "one"]));
    assert!(!is_fine(&logged, ["+OK", "three"], ["+OK", "two"]));
}

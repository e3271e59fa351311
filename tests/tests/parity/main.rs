//! The same configuration, auth server, backends and clients for Debian's nginx and for gatepost: what the client, the
//! auth server and the backend see is compared. Where it differs, the transcript names the row of docs/differences.md.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

mod normal;
mod observe;
mod transcript;

use std::fmt::Write as _;
use std::sync::OnceLock;

use gatepost_protocol::config::Protocol;
use gatepost_tests::real::{Nginx, are_available};
use gatepost_tests::{Program, on_both};

use observe::{Observations, Subject, observe};
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
        let Some(Difference::Row(area)) = transcript.difference else { continue };
        let is_row = page.lines().any(|line| line.starts_with(&format!("| {area} |")));
        assert!(is_row, "{:?}: docs/differences.md has no row {area:?}", transcript.name);
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
    for ((delivery, ours), (_, theirs)) in ours.iter().zip(theirs) {
        if transcript.difference.is_none() && ours != theirs {
            writeln!(complaint, "{delivery:?} differs\ngatepost: {ours:#?}\nnginx: {theirs:#?}").unwrap();
        }
        if ours.missed && transcript.difference.is_none() {
            writeln!(complaint, "{delivery:?}: the client waited for a line in vain: {ours:#?}").unwrap();
        }
        for text in transcript.says.iter().filter(|text| !ours.client.contains(*text)) {
            writeln!(complaint, "{delivery:?}: gatepost never says {text:?}: {ours:#?}").unwrap();
        }
    }
    if transcript.difference.is_some() && ours == theirs {
        writeln!(complaint, "there is no difference: {ours:#?}").unwrap();
    }
    (!complaint.is_empty()).then_some(complaint)
}

#[test]
fn stale_rows_and_unnamed_differences_show() {
    let seen = |client: &str| {
        let seen = observe::Observation { client: client.to_owned(), ..observe::Observation::default() };
        vec![(observe::Delivery::Whole, seen)]
    };
    let [same, named] = parse("== same\n== named\ndiffers: AREA\nsays: +OK").try_into().unwrap();
    assert_eq!(judge(&same, &seen("+OK"), &seen("+OK")), None);
    assert!(judge(&same, &seen("+OK"), &seen("-ERR")).is_some());
    assert_eq!(judge(&named, &seen("+OK"), &seen("-ERR")), None);
    assert!(judge(&named, &seen("+OK"), &seen("+OK")).is_some());
    assert!(judge(&named, &seen("-NO"), &seen("-ERR")).is_some());
}

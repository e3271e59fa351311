//! Backends that say no, or nothing that makes sense.

use super::backend::{check_login, none, with_auth, with_xclient};
use super::*;
use crate::event::Stage;

/// Answers each step as it should be but the last, to which all of `wrong` are answers; none may be taken for a yes.
#[track_caller]
fn check_refused(server: &Server, steps: &[&str], wrong: &[(&str, &str)]) {
    for (line, refused) in wrong {
        let mut driver = Driver::new(server);
        driver.inputs(&["C: HELO a", "C: MAIL FROM:<a>", "C: RCPT TO:<b>", "BACKEND joe pw"]);
        driver.inputs(steps);
        driver.seen.clear();
        driver.input(&format!("B: {line}"));
        assert_eq!(driver.seen, [format!("B: {line}"), format!("=> {refused} {line:?}")], "after {steps:?}");
        assert_eq!(driver.stage, Stage::ReadingResponse);
        driver.seen.clear();
        driver.input("LEAVE");
        assert_eq!(driver.seen, ["LEAVE", "P: QUIT"]);
    }
}

#[test]
fn a_wrong_reply_ends_the_login_at_any_step() {
    let negative =
        |code: &'static str| [("554 5.7.1 no", "refused"), ("421 4.3.2 busy", "refused"), (code, "refused")];
    let (mail, auth) = (none(), with_auth(plain()));
    let xclient = with_xclient(none(), Xclient::Required);
    let offered = ["B: 220 x", "B: 250-x", "B: 250 XCLIENT NAME"];

    check_refused(&mail, &[], &negative("250 x"));
    check_refused(
        &mail,
        &[],
        &[("", "refused"), ("+OK", "refused"), ("220x", "refused"), ("SSH-2.0-x", "refused")],
    );
    check_refused(&mail, &["B: 220 x"], &negative("220 x"));
    check_refused(&xclient, &offered, &negative("354 x"));
    check_refused(&xclient, &[&offered[..], &["B: 220 x"]].concat(), &negative("220 x"));
    check_refused(&mail, &["B: 220 x", "B: 250 x"], &negative("251 x"));
    check_refused(&mail, &["B: 220 x", "B: 250 x", "B: 250 x"], &[("250x", "refused"), ("", "refused")]);
    check_refused(
        &auth,
        &["B: 220 x", "B: 250 x"],
        &[
            ("535 5.7.8 Authentication failed", "refused cleanly"),
            ("535", "refused cleanly"),
            ("503 5.5.1 AUTH not available", "refused otherwise"),
            ("504 5.5.4 what?", "refused otherwise"),
            ("530 5.7.0 Must issue a STARTTLS command first", "refused otherwise"),
            ("534 5.7.9 too weak", "refused otherwise"),
            ("538 5.7.11 Encryption required", "refused otherwise"),
            ("454 4.7.0 later", "refused"),
            ("421 4.3.2 busy", "refused"),
            ("334 ", "refused"),
            ("250 OK", "refused"),
            ("5.7.8 no", "refused"),
        ],
    );
}

#[test]
fn replies_of_many_lines() {
    let transcript = |lines: &str| format!("BACKEND joe pw\n {lines}");
    let server = with_auth(plain());
    check_login(
        &server,
        "HELO client.test",
        &transcript(
            "B: 220-mx2.test, wait
            B: 220 mx2.test ESMTP
                P: HELO mx.test
            B: 250-mx2.test
            B: 250
                P: AUTH PLAIN AGpvZQBwdw==
            B: 535-5.7.8 no
            B: 535 5.7.8 not at all
                => refused cleanly \"535-5.7.8 no\\r\\n535 5.7.8 not at all\"",
        ),
    );
    check_login(
        &server,
        "HELO client.test",
        &transcript("B: 220-mx2.test\n B: what?\n => refused \"220-mx2.test\\r\\nwhat?\""),
    );
}

#[test]
fn a_reply_over_proxy_buffer_ends_the_login() {
    let line = format!("250-{}", "x".repeat(250));
    check_login(
        &plain(),
        "HELO client.test",
        &format!(
            "BACKEND joe pw
            B: 220 mx2.test
                P: HELO mx.test
            B: {line}
            B: {line}
            B: 250
                LOG BackendReplyTooLong(\"{line}\\r\\n{line}\\r\\n\"), reading response from upstream
                => failed"
        ),
    );
}

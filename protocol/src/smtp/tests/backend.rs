//! The login to the backend, with what the client said before it.

use super::*;
use crate::event::Stage;

const OFFERED: &str = "B: 250-mx2.test
    B: 250-XCLIENT NAME ADDR LOGIN
    B: 250 SIZE 1000";

pub(super) fn none() -> Server {
    server(StartTls::Off, "none")
}

pub(super) fn with_xclient(server: Server, xclient: Xclient) -> Server {
    with(server, |settings| settings.xclient = xclient)
}

pub(super) fn with_auth(server: Server) -> Server {
    with(server, |settings| settings.proxy_smtp_auth = true)
}

/// `transcript` begins behind the reply to the client's AUTH; the client has said `hello`.
#[track_caller]
pub(super) fn check_login(server: &Server, hello: &str, transcript: &str) {
    let reply = match hello.split_once(' ') {
        Some(("EHLO", _)) => "S: 250-mx.test\n S: 250-SIZE 1000\n S: 250 AUTH PLAIN LOGIN",
        Some(_) | None => "S: 250 mx.test",
    };
    check(
        server,
        &format!("C: {hello}\n {reply}\n C: AUTH PLAIN AGpvZQBwdw==\n => plain \"joe\" pw\n {transcript}"),
    );
}

#[test]
fn without_xclient_the_backend_knows_our_name_only() {
    for (hello, ours) in [("EHLO client.test", "EHLO mx.test"), ("HELO client.test", "HELO mx.test")] {
        check_login(
            &plain(),
            hello,
            &format!(
                "BACKEND joe pw
                B: 220 mx2.test ESMTP
                    P: {ours}
                B: 250-mx2.test
                B: 250-XCLIENT NAME ADDR LOGIN
                B: 250 SIZE 1000
                    S: 235 2.0.0 OK
                    => relay"
            ),
        );
    }
}

#[test]
fn the_latest_hello_counts() {
    check(
        &none(),
        "C: EHLO client.test
            S: 250-mx.test
            S: 250 SIZE 1000
        C: HELO client.test
            S: 250 mx.test
        C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: RCPT TO:<joe@mx.test>
            => none \"client.test\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"
        BACKEND
        B: 220 mx2.test
            P: HELO mx.test",
    );
}

#[test]
fn with_xclient_the_client_is_introduced() {
    let server = with_xclient(plain(), Xclient::Required);
    for (hello, accepted) in [("EHLO client.test", "220 mx2.test ESMTP"), ("HELO client.test", "250 OK")] {
        check_login(
            &server,
            hello,
            &format!(
                "BACKEND joe@mx.test pw
                B: 220 mx2.test ESMTP
                    P: EHLO mx.test
                {OFFERED}
                    P: XCLIENT ADDR=192.0.2.7 LOGIN=joe@mx.test NAME=[UNAVAILABLE]
                B: {accepted}
                    P: {hello}
                B: 250-mx2.test
                B: 250 SIZE 1000
                    S: 235 2.0.0 OK
                    => relay"
            ),
        );
    }
}

#[test]
fn xclient_where_it_is_not_offered() {
    let (if_offered, required) = (Xclient::IfOffered, Xclient::Required);
    check_login(
        &with_xclient(plain(), if_offered),
        "EHLO client.test",
        "BACKEND joe pw
        B: 220 mx2.test
            P: EHLO mx.test
        B: 250-mx2.test
        B: 250 SIZE 1000
            LOG NoXclient { fatal: false }, reading response from upstream
            S: 235 2.0.0 OK
            => relay",
    );
    check_login(
        &with_xclient(plain(), required),
        "EHLO client.test",
        "BACKEND joe pw
        B: 220 mx2.test
            P: EHLO mx.test
        B: 250 mx2.test
            LOG NoXclient { fatal: true }, reading response from upstream
            => failed",
    );
}

#[test]
fn xclient_in_more_than_one_line() {
    let login = "l".repeat(490);
    check_login(
        &with_xclient(plain(), Xclient::IfOffered),
        "HELO client.test",
        &format!(
            "BACKEND {login} pw
            B: 220 mx2.test ESMTP
                P: EHLO mx.test
            {OFFERED}
                P: XCLIENT LOGIN={login}
            B: 220 mx2.test ESMTP
                P: XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]
            B: 220 mx2.test ESMTP
                P: HELO client.test
            B: 250 mx2.test
                S: 235 2.0.0 OK
                => relay"
        ),
    );
}

#[test]
fn the_envelope_is_repeated_and_the_last_reply_passed_on() {
    for reply in
        ["250 2.1.5 Ok", "550 5.1.1 no such user", "421 4.3.0 busy", "450-4.2.0 grey\n S: 450 4.2.0 later"]
    {
        let lines = reply.replace("S: ", "B: ");
        check(
            &none(),
            &format!(
                "C: MAIL FROM:<a@client.test> SIZE=1
                    S: 250 2.0.0 OK
                C: RCPT TO:<joe@mx.test>
                    => none \"\" \"MAIL FROM:<a@client.test> SIZE=1\" \"RCPT TO:<joe@mx.test>\"
                BACKEND
                B: 220 mx2.test
                    P: HELO mx.test
                B: 250 mx2.test
                    P: MAIL FROM:<a@client.test> SIZE=1
                B: 250 2.1.0 Ok
                    P: RCPT TO:<joe@mx.test>
                B: {lines}
                    S: {reply}
                    => relay"
            ),
        );
    }
}

#[test]
fn xclient_and_envelope() {
    let server = with_xclient(none(), Xclient::Required);
    // Neither HELO nor login: nothing comes between XCLIENT and MAIL.
    check(
        &server,
        &format!(
            "C: MAIL FROM:<a@client.test>
                S: 250 2.0.0 OK
            C: RCPT TO:<joe@mx.test>
                => none \"\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"
            BACKEND
            B: 220 mx2.test
                P: EHLO mx.test
            {OFFERED}
                P: XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]
            B: 220 mx2.test
                P: MAIL FROM:<a@client.test>
            B: 250 2.1.0 Ok
                P: RCPT TO:<joe@mx.test>"
        ),
    );
    check(
        &server,
        &format!(
            "C: HELO client.test
                S: 250 mx.test
            C: MAIL FROM:<a@client.test>
                S: 250 2.0.0 OK
            C: RCPT TO:<joe@mx.test>
                => none \"client.test\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"
            BACKEND
            B: 220 mx2.test
                P: EHLO mx.test
            {OFFERED}
                P: XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]
            B: 220 mx2.test
                P: HELO client.test
            B: 250 mx2.test
                P: MAIL FROM:<a@client.test>"
        ),
    );
}

#[test]
fn a_login_after_a_transaction_has_no_envelope() {
    check(
        &server(StartTls::Off, "plain none"),
        "C: HELO client.test
            S: 250 mx.test
        C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: RCPT TO:<joe@mx.test>
            => none \"client.test\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"
        REFUSED log in first
            S: 535 5.7.0 log in first
        C: RSET
            S: 250 2.0.0 OK
        C: AUTH PLAIN AGpvZQBwdw==
            => plain \"joe\" pw
        BACKEND joe pw
        B: 220 mx2.test
            P: HELO mx.test
        B: 250 mx2.test
            S: 235 2.0.0 OK
            => relay",
    );
}

#[test]
fn proxy_smtp_auth() {
    check_login(
        &with_auth(plain()),
        "EHLO client.test",
        "BACKEND joe p w
        B: 220 mx2.test
            P: EHLO mx.test
        B: 250-mx2.test
        B: 250 AUTH PLAIN
            P: AUTH PLAIN AGpvZQBwIHc=
        B: 235 2.7.0 Authentication successful
            S: 235 2.0.0 OK
            => relay",
    );
    // AUTH tells the login, so XCLIENT does not.
    check_login(
        &with_xclient(with_auth(plain()), Xclient::Required),
        "HELO client.test",
        &format!(
            "BACKEND joe pw
            B: 220 mx2.test
                P: EHLO mx.test
            {OFFERED}
                P: XCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE]
            B: 220 mx2.test
                P: HELO client.test
            B: 250 mx2.test
                P: AUTH PLAIN AGpvZQBwdw=="
        ),
    );
}

#[test]
fn proxy_smtp_auth_leaves_envelopes_alone() {
    check(
        &with_auth(none()),
        "C: MAIL FROM:<a@client.test>
            S: 250 2.0.0 OK
        C: RCPT TO:<joe@mx.test>
            => none \"\" \"MAIL FROM:<a@client.test>\" \"RCPT TO:<joe@mx.test>\"
        BACKEND
        B: 220 mx2.test
            P: HELO mx.test
        B: 250 mx2.test
            P: MAIL FROM:<a@client.test>",
    );
}

#[test]
fn credentials_that_cannot_be_sent() {
    for (login, event) in [
        ("joe", "NoPassword"),
        ("joe p\0w", "InvalidCredentials"),
        ("joe p\rw", "InvalidCredentials"),
        ("j\0oe pw", "InvalidCredentials"),
    ] {
        check_login(
            &with_auth(plain()),
            "HELO client.test",
            &format!(
                "BACKEND {login}
                B: 220 mx2.test
                    P: HELO mx.test
                B: 250 mx2.test
                    LOG {event}, sending AUTH to upstream
                    => failed
                B: 250 mx2.test
                    => failed"
            ),
        );
    }
}

#[test]
fn the_stage_is_the_last_thing_done() {
    let server = with_xclient(with_auth(plain()), Xclient::Required);
    let mut driver = Driver::new(&server);
    driver.inputs(&["C: EHLO a", "BACKEND joe pw"]);
    for (line, stage) in [
        ("B: 220 x", Stage::SendingHelo),
        ("B: 250-x", Stage::ReadingResponse),
        ("B: 250 XCLIENT NAME", Stage::SendingXclient),
        ("B: 220 x", Stage::SendingClientHelo),
        ("B: 250 x", Stage::SendingAuth),
        ("B: 235 x", Stage::ReadingResponse),
    ] {
        driver.input(line);
        assert_eq!(driver.stage, stage, "{line}");
    }
    let server = none();
    let mut driver = Driver::new(&server);
    driver.inputs(&["C: MAIL FROM:<a>", "C: RCPT TO:<b>", "BACKEND"]);
    for (line, stage) in [
        ("B: 220 x", Stage::SendingHelo),
        ("B: 250 x", Stage::SendingMail),
        ("B: 250 x", Stage::SendingRcpt),
        ("B: 250 x", Stage::ReadingResponse),
    ] {
        driver.input(line);
        assert_eq!(driver.stage, stage, "{line}");
    }
}

#[test]
fn leave_is_taken_at_any_step() {
    for steps in 0..3 {
        let server = plain();
        let mut driver = Driver::new(&server);
        driver.input("BACKEND joe pw");
        driver.inputs(&["B: 220 x", "B: 250 x"][..steps]);
        driver.seen.clear();
        driver.inputs(&["LEAVE", "B: 250 x"]);
        assert_eq!(driver.seen, ["LEAVE", "P: QUIT", "B: 250 x", "=> failed"]);
    }
}

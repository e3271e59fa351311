//! Deadlines, limits, failures, and the stop of a worker. How each phase may end is in `transcripts/ends.rs`.

mod support;

use gatepost_protocol::action::{Action, Side};
use gatepost_protocol::config::{ProxyProtocol, Server, StartTls};
use support::server::{imap, listener, pop3, smtp, smtp_with};
use support::transcript::check;
use support::{Driver, SECOND};

#[test]
fn timeout_runs_absolutely_from_the_greeting() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        > sleep 59
        C: a1 NOOP
        S: a1 OK completed
        > sleep 1
        S: * BYE Autologout; idle for too long
        ! log ClientTimedOut while in auth state
        ! close client
        ! finish
        ",
    );
    check(
        &listener(smtp(StartTls::Off)),
        "
        S: 220 mx.example ESMTP ready
        > sleep 60
        S: 421 4.4.2 mx.example Error: timeout exceeded
        ! log ClientTimedOut while in auth state
        ! close client
        ! finish
        ",
    );
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        > sleep 60
        ! log ClientTimedOut while in auth state
        ! close client
        ! finish
        ",
    );
}

#[test]
fn timeout_stops_for_a_login_and_starts_anew_behind_it() {
    let mut driver = Driver::open(&listener(imap(StartTls::Off)));
    assert_eq!(driver.deadline_after(), Some(60 * SECOND));
    driver.wait(50 * SECOND);
    driver.input(Side::Client, b"a1 LOGIN joe secret\r\n");
    assert_eq!(driver.deadline_after(), Some(80 * SECOND), "auth_http_timeout");
    driver.wait(30 * SECOND);
    assert_eq!(driver.deadline_after(), Some(140 * SECOND), "timeout, from the reply on");
}

#[test]
fn a_wait_ordered_by_the_auth_server_has_a_limit() {
    let mut driver = Driver::open(&listener(pop3(StartTls::Off)));
    driver.input(Side::Client, b"USER joe\r\nPASS x\r\n");
    support::transcript::order("refused 86400 no", &mut driver);
    assert_eq!(driver.deadline_after(), Some(600 * SECOND));
}

#[test]
fn an_unfinished_command_dies_with_its_client() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: NOOP
        S: +OK
        C: NOO\\
        > eof client
        ! close client
        ! finish
        ",
    );
}

#[test]
fn a_failure_of_the_backends_leg_is_an_internal_error() {
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS x
        ! authenticate 1 plain joe x
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        > reset backend
        S: -ERR internal server error
        ! log ReceiveFailed(Backend, Errno(104)) while reading response from upstream
        ! abort backend
        ! close client
        ! finish
        ",
    );
}

#[test]
fn the_log_says_what_was_being_sent_or_read_when_the_backends_leg_failed() {
    let failed = |server: Server, so_far: &str, logged: &str| {
        let login = "
            S: +OK POP3 ready
            C: USER joe
            S: +OK
            C: PASS x
            ! authenticate 1 plain joe x
            > accepted 127.0.0.1:1100
            ! connect 127.0.0.1:1100
            > connected
        ";
        let end = format!(
            "
            S: -ERR internal server error
            ! log {logged}
            ! abort backend
            ! close client
            ! finish
            "
        );
        check(&listener(server), &[login, so_far, &end].concat());
    };
    let plain = || pop3(StartTls::Off);
    let with_header = || Server { proxy_protocol: ProxyProtocol::V1, ..plain() };
    let header = "P: PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\n";
    let greeted = "B: +OK ready\nP: USER joe\n";
    let named = "B: +OK ready\nP: USER joe\nB: +OK\nP: PASS x\n";
    for (server, so_far, stage) in [
        (with_header(), header.to_owned(), "sending PROXY protocol header to upstream"),
        (with_header(), [header, greeted].concat(), "sending user name to upstream"),
        (plain(), greeted.to_owned(), "sending user name to upstream"),
        (plain(), named.to_owned(), "sending password to upstream"),
    ] {
        let sent = format!("SendFailed(Backend, Errno(32)) while {stage}");
        failed(server.clone(), &[&*so_far, "> broken backend\n"].concat(), &sent);
        // What was sent is sent: it is an answer that was waited for.
        let received = "ReceiveFailed(Backend, Errno(104)) while reading response from upstream";
        failed(server, &[&*so_far, "> reset backend\n"].concat(), received);
    }
}

#[test]
fn a_command_over_the_buffer_ends_the_session() {
    for (server, reply) in
        [(pop3(StartTls::Off), "-ERR"), (imap(StartTls::Off), "* BAD"), (smtp(StartTls::Off), "500 ")]
    {
        for step in [1, 100, 600] {
            let mut driver = Driver::open(&listener(server.clone()));
            driver.take_client();
            driver.take_actions();
            for part in [b'x'; 600].chunks(step) {
                driver.input(Side::Client, part);
            }
            let said = driver.take_client();
            assert!(said.starts_with(reply) && said.ends_with("\r\n"), "{said}");
            let actions = driver.take_actions();
            let [Action::Log(event, _), Action::Close(Side::Client), Action::Finish] = &actions[..] else {
                panic!("{actions:?}")
            };
            assert!(format!("{event:?}").ends_with(", 512)"), "{event:?} in steps of {step}");
        }
    }
}

#[test]
fn a_batch_may_be_longer_than_the_buffer() {
    let mut driver = Driver::open(&listener(pop3(StartTls::Off)));
    driver.take_client();
    driver.input(Side::Client, &b"NOOP\r\n".repeat(200));
    assert_eq!(driver.take_client(), "+OK\r\n".repeat(200));
}

#[test]
fn the_client_is_heard_during_a_login_up_to_the_buffer() {
    let mut driver = Driver::open(&listener(pop3(StartTls::Off)));
    assert_eq!(driver.input_limit(Side::Client), 512);
    assert!(!driver.wants_input(Side::Backend));
    driver.input(Side::Client, b"USER joe\r\nPASS x\r\n");
    driver.input(Side::Client, &[b'x'; 500]);
    assert_eq!(driver.input_limit(Side::Client), 12);
    driver.input(Side::Client, &[b'x'; 12]);
    assert!(!driver.wants_input(Side::Client));
}

#[test]
fn a_stopping_worker_says_goodbye_to_who_waits_for_commands() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        > shutdown
        > sleep 5
        S: * BYE server shutting down
        ! close client
        ! finish
        ",
    );
    check(
        &listener(smtp(StartTls::Off)),
        "
        S: 220 mx.example ESMTP ready
        > shutdown
        > sleep 5
        S: 421 4.3.2 mx.example shutting down
        ! close client
        ! finish
        ",
    );
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        > sleep 5
        > shutdown
        ! close client
        ! finish
        ",
    );
}

#[test]
fn a_client_that_was_heard_lately_may_still_log_in() {
    let greeted = "
        S: * OK IMAP4 ready
        > sleep 4
        > shutdown
        ";
    let login = "
        > sleep 4
        C: a2 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > sleep 20
        > refused 0 no
        ! log LoginRefused \"no\"
        S: a2 NO no
        ! close client
        ! finish
        ";
    check(&listener(imap(StartTls::Off)), &format!("{greeted}{login}"));
    let goodbye = "
        S: * BYE server shutting down
        ! close client
        ! finish
        ";
    check(&listener(imap(StartTls::Off)), &format!("{greeted}> sleep 5{goodbye}"));
    // Who says nothing for long is not waited for.
    check(&listener(imap(StartTls::Off)), &format!("S: * OK IMAP4 ready\n> sleep 5\n> shutdown{goodbye}"));
    // Commands that are no login do not put it off.
    let noop = "C: a2 NOOP\nS: a2 OK completed\n";
    check(&listener(imap(StartTls::Off)), &format!("{greeted}> sleep 4\n{noop}> sleep 1{goodbye}"));
}

#[test]
fn a_stopping_worker_lets_logins_finish() {
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > shutdown
        > refused 2 no
        ! log LoginRefused \"no\"
        > sleep 2
        S: a1 NO no
        > sleep 3
        S: * BYE server shutting down
        ! close client
        ! finish
        ",
    );
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS x
        ! authenticate 1 plain joe x
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        > shutdown
        B: +OK
        P: USER joe
        B: +OK
        P: PASS x
        B: +OK
        S: +OK
        ! log LoggedIn
        ! relay
        ",
    );
}

#[test]
fn the_patience_of_a_stopping_worker_ends_in_every_phase() {
    let timed_out = "! log ShutdownTimedOut while in auth state";
    check(
        &listener(smtp(StartTls::Off)),
        &format!(
            "S: 220 mx.example ESMTP ready
            > expire
            {timed_out}
            S: 421 4.3.2 mx.example shutting down
            ! close client
            ! finish"
        ),
    );
    check(
        &listener(imap(StartTls::Off)),
        "
        S: * OK IMAP4 ready
        C: a1 LOGIN joe secret
        ! authenticate 1 plain joe secret
        > shutdown
        > expire
        ! log ShutdownTimedOut while in http auth state
        ! cancel
        S: a1 NO [UNAVAILABLE] internal server error
        S: * BYE internal server error
        ! close client
        ! finish
        ",
    );
    check(
        &listener(pop3(StartTls::Off)),
        "
        S: +OK POP3 ready
        C: USER joe
        S: +OK
        C: PASS x
        ! authenticate 1 plain joe x
        > accepted 127.0.0.1:1100
        ! connect 127.0.0.1:1100
        > connected
        > expire
        ! log ShutdownTimedOut while reading response from upstream
        S: -ERR internal server error
        ! close client
        ! close backend
        ! finish
        ",
    );
}

#[test]
fn max_errors_ends_the_session() {
    check(
        &listener(Server { max_errors: 2, ..pop3(StartTls::Off) }),
        "
        S: +OK POP3 ready
        C: XYZZY
        S: -ERR invalid command
        C: XYZZY
        S: -ERR invalid command
        ! log TooManyErrors while in auth state
        ! close client
        ! finish
        ",
    );
}

#[test]
fn a_finished_session_bears_everything_and_does_nothing() {
    let mut driver = Driver::open(&listener(pop3(StartTls::Off)));
    driver.input(Side::Client, b"QUIT\r\n");
    driver.take_client();
    driver.take_actions();
    driver.input(Side::Client, b"USER joe\r\n");
    driver.input(Side::Backend, b"+OK\r\n");
    driver.eof(Side::Client);
    driver.eof(Side::Backend);
    support::transcript::order("connected", &mut driver);
    support::transcript::order("reset client", &mut driver);
    driver.shut_down();
    assert_eq!((driver.take_client(), driver.take_backend()), (String::new(), String::new()));
    assert_eq!(driver.take_actions(), []);
    assert_eq!(driver.deadline(), None);
    assert!(!driver.wants_input(Side::Client) && !driver.wants_input(Side::Backend));
}

#[test]
fn a_browser_gets_no_answer() {
    for (server, greeting) in [
        (imap(StartTls::Off), "* OK IMAP4 ready"),
        (pop3(StartTls::Off), "+OK POP3 ready"),
        (smtp(StartTls::Off), "220 mx.example ESMTP ready"),
    ] {
        let rest = "
            C: POST / HTTP/1.1
            ! log HttpRequest while in auth state
            ! close client
            ! finish
        ";
        check(&listener(server), &format!("S: {greeting}{rest}"));
    }
}

/// A literal that was invited is taken, and so is the line end behind it; one that would not fit is refused at once.
#[test]
fn an_invited_literal_fits_the_buffer() {
    for before in ["a1 LOGIN joe ", "a1 ID ({4+}\r\nname {1+}\r\nx {4+}\r\ndate "] {
        for size in 430..512 {
            let mut driver = Driver::open(&listener(imap(StartTls::Off)));
            driver.take_client();
            driver.input(Side::Client, format!("{before}{{{size}}}\r\n").as_bytes());
            let reply = driver.take_client();
            if reply == "+ OK\r\n" {
                driver.input(Side::Client, format!("{}\r\n", "x".repeat(size)).as_bytes());
            } else {
                assert_eq!(reply, "a1 BAD command too long\r\n");
            }
            assert!(!driver.take_actions().contains(&Action::Finish), "{size} {before:?}");
        }
    }
}

#[test]
fn the_log_shows_the_login_of_the_present_attempt() {
    let mut driver = Driver::open(&listener(smtp_with(StartTls::Off, true, |_| {})));
    driver.input(Side::Client, b"EHLO x\r\nAUTH PLAIN AGpvZQBwdw==\r\n");
    assert_eq!(driver.log_context().login.as_deref(), Some(&b"joe"[..]));
    support::transcript::order("refused 1 no", &mut driver);
    support::transcript::order("sleep 1", &mut driver);
    driver.input(Side::Client, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
    assert_eq!(driver.log_context().login, None);
}

//! Logins that fail: at the auth server, on the way, at the backend.

use std::time::{Duration, Instant};

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Behaviour, Login};
use gatepost_tests::{AuthAnswer, Program, on_both};

use crate::setup::{Plan, Setup};

fn backend(login: Login) -> Behaviour {
    Behaviour { login, ..Behaviour::default() }
}

fn refusing(protocol: Protocol, answer: AuthAnswer, program: Program) -> Setup {
    Plan::new(protocol).rule(move |_, _| answer.clone()).start(program)
}

on_both! {
    fn refused_without_wait_closes(program: Program) {
        let answer = AuthAnswer::refuse("Invalid login or password");
        let setup = refusing(Protocol::Pop3, answer.clone(), program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR Invalid login or password");
        client.expect_eof();
        setup.proxy.await_log("client login failed: \"Invalid login or password\" while in http auth state");

        let setup = refusing(Protocol::Imap, answer.clone(), program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 NO Invalid login or password");
        client.expect_eof();

        let setup = refusing(Protocol::Smtp, answer.with("Auth-Error-Code: 454 4.7.0"), program);
        let mut client = setup.client();
        client.say("HELO x", "250 mx.example.test");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "454 4.7.0 Invalid login or password");
        client.expect_eof();
    }

    fn auth_wait_lets_the_client_try_again(program: Program) {
        let setup = Plan::new(Protocol::Imap).rule(|request, backend| {
            match request.header("Auth-Pass") {
                Some("right") => AuthAnswer::accept(backend),
                Some(_) | None => AuthAnswer::refuse("no").with("Auth-Wait: 1"),
            }
        }).start(program);
        let mut client = setup.client();
        let start = Instant::now();
        client.send("a1 LOGIN alice wrong\r\na2 LOGIN alice right\r\n");
        client.expect("a1 NO no");
        assert!(start.elapsed() >= Duration::from_millis(900), "the refusal came at once");
        client.expect("a2 OK logged in");
        let attempts: Vec<_> = setup.auth.requests().iter()
            .map(|request| request.header("Auth-Login-Attempt").unwrap().to_owned()).collect();
        assert_eq!(attempts, ["1", "2"]);
    }

    fn wait_asks_again(program: Program) {
        let count = std::sync::atomic::AtomicU32::new(0);
        let setup = Plan::new(Protocol::Pop3).rule(move |_, backend| {
            if count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                AuthAnswer::Headers(vec!["Auth-Status: WAIT".to_owned(), "Auth-Wait: 1".to_owned()])
            } else {
                AuthAnswer::accept(backend)
            }
        }).start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "+OK mailbox open");
        let requests = setup.auth.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].lines, requests[1].lines, "the same request is sent again");
    }

    fn malformed_auth_answers_are_named(program: Program) {
        let accept = |lines: &[&str]| {
            let status = ["Auth-Status: OK"].iter().chain(lines).map(|&line| line.to_owned());
            AuthAnswer::Headers(status.collect())
        };
        for (answer, log) in [
            (AuthAnswer::Raw(b"HTTP/1.0 200 OK\r\n bad\r\n\r\n".to_vec()), "sent invalid header in response"),
            (AuthAnswer::Raw(b"HTTP/nonsense\r\n\r\n".to_vec()), "sent invalid response"),
            (AuthAnswer::Raw([b"HTTP/1.0 200 OK\r\nX: ", &[b'x'; 17_000][..]].concat()), "sent too big header"),
            (AuthAnswer::Raw(b"HTTP/1.0 200 OK\r\n\r\n".to_vec()), "did not send status"),
            (AuthAnswer::Raw(b"HTTP/1.0 500 Oops\r\nAuth-Status: OK\r\n\r\n".to_vec()), "returned status 500"),
            (accept(&[]), "did not send server or port"),
            (accept(&["Auth-Server: nowhere", "Auth-Port: 1"]), "sent invalid server address:\"nowhere\""),
            (accept(&["Auth-Server: 127.0.0.1", "Auth-Port: 0"]), "sent invalid server port:\"0\""),
            (accept(&["Auth-Server: unix:/run/s", "Auth-Port: 1"]), "sent invalid server address:\"unix:/run/s\""),
            (accept(&["Auth-Server: 127.0.0.1", "Auth-Port: 1", "Auth-Pass: a\x01b"]), "sent invalid credentials"),
        ] {
            let setup = refusing(Protocol::Imap, answer, program);
            let mut client = setup.client();
            client.say("a1 LOGIN alice sesame", "a1 NO [UNAVAILABLE] internal server error");
            client.expect("* BYE internal server error");
            client.expect_eof();
            setup.proxy.await_log(&format!("auth http server {} {log} while in http auth state", setup.auth.address()));
        }
    }

    fn an_auth_server_that_closes_early_is_an_outage(program: Program) {
        let half = AuthAnswer::Raw(b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n".to_vec());
        let setup = refusing(Protocol::Imap, half, program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 NO [UNAVAILABLE] Temporary authentication failure");
        client.say("a2 NOOP", "a2 OK completed");
        let prefix = format!("auth http server {} ", setup.auth.address());
        setup.proxy.await_log(&format!("{prefix}prematurely closed connection while in http auth state"));
    }

    fn an_auth_server_that_resets_is_an_outage(program: Program) {
        let setup = refusing(Protocol::Pop3, AuthAnswer::Reset, program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR [SYS/TEMP] Temporary authentication failure");
        client.say("NOOP", "+OK");
        setup.proxy.await_log("recv() failed (104: Connection reset by peer) while in http auth state, client: ");
    }

    fn a_digest_opens_no_backend(program: Program) {
        let setup = Plan::new(Protocol::Pop3).directives("pop3_auth plain apop;").start(program);
        let mut client = setup.client();
        client.say("APOP alice 00112233445566778899aabbccddeeff", "-ERR internal server error");
        client.expect_eof();
        setup.proxy.await_log(&format!("auth http server {} did not send password while in http auth state", setup.auth.address()));
        let request = &setup.auth.requests()[0];
        assert_eq!(request.header("Auth-Pass"), Some("00112233445566778899aabbccddeeff"));
        let salt = request.header("Auth-Salt").unwrap();
        assert!(salt.starts_with('<') && salt.ends_with("@mx.example.test>"), "{salt}");
    }

    fn silent_auth_server_times_out(program: Program) {
        let setup = Plan::new(Protocol::Smtp).rule(|_, _| AuthAnswer::Silence).directives("auth_http_timeout 300ms;").start(program);
        let mut client = setup.client();
        client.say("HELO x", "250 mx.example.test");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "454 4.7.0 Temporary authentication failure");
        client.say("NOOP", "250 2.0.0 OK");
        setup.proxy.await_log("timed out (110: Connection timed out) while in http auth state");
    }

    fn each_exchange_with_the_auth_server_is_timed(program: Program) {
        for (answer, level, outcome) in [
            (AuthAnswer::refuse("no"), "[info]", "took 0."),
            (AuthAnswer::Silence, "[error]", "failed in recv() after 0."),
        ] {
            let setup = Plan::new(Protocol::Imap).rule(move |_, _| answer.clone()).directives("auth_http_timeout 300ms;").start(program);
            let mut client = setup.client();
            client.send("a1 LOGIN alice sesame\r\n");
            assert!(client.line().starts_with("a1 NO "));
            let message = format!("auth http server {} {outcome}", setup.auth.address());
            let log = setup.proxy.await_log(&message);
            let line = log.lines().find(|line| line.contains(&message)).unwrap();
            assert!(line.contains(level) && line.contains(" s while in http auth state, client: 127."), "{line}");
            assert!(line.ends_with(", login: \"alice\""), "{line}");
        }
    }

    fn unreachable_auth_server(program: Program) {
        let setup = Plan::new(Protocol::Pop3).directives("auth_http 127.0.0.1:1;").start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR [SYS/TEMP] Temporary authentication failure");
        setup.proxy.await_log("(111: Connection refused) while in http auth state");
    }

    fn unreachable_backend(program: Program) {
        let closed = AuthAnswer::Headers(["Auth-Status: OK", "Auth-Server: 127.0.0.1", "Auth-Port: 1"].map(str::to_owned).to_vec());
        let setup = refusing(Protocol::Imap, closed.clone(), program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 NO [UNAVAILABLE] internal server error");
        client.expect("* BYE internal server error");
        client.expect_eof();
        setup.proxy.await_log("(111: Connection refused) while");

        let setup = refusing(Protocol::Pop3, closed, program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR internal server error");
        client.expect_eof();
    }

    fn backend_refuses_the_password(program: Program) {
        let refusal = || backend(Login::Refuse("[AUTH] go away".to_owned()));
        let setup = Plan::new(Protocol::Pop3).behaviour(refusal()).start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR internal server error");
        client.expect_eof();
        setup.proxy.await_log("[error] ");
        setup.proxy.await_log("upstream sent invalid response: \"-ERR [AUTH] go away\" while reading response from upstream");
        assert_eq!(setup.backend.await_end(0).lines.last().map(String::as_str), Some("QUIT"));

        let setup = Plan::new(Protocol::Pop3).behaviour(refusal()).directives("proxy_pass_error_message on;").start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR [AUTH] go away");
        client.say("NOOP", "+OK");
    }

    fn backend_refuses_the_password_in_imap(program: Program) {
        let refusal = || backend(Login::Refuse("nope".to_owned()));
        let setup = Plan::new(Protocol::Imap).behaviour(refusal()).start(program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 NO [UNAVAILABLE] internal server error");
        client.expect("* BYE internal server error");
        client.expect_eof();
        setup.proxy.await_log("upstream sent invalid response: \"NO nope\" while reading response from upstream");

        let setup = Plan::new(Protocol::Imap).behaviour(refusal()).directives("proxy_pass_error_message on;").start(program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 NO nope");
        client.say("a2 NOOP", "a2 OK completed");

        let setup = Plan::new(Protocol::Imap).behaviour(refusal()).directives("proxy_auth_failure on;").start(program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 NO [AUTHENTICATIONFAILED] invalid login or password");
        client.say("a2 NOOP", "a2 OK completed");
        let log = setup.proxy.await_log("upstream sent invalid response: \"NO nope\"");
        assert!(!log.contains("[error]"), "{log}");
    }

    fn backend_closes_or_dawdles(program: Program) {
        let setup = Plan::new(Protocol::Pop3).behaviour(backend(Login::Close)).start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR internal server error");
        client.expect_eof();
        setup.proxy.await_log("upstream prematurely closed connection while reading response from upstream");

        let setup = Plan::new(Protocol::Pop3).behaviour(backend(Login::Silence)).directives("timeout 500ms;").start(program);
        let mut client = setup.client();
        client.send("USER alice\r\nPASS sesame\r\n");
        client.expect("+OK");
        client.expect("-ERR internal server error");
        client.expect_eof();
        setup.proxy.await_log("upstream timed out (110: Connection timed out) while reading response from upstream");
    }

    fn backend_greets_with_nonsense(program: Program) {
        for (protocol, greeting) in [(Protocol::Pop3, "-ERR busy"), (Protocol::Imap, "* BYE busy"), (Protocol::Smtp, "554 busy")] {
            let setup = Plan::new(protocol).behaviour(backend(Login::Greet(greeting.to_owned()))).start(program);
            let mut client = setup.client();
            let reply = match protocol {
                Protocol::Pop3 => {
                    client.say("USER alice", "+OK");
                    client.send("PASS sesame\r\n");
                    "-ERR internal server error"
                }
                Protocol::Imap => {
                    client.send("a1 LOGIN alice sesame\r\n");
                    "a1 NO [UNAVAILABLE] internal server error"
                }
                Protocol::Smtp => {
                    client.say("HELO x", "250 mx.example.test");
                    client.send("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==\r\n");
                    "451 4.3.2 Internal server error"
                }
            };
            client.expect(reply);
            setup.proxy.await_log("upstream sent invalid response");
        }
    }
}

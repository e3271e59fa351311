//! Auth servers with several addresses.

use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{AuthAnswer, AuthServer, Loopback, on_both};

use crate::setup::{Plan, Setup};

fn log_in(setup: &Setup, login: &str) {
    let mut client = setup.client();
    client.say(&format!("USER {login}"), "+OK");
    client.say("PASS sesame", "+OK mailbox open");
}

on_both! {
    fn a_refused_address_is_passed_over(program: Program) {
        let dead = Loopback::new().port(8080);
        let setup = Plan::new(Protocol::Pop3).directives(&format!("auth_http {dead}/auth; auth_http_backup $auth;")).start(program);
        log_in(&setup, "alice");
        let log = setup.proxy.await_log("client logged in");
        let refused = format!("connect() to {dead} failed (111: Connection refused) while in http auth state, client: 127.0.0.1, server: {}, login: \"alice\"", setup.listen());
        assert!(log.lines().any(|line| line.contains(" [error] ") && line.ends_with(&refused)), "{log}");
        let request = &setup.auth.requests()[0];
        assert_eq!(request.lines[0], "GET /auth HTTP/1.0");
        assert_eq!(request.header("Host"), Some(dead.ip().to_string().as_str()));
        // For a while the other address is asked first, though the first one is there again.
        let first = AuthServer::start(dead, |_| AuthAnswer::refuse("not me"));
        log_in(&setup, "bob");
        assert_eq!(first.requests().len(), 0);
        assert_eq!(setup.auth.requests().len(), 2);
    }

    fn an_address_that_closes_without_an_answer_is_passed_over(program: Program) {
        let first = AuthServer::start(Loopback::new().port(8080), |_| AuthAnswer::Raw(Vec::new()));
        let setup = Plan::new(Protocol::Pop3).directives(&format!("auth_http {}/auth; auth_http_backup $auth;", first.address())).start(program);
        log_in(&setup, "alice");
        assert_eq!((first.requests().len(), setup.auth.requests().len()), (1, 1));
        assert_eq!(first.requests()[0].lines, setup.auth.requests()[0].lines);
        setup.proxy.await_log(&format!("auth http server {} prematurely closed connection while in http auth state", first.address()));
    }

    fn an_address_that_does_not_accept_leaves_time_for_the_next(program: Program) {
        // With its queue full, nobody who connects hears anything.
        let address = Loopback::new().port(8080);
        let listener = TcpListener::bind(address).unwrap();
        nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(0).unwrap()).unwrap();
        let (full, is_full) = mpsc::channel();
        let filling = thread::spawn(move || {
            let held: Vec<_> = (0..4).map_while(|_| {
                std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_millis(300)).ok()
            }).collect();
            full.send(()).unwrap();
            held
        });
        is_full.recv().unwrap();
        let setup = Plan::new(Protocol::Pop3)
            .directives(&format!("auth_http {address}/auth; auth_http_backup $auth; auth_http_timeout 10s;"))
            .start(program);
        log_in(&setup, "alice");
        setup.proxy.await_log(&format!("auth http server {address} timed out (110: Connection timed out) while in http auth state"));
        setup.proxy.await_log(&format!("auth http server {address} failed in connect() after "));
        setup.proxy.await_log(&format!("auth http server {} took ", setup.auth.address()));
        drop((filling.join(), listener));
    }

    fn a_unix_socket_stands_in_when_all_others_are_away(program: Program) {
        let dead = Loopback::new();
        let setup = Plan::new(Protocol::Pop3)
            .directives(&format!("auth_http {}; auth_http_backup {} unix:/nonexistent/auth;", dead.port(1), dead.port(2)))
            .start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR [SYS/TEMP] Temporary authentication failure");
        client.say("NOOP", "+OK");
        let log = setup.proxy.await_log("[crit]");
        for line in [
            format!("connect() to {} failed (111: Connection refused) while in http auth state", dead.port(1)),
            format!("connect() to {} failed (111: Connection refused) while in http auth state", dead.port(2)),
            "connect() to unix:/nonexistent/auth failed (2: No such file or directory) while in http auth state".to_owned(),
        ] {
            assert!(log.contains(&line), "{line}\n{log}");
        }
    }
}

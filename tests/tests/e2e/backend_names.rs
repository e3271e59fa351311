//! Backends that the auth server names by host name, and one that it must not name.

use std::net::SocketAddr;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{AuthAnswer, Client, Forward, NameServer, Request, on_both};

use crate::setup::{Plan, Setup};

fn accept(host: &str, port: u16) -> AuthAnswer {
    AuthAnswer::Headers(vec![
        "Auth-Status: OK".to_owned(),
        format!("Auth-Server: {host}"),
        format!("Auth-Port: {port}"),
    ])
}

fn by_name(_: &Request, backend: SocketAddr) -> AuthAnswer {
    accept("Mail-1.example.test", backend.port())
}

/// A POP3 client whose login does not get to a backend.
fn fail(setup: &Setup) {
    let mut client: Client = setup.client();
    client.say("USER alice", "+OK");
    client.say("PASS sesame", "-ERR internal server error");
    client.expect_eof();
}

on_both! {
    fn a_backend_is_looked_up(program: Program) {
        for protocol in [Protocol::Imap, Protocol::Pop3] {
            let plan = Plan::new(protocol).rule(by_name);
            let server = NameServer::start(plan.host().port(5353), "", Forward::Client(plan.host().ip()));
            let setup = plan.directives(&format!("resolver {};", server.address())).start(program);
            let mut client = setup.client();
            if protocol == Protocol::Imap {
                client.say("a1 LOGIN alice sesame", "a1 OK logged in");
            } else {
                client.say("USER alice", "+OK");
                client.say("PASS sesame", "+OK mailbox open");
            }
            setup.proxy.await_log("client logged in, client: 127.");
            setup.proxy.await_log("login: \"alice\", upstream: Mail-1.example.test:2000\n");
        }
    }

    fn a_backend_that_cannot_be_looked_up(program: Program) {
        let plan = Plan::new(Protocol::Pop3).rule(by_name);
        let server = NameServer::start(plan.host().port(5353), "", Forward::Missing);
        let setup = plan.directives(&format!("resolver {};", server.address())).start(program);
        fail(&setup);
        let log = setup.proxy.await_log("\"Mail-1.example.test\" could not be resolved (3: Host not found) while connecting to upstream, client: 127.");
        assert!(log.contains("[error]"), "{log}");
    }

    fn a_named_backend_that_is_down(program: Program) {
        let plan = Plan::new(Protocol::Pop3).rule(|_, _| accept("mail.example.test", 1));
        let ip = plan.host().ip();
        let server = NameServer::start(plan.host().port(5353), "", Forward::Client(ip));
        let setup = plan.directives(&format!("resolver {} ipv6=off;", server.address())).start(program);
        fail(&setup);
        setup.proxy.await_log(&format!("connect() to {ip}:1 failed (111: Connection refused) while connecting to upstream"));
    }

    fn the_proxy_itself_is_no_backend(program: Program) {
        let plan = Plan::new(Protocol::Pop3).rule(|_, backend| accept(&backend.ip().to_string(), 1000));
        let own = plan.host().port(1000);
        let setup = plan.start(program);
        fail(&setup);
        let log = setup.proxy.await_log(&format!("upstream address {own} is one that this proxy listens on while connecting to upstream"));
        assert!(log.contains("[error]"), "{log}");
        assert_eq!(setup.auth.requests().len(), 1);
    }

    fn the_proxy_itself_is_no_backend_by_name_either(program: Program) {
        let plan = Plan::new(Protocol::Pop3).rule(|_, _| accept("mail.example.test", 1000));
        let own = plan.host().port(1000);
        let server = NameServer::start(plan.host().port(5353), "", Forward::Client(plan.host().ip()));
        let setup = plan.directives(&format!("resolver {};", server.address())).start(program);
        fail(&setup);
        setup.proxy.await_log(&format!("upstream address {own} is one that this proxy listens on while connecting to upstream"));
    }
}

//! What happens before the greeting: PROXY header, name lookup, greeting delay.

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::Behaviour;
use gatepost_tests::{Client, Forward, Loopback, NameServer, on_both};

use crate::setup::{Plan, Setup};

/// Logs in and returns the `Client-Host` the auth server saw.
fn client_host(setup: &Setup) -> String {
    let mut client = setup.client();
    client.say("HELO client.test", "250 mx.example.test");
    client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "235 2.0.0 OK");
    setup.auth.requests()[0].header("Client-Host").unwrap().to_owned()
}

on_both! {
    fn proxy_header_names_the_client(program: Program) {
        let behaviour = Behaviour { proxy_header: true, ..Behaviour::default() };
        let setup = Plan::new(Protocol::Pop3).listen("proxy_protocol").behaviour(behaviour)
            .directives("set_real_ip_from 127.0.0.0/8; proxy_protocol on;").start(program);
        let mut client = setup.connect();
        client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4711 110\r\n");
        client.expect("+OK POP3 ready");
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "+OK mailbox open");
        let request = &setup.auth.requests()[0];
        assert_eq!(request.header("Client-IP"), Some("192.0.2.7"));
        assert_eq!(request.header("Proxy-Protocol-Addr"), Some("192.0.2.7"));
        assert_eq!(request.header("Proxy-Protocol-Port"), Some("4711"));
        assert_eq!(request.header("Proxy-Protocol-Server-Addr"), Some("198.51.100.1"));
        assert_eq!(request.header("Proxy-Protocol-Server-Port"), Some("110"));
        let header = &setup.backend.records()[0].lines[0];
        assert!(header.starts_with("PROXY TCP4 192.0.2.7 127."), "{header}");
        let log = setup.proxy.await_log("client logged in, client: 192.0.2.7, server: ");
        assert!(!log.contains("[alert]"), "{log}");
    }

    fn proxy_header_in_version_two(program: Program) {
        let setup = Plan::new(Protocol::Imap).listen("proxy_protocol").directives("set_real_ip_from 127.0.0.0/8;").start(program);
        let mut client = setup.connect();
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        header.extend([192, 0, 2, 8, 198, 51, 100, 1, 0x12, 0x67, 0, 143]);
        // In two pieces, the second with the first command behind it.
        client.send(&header[..9]);
        header.extend(b"a1 LOGIN alice sesame\r\n");
        client.send(&header[9..]);
        client.expect("* OK IMAP4 ready");
        client.expect("a1 OK logged in");
        assert_eq!(setup.auth.requests()[0].header("Client-IP"), Some("192.0.2.8"));
    }

    fn a_missing_proxy_header_closes(program: Program) {
        let setup = Plan::new(Protocol::Imap).listen("proxy_protocol").start(program);
        let mut client = setup.connect();
        client.send("a1 LOGIN alice sesame\r\n");
        client.expect_eof();
        setup.proxy.await_log("broken header: \"a1 LOGIN\" while reading PROXY protocol");
        assert_eq!(setup.auth.requests().len(), 0);
    }

    fn the_client_name_is_confirmed(program: Program) {
        // The kernel gives a client to 127.x.y.z the source 127.0.0.1 or, where it is bound, that very address: ask it.
        let host = Loopback::new();
        let listener = std::net::TcpListener::bind(host.port(1)).unwrap();
        let probe = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let std::net::IpAddr::V4(from) = probe.local_addr().unwrap().ip() else { panic!("an IPv4 address") };
        let server = NameServer::start(host.port(5353), "Client.Example.test", Forward::Client(from));
        let directives = format!("xclient off; resolver {};", server.address());
        let setup = Plan::new(Protocol::Smtp).directives(&directives).start(program);
        assert_eq!(client_host(&setup), "client.example.test");
    }

    fn an_unconfirmed_client_name_is_unavailable(program: Program) {
        let host = Loopback::new();
        let server = NameServer::start(host.port(5353), "client.example.test", Forward::Missing);
        let setup = Plan::new(Protocol::Smtp).directives(&format!("xclient off; resolver {};", server.address())).start(program);
        assert_eq!(client_host(&setup), "[UNAVAILABLE]");
        setup.proxy.await_log("\"client.example.test\" could not be resolved (3: Host not found) while in resolving client hostname");
    }

    fn truncated_answers_are_asked_for_by_tcp(program: Program) {
        let server = NameServer::start_with_tcp(Loopback::new().port(5353), "client.example.test", Forward::Missing);
        let setup = Plan::new(Protocol::Smtp).directives(&format!("xclient off; resolver {};", server.address())).start(program);
        assert_eq!(client_host(&setup), "[UNAVAILABLE]");
        setup.proxy.await_log("\"client.example.test\" could not be resolved (3: Host not found) while in resolving client hostname");
    }

    fn a_name_server_that_is_away_is_passed_over(program: Program) {
        let host = Loopback::new();
        let server = NameServer::start(host.port(5353), "client.example.test", Forward::Missing);
        let directives = format!("xclient off; resolver {} {};", host.port(5354), server.address());
        let setup = Plan::new(Protocol::Smtp).directives(&directives).start(program);
        assert_eq!(client_host(&setup), "[UNAVAILABLE]");
        setup.proxy.await_log("\"client.example.test\" could not be resolved (3: Host not found) while in resolving client hostname");
    }

    fn names_that_could_be_lines_are_refused(program: Program) {
        let server = NameServer::start(Loopback::new().port(5353), "mx.example\r\nX: y", Forward::Missing);
        let setup = Plan::new(Protocol::Smtp).directives(&format!("xclient off; resolver {};", server.address())).start(program);
        assert_eq!(client_host(&setup), "[TEMPUNAVAIL]");
        setup.proxy.await_log("IP resolved to invalid host name \"mx.example\\x0D\\x0Ax: y\" while in resolving client address");
    }

    fn silent_name_servers_end_with_the_timeout(program: Program) {
        let (server, _queries) = NameServer::start_silent(Loopback::new().port(5353));
        let directives = format!("xclient off; resolver {}; resolver_timeout 300ms;", server.address());
        let setup = Plan::new(Protocol::Smtp).directives(&directives).start(program);
        assert_eq!(client_host(&setup), "[TEMPUNAVAIL]");
        setup.proxy.await_log("IP could not be resolved (110: Operation timed out) while in resolving client address");
    }

    fn a_client_that_leaves_cancels_its_lookup(program: Program) {
        let (server, queries) = NameServer::start_silent(Loopback::new().port(5353));
        let directives = format!("resolver {}; resolver_timeout 2s;", server.address());
        let setup = Plan::new(Protocol::Smtp).directives(&directives).start(program);
        let client = setup.connect();
        queries.recv_timeout(gatepost_tests::PATIENCE).unwrap();
        drop(client);
        let mut patient = setup.connect();
        patient.expect("220 mx.example.test ESMTP ready");
        // Only the lookup of the client that stayed has had the time to fail.
        let log = setup.proxy.await_log("IP could not be resolved (110: Operation timed out)");
        assert_eq!(log.matches("could not be resolved").count(), 1, "{log}");
    }

    fn speaking_before_the_delayed_greeting(program: Program) {
        let setup = Plan::new(Protocol::Smtp).directives("smtp_greeting_delay 500ms;").start(program);
        let mut patient = setup.connect();
        let mut hasty = Client::connect(setup.listen());
        hasty.send("EHLO spam\r\n");
        hasty.expect("503 5.5.0 Improper use of SMTP command pipelining");
        hasty.expect_eof();
        patient.expect("220 mx.example.test ESMTP ready");
        setup.proxy.await_log("client was rejected before greeting: \"EHLO spam\" while in delay pipelining state");
    }
}

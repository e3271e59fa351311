//! The counters of `metrics`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{AuthAnswer, Client, Loopback, PATIENCE, await_that, on_both};
use nix::sys::signal::{Signal, kill};

use crate::setup::{Plan, Setup};

/// What is answered to this request on a connection of its own.
fn ask(mut stream: impl Read + Write, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}

fn page(address: SocketAddr) -> String {
    let asked = || {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        ask(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    };
    // A worker that is being killed may have taken the connection.
    let mut response = asked();
    await_that("an answer", || {
        let is_there = response.as_ref().is_ok_and(|response| !response.is_empty());
        if !is_there {
            response = asked();
        }
        is_there
    });
    let response = response.unwrap();
    let (head, page) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    page.to_owned()
}

/// The value of one line.
#[track_caller]
fn value(address: SocketAddr, name: &str) -> u64 {
    let page = page(address);
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("gatepost_{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in:\n{page}")).parse().unwrap()
}

#[track_caller]
fn await_value(address: SocketAddr, name: &str, expected: u64) {
    await_that(&format!("{name} {expected}"), || value(address, name) == expected);
}

/// Two workers that show their counters.
fn start(program: gatepost_tests::Program, protocol: Protocol) -> (Setup, SocketAddr) {
    let metrics = Loopback::new().port(9145);
    let main: &'static str = format!("worker_processes 2; metrics {metrics};").leak();
    let setup = Plan::new(protocol).main(main).rule(|request, backend| match request.header("Auth-User") {
        Some("alice") => AuthAnswer::accept(backend),
        _ => AuthAnswer::refuse("no"),
    });
    (setup.start(program), metrics)
}

const RELAYED: &str = "sessions{protocol=\"imap\",phase=\"relay\"}";
const WAITING: &str = "sessions{protocol=\"imap\",phase=\"login\"}";

on_both! {
    fn logins_sessions_and_bytes_are_counted(program: Program) {
        let (setup, metrics) = start(program, Protocol::Imap);
        await_value(metrics, WAITING, 0);
        let before = value(metrics, "clients_accepted_total{protocol=\"imap\"}");
        let mut refused = setup.client();
        refused.say("a1 LOGIN bob sesame", "a1 NO no");
        drop(refused);
        let mut client = setup.client();
        await_value(metrics, WAITING, 1);
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        client.say("a2 NOOP", "echo a2 NOOP");
        await_value(metrics, WAITING, 0);
        for (name, expected) in [
            ("clients_accepted_total{protocol=\"imap\"}", before + 2),
            ("clients_accepted_total{protocol=\"smtp\"}", 0),
            ("logins_total{protocol=\"imap\",result=\"ok\"}", 1),
            ("logins_total{protocol=\"imap\",result=\"refused\"}", 1),
            ("logins_total{protocol=\"imap\",result=\"auth_error\"}", 0),
            ("logins_total{protocol=\"imap\",result=\"backend_error\"}", 0),
            ("relayed_bytes_total{protocol=\"imap\",from=\"client\"}", 9),
            ("relayed_bytes_total{protocol=\"imap\",from=\"upstream\"}", 14),
            (RELAYED, 1),
        ] {
            assert_eq!(value(metrics, name), expected, "{name}");
        }
        // Counters outlive a configuration; so does the session.
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log_count("gracefully shutting down", 2);
        assert_eq!(value(metrics, "logins_total{protocol=\"imap\",result=\"ok\"}"), 1);
        assert_eq!(value(metrics, RELAYED), 1);
        client.finish();
        client.expect_eof();
        await_value(metrics, RELAYED, 0);
    }

    fn sessions_that_the_auth_server_silences_are_counted(program: Program) {
        let metrics = Loopback::new().port(9145);
        let main: &'static str = format!("worker_processes 1; metrics {metrics};").leak();
        let setup = Plan::new(Protocol::Pop3).main(main).rule(|_, _| AuthAnswer::refuse("no").with("Auth-Wait: 600"));
        let setup = setup.start(program);
        let sleeping = "sessions{protocol=\"pop3\",phase=\"sleep\"}";
        let mut client = setup.client();
        assert_eq!(value(metrics, sleeping), 0);
        client.say("USER alice", "+OK");
        client.send("PASS sesame\r\n");
        await_value(metrics, sleeping, 1);
        assert_eq!(value(metrics, "sessions{protocol=\"pop3\",phase=\"login\"}"), 0);
        drop(client);
        await_value(metrics, sleeping, 0);
    }

    fn a_killed_worker_leaves_no_sessions(program: Program) {
        let (setup, metrics) = start(program, Protocol::Imap);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        await_value(metrics, RELAYED, 1);
        for worker in setup.proxy.await_workers(2) {
            kill(worker, Signal::SIGKILL).unwrap();
        }
        await_value(metrics, RELAYED, 0);
        assert_eq!(value(metrics, "logins_total{protocol=\"imap\",result=\"ok\"}"), 1);
    }

    fn metrics_on_a_unix_socket_come_and_go_with_the_configuration(program: Program) {
        let mut setup = Plan::new(Protocol::Pop3).start(program);
        let (file, socket) = (setup.proxy.path().join("gatepost.conf"), setup.proxy.path().join("metrics"));
        let without = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("metrics unix:{};\n{without}", socket.display())).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        await_that("a socket", || socket.exists());
        let ask = |request| ask(UnixStream::connect(&socket).unwrap(), request).unwrap();
        assert!(ask("GET /metrics HTTP/1.0\r\n\r\n").contains("gatepost_clients_accepted_total{protocol=\"pop3\"} "));
        assert!(ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
        assert!(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
        std::fs::write(&file, without).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        await_that("no socket", || !socket.exists());
        Client::connect(setup.listen()).expect("+OK POP3 ready");
        setup.proxy.signal(Signal::SIGTERM);
        setup.proxy.await_exit();
    }
}

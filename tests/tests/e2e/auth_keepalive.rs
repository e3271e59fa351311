//! `auth_http_keepalive`: one connection to the auth server for several questions.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{PATIENCE, on_both};

use crate::setup::{Plan, Setup};

/// An auth server that accepts everybody, and goes on with each connection. Of each request it tells the number of its
/// connection and its first line.
fn start(address: SocketAddr, backend: SocketAddr) -> Receiver<(usize, String)> {
    let listener = TcpListener::bind(address).unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                while let Some(first) = lines.next() {
                    let _ = lines.by_ref().find(String::is_empty);
                    let (ip, port) = (backend.ip(), backend.port());
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAuth-Status: OK\r\nAuth-Server: {ip}\r\nAuth-Port: {port}\r\n\r\nok"
                    );
                    // The test may be over.
                    let _ = tell.send((number, first));
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    told
}

fn log_in(setup: &Setup) {
    let mut client = setup.client();
    client.say("USER alice", "+OK");
    client.say("PASS sesame", "+OK mailbox open");
    client.finish();
    client.expect_eof();
}

on_both! {
    fn one_connection_serves_several_logins(program: Program) {
        for (directives, is_kept) in [("auth_http_keepalive on;", true), ("auth_http_keepalive off;", false), ("", false)] {
            let plan = Plan::new(Protocol::Pop3);
            let (host, address) = (plan.host(), plan.host().port(8081));
            let requests = start(address, host.port(2000));
            let setup = plan.directives(&format!("auth_http {address}/kept; {directives}")).start(program);
            let connections = [(); 3].map(|()| {
                log_in(&setup);
                let (number, first) = requests.recv_timeout(PATIENCE).unwrap();
                assert_eq!(first, format!("GET /kept HTTP/1.{}", u8::from(is_kept)), "{directives}");
                number
            });
            assert_eq!(connections, if is_kept { [0, 0, 0] } else { [0, 1, 2] }, "{directives}");
        }
    }
}

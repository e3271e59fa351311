//! TLS that is malformed, and alerts at each stage.

use gatepost_tests::backend::{Behaviour, Login};
use gatepost_tests::{Client, on_both};
use rustls::version::{TLS12, TLS13};

use super::{Front, log_in};

/// A fatal `handshake_failure` in clear.
const ALERT: &[u8] = &[21, 3, 3, 0, 2, 2, 40];

/// Sends bytes under the TLS of a client.
fn inject(client: &Client, bytes: &[u8]) {
    std::io::Write::write_all(&mut client.socket(), bytes).unwrap();
}

on_both! {
    fn what_is_no_tls_ends_alone(program: Program) {
        let front = Front::start(program, "worker_processes 1;", "timeout 10s;", Behaviour::default());
        let mut other = front.log_in();
        let hello = {
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut connection = rustls::ClientConnection::new(front.certificate.client(&[&TLS13]), name).unwrap();
            let mut bytes = Vec::new();
            connection.write_tls(&mut bytes).unwrap();
            bytes
        };
        let mut damaged = hello.clone();
        damaged[5] ^= 0x40;
        let mut too_long = hello.clone();
        too_long[3..5].copy_from_slice(&[0xFF, 0xFF]);
        let attempts: [&[u8]; 9] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"USER alice\r\nPASS sesame\r\n",
            &[0; 2000],
            &[0x80, 0x2E, 1, 0, 2],
            &hello[..20],
            &damaged,
            &too_long,
            &[&hello[..], &hello[..]].concat(),
            &[22, 3, 1, 0, 0],
        ];
        for (index, attempt) in attempts.into_iter().enumerate() {
            let mut client = Client::connect(front.secured());
            client.send(attempt);
            client.finish();
            let answer = client.rest();
            // Nothing but records: an alert, or the server's flight in front of it.
            assert!(answer.is_empty() || matches!(answer[0], 21 | 22), "{index}: {answer:?}");
            other.say("STAT", "echo STAT");
        }
        // A line for each; the end of a half-sent record is one, too.
        let log = front.proxy.await_log_count("while SSL handshaking", attempts.len());
        assert!(!log.contains("[alert]") && !log.contains("[crit]"), "{log}");
    }

    fn an_alert_ends_the_session_at_each_stage(program: Program) {
        for version in [&TLS12, &TLS13] {
            let front = Front::start(program, "worker_processes 1;", "", Behaviour::default());
            let mut other = front.log_in();
            let tls = front.certificate.client(&[version]);
            // Instead of a handshake.
            let mut client = Client::connect(front.secured());
            client.send(ALERT);
            client.rest();
            front.proxy.await_log("while SSL handshaking");
            // Before the login; the record is not encrypted, so it is no proper alert, but an end all the same.
            let mut client = Client::connect_tls(front.secured(), &tls);
            client.expect("+OK POP3 ready");
            inject(&client, ALERT);
            assert_eq!(client.end(), "", "nothing more is said");
            // Within a command.
            let mut client = Client::connect_tls(front.secured(), &tls);
            client.expect("+OK POP3 ready");
            client.say("USER alice", "+OK");
            client.send("PASS ses");
            inject(&client, ALERT);
            assert_eq!(client.end(), "");
            // After the login: the backend's leg ends, too.
            let mut client = Client::connect_tls(front.secured(), &tls);
            client.expect("+OK POP3 ready");
            log_in(&mut client);
            client.say("STAT", "echo STAT");
            inject(&client, ALERT);
            assert_eq!(client.end(), "");
            assert_eq!(front.backend.await_end(1).bytes, b"STAT\r\n");
            other.say("STAT", "echo STAT");
            assert!(!front.proxy.log().contains("[alert]"), "{}", front.proxy.log());
        }
    }

    fn an_alert_during_the_backends_login(program: Program) {
        let behaviour = Behaviour { login: Login::Silence, ..Behaviour::default() };
        let front = Front::start(program, "worker_processes 1;", "", behaviour);
        let mut client = Client::connect_tls(front.secured(), &front.certificate.client(&[&TLS13]));
        client.expect("+OK POP3 ready");
        client.send("USER alice\r\nPASS sesame\r\n");
        client.expect("+OK");
        while front.backend.records().first().is_none_or(|record| record.lines.len() < 2) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        inject(&client, ALERT);
        assert_eq!(client.end(), "");
        front.backend.await_end(0);
    }
}

//! Bytes after the login: all of them, once, in order.

use std::io::Write;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{After, Behaviour};
use gatepost_tests::{Client, on_both};

use crate::setup::Plan;

/// Bytes that never repeat at the same offset of a block: a lost, doubled or swapped piece shows.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    });
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

fn log_in(client: &mut Client) {
    client.send("USER alice\r\nPASS sesame\r\n");
    client.expect("+OK");
    client.expect("+OK mailbox open");
}

const SIZE: usize = 8 << 20;

on_both! {
    fn bytes_and_time_can_be_logged(program: Program) {
        let setup = Plan::new(Protocol::Pop3).directives("proxy_session_log on;").start(program);
        let mut client = setup.client();
        log_in(&mut client);
        client.say("NOOP", "echo NOOP");
        client.finish();
        client.expect_eof();
        let log = setup.proxy.await_log("proxied session done, client: ");
        let line = log.lines().find(|line| line.contains("proxied session done")).unwrap();
        let upstream = format!("upstream: {}, bytes from/to client: 6/11, session time: ", setup.backend.address());
        let (_, time) = line.split_once(&upstream).unwrap();
        assert!(time.split_once('.').is_some_and(|(_, millis)| millis.len() == 3), "{line}");
    }

    fn eight_mebibytes_in_both_directions(program: Program) {
        let down = Arc::new(pattern(SIZE, 1));
        let behaviour = Behaviour { after: After::Exchange(Arc::clone(&down)), ..Behaviour::default() };
        let setup = Plan::new(Protocol::Pop3).behaviour(behaviour).start(program);
        let mut client = setup.client();
        log_in(&mut client);
        let up = pattern(SIZE, 2);
        let (mut writer, sent) = (client.stream(), up.clone());
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let received = client.rest();
        writing.join().unwrap();
        assert!(received == *down, "{} of {SIZE} bytes down, or others", received.len());
        let record = setup.backend.await_end(0);
        assert!(record.bytes == up, "{} of {SIZE} bytes up, or others", record.bytes.len());
        setup.proxy.await_log("proxied session done");
    }

    fn a_slow_reader_holds_up_nobody_else(program: Program) {
        let down = Arc::new(pattern(SIZE, 3));
        let behaviour = Behaviour { after: After::Exchange(Arc::clone(&down)), ..Behaviour::default() };
        let setup = Plan::new(Protocol::Pop3).behaviour(behaviour).start(program);
        let mut slow = setup.client();
        log_in(&mut slow);
        // The slow client does not read; the other gets everything meanwhile.
        let mut quick = setup.client();
        log_in(&mut quick);
        quick.finish();
        assert!(quick.rest() == *down);
        slow.finish();
        assert!(slow.rest() == *down);
    }

    fn what_is_pipelined_behind_the_login_arrives(program: Program) {
        let setup = Plan::new(Protocol::Pop3).start(program);
        let mut client = setup.connect();
        client.send("USER alice\r\nPASS sesame\r\nSTAT\r\nLIST\r\n");
        client.expect("+OK POP3 ready");
        client.expect("+OK");
        client.expect("+OK mailbox open");
        client.expect("echo STAT");
        client.expect("echo LIST");
    }

    fn a_half_closed_client_still_gets_its_answers(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = setup.client();
        client.send("a1 LOGIN alice sesame\r\na2 NOOP\r\n");
        client.expect("a1 OK logged in");
        client.expect("echo a2 NOOP");
        client.send("a3 LOGOUT\r\n");
        client.finish();
        client.expect("echo a3 LOGOUT");
        client.expect_eof();
    }

    fn silence_ends_the_relay(program: Program) {
        let setup = Plan::new(Protocol::Pop3).directives("proxy_timeout 500ms;").start(program);
        let mut client = setup.client();
        log_in(&mut client);
        client.expect_eof();
        setup.proxy.await_log("client timed out (110: Connection timed out) while proxying");
        setup.backend.await_end(0);
    }

    fn silence_behind_the_end_of_a_client_is_borne_as_long(program: Program) {
        // `timeout` would end it sooner, and without that line.
        let behaviour = Behaviour { after: After::Silence, ..Behaviour::default() };
        let plan = Plan::new(Protocol::Pop3).behaviour(behaviour);
        let setup = plan.directives("timeout 2s; proxy_timeout 3s;").start(program);
        let mut client = setup.client();
        log_in(&mut client);
        client.finish();
        client.expect_eof();
        setup.proxy.await_log("upstream timed out (110: Connection timed out) while proxying");
        setup.proxy.await_log("proxied session done");
    }

    fn a_vanished_client_ends_the_backend_leg(program: Program) {
        let setup = Plan::new(Protocol::Pop3).start(program);
        let mut client = setup.client();
        log_in(&mut client);
        drop(client);
        setup.backend.await_end(0);
        setup.proxy.await_log("proxied session done");
    }

    fn two_hundred_sessions_at_once(program: Program) {
        let setup = Plan::new(Protocol::Pop3).start(program);
        let mut clients: Vec<_> = (0..200).map(|_| setup.connect()).collect();
        for client in &mut clients {
            client.send("USER alice\r\nPASS sesame\r\n");
        }
        for client in &mut clients {
            client.expect("+OK POP3 ready");
            client.expect("+OK");
            client.expect("+OK mailbox open");
        }
        for (index, client) in clients.iter_mut().enumerate() {
            client.send(format!("LINE {index}\r\n"));
        }
        for (index, client) in clients.iter_mut().enumerate() {
            client.expect(&format!("echo LINE {index}"));
        }
        assert_eq!(setup.backend.records().len(), 200);
        assert_eq!(setup.auth.requests().len(), 200);
    }
}

/// The pattern generator is the judge of the tests above: it must not repeat itself.
#[test]
fn pattern_does_not_repeat() {
    let bytes = pattern(1 << 16, 1);
    assert_ne!(bytes[..4096], bytes[4096..8192]);
    assert_ne!(bytes, pattern(1 << 16, 2));
}

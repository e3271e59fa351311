//! Peers that break the rules: a reply or a clean close, one log line, and nobody else notices.

use gatepost_protocol::config::Protocol;
use gatepost_tests::{Client, on_both};

use crate::setup::Plan;

on_both! {
    fn too_many_errors_close_after_the_last_reply(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = setup.client();
        // All in one segment, and more than is read: the replies must still arrive.
        client.send("x1 FOO\r\nx2 FOO\r\nx3 FOO\r\nx4 FOO\r\nx5 FOO\r\nx6 FOO\r\nx7 FOO\r\n");
        for number in 1..=5 {
            client.expect(&format!("x{number} BAD invalid command"));
        }
        client.expect_eof();
        setup.proxy.await_log("client sent too many invalid commands while in auth state");
    }

    fn a_line_without_end_is_cut_off(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = setup.client();
        let mut other = setup.client();
        client.send("a1 LOGIN alice ");
        let _ = client.try_send("secret".repeat(4000));
        let reply = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(reply.contains("BAD"), "{reply}");
        let log = setup.proxy.await_log("client sent too long command");
        assert!(!log.contains("secretsecret"), "{log}");
        other.say("a1 NOOP", "a1 OK completed");
    }

    fn a_huge_literal_is_refused_before_it_comes(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = setup.client();
        client.send("a1 LOGIN {4000000000}\r\n");
        assert!(client.line().starts_with("a1 BAD"));
        client.say("a2 NOOP", "a2 OK completed");
    }

    fn a_browser_is_shown_out(program: Program) {
        let setup = Plan::new(Protocol::Smtp).start(program);
        let mut client = setup.client();
        client.send("POST / HTTP/1.1\r\nHost: mx.example.test\r\n\r\nMAIL FROM:<a@b.test>\r\n");
        let rest = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(!rest.contains("250"), "{rest}");
    }

    fn line_breaks_in_credentials_reach_nobody(program: Program) {
        let setup = Plan::new(Protocol::Pop3).start(program);
        let mut client = setup.client();
        // NUL "a" CR LF "DELE 1" NUL "p"
        client.send("AUTH PLAIN AGENCkRFTEUgMQBw\r\n");
        assert!(client.line().starts_with("-ERR"));
        assert_eq!(setup.auth.requests().len(), 0);
        assert_eq!(setup.backend.records().len(), 0);
    }

    fn absolute_timeout_says_goodbye(program: Program) {
        for (protocol, farewell) in [
            (Protocol::Imap, "* BYE Autologout; idle for too long\r\n"),
            (Protocol::Smtp, "421 4.4.2 mx.example.test Error: timeout exceeded\r\n"),
            (Protocol::Pop3, ""),
        ] {
            let setup = Plan::new(protocol).directives("timeout 700ms;").start(program);
            let mut client = setup.client();
            assert_eq!(String::from_utf8(client.rest()).unwrap(), farewell);
            setup.proxy.await_log("client timed out (110: Connection timed out) while in auth state");
        }
    }

    fn a_client_that_leaves_cancels_its_login(program: Program) {
        let setup = Plan::new(Protocol::Pop3)
            .rule(|_, backend| {
                let accept = gatepost_tests::AuthAnswer::accept(backend);
                gatepost_tests::AuthAnswer::After(std::time::Duration::from_secs(1), Box::new(accept))
            })
            .start(program);
        let mut client = setup.client();
        client.send("USER alice\r\nPASS sesame\r\n");
        client.expect("+OK");
        drop(client);
        // A second client is served after the first one's answer would have come.
        let mut second = setup.client();
        second.send("USER bob\r\nPASS sesame\r\n");
        second.expect("+OK");
        second.expect("+OK mailbox open");
        let logins: Vec<_> = setup.backend.records().iter().map(|record| record.lines[0].clone()).collect();
        assert_eq!(logins, ["USER bob"]);
    }

    fn ten_thousand_bytes_of_noise_in_each_protocol(program: Program) {
        for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Smtp] {
            let setup = Plan::new(protocol).start(program);
            let mut other = setup.client();
            for seed in 0..8_u32 {
                let mut client = Client::connect(setup.listen());
                let noise: Vec<u8> = (0..10_000_u32).map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(seed * 977) >> 13) as u8).collect();
                let _ = client.try_send(&noise);
                client.rest();
            }
            other.send("QUIT\r\n");
            assert_eq!(setup.auth.requests().len(), 0);
            assert!(!setup.proxy.log().contains("[alert]"), "{}", setup.proxy.log());
        }
    }
}

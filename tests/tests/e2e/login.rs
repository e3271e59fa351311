//! Each protocol and mechanism, from greeting to relay.

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Behaviour, Login};
use gatepost_tests::{AuthAnswer, on_both};

use crate::setup::Plan;

fn capabilities(words: &[&str]) -> Behaviour {
    Behaviour { capabilities: words.iter().map(|&word| word.to_owned()).collect(), ..Behaviour::default() }
}

on_both! {
    fn pop3_user_pass(program: Program) {
        let setup = Plan::new(Protocol::Pop3).start(program);
        let mut client = setup.connect();
        client.expect("+OK POP3 ready");
        client.say("USER alice", "+OK");
        client.say("PASS p w%", "+OK mailbox open");
        client.say("STAT", "echo STAT");
        let request = &setup.auth.requests()[0];
        let ip = setup.listen().ip();
        assert_eq!(request.lines, [
            "GET /auth HTTP/1.0".to_owned(), format!("Host: {ip}"), "Auth-Method: plain".to_owned(),
            "Auth-User: alice".to_owned(), "Auth-Pass: p%20w%25".to_owned(), "Auth-Protocol: pop3".to_owned(),
            "Auth-Login-Attempt: 1".to_owned(), format!("Client-IP: {}", request.header("Client-IP").unwrap()),
        ]);
        client.finish();
        client.expect_eof();
        let record = setup.backend.await_end(0);
        assert_eq!(record.lines, ["USER alice", "PASS p w%"]);
        assert_eq!(record.bytes, b"STAT\r\n");
        let log = setup.proxy.await_log("proxied session done");
        assert!(log.contains(&format!("client logged in, client: {}, server: {}, login: \"alice\", upstream: {}",
            request.header("Client-IP").unwrap(), setup.listen(), setup.backend.address())), "{log}");
        assert!(!log.contains("p w%"), "a password in the log:\n{log}");
    }

    fn pop3_apop(program: Program) {
        let setup = Plan::new(Protocol::Pop3).directives("pop3_auth plain apop;").rule(|_, backend| {
            AuthAnswer::accept(backend).with("Auth-Pass: backend-secret")
        }).start(program);
        let mut client = setup.connect();
        let greeting = client.line();
        let challenge = greeting.strip_prefix("+OK POP3 ready ").expect("the greeting carries the challenge").to_owned();
        assert!(challenge.starts_with('<') && challenge.ends_with("@mx.example.test>"), "{challenge}");
        client.say("APOP alice c4c9334bac560ecc979e58001b3e22fb", "+OK mailbox open");
        let request = &setup.auth.requests()[0];
        assert_eq!(request.header("Auth-Method"), Some("apop"));
        assert_eq!(request.header("Auth-Pass"), Some("c4c9334bac560ecc979e58001b3e22fb"));
        assert_eq!(request.header("Auth-Salt"), Some(&*challenge));
        assert_eq!(setup.backend.records()[0].lines, ["USER alice", "PASS backend-secret"]);
    }

    fn pop3_sasl_mechanisms(program: Program) {
        let setup = Plan::new(Protocol::Pop3).directives("pop3_auth plain cram-md5 external;").rule(|_, backend| {
            AuthAnswer::accept(backend).with("Auth-Pass: secret")
        }).start(program);
        let mut client = setup.client();
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "+OK mailbox open");
        let mut client = setup.client();
        client.say("AUTH PLAIN", "+ ");
        client.say("AGFsaWNlAHNlc2FtZQ==", "+OK mailbox open");
        let mut client = setup.client();
        client.say("AUTH LOGIN", "+ VXNlcm5hbWU6");
        client.say("YWxpY2U=", "+ UGFzc3dvcmQ6");
        client.say("c2VzYW1l", "+OK mailbox open");
        let mut client = setup.client();
        client.say("AUTH EXTERNAL YWxpY2U=", "+OK mailbox open");
        let mut client = setup.client();
        client.send("AUTH CRAM-MD5\r\n");
        assert!(client.line().starts_with("+ "));
        // "alice " and 32 hexadecimal digits
        client.say("YWxpY2UgMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "+OK mailbox open");
        let methods: Vec<_> = setup.auth.requests().iter()
            .map(|request| request.header("Auth-Method").unwrap().to_owned()).collect();
        assert_eq!(methods, ["plain", "plain", "plain", "external", "cram-md5"]);
        for request in setup.auth.requests() {
            assert_eq!(request.header("Auth-User"), Some("alice"));
        }
    }

    fn imap_login_forms(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = setup.connect();
        client.expect("* OK IMAP4 ready");
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        client.say("a2 SELECT INBOX", "echo a2 SELECT INBOX");
        let mut client = setup.client();
        client.say(r#"b1 LOGIN "alice" "se\"sa me""#, "b1 OK logged in");
        let mut client = setup.client();
        client.say("c1 LOGIN {5}", "+ OK");
        client.say("alice {6}", "+ OK");
        client.say("sesame", "c1 OK logged in");
        let mut client = setup.client();
        client.send("d1 LOGIN {5+}\r\nalice {6+}\r\nsesame\r\n");
        client.expect("d1 OK logged in");
        let passwords: Vec<_> = setup.auth.requests().iter()
            .map(|request| request.header("Auth-Pass").unwrap().to_owned()).collect();
        assert_eq!(passwords, ["sesame", "se\"sa%20me", "sesame", "sesame"]);
        assert_eq!(setup.backend.records()[1].lines, ["b1 LOGIN {5}", "alice", " {8}", "se\"sa me", ""]);
    }

    fn imap_authenticate_mechanisms(program: Program) {
        let setup = Plan::new(Protocol::Imap).directives("imap_auth plain login cram-md5 external;").rule(|_, backend| {
            AuthAnswer::accept(backend).with("Auth-Pass: secret")
        }).start(program);
        let mut client = setup.client();
        client.say("a1 AUTHENTICATE PLAIN", "+ ");
        client.say("AGFsaWNlAHNlc2FtZQ==", "a1 OK logged in");
        let mut client = setup.client();
        client.say("a1 AUTHENTICATE PLAIN AGFsaWNlAHNlc2FtZQ==", "a1 OK logged in");
        let mut client = setup.client();
        client.say("a1 AUTHENTICATE LOGIN", "+ VXNlcm5hbWU6");
        client.say("YWxpY2U=", "+ UGFzc3dvcmQ6");
        client.say("c2VzYW1l", "a1 OK logged in");
        let mut client = setup.client();
        client.say("a1 AUTHENTICATE EXTERNAL YWxpY2U=", "a1 OK logged in");
        let mut client = setup.client();
        client.send("a1 AUTHENTICATE CRAM-MD5\r\n");
        assert!(client.line().starts_with("+ "));
        client.say("YWxpY2UgMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "a1 OK logged in");
        let methods: Vec<_> = setup.auth.requests().iter()
            .map(|request| request.header("Auth-Method").unwrap().to_owned()).collect();
        assert_eq!(methods, ["plain", "plain", "plain", "external", "cram-md5"]);
    }

    fn imap_backend_with_literal_plus(program: Program) {
        let setup = Plan::new(Protocol::Imap).behaviour(capabilities(&["LITERAL+"])).start(program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        assert_eq!(setup.backend.records()[0].lines, ["a1 LOGIN {5+}", "alice", " {6+}", "sesame", ""]);
    }

    fn imap_preauth_backend(program: Program) {
        let login = Login::Greet("* PREAUTH welcome".to_owned());
        let setup = Plan::new(Protocol::Imap).behaviour(Behaviour { login, ..Behaviour::default() }).start(program);
        let mut client = setup.client();
        client.send("a1 LOGIN alice sesame\r\n");
        assert!(client.line().starts_with("a1 OK"));
        client.say("a2 NOOP", "echo a2 NOOP");
    }

    fn smtp_mechanisms_without_backend_auth(program: Program) {
        let setup = Plan::new(Protocol::Smtp).directives("xclient off; smtp_auth plain login cram-md5 external;").start(program);
        let mut client = setup.connect();
        client.expect("220 mx.example.test ESMTP ready");
        client.send("EHLO client.test\r\n");
        client.expect("250-mx.example.test");
        client.expect("250 AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "235 2.0.0 OK");
        client.say("MAIL FROM:<a@b.test>", "echo MAIL FROM:<a@b.test>");
        for (mechanism, exchange) in [
            ("PLAIN", vec![("334 ", "AGFsaWNlAHNlc2FtZQ==")]),
            ("LOGIN", vec![("334 VXNlcm5hbWU6", "YWxpY2U="), ("334 UGFzc3dvcmQ6", "c2VzYW1l")]),
            ("LOGIN YWxpY2U=", vec![("334 UGFzc3dvcmQ6", "c2VzYW1l")]),
            ("EXTERNAL YWxpY2U=", vec![]),
        ] {
            let mut client = setup.client();
            client.say("HELO client.test", "250 mx.example.test");
            client.send(format!("AUTH {mechanism}\r\n"));
            for (prompt, answer) in exchange {
                client.expect(prompt);
                client.send(format!("{answer}\r\n"));
            }
            client.expect("235 2.0.0 OK");
        }
        let mut client = setup.client();
        client.say("HELO client.test", "250 mx.example.test");
        client.send("AUTH CRAM-MD5\r\n");
        assert!(client.line().starts_with("334 "));
        client.say("YWxpY2UgMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "235 2.0.0 OK");
        let requests = setup.auth.requests();
        let methods: Vec<_> = requests.iter().map(|request| request.header("Auth-Method").unwrap()).collect();
        assert_eq!(methods, ["plain", "plain", "plain", "plain", "external", "cram-md5"]);
        assert_eq!(requests[0].header("Client-Host"), Some("[UNAVAILABLE]"));
        assert_eq!(setup.backend.records()[0].lines, ["EHLO mx.example.test"]);
        assert_eq!(setup.backend.records()[1].lines, ["HELO mx.example.test"]);
    }

    fn smtp_xclient_and_backend_auth(program: Program) {
        let behaviour = capabilities(&["XCLIENT NAME ADDR LOGIN", "AUTH PLAIN", "LAST=AUTH"]);
        let setup = Plan::new(Protocol::Smtp).behaviour(behaviour).directives("proxy_smtp_auth on;").start(program);
        let mut client = setup.client();
        client.send("EHLO client.test\r\n");
        client.expect("250-mx.example.test");
        client.expect("250 AUTH PLAIN LOGIN");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "235 2.0.0 OK");
        client.say("NOOP", "echo NOOP");
        let ip = setup.auth.requests()[0].header("Client-IP").unwrap().to_owned();
        assert_eq!(setup.backend.records()[0].lines, [
            "EHLO mx.example.test".to_owned(), format!("XCLIENT ADDR={ip} NAME=[UNAVAILABLE]"),
            "EHLO client.test".to_owned(), "AUTH PLAIN AGFsaWNlAHNlc2FtZQ==".to_owned(),
        ]);
    }

    fn smtp_xclient_names_the_login(program: Program) {
        let behaviour = capabilities(&["XCLIENT NAME ADDR LOGIN"]);
        let setup = Plan::new(Protocol::Smtp).behaviour(behaviour).rule(|_, backend| {
            AuthAnswer::accept(backend).with("Auth-User: al+ice@x")
        }).start(program);
        let mut client = setup.client();
        client.say("HELO client.test", "250 mx.example.test");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "235 2.0.0 OK");
        let ip = setup.auth.requests()[0].header("Client-IP").unwrap().to_owned();
        assert_eq!(setup.backend.records()[0].lines, [
            "EHLO mx.example.test".to_owned(), format!("XCLIENT ADDR={ip} LOGIN=al+2Bice@x NAME=[UNAVAILABLE]"),
            "HELO client.test".to_owned(),
        ]);
    }

    fn smtp_without_authentication(program: Program) {
        let setup = Plan::new(Protocol::Smtp).behaviour(capabilities(&["LAST=RCPT"]))
            .directives("smtp_auth none; xclient off;").start(program);
        let mut client = setup.client();
        client.say("EHLO client.test", "250 mx.example.test");
        client.say("MAIL FROM:<a@b.test> SIZE=1", "250 2.0.0 OK");
        client.say("RCPT TO:<c@d.test>", "250 2.1.5 recipient ok");
        client.say("DATA", "echo DATA");
        let request = &setup.auth.requests()[0];
        assert_eq!(request.header("Auth-Method"), Some("none"));
        assert_eq!(request.header("Auth-SMTP-Helo"), Some("client.test"));
        assert_eq!(request.header("Auth-SMTP-From"), Some("MAIL FROM:<a@b.test> SIZE=1"));
        assert_eq!(request.header("Auth-SMTP-To"), Some("RCPT TO:<c@d.test>"));
        assert_eq!(setup.backend.records()[0].lines,
            ["EHLO mx.example.test", "MAIL FROM:<a@b.test> SIZE=1", "RCPT TO:<c@d.test>"]);
    }

    fn auth_user_and_pass_are_for_the_backend(program: Program) {
        let setup = Plan::new(Protocol::Imap).rule(|_, backend| {
            AuthAnswer::accept(backend).with("Auth-User: u1234").with("Auth-Pass: other")
        }).start(program);
        let mut client = setup.client();
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        assert_eq!(setup.backend.records()[0].lines, ["a1 LOGIN {5}", "u1234", " {5}", "other", ""]);
        setup.proxy.await_log("client logged in");
        assert!(setup.proxy.log().contains("login: \"u1234\""), "{}", setup.proxy.log());
    }

    fn proxy_protocol_to_the_backend(program: Program) {
        let behaviour = Behaviour { proxy_header: true, ..Behaviour::default() };
        let setup = Plan::new(Protocol::Pop3).behaviour(behaviour)
            .directives("proxy_protocol on;")
            .start(program);
        let mut client = setup.client();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "+OK mailbox open");
        let header = setup.backend.records()[0].lines[0].clone();
        let listen = setup.listen();
        assert!(header.starts_with("PROXY TCP4 127.") && header.ends_with(&format!(" {}", listen.port())), "{header}");
    }
}

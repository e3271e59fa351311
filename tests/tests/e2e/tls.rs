//! TLS from the first byte, and by STARTTLS.

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::Backend;
use gatepost_tests::{AuthAnswer, AuthServer, Certificate, Client, Loopback, Program, Proxy, on_both};
use rustls::version::{TLS12, TLS13};

/// A proxy with TLS and without on two ports, and its peers.
struct Secured {
    proxy: Proxy,
    auth: AuthServer,
    certificate: Certificate,
    host: Loopback,
    backend: Backend,
}

impl Secured {
    fn start(program: Program, protocol: Protocol, directives: &str) -> Self {
        let host = Loopback::new();
        let backend =
            Backend::start(protocol, host.port(2000), gatepost_tests::backend::Behaviour::default());
        let address = backend.address();
        let auth = AuthServer::start(host.port(8080), move |_| AuthAnswer::accept(address));
        let folder = Proxy::folder();
        let certificate = Certificate::write(folder.path());
        let (plain, secured) = (host.port(1000), host.port(1001));
        let mail = format!(
            "server_name mx.example.test; auth_http {}/auth; ssl_certificate certificate.pem; ssl_certificate_key key.pem;
             server {{ listen {plain}; protocol {protocol}; {directives} }}
             server {{ listen {secured} ssl; protocol {protocol}; {directives} }}",
            auth.address()
        );
        let proxy = Proxy::start(program, folder, &mail, &[plain, secured]);
        Self { proxy, auth, certificate, host, backend }
    }

    fn plain(&self) -> Client {
        Client::connect(self.host.port(1000))
    }

    fn secured(&self, version: &'static rustls::SupportedProtocolVersion) -> Client {
        Client::connect_tls(self.host.port(1001), &self.certificate.client(&[version]))
    }
}

on_both! {
    fn implicit_tls_in_both_versions(program: Program) {
        let setup = Secured::start(program, Protocol::Imap, "");
        for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
            let mut client = setup.secured(version);
            client.expect("* OK IMAP4 ready");
            client.say("a1 LOGIN alice sesame", "a1 OK logged in");
            client.say("a2 NOOP", "echo a2 NOOP");
            let request = setup.auth.requests().pop().unwrap();
            assert_eq!(request.header("Auth-SSL"), Some("on"));
            assert_eq!(request.header("Auth-SSL-Protocol"), Some(name));
            assert!(request.header("Auth-SSL-Cipher").is_some_and(|cipher| cipher.contains("AES")), "{request:?}");
            client.finish();
            client.expect_eof();
        }
        assert_eq!(setup.backend.await_end(1).bytes, b"a2 NOOP\r\n");
    }

    fn large_transfers_under_tls(program: Program) {
        let setup = Secured::start(program, Protocol::Pop3, "");
        let mut client = setup.secured(&TLS13);
        client.expect("+OK POP3 ready");
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "+OK mailbox open");
        for round in 0..64_u32 {
            let line = format!("{round:032}").repeat(1024);
            client.say(&line, &format!("echo {line}"));
        }
    }

    fn stls(program: Program) {
        let setup = Secured::start(program, Protocol::Pop3, "starttls on;");
        let mut client = setup.plain();
        client.expect("+OK POP3 ready");
        client.say("STLS", "+OK");
        let mut client = client.start_tls(&setup.certificate.client(&[&TLS13]));
        client.say("STLS", "-ERR invalid command");
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "+OK mailbox open");
        let log = setup.proxy.await_log("client logged in");
        assert!(log.contains(" using starttls, server: "), "{log}");
    }

    fn imap_starttls_only(program: Program) {
        let setup = Secured::start(program, Protocol::Imap, "starttls only;");
        let mut client = setup.plain();
        client.expect("* OK IMAP4 ready");
        client.send("a0 CAPABILITY\r\n");
        let capability = client.line();
        assert!(capability.ends_with(" STARTTLS LOGINDISABLED") && !capability.contains("AUTH="), "{capability}");
        client.expect("a0 OK completed");
        client.send("a1 LOGIN alice sesame\r\n");
        assert!(client.line().starts_with("a1 NO [PRIVACYREQUIRED]"));
        client.say("a2 STARTTLS", "a2 OK completed");
        let mut client = client.start_tls(&setup.certificate.client(&[&TLS12]));
        client.send("a3 CAPABILITY\r\n");
        assert!(client.line().contains("AUTH=PLAIN"));
        client.expect("a3 OK completed");
        client.say("a4 LOGIN alice sesame", "a4 OK logged in");
        assert_eq!(setup.auth.requests().len(), 1, "nothing was asked before TLS");
    }

    fn smtp_starttls(program: Program) {
        let setup = Secured::start(program, Protocol::Smtp, "starttls on; xclient off;");
        let mut client = setup.plain();
        client.expect("220 mx.example.test ESMTP ready");
        client.send("EHLO client.test\r\n");
        client.expect("250-mx.example.test");
        client.expect("250-AUTH PLAIN LOGIN");
        client.expect("250 STARTTLS");
        client.say("STARTTLS", "220 2.0.0 Start TLS");
        let mut client = client.start_tls(&setup.certificate.client(&[&TLS13]));
        client.send("EHLO client.test\r\n");
        client.expect("250-mx.example.test");
        client.expect("250 AUTH PLAIN LOGIN");
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZQ==", "235 2.0.0 OK");
        client.say("NOOP", "echo NOOP");
    }

    fn bytes_behind_starttls_are_refused(program: Program) {
        for (protocol, command) in
            [(Protocol::Pop3, "STLS\r\nUSER eve\r\n"), (Protocol::Imap, "a1 STARTTLS\r\na2 NOOP\r\n"), (Protocol::Smtp, "EHLO x\r\nSTARTTLS\r\nEHLO y\r\n")]
        {
            let setup = Secured::start(program, protocol, "starttls on;");
            let mut client = setup.plain();
            client.line();
            client.send(command);
            let rest = String::from_utf8(client.rest()).unwrap();
            let last = rest.lines().last().unwrap_or_default();
            assert!(!last.ends_with("OK") && !last.contains("Start TLS"), "{rest}");
            setup.proxy.await_log("plaintext data after STARTTLS");
        }
    }

    /// A client that means another protocol is not talked to (CVE-2021-3618).
    fn the_application_protocol_must_be_ours(program: Program) {
        let setup = Secured::start(program, Protocol::Imap, "");
        let offering = |names: &[&str]| {
            let mut config = (*setup.certificate.client(&[&TLS12, &TLS13])).clone();
            config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            Client::connect_tls(setup.host.port(1001), &config.into())
        };
        offering(&["http/1.1", "imap"]).expect("* OK IMAP4 ready");
        assert_eq!(offering(&["http/1.1", "h2"]).end(), "", "no greeting");
        setup.proxy.await_log("no application protocol");
    }

    fn plaintext_to_a_tls_port_ends_alone(program: Program) {
        let setup = Secured::start(program, Protocol::Imap, "");
        let mut other = setup.secured(&TLS13);
        other.expect("* OK IMAP4 ready");
        let mut client = Client::connect(setup.host.port(1001));
        client.send("a1 LOGIN alice sesame\r\n");
        client.rest();
        setup.proxy.await_log("while SSL handshaking");
        other.say("a1 NOOP", "a1 OK completed");
    }

    fn reload_takes_a_new_certificate(program: Program) {
        let mut setup = Secured::start(program, Protocol::Imap, "");
        let old = setup.secured(&TLS13);
        setup.certificate = Certificate::write(setup.proxy.path());
        setup.proxy.signal(nix::sys::signal::Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        let mut client = setup.secured(&TLS13);
        client.expect("* OK IMAP4 ready");
        drop(old);
    }
}

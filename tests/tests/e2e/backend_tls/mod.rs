//! TLS towards backends (`proxy_ssl` and its kin).

mod handshake;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour, Login, Secured};
use gatepost_tests::{
    AuthAnswer, AuthServer, Authority, Client, Forward, Loopback, NameServer, Program, Proxy, on_both,
};
use rustls::ServerConfig;

use crate::setup::{PROTOCOLS, accepted, log_in};

/// A proxy with one backend under TLS, and the authority that it trusts.
struct Relayed {
    proxy: Proxy,
    backend: Backend,
    listen: SocketAddr,
}

/// What a test varies.
struct Plan<'a> {
    protocol: Protocol,
    directives: &'a str,
    /// What the auth server says beside the backend's address.
    header: Option<&'static str>,
    /// Made by the authority that is trusted, with the backend's address.
    server: fn(&Authority, &str) -> Arc<ServerConfig>,
    /// Writes more files into the proxy's folder.
    files: fn(&Authority, &Path),
    /// Whether there is a `resolver`, which finds the backend's address behind every name.
    resolver: bool,
    starttls: bool,
    injected: &'static str,
    login: Login,
}

fn good(authority: &Authority, address: &str) -> Arc<ServerConfig> {
    authority.server(&["backend.example.test", address]).server_config()
}

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            protocol: Protocol::Pop3,
            directives: "proxy_ssl on;",
            header: None,
            server: good,
            files: |_, _| {},
            resolver: false,
            starttls: false,
            injected: "",
            login: Login::Accept,
        }
    }
}

impl Plan<'_> {
    fn start(self, program: Program) -> Relayed {
        let host = Loopback::new();
        let authority = Authority::new("Trusted");
        let address = host.port(2000);
        let config = (self.server)(&authority, &address.ip().to_string());
        let tls = Some(Secured { config, starttls: self.starttls, injected: self.injected });
        let login = self.login;
        let behaviour =
            Behaviour { login, tls, capabilities: vec!["LAST=AUTH".to_owned()], ..Behaviour::default() };
        let capabilities = if self.protocol == Protocol::Smtp { behaviour.capabilities } else { Vec::new() };
        let backend = Backend::start(self.protocol, address, Behaviour { capabilities, ..behaviour });
        let header = self.header;
        let auth = AuthServer::start(host.port(8080), move |_| {
            let answer = AuthAnswer::accept(address);
            header.into_iter().fold(answer, AuthAnswer::with)
        });
        let folder = Proxy::folder();
        authority.write(&folder.path().join("ca.pem"));
        (self.files)(&authority, folder.path());
        let listen = host.port(1000);
        let resolver = self.resolver.then(|| {
            let server = NameServer::start(host.port(5353), "", Forward::Client(host.ip()));
            format!("resolver {};", server.address())
        });
        let mail = format!(
            "server_name mx.example.test; auth_http {}/auth; proxy_smtp_auth on; xclient off;
             proxy_ssl_trusted_certificate ca.pem; {}
             server {{ listen {listen}; protocol {}; {} }}",
            auth.address(),
            resolver.unwrap_or_default(),
            self.protocol,
            self.directives
        );
        let proxy = Proxy::start(program, folder, &mail, &[listen]);
        Relayed { proxy, backend, listen }
    }
}

fn internal_error(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "a1 NO [UNAVAILABLE] internal server error",
        Protocol::Pop3 => "-ERR internal server error",
        Protocol::Smtp => "451 4.3.2 Internal server error",
    }
}

impl Relayed {
    /// A client whose login is answered.
    fn log_in(&self, protocol: Protocol, reply: &str) -> Client {
        log_in(self.listen, protocol, reply)
    }

    /// A login that ends with this line in the log; the backend has heard no password.
    fn fails(&self, protocol: Protocol, logged: &str) {
        let mut client = self.log_in(protocol, internal_error(protocol));
        if protocol == Protocol::Imap {
            client.expect("* BYE internal server error");
        }
        client.expect_eof();
        self.proxy.await_log(logged);
        let record = self.backend.await_end(0);
        let said = [record.lines.join("\n").into_bytes(), record.bytes].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!said.contains("sesame") && !said.contains("AGFsaWNl"), "{said}");
    }
}

on_both! {
    fn every_protocol_logs_in_under_tls(program: Program) {
        for protocol in PROTOCOLS {
            for (mode, starttls) in [("proxy_ssl on;", false), ("proxy_ssl starttls;", true)] {
                let relayed = Plan { protocol, directives: mode, starttls, ..Plan::default() }.start(program);
                let mut client = relayed.log_in(protocol, accepted(protocol));
                client.say("NOOP", "echo NOOP");
                client.finish();
                client.expect_eof();
                let lines = relayed.backend.await_end(0).lines;
                let tls = lines.iter().position(|line| line == "(TLS)").unwrap();
                let login = lines.iter().position(|line| line.contains("alice") || line.starts_with("AUTH"));
                assert!(tls < login.unwrap(), "{lines:?}");
                relayed.proxy.await_log("proxied session done");
            }
        }
    }

    fn the_proxy_header_comes_in_clear(program: Program) {
        let host = Loopback::new();
        let authority = Authority::new("Trusted");
        let address = host.port(2000);
        let config = good(&authority, &address.ip().to_string());
        let tls = Some(Secured::from_the_start(config));
        let behaviour = Behaviour { tls, proxy_header: true, ..Behaviour::default() };
        let backend = Backend::start(Protocol::Pop3, address, behaviour);
        let auth = AuthServer::accepting(host.port(8080), address);
        let folder = Proxy::folder();
        authority.write(&folder.path().join("ca.pem"));
        let listen = host.port(1000);
        let mail = format!(
            "auth_http {}/auth; proxy_protocol on; proxy_ssl on; proxy_ssl_trusted_certificate ca.pem;
             server {{ listen {listen}; protocol pop3; }}",
            auth.address()
        );
        let proxy = Proxy::start(program, folder, &mail, &[listen]);
        let relayed = Relayed { proxy, backend, listen };
        let mut client = relayed.log_in(Protocol::Pop3, "+OK mailbox open");
        client.finish();
        client.expect_eof();
        let lines = relayed.backend.await_end(0).lines;
        assert!(lines[0].starts_with("PROXY TCP4 ") && lines[1] == "(TLS)", "{lines:?}");
    }

    fn a_name_can_be_configured(program: Program) {
        let directives = "proxy_ssl on; proxy_ssl_name backend.example.test;";
        let relayed = Plan { directives, ..Plan::default() }.start(program);
        relayed.log_in(Protocol::Pop3, "+OK mailbox open");
    }

    fn a_wrong_name_is_refused(program: Program) {
        let directives = "proxy_ssl on; proxy_ssl_name other.example.test;";
        let relayed = Plan { directives, ..Plan::default() }.start(program);
        relayed.fails(
            Protocol::Pop3,
            "upstream SSL certificate does not match \"other.example.test\" \
             while SSL handshaking to upstream",
        );
    }

    fn an_unknown_authority_is_refused(program: Program) {
        for protocol in PROTOCOLS {
            let stranger = |_: &Authority, address: &str| good(&Authority::new("Stranger"), address);
            for (directives, starttls) in [("proxy_ssl on;", false), ("proxy_ssl starttls;", true)] {
                let plan = Plan { protocol, directives, starttls, server: stranger, ..Plan::default() };
                plan.start(program).fails(
                    protocol,
                    "upstream SSL certificate verify error: (21:unable to verify the first certificate) \
                     while SSL handshaking to upstream",
                );
            }
        }
    }

    fn an_unknown_authority_will_do_without_verification(program: Program) {
        let stranger = |_: &Authority, address: &str| good(&Authority::new("Stranger"), address);
        let directives = "proxy_ssl on; proxy_ssl_verify off;";
        let relayed = Plan { directives, server: stranger, ..Plan::default() }.start(program);
        relayed.log_in(Protocol::Pop3, "+OK mailbox open");
    }

    fn an_expired_certificate_is_refused(program: Program) {
        let expired = |authority: &Authority, address: &str| authority.expired_server(&[address]).server_config();
        Plan { server: expired, ..Plan::default() }.start(program).fails(
            Protocol::Pop3,
            "upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream",
        );
    }

    fn injected_clear_text_is_refused(program: Program) {
        for (protocol, injected) in
            [(Protocol::Pop3, "+OK\r\n"), (Protocol::Imap, "* CAPABILITY X\r\n"), (Protocol::Smtp, "250 ok\r\n")]
        {
            let plan = Plan {
                protocol,
                directives: "proxy_ssl starttls;",
                starttls: true,
                injected,
                ..Plan::default()
            };
            plan.start(program).fails(
                protocol,
                "upstream sent plaintext data after STARTTLS while reading response from upstream",
            );
        }
    }

    fn nothing_follows_a_broken_record_in_clear(program: Program) {
        for (protocol, junk) in [
            (Protocol::Pop3, &b"junk\n"[..]),
            (Protocol::Imap, &[21, 3, 3, 0, 2, 2, 40]),
            (Protocol::Pop3, &[23, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let plan = Plan { protocol, login: Login::Break(junk), ..Plan::default() };
            let relayed = plan.start(program);
            let mut client = relayed.log_in(protocol, accepted(protocol));
            // The proxy may have closed already.
            drop(client.try_send("a word in secret\r\n"));
            client.expect_eof();
            relayed.proxy.await_log("while proxying and reading from upstream");
            relayed.proxy.await_log("proxied session done");
            let bytes = relayed.backend.await_end(0).bytes;
            // An alert at most, or its beginning.
            assert!(bytes.first().is_none_or(|kind| [21, 23].contains(kind)), "{}", bytes.escape_ascii());
            assert!(!bytes.windows(6).any(|words| words == b"secret"), "{}", bytes.escape_ascii());
        }
    }

    fn a_backend_in_clear_is_refused(program: Program) {
        // It offers STARTTLS and waits; TLS from the first byte is not what it expects.
        let relayed = Plan { starttls: true, ..Plan::default() }.start(program);
        relayed.fails(
            Protocol::Pop3,
            "SSL_do_handshake() failed (SSL: wrong version number) while SSL handshaking to upstream",
        );
    }

    fn a_backend_without_starttls_is_refused(program: Program) {
        for protocol in PROTOCOLS {
            let host = Loopback::new();
            let backend = Backend::start(protocol, host.port(2000), Behaviour::default());
            let auth = AuthServer::accepting(host.port(8080), backend.address());
            let listen = host.port(1000);
            let mail = format!(
                "auth_http {}/auth; proxy_ssl starttls; proxy_ssl_verify off; proxy_smtp_auth on; xclient off;
                 server {{ listen {listen}; protocol {protocol}; }}",
                auth.address()
            );
            let proxy = Proxy::start(program, Proxy::folder(), &mail, &[listen]);
            let logged = match protocol {
                Protocol::Imap | Protocol::Pop3 => "while reading response from upstream",
                Protocol::Smtp => "upstream does not offer STARTTLS while reading response from upstream",
            };
            Relayed { proxy, backend, listen }.fails(protocol, logged);
        }
    }

    fn the_auth_server_chooses(program: Program) {
        for (directives, header, starttls) in [
            ("", "Auth-Server-SSL: on", false),
            ("proxy_ssl on;", "Auth-Server-SSL: starttls", true),
            ("proxy_ssl off;", "Auth-Server-SSL: STARTTLS", true),
        ] {
            let plan = Plan { directives, header: Some(header), starttls, ..Plan::default() };
            let relayed = plan.start(program);
            relayed.log_in(Protocol::Pop3, "+OK mailbox open");
            assert!(relayed.backend.records()[0].lines.contains(&"(TLS)".to_owned()), "{header}");
        }
        let plan = Plan { header: Some("Auth-Server-SSL: yes"), ..Plan::default() };
        let relayed = plan.start(program);
        relayed.log_in(Protocol::Pop3, "-ERR internal server error");
        relayed.proxy.await_log("sent invalid server ssl:\"yes\" while in http auth state");
    }
}

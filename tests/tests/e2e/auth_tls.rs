//! Auth servers at `https://` (`auth_http_ssl_*`).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::{AuthAnswer, AuthServer, Authority, Loopback, Program, Proxy, on_both};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig};

use crate::setup::{PROTOCOLS, accepted, log_in, unavailable};

/// A proxy whose auth server is at `https://`, with another one that may stand in for it.
struct Asking {
    proxy: Proxy,
    auth: AuthServer,
    stand_in: AuthServer,
    protocol: Protocol,
    listen: SocketAddr,
    _backend: Backend,
}

/// What a test varies.
struct Plan {
    protocol: Protocol,
    /// `$stand_in` in it becomes that one's address.
    directives: &'static str,
    /// Made of the authority that is trusted, and the auth server's address.
    server: fn(&Authority, &str) -> Arc<ServerConfig>,
    /// Given the backend's address.
    answer: fn(SocketAddr) -> AuthAnswer,
    /// Whether the other one speaks TLS, too, with the same certificate.
    is_stand_in_secured: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            protocol: Protocol::Pop3,
            directives: "",
            server: trusted,
            answer: AuthAnswer::accept,
            is_stand_in_secured: false,
        }
    }
}

/// The usual one.
fn trusted(authority: &Authority, address: &str) -> Arc<ServerConfig> {
    authority.server(&[address]).server_config()
}

/// The same, made by somebody else.
fn stranger(_: &Authority, address: &str) -> Arc<ServerConfig> {
    Authority::new("Stranger").server(&[address]).server_config()
}

fn with_alpn(authority: &Authority, address: &str, protocols: &[&str]) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(authority.server(&[address]).server_config());
    config.alpn_protocols = protocols.iter().map(|&protocol| protocol.into()).collect();
    Arc::new(config)
}

impl Plan {
    fn start(self, program: Program) -> Asking {
        let Self { protocol, directives, server, answer, is_stand_in_secured } = self;
        let host = Loopback::new();
        let backend = Backend::start(protocol, host.port(2000), Behaviour::default());
        let (listen, address, to) = (host.port(1000), host.port(8443), backend.address());
        let authority = Authority::new("Trusted");
        let folder = Proxy::folder();
        let file = |name: &str| folder.path().join(name);
        authority.write(&file("ca.pem"));
        // Servers have this serial number.
        authority.write_crl(&file("crl.pem"), &[1]);
        authority.write_server(&["proxy.example.test"], &file("own.pem"), &file("own.key"));
        let config = server(&authority, &address.ip().to_string());
        let stand_in = match is_stand_in_secured {
            true => {
                AuthServer::start_tls(host.port(8080), Arc::clone(&config), move |_| AuthAnswer::accept(to))
            }
            false => AuthServer::accepting(host.port(8080), to),
        };
        let auth = AuthServer::start_tls(address, config, move |_| answer(to));
        let directives = directives.replace("$stand_in", &stand_in.address().to_string());
        let mail = format!(
            "server_name mx.example.test; auth_http https://{address}/auth; auth_http_ssl_trusted_certificate ca.pem;
             server {{ listen {listen}; protocol {protocol}; {directives} }}"
        );
        let proxy = Proxy::start(program, folder, &mail, &[listen]);
        Asking { proxy, auth, stand_in, protocol, listen, _backend: backend }
    }
}

impl Asking {
    fn log_in(&self) {
        log_in(self.listen, self.protocol, accepted(self.protocol));
    }

    /// A login that the client may repeat, with this complaint about the auth server in the log.
    fn fails(&self, complaint: &str) {
        let mut client = log_in(self.listen, self.protocol, unavailable(self.protocol));
        client.send(if self.protocol == Protocol::Imap { "a2 NOOP\r\n" } else { "NOOP\r\n" });
        client.line();
        let address = self.auth.address();
        self.proxy.await_log(&format!("auth http server {address} {complaint} while in http auth state"));
        assert!(!self.proxy.log().contains("sesame"));
    }
}

on_both! {
    fn every_protocol_logs_in(program: Program) {
        for protocol in PROTOCOLS {
            let asking = Plan { protocol, ..Plan::default() }.start(program);
            asking.log_in();
            let request = &asking.auth.requests()[0];
            assert_eq!(request.lines[0], "GET /auth HTTP/1.0");
            assert_eq!(request.header("Host"), Some(asking.auth.address().ip().to_string().as_str()));
            assert_eq!(request.header("Auth-Pass"), Some("sesame"));
            let handshake = &asking.auth.handshakes()[0];
            // An address is no name to tell.
            assert_eq!((handshake.name.as_deref(), handshake.client.as_deref()), (None, None));
            assert!(asking.stand_in.requests().is_empty());
        }
    }

    fn connections_are_kept(program: Program) {
        let directives = "auth_http_keepalive on;";
        let asking = Plan { directives, answer: AuthAnswer::keep, ..Plan::default() }.start(program);
        for _ in 0..3 {
            asking.log_in();
        }
        assert_eq!((asking.auth.requests().len(), asking.auth.handshakes().len()), (3, 1));
    }

    fn sessions_resume(program: Program) {
        for (directives, expected) in
            [("", [false, true, true]), ("auth_http_ssl_session_reuse off;", [false, false, false])]
        {
            let asking = Plan { directives, ..Plan::default() }.start(program);
            for _ in expected {
                asking.log_in();
            }
            let resumed = asking.auth.handshakes().into_iter().map(|handshake| handshake.is_resumed);
            assert_eq!(resumed.collect::<Vec<_>>(), expected, "{directives}");
        }
    }

    fn a_name_can_be_configured(program: Program) {
        let named: fn(&Authority, &str) -> _ =
            |authority, _| authority.server(&["auth.example.test"]).server_config();
        for (directives, told) in [
            ("auth_http_ssl_name auth.example.test;", Some("auth.example.test")),
            ("auth_http_ssl_name auth.example.test; auth_http_ssl_server_name off;", None),
        ] {
            let asking = Plan { directives, server: named, ..Plan::default() }.start(program);
            asking.log_in();
            assert_eq!(asking.auth.handshakes()[0].name.as_deref(), told);
        }
    }

    fn http_is_what_servers_with_alpn_are_told(program: Program) {
        let server: fn(&Authority, &str) -> _ = |authority, address| with_alpn(authority, address, &["h2", "http/1.1"]);
        let asking = Plan { server, ..Plan::default() }.start(program);
        asking.log_in();
        assert_eq!(asking.auth.handshakes()[0].alpn.as_deref(), Some(&b"http/1.1"[..]));
        let server: fn(&Authority, &str) -> _ = |authority, address| with_alpn(authority, address, &["imap"]);
        Plan { server, ..Plan::default() }.start(program).fails(
            "SSL error: (received fatal alert: NoApplicationProtocol), it does not speak HTTP/1.1",
        );
    }

    fn a_wrong_name_is_refused(program: Program) {
        let directives = "auth_http_ssl_name other.example.test;";
        for protocol in PROTOCOLS {
            let asking = Plan { protocol, directives, ..Plan::default() }.start(program);
            asking.fails("SSL certificate does not match \"other.example.test\", see \"auth_http_ssl_name\"");
            assert!(asking.auth.requests().is_empty());
        }
    }

    fn an_unknown_authority_is_refused(program: Program) {
        for protocol in PROTOCOLS {
            let asking = Plan { protocol, server: stranger, ..Plan::default() }.start(program);
            asking.fails(
                "SSL certificate verify error: (21:unable to verify the first certificate), \
                 see \"auth_http_ssl_trusted_certificate\"",
            );
            assert!(asking.auth.requests().is_empty());
        }
    }

    fn an_unknown_authority_will_do_without_verification(program: Program) {
        Plan { directives: "auth_http_ssl_verify off;", server: stranger, ..Plan::default() }.start(program).log_in();
    }

    fn an_expired_certificate_is_refused(program: Program) {
        let server: fn(&Authority, &str) -> _ =
            |authority, address| authority.expired_server(&[address]).server_config();
        Plan { server, ..Plan::default() }.start(program).fails(
            "SSL certificate verify error: (10:certificate has expired), see \"auth_http_ssl_trusted_certificate\"",
        );
    }

    fn a_certificate_of_our_own_is_shown_on_demand(program: Program) {
        let server: fn(&Authority, &str) -> _ =
            |authority, address| authority.server(&[address]).server_config_for_clients_of(authority);
        let directives = "auth_http_ssl_certificate own.pem; auth_http_ssl_certificate_key own.key;";
        let asking = Plan { directives, server, ..Plan::default() }.start(program);
        asking.log_in();
        let own = CertificateDer::from_pem_file(asking.proxy.path().join("own.pem")).unwrap();
        assert_eq!(asking.auth.handshakes()[0].client.as_deref(), Some(&own[..]));
        for directives in ["", "auth_http_ssl_protocols TLSv1.2;"] {
            let asking = Plan { directives, server, ..Plan::default() }.start(program);
            asking.fails("SSL error: (received fatal alert: CertificateRequired), see \"auth_http_ssl_certificate\"");
            assert!(asking.auth.requests().is_empty());
        }
    }

    fn the_handshake_is_what_the_directives_say(program: Program) {
        let chacha = CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256;
        let aes = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        for (directives, suite) in [
            ("auth_http_ssl_protocols TLSv1.2; auth_http_ssl_ciphers ECDHE-ECDSA-CHACHA20-POLY1305;", chacha),
            ("auth_http_ssl_protocols TLSv1.2; auth_http_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;", aes),
        ] {
            let asking = Plan { directives, ..Plan::default() }.start(program);
            asking.log_in();
            let handshake = &asking.auth.handshakes()[0];
            assert_eq!((handshake.version, handshake.suite), (ProtocolVersion::TLSv1_2, suite));
        }
        let asking = Plan::default().start(program);
        asking.log_in();
        assert_eq!(asking.auth.handshakes()[0].version, ProtocolVersion::TLSv1_3);
    }

    fn revoked_certificates_and_long_chains_are_refused(program: Program) {
        let one: fn(&Authority, &str) -> _ =
            |authority, address| authority.below("One").server(&[address]).server_config();
        let two: fn(&Authority, &str) -> _ =
            |authority, address| authority.below("One").below("Two").server(&[address]).server_config();
        for (directives, server) in [("", one), ("auth_http_ssl_verify_depth 2;", two)] {
            Plan { directives, server, ..Plan::default() }.start(program).log_in();
        }
        let too_long = "(22:certificate chain too long)";
        for (directives, server, reason) in [
            ("", two, too_long),
            ("auth_http_ssl_verify_depth 0;", one, too_long),
            ("auth_http_ssl_crl crl.pem;", trusted as fn(&Authority, &str) -> _, "(23:certificate revoked)"),
        ] {
            let asking = Plan { directives, server, ..Plan::default() }.start(program);
            log_in(asking.listen, asking.protocol, unavailable(asking.protocol));
            asking.proxy.await_log(&format!(" SSL certificate verify error: {reason}"));
            assert!(asking.auth.requests().is_empty());
        }
    }

    fn a_stand_in_in_clear_is_asked_when_tls_fails(program: Program) {
        let directives = "auth_http_backup http://$stand_in;";
        let asking = Plan { directives, server: stranger, ..Plan::default() }.start(program);
        asking.log_in();
        asking.proxy.await_log(&format!(
            "auth http server {} SSL certificate verify error: (21:unable to verify the first certificate), see ",
            asking.auth.address()
        ));
        assert_eq!(asking.stand_in.requests()[0].lines[0], "GET /auth HTTP/1.0");
        // For a while it is asked first.
        asking.log_in();
        assert_eq!((asking.stand_in.requests().len(), asking.auth.requests().len()), (2, 0));
    }

    fn a_stand_in_without_a_scheme_is_asked_under_tls(program: Program) {
        let answer: fn(_) -> _ = |_| AuthAnswer::CutOff(Vec::new());
        let directives = "auth_http_backup $stand_in;";
        let asking = Plan { directives, answer, is_stand_in_secured: true, ..Plan::default() }.start(program);
        asking.log_in();
        let address = asking.auth.address();
        asking.proxy.await_log(&format!("auth http server {address} prematurely closed connection"));
        assert_eq!((asking.stand_in.requests().len(), asking.stand_in.handshakes().len()), (1, 1));
    }

    fn an_answer_that_is_cut_off_is_none(program: Program) {
        let plain: fn(SocketAddr) -> AuthAnswer =
            |_| AuthAnswer::CutOff(b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\n".to_vec());
        let told: fn(SocketAddr) -> AuthAnswer =
            |_| AuthAnswer::Raw(b"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\n".to_vec());
        for answer in [plain, told] {
            let asking = Plan { directives: "auth_http_backup http://$stand_in;", answer, ..Plan::default() }.start(program);
            asking.fails("prematurely closed connection");
            assert!(asking.stand_in.requests().is_empty());
        }
    }

    fn a_complete_answer_needs_no_farewell(program: Program) {
        let answer: fn(SocketAddr) -> AuthAnswer = |backend| {
            let (ip, port) = (backend.ip(), backend.port());
            let head = format!("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: {ip}\r\nAuth-Port: {port}\r\n\r\n");
            AuthAnswer::CutOff(head.into_bytes())
        };
        Plan { answer, ..Plan::default() }.start(program).log_in();
    }

    fn a_port_for_http_is_named(program: Program) {
        let host = Loopback::new();
        let listener = TcpListener::bind(host.port(8443)).unwrap();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Whatever is said, it is no request.
            let mut hello = [0; 4096];
            assert!(stream.read(&mut hello).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
            String::from_utf8_lossy(&hello).into_owned()
        });
        let folder = Proxy::folder();
        Authority::new("Trusted").write(&folder.path().join("ca.pem"));
        let listen = host.port(1000);
        let mail = format!(
            "auth_http https://{}/auth; auth_http_ssl_trusted_certificate ca.pem;
             server {{ listen {listen}; protocol imap; }}",
            host.port(8443)
        );
        let proxy = Proxy::start(program, folder, &mail, &[listen]);
        log_in(listen, Protocol::Imap, unavailable(Protocol::Imap));
        proxy.await_log(&format!(
            "auth http server {} SSL error: (wrong version number), it may be one for \"http://\" while in http auth state",
            host.port(8443)
        ));
        assert!(!serving.join().unwrap().contains("alice"));
    }
}

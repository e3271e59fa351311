//! Client certificates (`ssl_verify_client`).

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::{
    AuthAnswer, AuthServer, Authority, Certificate, Client, Identity, Loopback, Program, Proxy, Request,
    on_both,
};
use rustls::version::{TLS12, TLS13};

const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];
const VERSIONS: [&rustls::SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A proxy with one `listen ... ssl` for each server, its peers and an authority that it trusts. Serial 66 is revoked.
struct Verifying {
    proxy: Proxy,
    auth: AuthServer,
    certificate: Certificate,
    authority: Authority,
    host: Loopback,
    _backend: Backend,
}

impl Verifying {
    /// Each server gets its directives; the ports are 1000 and on.
    fn start(program: Program, servers: &[(Protocol, &str)]) -> Self {
        let host = Loopback::new();
        let backend = Backend::start(Protocol::Imap, host.port(2000), Behaviour::default());
        let address = backend.address();
        let auth = AuthServer::start(host.port(8080), move |_| AuthAnswer::accept(address));
        let folder = Proxy::folder();
        let certificate = Certificate::write(folder.path());
        let authority = Authority::new("Trusted");
        authority.write(&folder.path().join("ca.pem"));
        authority.write_crl(&folder.path().join("crl.pem"), &[66]);
        let mut mail = format!(
            "server_name mx.example.test; auth_http {}/auth; ssl_session_cache shared:S:1m;
             ssl_certificate certificate.pem; ssl_certificate_key key.pem;",
            auth.address()
        );
        let mut listens = Vec::new();
        for (index, (protocol, directives)) in servers.iter().enumerate() {
            let listen = host.port(1000 + u16::try_from(index).unwrap());
            let ssl = if directives.contains("starttls") { "" } else { "ssl" };
            mail += &format!("server {{ listen {listen} {ssl}; protocol {protocol}; {directives} }}\n");
            listens.push(listen);
        }
        let proxy = Proxy::start(program, folder, &mail, &listens);
        Self { proxy, auth, certificate, authority, host, _backend: backend }
    }

    fn config(
        &self,
        identity: Option<&Identity>,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> std::sync::Arc<rustls::ClientConfig> {
        self.certificate.client_as(identity, &[version])
    }

    fn connect(&self, server: u16, config: &std::sync::Arc<rustls::ClientConfig>) -> Client {
        Client::connect_tls(self.host.port(1000 + server), config)
    }

    /// Logs in to an IMAP server, and returns what the auth server was asked.
    #[track_caller]
    fn log_in(&self, mut client: Client) -> Request {
        client.expect("* OK IMAP4 ready");
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        client.finish();
        client.expect_eof();
        self.auth.requests().pop().unwrap()
    }
}

fn greeting(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "* OK IMAP4 ready",
        Protocol::Pop3 => "+OK POP3 ready",
        Protocol::Smtp => "220 mx.example.test ESMTP ready",
    }
}

/// The reply to a bad certificate, or to none.
fn refusal(protocol: Protocol, text: &str) -> String {
    match protocol {
        Protocol::Imap => format!("* BYE {text}"),
        Protocol::Pop3 => format!("-ERR {text}"),
        Protocol::Smtp => format!("421 4.7.1 {text}"),
    }
}

const BAD: &str = "SSL certificate error";
const MISSING: &str = "No required SSL certificate";

on_both! {
    fn only_good_certificates_are_greeted(program: Program) {
        let on = "ssl_verify_client on; ssl_client_certificate ca.pem; ssl_crl crl.pem;";
        let setup = Verifying::start(program, &PROTOCOLS.map(|protocol| (protocol, on)));
        let good = setup.authority.client("joe", 1);
        let bad = [
            (Authority::new("Stranger").client("eve", 2), "(21:unable to verify the first certificate)"),
            (setup.authority.expired("old", 3), "(10:certificate has expired)"),
            (setup.authority.client("gone", 66), "(23:certificate revoked)"),
        ];
        for (server, protocol) in (0..).zip(PROTOCOLS) {
            for version in VERSIONS {
                setup.connect(server, &setup.config(Some(&good), version)).expect(greeting(protocol));
                let mut client = setup.connect(server, &setup.config(None, version));
                client.expect(&refusal(protocol, MISSING));
                client.expect_eof();
                for (identity, _) in &bad {
                    let mut client = setup.connect(server, &setup.config(Some(identity), version));
                    client.expect(&refusal(protocol, BAD));
                    client.expect_eof();
                }
            }
        }
        let while_handshaking = " while SSL handshaking, client: ";
        setup.proxy.await_log_count(&format!(" client sent no required SSL certificate{while_handshaking}"), 6);
        for (_, reason) in bad {
            let line = format!(" client SSL certificate verify error: {reason}{while_handshaking}");
            setup.proxy.await_log_count(&line, 6);
        }
        assert!(setup.auth.requests().is_empty());
    }

    fn chains_are_as_long_as_the_directive_allows(program: Program) {
        let on = |more: &str| format!("ssl_verify_client on; ssl_client_certificate ca.pem; {more}");
        let directives = ["", "ssl_verify_depth 0;", "ssl_verify_depth 1;", "ssl_verify_depth 2;"].map(on);
        let servers = [0, 1, 2, 3].map(|server: usize| (Protocol::Imap, &*directives[server]));
        let setup = Verifying::start(program, &servers);
        let one = setup.authority.below("One");
        let chains = [setup.authority.client("joe", 1), one.client("joe", 2), one.below("Two").client("joe", 3)];
        // How many authorities may stand between the client and the one that is trusted.
        for (server, allowed) in [(0, 1), (1, 0), (2, 1), (3, 2)] {
            for (between, identity) in chains.iter().enumerate() {
                let mut client = setup.connect(server, &setup.config(Some(identity), &TLS13));
                if between <= allowed {
                    client.expect(greeting(Protocol::Imap));
                } else {
                    client.expect(&refusal(Protocol::Imap, BAD));
                }
            }
        }
        setup.proxy.await_log_count("verify error: (22:certificate chain too long)", 4);
    }

    fn the_same_behind_starttls(program: Program) {
        let on = "ssl_verify_client on; ssl_trusted_certificate ca.pem; starttls on;";
        let setup = Verifying::start(program, &PROTOCOLS.map(|protocol| (protocol, on)));
        let stranger = Authority::new("Stranger").client("eve", 1);
        for (server, protocol) in (0..).zip(PROTOCOLS) {
            for (identity, text) in [(None, MISSING), (Some(&stranger), BAD)] {
                let mut client = Client::connect(setup.host.port(1000 + server));
                client.expect(greeting(protocol));
                match protocol {
                    Protocol::Imap => client.say("a STARTTLS", "a OK completed"),
                    Protocol::Pop3 => client.say("STLS", "+OK"),
                    Protocol::Smtp => client.say("STARTTLS", "220 2.0.0 Start TLS"),
                }
                let mut client = client.start_tls(&setup.config(identity, &TLS13));
                client.expect(&refusal(protocol, text));
                client.expect_eof();
            }
        }
        setup.proxy.await_log_count(" client sent no required SSL certificate while in starttls state", 3);
        setup.proxy.await_log_count(" verify error: (21:unable to verify the first certificate) while in starttls", 3);
    }

    fn the_auth_server_learns_who_it_is(program: Program) {
        let setup = Verifying::start(program, &[
            (Protocol::Imap, "ssl_verify_client optional; ssl_client_certificate ca.pem; auth_http_pass_client_cert on;"),
            (Protocol::Imap, "ssl_verify_client optional_no_ca;"),
            (Protocol::Imap, "ssl_client_certificate ca.pem;"),
        ]);
        let joe = setup.authority.client("J\u{f6}rg", 0x12_abcd);
        for version in VERSIONS {
            let request = setup.log_in(setup.connect(0, &setup.config(None, version)));
            assert_eq!(request.header("Auth-SSL-Verify"), Some("NONE"));
            assert_eq!(request.header("Auth-SSL-Subject"), None);

            let config = setup.config(Some(&joe), version);
            // The second connection resumes the session of the first.
            for _ in 0..2 {
                let request = setup.log_in(setup.connect(0, &config));
                assert_eq!(request.header("Auth-SSL-Verify"), Some("SUCCESS"));
                assert_eq!(request.header("Auth-SSL-Subject"), Some("CN=J\\C3\\B6rg,O=Example\\, Inc."));
                assert_eq!(request.header("Auth-SSL-Issuer"), Some("CN=Trusted,O=Example\\, Inc."));
                assert_eq!(request.header("Auth-SSL-Serial"), Some("12ABCD"));
                let fingerprint = request.header("Auth-SSL-Fingerprint").unwrap();
                assert!(fingerprint.len() == 40 && !fingerprint.contains(|c: char| c.is_ascii_uppercase()));
                let pem = request.header("Auth-SSL-Cert").unwrap();
                assert!(pem.starts_with("-----BEGIN%20CERTIFICATE-----%0AMII"), "{pem}");
                assert!(pem.ends_with("%0A-----END%20CERTIFICATE-----%0A"), "{pem}");
            }
            let request = setup.log_in(setup.connect(1, &setup.config(Some(&joe), version)));
            let failed = "FAILED:unable to verify the first certificate";
            assert_eq!(request.header("Auth-SSL-Verify"), Some(failed));
            assert_eq!(request.header("Auth-SSL-Serial"), Some("12ABCD"));
            assert_eq!(request.header("Auth-SSL-Cert"), None);

            let request = setup.log_in(setup.connect(2, &setup.config(Some(&joe), version)));
            assert_eq!(request.header("Auth-SSL-Verify"), None, "nobody asked");
        }
        for (server, identity) in
            [(0, Authority::new("Stranger").client("eve", 2)), (1, setup.authority.expired("old", 3))]
        {
            let mut client = setup.connect(server, &setup.config(Some(&identity), &TLS13));
            client.expect(&refusal(Protocol::Imap, BAD));
            client.expect_eof();
        }
    }

    fn resumption_goes_round_no_verification(program: Program) {
        let trust = "ssl_client_certificate ca.pem;";
        let (on, optional) = (format!("ssl_verify_client on; {trust}"), format!("ssl_verify_client optional; {trust}"));
        let setup = Verifying::start(program, &[
            (Protocol::Imap, trust),
            (Protocol::Imap, &on),
            (Protocol::Imap, &optional),
            (Protocol::Imap, "ssl_verify_client optional_no_ca;"),
        ]);
        let (off, on, optional, no_ca) = (0, 1, 2, 3);
        let stranger = Authority::new("Stranger").client("eve", 1);
        let good = setup.authority.client("joe", 2);
        for version in VERSIONS {
            let resumes = |server, config: &_| {
                let mut client = setup.connect(server, config);
                client.line();
                client.is_resumed()
            };
            // Each server takes its own sessions again, and those of no other.
            for (identity, first, second, reply) in [
                (None, off, on, refusal(Protocol::Imap, MISSING)),
                (None, optional, on, refusal(Protocol::Imap, MISSING)),
                (Some(&stranger), off, optional, refusal(Protocol::Imap, BAD)),
                (Some(&stranger), no_ca, on, refusal(Protocol::Imap, BAD)),
                (Some(&good), off, on, greeting(Protocol::Imap).to_owned()),
                (Some(&good), on, off, greeting(Protocol::Imap).to_owned()),
            ] {
                let config = setup.config(identity, version);
                assert!(!resumes(first, &config));
                assert!(resumes(first, &config), "{version:?} {first}");
                let mut client = setup.connect(second, &config);
                client.expect(&reply);
                assert!(!client.is_resumed());
            }
            // Whom a server has turned away comes back in vain.
            for (identity, text) in [(None, MISSING), (Some(&stranger), BAD)] {
                let config = setup.config(identity, version);
                for _ in 0..2 {
                    let mut client = setup.connect(on, &config);
                    client.expect(&refusal(Protocol::Imap, text));
                    client.expect_eof();
                }
            }
        }
    }
}

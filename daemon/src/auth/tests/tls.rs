//! Auth servers that are asked under TLS.

use std::io::{Read, Write};

use gatepost_protocol::transport::{PeerFault, TlsCause};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use super::*;
use crate::certificates;
use crate::config::{Config, Memory, Report};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// The certificate of `auth.example`, with its key.
struct Certified {
    pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Certified {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(["auth.example".to_owned()]).expect("a name");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let der = certificate.der().clone();
        Self {
            pem: certificate.pem(),
            der,
            key: PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        }
    }

    fn server(&self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        self.server_with(version, WebPkiClientVerifier::no_client_auth())
    }

    /// A server that wants to see this same certificate of its clients.
    fn demanding(&self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).expect("a root");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        self.server_with(version, verifier.build().expect("roots"))
    }

    fn server_with(
        &self,
        version: &'static SupportedProtocolVersion,
        clients: Arc<dyn ClientCertVerifier>,
    ) -> ServerConfig {
        let config = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]);
        let config = config.expect("a version").with_client_cert_verifier(clients);
        config.with_single_cert(vec![self.der.clone()], self.key.clone_key()).expect("a server")
    }

    /// A bench whose auth server is at `https://auth.example`, trusted by this certificate.
    fn bench(&self, directives: &str) -> Bench {
        let mut bench = Bench::new(false);
        bench.server = Rc::new(self.auth_server(directives));
        bench
    }

    fn auth_server(&self, directives: &str) -> AuthServer {
        let text = format!(
            "events {{}} mail {{ auth_http https://auth.example; auth_http_ssl_trusted_certificate c;
             {directives} server {{ listen 110; }} }}"
        );
        let machine = Memory::default().with_file("/c", self.pem.as_str());
        let machine = machine.with_host("auth.example", &["192.0.2.1"]);
        let config = Config::parse(text, machine, &mut Report::default()).expect("a configuration");
        AuthServer::new(&config.binds[0].listens[0].server.auth)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(certificates::provider())
}

/// The server's end of a connection.
struct Server {
    pipe: Pipe,
    tls: ServerConnection,
    /// How much of what was written has been read.
    read: usize,
    heard: String,
}

impl Server {
    /// The next connection leads to it.
    fn next(bench: &Bench, config: &Arc<ServerConfig>) -> Self {
        let tls = ServerConnection::new(Arc::clone(config)).expect("a server");
        Self { pipe: bench.server(), tls, read: 0, heard: String::new() }
    }

    /// Takes what was written, and brings what TLS says to it.
    fn turn(&mut self) -> Result<(), rustls::Error> {
        let written = self.pipe.0.borrow().written[self.read..].to_vec();
        self.read += written.len();
        let mut wire = &written[..];
        let mut outcome = Ok(());
        while !wire.is_empty() && outcome.is_ok() {
            self.tls.read_tls(&mut wire).expect("memory");
            outcome = self.tls.process_new_packets().map(drop);
        }
        let mut heard = [0; 4096];
        while let Ok(count @ 1..) = self.tls.reader().read(&mut heard) {
            self.heard.push_str(&String::from_utf8_lossy(&heard[..count]));
        }
        self.bring();
        outcome
    }

    fn bring(&mut self) {
        let mut wire = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut wire).expect("memory");
        }
        if !wire.is_empty() {
            self.pipe.bring(&wire);
        }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.tls.writer().write_all(bytes).expect("memory");
        self.bring();
    }

    fn close(&mut self) {
        self.tls.send_close_notify();
        self.bring();
        self.pipe.bring(b"");
    }

    /// Whether the client has said that it says no more.
    fn is_left(&mut self) -> bool {
        self.turn().expect("TLS");
        matches!(self.tls.reader().read(&mut [0]), Ok(0))
    }
}

type Asking = Pin<Box<dyn Future<Output = Answer>>>;

/// Lets both speak until the whole request has been heard.
fn hear(asking: &mut Asking, server: &mut Server) {
    server.heard.clear();
    for _ in 0..4 {
        assert!(poll(asking).is_pending());
        server.turn().expect("TLS");
    }
    assert!(server.heard.ends_with("\r\n\r\n"), "{}", server.heard);
}

#[track_caller]
fn outcome(asking: &mut Asking) -> Answer {
    match poll(asking) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("an answer was there"),
    }
}

#[test]
fn a_question_under_tls() {
    for version in VERSIONS {
        let certified = Certified::new();
        let bench = certified.bench("");
        let mut server = Server::next(&bench, &Arc::new(certified.server(version)));
        let mut asking = bench.ask();
        hear(&mut asking, &mut server);
        assert!(server.heard.starts_with("GET / HTTP/1.0\r\nHost: auth.example\r\n"), "{}", server.heard);
        assert_eq!(server.tls.server_name(), Some("auth.example"));
        server.say(ACCEPTED);
        assert!(is_accepted(&outcome(&mut asking).outcome));
        drop(asking);
        assert_eq!(bench.free_slots(), 10);
        assert!(server.is_left());
        assert!(!server.pipe.written().contains("joe"));
    }
}

#[test]
fn a_kept_connection_carries_more_questions() {
    for version in VERSIONS {
        let certified = Certified::new();
        let bench = certified.bench("auth_http_keepalive on;");
        let mut server = Server::next(&bench, &Arc::new(certified.server(version)));
        let mut asking = bench.ask();
        for _ in 0..2 {
            hear(&mut asking, &mut server);
            assert!(server.heard.starts_with("GET / HTTP/1.1\r\n"));
            server.say(&[ACCEPTED, b"OK"].concat());
            assert!(is_accepted(&outcome(&mut asking).outcome));
            assert_eq!(bench.free_slots(), 9);
            if version == &TLS13 {
                // A record without content is no reason to give the connection up.
                server.tls.refresh_traffic_keys().expect("TLS 1.3");
                server.bring();
            }
            asking = bench.ask();
        }
        // What is said unasked is one.
        server.say(b"HTTP");
        bench.server();
        assert!(poll(&mut asking).is_pending());
        assert!(server.is_left());
    }
}

#[test]
fn a_connection_that_the_server_ended_is_not_kept() {
    for version in VERSIONS {
        let certified = Certified::new();
        let bench = certified.bench("auth_http_keepalive on;");
        let config = Arc::new(certified.server(version));
        // The end comes with the answer, or later.
        for is_late in [false, true] {
            let mut server = Server::next(&bench, &config);
            let mut asking = bench.ask();
            hear(&mut asking, &mut server);
            server.tls.writer().write_all(&[ACCEPTED, b"OK"].concat()).expect("memory");
            if is_late {
                server.bring();
                assert!(is_accepted(&outcome(&mut asking).outcome));
                server.close();
            } else {
                server.close();
                assert!(is_accepted(&outcome(&mut asking).outcome));
            }
            let mut next = Server::next(&bench, &config);
            let mut asking = bench.ask();
            hear(&mut asking, &mut next);
            next.close();
            assert_eq!(outcome(&mut asking).outcome, Err(AuthFailure::Closed));
        }
        assert_eq!(bench.free_slots(), 10);
    }
}

#[test]
fn sessions_resume() {
    for version in VERSIONS {
        let certified = Certified::new();
        let config = Arc::new(certified.server(version));
        for (directives, then) in
            [("", HandshakeKind::Resumed), ("auth_http_ssl_session_reuse off;", HandshakeKind::Full)]
        {
            let bench = certified.bench(directives);
            for kind in [HandshakeKind::Full, then] {
                let mut server = Server::next(&bench, &config);
                let mut asking = bench.ask();
                hear(&mut asking, &mut server);
                assert_eq!(server.tls.handshake_kind(), Some(kind), "{directives}");
                server.say(ACCEPTED);
                assert!(is_accepted(&outcome(&mut asking).outcome));
            }
        }
    }
}

#[test]
fn an_answer_that_is_cut_off_is_none() {
    let certified = Certified::new();
    let config = Arc::new(certified.server(&TLS13));
    for is_told in [false, true] {
        for (part, is_answered) in [("", false), ("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n", true)] {
            let bench = certified.bench("auth_http_backup 192.0.2.2;");
            let mut server = Server::next(&bench, &config);
            let mut asking = bench.ask();
            hear(&mut asking, &mut server);
            if !part.is_empty() {
                server.say(part.as_bytes());
            }
            if is_told {
                server.close();
            } else {
                server.pipe.bring(b"");
            }
            // Only a server that has said nothing may be replaced; this stand-in is away.
            bench.failing(111);
            let answer = outcome(&mut asking);
            let (passed_over, expected) = match is_answered {
                true => (vec![], AuthFailure::Closed),
                false => (vec![(0, AuthFailure::Closed)], AuthFailure::Connect(Errno(111))),
            };
            assert_eq!((failures(&answer), answer.outcome), (passed_over, Err(expected)), "{part} {is_told}");
        }
    }
}

#[test]
fn a_complete_answer_is_good_whatever_follows() {
    let certified = Certified::new();
    let bench = certified.bench("auth_http_keepalive on;");
    let mut server = Server::next(&bench, &Arc::new(certified.server(&TLS13)));
    let mut asking = bench.ask();
    hear(&mut asking, &mut server);
    server.say(&[ACCEPTED, b"OK"].concat());
    let last = server.pipe.0.borrow_mut().input.pop_back();
    let wire = last.expect("an answer").expect("bytes");
    let broken = b"\x17\x03\x03\x00\x20 nobody can have encrypted this.";
    server.pipe.bring(&[&wire[..], broken].concat());
    assert!(is_accepted(&outcome(&mut asking).outcome));
    assert_eq!(bench.free_slots(), 10);
}

#[test]
fn who_is_not_trusted_hears_no_question() {
    let (certified, stranger) = (Certified::new(), Certified::new());
    let wrong = PeerFault::WrongName("other.example".into());
    for (directives, owner, expected) in
        [("", &stranger, None), ("auth_http_ssl_name other.example;", &certified, Some(wrong))]
    {
        let bench = certified.bench(&format!("{directives} auth_http_backup http://192.0.2.2;"));
        let mut server = Server::next(&bench, &Arc::new(owner.server(&TLS13)));
        let mut asking = bench.ask();
        assert!(poll(&mut asking).is_pending());
        server.turn().expect("TLS");
        let backup = bench.server();
        backup.bring(ACCEPTED);
        let answer = outcome(&mut asking);
        let [(0, AuthFailure::NotTrusted(fault))] = &failures(&answer)[..] else { panic!("{answer:?}") };
        match &expected {
            Some(expected) => assert_eq!(fault, expected),
            None => assert!(matches!(fault, PeerFault::Unverified(_)), "{fault:?}"),
        }
        assert!(is_accepted(&answer.outcome) && answer.address == 1);
        assert!(backup.written().starts_with("GET / HTTP/1.0\r\n"));
        // It is told why.
        let error = server.turn().expect_err("an alert");
        assert!(matches!(error, rustls::Error::AlertReceived(_)) && server.heard.is_empty(), "{error}");
    }
}

#[test]
fn without_verification_anybody_is_asked() {
    let bench = Certified::new().bench("auth_http_ssl_verify off; auth_http_ssl_server_name off;");
    let mut server = Server::next(&bench, &Arc::new(Certified::new().server(&TLS13)));
    let mut asking = bench.ask();
    hear(&mut asking, &mut server);
    assert_eq!(server.tls.server_name(), None);
}

#[test]
fn a_certificate_that_is_missed_is_named() {
    let certified = Certified::new();
    for version in VERSIONS {
        let bench = certified.bench("auth_http_backup https://192.0.2.2;");
        let mut server = Server::next(&bench, &Arc::new(certified.demanding(version)));
        let mut asking = bench.ask();
        assert!(poll(&mut asking).is_pending());
        server.turn().expect("TLS");
        assert!(poll(&mut asking).is_pending());
        server.turn().expect_err("no certificate");
        bench.failing(111);
        let answer = outcome(&mut asking);
        let [(0, AuthFailure::Tls { cause, .. })] = &failures(&answer)[..] else { panic!("{answer:?}") };
        assert_eq!(*cause, TlsCause::OwnCertificate);
        assert_eq!((answer.address, answer.outcome), (1, Err(AuthFailure::Connect(Errno(111)))));
        assert!(server.heard.is_empty());
    }
}

#[test]
fn handshakes_that_come_to_nothing_keep_their_cause() {
    let certified = Certified::new();
    let ask = |prepare: fn(&Pipe)| {
        let bench = certified.bench("");
        prepare(&bench.server());
        bench.ask_now()
    };
    assert_eq!(ask(|pipe| pipe.bring(b"")), Err(AuthFailure::ClosedInHandshake));
    let reset = |pipe: &Pipe| pipe.0.borrow_mut().input.push_back(Err(io::Error::from_raw_os_error(104)));
    assert_eq!(ask(reset), Err(AuthFailure::HandshakeBroken(Errno(104))));
    let deaf = |pipe: &Pipe| pipe.0.borrow_mut().write_error = Some(32);
    assert_eq!(ask(deaf), Err(AuthFailure::HandshakeBroken(Errno(32))));
    let in_clear = |pipe: &Pipe| pipe.bring(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let failure = AuthFailure::Tls { reason: "wrong version number".into(), cause: TlsCause::NoTls };
    assert_eq!(ask(in_clear), Err(failure));
}

#[test]
fn an_answer_before_the_question_is_none() {
    let certified = Certified::new();
    let bench = certified.bench("");
    let mut config = certified.server(&TLS13);
    // Speaks before the client's last word of the handshake.
    config.send_half_rtt_data = true;
    let mut server = Server::next(&bench, &Arc::new(config));
    let mut asking = bench.ask();
    assert!(poll(&mut asking).is_pending());
    server.turn().expect("TLS");
    server.say(ACCEPTED);
    let flight: Vec<_> = server.pipe.0.borrow_mut().input.drain(..).flatten().flatten().collect();
    server.pipe.bring(&flight);
    assert_eq!(outcome(&mut asking).outcome, Err(AuthFailure::InvalidResponse));
}

#[test]
fn a_handshake_takes_no_more_than_its_share() {
    let bench = Certified::new().bench("auth_http_backup http://192.0.2.2;");
    let silent = bench.server();
    let mut asking = bench.ask();
    assert!(poll(&mut asking).is_pending() && !silent.written().is_empty());
    bench.fake.advance(TIMEOUT / 2 - Duration::from_secs(1));
    assert!(poll(&mut asking).is_pending());
    bench.fake.advance(Duration::from_secs(1));
    let backup = bench.server();
    backup.bring(ACCEPTED);
    let answer = outcome(&mut asking);
    assert_eq!(failures(&answer), [(0, AuthFailure::HandshakeTimedOut)]);
    assert!(is_accepted(&answer.outcome));
}

#[test]
fn a_slow_server_gets_the_records_in_pieces() {
    let certified = Certified::new();
    let bench = certified.bench("");
    let mut server = Server::next(&bench, &Arc::new(certified.server(&TLS13)));
    let mut asking = bench.ask();
    while !server.heard.ends_with("\r\n\r\n") {
        server.pipe.0.borrow_mut().room = 7;
        assert!(poll(&mut asking).is_pending());
        server.turn().expect("TLS");
    }
    assert_eq!(server.heard.matches("GET / HTTP/1.0\r\n").count(), 1);
    server.say(ACCEPTED);
    assert!(is_accepted(&outcome(&mut asking).outcome));
}

#[test]
fn connections_are_shared_by_those_who_trust_the_same() {
    let certified = Certified::new();
    let (one, two) = (certified.auth_server(""), certified.auth_server(""));
    let address = |server: &AuthServer| server.addresses[0].address.clone();
    assert_eq!(address(&one), address(&one));
    assert_eq!(address(&one).peer, address(&two).peer);
    assert_ne!(address(&one), address(&two));
}

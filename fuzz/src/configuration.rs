//! A configuration file.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::OnceLock;
use std::time::Instant;

use gatepost_daemon::config::{Config, Errors, Memory, Report};
use gatepost_protocol::action::{Action, Output};
use gatepost_protocol::session::Session;

use crate::origin::origin;

/// The text of a configuration, on a machine that has a few files, one host and one user. What is accepted must be fit
/// to run; what is refused is refused with the same words every time.
pub fn configuration(data: &[u8]) {
    let mut report = Report::default();
    let outcome = read(data, &mut report);
    assert!(!report.diagnostics.iter().any(|diagnostic| diagnostic.message.is_empty()));
    match outcome {
        Ok(config) => {
            assert!(report.is_syntax_ok, "a file that was not read to its end");
            assert!(config.main.worker_processes > 0 && !config.main.error_log.is_empty());
            assert!(report.explain().is_some_and(|page| !page.is_empty()), "a configuration without words");
            assert_serves(&config);
        }
        Err(errors) => {
            assert!(errors.iter().all(|error| !error.to_string().is_empty()));
            assert_eq!(read(data, &mut Report::default()).err(), Some(errors));
        }
    }
}

fn read(data: &[u8], report: &mut Report) -> Result<Config, Errors> {
    let (certificate, key) = certificate();
    let machine = Memory::default()
        .with_file("/certificate.pem", certificate.as_str())
        .with_file("/key.pem", key.as_str())
        .with_file("/conf.d/server.conf", &b"server { listen 110; auth_http 127.0.0.1; }"[..])
        .with_file("/conf.d/broken.conf", &b"server {"[..])
        .with_host("auth.example", &["192.0.2.1", "2001:db8::1"]);
    Config::parse(data, machine, report)
}

/// Every listener must be able to begin a session.
fn assert_serves(config: &Config) {
    for bind in &config.binds {
        assert!(!bind.listens.is_empty(), "a socket without a server");
        let _ = bind.select(None);
        let listen = bind.select(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!listen.server.auth.addresses.is_empty() && !listen.server.error_log.is_empty());
    }
    for listen in config.binds.iter().flat_map(|bind| &bind.listens).take(MOST_SESSIONS) {
        let mut session = Session::open(&listen.listener, &origin(), Instant::now(), &mut Output::default());
        while let Some(action) = session.poll_action() {
            assert_ne!(action, Action::Finish, "a session that ends before it has begun");
        }
    }
}

fn certificate() -> &'static (String, String) {
    static PEM: OnceLock<(String, String)> = OnceLock::new();
    PEM.get_or_init(|| {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("the name is well-formed");
        (made.cert.pem(), made.signing_key.serialize_pem())
    })
}

/// A range of ports makes many listeners, all alike.
const MOST_SESSIONS: usize = 8;

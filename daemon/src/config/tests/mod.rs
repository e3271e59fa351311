mod auth_http_ssl;
mod diagnostics;
mod errors;
mod explain;
mod language;
mod listen;
mod log;
mod main_level;
mod odd;
mod parity;
mod proxy_ssl;
mod servers;
mod tls;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::*;

/// Everything that reading a text comes to.
struct Outcome {
    /// What it is, or the first error.
    config: Result<Config, Error>,
    /// All errors.
    errors: Vec<Error>,
    report: Report,
}

/// Reads a text in `/nginx.conf`. `two.example` has an IPv4 and an IPv6 address, `one.example` the former.
fn read(text: &str) -> Outcome {
    read_on(machine(), text)
}

fn read_on(machine: Memory, text: &str) -> Outcome {
    let mut report = Report::default();
    let config = Config::parse(text, machine, &mut report);
    let errors = config.as_ref().err().map(|errors| errors.iter().cloned().collect()).unwrap_or_default();
    Outcome { config: config.map_err(|errors| errors.first().clone()), errors, report }
}

fn machine() -> Memory {
    Memory::default()
        .with_host("one.example", &["192.0.2.1"])
        .with_host("two.example", &["192.0.2.1", "2001:db8::1"])
}

/// The same with a certificate and its key, `/c` and `/k`, parameters `/d` and the empty file `/e`.
fn machine_with_certificate() -> Memory {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let parameters = CertificateParams::new(["a.example".to_owned()]).expect("a name");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let dh = "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n";
    let machine = machine().with_file("/c", certificate.pem()).with_file("/k", key.serialize_pem());
    machine.with_file("/d", dh).with_file("/e", "")
}

#[track_caller]
fn good(text: &str) -> Config {
    let outcome = read(text);
    outcome.config.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// The first error of a text.
#[track_caller]
fn error(text: &str) -> String {
    match read(text).config {
        Ok(_) => panic!("no error\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The warnings of a good text.
#[track_caller]
fn warnings(text: &str) -> Vec<String> {
    let outcome = read(text);
    assert!(outcome.config.is_ok(), "{:?}\n{text}", outcome.config);
    outcome.report.diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect()
}

/// A whole file on one line, with these directives in `mail`.
fn in_mail(directives: &str) -> String {
    format!("events {{}} mail {{ auth_http 127.0.0.1:9000; {directives} }}")
}

/// The same, in a `server` that listens on port 143.
fn in_server(directives: &str) -> String {
    in_mail(&format!("server {{ listen 143; {directives} }}"))
}

/// The only server of a file made with [`in_server`].
#[track_caller]
fn server(directives: &str) -> Arc<MailServer> {
    let config = good(&in_server(directives));
    Arc::clone(&config.binds[0].listens[0].server)
}

/// Its settings for the engine.
#[track_caller]
fn engine(directives: &str) -> Arc<Server> {
    Arc::clone(&server(directives).engine)
}

/// The error of a directive in a server, without its place.
#[track_caller]
fn server_error(directives: &str) -> String {
    let error = error(&in_server(directives));
    error.strip_suffix(" in /nginx.conf:1").map(str::to_owned).unwrap_or(error)
}

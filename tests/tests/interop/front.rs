//! The proxy in front of real servers, in clear, with STARTTLS and with TLS, for all three protocols.

use std::net::SocketAddr;
use std::path::PathBuf;

use gatepost_tests::real::{Dovecot, Postfix, are_available};
use gatepost_tests::{AuthAnswer, AuthServer, Certificate, Loopback, Program, Proxy};

/// Everything that runs for one test. Users are `alice` and `bob`.
pub(crate) struct Front {
    pub(crate) proxy: Proxy,
    pub(crate) dovecot: Dovecot,
    pub(crate) postfix: Postfix,
    certificate: Certificate,
    host: Loopback,
}

impl Front {
    /// Starts all of it; `None` where the programs are missing (already said).
    #[track_caller]
    pub(crate) fn start(program: Program) -> Option<Self> {
        if !are_available(&["dovecot", "postfix", "curl", "openssl", "python3"]) {
            return None;
        }
        let dovecot = Dovecot::start();
        let postfix = Postfix::start(&dovecot.mail());
        let host = Loopback::new();
        let (imap, pop3, smtp, password) =
            (dovecot.imap(), dovecot.pop3(), postfix.smtp(), dovecot.password());
        let expected = password.replace(' ', "%20");
        let auth = AuthServer::start(host.port(8080), move |request| {
            if request.header("Auth-Pass") != Some(&*expected) {
                return AuthAnswer::refuse("Invalid login or password").with("Auth-Wait: 1");
            }
            match request.header("Auth-Protocol") {
                Some("imap") => AuthAnswer::accept(imap),
                Some("pop3") => AuthAnswer::accept(pop3),
                Some(_) | None => AuthAnswer::accept(smtp),
            }
        });
        let folder = Proxy::folder();
        let certificate = Certificate::write(folder.path());
        let mail = format!(
            "server_name mx.example.test; auth_http {}/auth; starttls on;
             ssl_certificate certificate.pem; ssl_certificate_key key.pem;
             server {{ listen {}; listen {} ssl; protocol imap; }}
             server {{ listen {}; listen {} ssl; protocol pop3; }}
             server {{ listen {}; listen {} ssl; protocol smtp; smtp_capabilities \"SIZE 67108864\" 8BITMIME; }}",
            auth.address(),
            host.port(1143),
            host.port(1993),
            host.port(1110),
            host.port(1995),
            host.port(1587),
            host.port(1465),
        );
        let listens = [1143, 1993, 1110, 1995, 1587, 1465].map(|port| host.port(port));
        let proxy = Proxy::start(program, folder, &mail, &listens);
        Some(Self { proxy, dovecot, postfix, certificate, host })
    }

    /// The proxy's address on this port.
    pub(crate) fn port(&self, port: u16) -> SocketAddr {
        self.host.port(port)
    }

    /// The PEM file clients should trust; the name in it is `localhost`.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.certificate.certificate.clone()
    }

    pub(crate) fn password(&self) -> &'static str {
        self.dovecot.password()
    }
}

//! The proxy in front of real servers, in clear, with STARTTLS and with TLS, for all three protocols.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use gatepost_tests::real::{Dovecot, Postfix, are_available};
use gatepost_tests::{AuthAnswer, AuthServer, Certificate, Loopback, PATIENCE, Program, Proxy};

/// Everything that runs for one test. Users are `alice` and `bob`.
pub(crate) struct Front {
    pub(crate) proxy: Proxy,
    pub(crate) dovecot: Dovecot,
    pub(crate) postfix: Postfix,
    auth: Option<AuthServer>,
    backends: Backends,
    certificate: Certificate,
    host: Loopback,
}

/// Which ports of the servers the proxy logs in at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backends {
    /// Dovecot for IMAP and POP3, Postfix for SMTP.
    Plain,
    /// The same; clients come through a balancer, which sends a PROXY protocol header.
    Balanced,
    /// As `Balanced`, and the backends, too, want a header first.
    Proxied,
    /// Dovecot for everything: its submission server wants a login.
    Submission,
}

impl Front {
    /// Starts all of it; `None` where the programs are missing (already said).
    #[track_caller]
    pub(crate) fn start(program: Program) -> Option<Self> {
        Self::before(program, Backends::Plain)
    }

    /// The same, in front of these ports.
    #[track_caller]
    pub(crate) fn before(program: Program, backends: Backends) -> Option<Self> {
        if !are_available(&[
            "dovecot",
            "/usr/lib/dovecot/submission",
            "postfix",
            "curl",
            "openssl",
            "python3",
        ]) {
            return None;
        }
        let relay = Loopback::new();
        let dovecot = Dovecot::start(relay.port(1025));
        let postfix = Postfix::start(relay, &dovecot.mail());
        let host = Loopback::new();
        let folder = Proxy::folder();
        let certificate = Certificate::write(folder.path());
        let mail = configuration(host, backends);
        let listens = [1143, 1993, 1110, 1995, 1587, 1465].map(|port| host.port(port));
        let proxy = Proxy::start(program, folder, &mail, &listens);
        let mut front = Self { proxy, dovecot, postfix, auth: None, backends, certificate, host };
        front.start_auth();
        Some(front)
    }

    /// Lets the auth service listen.
    pub(crate) fn start_auth(&mut self) {
        let (imap, pop3, smtp) = match self.backends {
            Backends::Plain | Backends::Balanced => {
                (self.dovecot.imap(), self.dovecot.pop3(), self.postfix.smtp())
            }
            Backends::Proxied => {
                (self.dovecot.imap_proxied(), self.dovecot.pop3_proxied(), self.postfix.smtp_proxied())
            }
            Backends::Submission => (self.dovecot.imap(), self.dovecot.pop3(), self.dovecot.submission()),
        };
        let expected = self.password().replace(' ', "%20");
        self.auth = Some(AuthServer::start(self.host.port(8080), move |request| {
            if request.header("Auth-Pass") != Some(&*expected) {
                return AuthAnswer::refuse("Invalid login or password").with("Auth-Wait: 1");
            }
            match request.header("Auth-Protocol") {
                Some("imap") => AuthAnswer::accept(imap),
                Some("pop3") => AuthAnswer::accept(pop3),
                Some(_) | None => AuthAnswer::accept(smtp),
            }
        }));
    }

    /// Takes the auth service away.
    pub(crate) fn stop_auth(&mut self) {
        self.auth.take().expect("it was started").stop();
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

    /// A folder for a client's files.
    pub(crate) fn folder(&self) -> &Path {
        self.proxy.path()
    }

    /// Waits until a user has this many messages, and reads them from the Maildir.
    #[track_caller]
    pub(crate) fn await_mail(&self, user: &str, count: usize) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let mail = messages(&self.dovecot.mail().join(user));
            if mail.len() >= count {
                return mail;
            }
            assert!(
                Instant::now() < end,
                "{} messages instead of {count}:\n{}\n{}",
                mail.len(),
                self.proxy.log(),
                self.postfix.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The messages of a Maildir, in no order.
pub(crate) fn messages(maildir: &Path) -> Vec<String> {
    let folders = ["new", "cur"].map(|name| maildir.join(name));
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    // A file that is moved from `new` to `cur` meanwhile is met there, or the next time.
    files
        .filter_map(|file| fs::read(file.ok()?.path()).ok())
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .collect()
}

fn configuration(host: Loopback, backends: Backends) -> String {
    let (more, listens) = match backends {
        Backends::Plain => ("", ""),
        Backends::Balanced => ("set_real_ip_from 127.0.0.0/8;", " proxy_protocol"),
        Backends::Proxied => ("proxy_protocol on; set_real_ip_from 127.0.0.0/8;", " proxy_protocol"),
        Backends::Submission => ("proxy_smtp_auth on;", ""),
    };
    let listen = |port| format!("listen {}{listens};", host.port(port));
    let tls = |port| format!("listen {}{listens} ssl;", host.port(port));
    format!(
        "server_name mx.example.test; auth_http {}/auth; starttls on; {more}
         ssl_certificate certificate.pem; ssl_certificate_key key.pem;
         server {{ {} {} protocol imap; }}
         server {{ {} {} protocol pop3; }}
         server {{ {} {} protocol smtp; smtp_capabilities \"SIZE 67108864\" 8BITMIME; }}",
        host.port(8080),
        listen(1143),
        tls(1993),
        listen(1110),
        tls(1995),
        listen(1587),
        tls(1465),
    )
}

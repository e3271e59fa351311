//! TLS from the proxy to Dovecot: implicit, and by STARTTLS and STLS.

use std::net::SocketAddr;

use gatepost_protocol::config::Protocol;
use gatepost_tests::real::{Dovecot, are_available};
use gatepost_tests::{AuthAnswer, AuthServer, Authority, Client, Loopback, Program, Proxy, on_both};

/// A proxy that logs in at Dovecot under TLS, one server for each backend port.
struct Secured {
    proxy: Proxy,
    dovecot: Dovecot,
    _auth: AuthServer,
    host: Loopback,
}

/// Servers by port, their protocols and directives.
const SERVERS: [(u16, Protocol, &str); 5] = [
    (1143, Protocol::Imap, "proxy_ssl starttls;"),
    (1993, Protocol::Imap, "proxy_ssl on;"),
    (1110, Protocol::Pop3, "proxy_ssl starttls;"),
    (1995, Protocol::Pop3, "proxy_ssl on;"),
    (1587, Protocol::Smtp, "proxy_ssl starttls; proxy_smtp_auth on; xclient off;"),
];

impl Secured {
    /// `None` where the programs are missing (already said).
    fn start(program: Program) -> Option<Self> {
        if !are_available(&["dovecot", "/usr/lib/dovecot/submission"]) {
            return None;
        }
        let folder = Proxy::folder();
        let authority = Authority::new("Trusted");
        authority.write(&folder.path().join("ca.pem"));
        let host = Loopback::new();
        let dovecot = Dovecot::start_secured(host.port(1025), &authority);
        let ports: Vec<SocketAddr> =
            vec![dovecot.imap(), dovecot.imaps(), dovecot.pop3(), dovecot.pop3s(), dovecot.submission()];
        let auth = AuthServer::start(host.port(8080), move |request| {
            let index = request.header("X-Backend").and_then(|index| index.parse::<usize>().ok()).unwrap();
            AuthAnswer::accept(ports[index])
        });
        let mut mail = format!("auth_http {}; proxy_ssl_trusted_certificate ca.pem;\n", auth.address());
        let mut listens = Vec::new();
        for (index, (port, protocol, directives)) in SERVERS.iter().enumerate() {
            let listen = host.port(*port);
            mail += &format!(
                "server {{ listen {listen}; protocol {protocol}; auth_http_header X-Backend {index}; {directives} }}\n"
            );
            listens.push(listen);
        }
        let proxy = Proxy::start(program, folder, &mail, &listens);
        Some(Self { proxy, dovecot, _auth: auth, host })
    }

    fn client(&self, port: u16) -> Client {
        let mut client = Client::connect(self.host.port(port));
        client.line();
        client
    }
}

on_both! {
    fn dovecot_under_tls(program: Program) {
        let Some(secured) = Secured::start(program) else { return };
        let password = secured.dovecot.password();
        for port in [1143, 1993] {
            let mut client = secured.client(port);
            client.send(format!("a1 LOGIN alice \"{password}\"\r\n"));
            let answer = client.line();
            assert!(answer.starts_with("a1 OK"), "{answer}\n{}", secured.proxy.log());
            client.send("a2 LOGOUT\r\n");
            client.expect("* BYE Logging out");
        }
        for port in [1110, 1995] {
            let mut client = secured.client(port);
            client.say("USER alice", "+OK");
            client.send(format!("PASS {password}\r\n"));
            let answer = client.line();
            assert!(answer.starts_with("+OK"), "{answer}\n{}", secured.proxy.log());
            client.say("QUIT", "+OK Logging out.");
        }
        let mut client = secured.client(1587);
        client.send("HELO laptop\r\n");
        client.line();
        // NUL alice NUL and the password.
        client.say("AUTH PLAIN AGFsaWNlAHNlc2FtZSB7MX0=", "235 2.0.0 OK");
        gatepost_tests::await_that("five logins under TLS", || {
            let log = secured.dovecot.log();
            log.lines().filter(|line| line.contains("Login: ") && line.contains(", TLS")).count() == 5
        });
    }
}

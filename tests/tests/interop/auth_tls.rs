//! nginx, on OpenSSL, as the auth server at `https://`.

use std::fs;
use std::net::SocketAddr;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::real::{Nginx, are_installed};
use gatepost_tests::{Authority, Client, Loopback, Program, Proxy, await_that, on_both};

/// What nginx tells of each request: version, `r` for a resumed session, the name it was called by, which request of
/// the connection it was, and what it thinks of the client's certificate.
const FORMAT: &str =
    "$ssl_protocol $ssl_session_reused $ssl_server_name $connection_requests $ssl_client_verify";

struct Asking {
    nginx: Nginx,
    proxy: Proxy,
    listen: SocketAddr,
    _backend: Backend,
}

impl Asking {
    /// With these directives of nginx's server, and these of the proxy's.
    fn start(program: Program, theirs: &str, ours: &str) -> Self {
        let host = Loopback::new();
        let (listen, address) = (host.port(1000), host.port(8443));
        let backend = Backend::start(Protocol::Pop3, host.port(2000), Behaviour::default());
        let authority = Authority::new("Trusted");
        let (folder, their_folder) = (Proxy::folder(), Proxy::folder());
        let own = |name: &str| folder.path().join(name);
        let their = |name: &str| their_folder.path().join(name);
        for ca in [own("ca.pem"), their("ca.pem")] {
            authority.write(&ca);
        }
        authority.write_server(&["proxy.example.test"], &own("own.pem"), &own("own.key"));
        authority.write_server(&["auth.example.test"], &their("auth.pem"), &their("auth.key"));
        let http = format!(
            "log_format tls '{FORMAT}'; access_log access.log tls;
             server {{
                 listen {address} ssl; ssl_certificate auth.pem; ssl_certificate_key auth.key; {theirs}
                 location = /auth {{
                     add_header Auth-Status OK; add_header Auth-Server {}; add_header Auth-Port {};
                     return 200 ignored;
                 }}
             }}",
            backend.address().ip(),
            backend.address().port()
        );
        let nginx = Nginx::start_http(their_folder, &http, &[address]);
        let mail = format!(
            "auth_http https://{address}/auth; auth_http_ssl_name auth.example.test;
             auth_http_ssl_trusted_certificate ca.pem; {ours} server {{ listen {listen}; protocol pop3; }}"
        );
        let proxy = Proxy::start(program, folder, &mail, &[listen]);
        Self { nginx, proxy, listen, _backend: backend }
    }

    fn log_in(&self, reply: &str) {
        let mut client = Client::connect(self.listen);
        client.line();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", reply);
    }

    /// What nginx told of the requests, once there are as many.
    fn told(&self, count: usize) -> Vec<String> {
        let path = self.nginx.path().join("access.log");
        let lines = || -> Vec<String> {
            fs::read_to_string(&path).unwrap_or_default().lines().map(str::to_owned).collect()
        };
        await_that("nginx has told of all requests", || lines().len() >= count);
        lines()
    }
}

const VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

on_both! {
    fn nginx_is_asked_and_sessions_resume(program: Program) {
        if !are_installed(&["nginx"]) {
            return;
        }
        for version in VERSIONS {
            let asking = Asking::start(program, &format!("ssl_protocols {version}; ssl_session_cache builtin;"), "");
            for _ in 0..3 {
                asking.log_in("+OK mailbox open");
            }
            let first = format!("{version} . auth.example.test 1 NONE");
            let next = format!("{version} r auth.example.test 1 NONE");
            assert_eq!(asking.told(3), [first, next.clone(), next]);
        }
    }

    fn nginx_keeps_its_connections(program: Program) {
        if !are_installed(&["nginx"]) {
            return;
        }
        for version in VERSIONS {
            let theirs = format!("ssl_protocols {version};");
            let asking = Asking::start(program, &theirs, "auth_http_keepalive on;");
            for _ in 0..3 {
                asking.log_in("+OK mailbox open");
            }
            let told = [1, 2, 3].map(|number| format!("{version} . auth.example.test {number} NONE"));
            assert_eq!(asking.told(3), told);
        }
    }

    fn nginx_asks_for_a_certificate(program: Program) {
        if !are_installed(&["nginx"]) {
            return;
        }
        for version in VERSIONS {
            let theirs = format!("ssl_protocols {version}; ssl_verify_client on; ssl_client_certificate ca.pem;");
            let ours = "auth_http_ssl_certificate own.pem; auth_http_ssl_certificate_key own.key;";
            let asking = Asking::start(program, &theirs, ours);
            asking.log_in("+OK mailbox open");
            assert_eq!(asking.told(1), [format!("{version} . auth.example.test 1 SUCCESS")]);
            // Without one nginx answers all the same.
            let asking = Asking::start(program, &theirs, "");
            asking.log_in("-ERR internal server error");
            asking.proxy.await_log("returned status 400 while in http auth state");
        }
    }

    fn nginx_in_clear_is_named(program: Program) {
        if !are_installed(&["nginx"]) {
            return;
        }
        let host = Loopback::new();
        let (listen, address) = (host.port(1000), host.port(8080));
        let _nginx = Nginx::start_http(Proxy::folder(), &format!("server {{ listen {address}; }}"), &[address]);
        let mail = format!(
            "auth_http https://{address}; auth_http_ssl_verify off; server {{ listen {listen}; protocol pop3; }}"
        );
        let proxy = Proxy::start(program, Proxy::folder(), &mail, &[listen]);
        let mut client = Client::connect(listen);
        client.line();
        client.say("USER alice", "+OK");
        client.say("PASS sesame", "-ERR [SYS/TEMP] Temporary authentication failure");
        let complaint = "SSL error: (wrong version number), it may be one for \"http://\"";
        proxy.await_log(&format!("auth http server {address} {complaint}"));
    }
}

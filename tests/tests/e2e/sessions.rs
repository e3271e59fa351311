//! TLS sessions that resume: by ticket and by id, at other workers, after a reload, on other machines.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gatepost_tests::real::are_available;
use gatepost_tests::{Certificate, Client, Loopback, PATIENCE, Program, Proxy, on_both};
use nix::sys::signal::{Signal, kill};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A proxy with one worker and TLS from the first byte.
struct Server {
    proxy: Proxy,
    certificate: Certificate,
    listen: SocketAddr,
}

impl Server {
    fn start(program: Program, main: &str, directives: &str) -> Self {
        let folder = Proxy::folder();
        let certificate = Certificate::write(folder.path());
        fs::set_permissions(&certificate.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(folder.path().join("ticket.key"), [7; 80]).unwrap();
        let listen = Loopback::new().port(1001);
        let mail = mail(listen, directives);
        let main = format!("worker_processes 1; {main}");
        let proxy = Proxy::start_with(program, folder, &main, &mail, &[listen]);
        Self { proxy, certificate, listen }
    }

    /// A client that keeps its sessions from one connection to the next.
    fn client(
        &self,
        version: &'static SupportedProtocolVersion,
        tls12: Tls12Resumption,
    ) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.certificate.client(&[version]));
        config.resumption = Resumption::in_memory_sessions(16).tls12_resumption(tls12);
        Arc::new(config)
    }

    /// Whether the client resumes a session. It has one to resume the next time.
    fn resumes(&self, config: &Arc<ClientConfig>) -> bool {
        let mut client = Client::connect_tls(self.listen, config);
        client.expect("* OK IMAP4 ready");
        client.say("a1 LOGOUT", "* BYE");
        client.expect("a1 OK completed");
        client.expect_eof();
        client.is_resumed()
    }

    /// Does something that replaces the worker, and waits until it is done.
    fn replace_worker(&self, act: impl FnOnce(&Proxy)) {
        let old = self.proxy.await_workers(1);
        act(&self.proxy);
        let end = Instant::now() + PATIENCE;
        loop {
            let workers = self.proxy.workers();
            if workers.len() == 1 && workers != old {
                return;
            }
            assert!(Instant::now() < end, "the worker is still there:\n{}", self.proxy.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn mail(listen: SocketAddr, directives: &str) -> String {
    format!(
        "auth_http 127.0.0.1:9/; ssl_certificate certificate.pem; ssl_certificate_key key.pem;
         server {{ listen {listen} ssl; protocol imap; {directives} }}"
    )
}

/// The worker has no chance to clean up.
fn kill_worker(proxy: &Proxy) {
    proxy.workers().into_iter().for_each(|worker| kill(worker, Signal::SIGKILL).unwrap());
}

fn reload(proxy: &Proxy) {
    proxy.signal(Signal::SIGHUP);
}

on_both! {
    fn sessions_outlive_workers_and_reloads(program: Program) {
        for (directives, tls12) in [
            ("", Tls12Resumption::SessionIdOrTickets),
            ("ssl_session_ticket_key ticket.key;", Tls12Resumption::SessionIdOrTickets),
            ("ssl_session_cache shared:S:1m;", Tls12Resumption::SessionIdOnly),
            ("ssl_session_cache builtin shared:S:1m; ssl_session_tickets off;", Tls12Resumption::SessionIdOrTickets),
        ] {
            let server = Server::start(program, "", directives);
            for version in VERSIONS {
                let client = server.client(version, tls12);
                assert!(!server.resumes(&client), "{directives}: a session to begin with");
                server.replace_worker(kill_worker);
                assert!(server.resumes(&client), "{directives}: {version:?} at another worker");
                server.replace_worker(reload);
                assert!(server.resumes(&client), "{directives}: {version:?} after a reload");
            }
        }
    }

    fn sessions_are_not_resumed_where_they_should_not(program: Program) {
        for (directives, tls12) in [
            ("ssl_session_tickets off;", Tls12Resumption::SessionIdOrTickets),
            ("ssl_session_tickets off; ssl_session_cache off;", Tls12Resumption::SessionIdOrTickets),
            ("ssl_session_tickets off; ssl_session_cache shared:S:1m; ssl_session_timeout 0;", Tls12Resumption::SessionIdOrTickets),
        ] {
            let server = Server::start(program, "", directives);
            for version in VERSIONS {
                let client = server.client(version, tls12);
                assert!(!server.resumes(&client) && !server.resumes(&client), "{directives} {version:?}");
            }
        }
        // Another certificate is another server.
        let server = Server::start(program, "", "ssl_session_cache shared:S:1m; ssl_session_ticket_key ticket.key;");
        let client = server.client(&TLS12, Tls12Resumption::SessionIdOrTickets);
        assert!(!server.resumes(&client) && server.resumes(&client));
        let new = Certificate::write(server.proxy.path());
        server.replace_worker(reload);
        let mut renewed = ClientConfig::clone(&new.client(&[&TLS12]));
        renewed.resumption = client.resumption.clone();
        assert!(!server.resumes(&Arc::new(renewed)));
    }

    fn one_ticket_key_serves_several_machines(program: Program) {
        for (directives, expected) in [("ssl_session_ticket_key ticket.key;", true), ("", false)] {
            let here = Server::start(program, "", directives);
            let there = Loopback::new().port(1001);
            let folder = Proxy::folder();
            for file in ["certificate.pem", "key.pem", "ticket.key"] {
                fs::copy(here.proxy.path().join(file), folder.path().join(file)).unwrap();
            }
            let proxy = Proxy::start(program, folder, &mail(there, directives), &[there]);
            let there = Server { proxy, certificate: Certificate::clone(&here.certificate), listen: there };
            for version in VERSIONS {
                let client = here.client(version, Tls12Resumption::SessionIdOrTickets);
                assert!(!here.resumes(&client));
                assert_eq!(there.resumes(&client), expected, "{version:?}");
            }
        }
    }

    fn workers_without_privileges_get_a_new_certificate(program: Program) {
        if !are_available(&[]) {
            return;
        }
        let server = Server::start(program, "user nobody nogroup;", "");
        let client = server.client(&TLS13, Tls12Resumption::SessionIdOrTickets);
        assert!(!server.resumes(&client));
        let is_nobody = || {
            let [worker] = server.proxy.await_workers(1)[..] else { panic!("one worker") };
            let status = fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
            let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
            assert!(status.contains(&format!("Uid:\t{nobody}\t{nobody}\t{nobody}\t{nobody}\n")), "{status}");
        };
        is_nobody();
        let new = Certificate::write(server.proxy.path());
        fs::set_permissions(&new.key, fs::Permissions::from_mode(0o600)).unwrap();
        server.replace_worker(reload);
        is_nobody();
        let renewed = Server { certificate: new, ..server };
        let client = renewed.client(&TLS13, Tls12Resumption::SessionIdOrTickets);
        assert!(!renewed.resumes(&client) && renewed.resumes(&client));
        let mode = fs::metadata(&renewed.certificate.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

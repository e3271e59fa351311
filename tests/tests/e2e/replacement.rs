//! gatepost takes nginx's place: the same files, ports and commands.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::daemon::{Daemon, children, exists};
use gatepost_tests::real::{Nginx, are_available, find};
use gatepost_tests::{AuthServer, Certificate, Client, Loopback, await_that, on_both};
use nix::unistd::Pid;
use rustls::ClientConfig;

/// A daemon's files, with peers; nginx is the program at first.
struct Site {
    daemon: Daemon,
    clear: SocketAddr,
    secured: SocketAddr,
    certificate: Certificate,
    _backend: Backend,
}

impl Site {
    fn new() -> Self {
        let host = Loopback::new();
        let backend = Backend::start(Protocol::Imap, host.port(2000), Behaviour::default());
        let auth = AuthServer::accepting(host.port(8080), backend.address());
        let (clear, secured) = (host.port(1143), host.port(1993));
        let main = format!("load_module {};\nuser nobody nogroup;\nworker_processes 1;", Nginx::MODULE);
        let mail = format!(
            "auth_http {}/auth; ssl_certificate certificate.pem; ssl_certificate_key key.pem;
             server {{ listen {clear}; protocol imap; }}
             server {{ listen {secured} ssl; protocol imap; }}",
            auth.address()
        );
        let daemon = Daemon::prepare(&find("nginx").expect("it is available"), &main, &mail);
        let certificate = new_certificate(&daemon);
        Self { daemon, clear, secured, certificate, _backend: backend }
    }

    /// Runs the program with these arguments; its standard output is empty.
    #[track_caller]
    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.daemon.command().args(arguments).output().unwrap();
        assert!(output.stdout.is_empty(), "{output:?}");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn log_in(&self) -> Client {
        logged_in(Client::connect(self.clear))
    }

    fn log_in_secured(&self) {
        logged_in(Client::connect_tls(self.secured, &self.trust()));
    }

    /// Trusts the certificate that was written last, and no other.
    fn trust(&self) -> Arc<ClientConfig> {
        self.certificate.client(rustls::ALL_VERSIONS)
    }
}

/// A certificate whose key only the master can read.
fn new_certificate(daemon: &Daemon) -> Certificate {
    let certificate = Certificate::write(daemon.path());
    fs::set_permissions(&certificate.key, fs::Permissions::from_mode(0o600)).unwrap();
    certificate
}

fn logged_in(mut client: Client) -> Client {
    client.expect("* OK IMAP4 ready");
    client.say("a1 LOGIN alice sesame", "a1 OK logged in");
    client
}

fn user(pid: Pid) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Waits until there is one worker, that it is nobody's and another one than before.
#[track_caller]
fn await_worker(master: Pid, before: Option<Pid>) -> Pid {
    let worker = || match children(master)[..] {
        [worker] if Some(worker) != before && user(worker) == "65534" => Some(worker),
        _ => None,
    };
    await_that("one unprivileged worker", || worker().is_some());
    worker().expect("it stays")
}

on_both! {
    fn gatepost_takes_the_place_of_nginx(program: Program) {
        if !are_available(&Nginx::NEEDS) {
            return;
        }
        let mut site = Site::new();
        let file = site.daemon.configuration();
        let good = |name: &str| {
            let file = file.display();
            format!("{name}: the configuration file {file} syntax is ok\n{name}: configuration file {file} test is successful\n")
        };
        assert_eq!(site.command(&["-t"]), (Some(0), good("nginx")));
        assert_eq!(site.command(&[]), (Some(0), String::new()));
        let nginx = site.daemon.await_master(None);
        site.log_in().say("a2 NOOP", "echo a2 NOOP");
        site.log_in_secured();

        site.daemon.replace(&program.path());
        let notice = format!("[notice] \"load_module\" is ignored: \"{}\" is not loaded in {}:3", Nginx::MODULE, file.display());
        let name = program.name();
        assert_eq!(site.command(&["-t"]), (Some(0), format!("{name}: {notice}\n{}", good(name))));
        assert_eq!(site.command(&["-t", "-q"]), (Some(0), String::new()));
        assert_eq!(site.daemon.master("pid"), Some(nginx), "nginx has not noticed");
        // Its signals are the same, so whichever program is at hand can send them.
        assert_eq!(site.command(&["-s", "stop"]), (Some(0), String::new()));
        await_that("the end of nginx", || !exists(nginx) && site.daemon.master("pid").is_none());

        assert_eq!(site.command(&[]), (Some(0), String::new()));
        let master = site.daemon.await_master(Some(nginx));
        let first = await_worker(master, None);
        let mut live = site.log_in();
        site.log_in_secured();

        site.certificate = new_certificate(&site.daemon);
        assert_eq!(site.command(&["-s", "reload"]), (Some(0), String::new()));
        site.daemon.await_log("gracefully shutting down", 1);
        site.log_in_secured();
        live.say("a2 NOOP", "echo a2 NOOP");
        assert!(exists(first), "its session lives");
        let mut newer = site.log_in();

        fs::rename(site.daemon.path().join("error.log"), site.daemon.path().join("error.log.1")).unwrap();
        assert_eq!(site.command(&["-s", "reopen"]), (Some(0), String::new()));
        await_that("the new log is written to", || {
            drop(site.log_in());
            site.daemon.log().contains("client logged in")
        });

        live.say("a3 NOOP", "echo a3 NOOP");
        live.finish();
        live.expect_eof();
        await_worker(master, Some(first));
        assert_eq!(site.command(&["-s", "quit"]), (Some(0), String::new()));
        await_that("nobody is let in", || TcpStream::connect(site.clear).is_err());
        newer.say("a2 NOOP", "echo a2 NOOP");
        assert!(exists(master), "it waits for the session");
        newer.finish();
        newer.expect_eof();
        await_that("the end", || !exists(master));
        assert_eq!(site.daemon.master("pid"), None, "the pid file is removed");
        let (code, text) = site.command(&["-s", "quit"]);
        let missing = format!("{name}: [error] open() \"{}/pid\" failed (2: No such file or directory)\n", site.daemon.path().display());
        assert!(code == Some(1) && text.starts_with(&missing), "{text}");
    }
}

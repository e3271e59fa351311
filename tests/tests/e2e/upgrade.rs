//! USR2 and WINCH: another program takes over on the same sockets, and gives them back.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gatepost_protocol::config::Protocol;
use gatepost_tests::backend::{Backend, Behaviour};
use gatepost_tests::daemon::{Daemon, children, exists};
use gatepost_tests::real::{Nginx, are_available, find};
use gatepost_tests::{AuthAnswer, AuthServer, Client, Loopback, Program, await_that, on_both};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A daemon with its peers; clients never stop to connect.
struct Upgrade {
    daemon: Daemon,
    listen: SocketAddr,
    visitor: Visitor,
    _peers: (AuthServer, Backend),
}

impl Upgrade {
    fn start(program: &Path, main: &str) -> Self {
        Self::start_with(program, main, "")
    }

    /// `listen_too` is one more directive of the server.
    fn start_with(program: &Path, main: &str, listen_too: &str) -> Self {
        let host = Loopback::new();
        let backend = Backend::start(Protocol::Imap, host.port(2000), Behaviour::default());
        let address = backend.address();
        let auth = AuthServer::start(host.port(8080), move |_| AuthAnswer::accept(address));
        let listen = host.port(1143);
        let mail = format!(
            "auth_http {}/auth;\nserver {{ listen {listen}; {listen_too} protocol imap; proxy on; }}",
            auth.address()
        );
        let daemon = Daemon::start(program, main, &mail);
        Self { daemon, listen, visitor: Visitor::start(listen), _peers: (auth, backend) }
    }

    fn log_in(&self) -> Client {
        let mut client = Client::connect(self.listen);
        client.line();
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
        client
    }

    /// Sends USR2, and waits for the master that it brings.
    fn change_binary(&self, old: Pid) -> Pid {
        kill(old, Signal::SIGUSR2).unwrap();
        let new = self.daemon.await_master(Some(old));
        assert_eq!(self.daemon.master("pid.oldbin"), Some(old));
        await_that("workers of the new master", || !children(new).is_empty());
        new
    }
}

/// Connects again and again; nobody is ever refused.
struct Visitor {
    is_leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Visitor {
    fn start(listen: SocketAddr) -> Self {
        let is_leaving = Arc::<AtomicBool>::default();
        let has_enough = Arc::clone(&is_leaving);
        let thread = thread::spawn(move || {
            while !has_enough.load(Ordering::Relaxed) {
                drop(TcpStream::connect(listen).expect("somebody listens at any time"));
                thread::sleep(Duration::from_millis(2));
            }
        });
        Self { is_leaving, thread: Some(thread) }
    }

    /// Fails the test if a connection was refused.
    fn leave(mut self) {
        self.is_leaving.store(true, Ordering::Relaxed);
        self.thread.take().expect("it leaves once").join().expect("no connection was refused");
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }
}

/// Ends a session that is alive.
#[track_caller]
fn leave(mut client: Client) {
    client.say("z1 NOOP", "echo z1 NOOP");
    client.finish();
    client.expect_eof();
}

/// The workers of a master that has also started another master.
fn workers(master: Pid, successor: Pid) -> Vec<Pid> {
    children(master).into_iter().filter(|child| *child != successor).collect()
}

/// The program that takes over from `program`: the other one.
fn other(program: Program) -> Program {
    match program {
        Program::Tokio => Program::Smol,
        Program::Smol => Program::Tokio,
    }
}

on_both! {
    fn without_a_daemon_winch_means_nothing(program: Program) {
        let setup = crate::setup::Plan::new(Protocol::Imap).start(program);
        let workers = setup.proxy.await_workers(1);
        setup.proxy.signal(Signal::SIGWINCH);
        let log = setup.proxy.await_log("signal 28 (SIGWINCH) received from ");
        assert!(!log.contains("stop accepting"));
        kill(workers[0], Signal::SIGWINCH).unwrap();
        drop(setup.client());
        assert_eq!(setup.proxy.workers(), workers);
    }

    fn session_ids_are_not_used_again(program: Program) {
        let setup = Upgrade::start(&program.path(), "worker_processes 1; error_log_format json;");
        let old = setup.daemon.await_master(None);
        leave(setup.log_in());
        kill(old, Signal::SIGHUP).unwrap();
        setup.daemon.await_log("gracefully shutting down", 1);
        leave(setup.log_in());
        setup.change_binary(old);
        setup.daemon.await_log("start worker processes", 3);
        kill(old, Signal::SIGQUIT).unwrap();
        await_that("the old master ends", || !exists(old));
        leave(setup.log_in());
        setup.daemon.await_log("client logged in", 3);
        let log = setup.daemon.log();
        let logins = log.lines().filter(|line| line.contains("client logged in"));
        let ids: Vec<_> = logins.filter_map(|line| line.split_once("\"session\":\"")?.1.split('"').next()).collect();
        let runs: Vec<_> = ids.iter().filter_map(|id| Some(id.split_once('-')?.0)).collect();
        let [first, reloaded, upgraded] = runs[..] else { panic!("{ids:?}\n{log}") };
        // A reload goes on counting; a new master counts anew, under another name.
        assert!(first == reloaded && ids[0] != ids[1] && first != upgraded, "{ids:?}");
    }

    fn a_new_program_takes_over_and_sessions_live_on(program: Program) {
        let setup = Upgrade::start(&program.path(), "worker_processes 2;");
        let daemon = &setup.daemon;
        let old = daemon.await_master(None);
        let mut client = setup.log_in();
        daemon.replace(&other(program).path());
        let new = setup.change_binary(old);
        daemon.await_log(&format!("start new binary process {new}"), 1);
        daemon.await_log("using inherited sockets from \"", 1);
        daemon.await_log(&format!(" {}/", other(program).name()), 1);
        // Neither takes a third one in.
        for (master, count) in [(old, 1), (new, 2)] {
            kill(master, Signal::SIGUSR2).unwrap();
            daemon.await_log("signal 12 (SIGUSR2) received from ", count + 1);
            daemon.await_log("the changing binary signal is ignored: you should shutdown or terminate before either old or new binary's process", count);
        }
        kill(old, Signal::SIGWINCH).unwrap();
        daemon.await_log(", stop accepting connections", 1);
        await_that("only the worker with the session is left", || workers(old, new).len() == 1);
        let mut late = setup.log_in();
        client.say("a2 NOOP", "echo a2 NOOP");
        kill(old, Signal::SIGQUIT).unwrap();
        daemon.await_log("(SIGQUIT) received from ", 1);
        client.say("a3 NOOP", "echo a3 NOOP");
        client.finish();
        client.expect_eof();
        await_that("the end of the old master", || !exists(old));
        assert_eq!((daemon.master("pid"), daemon.master("pid.oldbin")), (Some(new), None));
        late.say("b1 NOOP", "echo b1 NOOP");
        // Nobody is in its way any more.
        let newest = setup.change_binary(new);
        kill(new, Signal::SIGQUIT).unwrap();
        late.finish();
        late.expect_eof();
        await_that("the end of the second master", || !exists(new));
        assert_eq!(daemon.master("pid"), Some(newest));
        setup.log_in();
        setup.visitor.leave();
    }

    fn the_old_program_takes_back(program: Program) {
        let setup = Upgrade::start(&program.path(), "worker_processes 2;");
        let daemon = &setup.daemon;
        let old = daemon.await_master(None);
        let new = setup.change_binary(old);
        kill(old, Signal::SIGWINCH).unwrap();
        await_that("the old master is alone", || workers(old, new).is_empty());
        let client = setup.log_in();
        // What the file says by now is not for the old program.
        let text = fs::read_to_string(daemon.configuration()).unwrap();
        fs::write(daemon.configuration(), "what the old program does not know;").unwrap();
        kill(old, Signal::SIGHUP).unwrap();
        await_that("workers again", || workers(old, new).len() == 2);
        kill(new, Signal::SIGQUIT).unwrap();
        leave(client);
        daemon.await_log(&format!("new binary process {new} exited with code 0"), 1);
        await_that("the pid file is back", || daemon.master("pid") == Some(old));
        assert_eq!(daemon.master("pid.oldbin"), None);
        assert!(!daemon.log().contains("what the old program") && !daemon.log().contains("] reconfiguring"));
        fs::write(daemon.configuration(), text).unwrap();
        setup.log_in();
        setup.visitor.leave();
    }

    fn a_program_that_does_not_start_changes_nothing(program: Program) {
        let setup = Upgrade::start(&program.path(), "worker_processes 1;");
        let daemon = &setup.daemon;
        let old = daemon.await_master(None);
        let mut client = setup.log_in();
        daemon.replace(&find("false").expect("every system has it"));
        kill(old, Signal::SIGUSR2).unwrap();
        daemon.await_log("new binary process ", 2);
        daemon.await_log(" exited with code 1", 1);
        await_that("the pid file is back", || daemon.master("pid") == Some(old));
        daemon.replace(&daemon.path().join("none"));
        kill(old, Signal::SIGUSR2).unwrap();
        daemon.await_log("program\" (2: No such file or directory)", 1);
        await_that("the pid file is back", || daemon.master("pid") == Some(old));
        client.say("a2 NOOP", "echo a2 NOOP");
        setup.log_in();
        setup.visitor.leave();
    }

    fn a_master_without_workers_gets_them_back(program: Program) {
        let setup = Upgrade::start(&program.path(), "worker_processes 1;");
        let daemon = &setup.daemon;
        let master = daemon.await_master(None);
        let mut client = setup.log_in();
        kill(master, Signal::SIGWINCH).unwrap();
        client.finish();
        client.expect_eof();
        await_that("the master is alone", || children(master).is_empty());
        kill(master, Signal::SIGHUP).unwrap();
        // Whoever has connected meanwhile has waited.
        setup.log_in();
        // The program that failed to come is replaced by workers at once.
        kill(master, Signal::SIGWINCH).unwrap();
        await_that("the master is alone", || children(master).is_empty());
        daemon.replace(&find("false").expect("every system has it"));
        kill(master, Signal::SIGUSR2).unwrap();
        setup.log_in();
        setup.visitor.leave();
    }

    fn a_unix_socket_outlives_the_master_that_made_it(program: Program) {
        let folder = gatepost_tests::Proxy::folder();
        let socket = folder.path().join("imap");
        let mail = format!("auth_http 127.0.0.1:1; server {{ listen unix:{}; protocol imap; }}", socket.display());
        let daemon = Daemon::start(&program.path(), "worker_processes 1;", &mail);
        let old = daemon.await_master(None);
        kill(old, Signal::SIGUSR2).unwrap();
        let new = daemon.await_master(Some(old));
        kill(old, Signal::SIGQUIT).unwrap();
        await_that("the end of the old master", || !exists(old));
        drop(UnixStream::connect(&socket).expect("the new one listens"));
        kill(new, Signal::SIGQUIT).unwrap();
        await_that("the end of the new master", || !exists(new));
        assert!(!socket.exists());
    }

    fn a_unix_socket_is_gone_with_the_last_master_whichever_that_is(program: Program) {
        let folder = gatepost_tests::Proxy::folder();
        let socket = folder.path().join("imap");
        let listen = format!("listen unix:{};", socket.display());
        let setup = Upgrade::start_with(&program.path(), "worker_processes 1;", &listen);
        let daemon = &setup.daemon;
        let old = daemon.await_master(None);
        let client = setup.log_in();
        let new = setup.change_binary(old);
        setup.visitor.leave();
        kill(old, Signal::SIGQUIT).unwrap();
        daemon.await_log("(SIGQUIT) received from ", 1);
        drop(UnixStream::connect(&socket).expect("the new one listens"));
        // The old one, which has closed its sockets, is alone with its session.
        kill(new, Signal::SIGQUIT).unwrap();
        daemon.await_log(&format!("new binary process {new} exited with code 0"), 1);
        leave(client);
        await_that("the end of the old master", || !exists(old));
        assert!(!socket.exists());
    }

    fn a_unix_socket_dropped_while_another_master_serves_it_goes_with_that_one(program: Program) {
        let folder = gatepost_tests::Proxy::folder();
        let socket = folder.path().join("imap");
        let listen = format!("listen unix:{};", socket.display());
        let setup = Upgrade::start_with(&program.path(), "worker_processes 1;", &listen);
        let daemon = &setup.daemon;
        let old = daemon.await_master(None);
        let new = setup.change_binary(old);
        let text = fs::read_to_string(daemon.configuration()).unwrap();
        assert!(text.contains(&listen));
        fs::write(daemon.configuration(), text.replace(&listen, "")).unwrap();
        kill(new, Signal::SIGHUP).unwrap();
        daemon.await_log("gracefully shutting down", 1);
        drop(UnixStream::connect(&socket).expect("the old one listens"));
        kill(old, Signal::SIGQUIT).unwrap();
        await_that("the end of the old master", || !exists(old));
        // The new one looks for it as soon as it has something to do.
        kill(new, Signal::SIGUSR1).unwrap();
        await_that("the end of the name", || !socket.exists());
        setup.log_in();
        setup.visitor.leave();
    }

    fn a_new_program_gets_the_variables_that_are_listed(program: Program) {
        let setup = Upgrade::start(&program.path(), "worker_processes 1; env GIVEN=value; env PATH; env MISSING;");
        let daemon = &setup.daemon;
        let (script, file) = (daemon.path().join("script"), daemon.path().join("environment"));
        fs::write(&script, format!("#!/bin/sh\ncat /proc/$$/environ >{}\n", file.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        daemon.replace(&script);
        kill(daemon.await_master(None), Signal::SIGUSR2).unwrap();
        daemon.await_log(" exited with code 0", 1);
        let environment = fs::read(file).unwrap();
        let variables: Vec<_> = environment.split(|byte| *byte == 0).filter(|variable| !variable.is_empty()).collect();
        let names = variables.iter().map(|variable| {
            let (name, value) = std::str::from_utf8(variable).unwrap().split_once('=').unwrap();
            assert!(name != "GIVEN" || value == "value");
            name
        });
        let mut names: Vec<_> = names.filter(|name| *name != "TZ").collect();
        names.sort_unstable();
        assert_eq!(names, ["GIVEN", "NGINX", "PATH"]);
        setup.visitor.leave();
    }

    fn nginx_hands_over_and_takes_back(program: Program) {
        if !are_available(&Nginx::NEEDS) {
            return;
        }
        let nginx = find("nginx").expect("it is available");
        let main = format!("load_module {};\nuser root;\nworker_processes 1;", Nginx::MODULE);
        let setup = Upgrade::start(&nginx, &main);
        let daemon = &setup.daemon;
        let first = daemon.await_master(None);
        let old_client = setup.log_in();
        daemon.replace(&program.path());
        let second = setup.change_binary(first);
        kill(first, Signal::SIGQUIT).unwrap();
        daemon.await_log("(SIGQUIT) received from ", 1);
        leave(old_client);
        await_that("the end of nginx", || !exists(first));
        let client = setup.log_in();
        daemon.replace(&nginx);
        let third = setup.change_binary(second);
        kill(second, Signal::SIGQUIT).unwrap();
        leave(client);
        await_that("the end of the second master", || !exists(second));
        assert_eq!((daemon.master("pid"), daemon.master("pid.oldbin")), (Some(third), None));
        setup.log_in();
        setup.visitor.leave();
    }
}

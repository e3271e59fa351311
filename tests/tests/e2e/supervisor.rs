//! A service manager around the daemon: what it is told, and sockets that it has opened.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};

use gatepost_tests::daemon::{Daemon, children, exists};
use gatepost_tests::real::run;
use gatepost_tests::{Client, Loopback, PATIENCE, Proxy, await_that, on_both};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Runs the program with two sockets of a service manager: descriptors 3 and 4.
fn activate(daemon: &Daemon, sockets: [OwnedFd; 2]) {
    // They come as standard input and output: what else a child inherits, others that are started meanwhile do, too.
    let script = "exec 3<&0 4<&1 0</dev/null 1>/dev/null; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$@\"";
    let program = daemon.command();
    let [first, second] = sockets;
    let status = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .status()
        .unwrap();
    assert!(status.success(), "{}", daemon.log());
}

/// Starts the program for a service manager; what that is told next.
fn start_for_a_manager(daemon: &Daemon) -> impl Fn() -> String + use<> {
    let path = daemon.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    run(daemon.command().env("NOTIFY_SOCKET", &path));
    move || {
        let mut buffer = [0; 1000];
        let count = manager.recv(&mut buffer).expect("the manager is told");
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }
}

on_both! {
    fn the_manager_is_told_what_happens(program: Program) {
        let host = Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol imap; }}", host.port(1), host.port(1143));
        let daemon = Daemon::prepare(&program.path(), "worker_processes 2;", &mail);
        let told = start_for_a_manager(&daemon);
        let old = daemon.await_master(None);
        assert_eq!(told(), format!("READY=1\nMAINPID={old}\nSTATUS=serving, worker processes: 2\n"));
        kill(old, Signal::SIGHUP).unwrap();
        assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert!(told().starts_with(&format!("READY=1\nMAINPID={old}\n")));
        let text = fs::read_to_string(daemon.configuration()).unwrap();
        fs::write(daemon.configuration(), "nonsense;").unwrap();
        kill(old, Signal::SIGHUP).unwrap();
        assert!(told().starts_with("RELOADING=1\n"));
        assert!(told().contains("STATUS=serving as before, reload failed: unknown directive \"nonsense\" in "));
        let occupied = TcpListener::bind(host.port(1144)).unwrap();
        let [free, taken] = [host.port(1143), host.port(1144)].map(|address| format!("listen {address};"));
        fs::write(daemon.configuration(), text.replace(&free, &format!("{free} {taken}"))).unwrap();
        kill(old, Signal::SIGHUP).unwrap();
        assert!(told().starts_with("RELOADING=1\n"));
        let failure = format!("reload failed: bind() to {} failed (98: Address already in use)\n", host.port(1144));
        assert!(told().ends_with(&failure));
        drop(occupied);
        fs::write(daemon.configuration(), text).unwrap();
        kill(old, Signal::SIGUSR2).unwrap();
        let new = daemon.await_master(Some(old));
        await_that("workers of the new master", || !children(new).is_empty());
        // Both answer: the manager knows which of them it has asked.
        for (master, main) in [(old, format!("MAINPID={old}\n")), (new, String::new())] {
            kill(master, Signal::SIGHUP).unwrap();
            assert!(told().starts_with("RELOADING=1\n"));
            assert_eq!(told(), format!("READY=1\n{main}STATUS=serving, worker processes: 2\n"));
        }
        kill(old, Signal::SIGQUIT).unwrap();
        assert!(told().starts_with(&format!("MAINPID={new}\n")));
        await_that("the end of the old master", || !exists(old));
        kill(new, Signal::SIGQUIT).unwrap();
        assert!(told().starts_with("STOPPING=1\n"));
        await_that("the end of the new master", || !exists(new));
    }

    fn a_signal_while_an_address_is_waited_for_reaches_the_daemon(program: Program) {
        let listen = Loopback::new().port(1143);
        let occupied = TcpListener::bind(listen).unwrap();
        let mail = format!("auth_http 127.0.0.1:1; server {{ listen {listen}; protocol imap; }}");
        let daemon = Daemon::prepare(&program.path(), "", &mail);
        let mut start = daemon.command().stderr(Stdio::null()).spawn().unwrap();
        daemon.await_log("bind() to", 1);
        kill(Pid::from_raw(i32::try_from(start.id()).unwrap()), Signal::SIGTERM).unwrap();
        drop(occupied);
        assert!(start.wait().unwrap().success(), "{}", daemon.log());
        daemon.await_log("signal 15 (SIGTERM) received", 1);
        daemon.await_log(": exit\n", 1);
    }

    fn one_process_tells_the_manager_what_happens(program: Program) {
        let host = Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol imap; }}", host.port(1), host.port(1143));
        let daemon = Daemon::prepare(&program.path(), "master_process off;", &mail);
        let told = start_for_a_manager(&daemon);
        let process = daemon.await_master(None);
        let ready = format!("READY=1\nMAINPID={process}\nSTATUS=serving");
        assert_eq!(told(), format!("{ready} in one process\n"));
        kill(process, Signal::SIGHUP).unwrap();
        assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(told(), format!("{ready} in one process\n"));
        let text = fs::read_to_string(daemon.configuration()).unwrap();
        fs::write(daemon.configuration(), "nonsense;").unwrap();
        kill(process, Signal::SIGHUP).unwrap();
        assert!(told().starts_with("RELOADING=1\n"));
        let failed = format!("{ready} as before, reload failed: ");
        assert!(told().starts_with(&format!("{failed}unknown directive \"nonsense\" in ")));
        let _occupied = TcpListener::bind(host.port(1144)).unwrap();
        let [free, taken] = [host.port(1143), host.port(1144)].map(|address| format!("listen {address};"));
        fs::write(daemon.configuration(), text.replace(&free, &format!("{free} {taken}"))).unwrap();
        kill(process, Signal::SIGHUP).unwrap();
        assert!(told().starts_with("RELOADING=1\n"));
        let failure = format!("bind() to {} failed (98: Address already in use)\n", host.port(1144));
        assert_eq!(told(), format!("{failed}{failure}"));
        kill(process, Signal::SIGTERM).unwrap();
        assert!(told().starts_with("STOPPING=1\n"));
        await_that("the end", || !exists(process));
    }

    fn workers_told_to_go_while_they_start_are_no_failure(program: Program) {
        let host = Loopback::new();
        let folder = Proxy::folder();
        let dropped = folder.path().join("dropped");
        let listen = format!("listen unix:{};", dropped.display());
        let mail = format!("auth_http {}; server {{ listen {}; {listen} protocol imap; }}", host.port(1), host.port(1143));
        let daemon = Daemon::prepare(&program.path(), "worker_processes 1;", &mail);
        let told = start_for_a_manager(&daemon);
        let master = daemon.await_master(None);
        assert!(told().starts_with("READY=1\n"));
        assert!(dropped.exists());
        let text = fs::read_to_string(daemon.configuration()).unwrap();
        fs::write(daemon.configuration(), text.replace(&listen, "")).unwrap();
        // The master finds both at once, and no time between them for a worker to start.
        for signal in [Signal::SIGSTOP, Signal::SIGHUP, Signal::SIGWINCH, Signal::SIGCONT] {
            kill(master, signal).unwrap();
        }
        assert!(told().starts_with("RELOADING=1\n"));
        let answer = told();
        assert!(answer.starts_with(&format!("READY=1\nMAINPID={master}\n")) && !answer.contains("failed"), "{answer}");
        await_that("the end of all workers", || children(master).is_empty());
        assert!(!dropped.exists());
        kill(master, Signal::SIGQUIT).unwrap();
        assert!(told().starts_with("STOPPING=1\n"));
        await_that("the end of the master", || !exists(master));
        assert!(!daemon.log().contains("[alert]"), "{}", daemon.log());
    }

    fn sockets_of_the_manager_are_used(program: Program) {
        let host = Loopback::new();
        let (listen, stray) = (host.port(1143), host.port(1144));
        let mail = format!("auth_http {}; server {{ listen {listen}; protocol imap; }}", host.port(1));
        let daemon = Daemon::prepare(&program.path(), "", &mail);
        let [wanted, unwanted] = [listen, stray].map(|address| TcpListener::bind(address).unwrap());
        // Whoever comes early waits.
        let mut early = Client::connect(listen);
        activate(&daemon, [wanted.into(), unwanted.into()]);
        early.expect("* OK IMAP4 ready");
        let log = daemon.log();
        assert!(log.contains("[notice]") && log.contains("using 2 inherited sockets from LISTEN_FDS"), "{log}");
        let warning = format!("the inherited socket {stray} belongs to no \"listen\" and is closed");
        assert!(log.contains(&format!(": {warning}\n")), "{log}");
        assert!(TcpStream::connect(stray).is_err());
    }

    fn names_of_the_managers_sockets_are_its_own(program: Program) {
        let folder = Proxy::folder();
        let [lent, own] = ["lent", "own"].map(|name| folder.path().join(name));
        let mail = format!(
            "auth_http 127.0.0.1:1; server {{ listen unix:{}; protocol imap; }} server {{ listen unix:{}; protocol imap; }}",
            lent.display(), own.display()
        );
        let daemon = Daemon::prepare(&program.path(), "", &mail);
        let socket = UnixListener::bind(&lent).unwrap();
        // The other descriptor is none that listens.
        activate(&daemon, [socket.into(), UnixDatagram::unbound().unwrap().into()]);
        let master = daemon.await_master(None);
        assert!(daemon.log().contains("the inherited socket #4 is ignored (not a listening stream socket)"));
        drop(UnixStream::connect(&lent).unwrap());
        // They remain so, whoever has taken over.
        kill(master, Signal::SIGUSR2).unwrap();
        let second = daemon.await_master(Some(master));
        kill(master, Signal::SIGQUIT).unwrap();
        await_that("the end of the first master", || !exists(master));
        kill(second, Signal::SIGUSR2).unwrap();
        let third = daemon.await_master(Some(second));
        kill(second, Signal::SIGQUIT).unwrap();
        await_that("the end of the second master", || !exists(second));
        drop(UnixStream::connect(&lent).unwrap());
        kill(third, Signal::SIGQUIT).unwrap();
        await_that("the end", || !exists(third));
        assert!(lent.exists() && !own.exists());
    }
}

//! Signals, reload, shutdown, and what a bad configuration does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;

use gatepost_protocol::config::Protocol;
use gatepost_tests::daemon::Daemon;
use gatepost_tests::real::run;
use gatepost_tests::{AuthAnswer, Client, PATIENCE, Proxy, await_that, on_both};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::setup::{Plan, Setup};

pub(crate) fn logged_in(setup: &Setup) -> Client {
    let mut client = setup.client();
    client.say("a1 LOGIN alice sesame", "a1 OK logged in");
    client
}

/// The configuration of `setup` with another `server_name`.
fn rename(setup: &Setup, name: &str) {
    let file = setup.proxy.path().join("gatepost.conf");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("mx.example.test"));
    fs::write(&file, text.replace("mx.example.test", name)).unwrap();
}

/// What `ps` shows of a process.
fn title(pid: Pid) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8(line).unwrap().trim_end_matches('\0').to_owned()
}

on_both! {
    fn signals_without_a_meaning_do_no_harm(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let worker = setup.proxy.await_workers(1)[0];
        let mut client = logged_in(&setup);
        for signal in [Signal::SIGALRM, Signal::SIGIO, Signal::SIGSYS, Signal::SIGPIPE] {
            setup.proxy.signal(signal);
            kill(worker, signal).unwrap();
        }
        for signal in [Signal::SIGHUP, Signal::SIGUSR2] {
            kill(worker, signal).unwrap();
        }
        client.say("a2 NOOP", "echo a2 NOOP");
        logged_in(&setup);
        assert_eq!(setup.proxy.workers(), [worker]);
    }

    fn titles_tell_what_a_process_is(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let (master, worker) = (setup.proxy.pid(), setup.proxy.await_workers(1)[0]);
        let (name, path) = (program.name(), program.path());
        let expected = format!("{name}: master process {} -p {}", path.display(), setup.proxy.path().display());
        assert!(title(master).starts_with(&expected), "{}", title(master));
        let mut client = logged_in(&setup);
        assert_eq!(title(worker), format!("{name}: worker process"));
        setup.proxy.signal(Signal::SIGQUIT);
        setup.proxy.await_log("gracefully shutting down");
        await_that("another title", || title(worker) == format!("{name}: worker process is shutting down"));
        client.finish();
        client.expect_eof();
    }

    fn reload_keeps_a_live_session(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = logged_in(&setup);
        let before = setup.proxy.workers();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        client.say("a2 NOOP", "echo a2 NOOP");
        let mut new = logged_in(&setup);
        new.say("b1 NOOP", "echo b1 NOOP");
        assert!(setup.proxy.workers().iter().any(|worker| !before.contains(worker)), "a new worker");
        client.finish();
        client.expect_eof();
        setup.proxy.await_log("exited with code 0");
        assert!(setup.proxy.workers().iter().all(|worker| !before.contains(worker)), "the old worker is gone");
        new.say("b2 NOOP", "echo b2 NOOP");
    }

    fn reload_takes_the_new_configuration(program: Program) {
        let setup = Plan::new(Protocol::Smtp).start(program);
        let mut old = setup.connect();
        old.expect("220 mx.example.test ESMTP ready");
        rename(&setup, "other.example.test");
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        let mut client = setup.connect();
        client.expect("220 other.example.test ESMTP ready");
        old.expect("421 4.3.2 mx.example.test shutting down");
        old.expect_eof();
    }

    fn reload_with_a_bad_configuration_changes_nothing(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = logged_in(&setup);
        let file = setup.proxy.path().join("gatepost.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("protocol imap;", "protokol imap;")).unwrap();
        let before = setup.proxy.workers();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("unknown directive \"protokol\"");
        client.say("a2 NOOP", "echo a2 NOOP");
        logged_in(&setup);
        assert_eq!(setup.proxy.workers(), before);
    }

    fn what_a_reload_finds_wrong_is_in_the_log_that_is_in_use(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let file = setup.proxy.path().join("gatepost.conf");
        let text = fs::read_to_string(&file).unwrap().replace("error_log error.log info;", "error_log other.log info;");
        fs::write(&file, &text).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        fs::write(&file, text.replace("protocol imap;", "protocol imap; ssl off; protokol imap;")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        let other = || fs::read_to_string(setup.proxy.path().join("other.log")).unwrap();
        await_that("the reload fails", || other().contains("unknown directive \"protokol\""));
        assert!(other().contains("[warn]"), "{}", other());
        assert!(!setup.proxy.log().contains("[warn]"), "{}", setup.proxy.log());
    }

    fn quit_waits_for_a_live_session(program: Program) {
        let mut setup = Plan::new(Protocol::Imap).start(program);
        let mut client = logged_in(&setup);
        let mut waiting = setup.client();
        setup.proxy.signal(Signal::SIGQUIT);
        waiting.expect("* BYE server shutting down");
        waiting.expect_eof();
        setup.proxy.await_log("gracefully shutting down");
        assert!(TcpStream::connect(setup.listen()).is_err(), "accepting stops at once");
        client.say("a2 NOOP", "echo a2 NOOP");
        assert!(setup.proxy.is_running());
        client.finish();
        client.expect_eof();
        assert_eq!(setup.proxy.await_exit().code(), Some(0));
        assert!(!setup.proxy.path().join("gatepost.pid").exists(), "the pid file is removed");
    }

    fn patience_with_a_stopping_worker_ends_in_every_phase(program: Program) {
        let mut setup = Plan::new(Protocol::Imap)
            .main("worker_processes 1; worker_shutdown_timeout 1s;")
            .rule(|request, backend| match request.header("Auth-User") {
                Some("alice") => AuthAnswer::accept(backend),
                _ => AuthAnswer::Silence,
            })
            .start(program);
        let mut relayed = logged_in(&setup);
        let mut waiting = setup.client();
        waiting.send("a1 LOGIN bob sesame\r\n");
        await_that("the auth server is asked", || setup.auth.requests().len() == 2);
        setup.proxy.signal(Signal::SIGQUIT);
        waiting.expect("a1 NO [UNAVAILABLE] internal server error");
        waiting.expect("* BYE internal server error");
        waiting.expect_eof();
        relayed.expect_eof();
        let log = setup.proxy.await_log_count("shutdown timeout while ", 2);
        assert!(log.contains("shutdown timeout while proxying, client: "), "{log}");
        assert!(log.contains("shutdown timeout while in http auth state, client: "), "{log}");
        assert_eq!(setup.proxy.await_exit().code(), Some(0));
    }

    fn term_stops_at_once(program: Program) {
        let mut setup = Plan::new(Protocol::Imap).start(program);
        let mut client = logged_in(&setup);
        setup.proxy.signal(Signal::SIGTERM);
        assert_eq!(setup.proxy.await_exit().code(), Some(0));
        // The socket may be reset or closed: only the end counts.
        let _ = client.try_send("a2 NOOP\r\n");
        assert!(!setup.proxy.path().join("gatepost.pid").exists(), "the pid file is removed");
    }

    fn a_crashed_worker_is_replaced(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let worker = setup.proxy.await_workers(1)[0];
        kill(worker, Signal::SIGKILL).unwrap();
        setup.proxy.await_log(&format!("worker process {worker} exited on signal 9"));
        logged_in(&setup);
        assert!(!setup.proxy.workers().contains(&worker));
    }

    fn logs_are_reopened(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        setup.proxy.await_log("connected to");
        fs::rename(setup.proxy.path().join("error.log"), setup.proxy.path().join("error.log.1")).unwrap();
        setup.proxy.signal(Signal::SIGUSR1);
        // The worker gets its word a moment after the master: connect until the new file shows it.
        await_that("the new log is written to", || {
            drop(setup.client());
            setup.proxy.log().contains("connected to")
        });
    }

    fn logs_of_a_worker_that_drains_are_reopened(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let mut client = logged_in(&setup);
        let [conf, log, old] = ["gatepost.conf", "error.log", "error.log.1"].map(|name| setup.proxy.path().join(name));
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text.replace("error.log", "other.log")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        fs::rename(&log, &old).unwrap();
        setup.proxy.signal(Signal::SIGUSR1);
        // Workers of root cannot enter the folder.
        await_that("word from the master", || fs::read_to_string(&old).unwrap().contains("reopening logs"));
        client.finish();
        client.expect_eof();
        let end = "proxied session done";
        await_that("the end of the session", || {
            setup.proxy.log().contains(end) || fs::read_to_string(&old).unwrap().contains(end)
        });
        assert!(setup.proxy.log().contains(end), "{}", fs::read_to_string(old).unwrap());
    }

    fn a_reload_makes_no_daemon(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        setup.proxy.await_workers(1);
        let file = setup.proxy.path().join("gatepost.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("daemon off;", "daemon on;")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("exited with code 0");
        setup.proxy.signal(Signal::SIGUSR1);
        // The worker's line comes last.
        setup.proxy.await_log_count("reopening logs\n", 3);
        for pid in [setup.proxy.pid(), setup.proxy.await_workers(1)[0]] {
            let target = fs::read_link(format!("/proc/{pid}/fd/2")).unwrap();
            assert_eq!(target, setup.proxy.path().join("stderr"));
        }
    }

    fn several_workers_share_the_listener(program: Program) {
        let host = gatepost_tests::Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
        let proxy = Proxy::start_with(program, Proxy::folder(), "worker_processes 3;", &mail, &[host.port(1000)]);
        proxy.await_workers(3);
        for _ in 0..20 {
            Client::connect(host.port(1000)).expect("+OK POP3 ready");
        }
    }

    fn one_process_without_master(program: Program) {
        let host = gatepost_tests::Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol pop3; }}", host.port(1), host.port(1000));
        let mut proxy = Proxy::start_with(program, Proxy::folder(), "master_process off;", &mail, &[host.port(1000)]);
        assert_eq!(proxy.workers().len(), 0);
        Client::connect(host.port(1000)).expect("+OK POP3 ready");
        proxy.signal(Signal::SIGTERM);
        assert_eq!(proxy.await_exit().code(), Some(0));
    }

    fn one_process_takes_limits_and_pid_file_from_a_reload(program: Program) {
        let setup = Plan::new(Protocol::Imap).main("master_process off; events { worker_connections 100; }").start(program);
        let mut client = logged_in(&setup);
        let file = setup.proxy.path().join("gatepost.conf");
        let text = fs::read_to_string(&file).unwrap();
        // Two are reserved, and the session has two.
        let changed = text.replace("worker_connections 100;", "worker_connections 4;").replace("pid gatepost.pid;", "pid other.pid;");
        fs::write(&file, &changed).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        let pid = || fs::read_to_string(setup.proxy.path().join("other.pid")).unwrap_or_default();
        await_that("another pid file", || pid() == format!("{}\n", setup.proxy.pid()));
        assert!(!setup.proxy.path().join("gatepost.pid").exists());
        await_that("the new limit", || {
            drop(setup.connect());
            setup.proxy.log().contains("4 worker_connections are not enough")
        });
        // Sessions do not wait until an address comes free.
        let occupied = TcpListener::bind((setup.listen().ip(), 1001)).unwrap();
        let taken = occupied.local_addr().unwrap();
        fs::write(&file, text.replace("protocol imap;", &format!("protocol imap; listen {taken};"))).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        let log = setup.proxy.await_log("still could not bind()");
        assert_eq!(log.matches(&format!("bind() to {taken} failed (98: Address already in use)")).count(), 1, "{log}");
        client.say("a2 NOOP", "echo a2 NOOP");
        client.finish();
        client.expect_eof();
    }

    fn one_process_reloads_in_place(program: Program) {
        let mut setup = Plan::new(Protocol::Smtp).main("master_process off;").start(program);
        let file = setup.proxy.path().join("gatepost.conf");
        let mut old = setup.connect();
        old.expect("220 mx.example.test ESMTP ready");
        let good = fs::read_to_string(&file).unwrap();
        fs::write(&file, good.replace("protocol smtp;", "protokol smtp;")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("unknown directive \"protokol\"");
        old.say("HELO one", "250 mx.example.test");
        let extra = SocketAddr::new(setup.listen().ip(), 1001);
        let text = good.replace("mx.example.test", "other.example.test").replace("error_log error.log", "error_log other.log");
        fs::write(&file, text.replace("protocol smtp;", &format!("protocol smtp; listen {extra};"))).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        await_that("the new socket", || TcpStream::connect(extra).is_ok());
        for address in [setup.listen(), extra] {
            Client::connect(address).expect("220 other.example.test ESMTP ready");
        }
        let other = || fs::read_to_string(setup.proxy.path().join("other.log")).unwrap();
        await_that("lines in the new log", || other().contains(&format!("connected to {extra}")));
        // Sessions go on as they began.
        old.say("HELO two", "250 mx.example.test");
        assert_eq!(setup.proxy.workers(), []);
        fs::write(&file, &good).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        await_that("the socket is closed again", || TcpStream::connect(extra).is_err());
        for _ in 0..3 {
            drop(setup.client());
        }
        // Nobody is waited for.
        setup.proxy.signal(Signal::SIGQUIT);
        assert_eq!(setup.proxy.await_exit().code(), Some(0));
        assert!(!setup.proxy.path().join("gatepost.pid").exists());
    }

    fn one_process_reopens_logs_of_sessions_from_before_a_reload(program: Program) {
        let setup = Plan::new(Protocol::Imap).main("master_process off;").start(program);
        let mut client = logged_in(&setup);
        let [conf, log, old] = ["gatepost.conf", "error.log", "error.log.1"].map(|name| setup.proxy.path().join(name));
        let text = fs::read_to_string(&conf).unwrap();
        fs::write(&conf, text.replace("error.log", "other.log")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        await_that("the new configuration is served", || {
            drop(setup.connect());
            fs::read_to_string(setup.proxy.path().join("other.log")).is_ok_and(|text| text.contains("connected to"))
        });
        fs::rename(&log, &old).unwrap();
        setup.proxy.signal(Signal::SIGUSR1);
        // Nothing else would be written to it: the session says nothing meanwhile.
        await_that("a new file", || log.exists());
        client.finish();
        client.expect_eof();
        setup.proxy.await_log("proxied session done");
        assert!(!fs::read_to_string(&old).unwrap().contains("proxied session done"));
    }

    fn one_process_goes_on_where_a_reload_runs_out_of_descriptors(program: Program) {
        let folder = Proxy::folder();
        let path = |name: &str| folder.path().join(name);
        let listen = |name: &str| format!("listen unix:{};", path(name).display());
        let greet = |name: &str| {
            let stream = UnixStream::connect(path(name)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap();
            assert_eq!(line, "* OK IMAP4 ready\r\n");
        };
        let mail = format!("auth_http 127.0.0.1:1; server {{ protocol imap; {} }}", listen("old"));
        let daemon = Daemon::start(&program.path(), "master_process off;", &mail);
        greet("old");
        let process = daemon.await_master(None);
        let limit = |soft: usize| run(Command::new("prlimit").args(["--pid", &process.to_string(), &format!("--nofile={soft}:")]));
        let used = fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
        let new = ["one", "two", "three", "four"];
        let text = fs::read_to_string(daemon.configuration()).unwrap();
        fs::write(daemon.configuration(), text.replace(&listen("old"), &new.map(listen).concat())).unwrap();
        let failures = || daemon.log().matches("(24: Too many open files)").count();
        // One more each time: it gets one step further.
        for free in 0..50 {
            let before = failures();
            limit(used + free);
            kill(process, Signal::SIGHUP).unwrap();
            await_that("the end of the reload", || failures() > before || !path("old").exists());
            limit(500);
            if !path("old").exists() {
                break;
            }
            greet("old");
            assert_eq!(new.map(|name| path(name).exists()), [false; 4]);
        }
        assert!(daemon.log().contains("dup() failed (24: Too many open files)"), "{}", daemon.log());
        new.iter().for_each(|name| greet(name));
    }

    fn a_start_in_vain_leaves_no_socket_behind(program: Program) {
        let folder = Proxy::folder();
        let socket = folder.path().join("socket");
        let mail = format!("auth_http 127.0.0.1:1; server {{ listen unix:{}; protocol imap; }}", socket.display());
        Proxy::configure(&folder, "", &mail);
        let file = folder.path().join("gatepost.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("pid gatepost.pid;", "pid missing/gatepost.pid;")).unwrap();
        let output = Proxy::run(program, &folder);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains("missing/gatepost.pid\" failed (2: No such file or directory)"), "{stderr}");
        assert!(!socket.exists());
    }

    fn a_worker_inherits_nothing_but_listeners(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        logged_in(&setup);
        let sockets = |pid| -> std::collections::BTreeSet<_> {
            let folder = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
            let targets = folder.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            targets.filter(|target| target.to_string_lossy().starts_with("socket:")).collect()
        };
        let (master, worker) = (sockets(setup.proxy.pid()), sockets(setup.proxy.await_workers(1)[0]));
        assert_eq!(master.intersection(&worker).count(), 1, "{master:?} {worker:?}");
    }

    fn a_bad_configuration_starts_nothing(program: Program) {
        for (mail, message) in [
            ("server { listen 127.0.0.1:1; protocol imap; }", "no \"auth_http\" is defined for server in"),
            ("auth_http 127.0.0.1:1; server { protocol imap; }", "no \"listen\" is defined for server in"),
            ("tmeout 5s;", "unknown directive \"tmeout\" in"),
            ("timeout 5x;", "\"timeout\" directive invalid value in"),
            ("proxy_pass http://x;", "\"proxy_pass\" directive is not allowed here in"),
            ("server { listen 127.0.0.1:1; protocol imap; auth_http 127.0.0.1:1;", "unexpected end of file, expecting \"}\" in"),
        ] {
            let folder = Proxy::folder();
            Proxy::configure(&folder, "", mail);
            let output = Proxy::test(program, &folder);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{mail}: {stderr}");
            assert!(stderr.contains(&format!("{}: [emerg] {message} ", program.name())), "{mail}: {stderr}");
            assert!(stderr.contains("gatepost.conf:"), "file and line: {stderr}");
            let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(files, ["gatepost.conf"], "-t touches nothing");
        }
    }

    fn an_error_shows_its_source_line(program: Program) {
        let folder = Proxy::folder();
        Proxy::configure(&folder, "", "  tmeout 5s;");
        let output = Proxy::test(program, &folder);
        let file = folder.path().join("gatepost.conf");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), format!(
            "{0}: [emerg] unknown directive \"tmeout\" in {1}:7\n    7 |   tmeout 5s;\n      |   ^^^^^^ did you mean \"timeout\"?\n{0}: configuration file {1} test failed\n",
            program.name(), file.display()));
        assert_eq!(output.status.code(), Some(1));
    }

    fn a_good_configuration_passes_the_test(program: Program) {
        let folder = Proxy::folder();
        let host = gatepost_tests::Loopback::new();
        let mail = format!("auth_http {}; server {{ listen {}; protocol imap; }}", host.port(1), host.port(1000));
        Proxy::configure(&folder, "", &mail);
        let output = Proxy::test(program, &folder);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let file = folder.path().join("gatepost.conf");
        assert_eq!(stderr, format!(
            "{0}: the configuration file {1} syntax is ok\n{0}: configuration file {1} test is successful\n",
            program.name(), file.display()));
        assert_eq!(output.status.code(), Some(0));
    }
}

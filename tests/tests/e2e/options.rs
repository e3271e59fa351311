//! What each option of the command line says, and its exit code.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost_protocol::config::Protocol;
use gatepost_tests::{Loopback, Program, Proxy, on_both};
use nix::sys::signal::Signal;

use crate::setup::Plan;

/// Exit code, standard output and standard error.
type Outcome = (Option<i32>, String, String);

fn run(program: Program, arguments: &[&str]) -> Outcome {
    let output = Command::new(program.path()).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// Runs it on `x.conf` in a folder of its own that holds this; there is a folder for logs.
fn run_on(program: Program, folder: &Path, text: &str, arguments: &[&str]) -> Outcome {
    fs::create_dir_all(folder.join("logs")).unwrap();
    fs::write(folder.join("x.conf"), text).unwrap();
    run(program, &[&["-p", folder.to_str().unwrap(), "-c", "x.conf"], arguments].concat())
}

on_both! {
    fn version_and_help(program: Program) {
        let name = program.name();
        let version = format!("{name} version: {name}/{}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(run(program, &["-v"]), (Some(0), String::new(), version.clone()));
        for option in ["-h", "-?"] {
            let (code, stdout, stderr) = run(program, &[option]);
            assert_eq!((code, stdout), (Some(0), String::new()));
            assert!(stderr.starts_with(&format!("{version}Usage: {name} ")), "{stderr}");
        }
        let (code, stdout, stderr) = run(program, &["-V"]);
        assert_eq!((code, stdout), (Some(0), String::new()));
        assert!(stderr.starts_with(&format!("{version}built by rustc 1.")), "{stderr}");
        assert!(stderr.contains("\nTLS SNI support enabled\nconfigure arguments: --prefix="), "{stderr}");
    }

    fn the_log_of_a_start_says_what_runs_on_what(program: Program) {
        let setup = Plan::new(Protocol::Imap).start(program);
        let log = setup.proxy.await_log("start worker processes");
        let notices: Vec<_> = log.lines().filter_map(|line| line.split_once("[notice] ")?.1.split_once(": ")).collect();
        let version = format!("{}/{}", program.name(), env!("CARGO_PKG_VERSION"));
        let expected =
            ["using the \"epoll\" event method", &version, "built by rustc 1.", "OS: Linux ", "getrlimit(RLIMIT_NOFILE): "];
        for (expected, (_, notice)) in expected.into_iter().zip(&notices) {
            assert!(notice.starts_with(expected), "{expected}: {log}");
        }
        assert!(notices.len() >= expected.len(), "{log}");
    }

    fn mistakes_are_named(program: Program) {
        let name = program.name();
        for (arguments, expected) in [
            (&["-x"][..], "invalid option: \"x\""),
            (&["foo"], "invalid option: \"foo\""),
            (&["-p"], "option \"-p\" requires directory name"),
            (&["-c"], "option \"-c\" requires file name"),
            (&["-e"], "option \"-e\" requires file name"),
            (&["-g"], "option \"-g\" requires parameter"),
            (&["-s"], "option \"-s\" requires parameter"),
            (&["-s", "foo"], "invalid option: \"-s foo\""),
        ] {
            let (code, stdout, stderr) = run(program, arguments);
            assert_eq!((code, stdout), (Some(1), String::new()));
            assert!(stderr.starts_with(&format!("{name}: {expected}\n")), "{stderr}");
        }
    }

    fn the_configuration_is_tested_and_shown(program: Program) {
        let (folder, name) = (Proxy::folder(), program.name());
        let path = folder.path().display();
        let included = folder.path().join("y.conf");
        fs::write(&included, "worker_connections 600;\n").unwrap();
        let text = "events { include y.conf; }\n";
        let good = format!(
            "{name}: the configuration file {path}/x.conf syntax is ok\n{name}: configuration file {path}/x.conf test is successful\n"
        );
        let dump = format!(
            "# configuration file {path}/x.conf:\n{text}\n# configuration file {path}/y.conf:\nworker_connections 600;\n\n"
        );
        let nothing = String::new;
        assert_eq!(run_on(program, folder.path(), text, &["-t"]), (Some(0), nothing(), good.clone()));
        assert_eq!(run_on(program, folder.path(), text, &["-T"]), (Some(0), dump.clone(), good));
        assert_eq!(run_on(program, folder.path(), text, &["-tq"]), (Some(0), nothing(), nothing()));
        assert_eq!(run_on(program, folder.path(), text, &["-q", "-T"]), (Some(0), dump, nothing()));
        for option in ["-t", "-tq", "-T"] {
            let (code, stdout, stderr) = run_on(program, folder.path(), "event {}", &[option]);
            assert_eq!((code, stdout), (Some(1), nothing()));
            assert!(stderr.starts_with(&format!("{name}: [emerg] unknown directive \"event\" in {path}/x.conf:1\n")), "{stderr}");
            assert!(stderr.ends_with(&format!("{name}: configuration file {path}/x.conf test failed\n")), "{stderr}");
        }
        // What is found behind the syntax.
        let (code, _, stderr) = run_on(program, folder.path(), "", &["-t"]);
        assert_eq!(code, Some(1));
        assert_eq!(stderr.lines().next(), Some(&*format!("{name}: the configuration file {path}/x.conf syntax is ok")));
        assert!(stderr.contains(&format!("{name}: [emerg] no \"events\" section in configuration\n")), "{stderr}");
    }

    fn all_files_and_addresses_that_cannot_be_had_are_named(program: Program) {
        let (folder, name) = (Proxy::folder(), program.name());
        let path = folder.path().display();
        let text = "events {} pid no/pid; error_log no/log;
            mail { auth_http 127.0.0.1:9; server { listen 192.0.2.77:30210; protocol imap; } }";
        let (code, _, stderr) = run_on(program, folder.path(), text, &["-t"]);
        let emerg: Vec<_> = stderr.lines().filter_map(|line| line.strip_prefix(&format!("{name}: [emerg] "))).collect();
        let expected = [
            &*format!("open() \"{path}/no/pid\" failed (2: No such file or directory)"),
            &*format!("open() \"{path}/no/log\" failed (2: No such file or directory)"),
            "bind() to 192.0.2.77:30210 failed (99: Cannot assign requested address)",
        ];
        assert_eq!((code, &emerg[..]), (Some(1), &expected[..]), "{stderr}");
        assert!(stderr.ends_with(&format!("{name}: configuration file {path}/x.conf test failed\n")), "{stderr}");
    }

    fn signals_need_a_process(program: Program) {
        let (folder, name) = (Proxy::folder(), program.name());
        let pid = folder.path().join("pid");
        let send = |signal: &str| {
            let log = folder.path().join("error.log");
            let text = format!("pid {}; error_log {}; events {{}}", pid.display(), log.display());
            let (code, stdout, stderr) = run_on(program, folder.path(), &text, &["-s", signal]);
            assert_eq!((code, stdout), (Some(1), String::new()));
            stderr.lines().next().unwrap_or_default().to_owned()
        };
        let path = pid.display();
        assert_eq!(send("stop"), format!("{name}: [error] open() \"{path}\" failed (2: No such file or directory)"));
        fs::write(&pid, "abc\n").unwrap();
        assert_eq!(send("quit"), format!("{name}: [error] invalid PID number \"abc\" in \"{path}\""));
        // No process has a number that high.
        fs::write(&pid, "999999999\n").unwrap();
        for (signal, number) in [("stop", 15), ("quit", 3), ("reopen", 10), ("reload", 1)] {
            let expected = format!("{name}: [alert] kill(999999999, {number}) failed (3: No such process)");
            assert_eq!(send(signal), expected);
        }
    }

    fn directives_and_the_log_of_the_start(program: Program) {
        let (folder, name) = (Proxy::folder(), program.name());
        let test = |arguments: &[&str]| run_on(program, folder.path(), "events {}", arguments);
        assert_eq!(test(&["-tq", "-g", "worker_processes 2;"]), (Some(0), String::new(), String::new()));
        let (code, _, stderr) = test(&["-t", "-g", "worker_processes 2"]);
        assert_eq!(code, Some(1));
        let expected = format!("{name}: [emerg] unexpected end of parameter, expecting \";\" in command line\n");
        assert!(stderr.starts_with(&expected), "{stderr}");

        let start = |arguments: &[&str]| run_on(program, folder.path(), "events {} mail {} mail {}", arguments);
        let message = format!("\"mail\" directive is duplicate in {}/x.conf:1", folder.path().display());
        let (code, _, stderr) = start(&["-e", "start.log"]);
        assert_eq!(code, Some(1));
        assert!(stderr.starts_with(&format!("{name}: [emerg] {message}\n")), "{stderr}");
        let log = fs::read_to_string(folder.path().join("start.log")).unwrap();
        assert!(log.contains(" [emerg] ") && log.contains(&format!("#0: {message}\n")), "{log}");
        let (_, _, stderr) = start(&["-e", "stderr"]);
        assert_eq!(stderr.matches(&message).count(), 1, "{stderr}");
        let (_, _, stderr) = start(&["-e", "no/such/folder/log"]);
        let alert = "[alert] could not open error log file: open() \"";
        assert!(stderr.starts_with(&format!("{name}: {alert}")), "{stderr}");
    }

    fn an_address_in_use_is_tried_five_times(program: Program) {
        let (folder, name) = (Proxy::folder(), program.name());
        let listener = TcpListener::bind(Loopback::new().port(1143)).unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!(
            "daemon off; pid pid; error_log error.log; events {{}}
             mail {{ auth_http 127.0.0.1:9; server {{ listen {address}; protocol imap; }} }}"
        );
        let (code, _, stderr) = run_on(program, folder.path(), &text, &["-e", "error.log"]);
        assert_eq!(code, Some(1));
        let failed = format!("{name}: [emerg] bind() to {address} failed (98: Address already in use)\n");
        assert!(stderr.starts_with(&failed.repeat(5)), "{stderr}");
        assert!(stderr.contains(&format!("{name}: [emerg] still could not bind()\n")), "{stderr}");
        assert!(!folder.path().join("pid").exists());
        // The test of a configuration does not mind: the running daemon may have it.
        assert_eq!(run_on(program, folder.path(), &text, &["-tq"]).0, Some(0));
    }

    fn int_stops_as_term_does(program: Program) {
        let mut setup = Plan::new(Protocol::Imap).start(program);
        // The listener is there before signals are waited for.
        setup.proxy.await_workers(1);
        setup.proxy.signal(Signal::SIGINT);
        assert_eq!(setup.proxy.await_exit().code(), Some(0));
        let log = setup.proxy.log();
        let notice = format!("signal 2 (SIGINT) received from {}, exiting\n", std::process::id());
        assert!(log.contains(&notice), "{log}");
    }
}

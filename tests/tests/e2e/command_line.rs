//! A daemon's life by commands alone, as an operator types them.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use gatepost_tests::daemon::{children, exists};
use gatepost_tests::real::run;
use gatepost_tests::{Certificate, Loopback, Program, Proxy, await_that, on_both};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A configuration that runs in the background, and its port.
fn configured(pid: &str) -> (TempDir, std::net::SocketAddr) {
    let (folder, host) = (Proxy::folder(), Loopback::new());
    let listen = host.port(1143);
    let path = folder.path().display();
    let text = format!(
        "worker_processes 1; pid {pid}; error_log {path}/error.log info; events {{}}
         mail {{ auth_http {}; server {{ listen {listen}; protocol imap; }} }}",
        host.port(1)
    );
    fs::write(folder.path().join("gatepost.conf"), text).unwrap();
    (folder, listen)
}

fn command(program: Program, folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(program.path());
    command.arg("-p").arg(folder.path()).args(["-c", "gatepost.conf"]).args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command that must fail, for what it says.
fn failed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
    stderr
}

/// Stops the daemon that a failing test leaves behind.
struct Stop<'a>(Program, &'a TempDir);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let mut stop = command(self.0, self.1, &["-s", "stop"]);
        let _ = stop.stderr(Stdio::null()).status();
    }
}

fn log(folder: &TempDir) -> String {
    fs::read_to_string(folder.path().join("error.log")).unwrap_or_default()
}

on_both! {
    fn a_daemon_is_started_reloaded_and_ended(program: Program) {
        let (folder, listen) = configured("gatepost.pid");
        let pid_file = folder.path().join("gatepost.pid");
        run(&mut command(program, &folder, &["-t"]));
        assert!(!pid_file.exists(), "-t touches nothing");
        run(&mut command(program, &folder, &[]));
        let _stop = Stop(program, &folder);
        await_that("a pid file", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')));
        let pid = Pid::from_raw(fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap());
        drop(TcpStream::connect(listen).unwrap());
        run(&mut command(program, &folder, &["-s", "reload"]));
        await_that("a reload", || log(&folder).contains("exited with code 0"));
        run(&mut command(program, &folder, &["-s", "quit"]));
        await_that("the end", || !pid_file.exists() && !exists(pid));
        let text = failed(command(program, &folder, &["-s", "quit"]));
        assert!(text.contains("[error] open() \"") && text.contains("is it running?"), "{text}");
    }

    fn standard_error_stays_where_it_is_a_log(program: Program) {
        let (folder, listen) = configured("gatepost.pid");
        let path = folder.path().join("stderr");
        let mut start = command(program, &folder, &["-g", "error_log stderr info;"]);
        assert!(start.stderr(fs::File::create(&path).unwrap()).status().unwrap().success());
        let _stop = Stop(program, &folder);
        await_that("a pid file", || folder.path().join("gatepost.pid").exists());
        drop(TcpStream::connect(listen).unwrap());
        let connected = format!("connected to {listen}\n");
        await_that("a line on both", || {
            fs::read_to_string(&path).unwrap().contains(&connected) && log(&folder).contains(&connected)
        });
        assert_eq!(log(&folder).matches(&connected).count(), 1, "{}", log(&folder));
    }

    fn standard_error_of_a_daemon_follows_its_log(program: Program) {
        for mode in ["master_process on;", "master_process off;"] {
            let (folder, _) = configured("gatepost.pid");
            let [pid_file, log, other, conf] =
                ["gatepost.pid", "error.log", "other.log", "gatepost.conf"].map(|name| folder.path().join(name));
            run(&mut command(program, &folder, &["-g", mode]));
            let _stop = Stop(program, &folder);
            await_that("a pid file", || fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n')));
            let pid = Pid::from_raw(fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap());
            let is_master = mode == "master_process on;";
            let leads_to = |path: &Path| {
                let mut all = children(pid);
                let is_complete = !is_master || all.len() == 1;
                all.push(pid);
                // One that ends meanwhile leads nowhere.
                let leads = |pid| fs::read_link(format!("/proc/{pid}/fd/2")).is_ok_and(|target| target == path);
                is_complete && all.into_iter().all(leads)
            };
            await_that("the log on standard error", || leads_to(&log));
            fs::rename(&log, folder.path().join("error.log.1")).unwrap();
            run(&mut command(program, &folder, &["-s", "reopen"]));
            await_that("the new log on standard error", || leads_to(&log));
            fs::write(&conf, fs::read_to_string(&conf).unwrap().replace("error.log", "other.log")).unwrap();
            run(&mut command(program, &folder, &["-s", "reload"]));
            await_that("the other log on standard error", || leads_to(&other));
        }
    }

    fn a_start_in_vain_is_told_on_the_terminal(program: Program) {
        let (folder, listen) = configured("no/such/folder/gatepost.pid");
        let text = failed(command(program, &folder, &[]));
        assert!(text.contains("/no/such/folder/gatepost.pid\" failed (2: No such file or directory)"), "{text}");
        assert!(text.contains("\"pid\" names another place"), "{text}");
        assert!(TcpStream::connect(listen).is_err(), "nothing runs");
    }

    fn all_mistakes_are_told_and_the_first_is_logged(program: Program) {
        let name = program.name();
        let folder = Proxy::folder();
        let path = folder.path().join("gatepost.conf");
        let text = "events {}\nmail {\n    auth_http ftp://h/;\n    server { listen 143 sssl; }\n    evens { foo; }\n}\n";
        fs::write(&path, text).unwrap();
        let file = path.display();
        let errors = format!(
            "{name}: [emerg] invalid port in auth_http \"ftp://h/\" in {file}:3
    3 |     auth_http ftp://h/;
      |               ^^^^^^^^
{name}: [emerg] invalid parameter \"sssl\" in {file}:4
    4 |     server {{ listen 143 sssl; }}
      |                         ^^^^ did you mean \"ssl\"?
{name}: [emerg] unknown directive \"evens\" in {file}:5
    5 |     evens {{ foo; }}
      |     ^^^^^ did you mean \"events\"?
"
        );
        let tested = format!("{errors}{name}: configuration file {file} test failed\n");
        assert_eq!(failed(command(program, &folder, &["-t"])), tested);
        assert_eq!(failed(command(program, &folder, &["-e", "start.log"])), errors);
        let log = fs::read_to_string(folder.path().join("start.log")).unwrap();
        assert_eq!(log.matches("[emerg]").count(), 1, "{log}");
        assert!(log.contains("invalid port in auth_http"), "{log}");
        fs::write(&path, "foo;\n".repeat(23)).unwrap();
        let text = failed(command(program, &folder, &["-t"]));
        assert!(text.contains(&format!("{name}: ... and 3 more\n")), "{text}");
    }

    fn settings_are_explained_and_read_back(program: Program) {
        let (folder, listen) = configured("gatepost.pid");
        Certificate::write(folder.path());
        let path = folder.path().join("gatepost.conf");
        let tls = format!(
            "ssl_certificate certificate.pem;\nssl_certificate_key key.pem;\nauth_http_header X-Key hidden;\n\
             server {{ listen {}:8993 ssl; protocol imap; timeout 60000; }}\n}}",
            listen.ip()
        );
        let text = fs::read_to_string(&path).unwrap().trim_end().trim_end_matches('}').to_owned() + &tls;
        fs::write(&path, text).unwrap();
        let explain = |option: &str| {
            let output = command(program, &folder, &[option, "-q"]).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.success(), "{stderr}");
            (String::from_utf8(output.stdout).unwrap(), stderr)
        };
        let (page, stderr) = explain("-E");
        assert!(stderr.contains("[warn] \"timeout 60000\" means 60000 seconds"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        let is_from = |start: &str, end: &str| {
            page.lines().any(|line| line.trim_start().starts_with(start) && line.ends_with(end))
        };
        assert!(is_from(&format!("listen {listen};"), "gatepost.conf:2"), "{page}");
        assert!(is_from("timeout 60s;", " # default") && is_from("timeout 60000;", "conf:5"), "{page}");
        assert!(is_from("ssl_protocols TLSv1.2 TLSv1.3;", " # default"), "{page}");
        assert!(is_from("auth_http_header X-Key REDACTED;", "conf:4") && !page.contains("hidden"), "{page}");
        assert_eq!(explain("--explain").0, page);
        // What is printed says the same, from other lines.
        fs::write(&path, &page).unwrap();
        let settings = |page: &str| {
            let effective = page.lines().filter(|line| !line.trim_start().starts_with('#'));
            let each = effective.map(|line| line.split(" # ").next().unwrap().trim_end().to_owned());
            each.collect::<Vec<_>>()
        };
        assert_eq!(settings(&explain("-E").0), settings(&page));
        fs::write(&path, "foo;").unwrap();
        let output = command(program, &folder, &["-E"]).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    }

    fn an_address_in_use_is_tried_five_times(program: Program) {
        let (folder, listen) = configured("gatepost.pid");
        let _other = TcpListener::bind(listen).unwrap();
        let text = failed(command(program, &folder, &[]));
        let in_use = format!("{}: [emerg] bind() to {listen} failed (98: Address already in use)\n", program.name());
        let in_vain = format!("{}: [emerg] still could not bind()\n", program.name());
        assert_eq!(text, in_use.repeat(5) + &in_vain);
        assert!(!folder.path().join("gatepost.pid").exists());
        // -t does not mind: whoever uses it may be the running master.
        run(&mut command(program, &folder, &["-t"]));
    }

    fn a_log_of_the_start_that_cannot_be_opened_is_an_alert(program: Program) {
        let (folder, _) = configured("gatepost.pid");
        let log = folder.path().join("none/log");
        let text = failed(command(program, &folder, &["-s", "quit", "-e", log.to_str().unwrap()]));
        let alert = format!(
            "{}: [alert] could not open error log file: open() \"{}\" failed (2: No such file or directory)\n",
            program.name(), log.display()
        );
        assert!(text.starts_with(&alert), "{text}");
    }

    fn mistakes_on_the_command_line_lead_to_the_help(program: Program) {
        let name = program.name();
        let mut command = Command::new(program.path());
        command.arg("--help");
        assert_eq!(failed(command), format!("{name}: invalid option: \"-\"\n{name}: -h shows all options\n"));
        let mut command = Command::new(program.path());
        let output = command.arg("-h").output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8(output.stderr).unwrap().contains(&format!("Usage: {name} ")));
    }
}

//! A daemon's life by commands alone, as an operator types them.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use gatepost_tests::daemon::exists;
use gatepost_tests::real::run;
use gatepost_tests::{Loopback, Program, Proxy, await_that, on_both};
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

    fn a_start_in_vain_is_told_on_the_terminal(program: Program) {
        let (folder, listen) = configured("no/such/folder/gatepost.pid");
        let text = failed(command(program, &folder, &[]));
        assert!(text.contains("/no/such/folder/gatepost.pid\" failed (2: No such file or directory)"), "{text}");
        assert!(text.contains("\"pid\" names another place"), "{text}");
        assert!(TcpStream::connect(listen).is_err(), "nothing runs");
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

//! What the main level says about worker processes.

use std::fs;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{Loopback, Proxy, on_both};
use nix::unistd::Pid;

/// A proxy whose main level is this, and its listener.
fn start(program: gatepost_tests::Program, main: &str) -> Proxy {
    let host = Loopback::new();
    let listen = host.port(1000);
    let mail =
        format!("auth_http {}; server {{ listen {listen}; protocol {}; }}", host.port(1), Protocol::Pop3);
    Proxy::start_with(program, Proxy::folder(), main, &mail, &[listen])
}

fn status(pid: Pid, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap().trim_start_matches(':').trim().to_owned()
}

on_both! {
    fn processors_priority_and_limits_are_as_configured(program: Program) {
        let proxy = start(
            program,
            "worker_processes 1; worker_cpu_affinity 01; worker_priority 5; worker_rlimit_nofile 5000;
             worker_rlimit_core 1m; working_directory /;",
        );
        proxy.await_log("sched_setaffinity(): using cpu #0");
        let worker = proxy.await_workers(1)[0];
        gatepost_tests::await_that("a worker on processor 0", || status(worker, "Cpus_allowed_list") == "0");
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        // Field 19 of proc(5); the name in brackets is the second.
        assert_eq!(stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16), Some("5"));
        gatepost_tests::await_that("a worker in its folder", || {
            fs::read_link(format!("/proc/{worker}/cwd")).unwrap() == *"/"
        });
        let limits = fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        let limit = |name: &str| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(limit("Max open files"), ["5000", "5000"]);
        assert_eq!(limit("Max core file size"), ["1048576", "1048576"]);
    }

    fn a_worker_that_cannot_work_is_not_replaced(program: Program) {
        let proxy = start(program, "worker_processes 1; working_directory /no/such/folder;");
        proxy.await_log("chdir(\"/no/such/folder\") failed (2: No such file or directory)");
        proxy.await_log("exited with fatal code 2 and cannot be respawned");
        assert_eq!(proxy.workers(), []);
        assert_eq!(proxy.log().matches("start worker process ").count(), 1);
    }
}

//! What the main level says about worker processes.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{AuthAnswer, Client, Loopback, PATIENCE, Proxy, await_that, on_both};
use nix::unistd::{Pid, Uid, User};

use crate::setup::{Plan, Setup};

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

/// An answer of HTTP/1.1 with a body of two bytes, of which one is missing.
fn accepted_with_half_a_body(backend: SocketAddr) -> Vec<u8> {
    let (ip, port) = (backend.ip(), backend.port());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAuth-Status: OK\r\nAuth-Server: {ip}\r\nAuth-Port: {port}\r\n"
    );
    format!("{head}\r\n.").into_bytes()
}

/// A client that was given a slot, its greeting read: others may not have given theirs back yet.
fn admitted(setup: &Setup) -> Client {
    loop {
        let mut client = setup.connect();
        if client.arrival(PATIENCE).expect("a greeting, or the end") > 0 {
            client.line();
            return client;
        }
    }
}

on_both! {
    fn workers_do_not_remain_root(program: Program) {
        assert!(Uid::effective().is_root(), "only root can become somebody else");
        let nobody = User::from_name("nobody").unwrap().expect("a user nobody");
        let proxy = start(program, "worker_processes 2;");
        let four_times = |id: u32| [id; 4].map(|id| id.to_string()).join("\t");
        let expected = [four_times(nobody.uid.as_raw()), four_times(nobody.gid.as_raw()), nobody.gid.to_string()];
        for worker in proxy.await_workers(2) {
            await_that("a worker of nobody", || ["Uid", "Gid", "Groups"].map(|field| status(worker, field)) == expected);
        }
    }

    fn processors_priority_and_limits_are_as_configured(program: Program) {
        let proxy = start(
            program,
            "worker_processes 1; worker_cpu_affinity 01; worker_priority 5; worker_rlimit_nofile 5000;
             worker_rlimit_core 1m; working_directory /;",
        );
        proxy.await_log("sched_setaffinity(): using cpu #0");
        let worker = proxy.await_workers(1)[0];
        await_that("a worker on processor 0", || status(worker, "Cpus_allowed_list") == "0");
        let stat = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
        // Field 19 of proc(5); the name in brackets is the second.
        assert_eq!(stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16), Some("5"));
        await_that("a worker in its folder", || {
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

    fn connections_run_out_and_come_back(program: Program) {
        // One slot for the listener, one for the master.
        let setup = Plan::new(Protocol::Imap).main("worker_processes 1; events { worker_connections 4; }").start(program);
        let (mut first, mut second) = (admitted(&setup), admitted(&setup));
        let mut third = setup.connect();
        third.expect_eof();
        let log = setup.proxy.await_log("4 worker_connections are not enough");
        let alert = log.lines().find(|line| line.contains("not enough")).unwrap();
        assert!(alert.contains(" [alert] ") && alert.ends_with("#0: 4 worker_connections are not enough"), "{alert}");
        first.say("a1 LOGIN alice sesame", "a1 NO [UNAVAILABLE] Temporary authentication failure");
        let log = setup.proxy.await_log("not enough while in http auth state, client: ");
        assert!(log.lines().any(|line| line.contains(" [alert] ") && line.contains(": *") && line.contains("login: \"alice\"")), "{log}");
        second.send("a1 LOGOUT\r\n");
        second.rest();
        // The slot comes back once the socket is closed for good.
        let mut tags = 2..;
        await_that("a login", || {
            let tag = tags.next().unwrap();
            first.send(format!("a{tag} LOGIN alice sesame\r\n"));
            first.line() == format!("a{tag} OK logged in")
        });
        first.say("b NOOP", "echo b NOOP");
    }

    fn connections_run_out_in_front_of_the_backend(program: Program) {
        for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Smtp] {
            // The auth server's connection is to be kept, and holds its slot while the body is awaited.
            let setup = Plan::new(protocol)
                .main("worker_processes 1; events { worker_connections 4; }")
                .directives("auth_http_keepalive on; xclient off;")
                .rule(|_, backend| AuthAnswer::Unfinished(accepted_with_half_a_body(backend)))
                .start(program);
            let mut client = admitted(&setup);
            let (login, expected) = match protocol {
                Protocol::Imap => (
                    "a1 LOGIN alice sesame\r\n",
                    "a1 NO [UNAVAILABLE] internal server error\r\n* BYE internal server error\r\n",
                ),
                Protocol::Pop3 => ("USER alice\r\nPASS sesame\r\n", "+OK\r\n-ERR internal server error\r\n"),
                Protocol::Smtp => (
                    "HELO laptop\r\nAUTH PLAIN AGFsaWNlAHNlc2FtZQ==\r\n",
                    "250 mx.example.test\r\n451 4.3.2 Internal server error\r\n",
                ),
            };
            client.send(login);
            assert_eq!(String::from_utf8(client.rest()).unwrap(), expected);
            let message = "4 worker_connections are not enough while connecting to upstream, client: ";
            let log = setup.proxy.await_log(message);
            let alert = log.lines().find(|line| line.contains(message)).unwrap();
            let end = format!("login: \"alice\", upstream: {}", setup.backend.address());
            assert!(alert.contains(" [alert] ") && alert.ends_with(&end), "{alert}");
            assert!(setup.backend.records().is_empty());
        }
    }

    fn descriptors_run_out_and_come_back(program: Program) {
        // With the usual pause of half a second nobody would wait for a hundred attempts.
        let setup = Plan::new(Protocol::Imap)
            .main("worker_processes 1; worker_rlimit_nofile 40; events { accept_mutex_delay 10ms; worker_connections 64; }")
            .start(program);
        let clients: Vec<_> = (0..50).map(|_| setup.connect()).collect();
        let log = setup.proxy.await_log_count("accept4() failed (24: Too many open files)", 100);
        assert!(log.lines().any(|line| line.contains(" [crit] ") && line.ends_with("#0: accept4() failed (24: Too many open files)")), "{log}");
        drop(clients);
        let mut client = admitted(&setup);
        client.say("a1 LOGIN alice sesame", "a1 OK logged in");
    }

    fn a_worker_that_cannot_work_is_not_replaced(program: Program) {
        assert!(Uid::effective().is_root(), "only root can go where its workers cannot");
        let folder = Proxy::folder();
        let closed = folder.path().join("closed");
        DirBuilder::new().mode(0o700).create(&closed).unwrap();
        let closed = closed.display();
        let proxy = start(program, &format!("worker_processes 1; user nobody nogroup; working_directory {closed};"));
        proxy.await_log(&format!("chdir(\"{closed}\") failed (13: Permission denied)"));
        proxy.await_log("exited with fatal code 2 and cannot be respawned");
        assert_eq!(proxy.workers(), []);
        assert_eq!(proxy.log().matches("start worker process ").count(), 1);
    }
}

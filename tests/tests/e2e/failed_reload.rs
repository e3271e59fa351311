//! Reloads whose workers cannot start: what was in force before goes on.

use std::fs::{self, DirBuilder};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;

use gatepost_protocol::config::Protocol;
use gatepost_tests::{Client, await_that, on_both};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Uid;

use crate::operations::logged_in;
use crate::setup::Plan;

on_both! {
    fn workers_that_cannot_start_replace_nobody(program: Program) {
        let setup = Plan::new(Protocol::Imap).main("worker_processes 1;").start(program);
        let before = setup.proxy.await_workers(1);
        let mut client = logged_in(&setup);
        let file = setup.proxy.path().join("gatepost.conf");
        let text = fs::read_to_string(&file).unwrap();
        // They report nothing, as they run out of descriptors; this listener is not theirs, either.
        let listen = setup.listen().to_string();
        let other = setup.proxy.path().join("other");
        let unserved = text.replace(&listen, &format!("unix:{}", other.display()));
        assert_ne!(unserved, text);
        fs::write(&file, format!("worker_rlimit_nofile 3;\n{unserved}")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("no worker process could start on the new configuration, those before it go on");
        client.say("a2 NOOP", "echo a2 NOOP");
        logged_in(&setup);
        assert!(setup.proxy.workers().contains(&before[0]) && !other.exists());
        // What is found out earlier changes nothing at all.
        fs::write(&file, format!("working_directory /no/such/folder;\n{text}")).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("chdir(\"/no/such/folder\") failed (2: No such file or directory)");
        logged_in(&setup);
        // The way back, to an address that is still theirs.
        fs::write(&file, text).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        logged_in(&setup);
        client.finish();
        client.expect_eof();
        await_that("the old worker is gone", || !setup.proxy.workers().contains(&before[0]));
        assert!(!other.exists());
    }

    fn a_reload_that_no_worker_survives_leaves_the_old_plan_in_force(program: Program) {
        assert!(Uid::effective().is_root(), "only root can go where its workers cannot");
        let setup = Plan::new(Protocol::Imap).main("worker_processes 1;").start(program);
        let worker = setup.proxy.await_workers(1)[0];
        let [file, pid, other_pid, closed] =
            ["gatepost.conf", "gatepost.pid", "other.pid", "closed"].map(|name| setup.proxy.path().join(name));
        DirBuilder::new().mode(0o700).create(&closed).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let (listen, other) = (setup.listen(), SocketAddr::new(setup.listen().ip(), 1001));
        let bad = text
            .replace(&format!("listen {listen} ;"), &format!("listen {listen}; listen {other};"))
            .replace("pid gatepost.pid;", "pid other.pid;");
        assert!(bad.contains(&other.to_string()) && bad.contains("other.pid"), "{bad}");
        fs::write(&file, format!("user nobody nogroup; working_directory {};\n{bad}", closed.display())).unwrap();
        for count in 1..=2 {
            setup.proxy.signal(Signal::SIGHUP);
            setup.proxy.await_log_count("no worker process could start on the new configuration", count);
        }
        assert!(TcpStream::connect(other).is_err(), "nobody would serve it");
        assert_eq!(fs::read_to_string(&pid).unwrap(), format!("{}\n", setup.proxy.pid()));
        assert!(!other_pid.exists());
        assert_eq!(setup.proxy.workers(), [worker]);
        // Whoever takes its place knows what it knew.
        kill(worker, Signal::SIGKILL).unwrap();
        logged_in(&setup);
        assert!(!setup.proxy.await_workers(1).contains(&worker));
        // Nothing of it hinders the next reload.
        fs::write(&file, bad).unwrap();
        setup.proxy.signal(Signal::SIGHUP);
        setup.proxy.await_log("gracefully shutting down");
        drop(Client::connect(other));
        await_that("another pid file", || other_pid.exists() && !pid.exists());
    }
}

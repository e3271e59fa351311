//! A full disk, a clock that steps back, a worker that is killed.

use std::fs;
use std::time::Duration;

use gatepost_tests::backend::Behaviour;
use gatepost_tests::real::{are_installed, find};
use gatepost_tests::{Client, on_both};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustls::version::TLS13;

use super::{Front, log_in};

/// Lets a program see another time of the day, which a file says.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

on_both! {
    /// Sessions do not depend on their log.
    fn the_disk_under_the_log_is_full(program: Program) {
        let front = Front::start(program, "worker_processes 1;", "error_log /dev/full info;", Behaviour::default());
        for _ in 0..10 {
            let mut client = front.log_in();
            client.say("STAT", "echo STAT");
        }
        // The main level has its own file.
        front.proxy.signal(Signal::SIGUSR1);
        front.proxy.await_log("reopening logs");
        front.log_in().say("STAT", "echo STAT");
        assert!(!front.proxy.log().contains("[alert]"), "{}", front.proxy.log());
    }

    /// Deadlines do not depend on the time of the day, nor do sessions and handshakes.
    fn the_clock_steps_back(program: Program) {
        if !are_installed(&[FAKETIME]) { return }
        let folder = tempfile::tempdir().unwrap();
        let clock = folder.path().join("clock");
        fs::write(&clock, "+0\n").unwrap();
        let environment = [
            ("LD_PRELOAD", find(FAKETIME).unwrap().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let front = Front::start_in(program, &environment, "worker_processes 1; env LD_PRELOAD; env FAKETIME_TIMESTAMP_FILE; env FAKETIME_NO_CACHE; env DONT_FAKE_MONOTONIC; env FAKETIME_DONT_FAKE_MONOTONIC;", "timeout 4s;", Behaviour::default());
        let tls = front.certificate.client(&[&TLS13]);
        let secured = || {
            let mut client = Client::connect_tls(front.secured(), &tls);
            client.expect("+OK POP3 ready");
            log_in(&mut client);
            client
        };
        let (mut old, mut old_secured) = (front.log_in(), secured());
        let waiting = Client::connect(front.plain());
        let year = |log: &str| log.lines().last().unwrap_or_default()[..4].to_owned();
        let now = year(&front.proxy.await_log_count("client logged in", 2));
        fs::write(&clock, "-800d\n").unwrap();
        old.say("STAT", "echo STAT");
        old_secured.say("STAT", "echo STAT");
        front.log_in().say("STAT", "echo STAT");
        // With a ticket from the future.
        secured().say("STAT", "echo STAT");
        assert_ne!(year(&front.proxy.await_log_count("client logged in", 4)), now, "the clock did not step");
        // The session that began before its step ends in time.
        let mut waiting = waiting;
        waiting.expect("+OK POP3 ready");
        waiting.expect_eof();
        front.proxy.await_log("client timed out (110: Connection timed out) while in auth state");
        fs::write(&clock, "+800d\n").unwrap();
        old.say("NOOP", "echo NOOP");
        front.log_in().say("STAT", "echo STAT");
    }

    /// Its sessions are lost, those of the others are not, and it is replaced.
    fn a_worker_is_killed(program: Program) {
        let front = Front::start(program, "worker_processes 2;", "", Behaviour::default());
        let workers = front.proxy.await_workers(2);
        // Either accepts; sooner or later both have sessions.
        let mut sessions: Vec<(Pid, Client)> = Vec::new();
        while workers.iter().any(|worker| sessions.iter().filter(|(of, _)| of == worker).count() < 2) {
            assert!(sessions.len() < 2000, "one worker has them all");
            let client = front.log_in();
            let log = front.proxy.await_log_count("client logged in", sessions.len() + 1);
            let line = log.lines().rfind(|line| line.contains("client logged in")).unwrap();
            let pid = line.split_once("[info] ").unwrap().1.split_once('#').unwrap().0;
            sessions.push((Pid::from_raw(pid.parse().unwrap()), client));
        }
        let killed = workers[0];
        kill(killed, Signal::SIGKILL).unwrap();
        front.proxy.await_log(&format!("worker process {killed} exited on signal 9"));
        for (worker, client) in &mut sessions {
            if *worker == killed {
                assert_eq!(client.arrival(Duration::from_secs(30)), Some(0), "the end");
            } else {
                client.say("STAT", "echo STAT");
            }
        }
        front.proxy.await_workers(2);
        for _ in 0..20 {
            front.log_in().say("STAT", "echo STAT");
        }
    }
}

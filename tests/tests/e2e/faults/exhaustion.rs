//! Descriptors, memory, connections and buffers at their end.
#![allow(clippy::print_stderr, reason = "the figures are to be seen")]

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use gatepost_tests::backend::{After, Behaviour};
use gatepost_tests::real::run;
use gatepost_tests::{Client, await_that, on_both};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::{Front, alone};

/// A line of `/proc/PID/status`, in KiB.
fn memory_kib(pid: Pid, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}"));
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// Lets this process open as many files as the machine allows.
fn raise_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

on_both! {
    /// Who is in stays in, and when somebody leaves the next one gets in.
    fn descriptors_run_out(program: Program) {
        let _turn = alone();
        let front = Front::start(program, "worker_processes 1; worker_rlimit_nofile 48;", "", Behaviour::default());
        let mut inside = front.log_in();
        // The kernel takes all of them; the worker gets only some.
        let crowd: Vec<_> = (0..80).map(|_| TcpStream::connect(front.plain()).unwrap()).collect();
        front.proxy.await_log("(24: Too many open files)");
        inside.say("STAT", "echo STAT");
        drop(crowd);
        // Behind the crowd in the queue of the socket.
        let mut next = front.log_in();
        next.say("STAT", "echo STAT");
        inside.say("NOOP", "echo NOOP");
    }

    /// Descriptors of new files are as scarce as all others. One is kept for them.
    fn logs_are_reopened_without_a_free_descriptor(program: Program) {
        let _turn = alone();
        let main = "user root; worker_processes 1; worker_rlimit_nofile 48;";
        let front = Front::start(program, main, "", Behaviour::default());
        let worker = front.proxy.await_workers(1)[0];
        let crowd: Vec<_> = (0..80).map(|_| TcpStream::connect(front.plain()).unwrap()).collect();
        front.proxy.await_log("(24: Too many open files)");
        let [log, old, older] = ["error.log", "old", "older"].map(|name| front.proxy.path().join(name));
        let writes_to = |path: &Path| {
            let all = fs::read_dir(format!("/proc/{worker}/fd")).unwrap();
            all.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).any(|target| target == path)
        };
        fs::rename(&log, &old).unwrap();
        front.proxy.signal(Signal::SIGUSR1);
        await_that("the new log in the worker", || writes_to(&log) && !writes_to(&old));
        // Where there is none after all, the next time is a better one.
        let limit = |soft: u32| run(Command::new("prlimit").args(["--pid", &worker.to_string(), &format!("--nofile={soft}:48")]));
        limit(3);
        fs::rename(&log, &old).unwrap();
        front.proxy.signal(Signal::SIGUSR1);
        front.proxy.await_log_at("old", "recvmsg() failed (24: Too many open files)");
        assert!(writes_to(&old));
        limit(48);
        drop(crowd);
        fs::rename(&log, &older).unwrap();
        await_that("the newest log in the worker", || {
            front.proxy.signal(Signal::SIGUSR1);
            writes_to(&log) && !writes_to(&old)
        });
    }

    /// A worker that gets no memory ends, alone, and is replaced.
    fn memory_runs_out(program: Program) {
        let _turn = alone();
        let front = Front::start(program, "user root; worker_processes 1;", "", Behaviour::default());
        let worker = front.proxy.await_workers(1)[0];
        front.log_in().say("STAT", "echo STAT");
        let limit = (memory_kib(worker, "VmSize") + 512) * 1024;
        run(Command::new("prlimit").args(["--pid", &worker.to_string(), &format!("--as={limit}")]));
        // Unfinished commands, which the worker has to keep.
        let crowd: Vec<_> = (0..1000)
            .map(|_| {
                let mut client = Client::connect(front.plain());
                let _ = client.try_send("x".repeat(4000));
                client
            })
            .collect();
        front.proxy.await_log(&format!("worker process {worker} exited on signal 6"));
        drop(crowd);
        let mut next = front.log_in();
        next.say("STAT", "echo STAT");
        assert_ne!(front.proxy.await_workers(1), [worker]);
    }

    fn ten_thousand_clients_that_never_speak(program: Program) {
        const CROWD: usize = 9_500;
        let _turn = alone();
        raise_open_files();
        let front = Front::start(program, "worker_processes 1;", "timeout 3m;", Behaviour::default());
        let worker = front.proxy.await_workers(1)[0];
        let mut inside = front.log_in();
        let before = memory_kib(worker, "VmRSS");
        let crowd: Vec<_> = (0..CROWD).map(|_| TcpStream::connect(front.plain()).unwrap()).collect();
        front.proxy.await_log_count("connected to", CROWD);
        inside.say("STAT", "echo STAT");
        front.log_in().say("STAT", "echo STAT");
        // Of a crowd that waits nothing is read, so nothing is held but what describes it.
        let each = (memory_kib(worker, "VmRSS") - before) * 1024 / u64::try_from(CROWD).unwrap();
        eprintln!("{}: {each} bytes for each client that is silent before the login", program.name());
        assert!(each < 6 * 1024, "{each} bytes each");
        drop(crowd);
        inside.say("NOOP", "echo NOOP");
        front.log_in().say("STAT", "echo STAT");
        let log = front.proxy.log();
        assert!(!log.contains("[alert]") && !log.contains("[crit]"), "{}", log.lines().rfind(|line| !line.contains("[info]")).unwrap_or_default());
    }

    /// What a reader does not take is not taken from the backend.
    fn slow_readers_are_offered_256_mebibytes(program: Program) {
        let _turn = alone();
        let offered = Arc::new(vec![0x5A; 256 << 20]);
        let behaviour = Behaviour { after: After::Exchange(Arc::clone(&offered)), ..Behaviour::default() };
        let front = Front::start(program, "worker_processes 1;", "", behaviour);
        let worker = front.proxy.await_workers(1)[0];
        let before = memory_kib(worker, "VmRSS");
        let mut readers: Vec<_> = (0..4).map(|_| front.log_in()).collect();
        // One takes it all, and is not held up by the others.
        let mut quick = readers.pop().unwrap();
        quick.finish();
        let mut stream = quick.stream();
        let mut count = quick.take().len();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut stream, &mut buffer).unwrap() {
                0 => break,
                more => {
                    assert!(buffer[..more].iter().all(|&byte| byte == 0x5A));
                    count += more;
                }
            }
        }
        assert_eq!(count, offered.len());
        let grown = memory_kib(worker, "VmRSS").saturating_sub(before);
        eprintln!("{}: {grown} KiB more with three slow readers", program.name());
        assert!(grown < 8 * 1024, "{grown} KiB");
    }
}

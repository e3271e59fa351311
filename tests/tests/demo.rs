//! `--demo`, as somebody meets it who has just cloned the repository: every command it prints works, and its end
//! leaves nothing behind.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use gatepost_tests::real::{are_installed, run_with_input};
use gatepost_tests::{PATIENCE, Program, on_both};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A running demo in a process group of its own, as a shell would start it. Its temporary directory is the test's.
struct Demo {
    child: Child,
    temporary: TempDir,
    banner: String,
    /// Kept open: the log of a demo goes on after its banner.
    _stdout: BufReader<ChildStdout>,
}

impl Demo {
    /// Starts it and waits until it says that its log follows and that a worker runs.
    fn start(program: Program) -> Self {
        // A demo looks for free ports before its proxy takes them; two that start at once would find the same.
        static STARTS: Mutex<()> = Mutex::new(());
        let _only = STARTS.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap();
        let mut child = Command::new(program.path())
            .arg("--demo")
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(temporary.path().join("log")).unwrap())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.ends_with("the proxy's log.\n") {
            assert_ne!(stdout.read_line(&mut banner).unwrap(), 0, "{}: {banner}", program.name());
        }
        let demo = Self { child, temporary, banner, _stdout: stdout };
        demo.await_log("start worker process ");
        demo
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.temporary.path().join("log")).unwrap()
    }

    #[track_caller]
    fn await_log(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(Instant::now() < end, "the log never said {text:?}:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The commands in the order printed, each with the line that sets `CA` in front. A line ending in `|` goes on.
    fn commands(&self) -> Vec<String> {
        let ca = self.banner.lines().find(|line| line.starts_with("  CA=")).expect("a line that sets CA");
        let mut commands = Vec::new();
        let mut command = String::new();
        for line in self.banner.lines().map(str::trim_start) {
            if command.is_empty()
                && !["curl ", "printf ", "openssl "].iter().any(|word| line.starts_with(word))
            {
                continue;
            }
            command.push_str(line);
            command.push('\n');
            if !line.ends_with('|') {
                commands.push(format!("{ca}\n{}", std::mem::take(&mut command)));
            }
        }
        commands
    }

    /// What a demo keeps in the temporary directory.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.temporary.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "log").collect()
    }

    /// Waits for the end of all its processes; nothing may be left of it.
    #[track_caller]
    fn ends(mut self) -> ExitStatus {
        let group = self.pid();
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < end, "the demo did not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        };
        while killpg(group, None).is_ok() || !self.files().is_empty() {
            assert!(Instant::now() < end, "processes or files are left: {:?}", self.files());
            thread::sleep(Duration::from_millis(10));
        }
        status
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs what a user would paste; curl is told not to show its progress.
fn paste(command: &str, input: &str) -> String {
    let quiet = command.replace("curl ", "curl --silent --show-error --max-time 60 ");
    run_with_input(Command::new("sh").arg("-c").arg(quiet), input)
}

on_both! {
    fn every_printed_command_works(program: Program) {
        if !are_installed(&["curl", "openssl"]) {
            return;
        }
        let demo = Demo::start(program);
        let commands = demo.commands();
        let [newest, first, send, list, wrong, by_hand] = commands.as_slice() else {
            panic!("other commands than this test knows:\n{}", demo.banner);
        };
        for command in [newest, first] {
            let text = paste(command, "");
            assert!(text.contains("Subject: Welcome to gatepost\r\n"), "{command}: {text}");
        }
        paste(send, "");
        let text = paste(list, "");
        assert!(text.contains("* 1 FETCH (") && text.contains("* 2 FETCH ("), "{list}: {text}");
        let text = paste(newest, "");
        assert!(text.contains("Subject: Hello\r\n") && text.contains("Hello alice!"), "{newest}: {text}");
        // Curl's exit status for a denied login.
        paste(&format!("{}; test $? = 67", wrong.trim_end()), "");
        let text = paste(by_hand, "a1 LOGIN alice wonderland\na2 SELECT INBOX\na3 LOGOUT\n");
        assert!(text.contains("a1 OK ") && text.contains("* 2 EXISTS") && text.contains("a3 OK "), "{text}");
        let log = demo.log();
        assert!(!log.contains("[error]") && !log.contains("[warn]"), "{log}");
        demo.await_log("client login failed: \"Invalid login or password\"");
        killpg(demo.pid(), Signal::SIGINT).unwrap();
        assert_eq!(demo.ends().code(), Some(0));
    }

    fn ends_with_its_terminal(program: Program) {
        let demo = Demo::start(program);
        assert_eq!(demo.files().len(), 1, "one directory: {:?}", demo.files());
        killpg(demo.pid(), Signal::SIGHUP).unwrap();
        assert_eq!(demo.ends().code(), Some(0));
    }

    fn two_do_not_get_in_each_others_way(program: Program) {
        let (one, other) = (Demo::start(program), Demo::start(program));
        let lines = |demo: &Demo| {
            let lines = demo.banner.lines().filter(|line| line.ends_with("(TLS)"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(&one).len(), 3, "{}", one.banner);
        assert_ne!(lines(&one), lines(&other));
        kill(one.pid(), Signal::SIGTERM).unwrap();
        assert_eq!(one.ends().code(), Some(0));
        assert!(Path::new(&format!("/proc/{}", other.pid())).exists(), "the other goes on");
        kill(other.pid(), Signal::SIGQUIT).unwrap();
        assert_eq!(other.ends().code(), Some(0));
    }
}

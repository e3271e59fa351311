//! A gatepost process under test.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{PATIENCE, Program};

/// One of the programs, running with a configuration of its own in a folder of its own.
pub struct Proxy {
    child: Child,
    folder: TempDir,
}

impl Proxy {
    /// A folder for a configuration, its certificates and logs.
    pub fn folder() -> TempDir {
        tempfile::Builder::new().prefix("gatepost-test-").tempdir().unwrap()
    }

    /// Starts `program` in the foreground with this `mail {}` content and waits until all of `listens` accept.
    pub fn start(program: Program, folder: TempDir, mail: &str, listens: &[SocketAddr]) -> Self {
        Self::start_with(program, folder, "worker_processes 1;", mail, listens)
    }

    /// Like [`start`](Self::start), with main-level directives instead of `worker_processes 1;`.
    pub fn start_with(
        program: Program,
        folder: TempDir,
        main: &str,
        mail: &str,
        listens: &[SocketAddr],
    ) -> Self {
        Self::configure(&folder, main, mail);
        Self::start_configured(program, folder, &[], listens)
    }

    /// Starts `program` with the configuration that is in the folder and these environment variables besides.
    pub fn start_configured(
        program: Program,
        folder: TempDir,
        environment: &[(&str, &str)],
        listens: &[SocketAddr],
    ) -> Self {
        let stderr = fs::File::create(folder.path().join("stderr")).unwrap();
        let child = command(program, folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.name()));
        let mut proxy = Self { child, folder };
        for &listen in listens {
            proxy.await_listen(listen);
        }
        proxy
    }

    /// Writes the configuration file: foreground, log at info, then `main` and `mail {}`. Without `events {}` in `main`
    /// there are slots for all that a test may want.
    pub fn configure(folder: &TempDir, main: &str, mail: &str) {
        let events = if main.contains("events {") { "" } else { "events { worker_connections 16384; }" };
        let text = format!(
            "daemon off;\npid gatepost.pid;\nerror_log error.log info;\n{main}\n{events}\nmail {{\n{mail}\n}}\n"
        );
        fs::write(folder.path().join("gatepost.conf"), text).unwrap();
    }

    /// Runs `program -t` on a configuration without starting anything.
    pub fn test(program: Program, folder: &TempDir) -> Output {
        command(program, folder.path()).arg("-t").output().unwrap()
    }

    /// Runs `program` on a configuration that ends it at once.
    pub fn run(program: Program, folder: &TempDir) -> Output {
        command(program, folder.path()).output().unwrap()
    }

    /// The folder with the configuration and the log.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder as `configure` takes it.
    pub fn directory(&self) -> &TempDir {
        &self.folder
    }

    /// The master's process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// The process ids of the workers, by asking the kernel for the master's children.
    pub fn workers(&self) -> Vec<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let children = fs::read_to_string(path).unwrap_or_default();
        children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
    }

    /// Waits until there are this many workers: they are forked one after the other.
    #[track_caller]
    pub fn await_workers(&self, count: usize) -> Vec<Pid> {
        let end = Instant::now() + PATIENCE;
        loop {
            let workers = self.workers();
            if workers.len() == count {
                return workers;
            }
            assert!(Instant::now() < end, "{} workers instead of {count}:\n{}", workers.len(), self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// The error log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the log holds `text`, then returns the log.
    #[track_caller]
    pub fn await_log(&self, text: &str) -> String {
        self.await_log_count(text, 1)
    }

    /// Waits until another log, named from the folder, holds `text`.
    #[track_caller]
    pub fn await_log_at(&self, path: &str, text: &str) {
        let read = || fs::read_to_string(self.folder.path().join(path)).unwrap_or_default();
        let end = Instant::now() + PATIENCE;
        while !read().contains(text) {
            assert!(Instant::now() < end, "{path} never said {text:?}:\n{}", read());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the log holds `text` this many times, then returns the log.
    #[track_caller]
    pub fn await_log_count(&self, text: &str, count: usize) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.matches(text).count() >= count {
                return log;
            }
            assert!(Instant::now() < end, "the log never said {text:?} {count} times:\n{log}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the master to exit.
    #[track_caller]
    pub fn await_exit(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the proxy did not end:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the master still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("error.log")
    }

    fn await_listen(&mut self, listen: SocketAddr) {
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(listen).is_err() {
            let stderr = || fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            let status = self.child.try_wait().unwrap();
            assert!(status.is_none(), "the proxy ended: {status:?}\n{}\n{}", stderr(), self.log());
            assert!(
                Instant::now() < end,
                "the proxy never listened on {listen}:\n{}\n{}",
                stderr(),
                self.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_some() {
            return;
        }
        let _ = kill(self.pid(), Signal::SIGTERM);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            if self.child.try_wait().ok().flatten().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(thread::panicking(), "the proxy did not end within 5 s of TERM");
    }
}

fn command(program: Program, folder: &Path) -> Command {
    let mut command = Command::new(program.path());
    command.arg("-p").arg(folder).args(["-c", "gatepost.conf", "-e", "error.log"]);
    command
}

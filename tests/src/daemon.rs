//! A daemon: started by a command that ends at once, known by its pid file, ended by signals.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::{Proxy, await_that};

/// A program in the background, called by a link in its folder, so that another one can take its place.
pub struct Daemon {
    folder: TempDir,
}

impl Daemon {
    /// Starts `program` with this `mail {}` content; `main` are further directives of the main level.
    pub fn start(program: &Path, main: &str, mail: &str) -> Self {
        let daemon = Self::prepare(program, main, mail);
        crate::real::run(&mut daemon.command());
        daemon.await_master(None);
        daemon
    }

    /// Like [`start`](Self::start), but leaves it to the caller to run [`command`](Self::command).
    pub fn prepare(program: &Path, main: &str, mail: &str) -> Self {
        let daemon = Self { folder: Proxy::folder() };
        let folder = daemon.path().display();
        let text = format!(
            "pid {folder}/pid;\nerror_log {folder}/error.log info;\n{main}\n\
             events {{ worker_connections 4096; }}\nmail {{\n{mail}\n}}\n"
        );
        fs::write(daemon.configuration(), text).unwrap();
        daemon.replace(program);
        daemon
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.path().join("program"));
        command.arg("-p").arg(self.path()).arg("-c").arg(self.configuration());
        command.arg("-e").arg(self.path().join("error.log")).stdin(Stdio::null());
        command
    }

    /// Makes the next start be one of this program.
    pub fn replace(&self, program: &Path) {
        let (link, new) = (self.path().join("program"), self.path().join("program.new"));
        symlink(program, &new).unwrap();
        fs::rename(new, link).unwrap();
    }

    /// The folder with all its files.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.path().join("gatepost.conf")
    }

    /// The master that a pid file names: `pid`, or `pid.oldbin`.
    pub fn master(&self, file: &str) -> Option<Pid> {
        let text = fs::read_to_string(self.path().join(file)).ok()?;
        text.strip_suffix('\n')?.parse().ok().map(Pid::from_raw)
    }

    /// Waits until the pid file names a master, another one than `not`.
    #[track_caller]
    pub fn await_master(&self, not: Option<Pid>) -> Pid {
        let master = || self.master("pid").filter(|pid| Some(*pid) != not);
        await_that("a new pid file", || master().is_some());
        master().expect("nobody else writes the file")
    }

    /// The error log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path().join("error.log")).unwrap_or_default()
    }

    /// Waits until the log holds `text` this many times.
    #[track_caller]
    pub fn await_log(&self, text: &str, count: usize) {
        await_that(text, || self.log().matches(text).count() >= count);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for master in ["pid.oldbin", "pid"].into_iter().filter_map(|file| self.master(file)) {
            let _ = kill(master, Signal::SIGTERM);
            if !std::thread::panicking() {
                await_that("the end of the daemon", || !exists(master));
            }
        }
    }
}

/// Whether there is such a process, and it has not ended: some parents are slow to take note.
pub fn exists(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// The children of a process.
pub fn children(pid: Pid) -> Vec<Pid> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

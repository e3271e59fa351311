//! USR2: another program on the same sockets, while this one stays until it is told to go.
//!
//! The new master is a child of the old one, which knows it as its *successor*; the new one knows its *predecessor*.
//! While both run the pid file of the old one is called `P.oldbin`, and the names of unix sockets are left alone by
//! whoever ends first.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatepost_protocol::event::Level;
use nix::unistd::{Pid, dup, getppid};

use super::Sockets;
use crate::inherited::{LENT_VARIABLE, VARIABLE};
use crate::listener::Listening;
use crate::log::Log;
use crate::log::lines::error_text;
use crate::pid::PidFile;

/// What nginx's log calls it.
pub(super) const NAME: &str = "new binary process";

/// How this program was started, to be started again.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    path: PathBuf,
    /// The name it was called by, then its arguments.
    arguments: Vec<OsString>,
}

impl Binary {
    /// `arguments` begin with the name. A name with a `/` is a path, and stays one: a link may lead elsewhere by the
    /// time it counts. What was found by a search of `PATH` is where it is now.
    pub(crate) fn new(arguments: Vec<OsString>) -> Self {
        let name = arguments.first().map_or_else(|| OsStr::new(""), OsString::as_os_str);
        let as_called = Path::new(name);
        let is_path = as_called.components().count() > 1 && as_called.is_file();
        let found = if is_path { std::path::absolute(as_called) } else { std::env::current_exe() };
        Self { path: found.unwrap_or_else(|_| as_called.to_owned()), arguments }
    }

    /// The command line as one text.
    pub(super) fn command_line(&self) -> String {
        let words: Vec<_> = self.arguments.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    /// Starts it on these sockets, with no variable of the environment but these and those that name the sockets.
    fn spawn(&self, sockets: &Sockets, environment: &[(OsString, OsString)]) -> io::Result<Pid> {
        // Copies that survive the exec. The master has one thread: nobody else starts a program meanwhile.
        let copy = |listening: &Listening| Ok((dup(&listening.socket)?, sockets.is_lent(&listening.address)));
        let copies = sockets.listening.iter().map(copy).collect::<nix::Result<Vec<(OwnedFd, bool)>>>()?;
        let numbers = |which: fn(bool) -> bool| -> String {
            let which = copies.iter().filter(|(_, is_lent)| which(*is_lent));
            which.map(|(copy, _)| format!("{};", copy.as_raw_fd())).collect()
        };
        let lent = Some(numbers(|is_lent| is_lent)).filter(|lent| !lent.is_empty());
        let (name, arguments) = self.arguments.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let variables = environment.iter().map(|(name, value)| (name, value));
        let child = Command::new(&self.path)
            .arg0(name)
            .args(arguments)
            .env_clear()
            .envs(variables)
            .envs(lent.map(|lent| (LENT_VARIABLE, lent)))
            .env(VARIABLE, numbers(|_| true))
            .spawn()?;
        // The signal that says it has ended is the master's to answer.
        Ok(Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?))
    }
}

/// Which other masters run on the same sockets.
#[derive(Debug, Default)]
pub(super) struct Upgrade {
    successor: Option<Pid>,
    predecessor: Option<Pid>,
}

impl Upgrade {
    pub(super) fn new(predecessor: Option<Pid>) -> Self {
        Self { successor: None, predecessor }
    }

    pub(super) fn has_successor(&self) -> bool {
        self.successor.is_some()
    }

    pub(super) fn successor(&self) -> Option<Pid> {
        self.successor
    }

    /// Whether the master that started this one is still there.
    pub(super) fn has_predecessor(&self) -> bool {
        self.predecessor == Some(getppid())
    }

    /// Whether the sockets are also another master's.
    pub(super) fn is_under_way(&self) -> bool {
        self.has_successor() || self.has_predecessor()
    }

    /// Starts the successor, and makes room for its pid file.
    pub(super) fn begin(
        &mut self,
        binary: &Binary,
        sockets: &Sockets,
        environment: &[(OsString, OsString)],
        pid_file: &mut PidFile,
        log: &Log,
    ) {
        let path = binary.path.display();
        if let Err(error) = pid_file.step_aside() {
            let (from, to, text) = (pid_file.path().display(), pid_file.aside(), error_text(&error));
            let message = format!(
                "rename() {from} to {} failed before executing {NAME} \"{path}\" {text}",
                to.display()
            );
            return log.note(Level::Alert, &message);
        }
        match binary.spawn(sockets, environment) {
            Ok(pid) => {
                log.note(Level::Notice, &format!("start {NAME} {pid}"));
                self.successor = Some(pid);
            }
            Err(error) => {
                let text = error_text(&error);
                let message = format!("execve() failed while executing {NAME} \"{path}\" {text}");
                log.note(Level::Alert, &message);
                restore(pid_file, &format!("after an attempt to execute {NAME} \"{path}\""), log);
            }
        }
    }

    /// The successor has ended: all is as before.
    pub(super) fn end(&mut self, binary: &Binary, pid_file: &mut PidFile, log: &Log) {
        self.successor = None;
        restore(pid_file, &format!("after the {NAME} \"{}\" exited", binary.path.display()), log);
    }
}

fn restore(pid_file: &mut PidFile, when: &str, log: &Log) {
    if let Err(error) = pid_file.step_back() {
        let (from, to, text) = (pid_file.aside(), pid_file.path().display(), error_text(&error));
        log.note(Level::Alert, &format!("rename() {} back to {to} failed {when} {text}", from.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(name: &OsStr) -> PathBuf {
        Binary::new(vec![name.to_owned()]).path
    }

    #[test]
    fn a_path_stays_a_path_and_a_name_is_where_it_was_found() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "").expect("a file");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        assert_eq!(binary(link.as_os_str()), link);
        let this = std::env::current_exe().expect("a running test");
        assert_eq!(binary(OsStr::new("gatepost")), this);
        assert_eq!(binary(folder.path().join("none").as_os_str()), this);
    }

    #[test]
    fn a_program_that_cannot_be_started_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pid");
        let mut pid_file = PidFile::create(&path).expect("a file");
        let missing = Binary { path: folder.path().join("none"), arguments: vec!["none".into()] };
        let mut upgrade = Upgrade::default();
        upgrade.begin(&missing, &Sockets::new(Vec::new(), Vec::new()), &[], &mut pid_file, &Log::default());
        assert!(!upgrade.is_under_way() && path.exists());
        assert_eq!(pid_file.path(), path);
    }
}

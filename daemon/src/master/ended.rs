//! Child processes that have ended.

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::log::Log;
use crate::log::lines::errno_text;

/// What a worker ends with when it cannot work at all: another one could not, either.
pub(super) const FATAL: i32 = 2;

/// One child that has ended, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) pid: Pid,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Exited(i32),
    Signaled { signal: i32, has_core: bool },
}

impl Ended {
    /// The next child to take note of, until `None`.
    pub(super) fn next(log: &Log) -> Option<Self> {
        loop {
            return match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => Some(Self { pid, how: How::Exited(code) }),
                Ok(WaitStatus::Signaled(pid, signal, has_core)) => {
                    Some(Self { pid, how: How::Signaled { signal: signal as i32, has_core } })
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => None,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => {
                    log.note(Level::Alert, &format!("waitpid() failed {}", errno_text(errno as i32)));
                    None
                }
            };
        }
    }

    /// Whether another one in its place would end in the same way.
    pub(super) fn is_fatal(self) -> bool {
        self.how == How::Exited(FATAL)
    }

    /// What the log says of it; `name` is the kind of process.
    pub(super) fn tell(self, name: &str, log: &Log) {
        let Self { pid, how } = self;
        let (level, message) = match how {
            How::Exited(0) => (Level::Notice, format!("{name} {pid} exited with code 0")),
            How::Exited(code) => (Level::Alert, format!("{name} {pid} exited with code {code}")),
            How::Signaled { signal, has_core } => {
                let core = if has_core { " (core dumped)" } else { "" };
                (Level::Alert, format!("{name} {pid} exited on signal {signal}{core}"))
            }
        };
        log.note(level, &message);
    }
}

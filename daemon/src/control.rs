//! `-s SIGNAL`: a message to the running master.

use std::path::Path;

use gatepost_protocol::event::Level;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::log::lines::errno_text;
use crate::pid;

/// The signal for one of `stop`, `quit`, `reopen` and `reload`.
pub(crate) fn signal_named(name: &str) -> Option<Signal> {
    match name {
        "stop" => Some(Signal::SIGTERM),
        "quit" => Some(Signal::SIGQUIT),
        "reopen" => Some(Signal::SIGUSR1),
        "reload" => Some(Signal::SIGHUP),
        _ => None,
    }
}

/// Sends the signal to the process that the pid file names.
///
/// # Errors
/// What to tell the user, and how severe it is.
pub(crate) fn send(pid_path: &Path, signal: Signal) -> Result<(), (Level, String)> {
    let pid = pid::read(pid_path).map_err(|error| (Level::Error, error.to_string()))?;
    kill(Pid::from_raw(pid), signal).map_err(|errno| {
        let text = errno_text(errno as i32);
        (Level::Alert, format!("kill({pid}, {}) failed {text}", signal as i32))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_nginx_names() {
        let signals = ["stop", "quit", "reopen", "reload", "term"].map(signal_named);
        use Signal::{SIGHUP, SIGQUIT, SIGTERM, SIGUSR1};
        assert_eq!(signals, [Some(SIGTERM), Some(SIGQUIT), Some(SIGUSR1), Some(SIGHUP), None]);
    }

    #[test]
    fn a_process_that_is_gone_is_an_alert() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pid");
        // Above the largest number that the kernel gives out.
        std::fs::write(&path, "4194305\n").expect("a file");
        let failure = send(&path, Signal::SIGTERM).expect_err("no such process");
        assert_eq!(failure, (Level::Alert, "kill(4194305, 15) failed (3: No such process)".into()));
        let failure = send(&folder.path().join("none"), Signal::SIGHUP).expect_err("no file");
        assert_eq!(failure.0, Level::Error);
    }
}

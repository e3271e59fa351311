//! `daemon on`: away from the terminal.

use std::fs::File;
use std::process;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, dup2_stdin, dup2_stdout, setsid};

use crate::log::lines::{errno_text, error_text};
use crate::plan::Plan;
use crate::signals::Signals;
use crate::sys;

/// Goes on in a child of its own session; the parent ends with success. Signals that wait here are the child's.
pub(super) fn detach(signals: &Signals) -> Result<(), String> {
    match sys::fork().map_err(failed("fork()"))? {
        ForkResult::Parent { child } => {
            while let Ok(received) = signals.read() {
                // The child cannot have gone: its parent has not looked after it.
                let _ = kill(child, received.signal());
            }
            process::exit(0)
        }
        ForkResult::Child => {}
    }
    setsid().map_err(failed("setsid()"))?;
    umask(Mode::empty());
    Ok(())
}

/// From here on standard input and output lead nowhere, standard error to the first log file unless it is a log itself.
pub(super) fn redirect(plan: &Plan) -> Result<(), String> {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| format!("open(\"/dev/null\") failed {}", error_text(&error)))?;
    dup2_stdin(&null).map_err(failed("dup2()"))?;
    dup2_stdout(&null).map_err(failed("dup2()"))?;
    plan.log_files.redirect_stderr().map_err(|error| format!("dup2() failed {}", error_text(&error)))
}

fn failed(call: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("{call} failed {}", errno_text(errno as i32))
}

//! `daemon on`: away from the terminal.

use std::fs::File;
use std::process;

use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use crate::log::lines::{errno_text, error_text};
use crate::plan::Plan;
use crate::sys;

/// Goes on in a child of its own session; the parent ends with success.
pub(super) fn detach() -> Result<(), String> {
    match sys::fork().map_err(failed("fork()"))? {
        ForkResult::Parent { .. } => process::exit(0),
        ForkResult::Child => {}
    }
    setsid().map_err(failed("setsid()"))?;
    umask(Mode::empty());
    Ok(())
}

/// From here on standard input and output lead nowhere, standard error to the first log file.
pub(super) fn redirect(plan: &Plan) -> Result<(), String> {
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|error| format!("open(\"/dev/null\") failed {}", error_text(&error)))?;
    dup2_stdin(&null).map_err(failed("dup2()"))?;
    dup2_stdout(&null).map_err(failed("dup2()"))?;
    let logs =
        plan.log_files.descriptors().map_err(|error| format!("dup() failed {}", error_text(&error)))?;
    match logs.first() {
        Some(log) => dup2_stderr(log),
        None => dup2_stderr(&null),
    }
    .map_err(failed("dup2()"))
}

fn failed(call: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("{call} failed {}", errno_text(errno as i32))
}

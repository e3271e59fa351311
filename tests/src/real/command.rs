//! Client programs, with a limit on their time.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;

/// Runs a command to its end and returns what it printed; it must succeed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    run_with_input(command, "")
}

/// Like [`run`], with this text on its standard input.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> String {
    let output = output(command, input);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

/// Runs a command that must fail, not by a signal, and returns all it printed.
#[track_caller]
pub fn run_in_vain(command: &mut Command, input: &str) -> String {
    let output = output(command, input);
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.code().is_some_and(|code| code != 0), "{command:?}: {}\n{text}", output.status);
    text
}

/// Runs a Python script with arguments; it must succeed.
#[track_caller]
pub fn python(script: &str, arguments: &[String]) -> String {
    run(Command::new("python3").arg("-c").arg(script).args(arguments))
}

#[track_caller]
fn output(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("process ids are small"));
    // The pipes are read to their end by `wait_with_output`; a watcher ends a client that hangs.
    let (done, watch) = std::sync::mpsc::channel::<()>();
    let watcher = thread::spawn(move || {
        let end = Instant::now() + 2 * PATIENCE;
        while watch.recv_timeout(Duration::from_millis(200))
            == Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            if Instant::now() > end {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                return;
            }
        }
    });
    // A short text fits the pipe, so writing it cannot block; a client that has left already shows in its status.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the program can be waited for");
    drop(done);
    watcher.join().expect("the watcher does not panic");
    output
}

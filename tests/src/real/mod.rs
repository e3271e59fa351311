//! Real mail servers and real clients, run from temporary folders.

mod command;
mod dovecot;
mod nginx;
mod postfix;

pub use command::{python, run, run_in_vain, run_with_input};
pub use dovecot::Dovecot;
pub use nginx::Nginx;
pub use postfix::Postfix;

use std::io::Write;
use std::path::PathBuf;

/// Finds a program in PATH and where Debian puts servers; a file with an absolute path is found where it is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/lib/postfix/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// Whether a test with these programs can run here. In CI (`CI=true`) a missing one fails the test; elsewhere the
/// test says loudly, past the capture of test output, that it was not run.
#[track_caller]
pub fn are_installed(programs: &[&str]) -> bool {
    nothing_is_missing(&missing(programs))
}

/// [`are_installed`], and the test is run by root: servers switch users.
#[track_caller]
pub fn are_available(programs: &[&str]) -> bool {
    let mut missing = missing(programs);
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    nothing_is_missing(&missing)
}

fn missing<'a>(programs: &[&'a str]) -> Vec<&'a str> {
    programs.iter().filter(|program| find(program).is_none()).copied().collect()
}

#[track_caller]
fn nothing_is_missing(missing: &[&str]) -> bool {
    if missing.is_empty() {
        return true;
    }
    let caller = std::panic::Location::caller();
    let message = format!("NOT RUN: the test at {caller} needs {}; see CONTRIBUTING.md", missing.join(", "));
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    let _ = writeln!(std::io::stderr(), "\n{message}\n");
    false
}

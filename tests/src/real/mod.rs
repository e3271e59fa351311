//! Real mail servers and real clients, run from temporary folders.

mod command;
mod dovecot;
mod postfix;

pub use command::{python, run, run_with_input};
pub use dovecot::Dovecot;
pub use postfix::Postfix;

use std::io::Write;
use std::path::PathBuf;

/// Finds a program in PATH and where Debian puts servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/lib/postfix/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// Whether a test with these programs can run here. In CI (`CI=true`) a missing one fails the test; elsewhere the
/// test says loudly, past the capture of test output, that it was not run. Servers need root to switch users.
#[track_caller]
pub fn are_available(programs: &[&str]) -> bool {
    let mut missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).copied().collect();
    if !nix::unistd::geteuid().is_root() {
        missing.push("root");
    }
    if missing.is_empty() {
        return true;
    }
    let caller = std::panic::Location::caller();
    let message = format!("NOT RUN: the test at {caller} needs {}; see CONTRIBUTING.md", missing.join(", "));
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    let _ = writeln!(std::io::stderr(), "\n{message}\n");
    false
}

//! The two programs under test, built on demand.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// One of the two daemons. They must behave the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `gatepost-tokio`
    Tokio,
    /// `gatepost-smol`
    Smol,
}

impl Program {
    /// The program's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokio => "gatepost-tokio",
            Self::Smol => "gatepost-smol",
        }
    }

    /// The executable, beside the running test's; `GATEPOST_BIN_DIR` names another folder (for installed programs).
    pub fn path(self) -> PathBuf {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        FOLDER.get_or_init(build).join(self.name())
    }
}

/// Builds both programs in the profile the tests were built in: cargo builds no other package's programs for a test.
fn build() -> PathBuf {
    if let Some(folder) = std::env::var_os("GATEPOST_BIN_DIR") {
        return folder.into();
    }
    let test = std::env::current_exe().expect("a running test has a path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("tests run in target/PROFILE/deps");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--profile",
            profile,
            "--package",
            "gatepost-tokio",
            "--package",
            "gatepost-smol",
        ])
        .arg("--target-dir")
        .arg(folder.parent().expect("a profile's folder is in the target folder"))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "building the programs failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    folder.to_owned()
}

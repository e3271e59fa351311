//! The deliberate defects of `tests/defects` still fit the code; `tests/defects/run` shows that each is found.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn patches() -> Vec<PathBuf> {
    let folder = fs::read_dir(Path::new(ROOT).join("tests/defects")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect()
}

#[test]
fn every_patch_applies() {
    let patches = patches();
    assert!(patches.len() >= 8, "{} patches", patches.len());
    for patch in patches {
        let check = Command::new("git")
            .args(["-C", ROOT, "apply", "--check", "-C1"])
            .arg(patch.canonicalize().unwrap())
            .output()
            .expect("git is installed");
        let reason = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{}: {reason}; see tests/README.md", patch.display());
    }
}

#[test]
fn every_patch_says_what_it_breaks() {
    for patch in patches() {
        let text = fs::read_to_string(&patch).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(first.ends_with('.') && !first.starts_with("diff"), "{}: {first:?}", patch.display());
    }
}

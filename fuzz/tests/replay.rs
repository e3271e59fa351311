//! Runs every committed input through its target, on stable.

use std::fs;
use std::path::{Path, PathBuf};

use gatepost_fuzz::TARGETS;

#[test]
fn corpora() {
    for (name, body) in TARGETS {
        for path in committed_inputs(name) {
            // Shown if the body panics.
            println!("{}", path.display());
            body(&fs::read(&path).expect("the file can be read"));
        }
    }
}

/// Each input cut off, and with one byte replaced, at every place: by which byte, depends on the place.
#[test]
fn neighbours_of_the_corpora() {
    const BYTES: [u8; 6] = [0, b'\r', b'\n', b' ', b'{', 0xff];
    for (name, body) in TARGETS {
        for path in committed_inputs(name).into_iter().filter(|path| !is_found(path)) {
            let mut input = fs::read(&path).expect("the file can be read");
            for at in 0..input.len() {
                println!("{} at {at}", path.display());
                body(&input[..at]);
                let byte = std::mem::replace(&mut input[at], BYTES[at % BYTES.len()]);
                body(&input);
                input[at] = byte;
            }
        }
    }
}

/// Whether a fuzzer has made it: its neighbours were looked at then.
fn is_found(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("found-"))
}

/// The inputs that are kept, most of which somebody gave a name; a fuzzer that ran here has added others, named by
/// their SHA-1.
fn committed_inputs(target: &str) -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = fs::read_dir(corpus).expect("each target has a corpus");
    let is_named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() != 40 || !name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let paths: Vec<_> =
        entries.map(|entry| entry.expect("the directory can be read").path()).filter(is_named).collect();
    assert!(!paths.is_empty(), "{target} has no inputs");
    paths
}

//! What lints cannot say about the tree.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};

/// A Rust file of the repository.
struct Source {
    path: PathBuf,
    lines: usize,
    /// Without comments.
    code: String,
}

impl Source {
    /// The code that is not compiled for tests alone; unit tests stand at the bottom of a file or in files of their own.
    fn shipped(&self) -> &str {
        let is_test = self
            .path
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
        if is_test { "" } else { self.code.split("#[cfg(test)]\nmod ").next().unwrap_or_default() }
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// All Rust files below these folders.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut open: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_none_or(|name| name != "target") {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code =
                    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>();
                found.push(Source { path, lines: text.lines().count(), code: code.join("\n") });
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files below {folders:?}");
    found
}

#[track_caller]
fn assert_absent(folders: &[&str], words: &[&str]) {
    for source in sources(folders) {
        for word in words {
            let line = source.code.lines().position(|line| line.contains(word));
            assert!(line.is_none(), "{}:{}: {word}", source.path.display(), line.unwrap_or_default() + 1);
        }
    }
}

#[test]
fn pure_crates_name_no_runtime_socket_clock_or_file() {
    let words = [
        "tokio",
        "smol",
        "async ",
        "std::fs",
        "std::io",
        "std::thread",
        "std::process",
        "std::env",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "Instant::now",
        "SystemTime",
        "HashMap",
        "HashSet",
        "unsafe {",
    ];
    for source in sources(&["protocol/src", "auth-client/src"]) {
        for word in words {
            assert!(!source.shipped().contains(word), "{}: {word}", source.path.display());
        }
    }
}

#[test]
fn runtime_crates_know_no_protocol_word() {
    let words = [
        "imap", "Imap", "IMAP", "pop3", "Pop3", "POP3", "smtp", "Smtp", "SMTP", "sasl", "Sasl", "rustls",
        "tls", "Tls", "http", "Http", "auth", "Auth", "Session", "Relay",
    ];
    let folders = ["runtime-tokio/src", "runtime-smol/src"];
    assert_absent(&folders, &words);
    for folder in folders {
        let lines: usize = sources(&[folder]).iter().map(|source| source.lines).sum();
        assert!(lines <= 400, "{folder} has {lines} lines; a runtime crate is thin");
    }
}

#[test]
fn each_runtime_stays_in_its_crate() {
    assert_absent(&["daemon/src", "runtime-smol/src"], &["tokio::"]);
    assert_absent(&["daemon/src", "runtime-tokio/src"], &["smol::", "async_io::"]);
}

#[test]
fn files_have_one_duty() {
    for source in
        sources(&["protocol", "auth-client", "daemon", "runtime-tokio", "runtime-smol", "fuzz", "tests"])
    {
        assert!(source.lines <= 500, "{}: {} lines; split it", source.path.display(), source.lines);
    }
}

#[test]
fn nothing_is_left_to_do() {
    // Spelt in two halves, so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
        concat!("FIX", "ME"),
    ];
    assert_absent(
        &["protocol", "auth-client", "daemon", "runtime-tokio", "runtime-smol", "fuzz", "tests"],
        &words,
    );
}

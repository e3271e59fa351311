//! docs/parity.md is held to the tree: its rows have states, and the tests that they name exist.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The rows of each section, cell by cell, without the head of the table.
fn rows(page: &str) -> Vec<(&str, Vec<&str>)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        } else if line.starts_with("| ") {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            if cells.last() != Some(&"Tests") && cells[0] != "---" {
                found.push((section, cells));
            }
        }
    }
    assert!(found.len() > 200, "only {} rows", found.len());
    found
}

/// The tests of the tree as the page names them: `daemon config::tests::x`, `e2e operations::x`, `parity imap "x"`.
fn known_tests() -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    for name in ["protocol", "auth-client", "daemon"] {
        add_tests(name, &root().join(name).join("src"), &[], &mut known);
        let folder = root().join(name).join("tests");
        if folder.exists() {
            add_targets(&format!("{name}/"), &folder, &mut known);
        }
    }
    add_targets("", &root().join("tests/tests"), &mut known);
    for protocol in ["imap", "pop3", "smtp"] {
        let text = read(&format!("tests/tests/parity/{protocol}.txt"));
        let names = text.lines().filter_map(|line| line.strip_prefix("== "));
        known.extend(names.map(|name| format!("parity {protocol} \"{name}\"")));
    }
    known
}

/// Each file and folder in a folder of integration tests is a target of its own.
fn add_targets(prefix: &str, folder: &Path, known: &mut BTreeSet<String>) {
    for path in entries(folder) {
        let target = format!("{prefix}{}", stem(&path));
        if path.is_dir() {
            add_tests(&target, &path, &[], known);
        } else {
            add_file(&target, &path, &[], known);
        }
    }
}

fn add_tests(target: &str, folder: &Path, modules: &[String], known: &mut BTreeSet<String>) {
    for path in entries(folder) {
        let mut inner = modules.to_vec();
        if !matches!(stem(&path).as_str(), "mod" | "main" | "lib") {
            inner.push(stem(&path));
        }
        if path.is_dir() {
            add_tests(target, &path, &inner, known);
        } else {
            add_file(target, &path, &inner, known);
        }
    }
}

/// Tests stand behind `#[test]`, or within `on_both!`; unit tests may be in a module at the bottom of their file.
fn add_file(target: &str, path: &Path, modules: &[String], known: &mut BTreeSet<String>) {
    if path.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    let mut modules = modules.to_vec();
    let (mut is_test, mut is_for_tests) = (false, false);
    for line in fs::read_to_string(path).unwrap().lines() {
        let line = line.trim_start();
        let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        if let Some(name) = name.filter(|_| is_test || line.ends_with("(program: Program) {")) {
            known.insert(format!("{target} {}", [&modules[..], &[name.to_owned()]].concat().join("::")));
        }
        if is_for_tests
            && let Some(module) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {"))
        {
            modules.push(module.to_owned());
        }
        is_test = line == "#[test]" || is_test && line.starts_with("#[");
        is_for_tests = line == "#[cfg(test)]";
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_row_has_a_state() {
    let (page, differences) = (read("docs/parity.md"), read("docs/differences.md"));
    for (section, cells) in rows(&page) {
        let state = cells[cells.len() - 2];
        let is_state = match state.strip_prefix("differs: ") {
            Some(area) => differences.lines().any(|line| line.starts_with(&format!("| {area} |"))),
            None => ["done", "no effect", "ours"].contains(&state),
        };
        assert!(is_state, "{section}, {}: {state:?} is no state", cells[0]);
    }
}

#[test]
fn every_row_names_tests_that_exist() {
    let (page, known) = (read("docs/parity.md"), known_tests());
    for (section, cells) in rows(&page) {
        let names: Vec<_> = cells[cells.len() - 1].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{section}, {}: no test", cells[0]);
        for name in names {
            assert!(known.contains(name), "{section}, {}: there is no test {name:?}", cells[0]);
        }
    }
}

/// The directives are compared with the reader's own table in the daemon: `config::tests::parity`.
#[test]
fn every_option_has_a_row() {
    let page = read("docs/parity.md");
    let rows = rows(&page);
    let has_row = |option: &str| {
        let cell = format!("`{option}`");
        rows.iter().any(|(section, cells)| *section == "Command line" && cells[0] == cell)
    };
    let source = read("daemon/src/cli.rs");
    let usage = source.split("Options:\n").nth(1).unwrap().split("\",").next().unwrap();
    let options = usage.lines().flat_map(str::split_whitespace).filter(|word| word.starts_with('-'));
    let options: BTreeSet<_> = options.map(|word| word.trim_end_matches([',', ':'])).collect();
    assert!(options.len() >= 11, "{options:?}");
    for option in options {
        assert!(has_row(option), "docs/parity.md has no row for {option}");
    }
}

//! Makes a table of what the interop tests have shown, from the notes that they left in the target folder.
//!
//! `interop-matrix` prints it; `interop-matrix --check FILE` fails unless FILE has just this table between its two
//! `interop-matrix` comments; `--write FILE` puts it there.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

const BEGIN: &str = "<!-- interop-matrix: begin -->\n";
const END: &str = "<!-- interop-matrix: end -->\n";
const PROTOCOLS: [&str; 3] = ["imap", "pop3", "smtp"];
const SECURITIES: [&str; 3] = ["clear", "starttls", "tls"];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => table().map(|table| print!("{table}")),
        ["--check", file] => table().and_then(|table| check(Path::new(file), &table)),
        ["--write", file] => table().and_then(|table| write(Path::new(file), &table)),
        _ => Err(io::Error::other("usage: interop-matrix [--check FILE | --write FILE]")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("interop-matrix: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The notes of the last runs: this program is in `target/PROFILE`, they are in `target/interop`.
fn notes() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or_else(|| io::Error::other("not in a target folder"))?;
    Ok(target.join("interop"))
}

/// One row a client, one column a protocol; a cell lists the securities that both programs have shown.
fn table() -> io::Result<String> {
    let mut shown: BTreeMap<(String, String), BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for note in fs::read_dir(notes()?)? {
        let name = note?.file_name().to_string_lossy().into_owned();
        if let [client, protocol, security, program] = name.split(',').collect::<Vec<_>>()[..] {
            let cell = shown.entry((client.to_owned(), protocol.to_owned())).or_default();
            cell.entry(security.to_owned()).or_default().insert(program.to_owned());
        }
    }
    let clients: BTreeSet<&String> = shown.keys().map(|(client, _)| client).collect();
    let mut table = "| client | IMAP | POP3 | SMTP |\n| --- | --- | --- | --- |\n".to_owned();
    for client in clients {
        let cells = PROTOCOLS.map(|protocol| {
            let cell = shown.get(&(client.clone(), protocol.to_owned()));
            let securities =
                SECURITIES.into_iter().filter_map(|security| {
                    let programs = cell?.get(security)?;
                    let only = if programs.len() == 2 { None } else { programs.first() };
                    Some(only.map_or_else(
                        || security.to_owned(),
                        |program| format!("{security} ({program} only)"),
                    ))
                });
            securities.collect::<Vec<_>>().join(", ")
        });
        table.push_str(&format!("| {client} | {} |\n", cells.join(" | ")));
    }
    Ok(table)
}

/// The parts of a page before and behind the table, and the table.
fn parts(page: &str) -> io::Result<[&str; 3]> {
    let missing = || io::Error::other(format!("no line {}", BEGIN.trim_end()));
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (table, behind) = rest.split_once(END).ok_or_else(missing)?;
    Ok([before, table, behind])
}

fn check(file: &Path, table: &str) -> io::Result<()> {
    let page = fs::read_to_string(file)?;
    let [_, written, _] = parts(&page)?;
    if written == table {
        return Ok(());
    }
    Err(io::Error::other(format!("{} does not show what was run:\n{table}", file.display())))
}

fn write(file: &Path, table: &str) -> io::Result<()> {
    let page = fs::read_to_string(file)?;
    let [before, _, behind] = parts(&page)?;
    fs::write(file, [before, BEGIN, table, END, behind].concat())
}

//! Tells the program which compiler made it, for `-V` and the notices of the start.
#![allow(clippy::print_stdout, reason = "Cargo is told things on standard output")]

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").expect("Cargo names the compiler");
    let output = Command::new(compiler).arg("--version").output().expect("the compiler runs");
    let version = String::from_utf8(output.stdout).expect("a version is text");
    // `rustc 1.95.0 (59807616e 2026-04-14)`
    println!("cargo::rustc-env=GATEPOST_COMPILER={}", version.trim());
}

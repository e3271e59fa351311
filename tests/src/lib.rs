//! Peers and harness of the end-to-end tests.
//!
//! A test starts a [`Proxy`] (one of the two [`Program`]s as a real process) between mock or real peers on an
//! address of its own in 127.0.0.0/8, so that tests run side by side with well-known port numbers.
//! Everything here panics with a message when something is not as the test said: it is test code.
#![expect(clippy::missing_panics_doc, reason = "panicking is how a test harness fails")]
#![allow(clippy::unwrap_used, reason = "panicking is how a test harness fails")]

mod auth_server;
mod authority;
pub mod backend;
mod certificate;
mod client;
pub mod daemon;
mod loopback;
mod name_server;
mod program;
mod proxy;
pub mod real;
pub mod simulation;
mod wire;

pub use auth_server::{AuthAnswer, AuthServer, Request};
pub use authority::{Authority, Identity};
pub use certificate::Certificate;
pub use client::Client;
pub use loopback::Loopback;
pub use name_server::{Forward, NameServer};
pub use program::Program;
pub use proxy::Proxy;

/// How long any single wait in a test may take before the test fails. Generous: the machine may be busy.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Waits until it is so.
#[track_caller]
pub fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < end, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Makes each `fn name(program: Program)` a test on both programs: `name::tokio` and `name::smol`.
#[macro_export]
macro_rules! on_both {
    ($($(#[$meta:meta])* fn $name:ident($program:ident: Program) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every test uses everything its file imports")]
            use super::*;

            fn on($program: $crate::Program) $body

            #[test]
            fn tokio() {
                on($crate::Program::Tokio);
            }

            #[test]
            fn smol() {
                on($crate::Program::Smol);
            }
        }
    )*};
}

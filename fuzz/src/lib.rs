//! What the fuzz targets do, as plain functions: libFuzzer calls them with its inputs, and `cargo test` on stable calls
//! them with the committed corpora. Each panics if the engine breaks a promise.

mod auth_reply;
mod configuration;
mod ledger;
mod proxy_header;
mod script;
mod session;
mod settings;

pub use auth_reply::auth_reply;
pub use configuration::configuration;
pub use proxy_header::proxy_header;

use gatepost_protocol::config::Protocol;

/// A whole IMAP session, from a script as `README.md` explains: client, backend, outcomes, time.
pub fn imap_session(data: &[u8]) {
    session::run(Protocol::Imap, data);
}

/// A whole POP3 session.
pub fn pop3_session(data: &[u8]) {
    session::run(Protocol::Pop3, data);
}

/// A whole SMTP session.
pub fn smtp_session(data: &[u8]) {
    session::run(Protocol::Smtp, data);
}

/// A target and its body, by name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: [Target; 6] = [
    ("imap_session", imap_session),
    ("pop3_session", pop3_session),
    ("smtp_session", smtp_session),
    ("auth_reply", auth_reply),
    ("configuration", configuration),
    ("proxy_header", proxy_header),
];

/// Makes the program of a target: a fuzzer under cargo-fuzz, else one that runs the files it is given.
#[macro_export]
macro_rules! target {
    ($body:path) => {
        #[cfg(fuzzing)]
        ::libfuzzer_sys::fuzz_target!(|data: &[u8]| $body(data));

        #[cfg(not(fuzzing))]
        fn main() -> ::std::io::Result<()> {
            for file in ::std::env::args_os().skip(1) {
                $body(&::std::fs::read(file)?);
            }
            Ok(())
        }
    };
}

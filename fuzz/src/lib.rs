//! What the fuzz targets do, as plain functions: libFuzzer calls them with its inputs, and `cargo test` on stable calls
//! them with the committed corpora. Each panics if the engine breaks a promise.

mod auth_reply;
mod backend;
mod configuration;
mod dialogue;
mod dns_answer;
mod imap_commands;
mod ledger;
mod leg;
mod origin;
mod outcome;
mod pop3_commands;
mod proxy_header;
mod question;
mod said;
mod sasl;
mod script;
mod session;
mod settings;
mod smtp_commands;
mod stage;
mod tls;

pub use auth_reply::auth_reply;
pub use configuration::configuration;
pub use dns_answer::dns_answer;
pub use imap_commands::imap_commands;
pub use pop3_commands::pop3_commands;
pub use proxy_header::proxy_header;
pub use sasl::sasl;
pub use smtp_commands::smtp_commands;

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

/// The replies of an IMAP backend to a login.
pub fn imap_backend(data: &[u8]) {
    backend::run(Protocol::Imap, data);
}

/// The replies of a POP3 backend.
pub fn pop3_backend(data: &[u8]) {
    backend::run(Protocol::Pop3, data);
}

/// The replies of an SMTP backend.
pub fn smtp_backend(data: &[u8]) {
    backend::run(Protocol::Smtp, data);
}

/// A target and its body, by name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this crate.
pub const TARGETS: [Target; 14] = [
    ("imap_session", imap_session),
    ("pop3_session", pop3_session),
    ("smtp_session", smtp_session),
    ("imap_commands", imap_commands),
    ("pop3_commands", pop3_commands),
    ("smtp_commands", smtp_commands),
    ("imap_backend", imap_backend),
    ("pop3_backend", pop3_backend),
    ("smtp_backend", smtp_backend),
    ("sasl", sasl),
    ("auth_reply", auth_reply),
    ("configuration", configuration),
    ("dns_answer", dns_answer),
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

//! Whole sessions as dialogues, each played as it is, split at every byte, and coalesced.
//!
//! The STATES.md of each protocol says which of them shows what; `completeness.rs`
//! holds it to that.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tls.rs"]
mod tls;

mod advisories;
mod backend_imap;
mod backend_pop3;
mod backend_smtp;
mod backend_tls;
mod completeness;
mod ends;
mod imap;
mod imap_sasl;
mod login;
mod pop3;
mod pop3_sasl;
mod smtp;
mod smtp_sasl;

//! Real clients through both programs to real Dovecot and Postfix.
//!
//! Needs dovecot, postfix, curl, openssl and python3, for some tests mail programs, and root (the servers switch
//! users). `.ci/run` installs them; where they are missing these tests say so loudly, and fail if `CI=true`.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

mod auth_tls;
mod backend_tls;
mod clients;
mod curl;
mod front;
mod matrix;
mod outages;
mod python;
mod traffic;

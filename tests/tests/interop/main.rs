//! Real clients through both programs to real Dovecot and Postfix.
//!
//! Needs dovecot, postfix, curl, openssl and python3, and root (the servers switch users). `.ci/run` installs them;
//! where they are missing these tests say so loudly, and fail if `CI=true`.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

mod curl;
mod front;
mod python;

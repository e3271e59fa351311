//! What holds for every session, whatever its peers do.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tls.rs"]
mod tls;

mod bytes;
mod clear;
mod contract;
mod secrets;

//! End to end, on both programs: mock auth servers, mock backends, clients written here.

#![allow(clippy::unwrap_used, reason = "panicking is how a test fails")]

mod auth_addresses;
mod auth_failure;
mod auth_keepalive;
mod auth_tls;
mod backend_names;
mod backend_tls;
mod certificates;
mod command_line;
mod failed_reload;
mod faults;
mod fixtures;
mod hostile;
mod login;
mod logs;
mod metrics;
mod opening;
mod openssl;
mod operations;
mod options;
mod refusal;
mod relay;
mod replacement;
mod sessions;
mod setup;
mod supervisor;
mod tls;
mod upgrade;
mod workers;

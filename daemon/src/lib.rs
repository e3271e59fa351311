//! What both gatepost programs share.

mod auth;
mod certificates;
mod channel;
mod cli;
pub mod config;
mod control;
mod deadline;
pub mod demo;
mod drive;
#[cfg(test)]
mod fake;
mod inlet;
mod listener;
mod log;
mod master;
mod pid;
mod plan;
mod privileges;
mod resolver;
pub mod runtime;
mod sessions;
mod signals;
mod slots;
pub mod socket;
mod sys;
mod worker;

use gatepost_protocol::event::Level;

pub use self::master::Start;
pub use self::worker::Assignment;

/// Tells whoever started the program.
#[expect(clippy::print_stderr, reason = "this is where start-up messages go")]
fn say(program: &str, level: Level, message: &str) {
    eprintln!("{program}: [{}] {message}", log::level_name(level));
}

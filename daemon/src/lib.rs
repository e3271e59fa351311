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
mod probe;
mod resolver;
pub mod runtime;
mod sessions;
mod signals;
mod slots;
pub mod socket;
mod start;
mod sys;
mod worker;

pub use self::master::Start;
pub use self::start::run;
pub use self::worker::{Assignment, Service};

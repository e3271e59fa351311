//! What both gatepost programs share: everything around the engine that touches the machine.
//!
//! [`run`] is the whole program but for its runtime. It reads the command line and the configuration ([`config`]),
//! binds the listeners, and becomes the *master*: a process without runtime, thread or client, which forks workers,
//! replaces those that die, and obeys signals. A *worker* gets an [`Assignment`] and serves it on one thread, on a
//! runtime that meets the traits of [`runtime`]; a runtime crate is sockets, a timer and a `main` of a few lines.
//!
//! In a worker each accepted client becomes a session of `gatepost-protocol`, and one drive loop moves its bytes and
//! performs its actions: auth requests by `gatepost-auth-client`, client name lookups, backend connections, log
//! lines. [`Service`] runs the same loop without processes and sockets, for simulations.

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
mod guarded;
mod inherited;
mod inlet;
mod listener;
mod log;
mod master;
mod metrics;
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
mod supervisor;
mod sys;
mod title;
mod variables;
mod worker;

pub use self::master::Start;
pub use self::start::run;
pub use self::worker::{Assignment, Service};

//! The pure engine of gatepost.
#![forbid(unsafe_code)]

pub mod action;
pub mod address;
pub mod auth;
pub mod config;
mod deadline;
pub mod dns;
pub mod event;
pub mod imap;
mod line;
mod machine;
pub mod pop3;
pub mod proxy_protocol;
mod queue;
mod realip;
pub mod relay;
pub mod sasl;
pub mod secret;
pub mod session;
pub mod smtp;
pub mod transport;

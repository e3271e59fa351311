//! The pure engine of gatepost: everything a mail proxy decides, and nothing it does.
//!
//! A mail client speaks IMAP, POP3 or SMTP with a [`Session`] as if it were the mail server. Once the client has said
//! who it is, the session has an auth server asked where this user's mail lives, logs in there in the client's name,
//! and turns into a [`Relay`], which passes bytes.
//!
//! There is no socket, clock, file, thread or random number in this crate. Bytes, outcomes, the time and some entropy
//! come in by calls; bytes, actions and the next deadline go out. So a session runs the same under any runtime, in a
//! simulation, under a fuzzer and in a unit test, and TLS is inside it too.
//!
//! ```text
//!             wire bytes      +-------------- Session --------------+      wire bytes
//!   client  --------------->  | transport   machine    login        |  --------------->  backend
//!           <---------------  | (TLS)       IMAP, POP3 or SMTP       |  <---------------
//!                             +--------------------------------------+
//!                     poll_action |     ^ handle_completion   | Action::Relay
//!                                 v     |                     v
//!                  Authenticate, Resolve, Connect,    Session::into_relay -> Relay
//!                  Close, Log, ...
//! ```
//!
//! # The loop
//!
//! 1. Wait until a socket is ready, an operation has ended, or the deadline has come. While waiting nothing is
//!    borrowed, and no buffer is needed.
//! 2. Make one change: [`handle_input`](Session::handle_input) with what was read, or
//!    [`handle_eof`](Session::handle_eof), [`handle_failure`](Session::handle_failure),
//!    [`handle_completion`](Session::handle_completion), [`handle_deadline`](Session::handle_deadline),
//!    [`handle_shutdown`](Session::handle_shutdown). All lend an [`Output`](action::Output).
//! 3. Write what is in the output, and clear it. What a socket does not take is the caller's to keep; until it is gone,
//!    read neither that leg nor the other.
//! 4. Call [`poll_action`](Session::poll_action) until it returns `None`, and do what each [`Action`](action::Action)
//!    says.
//! 5. Ask [`poll_deadline`](Session::poll_deadline) when to come back at the latest, and
//!    [`input_limit`](Session::input_limit) which legs to read.
//! 6. After [`Action::Relay`](action::Action::Relay) call [`into_relay`](Session::into_relay) and go on with the relay,
//!    which is driven in the same way; after [`Action::Finish`](action::Action::Finish) drop the session.
//!
//! # The contract
//!
//! - One change, then steps 3 to 5. Debug builds panic where the actions of one change were not drained before the next.
//! - Extra calls do no harm: a deadline that has not come, an end of file said twice, input for a finished session.
//! - Nothing a peer sends is an error of a call, and nothing a peer sends makes a session hold more than its buffers:
//!   one command up to `client_buffer`, one backend reply up to `proxy_buffer`, one TLS record, as long as the caller
//!   reads no more than `input_limit`.
//! - An action that takes time is answered by exactly one [`Completion`](action::Completion), or by none after
//!   [`Action::Cancel`](action::Action::Cancel).
//! - The time never runs backwards.
//! - Passwords are in [`Secret`](secret::Secret) or in wiped memory, and never in `Debug`. The lent buffers are the
//!   caller's: until the relay, what was read (and decrypted in place) and what was written should be wiped there.
//!
//! # The parts
//!
//! [`session`] and [`relay`] are the two faces. Each protocol has its folder ([`imap`], [`pop3`], [`smtp`]) with the
//! machine towards the client, the login to the backend, and a `STATES.md`; they share [`sasl`]. [`transport`] is TLS,
//! [`proxy_protocol`] the header in front of a connection, [`dns`] the messages for a client's name. [`config`] holds
//! checked settings, [`auth`] the question to the auth server and its answer, [`event`] what may be logged.
#![forbid(unsafe_code)]

pub mod action;
pub mod address;
pub mod auth;
pub mod client_certificate;
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
mod words;

pub use relay::Relay;
pub use session::Session;

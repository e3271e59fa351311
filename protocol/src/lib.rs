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
//!    [`handle_shutdown`](Session::handle_shutdown), [`handle_shutdown_timeout`](Session::handle_shutdown_timeout).
//!    All lend an [`Output`](action::Output).
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
//! # Example
//!
//! A POP3 login without a socket: what client and backend say is two lists, and every password is right.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant};
//!
//! use gatepost_protocol::action::{Action, Completion, Output, Side};
//! use gatepost_protocol::address::{ClientAddr, Origin};
//! use gatepost_protocol::auth::{Accepted, AuthReply, BackendAddr};
//! use gatepost_protocol::config::{Listener, Mail, ProxyProtocol, Server, StartTls};
//! use gatepost_protocol::{Session, pop3, sasl};
//!
//! let minute = Duration::from_secs(60);
//! let capabilities = pop3::Settings::DEFAULT_CAPABILITIES;
//! let mechanisms = sasl::Mechanisms::from_iter([sasl::Mechanism::Plain]);
//! let server = Server {
//!     mail: Mail::Pop3(pop3::Settings::new(StartTls::Off, &capabilities, mechanisms, false)),
//!     name: "mail.example.org".into(),
//!     timeout: minute,
//!     auth_timeout: minute,
//!     proxy_timeout: 30 * minute,
//!     resolver_timeout: minute,
//!     resolve: false,
//!     max_errors: 5,
//!     client_buffer: 4096,
//!     proxy_buffer: 4096,
//!     starttls: StartTls::Off,
//!     tls: None,
//!     verify_client: None,
//!     auth_failure: false,
//!     session_log: false,
//!     proxy_ssl: gatepost_protocol::config::BackendTls::default(),
//!     pass_error_message: false,
//!     proxy_protocol: ProxyProtocol::Off,
//!     real_ip_from: Vec::new(),
//! };
//! let listener = Listener { server: Arc::new(server), ssl: false, proxy_protocol: false };
//! let origin = Origin {
//!     peer: ClientAddr::Inet("192.0.2.7:4711".parse()?),
//!     local: ClientAddr::Inet("192.0.2.1:110".parse()?),
//!     unix_time: 1_750_000_000,
//!     entropy: *b"no randomness :)",
//! };
//!
//! let mut client = vec!["USER alice\r\n", "PASS secret\r\n"].into_iter();
//! let mut backend = vec!["+OK ready\r\n", "+OK\r\n", "+OK 3 messages\r\n"].into_iter();
//! let (mut to_client, mut to_backend) = (Vec::new(), Vec::new());
//! let now = Instant::now();
//! let mut out = Output::default();
//! let mut session = Session::open(&listener, &origin, now, &mut out);
//! 'login: loop {
//!     // Here sockets would be written.
//!     to_client.extend_from_slice(&out.client.split());
//!     to_backend.extend_from_slice(&out.backend.split());
//!     let mut completion = None;
//!     while let Some(action) = session.poll_action() {
//!         match action {
//!             Action::Authenticate(request) => {
//!                 assert_eq!(request.credentials.login(), b"alice");
//!                 let address: std::net::SocketAddr = "10.0.0.5:110".parse()?;
//!                 let backend = BackendAddr { target: address.into(), name: "10.0.0.5:110".into() };
//!                 let reply = Accepted { backend, ssl: None, login: None, password: None };
//!                 completion = Some(Completion::Auth(Ok(AuthReply::Accepted(reply))));
//!             }
//!             Action::Connect(_) => completion = Some(Completion::Connected(Ok(()))),
//!             Action::Relay => break 'login,
//!             Action::Log(..) => {}
//!             other => panic!("not in this story: {other:?}"),
//!         }
//!     }
//!     // Here a runtime would wait: for the operation, for the sides that `wants_input` names, for `poll_deadline`.
//!     if let Some(completion) = completion {
//!         session.handle_completion(completion, now, &mut out);
//!         continue;
//!     }
//!     let (side, peer) = match session.wants_input(Side::Backend) {
//!         true => (Side::Backend, &mut backend),
//!         false => (Side::Client, &mut client),
//!     };
//!     let mut wire = peer.next().ok_or("this peer has no more to say")?.as_bytes().to_vec();
//!     session.handle_input(side, &mut wire, now, &mut out);
//! }
//! assert_eq!(to_client, b"+OK POP3 ready\r\n+OK\r\n+OK 3 messages\r\n");
//! assert_eq!(to_backend, b"USER alice\r\nPASS secret\r\n");
//!
//! let mut relay = session.into_relay(now, &mut out);
//! relay.handle_input(Side::Client, &mut b"STAT\r\n".to_vec(), now, &mut out);
//! assert_eq!(out.backend, "STAT\r\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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

#[cfg(test)]
mod tests;

pub use relay::Relay;
pub use session::Session;

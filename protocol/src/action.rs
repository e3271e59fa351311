//! What a session asks of its caller, and what the caller reports back.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use crate::auth::{AuthFailure, AuthReply, AuthRequest, Target};
use crate::event::{Event, Stage};

/// One of the two legs of a proxied connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The mail client that connected to us.
    Client,
    /// The mail server we connected to.
    Backend,
}

impl Side {
    /// The opposite leg.
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Backend,
            Self::Backend => Self::Client,
        }
    }
}

/// Wire bytes a call produced, appended to buffers that the caller lends, writes out and clears.
#[derive(Debug, Default)]
pub struct Output {
    /// For the client's socket.
    pub client: BytesMut,
    /// For the backend's socket.
    pub backend: BytesMut,
}

impl Output {
    /// The buffer of one leg.
    pub fn side(&mut self, side: Side) -> &mut BytesMut {
        match side {
            Side::Client => &mut self.client,
            Side::Backend => &mut self.backend,
        }
    }

    /// Whether nothing waits to be written.
    pub fn is_empty(&self) -> bool {
        self.client.is_empty() && self.backend.is_empty()
    }
}

/// What a session asks for. Perform actions in the order they come.
///
/// At most one of `Authenticate`, `Resolve` and `Connect` is under way at a time; each is answered by exactly one
/// [`Completion`], unless `Cancel` comes first.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the auth server. Answer with [`Completion::Auth`].
    Authenticate(Box<AuthRequest>),
    /// Look up the client's name (PTR, confirmed by A or AAAA). Answer with [`Completion::Resolved`]. The caller limits
    /// each of the two lookups to `resolver_timeout`; the session gives up after twice that, or after `timeout`.
    Resolve(IpAddr),
    /// Open the backend leg. Answer with [`Completion::Connected`]. A name is to be looked up, and its addresses are to
    /// be tried in turn; the session limits the time that all of it takes.
    Connect(Target),
    /// Give up the operation under way; its completion must not be delivered any more.
    Cancel,
    /// The login is complete: call `Session::into_relay`. No action follows this one.
    Relay,
    /// Shut down the sending direction of one leg once everything written for it has left (relay: half-close).
    Shutdown(Side),
    /// Write out what there is for this leg, then close it without destroying replies that are under way:
    /// shut down sending, read and discard for a short while, close. The leg is the caller's from now on; a later
    /// `Connect` opens a new backend leg.
    Close(Side),
    /// Drop this leg at once, unsent bytes included.
    Abort(Side),
    /// A fact for the log, with what the session was doing when it happened.
    Log(Event, Option<Stage>),
    /// The session is over; both legs have been closed by earlier actions. No action follows this one.
    Finish,
}

/// The outcome of an [`Action`] that takes time.
#[derive(Debug, PartialEq, Eq)]
pub enum Completion {
    /// The auth server's answer to [`Action::Authenticate`], or why there is none.
    Auth(Result<AuthReply, AuthFailure>),
    /// The outcome of [`Action::Resolve`]: the confirmed name, lower-cased.
    Resolved(Result<Box<str>, LookupFailure>),
    /// The outcome of [`Action::Connect`].
    Connected(Result<(), ConnectFailure>),
}

/// An operating system error number. The daemon turns it into text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// Why the backend leg could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFailure {
    /// The system call failed at once.
    Immediate(Errno),
    /// The attempt failed later (refused, unreachable).
    Refused(Errno),
    /// The worker has no free connection slot; the number is its `worker_connections`.
    NoSlots(usize),
    /// This one of a name's addresses could not be connected.
    AddressFailed(SocketAddr, Errno),
    /// This one of a name's addresses took longer than its share of the time.
    AddressTimedOut(SocketAddr),
    /// The name could not be looked up.
    Unresolved(DnsError),
    /// The proxy listens on this address itself: the session would be its own client, and so on without end.
    OwnAddress(SocketAddr),
}

/// Why the client's name is not known (spec/protocols.md section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// The PTR lookup failed.
    Address(DnsError),
    /// The PTR record holds bytes other than `[A-Za-z0-9.-]`, or nothing.
    InvalidName(Vec<u8>),
    /// The forward lookup of this name failed.
    Name(Box<str>, DnsError),
    /// The name does not lead back to the client's address.
    Mismatch,
}

/// DNS failure codes as the log shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// 1: Format error
    Format,
    /// 2: Server failure
    ServerFailure,
    /// 3: Host not found
    NotFound,
    /// 4: Unimplemented
    Unimplemented,
    /// 5: Operation refused
    Refused,
    /// 110: Operation timed out
    TimedOut,
}

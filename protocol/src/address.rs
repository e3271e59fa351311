//! Who is connected to whom, as values and as text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The address of a client. Prints as `Client-IP` and the log want it: no port, no brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddr {
    /// An internet address and port.
    Inet(SocketAddr),
    /// A client on a unix socket.
    Unix,
}

impl ClientAddr {
    /// The address without the port; `None` for unix clients.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => address.ip().fmt(f),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

/// The four facts of a PROXY header that came in, as text (v1: as received).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddresses {
    /// Source address.
    pub source: Box<str>,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: Box<str>,
    /// Destination port.
    pub destination_port: u16,
}

/// What the caller knows of a connection when it is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The TCP peer.
    pub peer: ClientAddr,
    /// The local address the client connected to.
    pub local: ClientAddr,
    /// Seconds since 1970, for the text of challenges.
    pub unix_time: u64,
    /// Fresh random bytes: challenges are derived from them.
    pub entropy: [u8; 16],
}

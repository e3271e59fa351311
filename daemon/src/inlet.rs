//! One `listen` of one server, with all that its sessions share.

use std::io;
use std::rc::Rc;

use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::config::{Listener, Protocol, ProxyProtocol};

use crate::auth::AuthServer;
use crate::config::Bind;
use crate::log::Log;
use crate::log::lines::Place;
use crate::resolver::Resolver;

/// One `listen` of one server. A session keeps the one it began with, whatever a reload brings.
#[derive(Debug)]
pub(crate) struct Inlet {
    /// What the engine needs to know.
    pub(crate) listener: Listener,
    /// The address as the log shows it; a wildcard stays a wildcard.
    pub(crate) listen: Box<str>,
    /// `auth_http`.
    pub(crate) auth: Rc<AuthServer>,
    /// All sockets that the worker listens on: no backend is there.
    pub(crate) binds: Rc<[Bind]>,
    /// `resolver`.
    pub(crate) resolver: Option<Rc<Resolver>>,
    /// The effective `error_log` list.
    pub(crate) log: Log,
}

/// What answers on one socket. Several `listen` may share a wildcard's; then the address that the client connected to
/// tells them apart.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) bind: Bind,
    /// One for each `listen` of the socket, in the same order.
    pub(crate) each: Vec<Rc<Inlet>>,
}

impl Inlets {
    /// The one whose address is the socket's.
    pub(crate) fn own(&self) -> &Rc<Inlet> {
        &self.each[0]
    }

    /// The one for a client that connected to this address, which is asked for only where it matters.
    ///
    /// # Errors
    /// `local`'s.
    pub(crate) fn select(&self, local: impl FnOnce() -> io::Result<ClientAddr>) -> io::Result<&Rc<Inlet>> {
        if self.each.len() == 1 {
            return Ok(self.own());
        }
        let selected = self.bind.select(local()?.ip());
        let index = self.bind.listens.iter().position(|listen| std::ptr::eq(listen, selected));
        Ok(index.map_or_else(|| self.own(), |index| &self.each[index]))
    }
}

impl Inlet {
    pub(crate) fn protocol(&self) -> Protocol {
        self.listener.server.protocol()
    }

    /// Whether it matters which address of this machine a client connected to: the header for backends shows it, and
    /// behind a wildcard it tells an address of the machine from a backend's.
    pub(crate) fn needs_local(&self) -> bool {
        self.listener.server.proxy_protocol != ProxyProtocol::Off || self.binds.iter().any(Bind::is_wildcard)
    }

    /// What log lines show of it, and of the address of the auth server that was asked.
    pub(crate) fn place(&self, auth_address: usize) -> Place<'_> {
        Place { listen: &self.listen, auth_server: &self.auth.addresses[auth_address].text }
    }
}

//! One `listen` of one server, with all that its sessions share.

use std::rc::Rc;

use gatepost_auth_client::Settings;
use gatepost_protocol::config::Listener;

use crate::log::Log;
use crate::log::lines::Place;
use crate::resolver::Resolver;
use crate::runtime::Peer;

/// One `listen` of one server. A session keeps the one it began with, whatever a reload brings.
#[derive(Debug)]
pub(crate) struct Inlet {
    /// What the engine needs to know.
    pub(crate) listener: Listener,
    /// The address as the log shows it; a wildcard stays a wildcard.
    pub(crate) listen: Box<str>,
    /// `auth_http`.
    pub(crate) auth: AuthServer,
    /// `resolver`.
    pub(crate) resolver: Option<Rc<Resolver>>,
    /// The effective `error_log` list.
    pub(crate) log: Log,
}

/// The auth server of one mail server.
#[derive(Clone, Debug)]
pub(crate) struct AuthServer {
    pub(crate) peer: Peer,
    /// The address as the log shows it.
    pub(crate) text: Box<str>,
    /// What all requests have in common.
    pub(crate) settings: Settings,
}

impl Inlet {
    /// What log lines show of it.
    pub(crate) fn place(&self) -> Place<'_> {
        Place { listen: &self.listen, auth_server: &self.auth.text }
    }
}

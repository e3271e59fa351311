//! One `listen` of one server, with all that its sessions share.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use gatepost_auth_client::Settings;
use gatepost_protocol::address::ClientAddr;
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

/// What answers on one socket. Several `listen` may share a wildcard's socket; then the address that the client
/// connected to tells them apart.
#[derive(Debug)]
pub(crate) struct Inlets {
    /// The `listen` with exactly this address.
    pub(crate) exact: Vec<(IpAddr, Rc<Inlet>)>,
    /// The one whose address is the socket's.
    pub(crate) own: Rc<Inlet>,
}

impl Inlets {
    /// The one for a client that connected to this address, which is asked for only where it matters.
    ///
    /// # Errors
    /// `local`'s.
    pub(crate) fn select(&self, local: impl FnOnce() -> io::Result<ClientAddr>) -> io::Result<&Rc<Inlet>> {
        if self.exact.is_empty() {
            return Ok(&self.own);
        }
        let local = local()?.ip();
        let exact = self.exact.iter().find(|(address, _)| Some(*address) == local);
        Ok(exact.map_or(&self.own, |(_, inlet)| inlet))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake;

    #[test]
    fn the_local_address_selects_and_is_asked_for_only_then() {
        let [own, other] = [(); 2].map(|()| fake::inlet(&Log::default(), false, None));
        let address: IpAddr = "127.0.0.9".parse().expect("an address");
        let alone = Inlets { exact: Vec::new(), own: Rc::clone(&own) };
        let selected = alone.select(|| panic!("no need to know")).expect("an inlet");
        assert!(Rc::ptr_eq(selected, &own));
        let shared = Inlets { exact: vec![(address, Rc::clone(&other))], own };
        for (local, expected) in [("127.0.0.9:110", &other), ("127.0.0.8:110", &shared.own)] {
            let local = ClientAddr::Inet(local.parse().expect("an address"));
            assert!(Rc::ptr_eq(shared.select(|| Ok(local)).expect("an inlet"), expected));
        }
    }
}

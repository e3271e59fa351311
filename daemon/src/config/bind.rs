//! Which sockets are bound, and whose clients come in through them (spec/config.md section 10.1, wildcard sharing).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Listen;
use crate::listener::Options;
use crate::runtime::Peer;

/// One listening socket.
///
/// Where a port has a wildcard, its socket also serves the specific addresses of that port: two sockets cannot have
/// them both. A client then belongs to the address it connected to, and the options are the wildcard's.
#[derive(Clone, Debug)]
pub struct Bind {
    /// What is bound.
    pub address: Peer,
    /// How.
    pub(crate) options: Options,
    /// The `listen`s served by it, one or more; the first has the address of the socket.
    pub listens: Vec<Listen>,
}

impl Bind {
    pub(super) fn from_listens(listens: Vec<(Listen, Options)>) -> Vec<Self> {
        let (wildcards, others): (Vec<_>, Vec<_>) =
            listens.into_iter().partition(|(listen, _)| inet(&listen.address).is_some_and(is_wildcard));
        // IPv6 wildcards that take IPv4 in come first, as an IPv4 wildcard may be theirs, too.
        let (wide, narrow): (Vec<_>, Vec<_>) =
            wildcards.into_iter().partition(|(listen, options)| is_wide(&listen.address, options));
        let mut binds = Vec::<Self>::new();
        // The one or two sockets of each port that others may share.
        let mut shared = HashMap::<u16, Vec<usize>>::new();
        for (listen, options) in wide.into_iter().chain(narrow).chain(others) {
            let address = inet(&listen.address);
            let candidates = address.and_then(|address| shared.get(&address.port()));
            let host = candidates.into_iter().flatten().find(|&&index| binds[index].covers(&listen.address));
            if let Some(&host) = host {
                binds[host].listens.push(listen);
                continue;
            }
            if let Some(address) = address.filter(|&address| is_wildcard(address)) {
                shared.entry(address.port()).or_default().push(binds.len());
            }
            binds.push(Self { address: listen.address.clone(), options, listens: vec![listen] });
        }
        binds
    }

    /// The `listen` for a client that connected to `local`; `None` on unix sockets.
    pub fn select(&self, local: Option<IpAddr>) -> &Listen {
        let local = local.map(|local| local.to_canonical());
        let address = |listen: &Listen| inet(&listen.address).map(|address| address.ip());
        let exact = || self.listens.iter().find(|listen| address(listen) == local);
        let wildcard = |listen: &&Listen| {
            address(listen).zip(local).is_some_and(|(address, local)| {
                address.is_unspecified() && address.is_ipv4() == local.is_ipv4()
            })
        };
        exact().or_else(|| self.listens.iter().find(wildcard)).unwrap_or(&self.listens[0])
    }

    /// Whether this socket has every address of the machine.
    pub(crate) fn is_wildcard(&self) -> bool {
        inet(&self.address).is_some_and(is_wildcard)
    }

    /// Whether who connects to `target` from this machine comes in here. `local` is an address that a client reached
    /// this machine by; whether a wildcard's socket has an address besides is known of that one, of those configured
    /// and of loopback ones.
    pub(crate) fn is_reached_by(&self, target: SocketAddr, local: Option<IpAddr>) -> bool {
        let Some(own) = inet(&self.address) else { return false };
        let ip = match target.ip().to_canonical() {
            // What the system makes of it.
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        let is_configured =
            || self.listens.iter().filter_map(|listen| inet(&listen.address)).any(|own| own.ip() == ip);
        let is_here =
            || ip.is_loopback() || local.is_some_and(|local| local.to_canonical() == ip) || is_configured();
        let covers = || self.covers(&Peer::Inet(SocketAddr::new(ip, target.port())));
        own.port() == target.port() && (own.ip().to_canonical() == ip || (covers() && is_here()))
    }

    /// Whether this socket gets the clients of an address of its port that is not its own.
    fn covers(&self, address: &Peer) -> bool {
        let (Some(own), Some(address)) = (inet(&self.address), inet(address)) else { return false };
        is_wildcard(own) && (own.is_ipv4() == address.is_ipv4() || is_wide(&self.address, &self.options))
    }
}

fn inet(peer: &Peer) -> Option<SocketAddr> {
    match peer {
        Peer::Inet(address) => Some(*address),
        Peer::Unix(_) => None,
    }
}

fn is_wildcard(address: SocketAddr) -> bool {
    address.ip().is_unspecified()
}

/// `[::]` with `ipv6only=off`.
fn is_wide(address: &Peer, options: &Options) -> bool {
    inet(address).is_some_and(|address| address.is_ipv6() && is_wildcard(address)) && !options.ipv6_only
}

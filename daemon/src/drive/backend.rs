//! Opening the backend leg: a name's addresses are looked up and tried in turn, and none is the proxy's own.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::time::Instant;

use gatepost_auth_client::connect_share;
use gatepost_protocol::action::{ConnectFailure, DnsError};
use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::auth::Target;

use super::leg::Leg;
use super::pump::errno_of;
use crate::inlet::Inlet;
use crate::resolver;
use crate::runtime::{Peer, Runtime, Stream};
use crate::worker::Worker;

/// What came of it.
pub(super) struct Connected<S> {
    /// Addresses that were tried in vain.
    pub(super) passed_over: Vec<ConnectFailure>,
    pub(super) outcome: Result<Leg<S>, ConnectFailure>,
}

/// Connects to a backend. The session, which began to wait at `now`, limits the time.
pub(super) async fn connect<R: Runtime>(
    worker: &Worker<R>,
    inlet: &Inlet,
    target: Target,
    local: ClientAddr,
    now: Instant,
) -> Connected<R::Stream> {
    let mut passed_over = Vec::new();
    let outcome = match target {
        Target::Address(address) if is_own(inlet, address, local) => Err(ConnectFailure::OwnAddress(address)),
        Target::Address(address) => open(worker, address).await,
        Target::Name { host, port } => match resolver::addresses(worker, inlet, &host).await {
            Err(error) => Err(ConnectFailure::Unresolved(error)),
            Ok(addresses) => {
                let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
                open_any(worker, inlet, addresses, local, now, &mut passed_over).await
            }
        },
    };
    Connected { passed_over, outcome }
}

fn is_own(inlet: &Inlet, address: SocketAddr, local: ClientAddr) -> bool {
    inlet.binds.iter().any(|bind| bind.is_reached_by(address, local.ip()))
}

/// The first of the addresses that can be connected.
async fn open_any<R: Runtime>(
    worker: &Worker<R>,
    inlet: &Inlet,
    addresses: Vec<SocketAddr>,
    local: ClientAddr,
    start: Instant,
    passed_over: &mut Vec<ConnectFailure>,
) -> Result<Leg<R::Stream>, ConnectFailure> {
    let end = start.checked_add(inlet.listener.server.timeout);
    let mut last = ConnectFailure::Unresolved(DnsError::NotFound);
    for (index, address) in addresses.iter().copied().enumerate() {
        if index > 0 {
            passed_over.push(last);
        }
        if is_own(inlet, address, local) {
            last = ConnectFailure::OwnAddress(address);
            continue;
        }
        let now = worker.runtime.now();
        let candidates = addresses.len() - index;
        let until = end.map(|end| now + connect_share(end.saturating_duration_since(now), candidates));
        last = match worker.until(until, open(worker, address)).await {
            None => ConnectFailure::AddressTimedOut(address),
            Some(Err(ConnectFailure::Immediate(errno) | ConnectFailure::Refused(errno))) => {
                ConnectFailure::AddressFailed(address, errno)
            }
            Some(outcome) => return outcome,
        };
    }
    Err(last)
}

async fn open<R: Runtime>(worker: &Worker<R>, address: SocketAddr) -> Result<Leg<R::Stream>, ConnectFailure> {
    let slot = worker.take_slot().map_err(ConnectFailure::NoSlots)?;
    worker.count_connection();
    let failed = |error| ConnectFailure::Immediate(errno_of(&error));
    let mut stream = worker.runtime.connect(&Peer::Inet(address)).map_err(failed)?;
    let connected = poll_fn(|cx| stream.poll_connected(cx)).await;
    connected.map_err(|error| ConnectFailure::Refused(errno_of(&error)))?;
    Ok(Leg::new(stream, slot))
}

#[cfg(test)]
mod tests;

//! Accepting clients.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use gatepost_protocol::address::{ClientAddr, Origin};
use gatepost_protocol::event::Level;
use nix::libc;
use socket2::{SockAddr, SockRef};

use super::{Worker, yield_now};
use crate::drive;
use crate::inlet::{Inlet, Inlets};
use crate::log::lines::{error_text, no_slots};
use crate::metrics::Count;
use crate::runtime::{Runtime, System, Watch};
use crate::sys;

/// Clients that one wake-up may accept before the worker's sessions have their turn.
const CLIENTS_PER_WAKEUP: u64 = 16;

/// Accepts clients of one listening socket for as long as it is polled. It pauses where the system refuses to give
/// descriptors: closing sessions give some back.
pub(super) async fn run<R: System>(
    worker: Rc<Worker<R>>,
    inlets: Rc<Inlets>,
    listener: R::Watch,
    pause: Duration,
) {
    for accepted in 1.. {
        if accepted % CLIENTS_PER_WAKEUP == 0 {
            yield_now().await;
        }
        match listener.when_readable(sys::accept).await {
            Ok((socket, address)) => admit(&worker, &inlets, socket, &address),
            Err(error) => {
                let level = match error.raw_os_error() {
                    Some(libc::ECONNABORTED) => Level::Error,
                    Some(libc::EMFILE | libc::ENFILE) => Level::Crit,
                    _ => Level::Alert,
                };
                let message = format!("accept4() failed {}", error_text(&error));
                inlets.own().log.write(worker.runtime.wall_clock(), level, None, &message);
                if level != Level::Error {
                    worker.sleep(pause).await;
                }
            }
        }
    }
}

/// Starts the session of one accepted client.
fn admit<R: System>(worker: &Rc<Worker<R>>, inlets: &Inlets, socket: OwnedFd, address: &SockAddr) {
    let alert =
        |message: &str| inlets.own().log.write(worker.runtime.wall_clock(), Level::Alert, None, message);
    let slot = match worker.take_slot() {
        Ok(slot) => slot,
        Err(limit) => {
            worker.metrics.add(inlets.own().protocol(), Count::NoSlot, 1);
            return alert(&no_slots(limit));
        }
    };
    // Where this fails, the client has gone again.
    let Ok((inlet, origin)) = identify(worker, inlets, &socket, address) else { return };
    match worker.runtime.adopt(socket) {
        Ok(stream) => drive::start(worker, Rc::clone(inlet), stream, &origin, slot),
        Err(error) => alert(&format!("epoll_ctl() failed {}", error_text(&error))),
    }
}

/// Which server the client has come to, and from where.
fn identify<'a, R: Runtime>(
    worker: &Worker<R>,
    inlets: &'a Inlets,
    socket: &OwnedFd,
    address: &SockAddr,
) -> io::Result<(&'a Rc<Inlet>, Origin)> {
    let peer = client_addr(address);
    let socket = SockRef::from(&socket);
    if peer != ClientAddr::Unix {
        socket.set_tcp_nodelay(true)?;
    }
    let local_addr = || Ok(client_addr(&socket.local_addr()?));
    let inlet = inlets.select(local_addr)?;
    let local = if inlet.needs_local() { local_addr()? } else { ClientAddr::Unix };
    let passed = worker.runtime.wall_clock().duration_since(UNIX_EPOCH);
    let unix_time = passed.map_or(0, |passed| passed.as_secs());
    Ok((inlet, Origin { peer, local, unix_time, entropy: worker.entropy() }))
}

fn client_addr(address: &SockAddr) -> ClientAddr {
    address.as_socket().map_or(ClientAddr::Unix, ClientAddr::Inet)
}

#[cfg(test)]
mod tests;

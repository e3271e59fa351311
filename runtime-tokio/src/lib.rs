//! The runtime of a gatepost worker on tokio: sockets, timers and tasks, on one thread.

mod stream;
mod timer;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use gatepost_daemon::runtime::{Peer, Runtime, System};
use gatepost_daemon::socket;

pub use crate::stream::Socket;
pub use crate::timer::Timer;

/// Runs a worker on this thread until its future is done.
///
/// # Errors
/// Where the operating system refuses what the runtime needs.
pub fn block_on<T: 'static, F: Future<Output = io::Result<T>> + 'static>(
    worker: impl FnOnce(Tokio) -> F,
) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // As a task of its own it is polled when it has something to do, and not whenever any other task has.
    let worker = async { tokio::task::spawn_local(worker(Tokio)).await };
    match tokio::task::LocalSet::new().block_on(&runtime, worker) {
        Ok(outcome) => outcome,
        Err(fault) => std::panic::resume_unwind(fault.into_panic()),
    }
}

/// The tokio runtime of this worker: one thread, tasks that never leave it.
#[derive(Clone, Debug)]
pub struct Tokio;

impl Runtime for Tokio {
    type Stream = Socket;
    type Timer = Timer;

    fn connect(&self, peer: &Peer) -> io::Result<Socket> {
        Socket::stream(socket::connect(peer)?)
    }

    fn datagram(&self, server: SocketAddr) -> io::Result<Socket> {
        Socket::datagram(socket::datagram(server)?)
    }

    fn timer(&self) -> Timer {
        Timer::default()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(tokio::task::spawn_local(task));
    }
}

impl System for Tokio {
    type Watch = Socket;

    fn adopt(&self, socket: OwnedFd) -> io::Result<Socket> {
        Socket::stream(socket)
    }

    fn watch(&self, descriptor: OwnedFd) -> io::Result<Socket> {
        Socket::watched(descriptor)
    }
}

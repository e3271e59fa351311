//! The runtime of a gatepost worker on smol: sockets, timers and tasks, on one thread.

mod stream;
mod timer;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use gatepost_daemon::runtime::{Peer, Runtime, System};
use gatepost_daemon::socket;
use smol::LocalExecutor;

pub use crate::stream::Socket;
pub use crate::timer::Timer;

/// Runs a worker on this thread until its future is done.
///
/// # Errors
/// The worker's own.
pub fn block_on<T: 'static, F: Future<Output = io::Result<T>> + 'static>(
    worker: impl FnOnce(Smol) -> F,
) -> io::Result<T> {
    let tasks = Rc::new(LocalExecutor::new());
    // As a task of its own it is polled when it has something to do, and not whenever any other task has.
    let worker = tasks.spawn(worker(Smol(Rc::clone(&tasks))));
    smol::block_on(tasks.run(worker))
}

/// The executor of this worker: one thread, tasks that never leave it.
#[derive(Clone, Debug)]
pub struct Smol(Rc<LocalExecutor<'static>>);

impl Runtime for Smol {
    type Stream = Socket;
    type Timer = Timer;

    fn connect(&self, peer: &Peer) -> io::Result<Socket> {
        Socket::new(socket::connect(peer)?)
    }

    fn datagram(&self, server: SocketAddr) -> io::Result<Socket> {
        Socket::new(socket::datagram(server)?)
    }

    fn timer(&self) -> Timer {
        Timer::default()
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(task).detach();
    }
}

impl System for Smol {
    type Watch = Socket;

    fn adopt(&self, socket: OwnedFd) -> io::Result<Socket> {
        Socket::new(socket)
    }

    fn watch(&self, descriptor: OwnedFd) -> io::Result<Socket> {
        Socket::new(descriptor)
    }
}

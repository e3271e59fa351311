//! The gatepost mail proxy on smol.

mod stream;
mod timer;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;

use gatepost_daemon::runtime::{Peer, Runtime, System};
use gatepost_daemon::socket;
use smol::LocalExecutor;

use crate::stream::Socket;
use crate::timer::Timer;

fn main() -> ExitCode {
    gatepost_daemon::run("gatepost-smol", |worker| {
        let tasks = Rc::new(LocalExecutor::new());
        let runtime = Smol(Rc::clone(&tasks));
        // As a task of its own it is polled when it has something to do, and not whenever any other task has.
        let serving = tasks.spawn(worker.serve(runtime));
        smol::block_on(tasks.run(serving))
    })
}

/// The executor of this worker: one thread, tasks that never leave it.
struct Smol(Rc<LocalExecutor<'static>>);

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

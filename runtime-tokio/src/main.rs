//! The gatepost mail proxy on tokio.

mod stream;
mod timer;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use gatepost_daemon::runtime::{Peer, Runtime, System};
use gatepost_daemon::socket;

use crate::stream::Socket;
use crate::timer::Timer;

fn main() -> ExitCode {
    gatepost_daemon::run("gatepost-tokio", |worker| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // As a task of its own it is polled when it has something to do, and not whenever any other task has.
        let serving = async { tokio::task::spawn_local(worker.serve(Tokio)).await };
        match tokio::task::LocalSet::new().block_on(&runtime, serving) {
            Ok(outcome) => outcome,
            Err(fault) => std::panic::resume_unwind(fault.into_panic()),
        }
    })
}

/// The tokio runtime of this worker: one thread, tasks that never leave it.
struct Tokio;

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

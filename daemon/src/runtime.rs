//! What an asynchronous runtime must offer for sessions to run on it.
//!
//! [`Runtime`] is all that the drive loop asks for, so the loop also runs on the simulated runtime of the tests, in
//! virtual time. [`System`] is what only a worker process on a real operating system needs besides.
//!
//! Dispatch is static and nothing has to be `Send`: a worker is one thread, and what its sessions share is in `Rc`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use crate::sys;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// TCP.
    Inet(SocketAddr),
    /// A unix stream socket.
    Unix(PathBuf),
}

/// Sockets, time, tasks and chance, as a worker sees them.
pub trait Runtime: 'static {
    /// A connection, or a connected datagram socket.
    type Stream: Stream;
    /// One point in time that a task can wait for.
    type Timer: Timer;

    /// Begins to connect; [`Stream::poll_connected`] tells how it ended.
    ///
    /// # Errors
    /// The system call's, where the attempt failed at once.
    fn connect(&self, peer: &Peer) -> io::Result<Self::Stream>;

    /// A UDP socket that sends to and receives from this address only. Each read and write is one datagram.
    ///
    /// # Errors
    /// The system call's.
    fn datagram(&self, server: SocketAddr) -> io::Result<Self::Stream>;

    /// A timer that is not set.
    fn timer(&self) -> Self::Timer;

    /// Runs a task on this thread until it is done.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// The monotonic clock.
    fn now(&self) -> Instant {
        sys::now()
    }

    /// The clock on the wall, for log lines and challenges.
    fn wall_clock(&self) -> SystemTime {
        sys::wall_clock()
    }

    /// Fills `bytes` with what nobody can predict.
    fn fill_random(&self, bytes: &mut [u8]) {
        sys::fill_random(bytes);
    }
}

/// A byte stream of one peer. Nothing is buffered here: bytes go between the caller's memory and the kernel.
pub trait Stream: Unpin + 'static {
    /// Whether the attempt begun by [`Runtime::connect`] has succeeded.
    ///
    /// # Errors
    /// Why it failed, as the operating system numbers it.
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what there is into `buffer`; zero bytes mean that the peer sends no more.
    ///
    /// # Errors
    /// The system call's, never `WouldBlock`.
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes as much as the kernel takes, trying at once rather than after a readiness event.
    ///
    /// # Errors
    /// The system call's, never `WouldBlock`.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends the sending direction.
    ///
    /// # Errors
    /// The system call's; a peer that has already gone is one of them.
    fn shutdown(&mut self) -> io::Result<()>;
}

/// One point in time that a task can wait for.
pub trait Timer: 'static {
    /// Moves the timer, whether it has expired or not.
    fn set(&mut self, at: Instant);

    /// Ready from the set time on; never for a timer that is not set.
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// A runtime on a real operating system, where sockets are descriptors.
pub trait System: Runtime {
    /// A descriptor whose readiness can be awaited.
    type Watch: Watch;

    /// Takes over an accepted connection; the descriptor does not block.
    ///
    /// # Errors
    /// Where the descriptor cannot be registered with the runtime.
    fn adopt(&self, socket: OwnedFd) -> io::Result<Self::Stream>;

    /// Takes over a descriptor that does not block: a listening socket, a signal descriptor.
    ///
    /// # Errors
    /// Where the descriptor cannot be registered with the runtime.
    fn watch(&self, descriptor: OwnedFd) -> io::Result<Self::Watch>;
}

/// A descriptor whose readiness can be awaited.
pub trait Watch: 'static {
    /// Runs `operation` when the descriptor is readable, until it says something else than `WouldBlock`.
    fn when_readable<T>(
        &self,
        operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> impl Future<Output = io::Result<T>>;
}

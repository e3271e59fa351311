//! The third runtime: `gatepost_daemon::runtime` on virtual time and connections in memory.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use gatepost_daemon::runtime::{Peer, Runtime, Stream, Timer};
use nix::libc;

use super::executor::Slot;
use super::network::{End, Link};
use super::trace::{Leg, What, digest};
use super::world::{Arrangement, World};

/// The runtime; clones share everything.
#[derive(Clone)]
pub(super) struct Simulated(pub(super) Rc<World>);

impl Runtime for Simulated {
    type Stream = Socket;
    type Timer = Alarm;

    fn connect(&self, peer: &Peer) -> io::Result<Socket> {
        let Peer::Inet(address) = peer else { return Err(io::Error::from_raw_os_error(libc::ENOENT)) };
        self.0.connect(*address)
    }

    fn datagram(&self, server: SocketAddr) -> io::Result<Socket> {
        self.0.datagram(server)
    }

    fn timer(&self) -> Alarm {
        Alarm { world: Rc::clone(&self.0), at: Cell::default(), slot: Slot::default() }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.executor.spawn(task);
    }

    fn now(&self) -> Instant {
        self.0.executor.now()
    }

    fn wall_clock(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + self.0.executor.passed()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.entropy.borrow_mut().fill(bytes);
    }
}

/// The proxy's end of a connection. Everything it does here is seen by the watch.
pub(super) struct Socket {
    pub(super) world: Rc<World>,
    pub(super) link: Rc<RefCell<Link>>,
    pub(super) number: usize,
    pub(super) leg: Leg,
    /// The worker whose socket it is.
    pub(super) service: usize,
    pub(super) arrangement: Arrangement,
    /// Woken when the attempt to connect has ended.
    pub(super) connecting: Slot,
}

impl Socket {
    fn note(&self, what: What) {
        self.world.note(what);
    }
}

impl Stream for Socket {
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (at, errno) = match self.arrangement {
            Arrangement::Answers(at) => (at, None),
            Arrangement::Fails(at, errno) => (at, Some(errno)),
            Arrangement::Never => return Poll::Pending,
        };
        if self.world.executor.passed() < at {
            self.connecting.wait(cx);
            self.world.executor.alarm(at, &self.connecting);
            return Poll::Pending;
        }
        self.world.on_auth_connected(self.number, errno.is_none());
        Poll::Ready(errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno))))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let outcome = self.link.borrow_mut().read(End::Proxy, &self.world.executor, cx, buffer);
        let (stream, leg) = (self.number, self.leg);
        match &outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => {
                self.note(What::End { stream, leg, is_error: !matches!(outcome, Poll::Ready(Ok(_))) });
                self.world.on_auth_lost(stream);
            }
            Poll::Ready(Ok(count)) => {
                self.note(What::Read { stream, leg, count: *count });
                self.world.on_proxy_read(leg, *count);
                self.world.on_auth_heard(stream);
            }
        }
        outcome
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let outcome = self.link.borrow_mut().write(End::Proxy, &self.world.executor, cx, bytes);
        if let Poll::Ready(Err(_)) = outcome {
            self.world.on_auth_lost(self.number);
        }
        if let Poll::Ready(Ok(count)) = outcome {
            let written = &bytes[..count];
            // What TLS makes of the bytes is random; its length is not.
            let digest = if self.world.is_secret(self.leg) { 0 } else { digest(written) };
            self.note(What::Write { stream: self.number, leg: self.leg, count, digest });
            self.world.on_proxy_write(self.number, self.leg, written);
        }
        outcome
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.note(What::Shutdown { stream: self.number, leg: self.leg });
        self.world.on_proxy_shutdown(self.leg);
        self.link.borrow_mut().shut_down(End::Proxy, &self.world.executor);
        Ok(())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.note(What::Drop { stream: self.number, leg: self.leg });
        self.world.on_proxy_drop(self.number, self.leg);
        self.world.slots.close(self.service);
        self.link.borrow_mut().close(End::Proxy, &self.world.executor);
    }
}

/// A timer of virtual time.
pub(super) struct Alarm {
    world: Rc<World>,
    at: Cell<Option<Duration>>,
    slot: Slot,
}

impl Timer for Alarm {
    fn set(&mut self, at: Instant) {
        let at = self.world.executor.since_start(at);
        self.at.set(Some(at));
        // What was set before is not waited for any more.
        self.slot = Slot::default();
        self.world.executor.alarm(at, &self.slot);
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at.get() else { return Poll::Pending };
        if at <= self.world.executor.passed() {
            return Poll::Ready(());
        }
        self.slot.wait(cx);
        Poll::Pending
    }
}

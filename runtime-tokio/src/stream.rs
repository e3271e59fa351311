//! Sockets on tokio: one type for streams, datagrams and whatever else is only watched.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use gatepost_daemon::runtime::{Stream, Watch};
use gatepost_daemon::socket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that does not block, registered with the runtime.
#[derive(Debug)]
pub struct Socket {
    descriptor: AsyncFd<OwnedFd>,
    /// Whether a read that fills less than the buffer has emptied the socket: so for streams, not for datagrams.
    is_stream: bool,
}

const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

#[expect(unsafe_code, reason = "tokio cannot know that the descriptor stays the same; here it does")]
fn register(descriptor: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` has one descriptor, open for as long as it lives. Nothing here moves it out of the `AsyncFd`
    // or replaces it, so it is deregistered before it is closed.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

impl Socket {
    pub(crate) fn stream(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self { descriptor: register(descriptor, BOTH)?, is_stream: true })
    }

    pub(crate) fn datagram(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self { descriptor: register(descriptor, BOTH)?, is_stream: false })
    }

    pub(crate) fn watched(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self { descriptor: register(descriptor, Interest::READABLE)?, is_stream: false })
    }
}

impl Stream for Socket {
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if socket::is_connected(self.descriptor.as_fd())? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.descriptor.poll_write_ready(cx))?.clear_ready();
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.descriptor.poll_read_ready(cx))?;
            let Ok(result) = guard.try_io(|descriptor| socket::receive(descriptor.as_fd(), buffer)) else {
                continue;
            };
            // Saves the call that would find the socket empty. That the peer has closed is remembered all the same.
            if self.is_stream && matches!(result, Ok(count) if count < buffer.len()) {
                guard.clear_ready();
            }
            return Poll::Ready(result);
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match socket::send(self.descriptor.as_fd(), bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result),
        }
        loop {
            let mut guard = ready!(self.descriptor.poll_write_ready(cx))?;
            if let Ok(result) = guard.try_io(|descriptor| socket::send(descriptor.as_fd(), bytes)) {
                return Poll::Ready(result);
            }
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        socket::shutdown(self.descriptor.as_fd())
    }
}

impl Watch for Socket {
    async fn when_readable<T>(
        &self,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.descriptor.async_io(Interest::READABLE, |descriptor| operation(descriptor.as_fd())).await
    }
}

//! Sockets on smol: one type for streams, datagrams and whatever else is only watched.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll, ready};

use gatepost_daemon::runtime::{Stream, Watch};
use gatepost_daemon::socket;
use smol::Async;

/// A descriptor that does not block, registered with the reactor.
#[derive(Debug)]
pub struct Socket(Async<OwnedFd>);

impl Socket {
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        Ok(Self(Async::new_nonblocking(descriptor)?))
    }
}

impl Stream for Socket {
    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if socket::is_connected(self.0.as_fd())? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.0.poll_writable(cx))?;
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // The reactor reports readiness once per interest, whatever was read before: waiting first costs no call
        // that finds the socket empty, and a task woken for another reason finds its interest still registered.
        loop {
            ready!(self.0.poll_readable(cx))?;
            match socket::receive(self.0.as_fd(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match socket::send(self.0.as_fd(), bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            ready!(self.0.poll_writable(cx))?;
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        socket::shutdown(self.0.as_fd())
    }
}

impl Watch for Socket {
    async fn when_readable<T>(
        &self,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            self.0.readable().await?;
            match operation(self.0.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }
}

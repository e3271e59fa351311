//! One leg of a session: a stream, what it has not taken yet, and how far it is closed.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};

use crate::runtime::Stream;
use crate::slots::Slot;

/// An open leg. Its slot is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Leg<S> {
    pub(super) stream: S,
    /// What the stream would not take, oldest first. Empty and without memory most of the time.
    backlog: BytesMut,
    /// The peer sends no more.
    pub(super) ended: bool,
    shutdown: Shutdown,
    _slot: Slot,
}

/// How far the sending direction is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    No,
    /// As soon as the backlog has left.
    Wanted,
    Done,
}

impl<S: Stream> Leg<S> {
    pub(crate) fn new(stream: S, slot: Slot) -> Self {
        Self { stream, backlog: BytesMut::new(), ended: false, shutdown: Shutdown::No, _slot: slot }
    }

    /// Whether bytes wait for the stream: then the other leg must not bring more.
    pub(crate) fn is_congested(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// How many bytes wait for the stream.
    pub(super) fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// Writes `bytes` behind what waits already, as far as the stream takes them, and keeps the rest.
    ///
    /// # Errors
    /// The stream's: the leg is gone.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        while self.backlog.is_empty() && !bytes.is_empty() {
            match self.stream.poll_write(cx, bytes)? {
                Poll::Ready(count) => bytes = &bytes[count..],
                Poll::Pending => break,
            }
        }
        self.backlog.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what waits, then shuts down if that was asked for. Ready when nothing waits.
    ///
    /// # Errors
    /// The stream's: the leg is gone.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.backlog.is_empty() {
            let count = ready!(self.stream.poll_write(cx, &self.backlog))?;
            self.backlog.advance(count);
            if self.backlog.is_empty() {
                // An idle leg keeps no memory.
                self.backlog = BytesMut::new();
            }
        }
        if self.shutdown == Shutdown::Wanted {
            self.shutdown = Shutdown::Done;
            // The peer may have gone already; reading tells.
            drop(self.stream.shutdown());
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the sending direction behind what still waits.
    pub(crate) fn shut_down(&mut self) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Wanted;
        }
    }
}

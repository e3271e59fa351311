//! One connection to an auth server, in clear or under TLS.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use gatepost_protocol::auth::AuthFailure;
use gatepost_protocol::transport::TlsClient;
use zeroize::Zeroizing;

use crate::config::{AuthAddress, AuthTls};
use crate::drive::errno_of;
use crate::runtime::Stream;
use crate::slots::Slot;

/// Bytes read at a time. A reply's head is some hundred bytes.
const READ_SIZE: usize = 4096;

/// How often an idle connection is read from, at most, to find out whether it is still of use.
const IDLE_READS: usize = 8;

/// A connection. It is closed when it is dropped, under TLS not without saying so.
#[derive(Debug)]
pub(super) struct Connection<S: Stream> {
    /// Where it leads.
    pub(super) address: AuthAddress,
    stream: S,
    tls: Option<Box<Tls>>,
    /// Nothing more can come.
    is_over: bool,
    _slot: Slot,
}

#[derive(Debug)]
struct Tls {
    client: TlsClient,
    /// Records that the stream has not taken.
    unsent: BytesMut,
}

/// What one look at a connection brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes; under TLS, where they may be those of records without content, perhaps none.
    Bytes,
    /// Perhaps bytes, and the end.
    End,
}

impl<S: Stream> Connection<S> {
    /// A connection that has been made.
    pub(super) fn new(address: AuthAddress, stream: S, slot: Slot) -> Self {
        Self { address, stream, tls: None, is_over: false, _slot: slot }
    }

    /// Shakes hands, where the address is one for TLS. What is last to be said for it leaves with the request.
    pub(super) async fn secure(&mut self) -> Result<(), AuthFailure> {
        let Some(AuthTls { config, name }) = &self.address.tls else { return Ok(()) };
        let mut unsent = BytesMut::new();
        let client = TlsClient::new(config, name.clone(), &mut unsent)?;
        self.tls = Some(Box::new(Tls { client, unsent }));
        poll_fn(|cx| self.poll_secured(cx)).await
    }

    fn poll_secured(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AuthFailure>> {
        let broken = |error| AuthFailure::HandshakeBroken(errno_of(&error));
        while self.tls.as_ref().is_some_and(|tls| tls.client.is_handshaking()) {
            ready!(self.poll_flush(cx)).map_err(broken)?;
            let mut has_spoken = false;
            match ready!(self.poll_receive(cx, &mut |_| has_spoken = true)) {
                Err(AuthFailure::Receive(errno)) => {
                    return Poll::Ready(Err(AuthFailure::HandshakeBroken(errno)));
                }
                Ok(Received::End) => return Poll::Ready(Err(AuthFailure::ClosedInHandshake)),
                // An answer before the question.
                Ok(Received::Bytes) if has_spoken => return Poll::Ready(Err(AuthFailure::InvalidResponse)),
                received => received?,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Sends all of it.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> Result<(), AuthFailure> {
        if let Some(tls) = &mut self.tls {
            tls.client.send(bytes, &mut tls.unsent);
            bytes = &[];
        }
        let failed = |error| AuthFailure::Send(errno_of(&error));
        poll_fn(|cx| {
            while !bytes.is_empty() {
                let written = ready!(self.stream.poll_write(cx, bytes)).map_err(failed)?;
                bytes = &bytes[written..];
            }
            self.poll_flush(cx).map_err(failed)
        })
        .await
    }

    /// Reads what there is; what it says goes to `take`, in order.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<Received, AuthFailure>> {
        if self.is_over {
            return Poll::Ready(Ok(Received::End));
        }
        // Lives for one poll only: a session that waits holds no buffer.
        let mut buffer = Zeroizing::new([0; READ_SIZE]);
        let received = match ready!(self.stream.poll_read(cx, &mut buffer[..])) {
            Ok(0) => Ok(Received::End),
            Ok(count) => self.take(cx, &mut buffer[..count], take),
            Err(error) => Err(AuthFailure::Receive(errno_of(&error))),
        };
        self.is_over = received != Ok(Received::Bytes);
        Poll::Ready(received)
    }

    fn take(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut [u8],
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Received, AuthFailure> {
        let Some(tls) = &mut self.tls else {
            take(wire);
            return Ok(Received::Bytes);
        };
        let received = tls.client.receive(wire, &mut tls.unsent, take);
        let is_closed = tls.client.is_closed_by_peer();
        // An alert, or the answer to new keys. What fails here fails again where something else is sent.
        drop(self.poll_flush(cx));
        received?;
        Ok(if is_closed { Received::End } else { Received::Bytes })
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(())) };
        while !tls.unsent.is_empty() {
            let written = ready!(self.stream.poll_write(cx, &tls.unsent))?;
            tls.unsent.advance(written);
        }
        // Idle connections hold no buffer.
        tls.unsent = BytesMut::new();
        Poll::Ready(Ok(()))
    }

    /// Whether it can carry a question now. An idle server has nothing to say but what TLS says by itself, such as
    /// tickets for the next session.
    pub(super) fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..IDLE_READS {
            let mut has_spoken = false;
            match self.poll_receive(&mut cx, &mut |_| has_spoken = true) {
                // Part of a record may be anything.
                Poll::Pending => return !self.tls.as_ref().is_some_and(|tls| tls.client.has_pending_input()),
                Poll::Ready(Ok(Received::Bytes)) if !has_spoken => {}
                Poll::Ready(_) => return false,
            }
        }
        false
    }
}

impl<S: Stream> Drop for Connection<S> {
    fn drop(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.client.close(&mut tls.unsent);
            // Nobody waits for a server that does not take it.
            drop(self.poll_flush(&mut Context::from_waker(Waker::noop())));
        }
    }
}

//! The client's role, towards backends and whatever else a daemon connects to.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;

use super::error::TlsError;
use super::tls::Tls;

/// One TLS connection in which the peer is the server.
///
/// It needs no mail session: whoever has a connection hands in what was read from it and writes what is appended to
/// `output`. Between two calls it keeps only the beginning of a record that has not arrived in full.
///
/// ```text
/// new -> output ... receive <-> output, until !is_handshaking -> send, receive -> close
/// ```
pub struct TlsClient(Tls<UnbufferedClientConnection>);

impl TlsClient {
    /// Begins a handshake: the ClientHello is appended to `output`. `name` is what the server's certificate is verified
    /// for, and, where it is a DNS name and `config` has `enable_sni`, what the server is told.
    ///
    /// # Errors
    /// `config` cannot connect to anybody of that name.
    pub fn new(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        output: &mut BytesMut,
    ) -> Result<Self, TlsError> {
        let mut tls = Tls::new(UnbufferedClientConnection::new(Arc::clone(config), name)?);
        tls.start(output)?;
        Ok(Self(tls))
    }

    /// Takes all of `wire`, which is overwritten. Plaintext goes to `plaintext`, piece by piece and in order; records
    /// that TLS itself wants to send are appended to `output`. What comes after the peer's close_notify or after an
    /// error is ignored.
    ///
    /// # Errors
    /// The peer broke TLS, refused to go on, or is not who it should be. The alert for it, if any, is already in
    /// `output`; nothing can be sent or received any more. Plaintext delivered before it is good.
    pub fn receive(
        &mut self,
        wire: &mut [u8],
        output: &mut BytesMut,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        self.0.receive(wire, output, plaintext)
    }

    /// Appends `plaintext` to `output` in records of up to 16 KiB. Not to be called while
    /// [`is_handshaking`](Self::is_handshaking); after [`close`](Self::close) or an error it does nothing.
    pub fn send(&mut self, plaintext: &[u8], output: &mut BytesMut) {
        self.0.send(plaintext, output);
    }

    /// Says that we send no more: appends a close_notify, once. The peer's bytes are still received.
    pub fn close(&mut self, output: &mut BytesMut) {
        self.0.close(output);
    }

    /// Whether the handshake has not finished.
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Whether the peer sent a close_notify. An end of file without one may be a truncation.
    pub fn is_closed_by_peer(&self) -> bool {
        self.0.is_closed_by_peer()
    }

    /// Whether part of a record has come, and the rest has not.
    pub fn has_pending_input(&self) -> bool {
        self.0.has_pending_input()
    }

    /// Bytes of memory that unfinished input occupies.
    #[cfg(test)]
    pub(super) fn pending_capacity(&self) -> usize {
        self.0.pending_capacity()
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;

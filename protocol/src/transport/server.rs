//! The server's role, towards mail clients.

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use super::TlsFacts;
use super::client_hello::{ClientHello, Progress};
use super::error::TlsError;
use super::tls::{Tls, openssl_name};

/// One TLS connection in which the peer is the client.
pub(crate) struct TlsServer {
    tls: Tls<UnbufferedServerConnection>,
    /// Reads the server name while the ClientHello arrives.
    hello: Option<Box<ClientHello>>,
    server_name: Option<Box<str>>,
}

impl TlsServer {
    pub(super) fn new(config: &Arc<ServerConfig>) -> Result<Self, TlsError> {
        let connection = UnbufferedServerConnection::new(Arc::clone(config))?;
        Ok(Self { tls: Tls::new(connection), hello: Some(Box::default()), server_name: None })
    }

    pub(super) fn receive(
        &mut self,
        wire: &mut [u8],
        output: &mut BytesMut,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        self.read_server_name(wire);
        self.tls.receive(wire, output, plaintext)
    }

    pub(super) fn send(&mut self, plaintext: &[u8], output: &mut BytesMut) {
        self.tls.send(plaintext, output);
    }

    pub(super) fn close(&mut self, output: &mut BytesMut) {
        self.tls.close(output);
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    pub(super) fn is_closed_by_peer(&self) -> bool {
        self.tls.is_closed_by_peer()
    }

    pub(super) fn facts(&self) -> Option<TlsFacts> {
        if self.is_handshaking() {
            return None;
        }
        let connection = self.tls.connection();
        // rustls speaks no other version.
        let is_tls13 = connection.protocol_version()? == ProtocolVersion::TLSv1_3;
        Some(TlsFacts {
            protocol: if is_tls13 { "TLSv1.3" } else { "TLSv1.2" },
            cipher: openssl_name(connection.negotiated_cipher_suite()?.suite()),
            server_name: self.server_name.clone(),
            alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into()),
            client: None,
        })
    }

    pub(super) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.connection().peer_certificates()
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.tls.connection().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Bytes of memory that unfinished input occupies.
    #[cfg(test)]
    pub(super) fn pending_capacity(&self) -> usize {
        self.tls.pending_capacity()
    }

    fn read_server_name(&mut self, wire: &[u8]) {
        if let Some(hello) = &mut self.hello
            && let Progress::Done(name) = hello.read(wire)
        {
            self.server_name = name;
            self.hello = None;
        }
    }
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tls.fmt(f)
    }
}

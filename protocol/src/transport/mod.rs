//! Between wire bytes and plaintext, for one leg.
//!
//! A `Transport` is either plain, and then passes bytes through, or it speaks TLS. What it receives it decrypts in
//! the caller's buffer; what it sends it appends to the caller's buffer. Between two calls it keeps only the
//! beginning of a record that has not arrived in full, and gives that memory back once the rest is there.

mod client;
mod client_hello;
mod error;
mod server;
mod tls;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use bytes::BytesMut;
use rustls::pki_types::{CertificateDer, ServerName};

pub use self::client::TlsClient;
pub use self::error::{PeerFault, TlsCause, TlsError};
use self::server::TlsServer;

use crate::client_certificate::ClientFacts;

/// Facts of an established TLS session with the client, as the auth request and the PROXY header show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub protocol: &'static str,
    /// The cipher suite in OpenSSL's spelling.
    pub cipher: &'static str,
    /// The name the client sent by SNI.
    pub server_name: Option<Box<str>>,
    /// The protocol chosen by ALPN.
    pub alpn: Option<Box<str>>,
    /// What is known of the client itself; `None` with `ssl_verify_client off`.
    pub client: Option<ClientFacts>,
}

/// The protection of one leg.
pub(crate) enum Transport {
    /// Wire bytes are the plaintext.
    Plain,
    /// TLS with the peer as the client, from its handshake on. Boxed: a plain leg is most of what a worker holds.
    Server(Box<TlsServer>),
    /// TLS with the peer as the server.
    Client(Box<TlsClient>),
}

/// The same call in whichever role, or what holds in clear.
macro_rules! under_tls {
    ($this:ident, $tls:ident => $call:expr, $plain:expr) => {
        match $this {
            Self::Plain => $plain,
            Self::Server($tls) => $call,
            Self::Client($tls) => $call,
        }
    };
}

impl Transport {
    /// A leg in clear.
    pub(crate) fn plain() -> Self {
        Self::Plain
    }

    /// A leg on which the peer begins a TLS handshake with us as the server.
    ///
    /// ALPN is `config`'s: with `alpn_protocols` set to the server's protocol, a client that offers a list without it
    /// is refused, and one that offers none is served (spec/protocols.md section 5.1).
    ///
    /// # Errors
    /// The reason in words, where `config` cannot serve any client.
    pub(crate) fn server(config: &Arc<rustls::ServerConfig>) -> Result<Self, TlsError> {
        Ok(Self::Server(Box::new(TlsServer::new(config)?)))
    }

    /// A leg on which we begin a TLS handshake with the peer as the server: the ClientHello is appended to `output`.
    ///
    /// # Errors
    /// `config` cannot connect to anybody of that name.
    pub(crate) fn client(
        config: &Arc<rustls::ClientConfig>,
        name: ServerName<'static>,
        output: &mut BytesMut,
    ) -> Result<Self, TlsError> {
        Ok(Self::Client(Box::new(TlsClient::new(config, name, output)?)))
    }

    /// Takes all of `wire`, which is overwritten. Plaintext goes to `plaintext`, piece by piece and in order; records
    /// that TLS itself wants to send (handshake, tickets, alerts) are appended to `output`.
    ///
    /// What the peer sends after its close_notify or after an error is ignored.
    ///
    /// # Errors
    /// The peer broke TLS or refused to go on. The alert for it, if any, is already in `output`; nothing can be sent
    /// or received any more. Plaintext delivered before it is good.
    pub(crate) fn receive(
        &mut self,
        wire: &mut [u8],
        output: &mut BytesMut,
        plaintext: &mut dyn FnMut(&[u8]),
    ) -> Result<(), TlsError> {
        under_tls!(self, tls => tls.receive(wire, output, plaintext), {
            if !wire.is_empty() {
                plaintext(wire);
            }
            Ok(())
        })
    }

    /// Appends `plaintext` to `output`, under TLS in records of up to 16 KiB.
    ///
    /// Not to be called while [`is_handshaking`](Self::is_handshaking). After [`close`](Self::close) or an error it
    /// does nothing.
    pub(crate) fn send(&mut self, plaintext: &[u8], output: &mut BytesMut) {
        under_tls!(self, tls => tls.send(plaintext, output), output.extend_from_slice(plaintext));
    }

    /// Says that we send no more: appends a close_notify, once. The peer's bytes are still received.
    pub(crate) fn close(&mut self, output: &mut BytesMut) {
        under_tls!(self, tls => tls.close(output), {});
    }

    /// Whether a TLS handshake has begun, or is awaited, and has not finished.
    pub(crate) fn is_handshaking(&self) -> bool {
        under_tls!(self, tls => tls.is_handshaking(), false)
    }

    /// Whether a TLS handshake has finished.
    pub(crate) fn is_secured(&self) -> bool {
        under_tls!(self, tls => !tls.is_handshaking(), false)
    }

    /// Whether wire bytes are the plaintext.
    pub(crate) fn is_plain(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Server(_) | Self::Client(_) => false,
        }
    }

    /// Whether the peer sent a close_notify. An end of file without one may be a truncation.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        under_tls!(self, tls => tls.is_closed_by_peer(), false)
    }

    /// The chain that the client presented, in this connection or in the one whose session it resumes.
    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        match self {
            Self::Server(tls) => tls.peer_certificates(),
            Self::Plain | Self::Client(_) => None,
        }
    }

    /// Whether the client's handshake resumed an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        match self {
            Self::Server(tls) => tls.is_resumed(),
            Self::Plain | Self::Client(_) => false,
        }
    }

    /// What was negotiated, once the handshake has finished; of the client itself, nothing yet.
    pub(crate) fn facts(&self) -> Option<TlsFacts> {
        match self {
            Self::Server(tls) => tls.facts(),
            Self::Plain | Self::Client(_) => None,
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("Plain"),
            Self::Server(tls) => tls.fmt(f),
            Self::Client(tls) => tls.fmt(f),
        }
    }
}

//! TLS under a script: peers in memory, and cryptography that leaves nothing to chance.
//!
//! Handshake and records are rustls's own. Only what would differ from run to run is fixed: the random bytes and the key
//! exchange, which so costs nothing either; nobody checks a certificate, unless a script says what is wrong with it.

mod configs;
mod provider;
mod trust;

use std::io::{Read, Write};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, ServerConnection};

pub(crate) use self::configs::{Manner, backend_client, server};
pub(crate) use self::trust::{EXPIRED, Finding, SELF_SIGNED};

/// The name in the certificate.
const NAME: &str = "mx.example";

/// The other end of a leg: a client, or a backend.
pub(crate) struct Peer {
    connection: Connection,
    is_broken: bool,
    has_heard: bool,
}

impl Peer {
    /// A client that begins a handshake; its first message waits in [`wire`](Self::wire).
    pub(crate) fn client(manner: Manner) -> Self {
        let name = ServerName::try_from(NAME).expect("the name is well-formed");
        let connection =
            ClientConnection::new(configs::client(manner), name).expect("the configuration is complete");
        Self::new(connection.into())
    }

    /// A backend that awaits a handshake.
    pub(crate) fn backend() -> Self {
        Self::new(ServerConnection::new(configs::backend()).expect("the configuration is complete").into())
    }

    fn new(connection: Connection) -> Self {
        Self { connection, is_broken: false, has_heard: false }
    }

    /// Whether the other end has said something, so that it has agreed too, and nothing was wrong since.
    pub(crate) fn is_established(&self) -> bool {
        !self.is_broken && self.has_heard
    }

    /// Whether the other end has said, under TLS, that it says no more.
    pub(crate) fn has_got_close_notify(&mut self) -> bool {
        self.connection.process_new_packets().is_ok_and(|state| state.peer_has_closed())
    }

    /// Says these bytes, once the handshake lets it: a record for each line.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.is_broken |= self.connection.writer().write_all(line).is_err();
        }
    }

    /// Says that no more will be said. Somebody who may not speak TLS at all is not listened to any more: behind its
    /// close_notify rustls takes no mistake of its peer.
    pub(crate) fn close(&mut self) {
        self.is_broken |= !self.has_heard;
        self.connection.send_close_notify();
    }

    /// What waits to be sent.
    pub(crate) fn wire(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut wire).expect("a vector takes all");
        }
        wire
    }

    /// Takes what was received and gives it in clear. What is no TLS ends the connection, as in every client.
    pub(crate) fn hear(&mut self, mut wire: &[u8]) -> Vec<u8> {
        let mut heard = Vec::new();
        while !wire.is_empty() && !self.is_broken {
            self.connection.read_tls(&mut wire).expect("a slice gives all");
            match self.connection.process_new_packets() {
                Ok(state) => {
                    let mut piece = vec![0; state.plaintext_bytes_to_read()];
                    self.connection.reader().read_exact(&mut piece).expect("as announced");
                    heard.extend_from_slice(&piece);
                    self.has_heard |= !piece.is_empty();
                    // Behind the end of TLS nothing is read.
                    self.is_broken |= state.peer_has_closed() && !wire.is_empty();
                }
                Err(_) => self.is_broken = true,
            }
        }
        heard
    }
}

//! TLS under a peer's end of a connection.

use std::io::{Read, Write};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, Error, ServerConnection};

use super::identity;

/// TLS on one connection, in either role.
pub(super) struct Secured {
    connection: Connection,
    /// Whether the other side has said anything: before that its handshake may have been cut short.
    has_decrypted: bool,
    /// Whether it has taken leave.
    has_heard_the_end: bool,
}

impl Secured {
    /// The end of a session's client.
    pub(super) fn client(session: usize) -> Self {
        let name = ServerName::try_from("localhost").unwrap();
        Self::new(ClientConnection::new(identity::client(session), name).unwrap().into())
    }

    /// The end of a backend that shows the certificate of this session's.
    pub(super) fn backend(session: usize) -> Self {
        Self::new(ServerConnection::new(identity::backend(session)).unwrap().into())
    }

    /// The end of an auth server that this session asks.
    pub(super) fn auth_server(session: usize) -> Self {
        Self::new(ServerConnection::new(identity::auth_server(session)).unwrap().into())
    }

    fn new(connection: Connection) -> Self {
        Self { connection, has_decrypted: false, has_heard_the_end: false }
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    pub(super) fn has_decrypted(&self) -> bool {
        self.has_decrypted
    }

    pub(super) fn has_heard_the_end(&self) -> bool {
        self.has_heard_the_end
    }

    /// The name that the other side asked for.
    pub(super) fn asked_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// The records of these bytes.
    pub(super) fn say(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.connection.writer().write_all(bytes).unwrap();
        self.records()
    }

    /// The record of taking leave.
    pub(super) fn close(&mut self) -> Vec<u8> {
        self.connection.send_close_notify();
        self.records()
    }

    /// What TLS wants written.
    pub(super) fn records(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut records).unwrap();
        }
        records
    }

    /// Takes what came in, and appends what it says.
    pub(super) fn receive(&mut self, mut wire: &[u8], said: &mut Vec<u8>) -> Result<(), Error> {
        while !wire.is_empty() && self.connection.read_tls(&mut wire).is_ok_and(|count| count > 0) {
            self.connection.process_new_packets()?;
            // At once, for there is room for one record only.
            self.take_decrypted(said);
        }
        Ok(())
    }

    fn take_decrypted(&mut self, said: &mut Vec<u8>) {
        let mut buffer = [0; 4_096];
        while let Ok(count) = self.connection.reader().read(&mut buffer) {
            if count == 0 {
                self.has_heard_the_end = true;
                return;
            }
            self.has_decrypted = true;
            said.extend_from_slice(&buffer[..count]);
        }
    }
}

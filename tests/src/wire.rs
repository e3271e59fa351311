//! A mock's connection, in clear or under TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, StreamOwned};

/// How a mock speaks TLS.
#[derive(Clone, Debug)]
pub struct Secured {
    /// With which certificate.
    pub config: Arc<ServerConfig>,
    /// By STARTTLS or STLS, which it offers then, instead of from the first byte behind the PROXY header.
    pub starttls: bool,
    /// What it says in clear behind its positive answer to that.
    pub injected: &'static str,
}

impl Secured {
    /// From the first byte.
    pub fn from_the_start(config: Arc<ServerConfig>) -> Self {
        Self { config, starttls: false, injected: "" }
    }

    /// By STARTTLS.
    pub fn by_starttls(config: Arc<ServerConfig>) -> Self {
        Self { config, starttls: true, injected: "" }
    }
}

/// What a mock learned in its handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The version agreed on.
    pub version: ProtocolVersion,
    /// The cipher suite agreed on.
    pub suite: CipherSuite,
    /// The name that it was called by (SNI).
    pub name: Option<String>,
    /// The certificate that it was shown, if it asked for one.
    pub client: Option<Vec<u8>>,
    /// The protocol chosen by ALPN.
    pub alpn: Option<Vec<u8>>,
    /// Whether an earlier session was resumed.
    pub is_resumed: bool,
}

impl Handshake {
    fn of(connection: &ServerConnection) -> Self {
        Self {
            version: connection.protocol_version().unwrap(),
            suite: connection.negotiated_cipher_suite().unwrap().suite(),
            name: connection.server_name().map(str::to_owned),
            client: connection.peer_certificates().map(|chain| chain[0].to_vec()),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

pub(crate) enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// Shakes hands.
    pub(crate) fn secure(&mut self, config: &Arc<ServerConfig>) -> io::Result<Handshake> {
        let mut stream = self.try_clone()?;
        let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let handshake = Handshake::of(&connection);
        *self = Self::Tls(Box::new(StreamOwned::new(connection, stream)));
        Ok(handshake)
    }

    /// Writes a record, or words in clear, and these bytes behind it as they are.
    pub(crate) fn write_with_junk(&mut self, words: &[u8], junk: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::new();
        match self {
            Self::Clear(_) => bytes.extend_from_slice(words),
            Self::Tls(stream) => {
                stream.conn.writer().write_all(words)?;
                while stream.conn.wants_write() {
                    stream.conn.write_tls(&mut bytes)?;
                }
            }
        }
        bytes.extend_from_slice(junk);
        self.socket().write_all(&bytes)
    }

    /// What is below TLS.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// A second handle of a connection in clear.
    pub(crate) fn try_clone(&self) -> io::Result<TcpStream> {
        match self {
            Self::Clear(stream) => stream.try_clone(),
            Self::Tls(_) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            // The proxy may have gone.
            let _ = stream.flush();
            let _ = stream.sock.shutdown(Shutdown::Write);
        }
    }
}

//! A mock's connection, in clear or under TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

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

pub(super) enum Wire {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Wire {
    /// Shakes hands.
    pub(super) fn secure(&mut self, config: &Arc<ServerConfig>) -> io::Result<()> {
        let mut stream = self.try_clone()?;
        let mut connection = ServerConnection::new(Arc::clone(config)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        *self = Self::Tls(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// A second handle of a connection in clear.
    pub(super) fn try_clone(&self) -> io::Result<TcpStream> {
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

//! A client that speaks line by line, in clear or under TLS.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::PATIENCE;

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One connection to the proxy.
pub struct Client {
    wire: Wire,
    buffer: Vec<u8>,
}

impl Client {
    /// Connects in clear.
    pub fn connect(address: SocketAddr) -> Self {
        let stream =
            TcpStream::connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { wire: Wire::Plain(stream), buffer: Vec::new() }
    }

    /// Connects and begins TLS at once.
    pub fn connect_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        Self::connect(address).start_tls(config)
    }

    /// Begins TLS on a connection in clear.
    #[must_use]
    pub fn start_tls(self, config: &Arc<ClientConfig>) -> Self {
        assert_eq!(self.buffer, b"", "bytes in clear behind the STARTTLS reply");
        let Wire::Plain(stream) = self.wire else { panic!("TLS is on already") };
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { wire: Wire::Tls(Box::new(StreamOwned::new(connection, stream))), buffer: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the proxy takes what the client sends");
    }

    /// Sends bytes as they are; the proxy may have closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(bytes.as_ref()),
            Wire::Tls(stream) => stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()),
        }
    }

    /// The next line, without CRLF.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n").expect("lines end in CRLF");
                return String::from_utf8_lossy(line).into_owned();
            }
            assert!(
                self.fill() > 0,
                "the proxy closed; unfinished: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Expects this line next.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    /// Sends a line and expects one back.
    #[track_caller]
    pub fn say(&mut self, line: &str, reply: &str) {
        self.send(format!("{line}\r\n"));
        self.expect(reply);
    }

    /// Exactly this many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill() > 0, "the proxy closed after {} of {count} bytes", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// Everything up to the end of file; a reset fails the test.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// What still comes before the end, whether that is a proper one, one that TLS complains about, or a reset.
    pub fn end(&mut self) -> String {
        while self.arrival(PATIENCE).expect("an end") > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Expects the end of file and nothing before it.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "expected the end, got {:?}", String::from_utf8_lossy(&rest));
    }

    /// Waits for more bytes: how many came, 0 at the end (a reset counts as one), `None` if nothing did within `wait`.
    pub fn arrival(&mut self, wait: Duration) -> Option<usize> {
        self.socket().set_read_timeout(Some(wait)).unwrap();
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.wire {
            Wire::Plain(stream) => stream.read(&mut chunk),
            Wire::Tls(stream) => stream.read(&mut chunk),
        };
        self.socket().set_read_timeout(Some(PATIENCE)).unwrap();
        match read {
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                Some(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => Some(0),
        }
    }

    /// What came and was not taken yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes what came so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The address it connected from.
    pub fn address(&self) -> SocketAddr {
        self.socket().local_addr().unwrap()
    }

    /// The socket under it all.
    pub fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(stream) => stream,
            Wire::Tls(stream) => &stream.sock,
        }
    }

    /// Closes the sending direction.
    pub fn finish(&mut self) {
        match &mut self.wire {
            Wire::Plain(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Wire::Tls(stream) => {
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                stream.sock.shutdown(Shutdown::Write).unwrap();
            }
        }
    }

    /// Resets the connection: the peer reads an error instead of an end of file.
    pub fn reset(self) {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(self.socket(), sockopt::Linger, &linger).unwrap();
    }

    /// The socket under a connection in clear, for tests that read and write at the same time.
    pub fn stream(&self) -> TcpStream {
        let Wire::Plain(stream) = &self.wire else { panic!("only connections in clear have a bare stream") };
        stream.try_clone().unwrap()
    }

    /// The TLS version of the connection, if any.
    pub fn tls_version(&self) -> Option<rustls::ProtocolVersion> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Tls(stream) => stream.conn.protocol_version(),
        }
    }

    /// Whether TLS resumed an earlier session. Known once something was read.
    pub fn is_resumed(&self) -> bool {
        match &self.wire {
            Wire::Plain(_) => false,
            Wire::Tls(stream) => stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0; 16 * 1024];
        let read = match &mut self.wire {
            Wire::Plain(stream) => stream.read(&mut chunk),
            Wire::Tls(stream) => stream.read(&mut chunk),
        };
        let count = read.unwrap_or_else(|error| {
            panic!("reading from the proxy: {error}; unread: {:?}", String::from_utf8_lossy(&self.buffer))
        });
        self.buffer.extend_from_slice(&chunk[..count]);
        count
    }
}

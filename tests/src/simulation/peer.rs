//! A peer's end of a connection, for peers that are written as tasks.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::identity;
use super::network::{End, Link};
use super::world::World;

/// Bytes that a line of the proxy may have at most.
const LONGEST_LINE: usize = 8_192;

/// A peer's end. Dropping it closes it.
pub(super) struct Conn {
    pub(super) world: Rc<World>,
    link: Rc<RefCell<Link>>,
    /// Read, and not asked for yet.
    received: RefCell<Vec<u8>>,
    /// Once the connection is secured.
    tls: RefCell<Option<ClientConnection>>,
    /// Whether the other side has said anything under TLS: before that its handshake may have been cut short.
    has_decrypted: Cell<bool>,
    /// Whether it has taken leave.
    has_heard_the_end: Cell<bool>,
}

/// The other side is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// It ended its direction.
    Ended,
    /// The connection broke.
    Reset,
}

impl Conn {
    pub(super) fn new(world: &Rc<World>, link: &Rc<RefCell<Link>>) -> Self {
        Self {
            world: Rc::clone(world),
            link: Rc::clone(link),
            received: RefCell::default(),
            tls: RefCell::default(),
            has_decrypted: Cell::default(),
            has_heard_the_end: Cell::default(),
        }
    }

    /// Waits for bytes: at least one, at most `most`.
    pub(super) async fn read(&self, most: usize) -> Result<Vec<u8>, Gone> {
        loop {
            let mut received = std::mem::take(&mut *self.received.borrow_mut());
            if !received.is_empty() {
                let rest = received.split_off(received.len().min(most));
                *self.received.borrow_mut() = rest;
                return Ok(received);
            }
            if self.tls.borrow().is_none() {
                return self.read_wire(most).await;
            }
            if self.has_heard_the_end.get() {
                return Err(Gone::Ended);
            }
            self.receive_records().await?;
        }
    }

    async fn read_wire(&self, most: usize) -> Result<Vec<u8>, Gone> {
        let mut buffer = vec![0; most];
        let outcome =
            poll_fn(|cx| self.link.borrow_mut().read(End::Peer, &self.world.executor, cx, &mut buffer)).await;
        match outcome {
            Ok(0) => Err(Gone::Ended),
            Ok(count) => {
                buffer.truncate(count);
                Ok(buffer)
            }
            Err(_) => Err(Gone::Reset),
        }
    }

    /// Waits for a line, and takes its CRLF off. A line that ends otherwise breaks the rules.
    pub(super) async fn read_line(&self) -> Result<Vec<u8>, Gone> {
        let mut line = Vec::new();
        loop {
            let bytes = self.read(4_096).await?;
            line.extend_from_slice(&bytes);
            if let Some(end) = line.iter().position(|&byte| byte == b'\n') {
                // In front of what is there of the following bytes.
                self.received.borrow_mut().splice(..0, line.split_off(end + 1));
                line.pop();
                if line.pop() != Some(b'\r') {
                    self.world.complain("a line ends without CRLF");
                }
                return Ok(line);
            }
            if line.len() > LONGEST_LINE {
                self.world.complain("a line is endless");
                return Err(Gone::Reset);
            }
        }
    }

    /// Waits for as many bytes.
    pub(super) async fn read_exactly(&self, count: usize) -> Result<Vec<u8>, Gone> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend_from_slice(&self.read(count - bytes.len()).await?);
        }
        Ok(bytes)
    }

    /// Reads whatever comes until nothing does.
    pub(super) async fn read_to_end(&self) -> Gone {
        loop {
            if let Err(gone) = self.read(16_384).await {
                return gone;
            }
        }
    }

    pub(super) async fn write(&self, bytes: &[u8]) -> Result<(), Gone> {
        let records = match &mut *self.tls.borrow_mut() {
            Some(tls) => {
                tls.writer().write_all(bytes).unwrap();
                Some(records(tls))
            }
            None => None,
        };
        self.write_wire(records.as_deref().unwrap_or(bytes)).await
    }

    async fn write_wire(&self, mut bytes: &[u8]) -> Result<(), Gone> {
        while !bytes.is_empty() {
            let outcome =
                poll_fn(|cx| self.link.borrow_mut().write(End::Peer, &self.world.executor, cx, bytes)).await;
            bytes = &bytes[outcome.map_err(|_| Gone::Reset)?..];
        }
        Ok(())
    }

    /// Ends the sending direction.
    pub(super) async fn shut_down(&self) {
        let records = self.tls.borrow_mut().as_mut().map(|tls| {
            tls.send_close_notify();
            records(tls)
        });
        if let Some(records) = records {
            // Whoever is not there any more needs no farewell.
            let _ = self.write_wire(&records).await;
        }
        self.link.borrow_mut().shut_down(End::Peer, &self.world.executor);
    }

    pub(super) fn reset(&self) {
        self.link.borrow_mut().abort(End::Peer, &self.world.executor);
    }

    /// Puts TLS under the connection.
    pub(super) async fn secure(&self) -> Result<(), Gone> {
        let name = ServerName::try_from("localhost").unwrap();
        *self.tls.borrow_mut() = Some(ClientConnection::new(identity::client(), name).unwrap());
        loop {
            let (records, is_done) = match &mut *self.tls.borrow_mut() {
                Some(tls) => (records(tls), !tls.is_handshaking()),
                None => return Ok(()),
            };
            self.write_wire(&records).await?;
            if is_done {
                return Ok(());
            }
            self.receive_records().await?;
        }
    }

    async fn receive_records(&self) -> Result<(), Gone> {
        let wire = match self.read_wire(16_384).await {
            Err(Gone::Ended) => {
                // A relay that its worker ends may be cut anywhere, and so says nothing that would hide it.
                if self.has_decrypted.get() && !self.world.is_expired() {
                    self.world.complain("TLS ends without a word");
                }
                return Err(Gone::Ended);
            }
            outcome => outcome?,
        };
        if let Some(tls) = &mut *self.tls.borrow_mut() {
            let mut rest = &wire[..];
            while !rest.is_empty() && tls.read_tls(&mut rest).is_ok_and(|count| count > 0) {
                if let Err(error) = tls.process_new_packets() {
                    self.world.complain(format!("TLS is broken: {error}"));
                    return Err(Gone::Reset);
                }
                // At once, for there is room for one record only.
                self.keep_decrypted(tls);
            }
        }
        Ok(())
    }

    fn keep_decrypted(&self, tls: &mut ClientConnection) {
        let mut buffer = [0; 4_096];
        while let Ok(count) = tls.reader().read(&mut buffer) {
            if count == 0 {
                return self.has_heard_the_end.set(true);
            }
            self.has_decrypted.set(true);
            self.received.borrow_mut().extend_from_slice(&buffer[..count]);
        }
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        self.world.executor.sleep(duration).await;
    }

    /// Pauses for up to so many milliseconds.
    pub(super) async fn pause(&self, most_ms: u64) {
        if most_ms > 0 {
            let pause = self.world.chance.borrow_mut().u64(..=most_ms);
            self.sleep(Duration::from_millis(pause)).await;
        }
    }

    /// What a future comes to, if it does so in time.
    pub(super) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let late = async {
            self.sleep(limit).await;
            None
        };
        or(async { Some(future.await) }, late).await
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.link.borrow_mut().close(End::Peer, &self.world.executor);
    }
}

/// What TLS wants written.
fn records(tls: &mut ClientConnection) -> Vec<u8> {
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records).unwrap();
    }
    records
}

/// Lets the others run once.
pub(super) async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

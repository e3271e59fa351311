//! A peer's end of a connection, for peers that are written as tasks.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::or;
use memchr::memmem;

use super::network::{End, Link};
use super::script::MARK;
use super::secured::Secured;
use super::trace::Leg;
use super::world::World;

/// Bytes that a line of the proxy may have at most.
const LONGEST_LINE: usize = 8_192;

/// A peer's end. Dropping it closes it.
pub(super) struct Conn {
    pub(super) world: Rc<World>,
    link: Rc<RefCell<Link>>,
    /// Whom the proxy takes us for.
    leg: Leg,
    /// Read, and not asked for yet.
    received: RefCell<Vec<u8>>,
    /// Once the connection is secured.
    tls: RefCell<Option<Secured>>,
    /// How the own direction ends under TLS.
    farewell: Cell<Farewell>,
}

/// How a peer ends its direction under TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// By a close_notify, and the end of the stream.
    Proper,
    /// By the close_notify alone: the stream goes on without a byte.
    NotifyAlone,
    /// By the end of the stream alone, as many programs do.
    EndAlone,
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
    pub(super) fn new(world: &Rc<World>, link: &Rc<RefCell<Link>>, leg: Leg) -> Self {
        Self {
            world: Rc::clone(world),
            link: Rc::clone(link),
            leg,
            received: RefCell::default(),
            tls: RefCell::default(),
            farewell: Cell::new(Farewell::Proper),
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
            let has_heard_the_end = self.tls.borrow().as_ref().map(Secured::has_heard_the_end);
            match has_heard_the_end {
                None => return self.read_wire(most).await,
                Some(true) => return Err(Gone::Ended),
                Some(false) => {}
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
        let records = self.tls.borrow_mut().as_mut().map(|tls| tls.say(bytes));
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
        let is_secured = self.tls.borrow().is_some();
        let farewell = if is_secured { self.farewell.get() } else { Farewell::EndAlone };
        if farewell != Farewell::EndAlone {
            let records = self.tls.borrow_mut().as_mut().map(Secured::close);
            // Whoever is not there any more needs no farewell.
            let _ = self.write_wire(&records.unwrap_or_default()).await;
        }
        if farewell != Farewell::NotifyAlone {
            self.link.borrow_mut().shut_down(End::Peer, &self.world.executor);
        }
    }

    pub(super) fn reset(&self) {
        self.link.borrow_mut().abort(End::Peer, &self.world.executor);
    }

    /// Puts TLS under the connection.
    pub(super) async fn secure(&self, tls: Secured, farewell: Farewell) -> Result<(), Gone> {
        *self.tls.borrow_mut() = Some(tls);
        self.farewell.set(farewell);
        // A handshake may begin together with what came before it.
        let early = std::mem::take(&mut *self.received.borrow_mut());
        self.take_records(&early)?;
        loop {
            let (records, is_done) = match &mut *self.tls.borrow_mut() {
                Some(tls) => (tls.records(), !tls.is_handshaking()),
                None => return Ok(()),
            };
            self.write_wire(&records).await?;
            if is_done {
                return Ok(());
            }
            self.receive_records().await?;
        }
    }

    /// The name that the other side asked for when it shook hands.
    pub(super) fn asked_name(&self) -> Option<String> {
        self.tls.borrow().as_ref()?.asked_name().map(str::to_owned)
    }

    async fn receive_records(&self) -> Result<(), Gone> {
        let wire = self.read_wire(16_384).await;
        let has_decrypted = self.tls.borrow().as_ref().is_some_and(Secured::has_decrypted);
        // A relay that its worker ends may be cut anywhere, and so says nothing that would hide it. An auth server that
        // does not even take the request is not waited for.
        let may_be_cut = self.world.is_expired() || self.leg == Leg::Auth;
        if wire == Err(Gone::Ended) && has_decrypted && !may_be_cut {
            self.world.complain("TLS ends without a word");
        }
        self.take_records(&wire?)
    }

    fn take_records(&self, wire: &[u8]) -> Result<(), Gone> {
        let mut tls = self.tls.borrow_mut();
        let Some(tls) = &mut *tls else { return Ok(()) };
        let mut said = Vec::new();
        if let Err(error) = tls.receive(wire, &mut said) {
            if !self.world.may_break_tls(self.leg) {
                self.world.complain(format!("TLS is broken: {error}"));
            }
            return Err(Gone::Reset);
        }
        // What is in clear the watch has seen.
        if self.leg == Leg::Client && memmem::find(&said, MARK.as_bytes()).is_some() {
            self.world.complain("a password is sent to a client under TLS");
        }
        self.received.borrow_mut().extend(said);
        Ok(())
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

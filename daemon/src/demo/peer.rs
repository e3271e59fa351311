//! A service's side of one connection: lines in, replies out, and the thread that serves it.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One connection. Replies are gathered and leave before the next read, so that pipelined commands are answered
/// together.
#[derive(Debug)]
pub(super) struct Peer {
    reader: BufReader<TcpStream>,
    /// A line of which the end has not come yet.
    partial: Vec<u8>,
    replies: Vec<u8>,
}

impl Peer {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { reader: BufReader::new(stream), partial: Vec::new(), replies: Vec::new() })
    }

    /// Adds one line to the replies; the line end is added.
    pub(super) fn reply(&mut self, line: impl AsRef<[u8]>) {
        self.reply_bytes(line.as_ref());
        self.reply_bytes(b"\r\n");
    }

    /// Adds bytes to the replies as they are.
    pub(super) fn reply_bytes(&mut self, bytes: &[u8]) {
        self.replies.extend_from_slice(bytes);
    }

    /// The next line without its line end. An error if there is none, or none that fits.
    pub(super) fn line(&mut self) -> io::Result<Vec<u8>> {
        self.line_within(PATIENCE)?.ok_or_else(|| ErrorKind::TimedOut.into())
    }

    /// The next line, or `None` if it does not come in time; what came of it is kept.
    pub(super) fn line_within(&mut self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        self.flush()?;
        self.reader.get_ref().set_read_timeout(Some(patience))?;
        let room = LINE_LIMIT.saturating_sub(self.partial.len()) as u64;
        match (&mut self.reader).take(room).read_until(b'\n', &mut self.partial) {
            Ok(_) if self.partial.ends_with(b"\n") => {
                let mut line = std::mem::take(&mut self.partial);
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                Ok(Some(line))
            }
            Ok(_) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next `count` bytes.
    pub(super) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.flush()?;
        self.reader.get_ref().set_read_timeout(Some(PATIENCE))?;
        let mut bytes = Vec::new();
        (&mut self.reader).take(count as u64).read_to_end(&mut bytes)?;
        if bytes.len() < count { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let replies = std::mem::take(&mut self.replies);
        self.reader.get_mut().write_all(&replies)
    }

    /// Sends what is left and closes so that it arrives: a close with unread input would reset the connection.
    fn close(mut self) -> io::Result<()> {
        self.flush()?;
        let mut stream = self.reader.into_inner();
        stream.shutdown(Shutdown::Write)?;
        stream.set_read_timeout(Some(LINGER))?;
        let end = Instant::now() + LINGER;
        let mut scratch = [0; 4096];
        while Instant::now() < end && stream.read(&mut scratch)? > 0 {}
        Ok(())
    }
}

/// Accepts connections for ever, one thread each; `session` returns when it wants to close.
pub(super) fn serve(
    listener: &TcpListener,
    session: impl Fn(&mut Peer) -> io::Result<()> + Send + Sync + 'static,
) {
    let session = Arc::new(session);
    let live = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: they come back as sessions end.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let slot = Slot::take(&live);
        if slot.is_over {
            continue;
        }
        let session = Arc::clone(&session);
        let serve = move || {
            let _slot = slot;
            // A connection that fails ends; there is nobody to tell.
            let Ok(mut peer) = Peer::new(stream) else { return };
            if session(&mut peer).is_ok() {
                let _ = peer.close();
            } else {
                let _ = peer.flush();
            }
        };
        // Without a thread the connection is closed.
        let _ = thread::Builder::new().spawn(serve);
    }
}

/// Counts one connection as long as it exists.
struct Slot {
    live: Arc<AtomicUsize>,
    is_over: bool,
}

impl Slot {
    fn take(live: &Arc<AtomicUsize>) -> Self {
        let before = live.fetch_add(1, Ordering::Relaxed);
        Self { live: Arc::clone(live), is_over: before >= MOST_CONNECTIONS }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes one line may have, line end included.
const LINE_LIMIT: usize = 8192;
/// How long a silent peer keeps its connection.
const PATIENCE: Duration = Duration::from_secs(1800);
/// How long to wait for the peer's close.
const LINGER: Duration = Duration::from_secs(2);
/// Connections per service.
const MOST_CONNECTIONS: usize = 128;

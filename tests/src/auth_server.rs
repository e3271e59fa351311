//! A mock auth server: records what it is asked and answers as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

use crate::PATIENCE;
use crate::wire::{Handshake, Wire};

/// One request as it came in.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// All lines without CRLF, the request line first, the blank line left out.
    pub lines: Vec<String>,
}

impl Request {
    /// The value of a header, escaped as it was sent; `None` if the header is missing.
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.lines.iter().skip(1).find_map(|line| line.strip_prefix(&prefix))
    }
}

/// What the mock does with one request.
#[derive(Clone, Debug)]
pub enum AuthAnswer {
    /// `HTTP/1.0 200 OK` and these header lines.
    Headers(Vec<String>),
    /// `HTTP/1.1 200 OK`, these header lines and an empty body; then the next request.
    Kept(Vec<String>),
    /// These bytes, then close.
    Raw(Vec<u8>),
    /// These bytes, then wait until the proxy closes.
    Unfinished(Vec<u8>),
    /// These bytes, then the end of the connection, under TLS without a word about it.
    CutOff(Vec<u8>),
    /// Say nothing until the proxy closes.
    Silence,
    /// Reset the connection.
    Reset,
    /// Answer like the other after a while.
    After(Duration, Box<Self>),
}

impl AuthAnswer {
    /// Accept, and send the session to this backend.
    pub fn accept(backend: SocketAddr) -> Self {
        Self::Headers(acceptance(backend))
    }

    /// The same, and keep the connection.
    pub fn keep(backend: SocketAddr) -> Self {
        Self::Kept(acceptance(backend))
    }

    /// Refuse with this text.
    pub fn refuse(text: &str) -> Self {
        Self::Headers(vec![format!("Auth-Status: {text}")])
    }

    /// Adds a header line to a `Headers` answer.
    #[must_use]
    pub fn with(self, line: &str) -> Self {
        match self {
            Self::Headers(mut lines) => {
                lines.push(line.to_owned());
                Self::Headers(lines)
            }
            Self::Kept(_)
            | Self::Raw(_)
            | Self::Unfinished(_)
            | Self::CutOff(_)
            | Self::Silence
            | Self::Reset
            | Self::After(..) => {
                panic!("only Headers answers take header lines")
            }
        }
    }
}

fn acceptance(backend: SocketAddr) -> Vec<String> {
    vec![
        "Auth-Status: OK".to_owned(),
        format!("Auth-Server: {}", backend.ip()),
        format!("Auth-Port: {}", backend.port()),
    ]
}

type Rule = dyn Fn(&Request) -> AuthAnswer + Send + Sync;

/// What has happened.
#[derive(Default)]
struct Record {
    requests: Mutex<Vec<Request>>,
    handshakes: Mutex<Vec<Handshake>>,
}

/// A running mock auth server. It serves until it is stopped or the test program ends.
pub struct AuthServer {
    address: SocketAddr,
    record: Arc<Record>,
    is_stopped: Arc<AtomicBool>,
    listening: thread::JoinHandle<()>,
}

impl AuthServer {
    /// Serves on `address`; `rule` decides each answer.
    pub fn start(address: SocketAddr, rule: impl Fn(&Request) -> AuthAnswer + Send + Sync + 'static) -> Self {
        Self::run(address, None, rule)
    }

    /// The same, under TLS.
    pub fn start_tls(
        address: SocketAddr,
        config: Arc<ServerConfig>,
        rule: impl Fn(&Request) -> AuthAnswer + Send + Sync + 'static,
    ) -> Self {
        Self::run(address, Some(config), rule)
    }

    fn run(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        rule: impl Fn(&Request) -> AuthAnswer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let record = Arc::<Record>::default();
        let rule: Arc<Rule> = Arc::new(rule);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (records, is_over) = (Arc::clone(&record), Arc::clone(&is_stopped));
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (rule, record, tls) = (Arc::clone(&rule), Arc::clone(&records), tls.clone());
                thread::spawn(move || serve(stream.unwrap(), tls.as_ref(), &*rule, &record));
            }
        });
        Self { address, record, is_stopped, listening }
    }

    /// Closes the listening socket: from here on connections are refused.
    pub fn stop(self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // The thread waits in accept: one more connection wakes it.
        drop(TcpStream::connect(self.address));
        self.listening.join().unwrap();
    }

    /// Accepts everybody and sends them to this backend.
    pub fn accepting(address: SocketAddr, backend: SocketAddr) -> Self {
        Self::start(address, move |_| AuthAnswer::accept(backend))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.record.requests.lock().unwrap().clone()
    }

    /// All TLS handshakes so far that went well.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.record.handshakes.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, tls: Option<&Arc<ServerConfig>>, rule: &Rule, record: &Record) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut wire = Wire::Clear(stream);
    if let Some(config) = tls {
        let Ok(handshake) = wire.secure(config) else {
            // What the proxy still says must not reset the connection: it would lose the alert.
            let _ = wire.socket().shutdown(Shutdown::Write);
            let _ = std::io::copy(&mut wire, &mut std::io::sink());
            return;
        };
        record.handshakes.lock().unwrap().push(handshake);
    }
    let mut reader = BufReader::new(wire);
    while let Some(request) = read(&mut reader) {
        record.requests.lock().unwrap().push(request.clone());
        if !answer(reader.get_mut(), rule(&request)) {
            return;
        }
    }
}

/// The next request; `None` where the proxy has left.
fn read(reader: &mut BufReader<Wire>) -> Option<Request> {
    let mut request = Request::default();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r\n").unwrap_or(&line)).into_owned();
        if line.is_empty() {
            return Some(request);
        }
        request.lines.push(line);
    }
}

/// Whether another request may follow. The proxy may leave at any moment, so failing writes are no failure of the test.
fn answer(wire: &mut Wire, answer: AuthAnswer) -> bool {
    match answer {
        AuthAnswer::Headers(lines) => {
            let _ = wire.write_all(format!("HTTP/1.0 200 OK\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes());
        }
        AuthAnswer::Kept(lines) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n\r\n", lines.join("\r\n"));
            return wire.write_all(head.as_bytes()).and_then(|()| wire.flush()).is_ok();
        }
        AuthAnswer::Raw(bytes) => {
            let _ = wire.write_all(&bytes);
        }
        AuthAnswer::CutOff(bytes) => {
            let _ = wire.write_all(&bytes).and_then(|()| wire.flush());
            let _ = wire.socket().shutdown(Shutdown::Write);
        }
        AuthAnswer::Unfinished(bytes) => {
            let _ = wire.write_all(&bytes).and_then(|()| wire.flush());
            let _ = std::io::copy(wire, &mut std::io::sink());
        }
        AuthAnswer::Silence => {
            let _ = std::io::copy(wire, &mut std::io::sink());
        }
        AuthAnswer::Reset => {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            nix::sys::socket::setsockopt(wire.socket(), nix::sys::socket::sockopt::Linger, &linger).unwrap();
        }
        AuthAnswer::After(delay, then) => {
            thread::sleep(delay);
            return self::answer(wire, *then);
        }
    }
    false
}

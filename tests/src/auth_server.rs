//! A mock auth server: records what it is asked and answers as the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::PATIENCE;

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
    /// These bytes, then close.
    Raw(Vec<u8>),
    /// These bytes, then wait until the proxy closes.
    Unfinished(Vec<u8>),
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
        Self::Headers(vec![
            "Auth-Status: OK".to_owned(),
            format!("Auth-Server: {}", backend.ip()),
            format!("Auth-Port: {}", backend.port()),
        ])
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
            Self::Raw(_) | Self::Unfinished(_) | Self::Silence | Self::Reset | Self::After(..) => {
                panic!("only Headers answers take header lines")
            }
        }
    }
}

type Rule = dyn Fn(&Request) -> AuthAnswer + Send + Sync;

/// A running mock auth server. It serves until it is stopped or the test program ends.
pub struct AuthServer {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_stopped: Arc<AtomicBool>,
    listening: thread::JoinHandle<()>,
}

impl AuthServer {
    /// Serves on `address`; `rule` decides each answer.
    pub fn start(address: SocketAddr, rule: impl Fn(&Request) -> AuthAnswer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Rule> = Arc::new(rule);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (record, is_over) = (Arc::clone(&requests), Arc::clone(&is_stopped));
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (rule, record) = (Arc::clone(&rule), Arc::clone(&record));
                thread::spawn(move || serve(stream.unwrap(), &*rule, &record));
            }
        });
        Self { address, requests, is_stopped, listening }
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
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, rule: &Rule, record: &Mutex<Vec<Request>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut request = Request::default();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r\n").unwrap_or(&line)).into_owned();
        if line.is_empty() {
            break;
        }
        request.lines.push(line);
    }
    record.lock().unwrap().push(request.clone());
    answer(&mut stream, rule(&request));
}

/// The proxy may leave at any moment, so failing writes are no failure of the test.
fn answer(stream: &mut TcpStream, answer: AuthAnswer) {
    match answer {
        AuthAnswer::Headers(lines) => {
            let _ = stream.write_all(format!("HTTP/1.0 200 OK\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes());
        }
        AuthAnswer::Raw(bytes) => {
            let _ = stream.write_all(&bytes);
        }
        AuthAnswer::Unfinished(bytes) => {
            let _ = stream.write_all(&bytes);
            let _ = std::io::copy(stream, &mut std::io::sink());
        }
        AuthAnswer::Silence => {
            let _ = std::io::copy(stream, &mut std::io::sink());
        }
        AuthAnswer::Reset => {
            let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
            nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
        }
        AuthAnswer::After(delay, then) => {
            thread::sleep(delay);
            self::answer(stream, *then);
        }
    }
}

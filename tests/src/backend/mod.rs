//! Mock mail servers: a login dialogue per protocol, then bytes as the test says.

mod imap;
mod pop3;
mod smtp;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use gatepost_protocol::config::Protocol;

use crate::PATIENCE;
use crate::wire::Wire;
pub use crate::wire::{Handshake, Secured};

/// How the mock answers a login.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// With a positive reply.
    #[default]
    Accept,
    /// With this negative reply to the credentials: without tag and CRLF.
    Refuse(String),
    /// With this greeting instead of the usual one, without CRLF.
    Greet(String),
    /// With a positive reply and, in the same write, these bytes behind it, which are not under TLS even if the reply is.
    /// All that comes then is recorded as it is on the wire.
    Break(&'static [u8]),
    /// By closing instead of a reply to the credentials.
    Close,
    /// By resetting the connection instead of a reply to the credentials.
    Reset,
    /// Not at all.
    Silence,
}

/// What the mock does once the login is accepted.
#[derive(Clone, Debug, Default)]
pub enum After {
    /// Sends every line back with `echo ` in front, until the end of file.
    #[default]
    Echo,
    /// Reads to the end of file, and neither answers nor ends.
    Silence,
    /// Sends these bytes while reading to the end of file, then closes.
    Exchange(Arc<Vec<u8>>),
    /// Resets the connection when a line has come.
    Reset,
}

/// What a mock backend does.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The login dialogue.
    pub login: Login,
    /// The time after it.
    pub after: After,
    /// Capabilities: IMAP words in the greeting, SMTP lines of the EHLO reply.
    pub capabilities: Vec<String>,
    /// TLS, which is recorded as the line `(TLS)`.
    pub tls: Option<Secured>,
    /// Whether a PROXY header comes first: version 1 is recorded as the first line.
    pub proxy_header: bool,
    /// Instead of a login dialogue: the first at once, each further one when another line has come.
    pub script: Option<Vec<Vec<u8>>>,
}

/// What one connection to the mock said.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The lines of the login dialogue as received, literals as lines of their own.
    pub lines: Vec<String>,
    /// The TLS handshake that succeeded.
    pub handshake: Option<Handshake>,
    /// All bytes after the login.
    pub bytes: Vec<u8>,
    /// Whether the connection has ended.
    pub ended: bool,
}

/// A running mock backend. It serves until the test program ends.
pub struct Backend {
    address: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
}

impl Backend {
    /// Serves `protocol` on `address`.
    pub fn start(protocol: Protocol, address: SocketAddr, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let records = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&records);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let index = {
                    let mut all = all.lock().unwrap();
                    all.push(Record::default());
                    all.len() - 1
                };
                let mut conversation = Conversation::new(stream.unwrap(), Arc::clone(&all), index);
                let behaviour = behaviour.clone();
                thread::spawn(move || {
                    // A proxy that leaves early ends the conversation; what was said is in the record.
                    let _ = conversation.run(protocol, &behaviour);
                    conversation.record(|record| record.ended = true);
                });
            }
        });
        Self { address, records }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What all connections said so far, in the order they came.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap().clone()
    }

    /// Waits until the n-th connection (from 0) has ended, and returns its record.
    #[track_caller]
    pub fn await_end(&self, index: usize) -> Record {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(record) = self.records.lock().unwrap().get(index).filter(|record| record.ended) {
                return record.clone();
            }
            assert!(std::time::Instant::now() < end, "backend connection {index} never ended");
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// One connection, line by line.
struct Conversation {
    reader: BufReader<Wire>,
    records: Arc<Mutex<Vec<Record>>>,
    index: usize,
}

/// Why a conversation stopped: the peer left, or the behaviour says so.
type Talk<T> = std::io::Result<T>;

impl Conversation {
    fn new(stream: TcpStream, records: Arc<Mutex<Vec<Record>>>, index: usize) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::with_capacity(64 * 1024, Wire::Clear(stream)), records, index }
    }

    fn run(&mut self, protocol: Protocol, behaviour: &Behaviour) -> Talk<()> {
        if behaviour.proxy_header {
            self.proxy_header()?;
        }
        if let Some(tls) = behaviour.tls.as_ref().filter(|tls| !tls.starttls) {
            self.secure(tls)?;
        }
        if let Some(replies) = &behaviour.script {
            return self.recite(replies);
        }
        match protocol {
            Protocol::Imap => imap::login(self, behaviour)?,
            Protocol::Pop3 => pop3::login(self, behaviour)?,
            Protocol::Smtp => smtp::login(self, behaviour)?,
        }
        match &behaviour.after {
            After::Echo => self.echo(),
            After::Silence => {
                self.reader.read_to_end(&mut Vec::new())?;
                loop {
                    thread::park();
                }
            }
            After::Exchange(bytes) => self.exchange(Arc::clone(bytes)),
            After::Reset => {
                self.line()?;
                self.reset()
            }
        }
    }

    fn recite(&mut self, replies: &[Vec<u8>]) -> Talk<()> {
        for (index, reply) in replies.iter().enumerate() {
            if index > 0 {
                self.line()?;
            }
            self.reader.get_mut().write_all(reply)?;
        }
        self.echo()
    }

    /// Answers the credentials as the behaviour says: `accepted`, or what stands instead.
    fn judge(&mut self, behaviour: &Behaviour, accepted: &str, refusal: impl Fn(&str) -> String) -> Talk<()> {
        match &behaviour.login {
            Login::Accept | Login::Greet(_) => self.say(accepted),
            Login::Break(junk) => {
                self.reader.get_mut().write_with_junk(format!("{accepted}\r\n").as_bytes(), junk)?;
                let mut received = self.reader.buffer().to_vec();
                let read = self.reader.get_ref().socket().read_to_end(&mut received);
                self.record(|record| record.bytes = received);
                read.and_then(|_| self.stop())
            }
            Login::Refuse(text) => {
                self.say(&refusal(text))?;
                // QUIT or LOGOUT may follow; it belongs to the record.
                let farewell = self.line();
                farewell.and_then(|_| self.stop())
            }
            Login::Close => self.stop(),
            Login::Reset => self.reset(),
            Login::Silence => {
                std::io::copy(&mut self.reader, &mut std::io::sink())?;
                self.stop()
            }
        }
    }

    /// Answers STARTTLS and shakes hands. False if that is not offered.
    fn upgrade(&mut self, behaviour: &Behaviour, answer: &str) -> Talk<bool> {
        let Some(tls) = behaviour.tls.as_ref().filter(|tls| tls.starttls) else { return Ok(false) };
        self.reader.get_mut().write_all(format!("{answer}\r\n{}", tls.injected).as_bytes())?;
        self.secure(tls)?;
        Ok(true)
    }

    fn secure(&mut self, tls: &Secured) -> Talk<()> {
        assert!(self.reader.buffer().is_empty(), "nothing is said in front of the handshake");
        let handshake = self.reader.get_mut().secure(&tls.config)?;
        self.record(|record| {
            record.lines.push("(TLS)".to_owned());
            record.handshake = Some(handshake);
        });
        Ok(())
    }

    fn stop(&self) -> Talk<()> {
        Err(std::io::ErrorKind::ConnectionAborted.into())
    }

    /// Lets the end of the conversation be a reset.
    fn reset(&self) -> Talk<()> {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        let stream = self.reader.get_ref().try_clone()?;
        nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger)?;
        self.stop()
    }

    fn say(&mut self, line: &str) -> Talk<()> {
        self.reader.get_mut().write_all(format!("{line}\r\n").as_bytes())
    }

    fn line(&mut self) -> Talk<String> {
        let mut line = Vec::new();
        if self.reader.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r\n").unwrap_or(&line)).into_owned();
        self.record(|record| record.lines.push(line.clone()));
        Ok(line)
    }

    /// Reads a first line, and nothing of what may be TLS behind it.
    fn proxy_header(&mut self) -> Talk<()> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.reader.get_mut().read_exact(&mut byte)?;
            line.extend_from_slice(&byte);
        }
        let line = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        self.record(|record| record.lines.push(line));
        Ok(())
    }

    fn literal(&mut self, length: usize) -> Talk<String> {
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        self.record(|record| record.lines.push(text.clone()));
        Ok(text)
    }

    fn echo(&mut self) -> Talk<()> {
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.record(|record| record.bytes.extend_from_slice(&line));
            self.reader.get_mut().write_all(&[b"echo ", &line[..]].concat())?;
        }
    }

    fn exchange(&mut self, bytes: Arc<Vec<u8>>) -> Talk<()> {
        let mut stream = self.reader.get_ref().try_clone()?;
        let writer = thread::spawn(move || {
            let written = stream.write_all(&bytes);
            written.and_then(|()| stream.shutdown(Shutdown::Write))
        });
        let mut received = Vec::new();
        let read = self.reader.read_to_end(&mut received);
        self.record(|record| record.bytes = received);
        read?;
        writer.join().expect("the writing thread does not panic")
    }

    fn record(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.records.lock().unwrap()[self.index]);
    }
}

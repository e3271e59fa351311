//! A second implementation of each protocol's login, written from the tables of its STATES.md to be read rather than to
//! be fast, and the engine held to it: after every line of any client the same replies, the same question to the auth
//! server, the same state.

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tls.rs"]
mod tls;

mod client;
mod compare;
mod imap;
mod pop3;
mod sasl;
mod smtp;

use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::StartTls;
use gatepost_protocol::sasl::Mechanisms;

/// Bytes of the buffer of every server here.
const BUFFER: usize = 512;

/// Client errors that end a session.
const MAX_ERRORS: usize = 5;

/// What a server allows.
#[derive(Clone, Debug)]
struct Rules {
    starttls: StartTls,
    mechanisms: Mechanisms,
    /// POP3: APOP; SMTP: mail without a login.
    extra: bool,
}

/// What follows a line.
#[derive(Debug)]
enum Then {
    Listen,
    StartTls,
    Ask(Credentials),
    Close,
}

/// What a model answers: text for the client, `[challenge]` and `<challenge>` where one stands, and what follows.
#[derive(Debug)]
struct Answer {
    reply: String,
    then: Then,
}

impl Answer {
    fn new(reply: impl Into<String>, then: Then) -> Self {
        Self { reply: reply.into(), then }
    }

    fn listen(reply: impl Into<String>) -> Self {
        Self::new(reply, Then::Listen)
    }

    /// A reply that counts for `max_errors`.
    fn error(reply: impl Into<String>, errors: &mut usize) -> Self {
        *errors += 1;
        Self::new(reply, if *errors < MAX_ERRORS { Then::Listen } else { Then::Close })
    }
}

/// The client's side of one session.
trait Model {
    fn greeting(&self) -> String;
    /// Takes a line or literal off the front of `input`, if there is a whole one.
    fn next(&mut self, input: &mut Vec<u8>) -> Option<Answer>;
    /// The auth server says `no`.
    fn on_refused(&mut self) -> String;
    /// The auth server cannot be reached.
    fn on_outage(&mut self) -> String;
    /// The auth server's answer is none; the session ends.
    fn on_nonsense(&mut self) -> String;
    /// Bytes lay behind STARTTLS; the session ends.
    fn on_bytes_behind_starttls(&mut self) -> String;
    fn on_tls(&mut self);
    /// As the engine's `Debug` names it.
    fn state(&self) -> &'static str;
}

/// What one line is cut into: `Err` says that the buffer is full without one.
fn take_line(input: &mut Vec<u8>, limit: usize) -> Option<Result<Vec<u8>, ()>> {
    let Some(end) = input.iter().take(limit).position(|&byte| byte == b'\n') else {
        return (input.len() >= limit).then_some(Err(()));
    };
    let mut line: Vec<u8> = input.drain(..=end).collect();
    line.pop();
    if line.ends_with(b"\r") {
        line.pop();
    }
    Some(Ok(line))
}

/// Browsers get no answer.
fn is_http(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    words[0] == b"GET" && words.get(2).is_some_and(|word| word.starts_with(b"HTTP/"))
}

/// What stands between the spaces.
fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect()
}

/// The first word in capitals, and what follows it with its spaces.
fn verb(line: &[u8]) -> (String, &[u8]) {
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    (String::from_utf8_lossy(&line[..end]).to_ascii_uppercase(), &line[end..])
}

fn ends_lines(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| b"\r\n\0".contains(byte))
}

fn strip_spaces(mut line: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = line {
        line = rest;
    }
    line
}

fn strip_trailing_spaces(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' '] = line {
        line = rest;
    }
    line
}

fn names(mechanisms: Mechanisms) -> Vec<&'static str> {
    mechanisms.iter().map(gatepost_protocol::sasl::Mechanism::name).collect()
}

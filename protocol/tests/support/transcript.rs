//! Dialogues as text, played through a session in three ways.
//!
//! ```text
//! C: bytes from the client          S: bytes for the client
//! B: bytes from the backend         P: bytes for the backend
//! > a completion, or time           ! an action
//! ```
//!
//! A line stands for its text and CRLF; with a backslash at its end, for its text alone. [`check`] plays the dialogue as
//! it is, with every byte read on its own, and with all that the client says read at once at the very start, before the
//! first action is performed. The same bytes must leave, and the same actions.

use std::time::Duration;

use gatepost_protocol::action::{Action, Completion, ConnectFailure, DnsError, Errno, LookupFailure, Side};
use gatepost_protocol::auth::{
    Accepted, AuthFailure, AuthReply, AuthRequest, BackendAddr, Credentials, Refusal,
};
use gatepost_protocol::config::Listener;
use gatepost_protocol::event::Event;
use gatepost_protocol::secret::Secret;
use gatepost_protocol::session::SocketFailure;

use super::Driver;

/// Plays `dialogue` whole, split and coalesced.
#[track_caller]
pub fn check(listener: &Listener, dialogue: &str) {
    check_in_turn(listener, dialogue);
    play_coalesced(listener, &parse(dialogue));
}

/// Plays `dialogue` whole and split only: for clients that wait for an answer, as before a TLS handshake.
#[track_caller]
pub fn check_in_turn(listener: &Listener, dialogue: &str) {
    let lines = parse(dialogue);
    play(listener, &lines, usize::MAX);
    play(listener, &lines, 1);
}

#[derive(Debug)]
struct Line<'a> {
    number: usize,
    kind: char,
    text: &'a str,
}

impl Line<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self.text.strip_suffix('\\') {
            Some(text) => text.into(),
            None => format!("{}\r\n", self.text).into(),
        }
    }

    fn is_input(&self) -> bool {
        matches!(self.kind, 'C' | 'B' | '>')
    }
}

fn parse(dialogue: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for (index, line) in dialogue.lines().enumerate() {
        let line = line.trim_start();
        let Some(kind) = line.chars().next() else { continue };
        let rest = match kind {
            'C' | 'S' | 'B' | 'P' => line[1..].strip_prefix(':').expect("a colon"),
            '>' | '!' => &line[1..],
            _ => panic!("line {index}: {line:?}"),
        };
        let text = rest.strip_prefix(' ').unwrap_or(rest);
        lines.push(Line { number: index, kind, text });
    }
    lines
}

/// What came out: bytes for the client, bytes for the backend, actions.
type Outcome = (String, String, Vec<String>);

/// Compares after each input.
#[track_caller]
fn play(listener: &Listener, lines: &[Line<'_>], step: usize) {
    let mut driver = Driver::open(listener);
    let mut rest = lines;
    loop {
        let outputs = rest.iter().position(Line::is_input).unwrap_or(rest.len());
        let number = rest.first().or_else(|| lines.last()).map_or(0, |line| line.number);
        assert_eq!(taken(&mut driver), expected(&rest[..outputs]), "at line {number}, in steps of {step}");
        let Some(input) = rest.get(outputs) else { return };
        apply(input, &mut driver, step);
        rest = &rest[outputs + 1..];
    }
}

/// Compares at the end: how the client's bytes are spread over time must not show.
#[track_caller]
fn play_coalesced(listener: &Listener, lines: &[Line<'_>]) {
    let mut driver = Driver::open(listener);
    let said: Vec<u8> = lines.iter().filter(|line| line.kind == 'C').flat_map(Line::bytes).collect();
    if !said.is_empty() {
        driver.input(Side::Client, &said);
    }
    for line in lines.iter().filter(|line| line.is_input() && line.kind != 'C') {
        apply(line, &mut driver, usize::MAX);
    }
    assert_eq!(taken(&mut driver), expected(lines), "coalesced");
}

fn taken(driver: &mut Driver) -> Outcome {
    let actions = driver.take_actions().iter().filter_map(describe).collect();
    (driver.take_client(), driver.take_backend(), actions)
}

fn expected(lines: &[Line<'_>]) -> Outcome {
    let text = |kind| -> String {
        let bytes: Vec<u8> = lines.iter().filter(|line| line.kind == kind).flat_map(Line::bytes).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let actions = lines.iter().filter(|line| line.kind == '!').map(|line| line.text.to_owned());
    (text('S'), text('P'), actions.collect())
}

fn apply(line: &Line<'_>, driver: &mut Driver, step: usize) {
    match line.kind {
        'C' => line.bytes().chunks(step).for_each(|part| driver.input(Side::Client, part)),
        'B' => line.bytes().chunks(step).for_each(|part| driver.input(Side::Backend, part)),
        _ => order(line.text, driver),
    }
}

/// Does what a transcript says behind `>`.
pub fn order(order: &str, driver: &mut Driver) {
    let (verb, argument) = order.split_once(' ').unwrap_or((order, ""));
    match verb {
        "accepted" => driver.complete(Completion::Auth(Ok(AuthReply::Accepted(accepted(argument))))),
        "refused" => driver.complete(Completion::Auth(Ok(AuthReply::Refused(refusal(argument))))),
        "wait" => driver.complete(Completion::Auth(Ok(AuthReply::Wait(seconds(argument))))),
        "outage" => driver.complete(Completion::Auth(Err(AuthFailure::Connect(Errno(111))))),
        "nonsense" => driver.complete(Completion::Auth(Err(AuthFailure::NoStatus))),
        "connected" => driver.complete(Completion::Connected(Ok(()))),
        "unreachable" => {
            driver.complete(Completion::Connected(Err(ConnectFailure::Refused(Errno(111)))));
        }
        "resolved" => driver.complete(Completion::Resolved(Ok(argument.into()))),
        "mismatch" => driver.complete(Completion::Resolved(Err(LookupFailure::Mismatch))),
        "not-found" => {
            driver.complete(Completion::Resolved(Err(LookupFailure::Address(DnsError::NotFound))));
        }
        "eof" => driver.eof(side(argument)),
        "reset" => driver.failure(side(argument), SocketFailure::Receive(Errno(104))),
        "sleep" => driver.wait(seconds(argument)),
        "shutdown" => driver.shut_down(),
        _ => panic!("unknown order {order:?}"),
    }
}

/// `ADDR:PORT [login [password]]`.
fn accepted(argument: &str) -> Accepted {
    let mut words = argument.split(' ');
    let name = words.next().unwrap_or_default();
    Accepted {
        backend: BackendAddr { address: name.parse().expect("an address"), name: name.into() },
        login: words.next().map(Into::into),
        password: words.next().map(|password| Secret::from(password.as_bytes())),
    }
}

/// `SECONDS TEXT`.
fn refusal(argument: &str) -> Refusal {
    let (wait, text) = argument.split_once(' ').expect("seconds and text");
    Refusal { text: text.into(), code: None, wait: Some(seconds(wait)), login: None }
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.parse().expect("seconds"))
}

fn side(text: &str) -> Side {
    match text {
        "client" => Side::Client,
        "backend" => Side::Backend,
        _ => panic!("no side {text:?}"),
    }
}

/// An action in a transcript's words; nothing for [`Event::Connected`], with which every session starts.
fn describe(action: &Action) -> Option<String> {
    Some(match action {
        Action::Authenticate(request) => describe_request(request),
        Action::Resolve(address) => format!("resolve {address}"),
        Action::Connect(address) => format!("connect {address}"),
        Action::Cancel => "cancel".to_owned(),
        Action::Relay => "relay".to_owned(),
        Action::Shutdown(side) => format!("shutdown {side:?}").to_lowercase(),
        Action::Close(side) => format!("close {side:?}").to_lowercase(),
        Action::Abort(side) => format!("abort {side:?}").to_lowercase(),
        Action::Finish => "finish".to_owned(),
        Action::Log(Event::Connected, None) => return None,
        Action::Log(Event::BackendRefused { text, passed }, _) => {
            format!("log BackendRefused {:?} passed={passed}", String::from_utf8_lossy(text))
        }
        Action::Log(Event::LoginRefused(text), _) => {
            format!("log LoginRefused {:?}", String::from_utf8_lossy(text))
        }
        Action::Log(event, None) => format!("log {event:?}"),
        Action::Log(event, Some(stage)) => format!("log {event:?} while {}", stage.text()),
    })
}

/// `authenticate N METHOD WORDS`, where N counts the attempts.
fn describe_request(request: &AuthRequest) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let credentials = &*request.credentials;
    let words = match credentials {
        Credentials::Plain { login, password } => format!("{} {}", text(login), text(password.expose())),
        Credentials::Apop { login, digest, .. } | Credentials::CramMd5 { login, digest, .. } => {
            format!("{} {}", text(login), text(digest.expose()))
        }
        Credentials::External { login } => text(login),
        Credentials::Envelope(envelope) => {
            format!("{} | {} | {}", text(&envelope.helo), text(&envelope.mail), text(&envelope.rcpt))
        }
    };
    let host = request.client_host.as_ref().map(|host| format!(", host {host}")).unwrap_or_default();
    format!("authenticate {} {} {words}{host}", request.attempt, credentials.method())
}

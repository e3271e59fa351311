//! What a transcript says behind `>`, and behind `!`.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost_protocol::action::{Action, Completion, ConnectFailure, DnsError, Errno, LookupFailure, Side};
use gatepost_protocol::auth::{
    Accepted, AuthFailure, AuthReply, AuthRequest, BackendAddr, Credentials, Refusal, Target,
};
use gatepost_protocol::event::Event;
use gatepost_protocol::secret::Secret;
use gatepost_protocol::session::SocketFailure;

use super::Driver;

/// Does what a transcript says behind `>`.
pub fn order(order: &str, driver: &mut Driver) {
    let (verb, argument) = order.split_once(' ').unwrap_or((order, ""));
    match verb {
        "accepted" => driver.complete(Completion::Auth(Ok(AuthReply::Accepted(accepted(argument))))),
        "refused" => refuse(None, argument, driver),
        "refused-with" => {
            let (code, refusal) = argument.split_once(' ').expect("a code and a refusal");
            refuse(Some(code), refusal, driver);
        }
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
        "broken" => driver.failure(side(argument), SocketFailure::Send(Errno(32))),
        "sleep" => driver.wait(seconds(argument)),
        "shutdown" => driver.shut_down(),
        "expire" => driver.expire(),
        _ => panic!("unknown order {order:?}"),
    }
}

/// `ADDR:PORT [login [password]]`.
fn accepted(argument: &str) -> Accepted {
    let mut words = argument.split(' ');
    let name = words.next().unwrap_or_default();
    Accepted {
        backend: BackendAddr { target: target(name), name: name.into() },
        ssl: None,
        login: words.next().map(Into::into),
        password: words.next().map(|password| Secret::from(password.as_bytes())),
    }
}

/// An address and port, or a name and port.
fn target(text: &str) -> Target {
    match text.parse::<SocketAddr>() {
        Ok(address) => address.into(),
        Err(_) => {
            let (host, port) = text.split_once(':').expect("a port");
            Target::Name { host: host.into(), port: port.parse().expect("a port") }
        }
    }
}

/// The refusal is `SECONDS TEXT`; `_` in a code stands for a space.
fn refuse(code: Option<&str>, refusal: &str, driver: &mut Driver) {
    let (wait, text) = refusal.split_once(' ').expect("seconds and text");
    let code = code.map(|code| code.replace('_', " ").into());
    let refusal = Refusal { text: text.into(), code, wait: Some(seconds(wait)), login: None };
    driver.complete(Completion::Auth(Ok(AuthReply::Refused(refusal))));
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
pub(super) fn describe(action: &Action) -> Option<String> {
    Some(match action {
        Action::Authenticate(request) => describe_request(request),
        Action::Resolve(address) => format!("resolve {address}"),
        Action::Connect(Target::Address(address)) => format!("connect {address}"),
        Action::Connect(Target::Name { host, port }) => format!("connect {host}:{port}"),
        Action::Cancel => "cancel".to_owned(),
        Action::Relay => "relay".to_owned(),
        Action::Shutdown(side) => format!("shutdown {side:?}").to_lowercase(),
        Action::Close(side) => format!("close {side:?}").to_lowercase(),
        Action::Abort(side) => format!("abort {side:?}").to_lowercase(),
        Action::Finish => "finish".to_owned(),
        Action::Log(Event::Connected, None) => return None,
        // These have one stage each, which says nothing new.
        Action::Log(event @ (Event::BackendRefused { .. } | Event::LoginRefused(_)), _)
        | Action::Log(event, None) => format!("log {}", describe_event(event)),
        Action::Log(event, Some(stage)) => format!("log {} while {}", describe_event(event), stage.text()),
    })
}

fn describe_event(event: &Event) -> String {
    let text = String::from_utf8_lossy;
    // The other events read well as they are.
    #[expect(clippy::wildcard_enum_match_arm, reason = "a test that misses an event shows too much at worst")]
    match event {
        Event::BackendRefused { text: reply, passed } => {
            format!("BackendRefused {:?} passed={passed}", text(reply))
        }
        Event::LoginRefused(reason) => format!("LoginRefused {:?}", text(reason)),
        Event::Rejected(line) => format!("Rejected {:?}", text(line)),
        Event::RejectedBeforeGreeting(line) => format!("RejectedBeforeGreeting {:?}", text(line)),
        Event::TooLongCommand(verb, length) => format!("TooLongCommand {:?} {length}", text(verb)),
        Event::BackendReplyTooLong(line) => format!("BackendReplyTooLong {:?}", text(line)),
        event => format!("{event:?}"),
    }
}

/// `authenticate N METHOD WORDS`, where N counts the attempts.
fn describe_request(request: &AuthRequest) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let credentials = &*request.credentials;
    let words = match credentials {
        Credentials::Plain { login, password } => format!("{} {}", text(login), text(password.expose())),
        Credentials::Apop { login, digest, challenge }
        | Credentials::CramMd5 { login, digest, challenge } => {
            format!("{} {} {challenge}", text(login), text(digest.expose()))
        }
        Credentials::External { login } => text(login),
        Credentials::Envelope(envelope) => {
            format!("{} | {} | {}", text(&envelope.helo), text(&envelope.mail), text(&envelope.rcpt))
        }
    };
    let host = request.client_host.as_ref().map(|host| format!(", host {host}")).unwrap_or_default();
    format!("authenticate {} {} {words}{host}", request.attempt, credentials.method())
}

//! SASL exchanges as the three protocols share them (RFC 4422; spec/protocols.md sections 5.3 and 5.4).
//!
//! A protocol machine looks up the mechanism of an AUTH or AUTHENTICATE command among those that the server takes
//! ([`Mechanisms::find`]), and begins an exchange. From then on it only carries text: each
//! prompt goes to the client as a continuation, each line the client sends goes into the exchange, until there are
//! [`Credentials`] or a reason to refuse. Nothing is verified here; that is the auth
//! server's work.
//!
//! Every exchange starts from nothing and is consumed by its last message, so no login, password or challenge of one
//! attempt can reach the next.
//!
//! ```text
//! Mechanisms::find(&[u8]) -> Option<Mechanism>
//! Exchange::start(Mechanism, Option<&[u8]>, &mut Challenges, &str) -> Progress
//! Exchange::on_response(self, &[u8]) -> Progress
//! Failure::event(&self) -> Option<Event>
//! has_line_end(&[u8]) -> bool
//! ```

mod base64;
mod cram_md5;
mod mechanism;
mod plain;

pub use mechanism::{Mechanism, Mechanisms};

use crate::auth::Credentials;
use crate::event::Event;
use crate::machine::Challenges;
use crate::secret::Secret;
use crate::words::trim_end;

/// An exchange that waits for the client's next response.
#[derive(Debug)]
pub(crate) struct Exchange(State);

/// What the awaited response is.
#[derive(Debug)]
enum State {
    Plain,
    LoginName,
    LoginPassword { login: Vec<u8> },
    CramMd5 { challenge: Box<str> },
    External,
}

/// Where an exchange stands after a message of the client.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Send this base64 text as a continuation, even if it is empty, and await a response.
    Prompt(Exchange, Box<str>),
    /// The client has said all; ask the auth server.
    Done(Credentials),
    /// The exchange is over without credentials.
    Failed(Failure),
}

/// Why an exchange gave no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The client sent `*` (RFC 4422 section 3.5); the protocols have a reply of its own for it.
    Cancelled,
    /// A response is not base64.
    Base64(Mechanism),
    /// A PLAIN message has no NUL, so no login.
    PlainLogin,
    /// A PLAIN message has one NUL only, so no password.
    PlainPassword,
    /// A CRAM-MD5 message does not end in a space and 32 hexadecimal digits.
    CramMd5,
    /// The login is empty (EXTERNAL may leave it to the auth server), or login or password hold CR, LF or NUL, or the
    /// authorization identity is not the login.
    Forbidden,
    /// CRAM-MD5 begins with the server's challenge and has no initial response (RFC 4954 section 4, RFC 5034
    /// section 4).
    NoInitialResponse,
}

impl Failure {
    /// The fact for the log, for failures that are more than a misused command.
    pub(crate) fn event(&self) -> Option<Event> {
        match self {
            Self::Cancelled | Self::NoInitialResponse => None,
            Self::Base64(mechanism) => Some(Event::InvalidBase64(mechanism.name())),
            Self::PlainLogin => Some(Event::InvalidPlainLogin),
            Self::PlainPassword => Some(Event::InvalidPlainPassword),
            Self::CramMd5 => Some(Event::InvalidCramMd5),
            Self::Forbidden => Some(Event::InvalidCredentials),
        }
    }
}

impl Exchange {
    /// Begins an exchange. `initial_response` is the argument of the command: base64, or `=` for a response without a
    /// byte (RFC 4954 section 4, RFC 4959 section 3, RFC 5034 section 4). `server_name` ends a CRAM-MD5 challenge.
    pub(crate) fn start(
        mechanism: Mechanism,
        initial_response: Option<&[u8]>,
        challenges: &mut Challenges,
        server_name: &str,
    ) -> Progress {
        let exchange = Self(match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginName,
            Mechanism::External => State::External,
            Mechanism::CramMd5 if initial_response.is_some() => {
                return Progress::Failed(Failure::NoInitialResponse);
            }
            Mechanism::CramMd5 => State::CramMd5 { challenge: challenges.next(server_name) },
        });
        match initial_response {
            Some(b"=") => exchange.on_message(b""),
            Some(response) => exchange.on_message(response),
            None => exchange.prompt(),
        }
    }

    /// Takes the response to the last prompt: a line without its end. Spaces at its end carry nothing.
    pub(crate) fn on_response(self, line: &[u8]) -> Progress {
        let response = trim_end(line);
        if response == b"*" {
            return Progress::Failed(Failure::Cancelled);
        }
        self.on_message(response)
    }

    fn mechanism(&self) -> Mechanism {
        match self.0 {
            State::Plain => Mechanism::Plain,
            State::LoginName | State::LoginPassword { .. } => Mechanism::Login,
            State::CramMd5 { .. } => Mechanism::CramMd5,
            State::External => Mechanism::External,
        }
    }

    fn prompt(self) -> Progress {
        let text = match &self.0 {
            State::Plain => Box::default(),
            // nginx asks this of EXTERNAL too, where RFC 4422 has an empty challenge; clients ignore the text.
            State::LoginName | State::External => base64::encode(b"Username:"),
            State::LoginPassword { .. } => base64::encode(b"Password:"),
            State::CramMd5 { challenge } => base64::encode(challenge.as_bytes()),
        };
        Progress::Prompt(self, text)
    }

    fn on_message(self, base64: &[u8]) -> Progress {
        let mechanism = self.mechanism();
        let Some(message) = base64::decode(base64) else {
            return Progress::Failed(Failure::Base64(mechanism));
        };
        match self.0 {
            State::Plain => plain::parse(&message).into(),
            State::LoginName => match login_name(&message) {
                Ok(login) => Self(State::LoginPassword { login }).prompt(),
                Err(failure) => Progress::Failed(failure),
            },
            State::LoginPassword { login } => login_password(login, message).into(),
            State::CramMd5 { challenge } => cram_md5::parse(&message, challenge).into(),
            State::External => external(&message).into(),
        }
    }
}

impl From<Result<Credentials, Failure>> for Progress {
    fn from(outcome: Result<Credentials, Failure>) -> Self {
        outcome.map_or_else(Self::Failed, Self::Done)
    }
}

fn login_name(message: &Secret) -> Result<Vec<u8>, Failure> {
    let login = message.expose();
    forbid_empty(login)?;
    forbid_line_ends(login)?;
    Ok(login.to_vec())
}

fn login_password(login: Vec<u8>, password: Secret) -> Result<Credentials, Failure> {
    forbid_line_ends(password.expose())?;
    Ok(Credentials::Plain { login, password })
}

/// EXTERNAL: all of the message is the login. An empty one asks the auth server to take the identity from what it
/// knows of the connection (RFC 4422 appendix A).
fn external(message: &Secret) -> Result<Credentials, Failure> {
    let login = message.expose();
    forbid_line_ends(login)?;
    Ok(Credentials::External { login: login.to_vec() })
}

/// Whether the bytes hold CR, LF or NUL, which no login or password may: each could end the command that carries it
/// to the backend and begin another.
pub(crate) fn has_line_end(bytes: &[u8]) -> bool {
    memchr::memchr3(b'\r', b'\n', 0, bytes).is_some()
}

fn forbid_line_ends(bytes: &[u8]) -> Result<(), Failure> {
    if has_line_end(bytes) { Err(Failure::Forbidden) } else { Ok(()) }
}

fn forbid_empty(login: &[u8]) -> Result<(), Failure> {
    if login.is_empty() { Err(Failure::Forbidden) } else { Ok(()) }
}

#[cfg(test)]
mod tests;

//! What the three mail machines and the session say to each other.
//!
//! A client-facing machine takes one line or literal at a time and answers with a [`Step`]; its reply bytes go,
//! in clear, to [`Context::reply`]. A backend-facing login takes one backend line at a time and answers with a
//! [`BackendStep`]. Neither sees TLS, wire bytes, timers or sockets.

mod dispatch;

pub(crate) use self::dispatch::{Login, Machine};

use crate::action::Action;
use crate::address::ClientAddr;
use crate::auth::Credentials;
use crate::config::Server;
use crate::event::{Event, Stage};
use crate::secret::Secret;

/// What a machine may see and touch while it reacts to one line.
pub(crate) struct Context<'a> {
    /// The settings of the server.
    pub(crate) server: &'a Server,
    /// Whether the client's leg is under TLS.
    pub(crate) secured: bool,
    /// Reply bytes in clear, appended.
    pub(crate) reply: &'a mut Vec<u8>,
    /// Client errors so far (`max_errors`).
    pub(crate) errors: &'a mut u32,
    /// Makes challenges.
    pub(crate) challenges: &'a mut Challenges,
    /// Facts to log, in order.
    pub(crate) log: &'a mut Vec<Action>,
}

impl Context<'_> {
    /// Logs a fact of the command loop.
    pub(crate) fn log(&mut self, event: Event) {
        self.log.push(Action::Log(event, Some(Stage::Auth)));
    }

    /// Whether logins must wait for STARTTLS.
    pub(crate) fn is_login_refused(&self) -> bool {
        self.server.starttls == crate::config::StartTls::Only && !self.secured
    }

    /// Replies to a client error and counts it: `Close` once `max_errors` is reached.
    pub(crate) fn reject(&mut self, reply: &[u8]) -> Step {
        self.reply.extend_from_slice(reply);
        self.count_error()
    }

    /// Counts a client error whose reply is already written.
    pub(crate) fn count_error(&mut self) -> Step {
        *self.errors = self.errors.saturating_add(1);
        if *self.errors >= self.server.max_errors {
            self.log(Event::TooManyErrors);
            return Step::Close;
        }
        Step::Continue
    }
}

/// What one line or literal led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Go on with the next line.
    Continue,
    /// The positive STARTTLS reply is written; the handshake follows. The session refuses bytes already buffered.
    StartTls,
    /// Ask the auth server.
    Authenticate(Credentials),
    /// The last reply is written; close.
    Close,
}

/// What a client-facing machine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A line; one command, literals included, fits `client_buffer`.
    Line,
    /// Exactly this many bytes (IMAP), never more than what is left of `client_buffer`.
    Literal(usize),
}

/// Makes the challenges `<R.T@NAME>` of APOP and CRAM-MD5; each differs from all before.
#[derive(Clone)]
pub(crate) struct Challenges {
    entropy: [u8; 16],
    made: u32,
    unix_time: u64,
}

impl Challenges {
    pub(crate) fn new(entropy: [u8; 16], unix_time: u64) -> Self {
        Self { entropy, made: 0, unix_time }
    }

    /// The next challenge: R is 63 unpredictable bits, T the time the session was opened.
    pub(crate) fn next(&mut self, name: &str) -> Box<str> {
        use std::hash::Hasher;
        // SipHash of secret random bytes and a counter: unpredictable without the bytes, and no generator to carry.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(&self.entropy);
        hasher.write_u32(self.made);
        self.made = self.made.wrapping_add(1);
        format!("<{}.{}@{name}>", hasher.finish() >> 1, self.unix_time).into_boxed_str()
    }
}

impl std::fmt::Debug for Challenges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Challenges").field("made", &self.made).finish_non_exhaustive()
    }
}

/// Whom a backend login logs in, and what it may tell the backend of the client.
#[derive(Debug)]
pub(crate) struct BackendLogin {
    /// The name for the backend (`Auth-User`, else the client's).
    pub(crate) login: Vec<u8>,
    /// The password for the backend (`Auth-Pass`, else the client's); SMTP may have none.
    pub(crate) password: Option<Secret>,
    /// The client's address after realip.
    pub(crate) client: ClientAddr,
    /// SMTP: the client's name as for `Client-Host`.
    pub(crate) client_host: Box<str>,
    /// Whether TLS is to be begun in the dialogue, before the login.
    pub(crate) starttls: bool,
}

/// What a backend login may see and touch while it reacts to one line.
pub(crate) struct BackendContext<'a> {
    /// The settings of the server.
    pub(crate) server: &'a Server,
    /// Bytes for the backend, in clear, appended.
    pub(crate) command: &'a mut Vec<u8>,
    /// Bytes for the client, in clear, appended: the final reply, or what an error passes on.
    pub(crate) reply: &'a mut Vec<u8>,
    /// What the log says the session is doing; the machine moves it along.
    pub(crate) stage: &'a mut Stage,
    /// Facts to log, in order.
    pub(crate) log: &'a mut Vec<Action>,
}

impl BackendContext<'_> {
    /// Logs a fact at the present stage.
    pub(crate) fn log(&mut self, event: Event) {
        self.log.push(Action::Log(event, Some(*self.stage)));
    }
}

/// What one backend line led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BackendStep {
    /// Go on with the next line.
    Continue,
    /// The backend has agreed to STARTTLS; the handshake follows, then the login goes on. The session refuses bytes that
    /// are there already.
    StartTls,
    /// Logged in; the client's final reply is written. Further backend bytes belong to the client.
    LoggedIn,
    /// The backend refused or broke the protocol.
    Refused(BackendRefusal),
    /// The login cannot go on for a reason that is already logged.
    Failed,
}

/// A backend reply that ends the login.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BackendRefusal {
    /// What goes to the client with `proxy_pass_error_message on`: all lines of the reply, with their CRLF.
    pub(crate) reply: Vec<u8>,
    /// What the log shows: without the final CRLF and (IMAP) the tag.
    pub(crate) text: Vec<u8>,
    /// What it is about.
    pub(crate) grounds: Grounds,
}

/// What a backend's refusal says of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grounds {
    /// Login or password are not accepted.
    Credentials,
    /// A negative answer (`-ERR`, `NO`, `5xx`) to the step that carries the credentials, which are not what it is about:
    /// an outage, a mailbox in use, a policy.
    Otherwise,
    /// Anything else that is no positive answer.
    Disorder,
}

impl Grounds {
    /// Of a negative answer in IMAP or POP3 by its response code, which `text` begins with if there is one (RFC 5530, RFC
    /// 2449 section 8, RFC 3206). One without a code is about the credentials, as that is what was asked.
    pub(crate) fn of_text(text: &[u8]) -> Self {
        const ABOUT_CREDENTIALS: [&[u8]; 4] =
            [b"AUTHENTICATIONFAILED", b"AUTHORIZATIONFAILED", b"EXPIRED", b"AUTH"];
        let Some(code) = text.strip_prefix(b"[") else { return Self::Credentials };
        let end = code.iter().position(|byte| matches!(byte, b']' | b' ')).unwrap_or(code.len());
        if code[..end].eq_ignore_ascii_case(b"ALERT") {
            // It says that people should see the text, and nothing of the reason.
            return Self::Credentials;
        }
        let is_about_them = ABOUT_CREDENTIALS.iter().any(|known| code[..end].eq_ignore_ascii_case(known));
        if is_about_them { Self::Credentials } else { Self::Otherwise }
    }

    /// Whether the client may try again where it is told: the backend has answered what it was asked.
    pub(crate) fn is_clean(self) -> bool {
        matches!(self, Self::Credentials | Self::Otherwise)
    }
}

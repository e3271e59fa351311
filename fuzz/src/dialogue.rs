//! A client that talks and an auth server that refuses: what is needed of a session to see how commands are read.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::auth::{AuthReply, Credentials, Refusal};
use gatepost_protocol::config::Protocol;
use gatepost_protocol::session::Session;

use crate::origin::{origin, start};
use crate::settings::{self, BUFFER};

/// A session whose greeting has been heard.
pub(crate) struct Dialogue {
    session: Session,
    now: Instant,
    is_over: bool,
}

/// What came of something said.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// What the client hears.
    pub(crate) reply: Vec<u8>,
    /// What the auth server was asked about.
    pub(crate) asked: Vec<Arc<Credentials>>,
    /// Whether the session has ended.
    pub(crate) is_over: bool,
}

impl Dialogue {
    /// `letters` are those of a script.
    pub(crate) fn open(protocol: Protocol, letters: &[u8]) -> Self {
        let listener = settings::listener(protocol, letters);
        let mut out = Output::default();
        let mut session = Session::open(&listener, &origin(), start(), &mut out);
        while session.poll_action().is_some() {}
        assert!(out.client.ends_with(b"\r\n"), "no greeting");
        Self { session, now: start(), is_over: false }
    }

    /// One read from the client.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Answer {
        let mut answer = Answer::default();
        let mut out = Output::default();
        self.session.handle_input(Side::Client, &mut bytes.to_vec(), self.now, &mut out);
        loop {
            let mut is_asked = false;
            while let Some(action) = self.session.poll_action() {
                match action {
                    Action::Authenticate(request) => {
                        answer.asked.push(Arc::clone(&request.credentials));
                        is_asked = true;
                    }
                    Action::Finish => self.is_over = true,
                    Action::Log(..) | Action::Close(Side::Client) => {}
                    other => panic!("{other:?}, and nobody was let in"),
                }
            }
            if !is_asked {
                break;
            }
            self.session.handle_completion(Completion::Auth(Ok(refusal())), self.now, &mut out);
            while self.session.poll_action().is_some() {}
            self.now += PAUSE;
            self.session.handle_deadline(self.now, &mut out);
        }
        assert!(out.backend.is_empty(), "a word for a backend that is not there");
        let ends_whole = out.client.is_empty() || out.client.ends_with(b"\r\n");
        assert!(ends_whole, "half a line: {}", out.client.escape_ascii());
        answer.reply.extend_from_slice(&out.client);
        answer.is_over = self.is_over;
        answer
    }
}

/// With a pause, behind which the client may go on.
fn refusal() -> AuthReply {
    AuthReply::Refused(Refusal { text: b"no".to_vec(), code: None, wait: Some(PAUSE), login: None })
}

const PAUSE: Duration = Duration::from_secs(1);

/// Says everything at once; whatever it is, what goes to the auth server can be written there and to a backend, and it
/// fits the buffer.
pub(crate) fn say_all(protocol: Protocol, letters: &[u8], data: &[u8]) -> Answer {
    let answer = Dialogue::open(protocol, letters).say(data);
    for credentials in &answer.asked {
        let password = credentials.password().map(|password| password.expose()).unwrap_or_default();
        assert!(credentials.login().len() + password.len() <= BUFFER);
        assert!(!has_line_end(credentials.login()) && !has_line_end(password));
    }
    answer
}

/// Whether there is CR, LF or NUL in it.
pub(crate) fn has_line_end(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// The lines of `data` with their ends; the last may have none.
pub(crate) fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split_inclusive(|&byte| byte == b'\n')
}

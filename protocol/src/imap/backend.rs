//! The login to an IMAP backend (spec/protocols.md section 9.4).
//!
//! ```text
//! backend                      we
//! * OK ... (greeting)          starttls STARTTLS, if so configured
//! starttls OK ...              (TLS handshake)
//!                              capability CAPABILITY
//! * CAPABILITY ...
//! capability OK ...            TAG LOGIN {n}
//! + ...                        login {m}
//! + ...                        password
//! TAG OK ... (to the client)   relay
//! ```
//!
//! Without STARTTLS the LOGIN answers the greeting. TAG is the client's. A backend whose greeting, or under STARTTLS whose
//! answer to CAPABILITY, has LITERAL+ or LITERAL- (RFC 7888) gets all three lines of the LOGIN in one write, without
//! waiting for `+`. Untagged responses may come at any time; those behind the greeting that did not come in clear before
//! TLS, and do not answer our CAPABILITY, reach the client in front of the tagged one, which may well refer to them.

use super::command::Tag;
use crate::event::{Event, Stage};
use crate::machine::{BackendContext, BackendLogin, BackendRefusal, BackendStep, Grounds};
use crate::sasl;
use crate::secret::Secret;

/// Tags of our own: the client's is for its login.
const STARTTLS_TAG: &[u8] = b"starttls";
const CAPABILITY_TAG: &[u8] = b"capability";

/// The longest literal that LITERAL- allows without waiting (RFC 7888 section 5).
const LITERAL_MINUS_BYTES: usize = 4096;

/// The login while it is under way. The password is dropped as soon as it is sent.
#[derive(Debug)]
pub(crate) struct Login {
    tag: Tag,
    /// Untagged lines with their ends, for the client; at most `proxy_buffer` bytes.
    untagged: Vec<u8>,
    state: State,
}

/// What the next line of the backend answers.
#[derive(Debug, Default)]
enum State {
    Connected(Connected),
    StartTlsSent(Connected),
    /// The handshake is under way, or about to begin.
    Securing(Connected),
    CapabilitySent(CapabilitySent),
    LoginAnnounced(LoginAnnounced),
    PasswordAnnounced(PasswordAnnounced),
    PasswordSent,
    /// The backend can read a command; nothing that it says matters.
    #[default]
    Over,
    /// The same, but the backend may be in the middle of a literal.
    OverInLiteral,
}

#[derive(Debug, Default)]
struct Connected {
    login: Vec<u8>,
    password: Option<Secret>,
    starttls: bool,
}

#[derive(Debug)]
struct CapabilitySent {
    connected: Connected,
    literals: Literals,
}

#[derive(Debug)]
struct LoginAnnounced {
    login: Vec<u8>,
    password: Secret,
}

#[derive(Debug)]
struct PasswordAnnounced {
    password: Secret,
}

impl Login {
    /// Waits for the greeting of a backend that has just been connected.
    pub(super) fn new(tag: Tag, login: BackendLogin) -> Self {
        let BackendLogin { login, password, client: _, client_host: _, starttls } = login;
        let connected = Connected { login, password, starttls };
        Self { tag, untagged: Vec::new(), state: State::Connected(connected) }
    }

    /// Takes one line without its end.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        *context.stage = Stage::ReadingResponse;
        if let State::Connected(connected) = &mut self.state {
            let connected = std::mem::take(connected);
            self.state = State::Over;
            return self.on_greeting(connected, line, context);
        }
        if let Some(response) = line.strip_prefix(b"* ") {
            return self.on_untagged(line, response, context);
        }
        if line.starts_with(b"+") {
            return self.on_continuation(line, context);
        }
        let tag = match &self.state {
            State::StartTlsSent(_) => STARTTLS_TAG,
            State::CapabilitySent(_) => CAPABILITY_TAG,
            State::Connected(_)
            | State::Securing(_)
            | State::LoginAnnounced(_)
            | State::PasswordAnnounced(_)
            | State::PasswordSent
            | State::Over
            | State::OverInLiteral => self.tag.as_bytes(),
        };
        match line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(b" ")) {
            Some(response) => self.on_tagged(line, response, context),
            None => self.refuse(line),
        }
    }

    /// RFC 3501 section 6.2.1: what the backend has said of its capabilities counts no more.
    pub(crate) fn on_secured(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        let State::Securing(connected) = std::mem::take(&mut self.state) else {
            return BackendStep::Failed;
        };
        *context.stage = Stage::SendingCapability;
        send_command(CAPABILITY_TAG, b"CAPABILITY", context);
        self.state = State::CapabilitySent(CapabilitySent { connected, literals: Literals::Synchronizing });
        BackendStep::Continue
    }

    /// Takes leave of the backend, at whatever step; without a word where the backend would read it as a literal.
    pub(crate) fn on_quit(&mut self, command: &mut Vec<u8>) {
        match std::mem::take(&mut self.state) {
            State::Connected(_)
            | State::StartTlsSent(_)
            | State::CapabilitySent(_)
            | State::PasswordSent
            | State::Over => {
                // A tag of our own: the client's is taken by its login.
                command.extend_from_slice(b"logout LOGOUT\r\n");
            }
            State::Securing(_)
            | State::LoginAnnounced(_)
            | State::PasswordAnnounced(_)
            | State::OverInLiteral => {}
        }
    }

    fn on_greeting(
        &mut self,
        connected: Connected,
        line: &[u8],
        context: &mut BackendContext<'_>,
    ) -> BackendStep {
        let response = line.strip_prefix(b"* ").unwrap_or_default();
        // Who is logged in already cannot have TLS any more (RFC 9051 section 11.1).
        if is_status(response, b"PREAUTH") && !connected.starttls {
            context.reply.extend_from_slice(self.tag.as_bytes());
            context.reply.extend_from_slice(b" OK completed\r\n");
            return BackendStep::LoggedIn;
        }
        if !is_status(response, b"OK") {
            return self.refuse(line);
        }
        if connected.starttls {
            *context.stage = Stage::SendingStartTls;
            send_command(STARTTLS_TAG, b"STARTTLS", context);
            self.state = State::StartTlsSent(connected);
            return BackendStep::Continue;
        }
        self.log_in(connected, Literals::of_greeting(response), context)
    }

    fn log_in(
        &mut self,
        connected: Connected,
        literals: Literals,
        context: &mut BackendContext<'_>,
    ) -> BackendStep {
        let Some(password) = connected.password else {
            context.log(Event::NoPassword);
            return BackendStep::Failed;
        };
        // Machines and auth client refuse these bytes where they come in; this is the last gate before the wire.
        if sasl::has_line_end(&connected.login) || sasl::has_line_end(password.expose()) {
            context.log(Event::InvalidCredentials);
            return BackendStep::Failed;
        }
        let login = LoginAnnounced { login: connected.login, password };
        self.send_login(login, literals, context)
    }

    fn send_login(
        &mut self,
        login: LoginAnnounced,
        literals: Literals,
        context: &mut BackendContext<'_>,
    ) -> BackendStep {
        *context.stage = Stage::SendingLogin;
        let LoginAnnounced { login, password } = login;
        let plus =
            if literals.allow(login.len()) && literals.allow(password.expose().len()) { "+" } else { "" };
        context.command.extend_from_slice(self.tag.as_bytes());
        context.command.extend_from_slice(format!(" LOGIN {{{}{plus}}}\r\n", login.len()).as_bytes());
        if plus.is_empty() {
            self.state = State::LoginAnnounced(LoginAnnounced { login, password });
            return BackendStep::Continue;
        }
        context.command.extend_from_slice(&login);
        context.command.extend_from_slice(format!(" {{{}+}}\r\n", password.expose().len()).as_bytes());
        self.send_password(&password, context)
    }

    fn send_password(&mut self, password: &Secret, context: &mut BackendContext<'_>) -> BackendStep {
        // Growing behind it would leave a copy in freed memory.
        context.command.reserve(password.expose().len() + 2);
        context.command.extend_from_slice(password.expose());
        context.command.extend_from_slice(b"\r\n");
        self.state = State::PasswordSent;
        BackendStep::Continue
    }

    fn on_continuation(&mut self, line: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        match std::mem::take(&mut self.state) {
            State::LoginAnnounced(LoginAnnounced { login, password }) => {
                *context.stage = Stage::SendingUser;
                context.command.extend_from_slice(&login);
                context.command.extend_from_slice(format!(" {{{}}}\r\n", password.expose().len()).as_bytes());
                self.state = State::PasswordAnnounced(PasswordAnnounced { password });
                BackendStep::Continue
            }
            State::PasswordAnnounced(PasswordAnnounced { password }) => {
                *context.stage = Stage::SendingPassword;
                self.send_password(&password, context)
            }
            other @ (State::Connected(_)
            | State::StartTlsSent(_)
            | State::Securing(_)
            | State::CapabilitySent(_)
            | State::PasswordSent
            | State::Over
            | State::OverInLiteral) => {
                self.state = other;
                self.refuse(line)
            }
        }
    }

    fn on_untagged(&mut self, line: &[u8], response: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        // Before a login nothing has literals in it, and its bytes would come to us as if they were lines.
        if is_status(response, b"BYE") || response.ends_with(b"}") {
            return self.refuse(line);
        }
        if matches!(self.state, State::StartTlsSent(_)) {
            // Anybody may have put it there.
            return BackendStep::Continue;
        }
        if let State::CapabilitySent(sent) = &mut self.state
            && is_status(response, b"CAPABILITY")
        {
            sent.literals = Literals::of_capabilities(response);
            return BackendStep::Continue;
        }
        if self.untagged.len() + line.len() + 2 > context.server.proxy_buffer {
            context.log(Event::BackendReplyTooLong(line.to_vec()));
            self.give_up();
            return BackendStep::Failed;
        }
        push_line(&mut self.untagged, line);
        BackendStep::Continue
    }

    fn on_tagged(&mut self, line: &[u8], response: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        // Whatever it says, the command is over, and a literal that was announced is not awaited any more.
        match std::mem::take(&mut self.state) {
            State::StartTlsSent(connected) if is_status(response, b"OK") => {
                self.state = State::Securing(connected);
                return BackendStep::StartTls;
            }
            // One that does not tell its capabilities has no literals to spare.
            State::CapabilitySent(sent) => return self.log_in(sent.connected, sent.literals, context),
            State::PasswordSent if is_status(response, b"OK") => {
                context.reply.extend_from_slice(&self.untagged);
                push_line(context.reply, line);
                return BackendStep::LoggedIn;
            }
            State::StartTlsSent(_) => return self.refuse(line),
            State::Connected(_)
            | State::Securing(_)
            | State::LoginAnnounced(_)
            | State::PasswordAnnounced(_)
            | State::PasswordSent
            | State::Over
            | State::OverInLiteral => {}
        }
        let grounds = if is_status(response, b"NO") {
            Grounds::of_text(response[2..].trim_ascii_start())
        } else {
            Grounds::Disorder
        };
        BackendStep::Refused(BackendRefusal {
            reply: self.untagged_and(line),
            text: response.to_vec(),
            grounds,
        })
    }

    /// Ends the login for a line that does not answer it.
    fn refuse(&mut self, line: &[u8]) -> BackendStep {
        self.give_up();
        BackendStep::Refused(BackendRefusal {
            reply: self.untagged_and(line),
            text: line.to_vec(),
            grounds: Grounds::Disorder,
        })
    }

    fn give_up(&mut self) {
        self.state = match std::mem::take(&mut self.state) {
            State::LoginAnnounced(_) | State::PasswordAnnounced(_) | State::OverInLiteral => {
                State::OverInLiteral
            }
            State::Connected(_)
            | State::StartTlsSent(_)
            | State::Securing(_)
            | State::CapabilitySent(_)
            | State::PasswordSent
            | State::Over => State::Over,
        };
    }

    fn untagged_and(&mut self, line: &[u8]) -> Vec<u8> {
        let mut reply = std::mem::take(&mut self.untagged);
        push_line(&mut reply, line);
        reply
    }
}

/// Which literals the backend takes without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Literals {
    Synchronizing,
    NonSynchronizing { most: usize },
}

impl Literals {
    /// Looks into `OK [CAPABILITY ...] text`.
    fn of_greeting(response: &[u8]) -> Self {
        let code = response.get(3..).and_then(|rest| rest.strip_prefix(b"[")).unwrap_or_default();
        Self::of_capabilities(&code[..memchr::memchr(b']', code).unwrap_or(0)])
    }

    /// Looks into `CAPABILITY ...`.
    fn of_capabilities(text: &[u8]) -> Self {
        let mut words = text.split(|&byte| byte == b' ');
        if !words.next().is_some_and(|name| name.eq_ignore_ascii_case(b"CAPABILITY")) {
            return Self::Synchronizing;
        }
        let most = |word: &[u8]| match word.to_ascii_uppercase().as_slice() {
            b"LITERAL+" => Some(usize::MAX),
            b"LITERAL-" => Some(LITERAL_MINUS_BYTES),
            _ => None,
        };
        words.filter_map(most).max().map_or(Self::Synchronizing, |most| Self::NonSynchronizing { most })
    }

    fn allow(self, size: usize) -> bool {
        match self {
            Self::Synchronizing => false,
            Self::NonSynchronizing { most } => size <= most,
        }
    }
}

/// Whether a response is this status (RFC 3501 section 7.1), in any case.
fn is_status(response: &[u8], status: &[u8]) -> bool {
    response.split(|&byte| byte == b' ').next().is_some_and(|word| word.eq_ignore_ascii_case(status))
}

fn send_command(tag: &[u8], name: &[u8], context: &mut BackendContext<'_>) {
    context.command.extend_from_slice(&[tag, b" ", name, b"\r\n"].concat());
}

fn push_line(buffer: &mut Vec<u8>, line: &[u8]) {
    buffer.extend_from_slice(line);
    buffer.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;

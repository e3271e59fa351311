//! IMAP, both faces: the machine towards the client and the login to the backend (RFC 3501, RFC 2971, RFC 4959,
//! RFC 7888; spec/protocols.md sections 7 and 9.4).
//!
//! The proxy plays the not-authenticated state of RFC 3501: it greets, tells its capabilities, starts TLS and collects
//! one login, by LOGIN or by AUTHENTICATE. A complete login leaves as `Step::Authenticate`; what the auth server says
//! about it comes back by one of the `on_*` methods, and either the client tries again or the login is repeated to the
//! backend, under the client's own tag, so that the client gets to read the backend's last reply unchanged.
//!
//! A command is a line, and with literals it is several: a line that announces a literal, the bytes of the literal, the
//! rest of the line. `expect` tells which comes next. All of a command fits `imap_client_buffer`, its line ends and
//! literals included, and what is kept of it between two calls is wiped when dropped.
//!
//! Whatever goes wrong, the answer is `BAD` under the command's tag and the next line is a new command. Each such answer
//! counts for `max_errors`; refusals by the auth server or the backend do not. `STATES.md` has the table of states.
//!
//! ```text
//! Machine::new() -> Machine                                  on_refused(&Refusal, &mut Context)
//! greeting(&mut Context)                                     on_unavailable(&mut Context)
//! expect() -> Expect                                         on_internal_error(&mut Context)
//! on_line(&[u8], &mut Context) -> Step                       on_timeout(&mut Context)
//! on_literal(&[u8], &mut Context) -> Step                    on_shutdown(&mut Context)
//! on_overflow(&[u8], &mut Context) -> Step                   on_plaintext_after_starttls(&mut Context)
//! on_tls_started()                                           on_backend_refusal(&[u8], &mut Context)
//! backend(BackendLogin) -> backend::Login
//!
//! backend::Login: on_line(&[u8], &mut BackendContext) -> BackendStep    on_quit(&mut Vec<u8>)
//! ```
//!
//! All are methods with `&mut self` or less. The machine logs what it finds in a line; facts that the session learns
//! first (timeouts, refusals, bytes behind STARTTLS) are the session's to log. Unlike in the other protocols, a backend
//! may say untagged things whenever it likes, so lines behind the one that a command answers are no error here.

mod backend;
mod command;
mod id;
mod reply;
mod scan;
mod settings;

pub(crate) use backend::Login;
pub use settings::Settings;

use self::command::{Command, LINE_END, Tag, Verb};
use self::reply::{
    CANCELLED, COMPLETED, INTERNAL_ERROR, INVALID_COMMAND, STARTTLS_FIRST, TOO_LONG, UNAVAILABLE, answer,
    close_with, complete, log_too_long, refuse_line, reject, too_long,
};
use self::scan::Announcement;
use crate::auth::{Credentials, Refusal};
use crate::client_certificate::CertificateFault;
use crate::config::{Mail, Server, StartTls};
use crate::event::Event;
use crate::machine::{BackendLogin, Context, Expect, Step};
use crate::sasl::{self, Exchange, Failure, Progress};
use crate::secret::Secret;

/// The machine towards the client.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    state: State,
}

/// What comes next.
#[derive(Debug, Default)]
enum State {
    /// A line that begins a command.
    #[default]
    Ready,
    /// The bytes of a literal.
    Literal(AwaitedLiteral),
    /// A line that continues a command behind a literal.
    Rest(Command),
    /// A line of a SASL exchange.
    Sasl(Authentication),
    /// Nothing from the client: a login is being judged, or TLS is being started.
    Judged(Judged),
}

#[derive(Debug)]
struct AwaitedLiteral {
    command: Command,
    /// At least 1.
    size: usize,
}

#[derive(Debug)]
struct Authentication {
    tag: Tag,
    exchange: Exchange,
}

#[derive(Debug)]
struct Judged {
    tag: Tag,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The first line of the session.
    pub(crate) fn greeting(&self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(b"* OK IMAP4 ready\r\n");
    }

    /// A line, or so many bytes: at least one, and so few that they and a line end fit what is left of
    /// `imap_client_buffer`.
    pub(crate) fn expect(&self) -> Expect {
        match &self.state {
            State::Literal(awaited) => Expect::Literal(awaited.size),
            State::Ready | State::Rest(_) | State::Sasl(_) | State::Judged(_) => Expect::Line,
        }
    }

    /// Takes one line without its end.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut Context<'_>) -> Step {
        // A state that is not put back is *ready*: so every error ends there.
        match std::mem::take(&mut self.state) {
            State::Ready | State::Judged(_) => match Command::begin(line) {
                Ok((command, rest)) => self.on_command_line(command, rest, context),
                Err(tag) => refuse_line(tag.as_ref(), line, context),
            },
            State::Rest(command) => self.on_command_line(command, line, context),
            State::Literal(awaited) => refuse_line(Some(&awaited.command.tag), line, context),
            State::Sasl(Authentication { tag, exchange }) => {
                let progress = exchange.on_response(line);
                self.on_progress(tag, progress, context)
            }
        }
    }

    /// Takes the literal that [`expect`](Self::expect) asked for.
    pub(crate) fn on_literal(&mut self, literal: &[u8], context: &mut Context<'_>) -> Step {
        let State::Literal(AwaitedLiteral { mut command, size }) = std::mem::take(&mut self.state) else {
            return reject(None, INVALID_COMMAND, context);
        };
        debug_assert_eq!(size, literal.len(), "`expect` says how many bytes");
        command.read_literal(literal);
        self.state = State::Rest(command);
        Step::Continue
    }

    /// Takes what there is of a line that does not fit `imap_client_buffer`.
    pub(crate) fn on_overflow(&mut self, received: &[u8], context: &mut Context<'_>) -> Step {
        match std::mem::take(&mut self.state) {
            State::Ready | State::Judged(_) => match Command::begin(received) {
                Ok((command, rest)) => too_long(&command, rest.len(), context),
                Err(tag) => {
                    context.log(Event::TooLongCommand(Vec::new(), received.len()));
                    close_with(tag.as_ref(), TOO_LONG, context)
                }
            },
            State::Rest(command) | State::Literal(AwaitedLiteral { command, .. }) => {
                too_long(&command, received.len(), context)
            }
            State::Sasl(Authentication { tag, .. }) => {
                context.log(Event::TooLongCommand(Vec::new(), received.len()));
                close_with(Some(&tag), TOO_LONG, context)
            }
        }
    }

    /// The auth server refused the login.
    pub(crate) fn on_refused(&mut self, refusal: &Refusal, context: &mut Context<'_>) {
        let tag = self.take_tag();
        let text = [b"NO ", refusal.text.as_slice()].concat();
        answer(tag.as_ref(), &text, context);
    }

    /// The auth server gave no answer; the session goes on.
    pub(crate) fn on_unavailable(&mut self, context: &mut Context<'_>) {
        let tag = self.take_tag();
        answer(tag.as_ref(), UNAVAILABLE, context);
    }

    /// The login cannot go on; the session closes.
    pub(crate) fn on_internal_error(&mut self, context: &mut Context<'_>) {
        if let Some(tag) = self.take_tag() {
            answer(Some(&tag), INTERNAL_ERROR, context);
        }
        answer(None, b"BYE internal server error", context);
    }

    /// The client took too long to log in.
    pub(crate) fn on_timeout(&self, context: &mut Context<'_>) {
        answer(None, b"BYE Autologout; idle for too long", context);
    }

    /// The worker stops.
    pub(crate) fn on_shutdown(&self, context: &mut Context<'_>) {
        answer(None, b"BYE server shutting down", context);
    }

    /// The client's certificate is bad or missing; no greeting, and the session closes.
    pub(crate) fn on_certificate_fault(&mut self, fault: CertificateFault, context: &mut Context<'_>) {
        answer(None, format!("BYE {}", fault.text()).as_bytes(), context);
    }

    /// Bytes in clear lay behind STARTTLS; the session takes the positive reply back, sends this one and closes.
    pub(crate) fn on_plaintext_after_starttls(&mut self, context: &mut Context<'_>) {
        let tag = self.take_tag();
        answer(tag.as_ref(), INVALID_COMMAND, context);
    }

    /// The handshake is complete: nothing said in clear counts any more.
    pub(crate) fn on_tls_started(&mut self) {
        *self = Self::new();
    }

    /// The backend refused the login, and the client is to see it: `reply` are whole lines, of which the last has the
    /// client's tag already.
    pub(crate) fn on_backend_refusal(&mut self, reply: &[u8], context: &mut Context<'_>) {
        self.state = State::Ready;
        context.reply.extend_from_slice(reply);
    }

    /// The login to the backend, under the tag of the login that is being judged.
    pub(crate) fn backend(&self, login: BackendLogin) -> Login {
        match &self.state {
            State::Judged(Judged { tag }) => Login::new(tag.clone(), login),
            State::Ready | State::Rest(_) | State::Literal(_) | State::Sasl(_) => {
                unreachable!("a backend login follows `Step::Authenticate`")
            }
        }
    }

    /// Goes back to the start, with the tag of the command that waits for its reply.
    fn take_tag(&mut self) -> Option<Tag> {
        match std::mem::take(&mut self.state) {
            State::Ready => None,
            State::Literal(AwaitedLiteral { command, .. }) | State::Rest(command) => Some(command.tag),
            State::Sasl(Authentication { tag, .. }) | State::Judged(Judged { tag }) => Some(tag),
        }
    }

    fn on_command_line(&mut self, mut command: Command, line: &[u8], context: &mut Context<'_>) -> Step {
        let read = command.read_line(line);
        if command.len() > context.server.client_buffer {
            return too_long(&command, 0, context);
        }
        match read {
            Ok(None) => self.on_command(command, context),
            Ok(Some(announcement)) => self.on_announcement(command, announcement, context),
            Err(_) => refuse_line(Some(&command.tag), line, context),
        }
    }

    fn on_announcement(
        &mut self,
        mut command: Command,
        announcement: Announcement,
        context: &mut Context<'_>,
    ) -> Step {
        let Announcement { size, is_synchronizing } = announcement;
        let left = context.server.client_buffer.saturating_sub(command.len() + LINE_END);
        if size > left && is_synchronizing {
            log_too_long(&command, size, context);
            return reject(Some(&command.tag), TOO_LONG, context);
        }
        if size > left {
            // The bytes are on their way and cannot be told from commands; who skips them has read them all.
            return too_long(&command, size, context);
        }
        if is_synchronizing && command.verb.is_login() && context.is_login_refused() {
            return reject(Some(&command.tag), STARTTLS_FIRST, context);
        }
        if is_synchronizing {
            context.reply.extend_from_slice(b"+ OK\r\n");
        }
        self.state = if size == 0 {
            command.read_literal(b"");
            State::Rest(command)
        } else {
            State::Literal(AwaitedLiteral { command, size })
        };
        Step::Continue
    }

    fn on_command(&mut self, command: Command, context: &mut Context<'_>) -> Step {
        let (tag, verb) = (command.tag.clone(), command.verb);
        if verb.is_login() && context.is_login_refused() {
            return reject(Some(&tag), STARTTLS_FIRST, context);
        }
        match verb {
            Verb::Login => self.on_login(tag, command.into_words(), context),
            Verb::Authenticate => self.on_authenticate(tag, &command.into_words(), context),
            Verb::StartTls => self.on_starttls(tag, context),
            Verb::Noop => complete(&tag, b"", context),
            Verb::Id => complete(&tag, b"* ID NIL\r\n", context),
            Verb::Capability => {
                let response = settings(context.server).capability(context.secured);
                complete(&tag, response, context)
            }
            Verb::Logout => {
                complete(&tag, b"* BYE\r\n", context);
                Step::Close
            }
        }
    }

    fn on_login(&mut self, tag: Tag, words: Vec<Secret>, context: &mut Context<'_>) -> Step {
        let Ok([login, password]) = <[Secret; 2]>::try_from(words) else {
            return reject(Some(&tag), INVALID_COMMAND, context);
        };
        if login.is_empty() {
            return reject(Some(&tag), INVALID_COMMAND, context);
        }
        if sasl::has_line_end(login.expose()) || sasl::has_line_end(password.expose()) {
            context.log(Event::InvalidCredentials);
            return reject(Some(&tag), INVALID_COMMAND, context);
        }
        self.state = State::Judged(Judged { tag });
        Step::Authenticate(Credentials::Plain { login: login.expose().to_vec(), password })
    }

    fn on_authenticate(&mut self, tag: Tag, words: &[Secret], context: &mut Context<'_>) -> Step {
        let mechanisms = settings(context.server).mechanisms();
        let Some(mechanism) = words.first().and_then(|name| mechanisms.find(name.expose())) else {
            return reject(Some(&tag), INVALID_COMMAND, context);
        };
        let initial_response = words.get(1).map(Secret::expose);
        let progress = Exchange::start(mechanism, initial_response, context.challenges, &context.server.name);
        self.on_progress(tag, progress, context)
    }

    fn on_progress(&mut self, tag: Tag, progress: Progress, context: &mut Context<'_>) -> Step {
        match progress {
            Progress::Prompt(exchange, text) => {
                self.state = State::Sasl(Authentication { tag, exchange });
                context.reply.extend_from_slice(b"+ ");
                context.reply.extend_from_slice(text.as_bytes());
                context.reply.extend_from_slice(b"\r\n");
                Step::Continue
            }
            Progress::Done(credentials) => {
                self.state = State::Judged(Judged { tag });
                Step::Authenticate(credentials)
            }
            Progress::Failed(Failure::Cancelled) => reject(Some(&tag), CANCELLED, context),
            Progress::Failed(failure) => {
                if let Some(event) = failure.event() {
                    context.log(event);
                }
                reject(Some(&tag), INVALID_COMMAND, context)
            }
        }
    }

    fn on_starttls(&mut self, tag: Tag, context: &mut Context<'_>) -> Step {
        if context.server.starttls == StartTls::Off || context.secured {
            return reject(Some(&tag), INVALID_COMMAND, context);
        }
        answer(Some(&tag), COMPLETED, context);
        self.state = State::Judged(Judged { tag });
        Step::StartTls
    }
}

fn settings(server: &Server) -> &Settings {
    match &server.mail {
        Mail::Imap(settings) => settings,
        Mail::Pop3(_) | Mail::Smtp(_) => unreachable!("a session picks its machine by `server.mail`"),
    }
}

#[cfg(test)]
mod tests;

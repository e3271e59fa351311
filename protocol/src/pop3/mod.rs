//! POP3, both faces: the machine towards the client and the login to the backend (RFC 1939, RFC 2449, RFC 2595,
//! RFC 5034; spec/protocols.md sections 6 and 9.3).
//!
//! A POP3 server knows its user before it says anything of substance, so the proxy plays only the AUTHORIZATION state
//! of RFC 1939: it greets, tells its capabilities, starts TLS and collects one login, by USER and PASS, by APOP or by
//! a SASL exchange. A complete login leaves as `Step::Authenticate`; what the auth server says about it comes back
//! by one of the `on_*` methods, and either the client tries again from the start or a `backend::Login` repeats the
//! login to the backend, whose last reply the client gets to read as ours.
//!
//! Whatever goes wrong, the answer is `-ERR invalid command` and the state is *start* again. Each such answer counts
//! for `max_errors`; refusals by the auth server or the backend do not. `STATES.md` has the table of states.
//!
//! ```text
//! Machine::new() -> Machine                                  on_refused(&Refusal, &mut Context)
//! greeting(&mut Context)                                     on_unavailable(&mut Context)
//! expect() -> Expect                                         on_internal_error(&mut Context)
//! on_line(&[u8], &mut Context) -> Step                       on_timeout(&mut Context)
//! on_overflow(&[u8], &mut Context) -> Step                   on_shutdown(&mut Context)
//! on_tls_started()                                           on_plaintext_after_starttls(&mut Context)
//! backend(BackendLogin) -> backend::Login                    on_backend_refusal(&[u8], &mut Context)
//!
//! backend::Login: on_line(&[u8], &mut BackendContext) -> BackendStep    on_quit(&mut Vec<u8>)
//! ```
//!
//! All are methods with `&mut self` or less. The machine logs what it finds in a line; facts that the session learns
//! first (timeouts, refusals, bytes behind STLS) are the session's to log.

mod backend;
mod command;
mod settings;

pub(crate) use backend::Login;
pub use settings::Settings;

use self::command::{Command, Verb, verb_of};
use crate::auth::{Credentials, Refusal};
use crate::client_certificate::CertificateFault;
use crate::config::{Mail, Server, StartTls};
use crate::event::Event;
use crate::machine::{BackendLogin, Context, Expect, Step};
use crate::sasl::{self, Exchange, Failure, Progress};

const OK: &[u8] = b"+OK\r\n";
const INVALID_COMMAND: &[u8] = b"-ERR invalid command\r\n";
const TOO_LONG: &[u8] = b"-ERR line too long\r\n";
const CANCELLED: &[u8] = b"-ERR authentication cancelled\r\n";
const INTERNAL_ERROR: &[u8] = b"-ERR internal server error\r\n";
/// SYS/TEMP tells clients not to ask the user for another password (RFC 3206 section 4).
const UNAVAILABLE: &[u8] = b"-ERR [SYS/TEMP] Temporary authentication failure\r\n";

/// The machine towards the client.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    state: State,
    /// The timestamp of the greeting, where APOP is enabled. It serves the whole session: there is no second greeting,
    /// not even after STLS.
    apop_challenge: Option<Box<str>>,
}

/// What the next line means.
#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    User(User),
    Sasl(Exchange),
}

/// USER was accepted.
#[derive(Debug)]
struct User {
    login: Vec<u8>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The first line of the session.
    pub(crate) fn greeting(&mut self, context: &mut Context<'_>) {
        let settings = settings(context.server);
        context.reply.extend_from_slice(b"+OK POP3 ready");
        if settings.is_challenge_greeted() {
            let challenge = context.challenges.next(&context.server.name);
            context.reply.push(b' ');
            context.reply.extend_from_slice(challenge.as_bytes());
            self.apop_challenge = settings.is_apop_enabled().then_some(challenge);
        }
        context.reply.extend_from_slice(b"\r\n");
    }

    /// POP3 has nothing but lines.
    pub(crate) fn expect(&self) -> Expect {
        Expect::Line
    }

    /// Takes one line without its end.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut Context<'_>) -> Step {
        // A state that is not put back is *start*: so every error ends there.
        match std::mem::take(&mut self.state) {
            State::Start => self.on_command_in_start(line, context),
            State::User(user) => self.on_command_in_user(user, line, context),
            State::Sasl(exchange) => {
                let progress = exchange.on_response(line);
                self.on_progress(progress, context)
            }
        }
    }

    /// Takes what there is of a line that does not fit `pop3_client_buffer`.
    pub(crate) fn on_overflow(&mut self, received: &[u8], context: &mut Context<'_>) -> Step {
        let verb = match std::mem::take(&mut self.state) {
            State::Start | State::User(_) => verb_of(received),
            State::Sasl(_) => Vec::new(),
        };
        context.log(Event::TooLongCommand(verb, received.len()));
        context.reply.extend_from_slice(TOO_LONG);
        Step::Close
    }

    /// The auth server refused the login.
    pub(crate) fn on_refused(&mut self, refusal: &Refusal, context: &mut Context<'_>) {
        context.reply.extend_from_slice(b"-ERR ");
        context.reply.extend_from_slice(&refusal.text);
        context.reply.extend_from_slice(b"\r\n");
    }

    /// The auth server gave no answer; the session goes on.
    pub(crate) fn on_unavailable(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(UNAVAILABLE);
    }

    /// The login cannot go on; the session closes.
    pub(crate) fn on_internal_error(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(INTERNAL_ERROR);
    }

    /// The client was silent too long; RFC 1939 section 3 has the server close without a word.
    pub(crate) fn on_timeout(&mut self, _context: &mut Context<'_>) {}

    /// The worker stops; the same silence.
    pub(crate) fn on_shutdown(&mut self, _context: &mut Context<'_>) {}

    /// The client's certificate is bad or missing; no greeting, and the session closes.
    pub(crate) fn on_certificate_fault(&mut self, fault: CertificateFault, context: &mut Context<'_>) {
        context.reply.extend_from_slice(format!("-ERR {}\r\n", fault.text()).as_bytes());
    }

    /// Bytes in clear lay behind STLS; the session takes the positive reply back, sends this one and closes.
    pub(crate) fn on_plaintext_after_starttls(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(INVALID_COMMAND);
    }

    /// The handshake is complete: nothing said in clear counts any more. The APOP timestamp stays, being ours.
    pub(crate) fn on_tls_started(&mut self) {
        self.state = State::Start;
    }

    /// The backend refused the login, and the client is to see it: `reply` is the line with its end.
    pub(crate) fn on_backend_refusal(&mut self, reply: &[u8], context: &mut Context<'_>) {
        context.reply.extend_from_slice(reply);
    }

    /// The login to the backend.
    pub(crate) fn backend(&self, login: BackendLogin) -> Login {
        Login::new(login)
    }

    fn on_command_in_start(&mut self, line: &[u8], context: &mut Context<'_>) -> Step {
        let Some(command) = Command::parse(line) else {
            return context.reject(INVALID_COMMAND);
        };
        match command.verb {
            Verb::User => self.on_user(command.text(), context),
            Verb::Apop => self.on_apop(&command, context),
            Verb::Auth => self.on_auth(&command, context),
            Verb::Stls => on_stls(&command, context),
            Verb::Capa => {
                let can_start_tls = !context.secured;
                answer(settings(context.server).capa(can_start_tls), context)
            }
            Verb::Noop => answer(OK, context),
            Verb::Quit => quit(context),
            Verb::Pass => context.reject(INVALID_COMMAND),
        }
    }

    fn on_command_in_user(&mut self, user: User, line: &[u8], context: &mut Context<'_>) -> Step {
        let Some(command) = Command::parse(line) else {
            return context.reject(INVALID_COMMAND);
        };
        match command.verb {
            Verb::Pass => on_pass(user, command.text(), context),
            Verb::Capa => {
                self.state = State::User(user);
                answer(settings(context.server).capa(false), context)
            }
            Verb::Noop => {
                self.state = State::User(user);
                answer(OK, context)
            }
            Verb::Quit => quit(context),
            Verb::User | Verb::Apop | Verb::Auth | Verb::Stls => context.reject(INVALID_COMMAND),
        }
    }

    fn on_user(&mut self, login: &[u8], context: &mut Context<'_>) -> Step {
        if login.is_empty() || context.is_login_refused() {
            return context.reject(INVALID_COMMAND);
        }
        if sasl::has_line_end(login) {
            context.log(Event::InvalidCredentials);
            return context.reject(INVALID_COMMAND);
        }
        self.state = State::User(User { login: login.to_vec() });
        answer(OK, context)
    }

    fn on_apop(&mut self, command: &Command<'_>, context: &mut Context<'_>) -> Step {
        let mut words = command.words();
        let (Some(login), Some(digest), None) = (words.next(), words.next(), words.next()) else {
            return context.reject(INVALID_COMMAND);
        };
        let Some(challenge) = self.apop_challenge.clone().filter(|_| !context.is_login_refused()) else {
            return context.reject(INVALID_COMMAND);
        };
        if sasl::has_line_end(login) || sasl::has_line_end(digest) {
            context.log(Event::InvalidCredentials);
            return context.reject(INVALID_COMMAND);
        }
        Step::Authenticate(Credentials::Apop { login: login.to_vec(), digest: digest.into(), challenge })
    }

    fn on_auth(&mut self, command: &Command<'_>, context: &mut Context<'_>) -> Step {
        if context.is_login_refused() {
            return context.reject(INVALID_COMMAND);
        }
        let settings = settings(context.server);
        let mut words = command.words();
        let Some(name) = words.next() else {
            return answer(settings.auth_list(), context);
        };
        let initial_response = words.next();
        let (Some(mechanism), None) = (settings.mechanisms().find(name), words.next()) else {
            return context.reject(INVALID_COMMAND);
        };
        let progress = Exchange::start(mechanism, initial_response, context.challenges, &context.server.name);
        self.on_progress(progress, context)
    }

    fn on_progress(&mut self, progress: Progress, context: &mut Context<'_>) -> Step {
        match progress {
            Progress::Prompt(exchange, text) => {
                self.state = State::Sasl(exchange);
                context.reply.extend_from_slice(b"+ ");
                context.reply.extend_from_slice(text.as_bytes());
                context.reply.extend_from_slice(b"\r\n");
                Step::Continue
            }
            Progress::Done(credentials) => Step::Authenticate(credentials),
            Progress::Failed(Failure::Cancelled) => context.reject(CANCELLED),
            Progress::Failed(failure) => {
                if let Some(event) = failure.event() {
                    context.log(event);
                }
                context.reject(INVALID_COMMAND)
            }
        }
    }
}

fn on_pass(user: User, password: &[u8], context: &mut Context<'_>) -> Step {
    if password.is_empty() {
        return context.reject(INVALID_COMMAND);
    }
    if sasl::has_line_end(password) {
        context.log(Event::InvalidCredentials);
        return context.reject(INVALID_COMMAND);
    }
    Step::Authenticate(Credentials::Plain { login: user.login, password: password.into() })
}

/// STLS (RFC 2595 section 4) has no arguments.
fn on_stls(command: &Command<'_>, context: &mut Context<'_>) -> Step {
    let is_offered = context.server.starttls != StartTls::Off && !context.secured;
    if !is_offered || command.words().next().is_some() {
        return context.reject(INVALID_COMMAND);
    }
    context.reply.extend_from_slice(OK);
    Step::StartTls
}

fn answer(reply: &[u8], context: &mut Context<'_>) -> Step {
    context.reply.extend_from_slice(reply);
    Step::Continue
}

fn quit(context: &mut Context<'_>) -> Step {
    context.reply.extend_from_slice(OK);
    Step::Close
}

fn settings(server: &Server) -> &Settings {
    match &server.mail {
        Mail::Pop3(settings) => settings,
        Mail::Imap(_) | Mail::Smtp(_) => unreachable!("a session picks its machine by `server.mail`"),
    }
}

#[cfg(test)]
mod tests;

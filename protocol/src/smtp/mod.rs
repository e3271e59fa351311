//! SMTP, both faces: the machine towards the client and the login to the backend (RFC 5321, RFC 3207, RFC 4954;
//! spec/protocols.md sections 8 and 9.5).
//!
//! The proxy plays an SMTP server up to the point where it knows which backend the client belongs to. That is the end
//! of an AUTH exchange, or with `smtp_auth none` the first RCPT of a transaction: sender and recipient then take the
//! place of a login. Both leave as `Step::Authenticate`; what the auth server says comes back by one of the `on_*`
//! methods, and either the client tries again or a `backend::Login` brings the backend to where the client believes
//! to be.
//!
//! Every negative reply of this machine is the client's doing and counts for `max_errors`; refusals by the auth server
//! or the backend do not. `STATES.md` has the tables of states and replies.
//!
//! ```text
//! Machine::new() -> Machine                                  on_refused(&Refusal, &mut Context)
//! greeting(&mut Context)                                     on_unavailable(&mut Context)
//! on_early_input(&mut Context)                               on_internal_error(&mut Context)
//! expect() -> Expect                                         on_timeout(&mut Context)
//! on_line(&[u8], &mut Context) -> Step                       on_shutdown(&mut Context)
//! on_overflow(&[u8], &mut Context) -> Step                   on_plaintext_after_starttls(&mut Context)
//! on_tls_started()                                           on_backend_refusal(&[u8], &mut Context)
//! backend(BackendLogin) -> backend::Login
//!
//! backend::Login: on_line(&[u8], &mut BackendContext) -> BackendStep    on_quit(&mut Vec<u8>)
//! ```
//!
//! All are methods with `&mut self` or less. The machine logs what it finds in a line; facts that the session learns
//! first (timeouts, refusals, input before the greeting, bytes behind STARTTLS) are the session's to log. Client name
//! lookup and greeting delay come before the machine and are the session's too.

mod backend;
mod command;
mod reply;
mod settings;
mod xclient;

pub(crate) use backend::Login;
pub use settings::{Settings, Xclient};

use self::command::{Command, Verb, verb_of};
use crate::auth::{Credentials, Envelope, Refusal};
use crate::client_certificate::CertificateFault;
use crate::config::{Mail, Server, StartTls};
use crate::event::Event;
use crate::machine::{BackendLogin, Context, Expect, Step};
use crate::sasl::{Exchange, Failure, Progress};

/// The machine towards the client.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    hello: Option<Hello>,
    state: State,
}

/// How the client introduced itself.
#[derive(Clone, Debug)]
struct Hello {
    /// The argument of HELO or EHLO: printable ASCII.
    name: Vec<u8>,
    /// Whether it was EHLO.
    esmtp: bool,
}

/// What the next line means.
#[derive(Debug, Default)]
enum State {
    /// A command, outside of a transaction.
    #[default]
    Idle,
    /// A response of an AUTH exchange.
    Sasl(Exchange),
    /// A command, after MAIL (`smtp_auth none` only).
    Mail(Transaction),
}

/// A transaction up to its first recipient. A recipient that is refused leaves it as it is: another may follow.
#[derive(Debug)]
struct Transaction {
    /// The MAIL line as typed.
    mail: Vec<u8>,
    /// What went to the auth server with the latest RCPT.
    asked: Option<Envelope>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The first line of the session, after lookup and delay.
    pub(crate) fn greeting(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(settings(context.server).greeting());
    }

    /// The client spoke within `smtp_greeting_delay`; the session closes.
    pub(crate) fn on_early_input(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(reply::IMPROPER_PIPELINING);
    }

    /// Before the relay SMTP has nothing but lines.
    pub(crate) fn expect(&self) -> Expect {
        Expect::Line
    }

    /// Takes one line without its end.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut Context<'_>) -> Step {
        match std::mem::take(&mut self.state) {
            State::Sasl(exchange) => {
                let progress = exchange.on_response(line);
                self.on_progress(progress, context)
            }
            state @ (State::Idle | State::Mail(_)) => {
                self.state = state;
                self.on_command(line, context)
            }
        }
    }

    /// Takes what there is of a line that does not fit `smtp_client_buffer`.
    pub(crate) fn on_overflow(&mut self, received: &[u8], context: &mut Context<'_>) -> Step {
        let (verb, reply) = match std::mem::take(&mut self.state) {
            State::Idle | State::Mail(_) => (verb_of(received), reply::TOO_LONG),
            State::Sasl(_) => (Vec::new(), reply::TOO_LONG_RESPONSE),
        };
        context.log(Event::TooLongCommand(verb, received.len()));
        context.reply.extend_from_slice(reply);
        Step::Close
    }

    /// The auth server refused the login or the recipient.
    pub(crate) fn on_refused(&mut self, refusal: &Refusal, context: &mut Context<'_>) {
        let code = refusal.code.as_deref().unwrap_or("535 5.7.0");
        context.reply.extend_from_slice(code.as_bytes());
        context.reply.push(b' ');
        context.reply.extend_from_slice(&refusal.text);
        context.reply.extend_from_slice(b"\r\n");
    }

    /// The auth server gave no answer; the session goes on.
    pub(crate) fn on_unavailable(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(reply::UNAVAILABLE);
    }

    /// The login cannot go on; the session closes.
    pub(crate) fn on_internal_error(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(reply::INTERNAL_ERROR);
    }

    /// The client took too long to log in; the session closes.
    pub(crate) fn on_timeout(&mut self, context: &mut Context<'_>) {
        let line = format!("421 4.4.2 {} Error: timeout exceeded\r\n", context.server.name);
        context.reply.extend_from_slice(line.as_bytes());
    }

    /// The worker stops; the session closes.
    pub(crate) fn on_shutdown(&mut self, context: &mut Context<'_>) {
        let line = format!("421 4.3.2 {} shutting down\r\n", context.server.name);
        context.reply.extend_from_slice(line.as_bytes());
    }

    /// The client's certificate is bad or missing; no greeting, and the session closes.
    pub(crate) fn on_certificate_fault(&mut self, fault: CertificateFault, context: &mut Context<'_>) {
        context.reply.extend_from_slice(format!("421 4.7.1 {}\r\n", fault.text()).as_bytes());
    }

    /// Bytes in clear lay behind STARTTLS; the session takes the positive reply back, sends this one and closes.
    pub(crate) fn on_plaintext_after_starttls(&mut self, context: &mut Context<'_>) {
        context.reply.extend_from_slice(reply::IMPROPER_PIPELINING);
    }

    /// The handshake is complete: nothing said in clear counts any more (RFC 3207 section 4.2).
    pub(crate) fn on_tls_started(&mut self) {
        *self = Self::new();
    }

    /// The backend refused the credentials, and the client is to see it: `reply` is all lines with their ends.
    pub(crate) fn on_backend_refusal(&mut self, reply: &[u8], context: &mut Context<'_>) {
        context.reply.extend_from_slice(reply);
    }

    /// The login to the backend, with what the client has said of itself and of its mail. While a transaction lasts no
    /// AUTH is accepted, so there is an envelope only if the auth server was asked about it.
    pub(crate) fn backend(&self, login: BackendLogin) -> Login {
        let envelope = match &self.state {
            State::Mail(transaction) => transaction.asked.clone(),
            State::Idle | State::Sasl(_) => None,
        };
        Login::new(login, self.hello.clone(), envelope)
    }

    fn on_command(&mut self, line: &[u8], context: &mut Context<'_>) -> Step {
        let Some(command) = Command::parse(line) else {
            return context.reject(reply::INVALID_COMMAND);
        };
        match command.verb {
            Verb::Helo | Verb::Ehlo => self.on_hello(&command, context),
            Verb::Auth => self.on_auth(&command, context),
            Verb::Mail => self.on_mail(&command, context),
            Verb::Rcpt => self.on_rcpt(&command, context),
            Verb::Rset => {
                self.state = State::Idle;
                answer(reply::OK, context)
            }
            Verb::Noop => answer(reply::OK, context),
            Verb::Quit => {
                context.reply.extend_from_slice(reply::BYE);
                Step::Close
            }
            Verb::Vrfy => answer(reply::CANNOT_VERIFY, context),
            Verb::Expn => context.reject(reply::NOT_IMPLEMENTED),
            Verb::Help => answer(reply::HELP, context),
            Verb::StartTls => on_starttls(&command, context),
        }
    }

    fn on_hello(&mut self, command: &Command<'_>, context: &mut Context<'_>) -> Step {
        let Some(name) = command.helo_name() else {
            return context.reject(reply::INVALID_ARGUMENT);
        };
        let settings = settings(context.server);
        let esmtp = command.verb == Verb::Ehlo;
        *self = Self { hello: Some(Hello { name: name.to_vec(), esmtp }), state: State::Idle };
        answer(if esmtp { settings.ehlo(context.secured) } else { settings.helo() }, context)
    }

    fn on_auth(&mut self, command: &Command<'_>, context: &mut Context<'_>) -> Step {
        if context.is_login_refused() {
            return context.reject(reply::STARTTLS_REQUIRED);
        }
        // RFC 4954 section 4 asks for EHLO; clients that say HELO and know what we offer have always been served.
        if self.hello.is_none() || matches!(self.state, State::Mail(_)) {
            return context.reject(reply::BAD_SEQUENCE);
        }
        let mut arguments = command.arguments();
        let Some(name) = arguments.next() else {
            return context.reject(reply::INVALID_ARGUMENT);
        };
        let Some(mechanism) = settings(context.server).mechanisms().find(name) else {
            return context.reject(reply::UNKNOWN_MECHANISM);
        };
        let initial_response = arguments.next();
        if arguments.next().is_some() {
            return context.reject(reply::INVALID_ARGUMENT);
        }
        let progress = Exchange::start(mechanism, initial_response, context.challenges, &context.server.name);
        self.on_progress(progress, context)
    }

    fn on_progress(&mut self, progress: Progress, context: &mut Context<'_>) -> Step {
        match progress {
            Progress::Prompt(exchange, text) => {
                self.state = State::Sasl(exchange);
                context.reply.extend_from_slice(b"334 ");
                context.reply.extend_from_slice(text.as_bytes());
                context.reply.extend_from_slice(b"\r\n");
                Step::Continue
            }
            Progress::Done(credentials) => Step::Authenticate(credentials),
            Progress::Failed(failure) => {
                if let Some(event) = failure.event() {
                    context.log(event);
                }
                context.reject(failure_reply(failure))
            }
        }
    }

    fn on_mail(&mut self, command: &Command<'_>, context: &mut Context<'_>) -> Step {
        if context.is_login_refused() {
            return context.reject(reply::STARTTLS_REQUIRED);
        }
        if !settings(context.server).is_none_enabled() {
            context.log(Event::Rejected(command.text().to_vec()));
            return context.reject(reply::AUTH_REQUIRED);
        }
        if matches!(self.state, State::Mail(_)) {
            return context.reject(reply::BAD_SEQUENCE);
        }
        if !command.has_path(b"FROM:") {
            return context.reject(reply::INVALID_ARGUMENT);
        }
        self.state = State::Mail(Transaction { mail: command.text().to_vec(), asked: None });
        answer(reply::OK, context)
    }

    fn on_rcpt(&mut self, command: &Command<'_>, context: &mut Context<'_>) -> Step {
        if context.is_login_refused() {
            return context.reject(reply::STARTTLS_REQUIRED);
        }
        let State::Mail(transaction) = &mut self.state else {
            return context.reject(reply::BAD_SEQUENCE);
        };
        if !command.has_path(b"TO:") {
            return context.reject(reply::INVALID_ARGUMENT);
        }
        let helo = self.hello.as_ref().map(|hello| hello.name.clone()).unwrap_or_default();
        let envelope = Envelope { helo, mail: transaction.mail.clone(), rcpt: command.text().to_vec() };
        transaction.asked = Some(envelope.clone());
        Step::Authenticate(Credentials::Envelope(envelope))
    }
}

/// STARTTLS has no arguments (RFC 3207 section 4).
fn on_starttls(command: &Command<'_>, context: &mut Context<'_>) -> Step {
    if context.server.starttls == StartTls::Off || context.secured {
        return context.reject(reply::INVALID_COMMAND);
    }
    if command.arguments().next().is_some() {
        return context.reject(reply::INVALID_ARGUMENT);
    }
    context.reply.extend_from_slice(reply::START_TLS);
    Step::StartTls
}

fn failure_reply(failure: Failure) -> &'static [u8] {
    match failure {
        Failure::Cancelled => reply::CANCELLED,
        Failure::Base64(_) => reply::INVALID_BASE64,
        Failure::PlainLogin | Failure::PlainPassword | Failure::CramMd5 | Failure::Forbidden => {
            reply::INVALID_RESPONSE
        }
        Failure::NoInitialResponse => reply::NO_INITIAL_RESPONSE,
    }
}

fn answer(reply: &[u8], context: &mut Context<'_>) -> Step {
    context.reply.extend_from_slice(reply);
    Step::Continue
}

fn settings(server: &Server) -> &Settings {
    match &server.mail {
        Mail::Smtp(settings) => settings,
        Mail::Imap(_) | Mail::Pop3(_) => unreachable!("a session picks its machine by `server.mail`"),
    }
}

#[cfg(test)]
mod tests;

//! The login to an SMTP backend (spec/protocols.md section 9.5).
//!
//! ```text
//! backend                        we
//! 220 (greeting)                 EHLO or HELO, with our name
//! 250                            STARTTLS, if so configured, which the backend must offer
//! 220                            (TLS handshake)
//!                                EHLO or HELO, with our name
//! 250                            XCLIENT, if the server has it on and the backend offers it
//! 220 or 250                     EHLO or HELO, with the client's name, if it had one
//! 250 (or as before)             MAIL, then RCPT as the client wrote them     `smtp_auth none`
//!                                AUTH PLAIN                                   `proxy_smtp_auth on`
//!                                nothing                                      else
//! ```
//!
//! The client gets the reply to RCPT as it is, else `235 2.0.0 OK`.

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::reply::{self, Progress, Reply};
use super::{Hello, Settings, Xclient, settings, xclient};
use crate::auth::Envelope;
use crate::event::{Event, Stage};
use crate::machine::{BackendContext, BackendLogin, BackendRefusal, BackendStep, Grounds};
use crate::sasl;

/// The login while it is under way.
#[derive(Debug)]
pub(crate) struct Login {
    login: BackendLogin,
    hello: Option<Hello>,
    envelope: Option<Envelope>,
    state: State,
    /// The lines so far of the reply that is coming in.
    reply: Reply,
}

/// What the next reply of the backend answers.
#[derive(Debug, Default)]
enum State {
    Connected,
    HelloSent,
    StartTlsSent,
    /// The handshake is under way, or about to begin.
    Securing,
    XclientSent(XclientSent),
    ClientHelloSent,
    MailSent,
    RcptSent,
    AuthSent,
    #[default]
    Over,
}

/// An XCLIENT command is under way; others may follow.
#[derive(Debug)]
struct XclientSent {
    rest: std::vec::IntoIter<Vec<u8>>,
}

impl Login {
    /// Waits for the greeting of a backend that has just been connected.
    pub(super) fn new(login: BackendLogin, hello: Option<Hello>, envelope: Option<Envelope>) -> Self {
        Self { login, hello, envelope, state: State::Connected, reply: Reply::default() }
    }

    /// Takes one line without its end. A step that writes a command answers all that the backend may have said so far:
    /// bytes behind the line are then a protocol error, which only the session can see.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        *context.stage = Stage::ReadingResponse;
        if matches!(self.state, State::Over) {
            return BackendStep::Failed;
        }
        match self.reply.push(line, context.server.proxy_buffer) {
            Progress::Partial => BackendStep::Continue,
            Progress::Complete => {
                let reply = std::mem::take(&mut self.reply);
                self.on_reply(reply, context)
            }
            Progress::Malformed => {
                self.state = State::Over;
                refuse(std::mem::take(&mut self.reply), Grounds::Disorder)
            }
            Progress::TooLong => {
                self.state = State::Over;
                let reply = std::mem::take(&mut self.reply);
                context.log(Event::BackendReplyTooLong(reply.into_bytes()));
                BackendStep::Failed
            }
        }
    }

    /// Takes leave of the backend, at whatever step.
    pub(crate) fn on_quit(&mut self, command: &mut Vec<u8>) {
        self.state = State::Over;
        command.extend_from_slice(b"QUIT\r\n");
    }

    fn on_reply(&mut self, reply: Reply, context: &mut BackendContext<'_>) -> BackendStep {
        match (std::mem::take(&mut self.state), reply.code()) {
            (State::Connected, b"220") => self.send_hello(context),
            (State::HelloSent, b"250") if self.login.starttls => self.send_starttls(&reply, context),
            (State::HelloSent, b"250") => self.on_capabilities(&reply, context),
            (State::StartTlsSent, b"220") => {
                self.state = State::Securing;
                BackendStep::StartTls
            }
            (State::XclientSent(sent), b"220" | b"250") => self.send_xclient(sent.rest, context),
            (State::ClientHelloSent, b"250") => self.log_in(context),
            (State::MailSent, b"250") => self.send_rcpt(context),
            (State::RcptSent, _) => {
                context.reply.extend_from_slice(&reply.into_bytes());
                BackendStep::LoggedIn
            }
            (State::AuthSent, b"235") => logged_in(context),
            // RFC 4954 section 6; all others are about the mechanism, the order of commands, a policy.
            (State::AuthSent, b"535") => refuse(reply, Grounds::Credentials),
            (State::AuthSent, [b'5', ..]) => refuse(reply, Grounds::Otherwise),
            (_, _) => refuse(reply, Grounds::Disorder),
        }
    }

    /// RFC 3207 section 4.2: all is as if just connected, but for the greeting.
    pub(crate) fn on_secured(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        self.login.starttls = false;
        if let State::Securing = self.state { self.send_hello(context) } else { BackendStep::Failed }
    }

    /// STARTTLS and XCLIENT are extensions, so they need EHLO even where the client said HELO.
    fn send_hello(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        let is_xclient_on = settings(context.server).xclient != Xclient::Off;
        let is_esmtp_needed = self.login.starttls || is_xclient_on;
        let esmtp = is_esmtp_needed || self.hello.as_ref().is_some_and(|hello| hello.esmtp);
        let name = context.server.name.as_bytes();
        self.send(State::HelloSent, Stage::SendingHelo, &[hello_verb(esmtp), name], context)
    }

    fn send_starttls(&mut self, ehlo: &Reply, context: &mut BackendContext<'_>) -> BackendStep {
        const VERB: &[u8] = b"STARTTLS";
        if !ehlo.texts().skip(1).any(|line| line.trim_ascii_end().eq_ignore_ascii_case(VERB)) {
            context.log(Event::NoStartTls);
            return BackendStep::Failed;
        }
        self.send(State::StartTlsSent, Stage::SendingStartTls, &[VERB], context)
    }

    fn on_capabilities(&mut self, ehlo: &Reply, context: &mut BackendContext<'_>) -> BackendStep {
        let &Settings { xclient, proxy_smtp_auth, .. } = settings(context.server);
        if xclient == Xclient::Off {
            return self.log_in(context);
        }
        let commands = xclient::commands(ehlo, &self.login, self.hello.as_ref(), !proxy_smtp_auth);
        if !commands.is_empty() {
            return self.send_xclient(commands.into_iter(), context);
        }
        let fatal = xclient == Xclient::Required;
        context.log(Event::NoXclient { fatal });
        if fatal { BackendStep::Failed } else { self.log_in(context) }
    }

    /// Sends the next XCLIENT command. After the last the backend is as if just connected, for the client's sake.
    fn send_xclient(
        &mut self,
        mut commands: std::vec::IntoIter<Vec<u8>>,
        context: &mut BackendContext<'_>,
    ) -> BackendStep {
        let Some(command) = commands.next() else {
            return self.send_client_hello(context);
        };
        let sent = State::XclientSent(XclientSent { rest: commands });
        self.send(sent, Stage::SendingXclient, &[&command], context)
    }

    fn send_client_hello(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        let Some(hello) = self.hello.take() else {
            return self.log_in(context);
        };
        let words = [hello_verb(hello.esmtp), &hello.name];
        self.send(State::ClientHelloSent, Stage::SendingClientHelo, &words, context)
    }

    /// The backend knows who talks; now tell it what the client has told us.
    fn log_in(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        if let Some(envelope) = &self.envelope {
            let mail = envelope.mail.clone();
            return self.send(State::MailSent, Stage::SendingMail, &[&mail], context);
        }
        if settings(context.server).proxy_smtp_auth {
            return self.send_auth(context);
        }
        logged_in(context)
    }

    fn send_rcpt(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        let rcpt = self.envelope.take().map(|envelope| envelope.rcpt).unwrap_or_default();
        self.send(State::RcptSent, Stage::SendingRcpt, &[&rcpt], context)
    }

    fn send_auth(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        *context.stage = Stage::SendingAuth;
        let Some(password) = self.login.password.take() else {
            context.log(Event::NoPassword);
            return BackendStep::Failed;
        };
        // Machines and auth client refuse these bytes where they come in; this is the last gate before the wire.
        if sasl::has_line_end(&self.login.login) || sasl::has_line_end(password.expose()) {
            context.log(Event::InvalidCredentials);
            return BackendStep::Failed;
        }
        let parts: [&[u8]; 4] = [b"\0", &self.login.login, b"\0", password.expose()];
        let message = Zeroizing::new(parts.concat());
        context.command.extend_from_slice(b"AUTH PLAIN ");
        let start = context.command.len();
        let length = BASE64.encode_len(message.len());
        // Growing behind it would leave a copy in freed memory.
        context.command.reserve(length + 2);
        context.command.resize(start + length, 0);
        BASE64.encode_mut(&message, &mut context.command[start..]);
        context.command.extend_from_slice(b"\r\n");
        self.state = State::AuthSent;
        BackendStep::Continue
    }

    /// Writes a command of these words and waits for its reply.
    fn send(
        &mut self,
        state: State,
        stage: Stage,
        words: &[&[u8]],
        context: &mut BackendContext<'_>,
    ) -> BackendStep {
        debug_assert!(words.iter().all(|word| !sasl::has_line_end(word)), "a command is one line");
        context.command.extend_from_slice(&words.join(&b' '));
        context.command.extend_from_slice(b"\r\n");
        *context.stage = stage;
        self.state = state;
        BackendStep::Continue
    }
}

fn hello_verb(esmtp: bool) -> &'static [u8] {
    if esmtp { b"EHLO" } else { b"HELO" }
}

fn logged_in(context: &mut BackendContext<'_>) -> BackendStep {
    context.reply.extend_from_slice(reply::AUTHENTICATED);
    BackendStep::LoggedIn
}

fn refuse(reply: Reply, grounds: Grounds) -> BackendStep {
    let text = reply.text().to_vec();
    BackendStep::Refused(BackendRefusal { reply: reply.into_bytes(), text, grounds })
}

//! The three protocols behind one face: what the session calls.

use crate::auth::Refusal;
use crate::client_certificate::CertificateFault;
use crate::config::{Mail, Server};
use crate::machine::{BackendContext, BackendLogin, BackendStep, Context, Expect, Step};
use crate::{imap, pop3, smtp};

/// The machine towards the client.
#[derive(Debug)]
pub(crate) enum Machine {
    Imap(imap::Machine),
    Pop3(pop3::Machine),
    Smtp(smtp::Machine),
}

/// The login to a backend.
#[derive(Debug)]
pub(crate) enum Login {
    Imap(imap::Login),
    Pop3(pop3::Login),
    Smtp(smtp::Login),
}

/// The same call on whichever protocol it is.
macro_rules! each {
    ($this:ident, $inner:ident => $call:expr) => {
        match $this {
            Self::Imap($inner) => $call,
            Self::Pop3($inner) => $call,
            Self::Smtp($inner) => $call,
        }
    };
}

impl Machine {
    pub(crate) fn new(server: &Server) -> Self {
        match &server.mail {
            Mail::Imap(_) => Self::Imap(imap::Machine::new()),
            Mail::Pop3(_) => Self::Pop3(pop3::Machine::new()),
            Mail::Smtp(_) => Self::Smtp(smtp::Machine::new()),
        }
    }

    /// The first line of the session.
    pub(crate) fn greeting(&mut self, context: &mut Context<'_>) {
        each!(self, machine => machine.greeting(context));
    }

    pub(crate) fn expect(&self) -> Expect {
        each!(self, machine => machine.expect())
    }

    /// Takes one line without its end.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut Context<'_>) -> Step {
        each!(self, machine => machine.on_line(line, context))
    }

    /// Takes the bytes of an announced literal; only IMAP announces any.
    pub(crate) fn on_literal(&mut self, literal: &[u8], context: &mut Context<'_>) -> Step {
        match self {
            Self::Imap(machine) => machine.on_literal(literal, context),
            Self::Pop3(_) | Self::Smtp(_) => Step::Continue,
        }
    }

    /// Takes what there is of a line that does not fit `client_buffer`; the session closes.
    pub(crate) fn on_overflow(&mut self, received: &[u8], context: &mut Context<'_>) {
        each!(self, machine => machine.on_overflow(received, context));
    }

    /// SMTP: the client spoke before the greeting that `smtp_greeting_delay` holds back; the session closes.
    pub(crate) fn on_early_input(&mut self, context: &mut Context<'_>) {
        match self {
            Self::Smtp(machine) => machine.on_early_input(context),
            Self::Imap(_) | Self::Pop3(_) => {}
        }
    }

    /// The auth server refused the login.
    pub(crate) fn on_refused(&mut self, refusal: &Refusal, context: &mut Context<'_>) {
        each!(self, machine => machine.on_refused(refusal, context));
    }

    /// The auth server gave no answer; the session goes on.
    pub(crate) fn on_unavailable(&mut self, context: &mut Context<'_>) {
        each!(self, machine => machine.on_unavailable(context));
    }

    /// The login cannot go on; the session closes.
    pub(crate) fn on_internal_error(&mut self, context: &mut Context<'_>) {
        each!(self, machine => machine.on_internal_error(context));
    }

    /// `timeout` has passed; the session closes.
    pub(crate) fn on_timeout(&mut self, context: &mut Context<'_>) {
        each!(self, machine => machine.on_timeout(context));
    }

    /// The worker stops; the session closes.
    pub(crate) fn on_shutdown(&mut self, context: &mut Context<'_>) {
        each!(self, machine => machine.on_shutdown(context));
    }

    /// Bytes in clear lay behind STARTTLS, whose positive reply is taken back; the session closes.
    pub(crate) fn on_plaintext_after_starttls(&mut self, context: &mut Context<'_>) {
        each!(self, machine => machine.on_plaintext_after_starttls(context));
    }

    /// The client's certificate is bad or missing; the session closes.
    pub(crate) fn on_certificate_fault(&mut self, fault: CertificateFault, context: &mut Context<'_>) {
        each!(self, machine => machine.on_certificate_fault(fault, context));
    }

    /// The handshake is complete: nothing said in clear counts any more.
    pub(crate) fn on_tls_started(&mut self) {
        each!(self, machine => machine.on_tls_started());
    }

    /// The backend refused the login, and the client gets to see it and may try again.
    pub(crate) fn on_backend_refusal(&mut self, reply: &[u8], context: &mut Context<'_>) {
        each!(self, machine => machine.on_backend_refusal(reply, context));
    }

    /// The login to the backend.
    pub(crate) fn backend(&self, login: BackendLogin) -> Login {
        match self {
            Self::Imap(machine) => Login::Imap(machine.backend(login)),
            Self::Pop3(machine) => Login::Pop3(machine.backend(login)),
            Self::Smtp(machine) => Login::Smtp(machine.backend(login)),
        }
    }
}

impl Login {
    /// Takes one line without its end.
    pub(crate) fn on_line(&mut self, line: &[u8], context: &mut BackendContext<'_>) -> BackendStep {
        each!(self, login => login.on_line(line, context))
    }

    /// TLS is under the leg: what the backend has said in clear counts no more.
    pub(crate) fn on_secured(&mut self, context: &mut BackendContext<'_>) -> BackendStep {
        each!(self, login => login.on_secured(context))
    }

    /// Takes leave of the backend, at whatever step.
    pub(crate) fn on_quit(&mut self, command: &mut Vec<u8>) {
        each!(self, login => login.on_quit(command));
    }

    /// Whether the backend may say this without being asked: IMAP's untagged responses (RFC 3501 section 2.2.2).
    pub(crate) fn is_unsolicited(&self, line: &[u8]) -> bool {
        match self {
            Self::Imap(_) => line.starts_with(b"*"),
            Self::Pop3(_) | Self::Smtp(_) => false,
        }
    }
}

//! What a backend says to a login.

use std::time::Instant;

use gatepost_protocol::action::{Action, Completion, Output, Side};
use gatepost_protocol::config::Protocol;
use gatepost_protocol::session::Session;

use crate::ledger::Operation;
use crate::origin::{origin, start};
use crate::outcome::{self, PASSWORD};
use crate::settings::{self, BUFFER};

/// A login at a backend that says `data`; its first byte is eight choices, the lowest bit first: errors are passed on;
/// the auth server changes the login; SMTP: AUTH, XCLIENT required, XCLIENT off, an envelope instead of a login, HELO
/// instead of EHLO, STARTTLS; else: TLS, STARTTLS, nothing, a refusal is told as a failed login.
///
/// Whether it says so line by line or byte by byte makes no difference, the client hears nothing before the end, and a
/// password goes out at most once.
pub(crate) fn run(protocol: Protocol, data: &[u8]) {
    let Some((choices, said)) = data.split_first() else { return };
    let whole = log_in(protocol, *choices, said.split_inclusive(|&byte| byte == b'\n'));
    let split = log_in(protocol, *choices, said.chunks(1));
    assert_eq!(whole, split, "reads of one byte lead elsewhere");
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    client: Vec<u8>,
    backend: Vec<u8>,
    is_relay: bool,
    is_over: bool,
}

fn log_in<'a>(protocol: Protocol, choices: u8, reads: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut login = Login::begin(protocol, choices);
    for read in reads {
        if login.session.input_limit(Side::Backend) == 0 {
            break;
        }
        login.hear(read);
    }
    let Login { outcome, .. } = login;
    let passwords = outcome.backend.windows(PASSWORD.len()).filter(|window| window == &PASSWORD).count();
    assert!(passwords <= 1, "{}", outcome.backend.escape_ascii());
    assert!(outcome.client.len() <= 2 * BUFFER, "{} bytes", outcome.client.len());
    outcome
}

struct Login {
    session: Session,
    now: Instant,
    outcome: Outcome,
}

impl Login {
    /// Up to the moment when the backend is connected.
    fn begin(protocol: Protocol, choices: u8) -> Self {
        let all = if protocol == Protocol::Smtp { b"m-sxXn-Y" } else { b"m-yY-f--" };
        let letters: Vec<u8> = (0..8).filter(|bit| choices & 1 << bit != 0).map(|bit| all[bit]).collect();
        let listener = settings::listener(protocol, &letters);
        let mut out = Output::default();
        let session = Session::open(&listener, &origin(), start(), &mut out);
        let outcome = Outcome { client: Vec::new(), backend: Vec::new(), is_relay: false, is_over: false };
        let mut login = Self { session, now: start(), outcome };
        login.settle(&out);
        login.client_says(commands(protocol, choices));
        login.complete(
            Operation::Auth { needs_password: false },
            if choices & 2 == 0 { b"+" } else { b"+other" },
        );
        login.outcome.client.clear();
        login.complete(Operation::Connect, b"+");
        login
    }

    fn client_says(&mut self, words: &[u8]) {
        let mut out = Output::default();
        self.session.handle_input(Side::Client, &mut words.to_vec(), self.now, &mut out);
        self.settle(&out);
    }

    fn complete(&mut self, operation: Operation, detail: &[u8]) {
        let mut out = Output::default();
        let completion: Completion = outcome::completion(operation, detail);
        self.session.handle_completion(completion, self.now, &mut out);
        self.settle(&out);
    }

    /// One read from the backend.
    fn hear(&mut self, read: &[u8]) {
        let mut out = Output::default();
        self.session.handle_input(Side::Backend, &mut read.to_vec(), self.now, &mut out);
        self.settle(&out);
    }

    fn settle(&mut self, out: &Output) {
        self.outcome.client.extend_from_slice(&out.client);
        self.outcome.backend.extend_from_slice(&out.backend);
        let mut is_backend_closed = false;
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Relay => self.outcome.is_relay = true,
                Action::Finish => self.outcome.is_over = true,
                Action::Close(Side::Backend) => is_backend_closed = true,
                _ => {}
            }
        }
        let is_news = self.outcome.is_relay || self.outcome.is_over || is_backend_closed;
        assert!(is_news || out.backend.is_empty() || out.client.is_empty(), "an early word for the client");
    }
}

fn commands(protocol: Protocol, choices: u8) -> &'static [u8] {
    match protocol {
        Protocol::Imap => b"a LOGIN alice secret\r\n",
        Protocol::Pop3 => b"USER alice\r\nPASS secret\r\n",
        Protocol::Smtp => match (choices & 32 != 0, choices & 64 != 0) {
            (false, false) => b"EHLO client.example\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
            (false, true) => b"HELO client.example\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
            (true, false) => b"EHLO client.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
            (true, true) => b"HELO client.example\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n",
        },
    }
}

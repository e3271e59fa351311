//! The machine towards the client, shown by transcripts.
//!
//! A transcript is the whole truth: the runner takes its inputs (`C:` lines of the client, `!` calls of the session),
//! writes down what the machine answers (`S:` reply lines, `L:` logged facts, `=` steps), and the two must be equal.
//! `<CR>`, `<LF>` and `<NUL>` stand for these bytes, `<SP>` for a space at the end of a reply.

mod grammar;
mod properties;
mod transcripts;

use std::time::Duration;

use super::*;
use crate::action::Action;
use crate::config::ProxyProtocol;
use crate::machine::Challenges;
use crate::sasl::Mechanism;

pub(super) const CLIENT_BUFFER: usize = 512;

pub(super) fn server(starttls: StartTls, mechanisms: &[Mechanism]) -> Server {
    let mechanisms = mechanisms.iter().copied().collect();
    Server {
        mail: Mail::Imap(Settings::new(starttls, &["IMAP4rev1"], mechanisms)),
        name: "mx.test".into(),
        timeout: Duration::from_secs(60),
        auth_timeout: Duration::from_secs(60),
        proxy_timeout: Duration::from_secs(60),
        resolver_timeout: Duration::from_secs(30),
        resolve: false,
        max_errors: 5,
        client_buffer: CLIENT_BUFFER,
        proxy_buffer: 512,
        starttls,
        tls: None,
        pass_error_message: false,
        proxy_protocol: ProxyProtocol::Off,
        verify_client: None,
        auth_failure: false,
        session_log: false,
        proxy_ssl: crate::config::BackendTls::default(),
        real_ip_from: Vec::new(),
    }
}

/// What a session is to the machine: it frames, calls, and keeps what calls share.
pub(super) struct Peer {
    server: Server,
    machine: Machine,
    secured: bool,
    errors: u32,
    challenges: Challenges,
    input: Vec<u8>,
    /// Nothing is read while the session is busy with a step.
    is_reading: bool,
}

/// What one call led to.
pub(super) struct Outcome {
    reply: Vec<u8>,
    log: Vec<Action>,
    step: Step,
}

impl Peer {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            machine: Machine::new(),
            secured: false,
            errors: 0,
            challenges: Challenges::new([7; 16], 1_700_000_000),
            input: Vec::new(),
            is_reading: true,
        }
    }

    pub(super) fn call(&mut self, call: impl FnOnce(&mut Machine, &mut Context<'_>) -> Step) -> Outcome {
        let (mut reply, mut log) = (Vec::new(), Vec::new());
        let mut context = Context {
            server: &self.server,
            secured: self.secured,
            reply: &mut reply,
            errors: &mut self.errors,
            challenges: &mut self.challenges,
            log: &mut log,
        };
        let step = call(&mut self.machine, &mut context);
        self.is_reading = step == Step::Continue;
        Outcome { reply, log, step }
    }

    /// Hands the machine the next line or literal, if it is there.
    pub(super) fn next(&mut self) -> Option<Outcome> {
        if !self.is_reading {
            return None;
        }
        if let Expect::Literal(size) = self.machine.expect() {
            assert!((1..=CLIENT_BUFFER).contains(&size), "{size}");
            let literal: Vec<u8> = (self.input.len() >= size).then(|| self.input.drain(..size).collect())?;
            return Some(self.call(|machine, context| machine.on_literal(&literal, context)));
        }
        match self.input.iter().take(CLIENT_BUFFER).position(|&byte| byte == b'\n') {
            Some(end) => {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let line = &line[..end];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                Some(self.call(|machine, context| machine.on_line(line, context)))
            }
            None if self.input.len() >= CLIENT_BUFFER => {
                let input = std::mem::take(&mut self.input);
                Some(self.call(|machine, context| machine.on_overflow(&input, context)))
            }
            None => None,
        }
    }

    fn on_session_event(&mut self, event: &str) -> Outcome {
        let mut after = Step::Continue;
        let mut outcome = self.call(|machine, context| {
            match event.split_once(' ').unwrap_or((event, "")) {
                ("greeting", "") => machine.greeting(context),
                ("refused", text) => machine.on_refused(&refusal(text), context),
                ("unavailable", "") => machine.on_unavailable(context),
                ("internal", "error") => {
                    machine.on_internal_error(context);
                    after = Step::Close;
                }
                ("timeout", "") => {
                    machine.on_timeout(context);
                    after = Step::Close;
                }
                ("shutdown", "") => {
                    machine.on_shutdown(context);
                    after = Step::Close;
                }
                ("plaintext", "") => {
                    machine.on_plaintext_after_starttls(context);
                    after = Step::Close;
                }
                ("tls", "started") => machine.on_tls_started(),
                ("backend", reply) => machine.on_backend_refusal(format!("{reply}\r\n").as_bytes(), context),
                other => panic!("{other:?}"),
            }
            Step::Continue
        });
        self.secured |= event == "tls started";
        self.is_reading = after == Step::Continue;
        outcome.step = after;
        outcome
    }
}

fn refusal(text: &str) -> Refusal {
    Refusal { text: text.into(), code: None, wait: None, login: None }
}

/// Runs the inputs of a transcript and gives what really happened, in the same form.
fn play(server: Server, transcript: &str) -> String {
    let mut peer = Peer::new(server);
    let mut happened = String::new();
    for line in transcript.lines().map(str::trim_start) {
        if let Some(typed) = line.strip_prefix("C:") {
            happened += &format!("{line}\n");
            peer.input.extend_from_slice(&wire(typed.strip_prefix(' ').unwrap_or(typed)));
        } else if let Some(event) = line.strip_prefix("! ") {
            happened += &format!("{line}\n");
            happened += &peer.on_session_event(event).to_string();
        }
        while let Some(outcome) = peer.next() {
            happened += &outcome.to_string();
        }
    }
    happened
}

fn wire(typed: &str) -> Vec<u8> {
    let typed = format!("{typed}\r\n");
    typed.replace("<CR>", "\r").replace("<LF>", "\n").replace("<NUL>", "\0").into_bytes()
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in self.reply.split_inclusive(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r\n").expect("a reply line ends in CRLF");
            let line = show(line);
            match line.strip_suffix(' ') {
                Some(line) => writeln!(f, "S: {line}<SP>")?,
                None => writeln!(f, "S: {line}")?,
            }
        }
        for action in &self.log {
            let Action::Log(event, _) = action else { panic!("{action:?}") };
            if let Event::TooLongCommand(verb, len) = event {
                writeln!(f, "L: TooLongCommand {} {len}", show(verb))?;
            } else {
                writeln!(f, "L: {event:?}")?;
            }
        }
        match &self.step {
            Step::Continue => Ok(()),
            Step::StartTls => writeln!(f, "= tls"),
            Step::Close => writeln!(f, "= close"),
            Step::Authenticate(credentials) => {
                let secret = match credentials {
                    Credentials::Plain { password, .. } => password.expose(),
                    Credentials::CramMd5 { digest, .. } | Credentials::Apop { digest, .. } => digest.expose(),
                    Credentials::External { .. } | Credentials::Envelope(_) => b"",
                };
                let login = credentials.login();
                writeln!(f, "= auth {} '{}' '{}'", credentials.method(), show(login), show(secret))
            }
        }
    }
}

/// Bytes as a transcript has them: quotes and backslashes stand for themselves.
fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\")
}

/// Checks a transcript.
#[track_caller]
fn check_with(server: Server, transcript: &str) {
    let expected: String = transcript.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    assert_eq!(play(server, transcript), expected);
}

/// Checks a transcript of a server that offers PLAIN and no STARTTLS.
#[track_caller]
fn check(transcript: &str) {
    check_with(server(StartTls::Off, &[Mechanism::Plain]), transcript);
}

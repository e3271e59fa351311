//! A machine with a session's worth of context, driven and observed by lines of text.
//!
//! ```text
//! C: a line of the client                 S: a reply line
//! TLS                                     => a step that is not Continue
//! AUTH SERVER / BACKEND says              LOG an event
//! ```

use std::time::Duration;

use super::*;
use crate::action::Action;
use crate::config::ProxyProtocol;
use crate::event::Stage;
use crate::machine::Challenges;
use crate::sasl::{Mechanism, Mechanisms};

const ENTROPY: [u8; 16] = *b"sixteen bytes it";

pub(super) fn server(starttls: StartTls, mechanisms: &[Mechanism], apop: bool) -> Server {
    let mechanisms: Mechanisms = mechanisms.iter().copied().collect();
    Server {
        mail: Mail::Pop3(Settings::new(starttls, &Settings::DEFAULT_CAPABILITIES, mechanisms, apop)),
        name: "mx.test".into(),
        timeout: Duration::from_secs(60),
        auth_timeout: Duration::from_secs(60),
        proxy_timeout: Duration::from_secs(86_400),
        resolver_timeout: Duration::from_secs(30),
        resolve: false,
        max_errors: 5,
        client_buffer: 4096,
        proxy_buffer: 4096,
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

pub(in crate::pop3) fn plain() -> Server {
    server(StartTls::Off, &[Mechanism::Plain], false)
}

pub(super) fn full() -> Server {
    let mut server = server(
        StartTls::Off,
        &[Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External],
        true,
    );
    server.max_errors = 100;
    server
}

/// A machine with what the session holds for it.
pub(super) struct Driver<'a> {
    server: &'a Server,
    pub(super) machine: Machine,
    secured: bool,
    pub(super) errors: u32,
    challenges: Challenges,
    pub(super) seen: Vec<String>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        Self {
            server,
            machine: Machine::new(),
            secured: false,
            errors: 0,
            challenges: Challenges::new(ENTROPY, 1_700_000_000),
            seen: Vec::new(),
        }
    }

    /// Calls the machine once and notes what it wrote and logged.
    pub(super) fn call<T>(&mut self, call: impl FnOnce(&mut Machine, &mut Context<'_>) -> T) -> T {
        let (mut reply, mut log) = (Vec::new(), Vec::new());
        let outcome = call(
            &mut self.machine,
            &mut Context {
                server: self.server,
                secured: self.secured,
                reply: &mut reply,
                errors: &mut self.errors,
                challenges: &mut self.challenges,
                log: &mut log,
            },
        );
        for action in log {
            let Action::Log(event, Some(Stage::Auth)) = action else { panic!("{action:?}") };
            self.seen.push(format!("LOG {event:?}"));
        }
        let reply = String::from_utf8(reply).expect("replies to text are text");
        self.seen.extend(reply.split_terminator("\r\n").map(|line| format!("S: {line}")));
        assert!(reply.is_empty() || reply.ends_with("\r\n"), "{reply:?}");
        outcome
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Continue => {}
            Step::StartTls => self.seen.push("=> STARTTLS".into()),
            Step::Authenticate(credentials) => self.seen.push(format!("=> {}", show(&credentials))),
            Step::Close => self.seen.push("=> close".into()),
        }
    }

    pub(super) fn input(&mut self, input: &str) {
        self.seen.push(input.to_owned());
        if let Some(line) = input.strip_prefix("C: ") {
            let step = self.call(|machine, context| machine.on_line(line.as_bytes(), context));
            self.step(step);
        } else if let Some(line) = input.strip_prefix("TOO LONG ") {
            let step = self.call(|machine, context| machine.on_overflow(line.as_bytes(), context));
            self.step(step);
        } else if let Some(text) = input.strip_prefix("AUTH SERVER refuses: ") {
            let refusal = Refusal { text: text.into(), code: None, wait: None, login: None };
            self.call(|machine, context| machine.on_refused(&refusal, context));
        } else if let Some(line) = input.strip_prefix("BACKEND refuses: ") {
            let reply = format!("{line}\r\n");
            self.call(|machine, context| machine.on_backend_refusal(reply.as_bytes(), context));
        } else {
            match input {
                "CONNECT" => self.call(|machine, context| machine.greeting(context)),
                "TLS" => {
                    self.machine.on_tls_started();
                    self.secured = true;
                }
                "BYTES IN CLEAR" => {
                    self.call(|machine, context| machine.on_plaintext_after_starttls(context))
                }
                "AUTH SERVER fails" => self.call(|machine, context| machine.on_unavailable(context)),
                "BACKEND fails" => self.call(|machine, context| machine.on_internal_error(context)),
                "TIMEOUT" => self.call(|machine, context| machine.on_timeout(context)),
                "SHUTDOWN" => self.call(|machine, context| machine.on_shutdown(context)),
                other => panic!("what is {other:?}?"),
            }
        }
        assert_eq!(self.machine.expect(), Expect::Line);
    }
}

fn show(credentials: &Credentials) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let login = text(credentials.login());
    let rest = match credentials {
        Credentials::Plain { password, .. } => text(password.expose()),
        Credentials::Apop { digest, challenge, .. } | Credentials::CramMd5 { digest, challenge, .. } => {
            format!("{} {challenge}", text(digest.expose()))
        }
        Credentials::External { .. } => String::new(),
        Credentials::Envelope(_) => panic!("POP3 has no envelope"),
    };
    format!("{} {login:?} {rest}", credentials.method())
}

/// Runs the inputs among `transcript` and compares; `<1>` and `[1]` stand for the first challenge and its base64.
#[track_caller]
pub(super) fn check(server: &Server, transcript: &[&str]) {
    let mut driver = Driver::new(server);
    for line in transcript {
        let is_output = ["S: ", "=> ", "LOG "].iter().any(|prefix| line.starts_with(prefix));
        if !is_output {
            driver.input(line);
        }
    }
    let mut challenges = Challenges::new(ENTROPY, 1_700_000_000);
    for number in 1..=3 {
        let challenge = challenges.next("mx.test");
        let encoded = data_encoding::BASE64.encode(challenge.as_bytes());
        for line in &mut driver.seen {
            *line =
                line.replace(&*challenge, &format!("<{number}>")).replace(&encoded, &format!("[{number}]"));
        }
    }
    assert_eq!(driver.seen, transcript);
}

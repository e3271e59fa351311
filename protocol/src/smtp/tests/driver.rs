//! A machine and a backend login with a session's worth of context, driven and observed by lines of text.
//!
//! ```text
//! C: a line of the client                 S: a reply line to the client
//! B: a line of the backend                P: a command to the backend
//! words in capitals: what the session     LOG an event, at which stage
//!   reports, see `Driver::report`         => a step that is not Continue
//! ```
//!
//! A space at the end of a line shows as `_`. `<1>` and `[1]` stand for the first challenge and its base64.

use std::time::Duration;

use super::*;
use crate::action::Action;
use crate::address::ClientAddr;
use crate::config::ProxyProtocol;
use crate::event::Stage;
use crate::machine::{BackendContext, BackendStep, Challenges, Grounds};
use crate::sasl::Mechanism;

const ENTROPY: [u8; 16] = *b"sixteen bytes it";

/// A server with these words of `smtp_auth`, one capability and XCLIENT off.
pub(super) fn server(starttls: StartTls, smtp_auth: &str) -> Server {
    let words = || smtp_auth.split(' ').filter(|word| !word.is_empty());
    let mechanisms = words().filter_map(|word| Mechanism::from_name(word.as_bytes())).collect();
    let none = words().any(|word| word == "none");
    let mut settings = Settings::new("mx.test", starttls, &["SIZE 1000"], mechanisms, none);
    settings.xclient = Xclient::Off;
    Server {
        mail: Mail::Smtp(settings),
        name: "mx.test".into(),
        timeout: Duration::from_secs(60),
        auth_timeout: Duration::from_secs(60),
        proxy_timeout: Duration::from_secs(86_400),
        resolver_timeout: Duration::from_secs(30),
        resolve: false,
        max_errors: 5,
        client_buffer: 4096,
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

/// The default: PLAIN and LOGIN, no STARTTLS.
pub(super) fn plain() -> Server {
    server(StartTls::Off, "plain login")
}

/// The server with its SMTP settings changed.
pub(super) fn with(mut server: Server, change: impl FnOnce(&mut Settings)) -> Server {
    if let Mail::Smtp(settings) = &mut server.mail {
        change(settings);
    }
    server
}

/// A machine with what the session holds for it.
pub(super) struct Driver<'a> {
    pub(super) server: &'a Server,
    pub(super) machine: Machine,
    pub(super) login: Option<Login>,
    pub(super) secured: bool,
    pub(super) errors: u32,
    pub(super) stage: Stage,
    challenges: Challenges,
    pub(super) seen: Vec<String>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        Self {
            server,
            machine: Machine::new(),
            login: None,
            secured: false,
            errors: 0,
            stage: Stage::Connecting,
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
        self.note(&log, &[], &reply);
        outcome
    }

    /// Gives the backend login a line and notes likewise.
    pub(super) fn backend_line(&mut self, line: &[u8]) -> BackendStep {
        let (mut command, mut reply, mut log) = (Vec::new(), Vec::new(), Vec::new());
        let login = self.login.as_mut().expect("BACKEND comes first");
        let step = login.on_line(
            line,
            &mut BackendContext {
                server: self.server,
                command: &mut command,
                reply: &mut reply,
                stage: &mut self.stage,
                log: &mut log,
            },
        );
        self.note(&log, &command, &reply);
        step
    }

    fn note(&mut self, log: &[Action], command: &[u8], reply: &[u8]) {
        for action in log {
            let Action::Log(event, Some(stage)) = action else { panic!("{action:?}") };
            self.seen.push(format!("LOG {}, {}", show_event(event), stage.text()));
        }
        for (mark, bytes) in [("P: ", command), ("S: ", reply)] {
            assert!(bytes.is_empty() || bytes.ends_with(b"\r\n"), "{bytes:?}");
            let text = String::from_utf8_lossy(bytes);
            self.seen.extend(text.split_terminator("\r\n").map(|line| match line.strip_suffix(' ') {
                Some(line) => format!("{mark}{line}_"),
                None => format!("{mark}{line}"),
            }));
        }
    }

    pub(super) fn inputs(&mut self, inputs: &[&str]) {
        inputs.iter().for_each(|input| self.input(input));
    }

    pub(super) fn input(&mut self, input: &str) {
        self.seen.push(input.to_owned());
        if let Some(line) = input.strip_prefix("C: ") {
            let step = self.call(|machine, context| machine.on_line(line.as_bytes(), context));
            self.client_step(&step);
        } else if let Some(line) = input.strip_prefix("B: ") {
            let step = self.backend_line(line.as_bytes());
            self.backend_step(&step);
        } else {
            self.report(input);
        }
        assert_eq!(self.machine.expect(), Expect::Line);
    }

    /// What only the session knows.
    fn report(&mut self, input: &str) {
        if let Some(line) = input.strip_prefix("TOO LONG ") {
            let step = self.call(|machine, context| machine.on_overflow(line.as_bytes(), context));
            self.client_step(&step);
        } else if let Some(text) = input.strip_prefix("REFUSED ") {
            let (code, text) = text.split_once('|').map_or((None, text), |(code, text)| (Some(code), text));
            let refusal = Refusal { text: text.into(), code: code.map(Into::into), wait: None, login: None };
            self.call(|machine, context| machine.on_refused(&refusal, context));
        } else if let Some(reply) = input.strip_prefix("BACKEND REFUSED ") {
            let reply = format!("{reply}\r\n");
            self.call(|machine, context| machine.on_backend_refusal(reply.as_bytes(), context));
        } else if let Some(login) = input.strip_prefix("BACKEND") {
            self.login = Some(self.machine.backend(backend_login(login.trim_start())));
        } else {
            match input {
                "CONNECT" => self.call(Machine::greeting),
                "EARLY INPUT" => self.call(Machine::on_early_input),
                "TLS" => {
                    self.machine.on_tls_started();
                    self.secured = true;
                }
                "BYTES IN CLEAR" => self.call(Machine::on_plaintext_after_starttls),
                "UNAVAILABLE" => self.call(Machine::on_unavailable),
                "INTERNAL ERROR" => self.call(Machine::on_internal_error),
                "TIMEOUT" => self.call(Machine::on_timeout),
                "SHUTDOWN" => self.call(Machine::on_shutdown),
                "LEAVE" => {
                    let mut command = Vec::new();
                    self.login.as_mut().expect("BACKEND comes first").on_quit(&mut command);
                    self.note(&[], &command, &[]);
                }
                other => panic!("what is {other:?}?"),
            }
        }
    }

    fn client_step(&mut self, step: &Step) {
        match step {
            Step::Continue => {}
            Step::StartTls => self.seen.push("=> STARTTLS".into()),
            Step::Authenticate(credentials) => self.seen.push(format!("=> {}", show(credentials))),
            Step::Close => self.seen.push("=> close".into()),
        }
    }

    fn backend_step(&mut self, step: &BackendStep) {
        match step {
            BackendStep::Continue => {}
            BackendStep::StartTls => self.seen.push("=> TLS".into()),
            BackendStep::LoggedIn => self.seen.push("=> relay".into()),
            BackendStep::Failed => self.seen.push("=> failed".into()),
            BackendStep::Refused(refusal) => {
                let text = String::from_utf8_lossy(&refusal.text);
                assert_eq!(refusal.reply, [&refusal.text[..], b"\r\n"].concat());
                let grounds = match refusal.grounds {
                    Grounds::Credentials => "cleanly ",
                    Grounds::Otherwise => "otherwise ",
                    Grounds::Disorder => "",
                };
                self.seen.push(format!("=> refused {grounds}{text:?}"));
            }
        }
    }
}

/// `login password`, either may be missing; the client is 192.0.2.7:4321, its name `[UNAVAILABLE]`.
fn backend_login(text: &str) -> BackendLogin {
    let (login, password) = text.split_once(' ').map_or((text, None), |(login, rest)| (login, Some(rest)));
    BackendLogin {
        login: login.into(),
        password: password.map(|password| password.as_bytes().into()),
        client: ClientAddr::Inet(([192, 0, 2, 7], 4321).into()),
        client_host: "[UNAVAILABLE]".into(),
        starttls: false,
    }
}

fn show_event(event: &Event) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Event::Rejected(line) = event {
        format!("Rejected({:?})", text(line))
    } else if let Event::TooLongCommand(verb, length) = event {
        format!("TooLongCommand({:?}, {length})", text(verb))
    } else if let Event::BackendReplyTooLong(reply) = event {
        format!("BackendReplyTooLong({:?})", text(reply))
    } else {
        format!("{event:?}")
    }
}

fn show(credentials: &Credentials) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rest = match credentials {
        Credentials::Plain { password, .. } => text(password.expose()),
        Credentials::CramMd5 { digest, challenge, .. } => format!("{} {challenge}", text(digest.expose())),
        Credentials::External { .. } => String::new(),
        Credentials::Envelope(Envelope { helo, mail, rcpt }) => {
            return format!("none {:?} {:?} {:?}", text(helo), text(mail), text(rcpt));
        }
        Credentials::Apop { .. } => panic!("SMTP has no APOP"),
    };
    format!("{} {:?} {rest}", credentials.method(), text(credentials.login())).trim_end().to_owned()
}

/// Runs the inputs among the transcript's lines and compares all that happened.
#[track_caller]
pub(super) fn check(server: &Server, transcript: &str) {
    let expected: Vec<&str> =
        transcript.split('\n').map(str::trim_start).filter(|line| !line.is_empty()).collect();
    let mut driver = Driver::new(server);
    for line in &expected {
        let is_output = ["S: ", "P: ", "=> ", "LOG "].iter().any(|mark| line.starts_with(mark));
        if !is_output {
            driver.input(line);
        }
    }
    let mut challenges = Challenges::new(ENTROPY, 1_700_000_000);
    for number in 1..=2 {
        let challenge = challenges.next("mx.test");
        let encoded = data_encoding::BASE64.encode(challenge.as_bytes());
        for line in &mut driver.seen {
            *line =
                line.replace(&*challenge, &format!("<{number}>")).replace(&encoded, &format!("[{number}]"));
        }
    }
    assert_eq!(driver.seen, expected);
}

//! POP3 (RFC 1939, RFC 2449, RFC 5034), as `protocol/src/pop3/STATES.md` has it.

use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::StartTls;
use gatepost_protocol::sasl::Mechanism;
use gatepost_protocol::secret::Secret;

use super::sasl::{self, Exchange, Failure, Progress};
use super::{
    Answer, BUFFER, Model, Rules, Then, ends_lines, is_http, names, strip_spaces, take_line, verb, words,
};

pub(super) struct Pop3 {
    rules: Rules,
    is_secured: bool,
    errors: usize,
    state: State,
}

enum State {
    Start,
    User(Vec<u8>),
    Sasl(Exchange),
}

impl Pop3 {
    pub(super) fn new(mut rules: Rules) -> Self {
        if rules.mechanisms.contains(Mechanism::Plain) {
            rules.mechanisms.insert(Mechanism::Login);
        }
        Self { rules, is_secured: false, errors: 0, state: State::Start }
    }

    fn error(&mut self) -> Answer {
        Answer::error("-ERR invalid command\r\n", &mut self.errors)
    }

    fn on_line(&mut self, line: &[u8]) -> Answer {
        let state = std::mem::replace(&mut self.state, State::Start);
        if let State::Sasl(exchange) = state {
            return self.on_progress(exchange.on_line(line));
        }
        let (verb, rest) = verb(line);
        let text = strip_spaces(rest);
        let arguments = words(rest);
        if line.contains(&b'\r') || arguments.len() > 3 && verb != "USER" && verb != "PASS" {
            return self.error();
        }
        let needs_tls = self.rules.starttls == StartTls::Only && !self.is_secured;
        match (&*verb, state, &arguments[..]) {
            ("NOOP", state, _) => {
                self.state = state;
                Answer::listen("+OK\r\n")
            }
            ("CAPA", state, _) => {
                let reply = self.capa(matches!(state, State::Start));
                self.state = state;
                Answer::listen(reply)
            }
            ("QUIT", _, _) => Answer::new("+OK\r\n", Then::Close),
            ("PASS", State::User(login), _) if !text.is_empty() && !ends_lines(text) => {
                Answer::new("", Then::Ask(sasl::plain(&login, text)))
            }
            ("USER", State::Start, _) if !needs_tls && !text.is_empty() && !ends_lines(text) => {
                self.state = State::User(text.to_vec());
                Answer::listen("+OK\r\n")
            }
            ("APOP", State::Start, [login, digest]) if self.rules.extra && !needs_tls => {
                self.on_apop(login, digest)
            }
            ("AUTH", State::Start, arguments) if !needs_tls => self.on_auth(arguments),
            ("STLS", State::Start, []) if self.rules.starttls != StartTls::Off && !self.is_secured => {
                Answer::new("+OK\r\n", Then::StartTls)
            }
            _ => self.error(),
        }
    }

    fn on_apop(&mut self, login: &[u8], digest: &[u8]) -> Answer {
        if ends_lines(login) || ends_lines(digest) {
            return self.error();
        }
        let challenge = "<challenge>".into();
        let digest = Secret::from(digest);
        Answer::new("", Then::Ask(Credentials::Apop { login: login.to_vec(), digest, challenge }))
    }

    fn on_auth(&mut self, arguments: &[&[u8]]) -> Answer {
        let (name, initial_response) = match arguments {
            [] => {
                let names: String =
                    names(self.rules.mechanisms).iter().map(|name| format!("{name}\r\n")).collect();
                return Answer::listen(format!("+OK methods supported:\r\n{names}.\r\n"));
            }
            [name] => (*name, None),
            [name, response] => (*name, Some(*response)),
            _ => return self.error(),
        };
        match sasl::find(name, self.rules.mechanisms) {
            Some(mechanism) => self.on_progress(sasl::begin(mechanism, initial_response)),
            None => self.error(),
        }
    }

    fn on_progress(&mut self, progress: Progress) -> Answer {
        match progress {
            Progress::Prompt(exchange, text) => {
                self.state = State::Sasl(exchange);
                Answer::listen(format!("+ {text}\r\n"))
            }
            Progress::Done(credentials) => Answer::new("", Then::Ask(credentials)),
            Progress::Failed(Failure::Cancelled) => {
                Answer::error("-ERR authentication cancelled\r\n", &mut self.errors)
            }
            Progress::Failed(_) => self.error(),
        }
    }

    fn capa(&self, is_start: bool) -> String {
        let is_clear_start = is_start && !self.is_secured;
        let needs_tls = self.rules.starttls == StartTls::Only && is_clear_start;
        let mut lines = vec!["+OK Capability list follows".to_owned(), "TOP".to_owned()];
        if !needs_tls {
            lines.push("USER".to_owned());
        }
        lines.push("UIDL".to_owned());
        let names = names(self.rules.mechanisms);
        if !needs_tls && !names.is_empty() {
            lines.push(format!("SASL {}", names.join(" ")));
        }
        if self.rules.starttls != StartTls::Off && is_clear_start {
            lines.push("STLS".to_owned());
        }
        lines.push(".\r\n".to_owned());
        lines.join("\r\n")
    }
}

impl Model for Pop3 {
    fn greeting(&self) -> String {
        let is_challenged = self.rules.extra || self.rules.mechanisms.contains(Mechanism::CramMd5);
        format!("+OK POP3 ready{}\r\n", if is_challenged { " <challenge>" } else { "" })
    }

    fn next(&mut self, input: &mut Vec<u8>) -> Option<Answer> {
        Some(match take_line(input, BUFFER)? {
            Ok(line) if is_http(&line) => Answer::new("", Then::Close),
            Ok(line) => self.on_line(&line),
            Err(()) => Answer::new("-ERR line too long\r\n", Then::Close),
        })
    }

    fn on_refused(&mut self) -> String {
        "-ERR no\r\n".to_owned()
    }

    fn on_outage(&mut self) -> String {
        "-ERR [SYS/TEMP] Temporary authentication failure\r\n".to_owned()
    }

    fn on_nonsense(&mut self) -> String {
        "-ERR internal server error\r\n".to_owned()
    }

    fn on_bytes_behind_starttls(&mut self) -> String {
        "-ERR invalid command\r\n".to_owned()
    }

    fn on_tls(&mut self) {
        self.is_secured = true;
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Start => "Start",
            State::User(_) => "User",
            State::Sasl(_) => "Sasl",
        }
    }
}

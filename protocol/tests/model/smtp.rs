//! SMTP (RFC 5321, RFC 4954), as `protocol/src/smtp/STATES.md` has it.

use gatepost_protocol::auth::{Credentials, Envelope};
use gatepost_protocol::config::StartTls;

use super::sasl::{self, Exchange, Failure, Progress};
use super::{
    Answer, BUFFER, Model, Rules, Then, is_http, names, strip_trailing_spaces, take_line, verb, words,
};

pub(super) struct Smtp {
    rules: Rules,
    is_secured: bool,
    errors: usize,
    hello: Option<Vec<u8>>,
    state: State,
}

enum State {
    Idle,
    Sasl(Exchange),
    Mail(Vec<u8>),
}

impl Smtp {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, is_secured: false, errors: 0, hello: None, state: State::Idle }
    }

    fn error(&mut self, reply: &str) -> Answer {
        Answer::error(format!("{reply}\r\n"), &mut self.errors)
    }

    fn needs_tls(&self) -> bool {
        self.rules.starttls == StartTls::Only && !self.is_secured
    }

    fn on_line(&mut self, line: &[u8]) -> Answer {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Sasl(exchange) => self.on_progress(exchange.on_line(line)),
            state @ (State::Idle | State::Mail(_)) => {
                self.state = state;
                self.on_command(line)
            }
        }
    }

    fn on_command(&mut self, line: &[u8]) -> Answer {
        let text = strip_trailing_spaces(line);
        let (verb, rest) = verb(text);
        let arguments = words(rest);
        if line.iter().any(u8::is_ascii_control) || arguments.len() > 11 {
            return self.error("500 5.5.1 Invalid command");
        }
        match &*verb {
            "HELO" | "EHLO" => self.on_hello(&verb, &arguments),
            "AUTH" => self.on_auth(&arguments),
            "MAIL" => self.on_mail(text, &arguments),
            "RCPT" => self.on_rcpt(text, &arguments),
            "STARTTLS" => self.on_starttls(&arguments),
            "RSET" => {
                self.state = State::Idle;
                Answer::listen("250 2.0.0 OK\r\n")
            }
            "NOOP" => Answer::listen("250 2.0.0 OK\r\n"),
            "VRFY" => Answer::listen("252 2.0.0 Cannot verify the address\r\n"),
            "HELP" => Answer::listen("214 2.0.0 See RFC 5321\r\n"),
            "EXPN" => self.error("502 5.5.1 Command not implemented"),
            "QUIT" => Answer::new("221 2.0.0 Bye\r\n", Then::Close),
            _ => self.error("500 5.5.1 Invalid command"),
        }
    }

    fn on_hello(&mut self, verb: &str, arguments: &[&[u8]]) -> Answer {
        let [name] = arguments else { return self.error("501 5.5.4 Invalid argument") };
        if name.len() > 255 || !name.iter().all(u8::is_ascii_graphic) {
            return self.error("501 5.5.4 Invalid argument");
        }
        self.hello = Some(name.to_vec());
        self.state = State::Idle;
        let mut lines = vec!["mx.example".to_owned()];
        if verb == "EHLO" {
            lines.push("SIZE 1000".to_owned());
            let names = names(self.rules.mechanisms);
            if !names.is_empty() && !self.needs_tls() {
                lines.push(format!("AUTH {}", names.join(" ")));
            }
            if self.rules.starttls != StartTls::Off && !self.is_secured {
                lines.push("STARTTLS".to_owned());
            }
        }
        let last = lines.pop().expect("the name at least");
        let dashed: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        Answer::listen(format!("{dashed}250 {last}\r\n"))
    }

    fn on_auth(&mut self, arguments: &[&[u8]]) -> Answer {
        if self.needs_tls() {
            return self.error("530 5.7.0 Must issue a STARTTLS command first");
        }
        if self.hello.is_none() || matches!(self.state, State::Mail(_)) {
            return self.error("503 5.5.1 Bad sequence of commands");
        }
        let [name, responses @ ..] = arguments else { return self.error("501 5.5.4 Invalid argument") };
        let Some(mechanism) = sasl::find(name, self.rules.mechanisms) else {
            return self.error("504 5.5.4 Unrecognized authentication type");
        };
        match responses {
            [] => self.on_progress(sasl::begin(mechanism, None)),
            [response] => self.on_progress(sasl::begin(mechanism, Some(response))),
            _ => self.error("501 5.5.4 Invalid argument"),
        }
    }

    fn on_progress(&mut self, progress: Progress) -> Answer {
        match progress {
            Progress::Prompt(exchange, text) => {
                self.state = State::Sasl(exchange);
                Answer::listen(format!("334 {text}\r\n"))
            }
            Progress::Done(credentials) => Answer::new("", Then::Ask(credentials)),
            Progress::Failed(failure) => self.error(match failure {
                Failure::Cancelled => "501 5.7.0 Authentication cancelled",
                Failure::Base64 => "501 5.5.2 Invalid base64 encoding",
                Failure::Response => "501 5.5.2 Invalid authentication response",
                Failure::InitialResponse => "501 5.7.0 Mechanism has no initial response",
            }),
        }
    }

    fn on_mail(&mut self, text: &[u8], arguments: &[&[u8]]) -> Answer {
        if self.needs_tls() {
            return self.error("530 5.7.0 Must issue a STARTTLS command first");
        }
        if !self.rules.extra {
            return self.error("530 5.7.1 Authentication required");
        }
        if matches!(self.state, State::Mail(_)) {
            return self.error("503 5.5.1 Bad sequence of commands");
        }
        if !begins(arguments, "FROM:") {
            return self.error("501 5.5.4 Invalid argument");
        }
        self.state = State::Mail(text.to_vec());
        Answer::listen("250 2.0.0 OK\r\n")
    }

    fn on_rcpt(&mut self, text: &[u8], arguments: &[&[u8]]) -> Answer {
        if self.needs_tls() {
            return self.error("530 5.7.0 Must issue a STARTTLS command first");
        }
        let State::Mail(mail) = &self.state else {
            return self.error("503 5.5.1 Bad sequence of commands");
        };
        if !begins(arguments, "TO:") {
            return self.error("501 5.5.4 Invalid argument");
        }
        let helo = self.hello.clone().unwrap_or_default();
        let envelope = Envelope { helo, mail: mail.clone(), rcpt: text.to_vec() };
        Answer::new("", Then::Ask(Credentials::Envelope(envelope)))
    }

    fn on_starttls(&mut self, arguments: &[&[u8]]) -> Answer {
        if self.rules.starttls == StartTls::Off || self.is_secured {
            return self.error("500 5.5.1 Invalid command");
        }
        if !arguments.is_empty() {
            return self.error("501 5.5.4 Invalid argument");
        }
        Answer::new("220 2.0.0 Start TLS\r\n", Then::StartTls)
    }
}

fn begins(arguments: &[&[u8]], keyword: &str) -> bool {
    let first = arguments.first().map(|word| word.to_ascii_uppercase());
    first.is_some_and(|word| word.starts_with(keyword.as_bytes()))
}

impl Model for Smtp {
    fn greeting(&self) -> String {
        "220 mx.example ESMTP ready\r\n".to_owned()
    }

    fn next(&mut self, input: &mut Vec<u8>) -> Option<Answer> {
        let is_sasl = matches!(self.state, State::Sasl(_));
        Some(match take_line(input, BUFFER)? {
            Ok(line) if is_http(&line) => Answer::new("", Then::Close),
            Ok(line) => self.on_line(&line),
            Err(()) if is_sasl => {
                Answer::new("500 5.5.6 Authentication exchange line is too long\r\n", Then::Close)
            }
            Err(()) => Answer::new("500 5.5.2 Line too long\r\n", Then::Close),
        })
    }

    fn on_refused(&mut self) -> String {
        "535 5.7.0 no\r\n".to_owned()
    }

    fn on_outage(&mut self) -> String {
        "454 4.7.0 Temporary authentication failure\r\n".to_owned()
    }

    fn on_nonsense(&mut self) -> String {
        "451 4.3.2 Internal server error\r\n".to_owned()
    }

    fn on_bytes_behind_starttls(&mut self) -> String {
        "503 5.5.0 Improper use of SMTP command pipelining\r\n".to_owned()
    }

    fn on_tls(&mut self) {
        self.is_secured = true;
        self.hello = None;
        self.state = State::Idle;
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Idle => "Idle",
            State::Sasl(_) => "Sasl",
            State::Mail(_) => "Mail",
        }
    }
}

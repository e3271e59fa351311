//! IMAP (RFC 3501, RFC 7888, RFC 4959, RFC 2971), as `protocol/src/imap/STATES.md` has it.

use gatepost_protocol::config::StartTls;

use super::sasl::{self, Exchange, Failure, Progress};
use super::{Answer, BUFFER, Model, Rules, Then, ends_lines, is_http, names, strip_spaces, take_line};

pub(super) struct Imap {
    rules: Rules,
    is_secured: bool,
    errors: usize,
    state: State,
}

enum State {
    Ready,
    Literal(Command, usize),
    Rest(Command),
    Sasl(String, Exchange),
    Judged(String),
}

/// A command as far as it was read.
struct Command {
    tag: String,
    verb: String,
    words: Vec<Vec<u8>>,
    /// ID has a list instead.
    list: List,
    /// Bytes of its lines, each with CRLF, and of its literals.
    size: usize,
    /// Bytes taken off the input.
    used: usize,
}

#[derive(PartialEq, Eq)]
enum List {
    Before,
    Inside { strings: usize },
    Behind,
}

/// What one argument is.
enum Argument {
    Word(Vec<u8>),
    Literal { size: usize, is_waiting: bool },
}

/// How a line of a command ends.
enum LineEnd {
    Complete,
    Literal { size: usize, is_waiting: bool },
    Malformed,
}

impl Imap {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, is_secured: false, errors: 0, state: State::Ready }
    }

    fn bad(&mut self, tag: &str) -> Answer {
        Answer::error(format!("{tag} BAD invalid command\r\n"), &mut self.errors)
    }

    /// The client may be sending a literal behind such a line, which nobody could tell from commands.
    fn malformed(&mut self, tag: &str, line: &[u8]) -> Answer {
        let mut answer = self.bad(tag);
        if line.trim_ascii_end().ends_with(b"+}") {
            answer.then = Then::Close;
        }
        answer
    }

    fn needs_tls(&self, verb: &str) -> bool {
        let is_login = verb == "LOGIN" || verb == "AUTHENTICATE";
        is_login && self.rules.starttls == StartTls::Only && !self.is_secured
    }

    fn privacy_required(&mut self, tag: &str) -> Answer {
        let reply = format!("{tag} NO [PRIVACYREQUIRED] STARTTLS is required before login\r\n");
        Answer::error(reply, &mut self.errors)
    }

    fn on_first_line(&mut self, line: &[u8], used: usize) -> Answer {
        let Some((tag, rest)) = split_tag(line) else { return self.malformed("*", line) };
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let verb = String::from_utf8_lossy(&rest[..end]).to_ascii_uppercase();
        if !VERBS.contains(&&*verb) {
            return self.malformed(&tag, line);
        }
        let size = line.len() - rest[end..].len();
        let command = Command { tag, verb, words: Vec::new(), list: List::Before, size, used };
        self.on_arguments(command, &rest[end..])
    }

    fn on_arguments(&mut self, mut command: Command, line: &[u8]) -> Answer {
        command.size += line.len() + 2;
        let end = if command.verb == "ID" { command.read_list(line) } else { command.read_words(line) };
        if command.size > BUFFER {
            return too_long(&command.tag);
        }
        match end {
            LineEnd::Malformed => self.malformed(&command.tag, line),
            LineEnd::Complete => self.on_command(&command),
            LineEnd::Literal { size, is_waiting } => self.on_literal_announced(command, size, is_waiting),
        }
    }

    fn on_literal_announced(&mut self, command: Command, size: usize, is_waiting: bool) -> Answer {
        let does_fit = command.size.saturating_add(size).saturating_add(2) <= BUFFER;
        if !does_fit && !is_waiting {
            return too_long(&command.tag);
        }
        if !does_fit {
            return Answer::error(format!("{} BAD command too long\r\n", command.tag), &mut self.errors);
        }
        if is_waiting && self.needs_tls(&command.verb) {
            return self.privacy_required(&command.tag);
        }
        self.state = match size {
            0 => State::Rest(command.with_literal(Vec::new())),
            size => State::Literal(command, size),
        };
        Answer::listen(if is_waiting { "+ OK\r\n" } else { "" })
    }

    fn on_command(&mut self, command: &Command) -> Answer {
        let tag = &command.tag;
        let done = |untagged: &str| Answer::listen(format!("{untagged}{tag} OK completed\r\n"));
        match (&*command.verb, &command.words[..]) {
            (verb, _) if self.needs_tls(verb) => self.privacy_required(tag),
            ("NOOP", _) => done(""),
            ("ID", _) => done("* ID NIL\r\n"),
            ("CAPABILITY", _) => done(&self.capability()),
            ("LOGOUT", _) => Answer { then: Then::Close, ..done("* BYE\r\n") },
            ("STARTTLS", _) if self.rules.starttls != StartTls::Off && !self.is_secured => {
                self.state = State::Judged(tag.clone());
                Answer { then: Then::StartTls, ..done("") }
            }
            ("LOGIN", [login, password]) => {
                if login.is_empty() || ends_lines(login) || ends_lines(password) {
                    return self.bad(tag);
                }
                self.state = State::Judged(tag.clone());
                Answer::new("", Then::Ask(sasl::plain(login, password)))
            }
            ("AUTHENTICATE", [name, rest @ ..]) => match sasl::find(name, self.rules.mechanisms) {
                Some(mechanism) => {
                    let progress = sasl::begin(mechanism, rest.first().map(Vec::as_slice));
                    self.on_progress(tag.clone(), progress)
                }
                None => self.bad(tag),
            },
            _ => self.bad(tag),
        }
    }

    fn on_progress(&mut self, tag: String, progress: Progress) -> Answer {
        match progress {
            Progress::Prompt(exchange, text) => {
                self.state = State::Sasl(tag, exchange);
                Answer::listen(format!("+ {text}\r\n"))
            }
            Progress::Done(credentials) => {
                self.state = State::Judged(tag);
                Answer::new("", Then::Ask(credentials))
            }
            Progress::Failed(Failure::Cancelled) => {
                Answer::error(format!("{tag} BAD authentication cancelled\r\n"), &mut self.errors)
            }
            Progress::Failed(_) => self.bad(&tag),
        }
    }

    fn capability(&self) -> String {
        let starttls = if self.is_secured { StartTls::Off } else { self.rules.starttls };
        let mechanisms: String =
            names(self.rules.mechanisms).iter().map(|name| format!(" AUTH={name}")).collect();
        match starttls {
            StartTls::Off => format!("* CAPABILITY IMAP4rev1{mechanisms}\r\n"),
            StartTls::On => format!("* CAPABILITY IMAP4rev1{mechanisms} STARTTLS\r\n"),
            StartTls::Only => "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\n".to_owned(),
        }
    }

    /// The tag of the login that was judged; the next line begins a command.
    fn judged_tag(&mut self) -> String {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Judged(tag) => tag,
            State::Ready | State::Literal(..) | State::Rest(_) | State::Sasl(..) => {
                panic!("nothing is judged")
            }
        }
    }

    /// The tag that a line without an end belongs to.
    fn overlong_tag(&self, line: &[u8]) -> String {
        match &self.state {
            State::Ready | State::Judged(_) => split_tag(line).map_or_else(|| "*".to_owned(), |(tag, _)| tag),
            State::Literal(command, _) | State::Rest(command) => command.tag.clone(),
            State::Sasl(tag, _) => tag.clone(),
        }
    }
}

impl Command {
    fn with_literal(mut self, literal: Vec<u8>) -> Self {
        self.size += literal.len();
        self.used += literal.len();
        match &mut self.list {
            List::Inside { strings } => *strings += 1,
            List::Before | List::Behind => self.words.push(literal),
        }
        self
    }

    fn read_words(&mut self, mut line: &[u8]) -> LineEnd {
        let allowed = match &*self.verb {
            "LOGIN" => 2..=2,
            "AUTHENTICATE" => 1..=2,
            _ => 0..=0,
        };
        while !strip_spaces(line).is_empty() {
            if !line.starts_with(b" ") || self.words.len() == *allowed.end() {
                return LineEnd::Malformed;
            }
            line = strip_spaces(line);
            match argument(&mut line, true) {
                None => return LineEnd::Malformed,
                Some(Argument::Word(word)) => self.words.push(word),
                Some(Argument::Literal { size, is_waiting }) => return LineEnd::Literal { size, is_waiting },
            }
        }
        if allowed.contains(&self.words.len()) { LineEnd::Complete } else { LineEnd::Malformed }
    }

    /// `NIL`, or strings in parentheses, every second of which may be NIL.
    fn read_list(&mut self, mut line: &[u8]) -> LineEnd {
        let mut has_space = false;
        loop {
            has_space |= line.starts_with(b" ");
            line = strip_spaces(line);
            match &mut self.list {
                List::Behind if line.is_empty() => return LineEnd::Complete,
                List::Before if has_space && line.starts_with(b"(") => {
                    line = &line[1..];
                    self.list = List::Inside { strings: 0 };
                }
                List::Before if has_space && is_nil(line) => {
                    line = &line[3..];
                    self.list = List::Behind;
                }
                List::Inside { strings } if *strings % 2 == 0 && line.starts_with(b")") => {
                    line = &line[1..];
                    self.list = List::Behind;
                }
                List::Inside { strings } if has_space || *strings == 0 => {
                    if *strings % 2 == 1 && is_nil(line) {
                        line = &line[3..];
                    } else {
                        match argument(&mut line, false) {
                            None => return LineEnd::Malformed,
                            Some(Argument::Word(_)) => {}
                            Some(Argument::Literal { size, is_waiting }) => {
                                return LineEnd::Literal { size, is_waiting };
                            }
                        }
                    }
                    *strings += 1;
                    has_space = false;
                }
                List::Before | List::Inside { .. } | List::Behind => return LineEnd::Malformed,
            }
        }
    }
}

/// An argument at the front of a line that has no space there: a quoted string, a literal at the end, or an atom.
fn argument(line: &mut &[u8], may_be_atom: bool) -> Option<Argument> {
    match line.first()? {
        b'"' => {
            let mut word = Vec::new();
            let mut rest = line[1..].iter();
            loop {
                let byte = match *rest.next()? {
                    b'"' => break,
                    b'\\' => *rest.next()?,
                    byte => byte,
                };
                word.push(byte);
            }
            *line = rest.as_slice();
            (!ends_lines(&word)).then_some(Argument::Word(word))
        }
        b'{' => {
            let number = std::str::from_utf8(line.strip_prefix(b"{")?.strip_suffix(b"}")?).ok()?;
            let digits = number.strip_suffix('+').unwrap_or(number);
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            let size = if digits.is_empty() { 0 } else { digits.parse().unwrap_or(usize::MAX) };
            is_number.then_some(Argument::Literal { size, is_waiting: digits == number })
        }
        _ if may_be_atom => {
            let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
            let word = line[..end].to_vec();
            *line = &line[end..];
            (!ends_lines(&word)).then_some(Argument::Word(word))
        }
        _ => None,
    }
}

fn is_nil(line: &[u8]) -> bool {
    line.len() >= 3 && line[..3].eq_ignore_ascii_case(b"NIL")
}

/// A valid tag, and what stands behind the spaces that must follow it.
fn split_tag(line: &[u8]) -> Option<(String, &[u8])> {
    let end = line.iter().position(|&byte| byte == b' ')?;
    let tag = &line[..end];
    let is_char = |byte: &u8| byte.is_ascii_graphic() && !b"(){%*\"\\+".contains(byte);
    let is_valid = (1..=64).contains(&tag.len()) && tag.iter().all(is_char);
    is_valid.then(|| (String::from_utf8_lossy(tag).into_owned(), strip_spaces(&line[end..])))
}

fn too_long(tag: &str) -> Answer {
    Answer::new(format!("{tag} BAD command too long\r\n"), Then::Close)
}

const VERBS: [&str; 7] = ["AUTHENTICATE", "CAPABILITY", "ID", "LOGIN", "LOGOUT", "NOOP", "STARTTLS"];

impl Model for Imap {
    fn greeting(&self) -> String {
        "* OK IMAP4 ready\r\n".to_owned()
    }

    fn next(&mut self, input: &mut Vec<u8>) -> Option<Answer> {
        if let State::Literal(_, size) = self.state {
            let literal = (input.len() >= size).then(|| input.drain(..size).collect())?;
            if let State::Literal(command, _) = std::mem::replace(&mut self.state, State::Ready) {
                self.state = State::Rest(command.with_literal(literal));
            }
            return Some(Answer::listen(""));
        }
        let used = if let State::Rest(command) = &self.state { command.used } else { 0 };
        let before = input.len();
        let Ok(line) = take_line(input, BUFFER - used)? else {
            return Some(too_long(&self.overlong_tag(&input[..BUFFER - used])));
        };
        let length = before - input.len();
        if used == 0 && is_http(&line) {
            return Some(Answer::new("", Then::Close));
        }
        Some(match std::mem::replace(&mut self.state, State::Ready) {
            State::Ready | State::Judged(_) => self.on_first_line(&line, length),
            State::Rest(mut command) => {
                command.used += length;
                self.on_arguments(command, &line)
            }
            State::Sasl(tag, exchange) => self.on_progress(tag, exchange.on_line(&line)),
            State::Literal(..) => unreachable!("it was taken above"),
        })
    }

    fn on_refused(&mut self) -> String {
        format!("{} NO no\r\n", self.judged_tag())
    }

    fn on_outage(&mut self) -> String {
        format!("{} NO [UNAVAILABLE] Temporary authentication failure\r\n", self.judged_tag())
    }

    fn on_nonsense(&mut self) -> String {
        format!(
            "{} NO [UNAVAILABLE] internal server error\r\n* BYE internal server error\r\n",
            self.judged_tag()
        )
    }

    fn on_bytes_behind_starttls(&mut self) -> String {
        format!("{} BAD invalid command\r\n", self.judged_tag())
    }

    fn on_tls(&mut self) {
        self.is_secured = true;
        self.state = State::Ready;
    }

    fn state(&self) -> &'static str {
        match self.state {
            State::Ready => "Ready",
            State::Literal(..) => "Literal",
            State::Rest(_) => "Rest",
            State::Sasl(..) => "Sasl",
            State::Judged(_) => "Judged",
        }
    }
}

//! Dialogues as text, played through a session in three ways.
//!
//! ```text
//! C: bytes from the client          S: bytes for the client
//! B: bytes from the backend         P: bytes for the backend
//! > a completion, or time           ! an action
//! ```
//!
//! A line stands for its text and CRLF; with a backslash at its end, for its text alone. [`check`] plays the dialogue as
//! it is, with every byte read on its own, and with all that the client says read at once at the very start, before the
//! first action is performed. The same bytes must leave, and the same actions.
//!
//! `<N>` stands for the session's Nth challenge (APOP, CRAM-MD5) and `[N]` for its base64. With a [`Channel`] that can
//! do TLS, `> handshake` puts it under the client's words from there on, in clear in the dialogue all the same;
//! `> backend handshake` does so for the backend's.

use data_encoding::BASE64;
use gatepost_protocol::action::Side;
use gatepost_protocol::config::Listener;

use super::Driver;
use super::orders::describe;
pub use super::orders::order;
use super::server::NAME;

/// How the words of client and backend get onto the wire, and the session's from it.
pub trait Channel {
    /// Hands the session so many bytes of the wire at a time.
    fn new(step: usize) -> Self;
    fn say(&mut self, words: &[u8], driver: &mut Driver);
    /// What the session has said since the last call.
    fn hear(&mut self, driver: &mut Driver) -> String;
    fn shake_hands(&mut self, driver: &mut Driver);
    fn say_as_backend(&mut self, words: &[u8], driver: &mut Driver);
    /// What the session has said to the backend since the last call.
    fn hear_as_backend(&mut self, driver: &mut Driver) -> String;
    fn shake_hands_as_backend(&mut self, driver: &mut Driver);
}

/// A client and a backend without TLS.
pub struct InClear {
    step: usize,
}

impl Channel for InClear {
    fn new(step: usize) -> Self {
        Self { step }
    }

    fn say(&mut self, words: &[u8], driver: &mut Driver) {
        words.chunks(self.step).for_each(|part| driver.input(Side::Client, part));
    }

    fn hear(&mut self, driver: &mut Driver) -> String {
        driver.take_client()
    }

    fn shake_hands(&mut self, _: &mut Driver) {
        panic!("this client has no TLS");
    }

    fn say_as_backend(&mut self, words: &[u8], driver: &mut Driver) {
        words.chunks(self.step).for_each(|part| driver.input(Side::Backend, part));
    }

    fn hear_as_backend(&mut self, driver: &mut Driver) -> String {
        driver.take_backend()
    }

    fn shake_hands_as_backend(&mut self, _: &mut Driver) {
        panic!("this backend has no TLS");
    }
}

/// Plays `dialogue` whole, split and coalesced.
#[track_caller]
pub fn check(listener: &Listener, dialogue: &str) {
    check_over::<InClear>(listener, dialogue);
}

/// Plays `dialogue` whole, split and coalesced; what the client says is coalesced up to each handshake.
#[track_caller]
pub fn check_over<C: Channel>(listener: &Listener, dialogue: &str) {
    let lines = parse(dialogue);
    Player::<C>::new(listener, usize::MAX).play(&lines);
    Player::<C>::new(listener, 1).play(&lines);
    Player::<C>::new(listener, usize::MAX).play_coalesced(&lines);
}

#[derive(Debug)]
struct Line<'a> {
    number: usize,
    kind: char,
    text: &'a str,
}

impl Line<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self.text.strip_suffix('\\') {
            Some(text) => text.into(),
            None => format!("{}\r\n", self.text).into(),
        }
    }

    fn is_input(&self) -> bool {
        matches!(self.kind, 'C' | 'B' | '>')
    }

    fn is_handshake(&self) -> bool {
        self.kind == '>' && self.text == "handshake"
    }
}

fn parse(dialogue: &str) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for (index, line) in dialogue.split('\n').enumerate() {
        let line = line.trim_start();
        let Some(kind) = line.chars().next() else { continue };
        let rest = match kind {
            'C' | 'S' | 'B' | 'P' => line[1..].strip_prefix(':').expect("a colon"),
            '>' | '!' => &line[1..],
            _ => panic!("line {index}: {line:?}"),
        };
        let text = rest.strip_prefix(' ').unwrap_or(rest);
        lines.push(Line { number: index, kind, text });
    }
    lines
}

/// What came out: bytes for the client, bytes for the backend, actions.
type Outcome = (String, String, Vec<String>);

struct Player<C> {
    driver: Driver,
    channel: C,
    step: usize,
    /// In the order in which they were shown.
    challenges: Vec<String>,
}

impl<C: Channel> Player<C> {
    fn new(listener: &Listener, step: usize) -> Self {
        Self { driver: Driver::open(listener), channel: C::new(step), step, challenges: Vec::new() }
    }

    /// Compares after each input.
    #[track_caller]
    fn play(mut self, lines: &[Line<'_>]) {
        let mut rest = lines;
        loop {
            let outputs = rest.iter().position(Line::is_input).unwrap_or(rest.len());
            let number = rest.first().or_else(|| lines.last()).map_or(0, |line| line.number);
            assert_eq!(
                self.taken(),
                expected(&rest[..outputs]),
                "at line {number}, in steps of {}",
                self.step
            );
            let Some(input) = rest.get(outputs) else { return };
            self.apply(input);
            rest = &rest[outputs + 1..];
        }
    }

    /// Compares at the end: how the client's bytes are spread over time must not show.
    #[track_caller]
    fn play_coalesced(mut self, lines: &[Line<'_>]) {
        self.say_at_once(lines);
        for (index, line) in lines.iter().enumerate() {
            if line.is_input() && line.kind != 'C' {
                self.apply(line);
            }
            if line.is_handshake() {
                self.say_at_once(&lines[index + 1..]);
            }
        }
        assert_eq!(self.taken(), expected(lines), "coalesced");
    }

    /// All that the client says before the next handshake.
    fn say_at_once(&mut self, lines: &[Line<'_>]) {
        let lines = lines.iter().take_while(|line| !line.is_handshake());
        let said: Vec<u8> = lines.filter(|line| line.kind == 'C').flat_map(Line::bytes).collect();
        if !said.is_empty() {
            self.channel.say(&said, &mut self.driver);
        }
    }

    fn apply(&mut self, line: &Line<'_>) {
        match line.kind {
            'C' => self.channel.say(&line.bytes(), &mut self.driver),
            'B' => self.channel.say_as_backend(&line.bytes(), &mut self.driver),
            _ if line.is_handshake() => self.channel.shake_hands(&mut self.driver),
            _ if line.text == "backend handshake" => self.channel.shake_hands_as_backend(&mut self.driver),
            _ => order(line.text, &mut self.driver),
        }
    }

    fn taken(&mut self) -> Outcome {
        let heard = self.channel.hear(&mut self.driver);
        self.learn_challenges(&heard);
        let actions: Vec<String> = self.driver.take_actions().iter().filter_map(describe).collect();
        let backend = self.channel.hear_as_backend(&mut self.driver);
        let name = |text: String| self.name_challenges(text);
        (name(heard), backend, actions.into_iter().map(name).collect())
    }

    fn learn_challenges(&mut self, heard: &str) {
        for word in heard.split_ascii_whitespace() {
            let decoded = BASE64.decode(word.as_bytes()).ok().and_then(|text| String::from_utf8(text).ok());
            let text = decoded.unwrap_or_else(|| word.to_owned());
            let is_challenge = text.starts_with('<') && text.ends_with(&format!("@{NAME}>"));
            if is_challenge && !self.challenges.contains(&text) {
                self.challenges.push(text);
            }
        }
    }

    fn name_challenges(&self, mut text: String) -> String {
        for (number, challenge) in (1..).zip(&self.challenges) {
            text = text.replace(challenge, &format!("<{number}>"));
            text = text.replace(&BASE64.encode(challenge.as_bytes()), &format!("[{number}]"));
        }
        text
    }
}

fn expected(lines: &[Line<'_>]) -> Outcome {
    let text = |kind| -> String {
        let bytes: Vec<u8> = lines.iter().filter(|line| line.kind == kind).flat_map(Line::bytes).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let actions = lines.iter().filter(|line| line.kind == '!').map(|line| line.text.to_owned());
    (text('S'), text('P'), actions.collect())
}

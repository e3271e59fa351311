//! The engine beside the model, after each thing that a random client says.

use std::sync::Arc;

use gatepost_protocol::action::Action;
use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::{Listener, Server};
use proptest::prelude::*;

use super::client::{IMAP, POP3, SMTP, client, outcomes, rules};
use super::imap::Imap;
use super::pop3::Pop3;
use super::smtp::Smtp;
use super::support::server::{NAME, imap_with, pop3_with, smtp_offering};
use super::support::transcript::{self, Channel};
use super::support::{Driver, SECOND};
use super::tls::{Upgrading, secured};
use super::{Model, Then};

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pop3_agrees_with_its_model(rules in rules(), client in client(POP3), outcomes in outcomes()) {
        let server = pop3_with(rules.starttls, rules.mechanisms, rules.extra);
        compare(server, &mut Pop3::new(rules), &client, &outcomes);
    }

    #[test]
    fn imap_agrees_with_its_model(rules in rules(), client in client(IMAP), outcomes in outcomes()) {
        let server = imap_with(rules.starttls, rules.mechanisms);
        compare(server, &mut Imap::new(rules), &client, &outcomes);
    }

    #[test]
    fn smtp_agrees_with_its_model(rules in rules(), client in client(SMTP), outcomes in outcomes()) {
        let server = smtp_offering(rules.mechanisms, rules.starttls, rules.extra, |_| {});
        compare(server, &mut Smtp::new(rules), &client, &outcomes);
    }
}

fn compare(server: Server, model: &mut dyn Model, client: &[Vec<u8>], outcomes: &[u8]) {
    let listener: Listener = secured(server);
    let mut engine = Engine::open(&listener);
    assert_eq!(engine.hear(), model.greeting());
    let mut outcomes = outcomes.iter();
    let mut waiting = Vec::new();
    for read in client {
        waiting.extend_from_slice(read);
        engine.say(read);
        let mut expected = String::new();
        while let Some(answer) = model.next(&mut waiting) {
            let place =
                || format!("{} in {:?}", answer.reply.escape_debug(), read.escape_ascii().to_string());
            match &answer.then {
                Then::Listen => expected += &answer.reply,
                Then::Close => {
                    expected += &answer.reply;
                    assert_eq!(engine.hear(), expected, "{}", place());
                    assert!(engine.is_finished(), "{}", place());
                    return;
                }
                Then::StartTls if waiting.is_empty() => {
                    expected += &answer.reply;
                    assert_eq!(engine.hear(), expected, "{}", place());
                    expected.clear();
                    engine.shake_hands();
                    model.on_tls();
                }
                Then::StartTls => {
                    expected += &model.on_bytes_behind_starttls();
                    assert_eq!(engine.hear(), expected, "{}", place());
                    assert!(engine.is_finished(), "{}", place());
                    return;
                }
                Then::Ask(credentials) => {
                    let asked = engine.asked().expect("a question to the auth server");
                    assert!(is_same(&asked, credentials), "{asked:?} in {}", place());
                    match outcomes.next().unwrap_or(&0) {
                        0..4 => {
                            engine.order("refused 1 no");
                            engine.wait_a_second();
                            expected += &model.on_refused();
                        }
                        4 => {
                            engine.order("refused 0 no");
                            expected += &model.on_refused();
                            assert_eq!(engine.hear(), expected);
                            assert!(engine.is_finished());
                            return;
                        }
                        5 => {
                            engine.order("outage");
                            expected += &model.on_outage();
                        }
                        6 => {
                            engine.order("nonsense");
                            expected += &model.on_nonsense();
                            assert_eq!(engine.hear(), expected);
                            assert!(engine.is_finished());
                            return;
                        }
                        // From here on it is the backend's login, which has transcripts.
                        _ => {
                            engine.order("accepted 127.0.0.1:143 joe pw");
                            assert!(engine.is_connecting());
                            return;
                        }
                    }
                }
            }
        }
        assert_eq!(engine.hear(), expected, "{}", read.escape_ascii());
        assert_eq!(engine.state(), model.state(), "{}", read.escape_ascii());
        assert_eq!(engine.asked(), None);
    }
}

/// The session, and what the model may know of it.
struct Engine {
    driver: Driver,
    channel: Upgrading,
    actions: Vec<Action>,
}

impl Engine {
    fn open(listener: &Listener) -> Self {
        let driver = Driver::open(listener);
        Self { driver, channel: Upgrading::new(usize::MAX), actions: Vec::new() }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.channel.say(bytes, &mut self.driver);
    }

    /// What the client heard, where challenges are called so.
    fn hear(&mut self) -> String {
        let heard = self.channel.hear(&mut self.driver);
        let lines = heard.split_inclusive("\r\n").map(|line| {
            let text = line.trim_end_matches("\r\n");
            let (start, word) = text.rsplit_once(' ').unwrap_or(("", text));
            let decoded = data_encoding::BASE64.decode(word.as_bytes()).unwrap_or_default();
            if is_challenge(word.as_bytes()) {
                format!("{start} <challenge>\r\n")
            } else if is_challenge(&decoded) {
                format!("{start} [challenge]\r\n")
            } else {
                line.to_owned()
            }
        });
        lines.collect()
    }

    fn order(&mut self, order: &str) {
        transcript::order(order, &mut self.driver);
    }

    fn wait_a_second(&mut self) {
        self.driver.wait(SECOND);
    }

    fn shake_hands(&mut self) {
        self.channel.shake_hands(&mut self.driver);
    }

    /// The question to the auth server since the last one.
    fn asked(&mut self) -> Option<Arc<Credentials>> {
        self.actions.extend(self.driver.take_actions());
        let question = |action: &Action| match action {
            Action::Authenticate(request) => Some(Arc::clone(&request.credentials)),
            Action::Resolve(_)
            | Action::Connect(_)
            | Action::Cancel
            | Action::Relay
            | Action::Shutdown(_)
            | Action::Close(_)
            | Action::Abort(_)
            | Action::Log(..)
            | Action::Finish => None,
        };
        let (at, credentials) =
            self.actions.iter().enumerate().find_map(|(at, action)| Some((at, question(action)?)))?;
        self.actions.remove(at);
        Some(credentials)
    }

    fn is_finished(&mut self) -> bool {
        self.has_done(|action| *action == Action::Finish)
    }

    fn is_connecting(&mut self) -> bool {
        self.has_done(|action| matches!(action, Action::Connect(_)))
    }

    fn has_done(&mut self, what: impl Fn(&Action) -> bool) -> bool {
        self.actions.extend(self.driver.take_actions());
        self.actions.iter().any(what)
    }

    /// The name of the machine's state.
    fn state(&self) -> String {
        let debug = self.driver.debug();
        let (_, machine) = debug.split_once("Machine {").expect("a session has a machine");
        let (_, state) = machine.split_once("state: ").expect("a machine has a state");
        state.chars().take_while(char::is_ascii_alphabetic).collect()
    }
}

/// The model does not know the challenges.
fn is_same(asked: &Credentials, expected: &Credentials) -> bool {
    match (asked, expected) {
        (
            Credentials::Apop { login, digest, challenge },
            Credentials::Apop { login: other_login, digest: other_digest, .. },
        )
        | (
            Credentials::CramMd5 { login, digest, challenge },
            Credentials::CramMd5 { login: other_login, digest: other_digest, .. },
        ) => login == other_login && digest == other_digest && is_challenge(challenge.as_bytes()),
        (asked, expected) => asked == expected,
    }
}

fn is_challenge(bytes: &[u8]) -> bool {
    bytes.starts_with(b"<") && bytes.ends_with(format!("@{NAME}>").as_bytes())
}

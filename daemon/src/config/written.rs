//! What a configuration says, directive by directive, and where: kept beside the settings that are made of it.

use std::fmt;

use gatepost_protocol::config::Protocol;

use super::directive::{Context, Words};
use super::error::Place;

/// All directives of a configuration, each where it stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) main: Vec<Statement>,
    pub(super) events: Vec<Statement>,
    /// Those of `mail {}`, if there is one.
    pub(super) mail: Option<Vec<Statement>>,
    pub(super) servers: Vec<WrittenServer>,
    /// Known of a configuration without errors.
    pub(super) found: Option<Found>,
}

/// One `server {}`.
#[derive(Clone, Debug)]
pub(super) struct WrittenServer {
    pub(super) place: Place,
    pub(super) statements: Vec<Statement>,
    /// What it came to.
    pub(super) found: Option<FoundServer>,
}

/// Defaults that are in no table.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) pid: String,
    /// The log of the main level that is there besides those written.
    pub(super) error_log: Option<String>,
}

/// What decides about the effect of a server's directives.
#[derive(Clone, Debug)]
pub(super) struct FoundServer {
    pub(super) protocol: Protocol,
    pub(super) name: Box<str>,
    pub(super) has_tls: bool,
    pub(super) has_backend_tls: bool,
    pub(super) has_auth_tls: bool,
    pub(super) has_proxy_protocol: bool,
}

/// One directive as written, without secrets.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) name: String,
    arguments: Vec<String>,
    pub(super) place: Place,
    /// Whether a block follows, which was passed over.
    is_block: bool,
    /// Why it does nothing, if so.
    pub(super) ignored: Option<&'static str>,
}

/// What stands for a secret.
const REDACTED: &str = "REDACTED";

impl Statement {
    pub(super) fn new(words: &Words, is_block: bool, place: Place) -> Self {
        let is_secret = |index: usize| words.name == "auth_http_header" && index > 0;
        let arguments = words.arguments.iter().enumerate().map(|(index, word)| match word.as_str() {
            _ if is_secret(index) => REDACTED.to_owned(),
            data if data.starts_with("data:") => format!("data:{REDACTED}"),
            other => other.to_owned(),
        });
        let name = if words.name == "auth" { "pop3_auth" } else { &words.name };
        Self { name: name.to_owned(), arguments: arguments.collect(), place, is_block, ignored: None }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.arguments.iter().try_for_each(|word| write!(f, " {}", quoted(word)))?;
        f.write_str(if self.is_block { " { ... }" } else { ";" })
    }
}

impl Written {
    /// The directives of the block that is being read.
    pub(super) fn level(&mut self, context: Context) -> &mut Vec<Statement> {
        match (context, self.servers.last_mut()) {
            (Context::Main, _) => &mut self.main,
            (Context::Events, _) => &mut self.events,
            (Context::Server, Some(server)) => &mut server.statements,
            (Context::Mail | Context::Server, _) => self.mail.get_or_insert_default(),
        }
    }
}

/// A word as a file has it: in quotes where it could be taken for something else.
pub(super) fn quoted(word: &str) -> String {
    let is_special = |character: char| {
        character.is_control() || character.is_whitespace() || "\"'\\;{}#".contains(character)
    };
    if !word.is_empty() && !word.contains(is_special) {
        return word.to_owned();
    }
    let mut text = String::from("\"");
    for character in word.chars() {
        match character {
            '"' | '\\' => text.extend(['\\', character]),
            '\n' => text += "\\n",
            '\r' => text += "\\r",
            '\t' => text += "\\t",
            other => text.push(other),
        }
    }
    text + "\""
}

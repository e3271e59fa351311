//! What a log is told, before it has a form.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use gatepost_protocol::event::{LogContext, Stage};

use super::escape;
use super::lines::{Place, quoted};

/// A client's connection, by its number and by what makes the number unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId {
    /// Drawn at random by each master: numbers begin anew with it.
    pub(crate) run: u64,
    /// Counted from 1, those to auth servers and backends included.
    pub(crate) number: u64,
}

/// The session's id: unique over restarts, changes of binaries and machines.
impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.run, self.number)
    }
}

/// One entry of a log. Its texts are of any bytes but for the message, which is one printable line.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(super) message: Cow<'a, str>,
    /// Whose session it is about.
    pub(super) session: Option<Situation<'a>>,
    /// Whether the message alone is the line of text.
    pub(super) is_complete: bool,
    /// What the message says, for programs.
    pub(super) fields: Vec<(&'static str, Value<'a>)>,
    /// What a line of text has at its end, behind all that log filters know.
    pub(super) tail: String,
}

/// What is known of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) stage: Option<Stage>,
    pub(crate) context: &'a LogContext,
    pub(crate) place: Place<'a>,
}

/// What a field may be.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, [u8]>),
    Number(u64),
    Seconds(Duration),
}

impl<'a> Entry<'a> {
    /// A message about a session.
    pub(crate) fn new(message: impl Into<Cow<'a, str>>, session: Situation<'a>) -> Self {
        Self { session: Some(session), ..Self::from(message.into()) }
    }

    /// Adds a field.
    pub(super) fn with(mut self, name: &'static str, value: Value<'a>) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The line of text without its frame, in nginx's shape.
    pub(crate) fn text(&self) -> String {
        let mut line = self.message.to_string();
        if let Some(session) = self.session.as_ref().filter(|_| !self.is_complete) {
            push_context(&mut line, session);
        }
        line.push_str(&self.tail);
        line
    }
}

fn push_context(line: &mut String, Situation { stage, context, place }: &Situation<'_>) {
    if let Some(stage) = stage {
        line.push_str(" while ");
        line.push_str(stage.text());
    }
    line.push_str(", client: ");
    line.push_str(&context.client.to_string());
    if context.starttls {
        line.push_str(" using starttls");
    }
    line.push_str(", server: ");
    line.push_str(place.listen);
    if let Some(login) = context.login.as_deref().filter(|login| !login.is_empty()) {
        line.push_str(", login: ");
        line.push_str(&quoted(login));
    }
    if let Some(upstream) = &context.upstream {
        line.push_str(", upstream: ");
        line.push_str(&escape(upstream.as_bytes()));
    }
}

impl<'a> From<Cow<'a, str>> for Entry<'a> {
    fn from(message: Cow<'a, str>) -> Self {
        Self { message, session: None, is_complete: false, fields: Vec::new(), tail: String::new() }
    }
}

impl<'a> From<&'a str> for Entry<'a> {
    fn from(message: &'a str) -> Self {
        Self::from(Cow::Borrowed(message))
    }
}

impl<'a> From<&'a String> for Entry<'a> {
    fn from(message: &'a String) -> Self {
        Self::from(message.as_str())
    }
}

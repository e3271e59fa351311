//! `error_log_format json`: one object a line, for programs (RFC 8259).

use std::fmt::Write as _;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use gatepost_protocol::address::ClientAddr;
use gatepost_protocol::event::Level;

use super::entry::{ConnectionId, Entry, Situation, Value};
use super::level_name;

/// Bytes that a line may have, its LF included: what a pipe takes from one process without mixing it with another's
/// (`PIPE_BUF`).
const LINE_LIMIT: usize = 4096;
/// Where texts end at the latest, to leave room for the numbers behind them.
const TEXTS_END: usize = LINE_LIMIT - 512;
/// Bytes of the message that are shown, escaped.
const MESSAGE_LIMIT: usize = 1024;
/// Bytes of each other text that are shown, escaped. Login, backend and what a peer has said fit together with the
/// longest message.
const TEXT_LIMIT: usize = 512;
/// What ends an object.
const END: &str = "}\n";

/// The object of one entry, and LF, in no more than [`LINE_LIMIT`] bytes.
pub(super) fn line(
    at: SystemTime,
    level: Level,
    connection: Option<ConnectionId>,
    entry: &Entry<'_>,
) -> String {
    let mut object = Object(String::with_capacity(256));
    object.text("time", rfc3339(at).as_bytes());
    object.text("level", level_name(level).as_bytes());
    object.raw("pid", process::id());
    if let Some(connection) = connection {
        object.raw("connection", connection.number);
        object.text("session", connection.to_string().as_bytes());
    }
    object.text_within(MESSAGE_LIMIT, "message", entry.message.as_bytes());
    if let Some(session) = &entry.session {
        push_session(&mut object, session);
    }
    for (name, value) in &entry.fields {
        match value {
            Value::Text(text) => object.text(name, text),
            Value::Number(number) => object.raw(name, number),
            Value::Seconds(time) => {
                object.raw(name, format_args!("{}.{:03}", time.as_secs(), time.subsec_millis()));
            }
        }
    }
    object.end()
}

fn push_session(object: &mut Object, Situation { stage, context, place }: &Situation<'_>) {
    if let Some(stage) = stage {
        object.text("action", stage.text().as_bytes());
    }
    object.text("client", context.client.to_string().as_bytes());
    if let ClientAddr::Inet(address) = &context.client {
        object.raw("client_port", address.port());
    }
    if context.starttls {
        object.raw("starttls", true);
    }
    object.text("server", place.listen.as_bytes());
    if let Some(login) = context.login.as_deref().filter(|login| !login.is_empty()) {
        object.text("login", login);
    }
    if let Some(upstream) = &context.upstream {
        object.text("upstream", upstream.as_bytes());
    }
}

/// An object that grows, up to its limit.
struct Object(String);

impl Object {
    fn name(&mut self, name: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        let _ = write!(self.0, "\"{name}\":");
    }

    /// A number or a word of JSON.
    fn raw(&mut self, name: &str, value: impl std::fmt::Display) {
        self.member(|object| {
            object.name(name);
            let _ = write!(object.0, "{value}");
        });
    }

    /// Bytes that are not UTF-8 become `\xHH`, as in lines of text.
    fn text(&mut self, name: &str, bytes: &[u8]) {
        self.text_within(TEXT_LIMIT, name, bytes);
    }

    /// As [`text`](Self::text), with another limit.
    fn text_within(&mut self, limit: usize, name: &str, bytes: &[u8]) {
        self.member(|object| {
            object.name(name);
            object.0.push('"');
            object.escaped((object.0.len() + limit).min(TEXTS_END), bytes);
            object.0.push('"');
        });
    }

    /// Writes a member, or nothing where it does not fit.
    fn member(&mut self, write: impl FnOnce(&mut Self)) {
        self.piece(LINE_LIMIT - END.len(), write);
    }

    /// Writes what ends by `end`, whole, or nothing; whether it did.
    fn piece(&mut self, end: usize, write: impl FnOnce(&mut Self)) -> bool {
        let before = self.0.len();
        write(self);
        let fits = self.0.len() <= end;
        if !fits {
            self.0.truncate(before);
        }
        fits
    }

    /// As many of the bytes as end by `end`, without half a character or half an escape.
    fn escaped(&mut self, end: usize, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            let mut characters = chunk.valid().chars();
            let mut strange = chunk.invalid().iter();
            let fits = characters.all(|character| self.piece(end, |object| object.character(character)))
                && strange.all(|byte| self.piece(end, |object| object.strange(*byte)));
            if !fits {
                return;
            }
        }
    }

    fn character(&mut self, character: char) {
        match character {
            '"' | '\\' => self.0.extend(['\\', character]),
            // Besides what must be escaped: what a terminal obeys, and what some take for the end of a line.
            '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(self.0, "\\u{:04x}", u32::from(character));
            }
            _ => self.0.push(character),
        }
    }

    /// A byte that is not UTF-8.
    fn strange(&mut self, byte: u8) {
        let _ = write!(self.0, "\\\\x{byte:02X}");
    }

    fn end(mut self) -> String {
        self.0.push_str(END);
        self.0
    }
}

/// A moment in UTC, to the millisecond (RFC 3339): `2026-11-22T07:35:07.042Z`.
fn rfc3339(at: SystemTime) -> String {
    let passed = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (passed.as_secs() / 86_400, passed.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        passed.subsec_millis()
    )
}

/// Year, month and day of a number of days after 1970-01-01. Years begin in March here, so that a leap day is the last
/// of its year, and come in cycles of 400.
fn civil(days: u64) -> (u64, u64, u64) {
    const CYCLE: u64 = 146_097;
    let days = days + 719_468;
    let (cycle, day) = (days / CYCLE, days % CYCLE);
    let year = (day - day / 1_460 + day / 36_524 - day / (CYCLE - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    (year + 400 * cycle, month, day)
}

#[cfg(test)]
mod tests;

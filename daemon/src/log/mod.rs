//! The error log, in nginx's shape: levels, targets and the frame of a line.
//!
//! A [`Log`] is one effective list of `error_log` directives. What its lines say about a session is in [`lines`].

mod entry;
mod escape;
mod file;
mod json;
pub(crate) mod lines;
mod syslog;

use std::fmt;
use std::io::Write;
use std::process;
use std::rc::Rc;
use std::time::SystemTime;

use gatepost_protocol::event::Level;

pub(crate) use self::entry::{ConnectionId, Entry, Situation};
pub(crate) use self::escape::{escape, one_line};
pub(crate) use self::file::{LogFile, LogFiles};
pub(crate) use self::syslog::Syslog;
use crate::config::LogFormat;
use crate::sys;

/// Bytes that one line of text may have, its LF included.
const LINE_LIMIT: usize = 2048;

/// Where a line goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A file, appended to.
    File(Rc<LogFile>),
    /// Standard error.
    Stderr,
    /// A datagram per line.
    Syslog(Rc<Syslog>),
    /// A function of whoever runs sessions without being a daemon.
    Function(Function),
}

impl Target {
    /// Whether it can take a line now, which a syslog server that reports a loss cannot.
    fn is_able(&self) -> bool {
        match self {
            Self::Syslog(server) => server.is_able(),
            Self::File(_) | Self::Stderr | Self::Function(_) => true,
        }
    }

    /// `line` ends in LF.
    fn write(&self, at: SystemTime, level: Level, line: &str) {
        match self {
            Self::File(file) => file.append(line.as_bytes()),
            Self::Stderr => write_stderr(line),
            Self::Syslog(server) => server.send(at, level, line.trim_end_matches('\n')),
            Self::Function(Function(function)) => function(line.trim_end_matches('\n')),
        }
    }
}

/// Takes lines, without their LF.
#[derive(Clone)]
pub(crate) struct Function(pub(crate) Rc<dyn Fn(&str)>);

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function(..)")
    }
}

/// Where lines go, and as what.
#[derive(Debug, Default)]
struct Outlets {
    format: LogFormat,
    /// Each with the least severe level that goes there.
    targets: Box<[(Level, Target)]>,
}

/// One effective list of logs. Cheap to clone; clones write to the same targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<Outlets>);

impl Log {
    /// Each target takes messages of its level and of the more severe ones, as lines of text.
    pub(crate) fn new(targets: impl IntoIterator<Item = (Level, Target)>) -> Self {
        Self::with_format(LogFormat::Text, targets)
    }

    /// As [`new`](Self::new), with lines in this format.
    pub(crate) fn with_format(format: LogFormat, targets: impl IntoIterator<Item = (Level, Target)>) -> Self {
        Self(Rc::new(Outlets { format, targets: targets.into_iter().collect() }))
    }

    /// Whether any target takes messages of this level: ask before a message is built.
    pub(crate) fn is_enabled(&self, level: Level) -> bool {
        self.0.targets.iter().any(|(threshold, _)| level <= *threshold)
    }

    /// Whether messages of this level go to standard error.
    pub(crate) fn has_stderr(&self, level: Level) -> bool {
        self.0
            .targets
            .iter()
            .any(|(threshold, target)| level <= *threshold && matches!(target, Target::Stderr))
    }

    /// Writes one line. A message that is a text is one line already: values from outside have gone through [`escape`].
    pub(crate) fn write<'a>(
        &self,
        at: SystemTime,
        level: Level,
        connection: Option<ConnectionId>,
        entry: impl Into<Entry<'a>>,
    ) {
        if self.is_enabled(level) {
            let line = self.line(at, level, connection, &entry.into());
            let targets = self.0.targets.iter().filter(|(threshold, _)| level <= *threshold);
            targets.for_each(|(_, target)| target.write(at, level, &line));
        }
    }

    /// [`write`](Self::write) to all targets, whatever their levels (`debug_connection`).
    pub(crate) fn write_to_all(
        &self,
        at: SystemTime,
        level: Level,
        connection: Option<ConnectionId>,
        entry: &Entry<'_>,
    ) {
        let line = self.line(at, level, connection, entry);
        self.0.targets.iter().for_each(|(_, target)| target.write(at, level, &line));
    }

    fn line(
        &self,
        at: SystemTime,
        level: Level,
        connection: Option<ConnectionId>,
        entry: &Entry<'_>,
    ) -> String {
        line(self.0.format, at, level, connection, entry)
    }

    /// [`write`](Self::write), now, for the master, whose clock is the system's.
    pub(crate) fn note(&self, level: Level, message: &str) {
        self.write(sys::wall_clock(), level, None, message);
    }
}

/// One line with its LF.
fn line(
    format: LogFormat,
    at: SystemTime,
    level: Level,
    connection: Option<ConnectionId>,
    entry: &Entry<'_>,
) -> String {
    match format {
        LogFormat::Text => frame(at, level, connection, &entry.text()),
        LogFormat::Json => json::line(at, level, connection, entry),
    }
}

fn write_stderr(line: &str) {
    // Nobody is left to be told that standard error is closed.
    drop(std::io::stderr().write_all(line.as_bytes()));
}

/// `YYYY/MM/DD HH:MM:SS [LEVEL] PID#0: *CID MESSAGE` and LF, cut at the limit.
fn frame(at: SystemTime, level: Level, connection: Option<ConnectionId>, message: &str) -> String {
    let now = sys::local_time(at);
    let mut line = format!(
        "{:04}/{:02}/{:02} {:02}:{:02}:{:02} [{}] {}#0: ",
        now.year,
        now.month,
        now.day,
        now.hour,
        now.minute,
        now.second,
        level_name(level),
        process::id()
    );
    if let Some(ConnectionId { number, .. }) = connection {
        line.push_str(&format!("*{number} "));
    }
    line.push_str(message);
    if line.len() >= LINE_LIMIT {
        let cut = (0..LINE_LIMIT).rev().find(|at| line.is_char_boundary(*at));
        line.truncate(cut.unwrap_or(0));
    }
    line.push('\n');
    line
}

/// The level as `error_log` and the lines spell it.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Emerg => "emerg",
        Level::Alert => "alert",
        Level::Crit => "crit",
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Notice => "notice",
        Level::Info => "info",
        Level::Debug => "debug",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn log_to_file(level: Level) -> (tempfile::TempDir, Log, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("error.log");
        let file = LogFiles::default().open(&path).expect("a new file");
        (folder, Log::new([(level, Target::File(file))]), path)
    }

    #[test]
    fn a_line_has_the_frame() {
        let line = frame(
            SystemTime::UNIX_EPOCH,
            Level::Info,
            Some(ConnectionId { run: 9, number: 7 }),
            "client logged in",
        );
        let (time, rest) = line.split_at(20);
        assert_eq!(rest, format!("[info] {}#0: *7 client logged in\n", process::id()));
        // The zone of the machine decides about the digits, not about the shape.
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(shape, "9999/99/99 99:99:99 ");
        assert!(frame(SystemTime::UNIX_EPOCH, Level::Emerg, None, "x").ends_with("#0: x\n"));
    }

    #[test]
    fn a_line_is_cut_at_its_limit_between_characters() {
        for filler in ["x", "é", "€"] {
            let line = frame(SystemTime::UNIX_EPOCH, Level::Info, None, &filler.repeat(3000));
            assert!(line.len() <= LINE_LIMIT && line.len() > LINE_LIMIT - 4, "{}", line.len());
            assert!(line.ends_with(&format!("{filler}\n")));
        }
    }

    #[test]
    fn each_target_takes_its_level_and_the_more_severe() {
        let (_folder, log, path) = log_to_file(Level::Warn);
        for (level, text) in [(Level::Info, "no"), (Level::Warn, "yes"), (Level::Emerg, "yes, too")] {
            log.note(level, text);
        }
        let written = fs::read_to_string(path).expect("the log");
        let messages: Vec<_> = written.lines().filter_map(|line| line.split_once("#0: ")).collect();
        assert_eq!(messages.iter().map(|(_, text)| *text).collect::<Vec<_>>(), ["yes", "yes, too"]);
        assert!(log.is_enabled(Level::Crit) && !log.is_enabled(Level::Notice));
    }
}

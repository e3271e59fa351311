//! `error_log` (spec/config.md section 8).

use std::path::{Path, PathBuf};

use gatepost_protocol::event::Level;

use super::address::{Address, AddressError, Form};
use super::environment::Environment;
use super::error::Fault;
use crate::runtime::Peer;

const SYSLOG_PORT: u16 = 514;
const LONGEST_TAG: usize = 32;

/// One `error_log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// Where messages go.
    pub to: LogTo,
    /// The least severe level that goes there.
    pub level: Level,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTo {
    /// A file, appended to; absolute.
    File(PathBuf),
    /// Standard error.
    Stderr,
    /// A syslog server.
    Syslog(Syslog),
}

/// `error_log_format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// nginx's lines.
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// The formats by their names.
pub(super) const FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];

/// `syslog:`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// `server=`, the first address of a name.
    pub server: Peer,
    /// The code of `facility=`, 0 to 23.
    pub facility: u8,
    /// `tag=`: up to 32 letters, digits and underscores.
    pub tag: Box<str>,
    /// Unless `nohostname`.
    pub hostname: bool,
}

/// The levels by their names.
const LEVELS: [(&str, Level); 8] = [
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("notice", Level::Notice),
    ("warn", Level::Warn),
    ("error", Level::Error),
    ("crit", Level::Crit),
    ("alert", Level::Alert),
    ("emerg", Level::Emerg),
];

/// Parts of nginx that `debug` can be narrowed to. Here they are all of it.
const DEBUG_PARTS: [&str; 7] =
    ["debug_core", "debug_alloc", "debug_mutex", "debug_event", "debug_http", "debug_mail", "debug_stream"];

/// The facilities by their codes.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "intern", "lpr", "news", "uucp", "clock", "authpriv", "ftp",
    "ntp", "audit", "alert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];
const DEFAULT_FACILITY: u8 = 23;

const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "error", "warn", "notice", "info", "debug"];

/// Reads the arguments of one `error_log`: a target and levels.
pub(super) fn parse(
    arguments: &[String],
    prefix: &Path,
    environment: &dyn Environment,
) -> Result<LogTarget, Fault> {
    let (target, levels) = arguments.split_first().ok_or(Fault::INVALID_VALUE)?;
    // A file without a name is standard error, too.
    let to = if target == "stderr" || target.is_empty() {
        LogTo::Stderr
    } else if target.starts_with("memory:") {
        return Err(Fault::Message("nginx was built without debug support".into()));
    } else if let Some(parameters) = target.strip_prefix("syslog:") {
        LogTo::Syslog(syslog(parameters, environment).map_err(Fault::Message)?)
    } else {
        LogTo::File(super::absolute(prefix, target))
    };
    Ok(LogTarget { to, level: level(levels).map_err(Fault::Message)? })
}

fn level(words: &[String]) -> Result<Level, String> {
    // Either one level or parts of `debug`.
    let (mut level, mut has_part) = (None, false);
    for word in words {
        if DEBUG_PARTS.contains(&word.as_str()) && level.is_none() {
            has_part = true;
            continue;
        }
        let Some((_, found)) = LEVELS.iter().find(|(name, _)| name == word) else {
            return Err(format!("invalid log level \"{word}\""));
        };
        if has_part || level.replace(*found).is_some() {
            return Err(format!("duplicate log level \"{word}\""));
        }
    }
    Ok(if has_part { Level::Debug } else { level.unwrap_or(Level::Error) })
}

fn syslog(parameters: &str, environment: &dyn Environment) -> Result<Syslog, String> {
    let (mut server, mut facility, mut severity, mut tag, mut hostname) = (None, None, None, None, true);
    for parameter in parameters.split(',') {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let is_duplicate = match (name, parameter.contains('=')) {
            ("server", true) => server.replace(syslog_server(value, environment)?).is_some(),
            ("facility", true) => {
                let code = (0..).zip(FACILITIES).find(|(_, name)| *name == value);
                let (code, _) = code.ok_or_else(|| format!("unknown syslog facility \"{value}\""))?;
                facility.replace(code).is_some()
            }
            ("severity", true) => {
                if !SEVERITIES.contains(&value) {
                    return Err(format!("unknown syslog severity \"{value}\""));
                }
                severity.replace(()).is_some()
            }
            ("tag", true) => tag.replace(syslog_tag(value)?).is_some(),
            ("nohostname", false) => {
                hostname = false;
                false
            }
            _ => return Err(format!("unknown syslog parameter \"{parameter}\"")),
        };
        if is_duplicate {
            return Err(format!("duplicate syslog \"{name}\""));
        }
    }
    Ok(Syslog {
        server: server.ok_or("no syslog server specified")?,
        facility: facility.unwrap_or(DEFAULT_FACILITY),
        tag: tag.unwrap_or_else(|| "nginx".into()),
        hostname,
    })
}

fn syslog_server(text: &str, environment: &dyn Environment) -> Result<Peer, String> {
    let resolved =
        Address::parse(text, Form::Server).and_then(|address| address.resolve(SYSLOG_PORT, environment));
    match resolved {
        Ok(peers) => peers.into_iter().next().ok_or(AddressError::NotFound),
        Err(error) => Err(error),
    }
    .map_err(|error| format!("{error} in syslog server \"{text}\""))
}

fn syslog_tag(tag: &str) -> Result<Box<str>, String> {
    if tag.len() > LONGEST_TAG {
        return Err(format!("syslog tag length exceeds {LONGEST_TAG}"));
    }
    if !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err("syslog \"tag\" only allows alphanumeric characters and underscore".into());
    }
    Ok(tag.into())
}

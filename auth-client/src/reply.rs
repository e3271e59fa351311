//! What the response's header lines mean (`spec/auth-http-and-ops.md` sections 4 and 5).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gatepost_protocol::auth::{Accepted, AuthFailure, AuthReply, BackendAddr, Refusal, Target};
use gatepost_protocol::config::ProxySsl;
use gatepost_protocol::secret::Secret;

use crate::body::{self, FramingLines};

/// What `Auth-Wait` is cut down to.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The lines of one response head that matter, gathered in the order they come: of repeated lines the last counts.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// The status line, if there was one.
    pub(crate) status_line: Option<StatusLine>,
    /// The lines that say where the body ends.
    pub(crate) framing: FramingLines,
    /// `Connection: close`.
    pub(crate) close: bool,
    /// `Connection: keep-alive`.
    pub(crate) keep_alive: bool,
    status: StatusSeen,
    server: Option<Vec<u8>>,
    port: Option<Vec<u8>>,
    ssl: Option<Vec<u8>>,
    login: Option<Text>,
    password: Option<Text>,
    wait: Option<Duration>,
    code: Option<Box<str>>,
}

/// The status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatusLine {
    /// The minor version of HTTP/1.
    pub(crate) minor_version: u8,
    /// The status code.
    pub(crate) code: u16,
}

/// The `Auth-Status` lines so far.
#[derive(Debug, Default)]
struct StatusSeen {
    ok: bool,
    wait: bool,
    empty: bool,
    /// The last text other than `OK` and `WAIT`: it counts whatever stands beside it.
    failure: Option<Vec<u8>>,
}

/// `Auth-User` or `Auth-Pass`.
#[derive(Debug)]
struct Text {
    value: Secret,
    /// Whether control bytes had to be taken out: then no backend dialogue may carry it.
    damaged: bool,
}

impl Head {
    /// Takes one header line. `value` has no blanks around it and no control bytes other than HT; `damaged` tells
    /// that there were some.
    pub(crate) fn on_header(&mut self, name: &str, value: &[u8], damaged: bool) -> Result<(), AuthFailure> {
        let Some(field) = Field::from_name(name) else { return Ok(()) };
        match field {
            Field::Status => self.status.on_value(value),
            Field::User => self.login = Some(Text { value: value.into(), damaged }),
            Field::Pass => self.password = Some(Text { value: value.into(), damaged }),
            Field::ErrorCode => self.code = error_code(value),
            // Addresses, numbers and framing must not be what they become by leaving bytes out.
            _ if damaged => return Err(AuthFailure::InvalidHeader),
            Field::Server => self.server = Some(value.to_vec()),
            Field::Port => self.port = Some(value.to_vec()),
            Field::ServerSsl => self.ssl = Some(value.to_vec()),
            Field::Wait => self.wait = seconds(value).or(self.wait),
            Field::Connection => self.on_connection(value),
            Field::ContentLength => self.framing.on_content_length(value),
            Field::TransferEncoding => self.framing.on_transfer_encoding(value),
        }
        Ok(())
    }

    /// Judges the complete head, in the order of section 5.
    pub(crate) fn into_reply(self, needs_password: bool, host_names: bool) -> Result<AuthReply, AuthFailure> {
        if let Some(text) = self.status.failure {
            let login = self.login.filter(|login| !login.damaged).map(|login| login.value.expose().to_vec());
            return Ok(AuthReply::Refused(Refusal { text, code: self.code, wait: self.wait, login }));
        }
        if let Some(StatusLine { code, .. }) = self.status_line
            && !(200..300).contains(&code)
        {
            return Err(AuthFailure::HttpStatus(code));
        }
        if self.status.empty || !(self.status.ok || self.status.wait) {
            return Err(AuthFailure::NoStatus);
        }
        if self.status.wait {
            return Ok(AuthReply::Wait(self.wait.unwrap_or_default()));
        }
        self.into_accepted(needs_password, host_names).map(AuthReply::Accepted)
    }

    fn into_accepted(self, needs_password: bool, host_names: bool) -> Result<Accepted, AuthFailure> {
        let (Some(server), Some(port)) = (filled(self.server), filled(self.port)) else {
            return Err(AuthFailure::NoServerOrPort);
        };
        if needs_password && self.password.is_none() {
            return Err(AuthFailure::NoPassword);
        }
        let backend = backend(server, port, host_names)?;
        let ssl = self.ssl.map(ssl).transpose()?;
        if [&self.login, &self.password].into_iter().flatten().any(|text| text.damaged) {
            return Err(AuthFailure::InvalidCredentials);
        }
        Ok(Accepted {
            backend,
            ssl,
            login: self.login.map(|login| login.value.expose().to_vec()),
            password: self.password.map(|password| password.value),
        })
    }

    fn on_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

impl StatusSeen {
    fn on_value(&mut self, value: &[u8]) {
        match value {
            b"OK" => self.ok = true,
            b"WAIT" => self.wait = true,
            _ => {
                // The text goes to the client within one reply line.
                let text: Vec<u8> = value.iter().copied().filter(|byte| !byte.is_ascii_control()).collect();
                match text.trim_ascii() {
                    b"" => self.empty = true,
                    text => self.failure = Some(text.to_vec()),
                }
            }
        }
    }
}

/// The header names we know.
#[derive(Clone, Copy)]
enum Field {
    Status,
    Server,
    Port,
    ServerSsl,
    User,
    Pass,
    Wait,
    ErrorCode,
    Connection,
    ContentLength,
    TransferEncoding,
}

impl Field {
    fn from_name(name: &str) -> Option<Self> {
        let known = FIELDS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        known.map(|(_, field)| *field)
    }
}

const FIELDS: [(&str, Field); 11] = [
    ("Auth-Status", Field::Status),
    ("Auth-Server", Field::Server),
    ("Auth-Port", Field::Port),
    ("Auth-Server-SSL", Field::ServerSsl),
    ("Auth-User", Field::User),
    ("Auth-Pass", Field::Pass),
    ("Auth-Wait", Field::Wait),
    ("Auth-Error-Code", Field::ErrorCode),
    ("Connection", Field::Connection),
    ("Content-Length", Field::ContentLength),
    ("Transfer-Encoding", Field::TransferEncoding),
];

fn filled(value: Option<Vec<u8>>) -> Option<Vec<u8>> {
    value.filter(|value| !value.is_empty())
}

/// Digits only; anything else is as if the line were not there.
fn seconds(value: &[u8]) -> Option<Duration> {
    body::decimal(value).map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// An IPv4 or IPv6 address, the latter also in brackets, without a zone, or with `host_names` a name; and a port from
/// 1 to 65535.
fn backend(server: Vec<u8>, port: Vec<u8>, host_names: bool) -> Result<BackendAddr, AuthFailure> {
    let Some((host, server)) = host(&server, host_names) else {
        return Err(AuthFailure::InvalidServer(server));
    };
    let number = body::decimal(&port).and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0);
    let (Some(number), Ok(port)) = (number, str::from_utf8(&port)) else {
        return Err(AuthFailure::InvalidPort(port));
    };
    let target = match host {
        Host::Ip(ip) => Target::Address(SocketAddr::new(ip, number)),
        Host::Name(host) => Target::Name { host: host.into(), port: number },
    };
    Ok(BackendAddr { target, name: format!("{server}:{port}").into() })
}

/// The words of `proxy_ssl`, in any case as there. Nothing else will do, or a login could go out in clear by a typing error.
fn ssl(value: Vec<u8>) -> Result<ProxySsl, AuthFailure> {
    let words = [("off", ProxySsl::Off), ("on", ProxySsl::On), ("starttls", ProxySsl::StartTls)];
    let known = words.iter().find(|(word, _)| value.eq_ignore_ascii_case(word.as_bytes()));
    known.map(|(_, ssl)| *ssl).ok_or(AuthFailure::InvalidServerSsl(value))
}

enum Host<'a> {
    Ip(IpAddr),
    Name(&'a str),
}

/// The host, and the whole text.
fn host(server: &[u8], host_names: bool) -> Option<(Host<'_>, &str)> {
    let text = str::from_utf8(server).ok()?;
    let host = match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => Host::Ip(IpAddr::V6(inner.parse().ok()?)),
        None => match text.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) if host_names && is_host_name(text) => Host::Name(text),
            Err(_) => return None,
        },
    };
    Some((host, text))
}

/// A name by RFC 1123 section 2.1, with `_` besides. One that ends in a number would be a misspelt address.
fn is_host_name(text: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_name_byte);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let mut labels = text.rsplit('.');
    text.len() <= 253 && labels.clone().all(is_label) && labels.next().is_some_and(|last| !is_number(last))
}

/// `ddd` or `ddd d.d.d` (RFC 3463 section 2) of a failure. Anything else would be no failure reply to the client,
/// and is as if the line were not there.
fn error_code(value: &[u8]) -> Option<Box<str>> {
    let text = str::from_utf8(value).ok()?;
    let (code, enhanced) = match text.split_once(' ') {
        Some((code, enhanced)) => (code, Some(enhanced)),
        None => (text, None),
    };
    let is_number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_failure = |text: &str| text.starts_with(['4', '5']);
    if !is_number(code, 3..=3) || !is_failure(code) {
        return None;
    }
    if let Some(enhanced) = enhanced {
        let mut parts = enhanced.splitn(3, '.');
        let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
        let is_valid = is_number(class, 1..=1)
            && is_failure(class)
            && is_number(subject, 1..=3)
            && is_number(detail, 1..=3);
        if !is_valid {
            return None;
        }
    }
    Some(text.into())
}

//! SASL exchanges: which messages make a login.

use gatepost_protocol::auth::Credentials;
use gatepost_protocol::sasl::{Mechanism, Mechanisms};
use gatepost_protocol::secret::Secret;

use super::{ends_lines, strip_trailing_spaces};

/// Waits for a response; LOGIN keeps the name it was told.
#[derive(Debug)]
pub(super) struct Exchange {
    mechanism: &'static str,
    login: Option<Vec<u8>>,
}

#[derive(Debug)]
pub(super) enum Progress {
    /// The server sends this text, in base64 already.
    Prompt(Exchange, &'static str),
    Done(Credentials),
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Cancelled,
    Base64,
    Response,
    InitialResponse,
}

/// PLAIN and LOGIN always work, the others if they are offered.
pub(super) fn find(name: &[u8], offered: Mechanisms) -> Option<&'static str> {
    match &*String::from_utf8_lossy(name).to_ascii_uppercase() {
        "PLAIN" => Some("PLAIN"),
        "LOGIN" => Some("LOGIN"),
        "CRAM-MD5" if offered.contains(Mechanism::CramMd5) => Some("CRAM-MD5"),
        "EXTERNAL" if offered.contains(Mechanism::External) => Some("EXTERNAL"),
        _ => None,
    }
}

pub(super) fn begin(mechanism: &'static str, initial_response: Option<&[u8]>) -> Progress {
    let exchange = Exchange { mechanism, login: None };
    match (mechanism, initial_response) {
        ("CRAM-MD5", Some(_)) => Progress::Failed(Failure::InitialResponse),
        ("CRAM-MD5", None) => Progress::Prompt(exchange, "[challenge]"),
        ("PLAIN", None) => Progress::Prompt(exchange, ""),
        (_, None) => Progress::Prompt(exchange, "VXNlcm5hbWU6"),
        (_, Some(b"=")) => exchange.on_text(b""),
        (_, Some(text)) => exchange.on_text(text),
    }
}

impl Exchange {
    pub(super) fn on_line(self, line: &[u8]) -> Progress {
        match strip_trailing_spaces(line) {
            b"*" => Progress::Failed(Failure::Cancelled),
            text => self.on_text(text),
        }
    }

    fn on_text(self, text: &[u8]) -> Progress {
        let Some(message) = decode(text) else { return Progress::Failed(Failure::Base64) };
        let credentials = match (self.mechanism, self.login) {
            ("LOGIN", None) if is_login(&message) => {
                let exchange = Self { mechanism: "LOGIN", login: Some(message) };
                return Progress::Prompt(exchange, "UGFzc3dvcmQ6");
            }
            ("LOGIN", Some(login)) if !ends_lines(&message) => Some(plain(&login, &message)),
            ("PLAIN", _) => read_plain(&message),
            ("CRAM-MD5", _) => read_cram_md5(&message),
            ("EXTERNAL", _) if !ends_lines(&message) => Some(Credentials::External { login: message }),
            _ => None,
        };
        credentials.map_or(Progress::Failed(Failure::Response), Progress::Done)
    }
}

fn is_login(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !ends_lines(bytes)
}

pub(super) fn plain(login: &[u8], password: &[u8]) -> Credentials {
    Credentials::Plain { login: login.to_vec(), password: Secret::from(password) }
}

fn read_plain(message: &[u8]) -> Option<Credentials> {
    let parts: Vec<&[u8]> = message.split(|&byte| byte == 0).collect();
    match parts[..] {
        [identity, login, password] if identity.is_empty() || identity == login => {
            (is_login(login) && !ends_lines(password)).then(|| plain(login, password))
        }
        _ => None,
    }
}

fn read_cram_md5(message: &[u8]) -> Option<Credentials> {
    let digest_at = message.len().checked_sub(32)?;
    let (login, digest) = message.split_at(digest_at);
    let login = login.strip_suffix(b" ")?;
    let is_digest = digest.iter().all(u8::is_ascii_hexdigit);
    (is_login(login) && is_digest).then(|| Credentials::CramMd5 {
        login: login.to_vec(),
        digest: Secret::from(digest),
        challenge: "<challenge>".into(),
    })
}

/// Base64 with all of its padding or none of it, where the bits behind the last byte are zero (RFC 4648).
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let padding = text.iter().rev().take_while(|&&byte| byte == b'=').count();
    let digits = &text[..text.len() - padding];
    let missing = (4 - digits.len() % 4) % 4;
    if missing == 3 || (padding != 0 && padding != missing) {
        return None;
    }
    let mut bits = 0_u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for digit in digits {
        let value = DIGITS.iter().position(|candidate| candidate == digit)?;
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

//! SASL exchanges, beside a second reading of what the messages mean.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::Protocol;
use gatepost_protocol::sasl::Mechanism;
use gatepost_protocol::secret::Secret;

use crate::dialogue::{Dialogue, has_line_end};

/// An exchange. The first byte chooses: two bits the protocol, two the mechanism, one whether the first line is an
/// initial response; the lines behind it are the client's.
pub fn sasl(data: &[u8]) {
    let Some((choice, lines)) = data.split_first() else { return };
    let protocol = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp, Protocol::Smtp][usize::from(choice & 3)];
    let mechanism = MECHANISMS[usize::from(choice >> 2 & 3)];
    let mut lines = lines.split(|&byte| byte == b'\n').filter(|line| line.len() <= LONGEST);
    let initial = if choice & 16 == 0 { None } else { lines.next().filter(|word| is_plain_word(word)) };

    let mut dialogue = Dialogue::open(protocol, b"");
    if protocol == Protocol::Smtp {
        dialogue.say(b"EHLO client.example\r\n");
    }
    let command = if protocol == Protocol::Imap { "a AUTHENTICATE " } else { "AUTH " };
    let mut said = [command.as_bytes(), mechanism.name().as_bytes()].concat();
    let mut state = match initial {
        None => Reading::Waits(Vec::new()),
        Some(_) if mechanism == Mechanism::CramMd5 => Reading::Refused,
        Some(b"=") => read(mechanism, Vec::new(), b""),
        Some(word) => read(mechanism, Vec::new(), word),
    };
    if let Some(word) = initial {
        said.push(b' ');
        said.extend_from_slice(word);
    }
    loop {
        said.extend_from_slice(b"\r\n");
        let answer = dialogue.say(&said);
        let is_prompted = answer.reply.starts_with(b"+ ") || answer.reply.starts_with(b"334 ");
        match state {
            Reading::Refused => {
                assert!(!is_prompted && answer.asked.is_empty(), "{}", said.escape_ascii());
                return;
            }
            Reading::Done(expected) => {
                let [asked] = &answer.asked[..] else { panic!("not asked: {}", said.escape_ascii()) };
                assert!(is_same(asked, &expected), "{asked:?} is not {expected:?}");
                return;
            }
            Reading::Waits(heard) => {
                assert!(is_prompted && answer.asked.is_empty(), "{}", said.escape_ascii());
                let Some(line) = lines.next() else { return };
                // Only one CR belongs to the line's end.
                said = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                let spaces = said.iter().rev().take_while(|&&byte| byte == b' ').count();
                state = match &said[..said.len() - spaces] {
                    b"*" => Reading::Refused,
                    text => read(mechanism, heard, text),
                };
            }
        }
    }
}

/// What a server makes of the client's messages so far.
pub(crate) enum Reading {
    /// It prompts; there is what it heard before.
    Waits(Vec<Vec<u8>>),
    Done(Credentials),
    Refused,
}

/// Reads one base64 text, behind others.
pub(crate) fn read(mechanism: Mechanism, mut heard: Vec<Vec<u8>>, text: &[u8]) -> Reading {
    match decode(text) {
        None => Reading::Refused,
        Some(message) => {
            heard.push(message);
            judge(mechanism, heard)
        }
    }
}

/// Padding is all there or not at all.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let engine = if text.contains(&b'=') { &STANDARD } else { &STANDARD_NO_PAD };
    engine.decode(text).ok()
}

/// Reads decoded messages: RFC 4616, draft-murchison-sasl-login, RFC 2195, RFC 4422 appendix A.
pub(crate) fn judge(mechanism: Mechanism, mut heard: Vec<Vec<u8>>) -> Reading {
    let credentials = match (mechanism, heard.as_slice()) {
        (Mechanism::Plain, [message]) => plain(message),
        (Mechanism::Login, [login]) if is_login(login) => return Reading::Waits(heard),
        (Mechanism::Login, [_]) => None,
        (Mechanism::Login, [login, password]) => (!has_line_end(password)).then(|| Credentials::Plain {
            login: login.clone(),
            password: Secret::from(password.as_slice()),
        }),
        (Mechanism::CramMd5, [message]) => cram_md5(message),
        (Mechanism::External, [login]) => {
            (!has_line_end(login)).then(|| Credentials::External { login: std::mem::take(&mut heard[0]) })
        }
        (_, others) => unreachable!("{} messages", others.len()),
    };
    credentials.map_or(Reading::Refused, Reading::Done)
}

/// An authorization identity is absent or the login itself.
fn plain(message: &[u8]) -> Option<Credentials> {
    let fields: Vec<&[u8]> = message.split(|&byte| byte == 0).collect();
    let [identity, login, password] = fields[..] else { return None };
    let is_other = !identity.is_empty() && identity != login;
    (!is_other && is_login(login) && !has_line_end(password))
        .then(|| Credentials::Plain { login: login.to_vec(), password: Secret::from(password) })
}

fn cram_md5(message: &[u8]) -> Option<Credentials> {
    let space = message.iter().rposition(|&byte| byte == b' ')?;
    let (login, digest) = (&message[..space], &message[space + 1..]);
    let is_digest = digest.len() == 32 && digest.iter().all(u8::is_ascii_hexdigit);
    (is_login(login) && is_digest).then(|| Credentials::CramMd5 {
        login: login.to_vec(),
        digest: Secret::from(digest),
        challenge: Box::default(),
    })
}

fn is_login(login: &[u8]) -> bool {
    !login.is_empty() && !has_line_end(login)
}

/// Nobody but the session knows the challenge.
pub(crate) fn is_same(asked: &Credentials, expected: &Credentials) -> bool {
    match (asked, expected) {
        (
            Credentials::CramMd5 { login, digest, challenge },
            Credentials::CramMd5 { login: expected, digest: expected_digest, .. },
        ) => login == expected && digest == expected_digest && challenge.ends_with("@mx.example>"),
        (asked, expected) => asked == expected,
    }
}

/// What three grammars take for one argument, as it is.
fn is_plain_word(word: &&[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_graphic) && !matches!(word[0], b'"' | b'{')
}

/// The mechanisms that all servers here accept.
pub(crate) const MECHANISMS: [Mechanism; 4] =
    [Mechanism::Plain, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];

/// Bytes of a line that fits every buffer.
const LONGEST: usize = 400;

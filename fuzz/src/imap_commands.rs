//! IMAP commands, beside `imap-codec`'s reading of them.

use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::Protocol;
use gatepost_protocol::sasl::Mechanism;
use gatepost_protocol::secret::Secret;
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder as _;
use imap_codec::imap_types::auth::AuthMechanism;
use imap_codec::imap_types::command::{Command, CommandBody};

use crate::dialogue::{Dialogue, has_line_end, lines, say_all};
use crate::sasl::{self, Reading};
use crate::settings::BUFFER;

/// What a client says before its login. Every reply is one of the grammar; and what `imap-codec` accepts means the same
/// here, command by command, each in a session of its own.
///
/// The two may differ, and are not compared, where
/// - `imap-codec` refuses: careless atoms, several spaces, bare LF, SASL without padding and so on are let in here, for
///   clients send them;
/// - the command is over a limit (64 bytes of tag, `imap_client_buffer`), or looks like HTTP;
/// - a space without anything ends AUTHENTICATE: here it is nothing, there an empty initial response.
pub fn imap_commands(data: &[u8]) {
    let answer = say_all(Protocol::Imap, b"", data);
    lines(&answer.reply).for_each(|line| assert_reply(line, data));
    let mut rest = data;
    for _ in 0..MOST_COMMANDS {
        rest = match CommandCodec::default().decode(rest) {
            Ok((next, command)) => {
                compare(&rest[..rest.len() - next.len()], &command);
                next
            }
            Err(_) => match rest.iter().position(|&byte| byte == b'\n') {
                Some(end) => &rest[end + 1..],
                None => return,
            },
        };
    }
}

/// Tagged with a tag of the client's, untagged, or a continuation request.
fn assert_reply(line: &[u8], said: &[u8]) {
    let word = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    let is_tag = said.windows(word.len().max(1)).any(|window| window == word);
    assert!(word == b"*" || word == b"+" || is_tag, "{}", line.escape_ascii());
    assert!(line.len() > word.len() + 1 && line.ends_with(b"\r\n"), "{}", line.escape_ascii());
    assert!(!line[..line.len() - 2].iter().any(u8::is_ascii_control), "{}", line.escape_ascii());
}

fn compare(bytes: &[u8], command: &Command<'_>) {
    let tag: &str = command.tag.as_ref();
    let first = lines(bytes).next().unwrap_or_default();
    if tag.len() > 64 || bytes.len() > BUFFER || first.windows(5).any(|window| window == b"HTTP/") {
        return;
    }
    let answer = Dialogue::open(Protocol::Imap, b"").say(bytes);
    let reply = String::from_utf8_lossy(&answer.reply);
    let is_bad = reply.contains(&format!("{tag} BAD "));
    let expected = match &command.body {
        CommandBody::Noop | CommandBody::Capability => {
            assert!(reply.ends_with(&format!("{tag} OK completed\r\n")), "{reply}");
            return;
        }
        CommandBody::Logout => {
            assert!(answer.is_over && reply == format!("* BYE\r\n{tag} OK completed\r\n"), "{reply}");
            return;
        }
        CommandBody::Login { username, password } => {
            let password = password.declassify().as_ref();
            login(username.as_ref(), password)
        }
        CommandBody::Authenticate { mechanism, initial_response: None } => {
            let is_known = find(mechanism).is_some();
            assert_eq!(is_known, reply.starts_with("+ "), "{reply}");
            assert_eq!(is_known, !is_bad, "{reply}");
            return;
        }
        CommandBody::Authenticate { mechanism, initial_response: Some(response) } => {
            let response = response.declassify();
            if response.is_empty() && !first.ends_with(b" =\r\n") {
                return;
            }
            match find(mechanism) {
                None | Some(Mechanism::CramMd5) => Reading::Refused,
                Some(mechanism) => sasl::judge(mechanism, vec![response.to_vec()]),
            }
        }
        // Among them STARTTLS, which this server does not offer.
        _ => Reading::Refused,
    };
    match expected {
        Reading::Done(expected) => {
            let [asked] = &answer.asked[..] else { panic!("not asked: {}", bytes.escape_ascii()) };
            assert!(sasl::is_same(asked, &expected), "{asked:?} is not {expected:?}");
        }
        Reading::Waits(_) => assert!(reply.ends_with("+ UGFzc3dvcmQ6\r\n"), "{reply}"),
        Reading::Refused => assert!(is_bad && answer.asked.is_empty(), "{}: {reply}", bytes.escape_ascii()),
    }
}

fn find(mechanism: &AuthMechanism<'_>) -> Option<Mechanism> {
    Mechanism::from_name(mechanism.to_string().as_bytes())
}

fn login(login: &[u8], password: &[u8]) -> Reading {
    if login.is_empty() || has_line_end(login) || has_line_end(password) {
        return Reading::Refused;
    }
    Reading::Done(Credentials::Plain { login: login.to_vec(), password: Secret::from(password) })
}

const MOST_COMMANDS: usize = 16;

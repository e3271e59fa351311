//! SMTP commands, beside `smtp-proto`'s reading of them.

use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::Protocol;
use gatepost_protocol::sasl::Mechanism;
use smtp_proto::{AUTH_CRAM_MD5, AUTH_EXTERNAL, AUTH_LOGIN, AUTH_PLAIN, Request};

use crate::dialogue::{Answer, Dialogue, lines, say_all};
use crate::sasl::{self, Reading};
use crate::settings::BUFFER;

/// What a client says before its login. Every reply is one of the grammar; and what both `smtp-proto` and the session
/// accept means the same, line by line, each in a session of its own.
///
/// The two may differ, and are not compared, where
/// - one of them refuses. Here a control byte, bare CR or a twelfth argument makes a line malformed, and a second
///   argument of HELO is an error; there, addresses are read to the end, while a backend will do that for us;
/// - an address is quoted or not ASCII: there it is decoded, here it goes on as it is;
/// - the line is over `smtp_client_buffer`, or looks like HTTP.
pub fn smtp_commands(data: &[u8]) {
    let answer = say_all(Protocol::Smtp, b"n", data);
    lines(&answer.reply).for_each(assert_reply);
    for line in lines(data).filter(|line| line.ends_with(b"\n")).take(MOST_COMMANDS) {
        if line.len() > BUFFER || line.windows(5).any(|window| window == b"HTTP/") {
            continue;
        }
        if let Ok(request) = Request::parse(&mut line.iter()) {
            compare(line, &request);
        }
    }
}

/// Three digits, a space or a dash, printable text.
fn assert_reply(line: &[u8]) {
    let is_code = line.len() >= 6 && line[..3].iter().all(u8::is_ascii_digit) && b" -".contains(&line[3]);
    let text = line.strip_suffix(b"\r\n").unwrap_or(b"\n");
    assert!(is_code && !text.iter().any(u8::is_ascii_control), "{}", line.escape_ascii());
}

fn compare<T: AsRef<str>>(line: &[u8], request: &Request<T>) {
    let mut dialogue = Dialogue::open(Protocol::Smtp, b"n");
    match request {
        Request::Ehlo { host } | Request::Helo { host } => {
            if is_code(&dialogue.say(line), b"250") {
                dialogue.say(b"MAIL FROM:<a@b>\r\n");
                let answer = dialogue.say(b"RCPT TO:<c@d>\r\n");
                assert_eq!(envelope(&answer).helo, host.as_ref().as_bytes());
            }
        }
        Request::Mail { from } => {
            if is_code(&dialogue.say(line), b"250") {
                let answer = dialogue.say(b"RCPT TO:<c@d>\r\n");
                assert_path(&envelope(&answer).mail, line, from.address.as_ref());
            }
        }
        Request::Rcpt { to } => {
            dialogue.say(b"MAIL FROM:<a@b>\r\n");
            let answer = dialogue.say(line);
            if !answer.asked.is_empty() {
                assert_path(&envelope(&answer).rcpt, line, to.address.as_ref());
            }
        }
        Request::Auth { mechanism, initial_response } => {
            dialogue.say(b"EHLO x\r\n");
            compare_auth(line, *mechanism, initial_response.as_ref(), &dialogue.say(line));
        }
        request => {
            let expected = code(request);
            let answer = dialogue.say(line);
            // A malformed line is no command at all, and STARTTLS is not offered.
            let is_expected = is_code(&answer, expected) || is_code(&answer, b"500");
            assert!(is_expected, "{}: {answer:?}", line.escape_ascii());
            assert_eq!(answer.is_over, is_code(&answer, b"221"));
        }
    }
}

fn compare_auth(line: &[u8], mechanism: u64, response: &str, answer: &Answer) {
    if is_code(answer, b"500") || is_code(answer, b"501") && answer.reply.starts_with(b"501 5.5.4") {
        return;
    }
    let mechanism = match mechanism {
        AUTH_PLAIN => Mechanism::Plain,
        AUTH_LOGIN => Mechanism::Login,
        AUTH_CRAM_MD5 => Mechanism::CramMd5,
        AUTH_EXTERNAL => Mechanism::External,
        _ => return assert!(is_code(answer, b"504"), "{answer:?}"),
    };
    let expected = match response {
        "" => Reading::Waits(Vec::new()),
        _ if mechanism == Mechanism::CramMd5 => Reading::Refused,
        "=" => sasl::read(mechanism, Vec::new(), b""),
        response => sasl::read(mechanism, Vec::new(), response.as_bytes()),
    };
    match expected {
        Reading::Waits(_) => assert!(is_code(answer, b"334"), "{}: {answer:?}", line.escape_ascii()),
        Reading::Refused => assert!(is_code(answer, b"501"), "{}: {answer:?}", line.escape_ascii()),
        Reading::Done(expected) => {
            let [asked] = &answer.asked[..] else { panic!("not asked: {}", line.escape_ascii()) };
            assert!(sasl::is_same(asked, &expected), "{asked:?} is not {expected:?}");
        }
    }
}

/// The reply to a command whose argument means nothing.
fn code<T>(request: &Request<T>) -> &'static [u8] {
    match request {
        Request::Noop { .. } | Request::Rset => b"250",
        Request::Vrfy { .. } => b"252",
        Request::Expn { .. } => b"502",
        Request::Help { .. } => b"214",
        Request::Quit => b"221",
        _ => b"500",
    }
}

fn is_code(answer: &Answer, code: &[u8]) -> bool {
    answer.reply.starts_with(code)
}

fn envelope(answer: &Answer) -> &gatepost_protocol::auth::Envelope {
    match answer.asked.first().map(std::ops::Deref::deref) {
        Some(Credentials::Envelope(envelope)) => envelope,
        other => panic!("no envelope: {other:?}"),
    }
}

/// The line goes on as typed, so what was read there must stand in it.
fn assert_path(sent: &[u8], line: &[u8], address: &str) {
    assert!(line.starts_with(sent), "{}", sent.escape_ascii());
    let is_decoded = line.iter().any(|byte| b"\"\\".contains(byte) || !byte.is_ascii());
    let holds = sent.windows(address.len().max(1)).any(|window| window == address.as_bytes());
    assert!(holds || is_decoded || address.is_empty(), "{} lacks {address}", sent.escape_ascii());
}

const MOST_COMMANDS: usize = 16;

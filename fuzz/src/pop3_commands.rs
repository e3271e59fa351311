//! POP3 commands.

use gatepost_protocol::auth::Credentials;
use gatepost_protocol::config::Protocol;
use gatepost_protocol::secret::Secret;

use crate::dialogue::{Dialogue, lines, say_all};

/// What a client says before its login. Every line has one reply of the grammar; and USER and PASS in a row, if they are
/// accepted, ask about all that stands behind them.
pub fn pop3_commands(data: &[u8]) {
    let answer = say_all(Protocol::Pop3, b"", data);
    assert_replies(&answer.reply);
    let mut dialogue = Dialogue::open(Protocol::Pop3, b"");
    let mut login = None;
    for line in lines(data).filter(|line| line.ends_with(b"\n")).take(MOST_COMMANDS) {
        let answer = dialogue.say(line);
        if !answer.is_over {
            assert_eq!(assert_replies(&answer.reply), 1, "{}", line.escape_ascii());
        }
        let is_greeted = answer.reply.starts_with(b"+OK");
        if let ([asked], Some(password)) = (&answer.asked[..], argument(line, b"PASS"))
            && let Some(login) = login
            && matches!(&**asked, Credentials::Plain { .. })
        {
            let password = Secret::from(password);
            assert_eq!(**asked, Credentials::Plain { login, password });
        }
        if answer.is_over || !answer.asked.is_empty() {
            return;
        }
        login = argument(line, b"USER").filter(|_| is_greeted).map(<[u8]>::to_vec);
    }
}

/// All behind a verb and its spaces.
fn argument<'a>(line: &'a [u8], verb: &[u8]) -> Option<&'a [u8]> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (word, rest) = line.split_at_checked(verb.len())?;
    let spaces = rest.iter().take_while(|&&byte| byte == b' ').count();
    (word.eq_ignore_ascii_case(verb) && spaces > 0).then(|| &rest[spaces..])
}

/// Counts replies: lines that begin `+OK`, `-ERR` or `+ `, where the two lists end in a line with a dot.
fn assert_replies(replies: &[u8]) -> usize {
    let mut count = 0;
    let mut is_in_list = false;
    for line in lines(replies) {
        assert!(line.ends_with(b"\r\n") && !line[..line.len() - 2].iter().any(u8::is_ascii_control));
        if is_in_list {
            is_in_list = line != b".\r\n";
            continue;
        }
        let is_reply = [&b"+OK"[..], b"-ERR ", b"+ "].iter().any(|start| line.starts_with(start));
        assert!(is_reply, "{}", line.escape_ascii());
        is_in_list = line.ends_with(b" follows\r\n") || line.ends_with(b" supported:\r\n");
        count += 1;
    }
    assert!(!is_in_list, "a list without an end");
    count
}

const MOST_COMMANDS: usize = 16;

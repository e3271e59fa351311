//! The POP3 backend (RFC 1939, RFC 2449).

use std::collections::BTreeSet;
use std::io;

use super::mailbox::{Mailboxes, Message, User};
use super::peer::Peer;

/// Serves one connection until QUIT.
pub(super) fn session(peer: &mut Peer, mail: &Mailboxes) -> io::Result<()> {
    peer.reply("+OK gatepost demo");
    let Some(user) = log_in(peer)? else { return Ok(()) };
    let mut maildrop = Maildrop { messages: mail.messages(user), deleted: BTreeSet::new() };
    loop {
        let line = peer.line()?;
        let (verb, argument) = split(&line);
        match verb.as_str() {
            "QUIT" => break,
            "CAPA" => capabilities(peer),
            _ => maildrop.on_command(peer, &verb, argument),
        }
    }
    mail.remove(user, |message| maildrop.deleted.contains(&message.uid));
    peer.reply("+OK bye");
    Ok(())
}

/// The AUTHORIZATION state; `None` after QUIT.
fn log_in(peer: &mut Peer) -> io::Result<Option<User>> {
    let mut login = None;
    loop {
        let line = peer.line()?;
        // A password may hold blanks: everything behind the first one.
        let (verb, argument) = split(&line);
        match verb.as_str() {
            "QUIT" => {
                peer.reply("+OK bye");
                return Ok(None);
            }
            "CAPA" => capabilities(peer),
            "NOOP" => peer.reply("+OK"),
            "USER" => {
                login = Some(argument.to_vec());
                peer.reply("+OK");
            }
            "PASS" => match login.take().and_then(|login| User::authenticate(&login, argument)) {
                Some(user) => {
                    peer.reply("+OK logged in");
                    return Ok(Some(user));
                }
                None => peer.reply("-ERR [AUTH] invalid login or password"),
            },
            _ => peer.reply("-ERR invalid command"),
        }
    }
}

/// What the TRANSACTION state works on: message numbers are places in `messages`.
struct Maildrop {
    messages: Vec<Message>,
    deleted: BTreeSet<u32>,
}

impl Maildrop {
    fn on_command(&mut self, peer: &mut Peer, verb: &str, argument: &[u8]) {
        let mut numbers = argument.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).map(number);
        let (first, second) = (numbers.next(), numbers.next());
        match (verb, first, second) {
            ("NOOP", None, None) => peer.reply("+OK"),
            ("STAT", None, None) => {
                let (count, bytes) = self
                    .present()
                    .fold((0, 0), |(count, bytes), (_, message)| (count + 1, bytes + message.content.len()));
                peer.reply(format!("+OK {count} {bytes}"));
            }
            ("RSET", None, None) => {
                self.deleted.clear();
                peer.reply("+OK");
            }
            ("LIST", number, None) => self.list(peer, number, |message| message.content.len().to_string()),
            ("UIDL", number, None) => self.list(peer, number, |message| format!("demo-{}", message.uid)),
            ("RETR", Some(number), None) => self.retrieve(peer, number, usize::MAX),
            ("TOP", Some(number), Some(Some(lines))) => self.retrieve(peer, number, lines),
            ("DELE", Some(number), None) => match self.message(number).map(|message| message.uid) {
                Some(uid) => {
                    self.deleted.insert(uid);
                    peer.reply("+OK");
                }
                None => peer.reply(NO_MESSAGE),
            },
            _ => peer.reply("-ERR invalid command"),
        }
    }

    /// The messages not marked as deleted, with their numbers.
    fn present(&self) -> impl Iterator<Item = (usize, &Message)> {
        self.messages
            .iter()
            .enumerate()
            .map(|(at, message)| (at + 1, message))
            .filter(|(_, message)| !self.deleted.contains(&message.uid))
    }

    fn message(&self, number: Option<usize>) -> Option<&Message> {
        self.present().find(|(present, _)| Some(*present) == number).map(|(_, message)| message)
    }

    /// LIST and UIDL, of one message or all.
    fn list(&self, peer: &mut Peer, number: Option<Option<usize>>, describe: impl Fn(&Message) -> String) {
        match number {
            Some(number) => match (number, self.message(number)) {
                (Some(number), Some(message)) => peer.reply(format!("+OK {number} {}", describe(message))),
                _ => peer.reply(NO_MESSAGE),
            },
            None => {
                peer.reply("+OK");
                for (number, message) in self.present() {
                    peer.reply(format!("{number} {}", describe(message)));
                }
                peer.reply(".");
            }
        }
    }

    /// RETR and TOP: the header, the blank line and up to `lines` lines of the body.
    fn retrieve(&self, peer: &mut Peer, number: Option<usize>, mut lines: usize) {
        let Some(message) = self.message(number) else { return peer.reply(NO_MESSAGE) };
        peer.reply("+OK");
        let content = message.content.strip_suffix(b"\r\n").unwrap_or(&message.content);
        let mut in_body = false;
        for line in content.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if in_body {
                let Some(left) = lines.checked_sub(1) else { break };
                lines = left;
            }
            in_body |= line.is_empty();
            if line.starts_with(b".") {
                peer.reply_bytes(b".");
            }
            peer.reply(line);
        }
        peer.reply(".");
    }
}

fn capabilities(peer: &mut Peer) {
    for line in ["+OK", "USER", "TOP", "UIDL", "PIPELINING", "RESP-CODES", "."] {
        peer.reply(line);
    }
}

/// The verb in upper case, and what follows its blank.
fn split(line: &[u8]) -> (String, &[u8]) {
    let at = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    (String::from_utf8_lossy(&line[..at]).to_ascii_uppercase(), line.get(at + 1..).unwrap_or_default())
}

fn number(word: &[u8]) -> Option<usize> {
    str::from_utf8(word).ok()?.parse().ok()
}

const NO_MESSAGE: &str = "-ERR no such message";

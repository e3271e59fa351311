//! The SMTP backend (RFC 5321, RFC 4954 and Postfix's XCLIENT), which delivers into the users' mailboxes.

use std::io;
use std::time::SystemTime;

use data_encoding::BASE64;

use super::date;
use super::mailbox::{DOMAIN, MESSAGE_LIMIT, Mailboxes, User};
use super::peer::Peer;

/// Serves one connection until QUIT.
pub(super) fn session(peer: &mut Peer, mail: &Mailboxes) -> io::Result<()> {
    peer.reply(GREETING);
    let mut session = Session { mail, helo: String::new(), envelope: None };
    loop {
        let line = peer.line()?;
        let text = String::from_utf8_lossy(&line);
        let (verb, argument) = text.split_once(' ').unwrap_or((&text, ""));
        if verb.eq_ignore_ascii_case("QUIT") {
            peer.reply("221 2.0.0 Bye");
            return Ok(());
        }
        session.on_command(peer, &verb.to_ascii_uppercase(), argument.trim())?;
    }
}

struct Session<'a> {
    mail: &'a Mailboxes,
    /// What the peer calls itself, for the trace line.
    helo: String,
    envelope: Option<Envelope>,
}

/// A mail transaction (RFC 5321 section 3.3).
struct Envelope {
    sender: String,
    recipients: Vec<User>,
}

impl Session<'_> {
    fn on_command(&mut self, peer: &mut Peer, verb: &str, argument: &str) -> io::Result<()> {
        match verb {
            "EHLO" | "HELO" => self.on_helo(peer, verb == "EHLO", argument),
            "XCLIENT" => {
                // The session begins anew (Postfix's XCLIENT_README); nothing here depends on who the client is.
                self.envelope = None;
                peer.reply(GREETING);
            }
            "AUTH" => authenticate(peer, argument)?,
            "MAIL" => self.on_mail(peer, argument),
            "RCPT" => self.on_rcpt(peer, argument),
            "DATA" => self.on_data(peer)?,
            "RSET" => {
                self.envelope = None;
                peer.reply("250 2.0.0 OK");
            }
            "NOOP" => peer.reply("250 2.0.0 OK"),
            "VRFY" => peer.reply("252 2.1.5 Send some mail, I'll try my best"),
            _ => peer.reply("502 5.5.2 Command not recognized"),
        }
        Ok(())
    }

    fn on_helo(&mut self, peer: &mut Peer, is_esmtp: bool, name: &str) {
        self.envelope = None;
        name.clone_into(&mut self.helo);
        if !is_esmtp {
            return peer.reply("250 localhost");
        }
        peer.reply("250-localhost");
        peer.reply("250-PIPELINING");
        peer.reply(format!("250-SIZE {MESSAGE_LIMIT}"));
        peer.reply("250-8BITMIME");
        peer.reply("250-ENHANCEDSTATUSCODES");
        peer.reply("250-AUTH PLAIN");
        peer.reply("250 XCLIENT NAME ADDR PORT PROTO HELO LOGIN");
    }

    fn on_mail(&mut self, peer: &mut Peer, argument: &str) {
        let Some((sender, parameters)) = path(argument, "FROM:") else {
            return peer.reply("501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        if self.envelope.is_some() {
            return peer.reply("503 5.5.1 Nested MAIL command");
        }
        let announced = parameters.split_ascii_whitespace().find_map(|word| {
            word.get(..5)
                .filter(|key| key.eq_ignore_ascii_case("SIZE="))
                .and_then(|_| word[5..].parse::<usize>().ok())
        });
        if announced.is_some_and(|size| size > MESSAGE_LIMIT) {
            return peer.reply(TOO_LARGE);
        }
        self.envelope = Some(Envelope { sender: sender.to_owned(), recipients: Vec::new() });
        peer.reply("250 2.1.0 OK");
    }

    fn on_rcpt(&mut self, peer: &mut Peer, argument: &str) {
        let Some(envelope) = &mut self.envelope else { return peer.reply("503 5.5.1 Need MAIL command") };
        let Some((address, _)) = path(argument, "TO:") else {
            return peer.reply("501 5.5.4 Syntax: RCPT TO:<address>");
        };
        let Some(user) = User::named(address.as_bytes()) else {
            return peer.reply("550 5.1.1 No such user here");
        };
        if !envelope.recipients.contains(&user) {
            envelope.recipients.push(user);
        }
        peer.reply("250 2.1.5 OK");
    }

    fn on_data(&mut self, peer: &mut Peer) -> io::Result<()> {
        let Some(envelope) = self.envelope.take_if(|envelope| !envelope.recipients.is_empty()) else {
            peer.reply("503 5.5.1 Need RCPT command");
            return Ok(());
        };
        peer.reply("354 End data with <CR><LF>.<CR><LF>");
        let mut content = format!(
            "Return-Path: <{}>\r\nReceived: from {} by {DOMAIN} (gatepost demo); {}\r\n",
            envelope.sender,
            self.helo,
            date::mail(SystemTime::now())
        )
        .into_bytes();
        let mut fits = true;
        loop {
            let line = peer.line()?;
            if line == b"." {
                break;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            fits &= content.len() + line.len() + 2 <= MESSAGE_LIMIT;
            if fits {
                content.extend_from_slice(line);
                content.extend_from_slice(b"\r\n");
            }
        }
        if !fits {
            peer.reply(TOO_LARGE);
            return Ok(());
        }
        let delivered = envelope.recipients.iter().all(|&user| self.mail.deliver(user, &content, 0).is_ok());
        peer.reply(if delivered { "250 2.0.0 OK: delivered" } else { "452 4.2.2 Mailbox full" });
        Ok(())
    }
}

/// AUTH PLAIN (RFC 4616), as `proxy_smtp_auth on` sends it.
fn authenticate(peer: &mut Peer, argument: &str) -> io::Result<()> {
    let mut words = argument.split_ascii_whitespace();
    if !words.next().is_some_and(|mechanism| mechanism.eq_ignore_ascii_case("PLAIN")) {
        peer.reply("504 5.5.4 Unrecognized authentication type");
        return Ok(());
    }
    let response = match words.next() {
        Some(response) => response.as_bytes().to_vec(),
        None => {
            peer.reply("334 ");
            peer.line()?
        }
    };
    let decoded = BASE64.decode(&response).unwrap_or_default();
    let mut parts = decoded.splitn(3, |&byte| byte == 0).skip(1);
    let user = match (parts.next(), parts.next()) {
        (Some(login), Some(password)) => User::authenticate(login, password),
        _ => None,
    };
    peer.reply(if user.is_some() {
        "235 2.7.0 Authentication successful"
    } else {
        "535 5.7.8 Authentication failed"
    });
    Ok(())
}

/// The address and the parameters of `FROM:<address> PARAMETERS`.
fn path<'a>(argument: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let rest = argument
        .get(keyword.len()..)
        .filter(|_| argument.get(..keyword.len()).is_some_and(|start| start.eq_ignore_ascii_case(keyword)))?;
    rest.trim_start().strip_prefix('<')?.split_once('>')
}

const GREETING: &str = "220 localhost ESMTP gatepost demo";
const TOO_LARGE: &str = "552 5.3.4 Message too large";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(path("FROM:<a@b> SIZE=1", "FROM:"), Some(("a@b", " SIZE=1")));
        assert_eq!(path("from: <>", "FROM:"), Some(("", "")));
        for wrong in ["FROM", "FROM:a@b", "TO:<a>", "FROM:<a", "\u{e9}\u{e9}\u{e9}"] {
            assert_eq!(path(wrong, "FROM:"), None, "{wrong}");
        }
    }
}

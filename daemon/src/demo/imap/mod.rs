//! The IMAP backend (RFC 3501 with LITERAL+, IDLE, UNSELECT, NAMESPACE and ID): one mailbox, INBOX.

mod fetch;
mod parse;
mod selected;

use std::io;
use std::time::Duration;

use parse::{Literal, Token};
use selected::{Selected, flag_list, flags_in};

use super::mailbox::{MESSAGE_LIMIT, Mailboxes, Message, SEEN, User};
use super::peer::Peer;

/// Serves one connection until LOGOUT.
pub(super) fn session(peer: &mut Peer, mail: &Mailboxes) -> io::Result<()> {
    peer.reply(format!("* OK [{CAPABILITY}] gatepost demo"));
    let mut session = Session { mail, user: None, selected: None };
    loop {
        let Some(command) = Command::read(peer)? else { continue };
        let Command { tag, name, arguments } = command;
        let outcome = session.on_command(peer, &name, &arguments)?;
        if let (Some(selected), false) = (&mut session.selected, may_not_synchronise(&name)) {
            selected.synchronise(peer, mail);
        }
        match outcome {
            Outcome::Ok("") => peer.reply(format!("{tag} OK {name} completed")),
            Outcome::Ok(text) => peer.reply(format!("{tag} OK {text}")),
            Outcome::No(text) => peer.reply(format!("{tag} NO {text}")),
            Outcome::Bad(text) => peer.reply(format!("{tag} BAD {text}")),
        }
        if name == "LOGOUT" {
            return Ok(());
        }
    }
}

/// Commands whose responses go by numbers, which therefore must not move.
fn may_not_synchronise(name: &str) -> bool {
    matches!(name, "FETCH" | "STORE" | "SEARCH")
}

/// The tagged response to a command.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// `OK`; without text `NAME completed`.
    Ok(&'static str),
    No(&'static str),
    Bad(&'static str),
}

impl Outcome {
    const BAD: Self = Self::Bad("invalid arguments");
}

/// One command with its literals.
#[derive(Debug)]
struct Command {
    tag: String,
    /// In upper case.
    name: String,
    arguments: Vec<Token>,
}

impl Command {
    /// Reads the next one. `None` if it was malformed; that is answered already.
    fn read(peer: &mut Peer) -> io::Result<Option<Self>> {
        let mut tokens = Vec::new();
        let mut room = MESSAGE_LIMIT;
        loop {
            let line = peer.line()?;
            match parse::tokens(&line, &mut tokens) {
                Ok(None) => break,
                Ok(Some(Literal { length, .. })) if length > room => {
                    // Without synchronisation the literal is on its way, and nothing tells it from commands.
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(Some(Literal { length, is_synchronising })) => {
                    if is_synchronising {
                        peer.reply("+ OK");
                    }
                    room -= length;
                    tokens.push(Token::String(peer.exactly(length)?));
                }
                Err(parse::Malformed) => {
                    peer.reply("* BAD malformed command");
                    return Ok(None);
                }
            }
        }
        let mut tokens = tokens.into_iter();
        let (Some(Token::Atom(tag)), Some(Token::Atom(name))) = (tokens.next(), tokens.next()) else {
            peer.reply("* BAD no command");
            return Ok(None);
        };
        Ok(Some(Self { tag, name: name.to_ascii_uppercase(), arguments: tokens.collect() }))
    }
}

struct Session<'a> {
    mail: &'a Mailboxes,
    user: Option<User>,
    selected: Option<Selected>,
}

impl Session<'_> {
    fn on_command(&mut self, peer: &mut Peer, name: &str, arguments: &[Token]) -> io::Result<Outcome> {
        let outcome = match (name, self.user) {
            ("CAPABILITY", _) => {
                peer.reply(format!("* {CAPABILITY}"));
                Outcome::Ok("")
            }
            ("NOOP", _) => Outcome::Ok(""),
            ("ID", _) => {
                peer.reply("* ID (\"name\" \"gatepost demo\")");
                Outcome::Ok("")
            }
            ("LOGOUT", _) => {
                self.selected = None;
                peer.reply("* BYE until next time");
                Outcome::Ok("")
            }
            ("LOGIN", None) => self.login(arguments),
            (_, None) => Outcome::Bad("log in first"),
            ("IDLE", Some(_)) => self.idle(peer)?,
            (_, Some(user)) => self.on_authenticated(peer, user, name, arguments),
        };
        Ok(outcome)
    }

    fn login(&mut self, arguments: &[Token]) -> Outcome {
        let [login, password] = arguments else { return Outcome::BAD };
        self.user = User::authenticate(login.bytes(), password.bytes());
        match self.user {
            Some(_) => Outcome::Ok(""),
            None => Outcome::No("[AUTHENTICATIONFAILED] invalid login or password"),
        }
    }

    fn on_authenticated(&mut self, peer: &mut Peer, user: User, name: &str, arguments: &[Token]) -> Outcome {
        match name {
            "SELECT" | "EXAMINE" => self.select(peer, user, name == "EXAMINE", arguments),
            "LIST" | "LSUB" => list(peer, name, arguments),
            "STATUS" => self.status(peer, user, arguments),
            "APPEND" => self.append(user, arguments),
            "NAMESPACE" => {
                peer.reply("* NAMESPACE ((\"\" \"/\")) NIL NIL");
                Outcome::Ok("")
            }
            "SUBSCRIBE" | "UNSUBSCRIBE" => Outcome::Ok(""),
            "CREATE" | "DELETE" | "RENAME" => Outcome::No("[CANNOT] there is only INBOX"),
            _ => self.on_selected(peer, name, arguments),
        }
    }

    fn on_selected(&mut self, peer: &mut Peer, name: &str, arguments: &[Token]) -> Outcome {
        let mail = self.mail;
        let Some(selected) = &mut self.selected else {
            return Outcome::Bad("unknown command, or no mailbox selected");
        };
        let (name, by_uid, arguments) = match (name, arguments) {
            ("UID", [name, arguments @ ..]) => (name.upper(), true, arguments),
            _ => (name.to_owned(), false, arguments),
        };
        match name.as_str() {
            "FETCH" => selected.fetch(peer, mail, by_uid, arguments),
            "STORE" => selected.store(peer, mail, by_uid, arguments),
            "SEARCH" => selected.search(peer, mail, by_uid, arguments),
            "EXPUNGE" => {
                selected.expunge(mail);
                Outcome::Ok("")
            }
            "CLOSE" => {
                selected.expunge(mail);
                self.selected = None;
                Outcome::Ok("")
            }
            "UNSELECT" => {
                self.selected = None;
                Outcome::Ok("")
            }
            "CHECK" => Outcome::Ok(""),
            "COPY" | "MOVE" => Outcome::No("[CANNOT] there is only INBOX"),
            _ => Outcome::Bad("unknown command"),
        }
    }

    fn select(&mut self, peer: &mut Peer, user: User, is_read_only: bool, arguments: &[Token]) -> Outcome {
        self.selected = None;
        if !is_inbox(arguments.first()) {
            return Outcome::No(NO_MAILBOX);
        }
        let messages = self.mail.messages(user);
        let all = flag_list(u8::MAX);
        peer.reply(format!("* FLAGS {all}"));
        peer.reply(format!("* {} EXISTS", messages.len()));
        peer.reply("* 0 RECENT");
        if let Some(at) = messages.iter().position(is_unseen) {
            peer.reply(format!("* OK [UNSEEN {}] first unseen", at + 1));
        }
        peer.reply(format!("* OK [UIDVALIDITY {}] UIDs valid", self.mail.validity));
        peer.reply(format!("* OK [UIDNEXT {}] next UID", self.mail.next_uid(user)));
        let permanent = if is_read_only { "()" } else { all.as_str() };
        peer.reply(format!("* OK [PERMANENTFLAGS {permanent}] flags that are kept"));
        self.selected = Some(Selected::new(user, is_read_only, &messages));
        Outcome::Ok(if is_read_only {
            "[READ-ONLY] EXAMINE completed"
        } else {
            "[READ-WRITE] SELECT completed"
        })
    }

    fn status(&self, peer: &mut Peer, user: User, arguments: &[Token]) -> Outcome {
        let [name, Token::Open, items @ .., Token::Close] = arguments else { return Outcome::BAD };
        if !is_inbox(Some(name)) {
            return Outcome::No(NO_MAILBOX);
        }
        let messages = self.mail.messages(user);
        let mut values = Vec::new();
        for item in items.iter().map(Token::upper) {
            let value = match item.as_str() {
                "MESSAGES" => messages.len(),
                "RECENT" => 0,
                "UIDNEXT" => self.mail.next_uid(user) as usize,
                "UIDVALIDITY" => self.mail.validity as usize,
                "UNSEEN" => messages.iter().filter(|message| is_unseen(message)).count(),
                _ => return Outcome::BAD,
            };
            values.push(format!("{item} {value}"));
        }
        peer.reply(format!("* STATUS INBOX ({})", values.join(" ")));
        Outcome::Ok("")
    }

    fn append(&self, user: User, arguments: &[Token]) -> Outcome {
        let [name, rest @ .., Token::String(content)] = arguments else { return Outcome::BAD };
        if !is_inbox(Some(name)) {
            return Outcome::No("[TRYCREATE] no such mailbox");
        }
        // A date may stand between; the time of arrival is used instead.
        match self.mail.deliver(user, content, flags_in(rest)) {
            Ok(_) => Outcome::Ok(""),
            Err(_) => Outcome::No("[OVERQUOTA] the mailbox is full"),
        }
    }

    /// IDLE (RFC 2177): looks for news until the client says DONE.
    fn idle(&mut self, peer: &mut Peer) -> io::Result<Outcome> {
        peer.reply("+ idling");
        for _ in 0..IDLE_ROUNDS {
            if let Some(line) = peer.line_within(IDLE_ROUND)? {
                let is_done = line.eq_ignore_ascii_case(b"DONE");
                return Ok(if is_done { Outcome::Ok("") } else { Outcome::Bad("DONE expected") });
            }
            if let Some(selected) = &mut self.selected {
                selected.synchronise(peer, self.mail);
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

/// LIST and LSUB: INBOX matches whatever may match it.
fn list(peer: &mut Peer, name: &str, arguments: &[Token]) -> Outcome {
    let [_, pattern] = arguments else { return Outcome::BAD };
    match pattern.upper().as_str() {
        "" => peer.reply(format!("* {name} (\\Noselect) \"/\" \"\"")),
        "*" | "%" | "INBOX" | "INBOX*" | "INBOX%" => peer.reply(format!("* {name} () \"/\" INBOX")),
        _ => {}
    }
    Outcome::Ok("")
}

fn is_inbox(name: Option<&Token>) -> bool {
    name.is_some_and(|name| name.upper() == "INBOX")
}

fn is_unseen(message: &Message) -> bool {
    message.flags & SEEN == 0
}

const CAPABILITY: &str = "CAPABILITY IMAP4rev1 LITERAL+ IDLE UNSELECT NAMESPACE ID";
const NO_MAILBOX: &str = "[NONEXISTENT] no such mailbox";
/// How often IDLE looks for news, and for how long in all.
const IDLE_ROUND: Duration = Duration::from_millis(250);
const IDLE_ROUNDS: u32 = 7200;

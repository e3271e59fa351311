//! The selected state: message numbers, and the commands that use them.

use super::Outcome;
use super::fetch::{self, Item};
use super::parse::{self, Token};
use crate::demo::mailbox::{DELETED, FLAGS, Mailboxes, Message, SEEN, User};
use crate::demo::peer::Peer;

/// A selected mailbox as this client knows it.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) user: User,
    pub(super) is_read_only: bool,
    /// The UIDs by message number, which begin at 1. Changes only where responses may tell of it.
    uids: Vec<u32>,
}

impl Selected {
    /// Selects the mailbox, of which `messages` is a snapshot.
    pub(super) fn new(user: User, is_read_only: bool, messages: &[Message]) -> Self {
        Self { user, is_read_only, uids: messages.iter().map(|message| message.uid).collect() }
    }

    /// Tells of messages that went and came since the last time (RFC 3501 section 7.4.1 forbids it during FETCH,
    /// STORE and SEARCH).
    pub(super) fn synchronise(&mut self, peer: &mut Peer, mail: &Mailboxes) {
        let present: Vec<u32> = mail.messages(self.user).iter().map(|message| message.uid).collect();
        for at in (0..self.uids.len()).rev() {
            if present.binary_search(&self.uids[at]).is_err() {
                self.uids.remove(at);
                peer.reply(format!("* {} EXPUNGE", at + 1));
            }
        }
        if present.len() > self.uids.len() {
            peer.reply(format!("* {} EXISTS", present.len()));
        }
        self.uids = present;
    }

    /// FETCH and UID FETCH.
    pub(super) fn fetch(
        &self,
        peer: &mut Peer,
        mail: &Mailboxes,
        by_uid: bool,
        arguments: &[Token],
    ) -> Outcome {
        let [set, what @ ..] = arguments else { return Outcome::BAD };
        let Some(mut items) = fetch::items(what) else { return Outcome::Bad("unknown data item") };
        if by_uid && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        let Some(messages) = self.messages(mail, set, by_uid) else { return Outcome::BAD };
        let marks_seen = !self.is_read_only
            && items.iter().any(|item| matches!(item, Item::Text(section) if section.marks_seen));
        for (number, mut message) in messages {
            let mut items = items.clone();
            if marks_seen && message.flags & SEEN == 0 {
                let flags = mail.change_flags(self.user, message.uid, |flags| flags | SEEN);
                message.flags = flags.unwrap_or(message.flags);
                if !items.contains(&Item::Flags) {
                    items.push(Item::Flags);
                }
            }
            peer.reply_bytes(format!("* {number} FETCH (").as_bytes());
            peer.reply_bytes(&fetch::describe(&message, &items));
            peer.reply(")");
        }
        Outcome::Ok("")
    }

    /// STORE and UID STORE.
    pub(super) fn store(
        &self,
        peer: &mut Peer,
        mail: &Mailboxes,
        by_uid: bool,
        arguments: &[Token],
    ) -> Outcome {
        let [set, action, flags @ ..] = arguments else { return Outcome::BAD };
        if self.is_read_only {
            return Outcome::No("the mailbox is read-only");
        }
        let flags = flags_in(flags);
        let action = action.upper();
        let (operation, is_silent) = match action.strip_suffix(".SILENT") {
            Some(operation) => (operation, true),
            None => (action.as_str(), false),
        };
        let change: fn(u8, u8) -> u8 = match operation {
            "FLAGS" => |_, given| given,
            "+FLAGS" => |before, given| before | given,
            "-FLAGS" => |before, given| before & !given,
            _ => return Outcome::BAD,
        };
        let Some(messages) = self.messages(mail, set, by_uid) else { return Outcome::BAD };
        for (number, message) in messages {
            let Some(flags) = mail.change_flags(self.user, message.uid, |before| change(before, flags))
            else {
                continue;
            };
            if !is_silent {
                let uid = if by_uid { format!("UID {} ", message.uid) } else { String::new() };
                peer.reply(format!("* {number} FETCH ({uid}FLAGS {})", flag_list(flags)));
            }
        }
        Outcome::Ok("")
    }

    /// SEARCH and UID SEARCH: flags and sets, which must all hold.
    pub(super) fn search(
        &self,
        peer: &mut Peer,
        mail: &Mailboxes,
        by_uid: bool,
        arguments: &[Token],
    ) -> Outcome {
        let mut arguments = arguments.iter();
        let mut found = self.numbered(mail);
        while let Some(key) = arguments.next() {
            let key = key.upper();
            match key.as_str() {
                "ALL" => {}
                "CHARSET" => drop(arguments.next()),
                "NEW" | "RECENT" => found.clear(),
                "OLD" => {}
                "UID" => match arguments.next().and_then(|set| self.messages(mail, set, true)) {
                    Some(wanted) => retain(&mut found, &wanted),
                    None => return Outcome::BAD,
                },
                key => match (flag_key(key), self.messages(mail, &Token::Atom(key.to_owned()), false)) {
                    (Some((flag, is_set)), _) => {
                        found.retain(|(_, message)| (message.flags & flag != 0) == is_set)
                    }
                    (None, Some(wanted)) => retain(&mut found, &wanted),
                    (None, None) => return Outcome::Bad("unknown search key"),
                },
            }
        }
        let numbers = found.iter().map(|(number, message)| if by_uid { message.uid } else { *number });
        let list: String = numbers.map(|number| format!(" {number}")).collect();
        peer.reply(format!("* SEARCH{list}"));
        Outcome::Ok("")
    }

    /// EXPUNGE and CLOSE; the responses come with the next [`synchronise`](Self::synchronise).
    pub(super) fn expunge(&self, mail: &Mailboxes) {
        if !self.is_read_only {
            mail.remove(self.user, |message| message.flags & DELETED != 0);
        }
    }

    /// The messages of a set that still exist, with their numbers.
    fn messages(&self, mail: &Mailboxes, set: &Token, by_uid: bool) -> Option<Vec<(u32, Message)>> {
        let largest = if by_uid { self.uids.last().copied() } else { Some(self.uids.len() as u32) };
        let ranges = parse::sequence_set(&set.upper(), largest.unwrap_or(0))?;
        let mut messages = self.numbered(mail);
        messages.retain(|(number, message)| {
            let key = if by_uid { message.uid } else { *number };
            ranges.iter().any(|&(first, last)| (first..=last).contains(&key))
        });
        Some(messages)
    }

    /// All messages that this client knows and that still exist.
    fn numbered(&self, mail: &Mailboxes) -> Vec<(u32, Message)> {
        let number = |uid| self.uids.binary_search(&uid).ok().map(|at| at as u32 + 1);
        let messages = mail.messages(self.user).into_iter();
        messages.filter_map(|message| number(message.uid).map(|number| (number, message))).collect()
    }
}

/// `(\Seen \Deleted)`
pub(super) fn flag_list(flags: u8) -> String {
    let set: Vec<&str> =
        FLAGS.iter().enumerate().filter(|(bit, _)| flags & 1 << bit != 0).map(|(_, name)| *name).collect();
    format!("({})", set.join(" "))
}

/// The flags we know among these; keywords are not kept, as PERMANENTFLAGS tells.
pub(super) fn flags_in(tokens: &[Token]) -> u8 {
    let bit = |token: &Token| {
        FLAGS
            .iter()
            .position(|name| name.as_bytes().eq_ignore_ascii_case(token.bytes()))
            .map_or(0, |bit| 1 << bit)
    };
    tokens.iter().map(bit).fold(0, |flags, flag| flags | flag)
}

/// The search keys `SEEN`, `UNSEEN` and so on.
fn flag_key(key: &str) -> Option<(u8, bool)> {
    let (name, is_set) = match key.strip_prefix("UN") {
        Some(name) => (name, false),
        None => (key, true),
    };
    let bit = FLAGS.iter().position(|flag| flag[1..].eq_ignore_ascii_case(name))?;
    Some((1 << bit, is_set))
}

fn retain(found: &mut Vec<(u32, Message)>, wanted: &[(u32, Message)]) {
    found.retain(|(number, _)| wanted.iter().any(|(other, _)| other == number));
}

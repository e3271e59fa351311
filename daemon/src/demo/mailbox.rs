//! The two users and their mail, in memory and bounded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::date;

/// One of [`USERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User(usize);

/// Login names and passwords. No secrets: the demo prints them.
pub(super) const USERS: [(&str, &str); 2] = [("alice", "wonderland"), ("bob", "builder")];

/// The domain of the users' addresses. Any other works as well.
pub(super) const DOMAIN: &str = "demo.example";

impl User {
    /// The user of a login or an address: `alice`, `Alice@demo.example`.
    pub(super) fn named(login: &[u8]) -> Option<Self> {
        let local = login.split(|&byte| byte == b'@').next()?;
        USERS.iter().position(|(name, _)| local.eq_ignore_ascii_case(name.as_bytes())).map(Self)
    }

    /// The user, if this is the password.
    pub(super) fn authenticate(login: &[u8], password: &[u8]) -> Option<Self> {
        Self::named(login).filter(|user| USERS[user.0].1.as_bytes() == password)
    }

    /// The login name.
    pub(super) fn name(self) -> &'static str {
        USERS[self.0].0
    }
}

/// Everybody's mail.
#[derive(Debug)]
pub(super) struct Mailboxes {
    mailboxes: Mutex<[Mailbox; USERS.len()]>,
    /// UIDVALIDITY (RFC 3501 section 2.3.1.1): another one for each run.
    pub(super) validity: u32,
}

/// One user's mail, oldest first.
#[derive(Debug, Default)]
struct Mailbox {
    messages: Vec<Message>,
    last_uid: u32,
}

/// One message. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Rises from message to message (RFC 3501 section 2.3.1.1).
    pub(super) uid: u32,
    /// See [`FLAGS`].
    pub(super) flags: u8,
    /// When it was delivered.
    pub(super) received: SystemTime,
    /// Header and body; lines end in CR LF.
    pub(super) content: Arc<[u8]>,
}

/// The names of the flags, from the lowest bit on.
pub(super) const FLAGS: [&str; 5] = ["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"];
pub(super) const DELETED: u8 = 1 << 2;
pub(super) const SEEN: u8 = 1 << 3;

/// A message is too large, or the mailbox has no room for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Mailboxes {
    /// One welcome message for each user.
    pub(super) fn new() -> Self {
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let mailboxes = Self { mailboxes: Mutex::default(), validity: seconds as u32 };
        for (index, (name, _)) in USERS.iter().enumerate() {
            let date = date::mail(now);
            let text = format!(
                "From: gatepost <postmaster@{DOMAIN}>\r\nTo: {name}@{DOMAIN}\r\nSubject: Welcome to gatepost\r\n\
                 Date: {date}\r\nMessage-ID: <welcome-{name}@{DOMAIN}>\r\nMIME-Version: 1.0\r\n\
                 Content-Type: text/plain; charset=us-ascii\r\n\r\n\
                 This message came to you through gatepost: your client logged in there,\r\n\
                 gatepost asked the auth service, and then it passed your session on to the\r\n\
                 mail server that keeps this message in memory.\r\n"
            );
            mailboxes
                .deliver(User(index), text.as_bytes(), 0)
                .expect("an empty mailbox has room for the welcome");
        }
        mailboxes
    }

    /// A snapshot of the messages.
    pub(super) fn messages(&self, user: User) -> Vec<Message> {
        self.lock()[user.0].messages.clone()
    }

    /// The UID that the next message will have.
    pub(super) fn next_uid(&self, user: User) -> u32 {
        self.lock()[user.0].last_uid + 1
    }

    /// Adds a message and returns its UID.
    pub(super) fn deliver(&self, user: User, content: &[u8], flags: u8) -> Result<u32, Full> {
        let mailbox = &mut self.lock()[user.0];
        let used: usize = mailbox.messages.iter().map(|message| message.content.len()).sum();
        if mailbox.messages.len() >= MOST_MESSAGES || used + content.len() > MAILBOX_LIMIT {
            return Err(Full);
        }
        mailbox.last_uid += 1;
        mailbox.messages.push(Message {
            uid: mailbox.last_uid,
            flags,
            received: SystemTime::now(),
            content: content.into(),
        });
        Ok(mailbox.last_uid)
    }

    /// Replaces the flags of a message by what `change` makes of them. `None` if it is gone.
    pub(super) fn change_flags(&self, user: User, uid: u32, change: impl FnOnce(u8) -> u8) -> Option<u8> {
        let mut mailboxes = self.lock();
        let message = mailboxes[user.0].messages.iter_mut().find(|message| message.uid == uid)?;
        message.flags = change(message.flags);
        Some(message.flags)
    }

    /// Removes the messages for which `is_unwanted` holds.
    pub(super) fn remove(&self, user: User, is_unwanted: impl Fn(&Message) -> bool) {
        self.lock()[user.0].messages.retain(|message| !is_unwanted(message));
    }

    fn lock(&self) -> MutexGuard<'_, [Mailbox; USERS.len()]> {
        // Every change above is complete before anything in it can panic.
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes one message may have.
pub(super) const MESSAGE_LIMIT: usize = 4 << 20;
/// Bytes one user's messages may have together.
const MAILBOX_LIMIT: usize = 16 << 20;
const MOST_MESSAGES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users() {
        assert_eq!(User::named(b"alice"), Some(User(0)));
        assert_eq!(User::named(b"BOB@anything"), Some(User(1)));
        assert_eq!(User::named(b"carol"), None);
        assert_eq!(User::named(b""), None);
        assert_eq!(User::authenticate(b"bob", b"builder"), Some(User(1)));
        assert_eq!(User::authenticate(b"bob", b"wonderland"), None);
    }

    #[test]
    fn mailboxes_are_bounded() {
        let mail = Mailboxes::new();
        let (alice, bob) = (User(0), User(1));
        let megabyte = vec![b'x'; 1 << 20];
        let fitting = (0..20).filter(|_| mail.deliver(alice, &megabyte, 0).is_ok()).count();
        assert_eq!(fitting, 15, "the welcome takes the rest");
        while mail.deliver(bob, b"", 0).is_ok() {}
        assert_eq!(mail.messages(bob).len(), MOST_MESSAGES);
        mail.remove(bob, |message| message.uid > 1);
        assert_eq!(mail.deliver(bob, b"", 0), Ok(1001), "UIDs are not used twice");
    }

    #[test]
    fn flags_change_where_the_message_still_is() {
        let mail = Mailboxes::new();
        assert_eq!(mail.change_flags(User(0), 1, |flags| flags | SEEN), Some(SEEN));
        assert_eq!(mail.messages(User(0))[0].flags, SEEN);
        assert_eq!(mail.change_flags(User(0), 2, |flags| flags), None);
    }
}

//! The bytes after the login: each side sends a stream that nobody else sends, and checks what it gets byte by byte.

use std::sync::LazyLock;
use std::time::Duration;

use futures_lite::future::zip;

use super::ledger::Ending;
use super::peer::{Conn, Gone};
use super::script::{RelayEnd, RelayPlan};

/// A side of the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Backend,
}

/// A prime: each stream runs through the same bytes from a place of its own, and none repeats itself before.
const PERIOD: usize = 65_521;

static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut bytes = vec![0; 2 * PERIOD];
    fastrand::Rng::with_seed(1).fill(&mut bytes[..PERIOD]);
    bytes.copy_within(..PERIOD, PERIOD);
    bytes
});

/// A piece of the stream that this side of this session sends.
pub(super) fn bytes(session: usize, role: Role, offset: usize, length: usize) -> Vec<u8> {
    let mut at = (session * 2 + role as usize) * 7_919 + offset;
    let mut piece = Vec::with_capacity(length);
    while piece.len() < length {
        at %= PERIOD;
        let part = PERIOD.min(length - piece.len());
        piece.extend_from_slice(&BYTES[at..at + part]);
        at += part;
    }
    piece
}

/// Relays as the script says; `sent` bytes of the own stream have left already.
pub(super) async fn run(conn: &Conn, session: usize, role: Role, sent: usize) -> Ending {
    let side = RelaySide::new(conn, session, role, sent);
    let (was_sent, got) = zip(side.send(), side.receive()).await;
    match got {
        Err(Gone::Ended) if was_sent && side.has_all() => Ending::Complete,
        _ => Ending::Cut,
    }
}

struct RelaySide<'a> {
    conn: &'a Conn,
    session: usize,
    role: Role,
    plan: RelayPlan,
    sent: usize,
}

impl<'a> RelaySide<'a> {
    fn new(conn: &'a Conn, session: usize, role: Role, sent: usize) -> Self {
        Self { conn, session, role, plan: conn.world.scripts[session].relay, sent }
    }

    fn other(&self) -> Role {
        if self.role == Role::Client { Role::Backend } else { Role::Client }
    }

    fn total(&self, role: Role) -> usize {
        if role == Role::Client { self.plan.up } else { self.plan.down }
    }

    fn got(&self) -> usize {
        let record = &self.conn.world.ledger.borrow().records[self.session];
        if self.role == Role::Client { record.down_got } else { record.up_got }
    }

    fn has_all(&self) -> bool {
        self.got() == self.total(self.other())
    }

    fn is_to_reset(&self) -> bool {
        matches!(
            (self.plan.end, self.role),
            (RelayEnd::ClientResets, Role::Client) | (RelayEnd::BackendResets, Role::Backend)
        )
    }

    fn ends_first(&self) -> bool {
        matches!(
            (self.plan.end, self.role),
            (RelayEnd::ClientFirst, Role::Client) | (RelayEnd::BackendFirst, Role::Backend)
        )
    }

    /// Sends what is left; whether all of it left.
    async fn send(&self) -> bool {
        let total = self.total(self.role);
        let mut sent = self.sent;
        while sent < total {
            let most = self.conn.world.chance.borrow_mut().usize(1..=16_384);
            let piece = bytes(self.session, self.role, sent, most.min(total - sent));
            if self.is_to_reset() && sent + piece.len() >= total / 2 {
                self.conn.reset();
                return false;
            }
            if self.conn.write(&piece).await.is_err() {
                return false;
            }
            sent += piece.len();
            if self.conn.world.chance.borrow_mut().u8(..4) == 0 {
                self.conn.pause(50).await;
            }
        }
        if self.is_to_reset() {
            self.conn.reset();
            return false;
        }
        if self.ends_first() {
            self.conn.shut_down().await;
        }
        true
    }

    /// Takes what comes until nothing does, and checks it.
    async fn receive(&self) -> Result<(), Gone> {
        // One of the two is slow.
        let is_slow = self.session.is_multiple_of(2) == (self.role == Role::Client);
        if is_slow && self.plan.stop > Duration::ZERO {
            self.conn.sleep(self.plan.stop).await;
        }
        loop {
            let piece = self.conn.read(8_192).await?;
            let offset = self.got();
            if piece != bytes(self.session, self.other(), offset, piece.len())
                || offset + piece.len() > self.total(self.other())
            {
                let (role, session) = (self.role, self.session);
                self.conn.world.complain(format!(
                    "{} bytes from {offset} on are not what the {role:?} of session {session} was sent",
                    piece.len()
                ));
                return Err(Gone::Reset);
            }
            let record = &mut self.conn.world.ledger.borrow_mut().records[self.session];
            match self.role {
                Role::Client => record.down_got += piece.len(),
                Role::Backend => record.up_got += piece.len(),
            }
        }
    }
}

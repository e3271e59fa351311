//! The simulated clients: one task each, of many manners.

mod login;
mod reply;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use gatepost_protocol::config::Protocol;

use self::reply::Reply;
use super::auth_server::refusal;
use super::backend::welcome;
use super::director::listen_address;
use super::ledger::Ending;
use super::peer::{Conn, Farewell, Gone, yield_once};
use super::proxy_header;
use super::relay::{self, Role};
use super::script::{self, AuthPlan, Manner, Mechanism, RelayEnd, Script, Server};
use super::secured::Secured;

/// Lives the life of one client.
pub(super) async fn run(conn: Conn, session: usize) {
    let world = Rc::clone(&conn.world);
    let mut client = Client {
        conn,
        script: &world.scripts[session],
        session,
        tags: VecDeque::new(),
        next_tag: 0,
        written: 0,
    };
    let ending = client.live().await.unwrap_or_else(|ending| ending);
    // Whatever is still to come is read, so that nothing is reset by accident.
    world.ledger.borrow_mut().records[session].ending = Some(ending);
}

/// No command begins like this in any protocol.
const GARBAGE: &[u8] = b"\x00\x01\xff!#%()*+,-.0;<=>?~";

struct Client<'a> {
    conn: Conn,
    script: &'a Script,
    session: usize,
    /// IMAP: the commands that are not answered yet.
    tags: VecDeque<String>,
    next_tag: usize,
    /// Bytes sent so far.
    written: usize,
}

impl Client<'_> {
    /// The whole life; an error is an early end.
    async fn live(&mut self) -> Result<Ending, Ending> {
        if let Manner::LeavesEarly { by_reset } = self.script.manner {
            let late = self.patience(500);
            or(async { drop(self.greet().await) }, late).await;
            return Ok(self.leave(by_reset));
        }
        match self.script.manner {
            Manner::BrokenHeader => return self.break_header().await,
            Manner::Hasty => {
                let password = script::password(self.session, 0, false);
                self.write(format!("AUTH PLAIN {password}\r\n").as_bytes()).await?;
                return Ok(self.await_end().await);
            }
            _ => self.greet().await?,
        }
        match self.script.manner {
            Manner::Silent | Manner::BrokenHeader | Manner::Hasty => {}
            Manner::HalfCommand => {
                self.chat().await?;
                self.write(b"NOO").await?;
            }
            Manner::Endless => self.write(&[b'x'; 6_000]).await?,
            Manner::Browser => self.write(b"GET / HTTP/1.1\r\nHost: mail\r\n\r\n").await?,
            Manner::FallsSilent => {
                self.chat().await?;
                match self.log_in(0, 0).await {
                    Err(Ending::Refused(_)) => {}
                    Err(ending) => return Err(ending),
                    Ok(()) => return Ok(Ending::Complete),
                }
            }
            Manner::Garbage => return Ok(self.talk_garbage().await),
            Manner::InjectsBehindStartTls => return self.inject().await,
            Manner::LeavesDuringLogin { by_reset } => {
                let late = self.patience(2_000);
                or(async { drop(self.log_in_and_relay().await) }, late).await;
                return Ok(self.leave(by_reset));
            }
            Manner::LeavesEarly { .. } | Manner::Proper => return self.log_in_and_relay().await,
        }
        Ok(self.await_end().await)
    }

    /// Ends after so many milliseconds at most.
    fn patience(&self, most_ms: u64) -> impl Future<Output = ()> + use<> {
        let world = Rc::clone(&self.conn.world);
        let patience = Duration::from_millis(world.chance.borrow_mut().u64(..most_ms));
        async move { world.executor.sleep(patience).await }
    }

    fn leave(&self, by_reset: bool) -> Ending {
        if by_reset {
            self.conn.reset();
        }
        Ending::Left
    }

    async fn log_in_and_relay(&mut self) -> Result<Ending, Ending> {
        self.chat().await?;
        let script = self.script;
        let attempts = script.attempts.len();
        for attempt in 0..attempts {
            {
                let record = &mut self.conn.world.ledger.borrow_mut().records[self.session];
                record.attempt = attempt;
                record.waits = 0;
            }
            let is_last = attempt + 1 == attempts;
            // Where the login may fail for want of sockets, what comes behind it would be taken for commands.
            let early = if is_last && !self.conn.world.slots.are_scarce() { script.relay.early } else { 0 };
            let failure = match self.log_in(attempt, early).await {
                Ok(()) => return Ok(relay::run(&self.conn, self.session, Role::Client, early).await),
                Err(failure) => failure,
            };
            let goes_on = match &failure {
                Ending::Temporary => true,
                Ending::Refused(text) => *text != refusal(self.session) || self.may_try_again(attempt),
                _ => false,
            };
            if !goes_on {
                // The proxy closes; what is still in flight belongs to its last words.
                let end = self.await_end().await;
                return Err(if end == Ending::Reset { Ending::Reset } else { failure });
            }
            if is_last {
                self.quit().await?;
                return Err(failure);
            }
            self.conn.pause(script.pause_ms).await;
            self.try_leftovers().await?;
        }
        Ok(Ending::Left)
    }

    fn may_try_again(&self, attempt: usize) -> bool {
        matches!(self.script.attempts[attempt], AuthPlan::Refuses { wait_s: 1.. })
    }

    /// After a failure nothing of that attempt counts any more: a password alone is out of order.
    async fn try_leftovers(&mut self) -> Result<(), Ending> {
        if self.script.protocol != Protocol::Pop3 {
            return Ok(());
        }
        self.write(b"PASS guess\r\n").await?;
        match self.reply().await? {
            Reply::No(_) => Ok(()),
            Reply::Good(text) | Reply::Prompt(text) => {
                self.conn.world.complain(format!("PASS without USER is answered {text:?}"));
                Err(Ending::Rejected)
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.written += bytes.len();
        match self.conn.write(bytes).await {
            Ok(()) => Ok(()),
            // It may have said why.
            Err(_) => Err(self.await_end().await),
        }
    }

    async fn greet(&mut self) -> Result<(), Ending> {
        if self.script.server == Server::Balanced {
            if self.script.manner == Manner::Silent {
                return Ok(());
            }
            self.send_header().await?;
        }
        if self.script.server == Server::Implicit {
            if self.script.manner == Manner::Silent {
                return Ok(());
            }
            self.secure().await?;
        }
        let is_greeting = match self.script.protocol {
            Protocol::Imap => self.read_line().await?.starts_with("* OK IMAP4 ready"),
            Protocol::Pop3 => {
                let line = self.read_line().await?;
                if let Some((_, challenge)) = line.split_once(" <") {
                    self.set_challenge(format!("<{challenge}"));
                }
                line.starts_with("+OK POP3 ready")
            }
            Protocol::Smtp => {
                let line = self.read_line().await?;
                if let Some(ending) = reply::farewell(&line) {
                    return Err(ending);
                }
                line.starts_with("220 ")
            }
        };
        if !is_greeting {
            self.conn.world.complain("the greeting is none");
        }
        let waited;
        {
            let record = &mut self.conn.world.ledger.borrow_mut().records[self.session];
            record.is_greeted = true;
            waited = self.conn.world.passed() - record.accepted_at.unwrap_or_default();
        }
        if self.script.protocol == Protocol::Smtp && waited < self.script.server.greeting_delay() {
            self.conn.world.complain(format!("a client is greeted after {waited:?}"));
        }
        self.introduce().await?;
        let injects = self.script.manner == Manner::InjectsBehindStartTls;
        if self.script.server == Server::Secured && !injects {
            self.say(self.starttls()).await?;
            self.secure().await?;
            self.introduce().await?;
        }
        Ok(())
    }

    /// Who the client is, in the words of its balancer.
    async fn send_header(&mut self) -> Result<(), Ending> {
        let Script { server, protocol, .. } = *self.script;
        let (client, listen) = (script::client_address(self.session), listen_address(protocol, server));
        let header = proxy_header::header(client, listen, self.session.is_multiple_of(2));
        self.write(&header).await
    }

    /// Comes without a balancer, or with one whose header is cut by a line end; what is behind it is for nobody.
    async fn break_header(&mut self) -> Result<Ending, Ending> {
        let start: &[u8] = if self.session.is_multiple_of(2) { b"" } else { b"PROXY TCP4 10.10.0.1" };
        let password = script::password(self.session, 0, false);
        let line = self.command(&format!("USER {password}"));
        self.write(&[start, b"\r\n", line.as_bytes()].concat()).await?;
        Ok(self.await_end().await)
    }

    async fn secure(&self) -> Result<(), Ending> {
        let farewell = [Farewell::Proper, Farewell::NotifyAlone, Farewell::EndAlone][self.session % 3];
        self.conn.secure(Secured::client(self.session), farewell).await.map_err(|_| Ending::Closed)
    }

    /// What SMTP says first, before and after the handshake.
    async fn introduce(&mut self) -> Result<(), Ending> {
        if self.script.protocol != Protocol::Smtp {
            return Ok(());
        }
        let verb = if self.session.is_multiple_of(5) { "HELO" } else { "EHLO" };
        self.say(&format!("{verb} client{}.example", self.session)).await
    }

    fn starttls(&self) -> &'static str {
        if self.script.protocol == Protocol::Pop3 { "STLS" } else { "STARTTLS" }
    }

    fn set_challenge(&self, challenge: String) {
        self.conn.world.ledger.borrow_mut().records[self.session].challenge = challenge;
    }

    /// Says what every server answers well.
    async fn chat(&mut self) -> Result<(), Ending> {
        let words: &[&str] = match self.script.protocol {
            Protocol::Imap => &["NOOP", "CAPABILITY", "ID NIL", "noop"],
            Protocol::Pop3 => &["NOOP", "CAPA", "noop", "capa"],
            Protocol::Smtp => &["NOOP", "RSET", "VRFY joe", "HELP"],
        };
        let words = &words[..self.script.chatter];
        if !self.script.is_pipelining {
            for word in words {
                self.conn.pause(self.script.pause_ms).await;
                self.say(word).await?;
            }
            return Ok(());
        }
        let batch: Vec<_> = words.iter().map(|word| self.command(word)).collect();
        self.write(batch.concat().as_bytes()).await?;
        for word in words {
            self.hear(word).await?;
        }
        Ok(())
    }

    /// One command and its good reply.
    async fn say(&mut self, word: &str) -> Result<(), Ending> {
        let command = self.command(word);
        self.write(command.as_bytes()).await?;
        self.hear(word).await
    }

    async fn hear(&mut self, word: &str) -> Result<(), Ending> {
        match self.reply().await? {
            Reply::Good(_) => {}
            Reply::No(text) | Reply::Prompt(text) => {
                self.conn.world.complain(format!("{word} is answered {text:?}"));
            }
        }
        if word.eq_ignore_ascii_case("CAPA") {
            while self.read_line().await? != "." {}
        }
        Ok(())
    }

    /// A command with its end, and in IMAP with a tag.
    fn command(&mut self, words: &str) -> String {
        if self.script.protocol != Protocol::Imap {
            return format!("{words}\r\n");
        }
        self.next_tag += 1;
        let tag = format!("c{}x{}", self.session, self.next_tag);
        self.tags.push_back(tag.clone());
        format!("{tag} {words}\r\n")
    }

    async fn quit(&mut self) -> Result<(), Ending> {
        let word = if self.script.protocol == Protocol::Imap { "LOGOUT" } else { "QUIT" };
        self.say(word).await?;
        match self.await_end().await {
            Ending::Closed => Ok(()),
            end => Err(end),
        }
    }

    /// A proxy that sees both in one piece takes nothing of what is behind STARTTLS.
    async fn inject(&mut self) -> Result<Ending, Ending> {
        let word = self.starttls();
        let batch = self.command(word) + &self.command("NOOP");
        self.write(batch.as_bytes()).await?;
        match self.reply().await? {
            Reply::No(_) => {}
            Reply::Good(text) | Reply::Prompt(text) => {
                self.conn.world.complain(format!("{word} and a command in one piece is answered {text:?}"));
                return Ok(Ending::Rejected);
            }
        }
        match self.await_end().await {
            Ending::Closed => Ok(Ending::Rejected),
            end => Ok(end),
        }
    }

    /// Sends lines that no protocol knows, until the proxy has enough.
    async fn talk_garbage(&mut self) -> Ending {
        loop {
            let mut line = {
                let mut chance = self.conn.world.chance.borrow_mut();
                let length = chance.usize(1..60);
                std::iter::repeat_with(|| GARBAGE[chance.usize(..GARBAGE.len())])
                    .take(length)
                    .collect::<Vec<_>>()
            };
            line.extend(b"\r\n");
            if let Err(ending) = self.write(&line).await {
                return ending;
            }
            yield_once().await;
            // One reply for each line; SMTP's and POP3's are one line as well.
            match self.read_line().await {
                Ok(reply) => {
                    if let Some(ending) = reply::farewell(&reply) {
                        return ending;
                    }
                    if reply::is_good(self.script.protocol, &reply) {
                        self.conn.world.complain(format!("garbage is answered {reply:?}"));
                    }
                }
                Err(ending) => return ending,
            }
        }
    }

    /// Reads until the proxy closes, and says what its last words meant.
    async fn await_end(&mut self) -> Ending {
        let mut ending = None;
        loop {
            match self.conn.read_line().await {
                Ok(line) => ending = reply::farewell(&String::from_utf8_lossy(&line)).or(ending),
                Err(Gone::Reset) => return Ending::Reset,
                Err(Gone::Ended) => return ending.unwrap_or(Ending::Closed),
            }
        }
    }

    /// Whether the client ends its direction together with its login.
    fn is_hasty(&self) -> bool {
        let relay = self.script.relay;
        relay.end == RelayEnd::ClientFirst
            && relay.early == relay.up
            && (1..3_000).contains(&relay.early)
            && self.session.is_multiple_of(2)
    }

    /// The reply that completes a login must be the one of this session's own backend.
    fn check_welcome(&self, text: &str) {
        let is_own = self.script.protocol == Protocol::Smtp && self.script.mechanism != Mechanism::Envelope
            || text.split(' ').any(|word| word == welcome(self.session));
        if !is_own {
            self.conn.world.complain(format!("welcomed by another backend: {text:?}"));
        }
    }
}

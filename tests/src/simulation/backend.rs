//! The simulated backends: one task for each connection that plays a mail server up to the login, and then relays.

use std::time::Duration;

use gatepost_protocol::config::{Protocol, ProxySsl};

use super::SESSIONS;
use super::auth_server::{mail_command, rcpt_command, rewritten_user};
use super::director::listen_address;
use super::peer::{Conn, Farewell, Gone};
use super::proxy_header;
use super::relay::{self, Role};
use super::script::{self, AuthPlan, BackendPlan, Mechanism, Script, TlsFault};
use super::secured::Secured;

/// Serves the one connection of a session, from `at` on.
pub(super) async fn serve(conn: Conn, session: usize, at: Duration) {
    let world = std::rc::Rc::clone(&conn.world);
    let script = &world.scripts[session];
    conn.sleep(at.saturating_sub(world.passed())).await;
    let mut backend = Backend { conn: &conn, script, session, replies: 0, is_secured: false };
    let outcome = backend.log_in().await;
    match outcome {
        Ok(()) => {}
        Err(Over::Rude) => {
            conn.read_to_end().await;
        }
        Err(Over::Gone | Over::Closed) => return,
    }
    if outcome.is_ok() {
        let ending = relay::run(&conn, session, Role::Backend, script.relay.surplus).await;
        world.ledger.borrow_mut().records[session].backend_ending = Some(ending);
    }
}

struct Backend<'a> {
    conn: &'a Conn,
    script: &'a Script,
    session: usize,
    /// How many replies have been given.
    replies: usize,
    is_secured: bool,
}

/// Why there is no relay.
enum Over {
    /// The proxy went.
    Gone,
    /// We said something that no login survives.
    Rude,
    /// We went.
    Closed,
}

impl From<Gone> for Over {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Backend<'_> {
    async fn log_in(&mut self) -> Result<(), Over> {
        let Script { server, protocol, .. } = *self.script;
        let (client, listen) = (script::client_address(self.session), listen_address(protocol, server));
        proxy_header::expect(self.conn, server.proxy_protocol(), client, listen, server.is_secured()).await?;
        if self.script.backend_tls == ProxySsl::On {
            self.secure().await?;
        }
        match self.script.protocol {
            Protocol::Imap => self.imap().await,
            Protocol::Pop3 => self.pop3().await,
            Protocol::Smtp => self.smtp().await,
        }
    }

    /// Shakes hands, or does what the script has instead.
    async fn secure(&mut self) -> Result<(), Over> {
        self.conn.pause(self.script.pause_ms).await;
        let fault = if let BackendPlan::Tls(fault) = self.script.backend { Some(fault) } else { None };
        let shown = match fault {
            Some(TlsFault::WrongName) => (self.session + 1) % SESSIONS,
            Some(TlsFault::Clear) => {
                self.conn.write(self.small_talk()).await?;
                return Err(Over::Rude);
            }
            Some(TlsFault::Silent) => return Err(Over::Rude),
            Some(TlsFault::Closes) => return Err(Over::Closed),
            Some(TlsFault::Resets) => {
                self.conn.reset();
                return Err(Over::Closed);
            }
            Some(TlsFault::ClearBehindStartTls | TlsFault::NotOffered) | None => self.session,
        };
        let farewell = [Farewell::NotifyAlone, Farewell::EndAlone, Farewell::Proper][self.session % 3];
        self.conn.secure(Secured::backend(shown), farewell).await?;
        let (asked, own) = (self.conn.asked_name(), script::backend_name(self.session));
        if asked != self.script.is_named.then_some(own) {
            self.conn.world.complain(format!("a backend is asked for the certificate of {asked:?}"));
        }
        self.is_secured = true;
        Ok(())
    }

    /// The answer to STARTTLS, and what it leads to.
    async fn start_tls(&mut self, answer: &str) -> Result<(), Over> {
        let injects = self.script.backend == BackendPlan::Tls(TlsFault::ClearBehindStartTls);
        let behind = if injects { self.small_talk() } else { b"" };
        self.reply(&(answer.to_owned() + &String::from_utf8_lossy(behind)), false).await?;
        self.secure().await
    }

    /// What is harmless in clear.
    fn small_talk(&self) -> &'static [u8] {
        match self.script.protocol {
            Protocol::Imap => b"* OK hello\r\n",
            Protocol::Pop3 => b"+OK hello\r\n",
            Protocol::Smtp => b"250 hello\r\n",
        }
    }

    fn is_to_start_tls(&self) -> bool {
        self.script.backend_tls == ProxySsl::StartTls && !self.is_secured
    }

    async fn pop3(&mut self) -> Result<(), Over> {
        self.reply("+OK at your service\r\n", false).await?;
        if self.is_to_start_tls() {
            self.expect_line("STLS").await?;
            self.start_tls("+OK\r\n").await?;
        }
        self.expect_line(&format!("USER {}", self.user())).await?;
        self.reply("+OK\r\n", false).await?;
        self.expect_line(&format!("PASS {}", self.password())).await?;
        self.refuse_if_planned("-ERR go away\r\n").await?;
        self.reply(&format!("+OK {}\r\n", welcome(self.session)), true).await
    }

    async fn imap(&mut self) -> Result<(), Over> {
        // What is refused has to be seen step by step.
        let plus = self.session.is_multiple_of(2);
        // What is offered in clear counts no more under TLS.
        let is_offered = plus || self.is_to_start_tls();
        let greeting =
            if is_offered { "* OK [CAPABILITY IMAP4rev1 LITERAL+] ready\r\n" } else { "* OK ready\r\n" };
        self.reply(greeting, false).await?;
        if self.is_to_start_tls() {
            self.expect_line("starttls STARTTLS").await?;
            self.start_tls("starttls OK\r\n").await?;
            self.expect_line("capability CAPABILITY").await?;
            let offer = if plus { " LITERAL+" } else { "" };
            self.reply(&format!("* CAPABILITY IMAP4rev1{offer}\r\ncapability OK\r\n"), false).await?;
        }
        let line = self.read_line().await?;
        let (user, password) = (self.user(), self.password());
        let sign = if plus { "+" } else { "" };
        let Some((tag, _)) = line.split_once(' ') else { return Err(self.unexpected(&line)) };
        self.expect(&line, &format!("{tag} LOGIN {{{}{sign}}}", user.len()))?;
        if !plus {
            self.reply("* CAPABILITY IMAP4rev1\r\n+ go on\r\n", false).await?;
        }
        self.expect_line(&format!("{user} {{{}{sign}}}", password.len())).await?;
        if !plus {
            self.reply("+ go on\r\n", false).await?;
        }
        self.expect_line(&password).await?;
        self.refuse_if_planned(&format!("{tag} NO go away\r\n")).await?;
        let untagged = if self.session.is_multiple_of(3) { "* 3 EXISTS\r\n" } else { "" };
        self.reply(&format!("{untagged}{tag} OK {}\r\n", welcome(self.session)), true).await
    }

    async fn smtp(&mut self) -> Result<(), Over> {
        self.reply("220-mail.example\r\n220 at your service\r\n", false).await?;
        let has_login = self.script.mechanism != Mechanism::Envelope;
        loop {
            let line = self.read_line().await?;
            let verb = line.split(' ').next().unwrap_or_default();
            match verb {
                "EHLO" if self.is_to_start_tls() => {
                    let is_offered = self.script.backend != BackendPlan::Tls(TlsFault::NotOffered);
                    let offer = if is_offered { "250-STARTTLS\r\n" } else { "" };
                    // XCLIENT, too, waits for the handshake.
                    self.reply(&format!("250-mail.example\r\n{offer}250 XCLIENT NAME\r\n"), false).await?;
                }
                "STARTTLS" if self.is_to_start_tls() => self.start_tls("220 2.0.0\r\n").await?,
                _ if self.is_to_start_tls() => return Err(self.unexpected(&line)),
                "EHLO" => {
                    let offer = if self.session.is_multiple_of(2) {
                        "250-XCLIENT NAME ADDR PORT PROTO HELO\r\n"
                    } else {
                        ""
                    };
                    self.reply(&format!("250-mail.example\r\n{offer}250 SIZE\r\n"), false).await?;
                }
                "HELO" => self.reply("250 mail.example\r\n", false).await?,
                "XCLIENT" => self.reply("220 mail.example\r\n", false).await?,
                "AUTH" if has_login => {
                    let message = format!("\0{}\0{}", self.user(), self.password());
                    let encoded = data_encoding::BASE64.encode(message.as_bytes());
                    self.expect(&line, &format!("AUTH PLAIN {encoded}"))?;
                    self.refuse_if_planned("535 5.7.8 go away\r\n").await?;
                    return self.reply("235 2.7.0 welcome\r\n", true).await;
                }
                "MAIL" if !has_login => {
                    self.expect(&line, &mail_command(self.session))?;
                    self.reply("250 2.1.0 sender\r\n", false).await?;
                }
                "RCPT" if !has_login => {
                    self.expect(&line, &rcpt_command(self.session))?;
                    return self.reply(&format!("250 2.1.5 {}\r\n", welcome(self.session)), true).await;
                }
                _ => return Err(self.unexpected(&line)),
            }
        }
    }

    fn user(&self) -> String {
        match self.script.attempts.get(self.let_in()) {
            Some(AuthPlan::Accepts { user: true, .. }) if self.script.protocol != Protocol::Smtp => {
                rewritten_user(self.session)
            }
            _ => self.script.login(self.session),
        }
    }

    fn password(&self) -> String {
        let attempt = self.let_in();
        script::password(self.session, attempt, self.conn.world.is_password_rewritten(self.session, attempt))
    }

    fn let_in(&self) -> usize {
        self.conn.world.ledger.borrow().records[self.session].let_in.unwrap_or(usize::MAX)
    }

    async fn read_line(&self) -> Result<String, Over> {
        Ok(String::from_utf8_lossy(&self.conn.read_line().await?).into_owned())
    }

    async fn expect_line(&self, wanted: &str) -> Result<(), Over> {
        let line = self.read_line().await?;
        self.expect(&line, wanted)
    }

    fn expect(&self, line: &str, wanted: &str) -> Result<(), Over> {
        if line == wanted { Ok(()) } else { Err(self.unexpected(line)) }
    }

    /// Taking leave is always in order.
    fn unexpected(&self, line: &str) -> Over {
        if !["QUIT", "logout LOGOUT"].contains(&line) {
            self.conn.world.complain(format!("the backend of session {} got {line:?}", self.session));
        }
        Over::Rude
    }

    async fn refuse_if_planned(&self, refusal: &str) -> Result<(), Over> {
        if self.script.backend != BackendPlan::Refuses {
            return Ok(());
        }
        self.conn.pause(self.script.pause_ms).await;
        self.conn.write(refusal.as_bytes()).await?;
        Err(Over::Rude)
    }

    /// Says what comes next, or what the script has instead. The last reply carries the first bytes of the relay.
    async fn reply(&mut self, text: &str, is_last: bool) -> Result<(), Over> {
        self.conn.pause(self.script.pause_ms).await;
        let number = self.replies;
        self.replies += 1;
        match self.script.backend {
            BackendPlan::Silent(step) if step == number => return Err(Over::Rude),
            BackendPlan::Closes(step) if step == number => return Err(Over::Closed),
            BackendPlan::Resets(step) if step == number => {
                self.conn.reset();
                return Err(Over::Closed);
            }
            BackendPlan::Nonsense(step) if step == number => {
                self.conn.write(b"what do you want?\r\n").await?;
                return Err(Over::Rude);
            }
            BackendPlan::Endless(step) if step == number => {
                self.conn.write(&[b'x'; 6_000]).await?;
                return Err(Over::Rude);
            }
            _ => {}
        }
        let mut bytes = text.as_bytes().to_vec();
        if is_last {
            self.conn.world.ledger.borrow_mut().records[self.session].is_welcome = true;
            bytes.extend(relay::bytes(self.session, Role::Backend, 0, self.script.relay.surplus));
        }
        Ok(self.conn.write(&bytes).await?)
    }
}

/// What only this session's backend says.
pub(super) fn welcome(session: usize) -> String {
    format!("welcome-{session}")
}

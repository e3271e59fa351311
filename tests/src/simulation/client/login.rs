//! Logging in, by every mechanism.

use data_encoding::BASE64;
use gatepost_protocol::config::Protocol;

use super::Client;
use super::reply::Reply;
use crate::simulation::auth_server::{digest_for, mail_command, rcpt_command};
use crate::simulation::ledger::Ending;
use crate::simulation::relay::{self, Role};
use crate::simulation::script::{self, Mechanism};

impl Client<'_> {
    /// One attempt. With its last bytes leave `early` bytes of the relay's stream.
    pub(super) async fn log_in(&mut self, attempt: usize, early: usize) -> Result<(), Ending> {
        let user = self.script.login(self.session);
        let password = script::password(self.session, attempt, false);
        match (self.script.mechanism, self.script.protocol) {
            (Mechanism::Envelope, _) => {
                if attempt == 0 {
                    self.say(&mail_command(self.session)).await?;
                }
                let line = format!("{}\r\n", rcpt_command(self.session));
                self.finish(line, early).await?;
            }
            (Mechanism::Command, Protocol::Imap) => {
                let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
                let line = self.command(&format!("LOGIN {user} \"{quoted}\""));
                self.finish(line, early).await?;
            }
            (Mechanism::Literals { plus }, _) => self.by_literals(&user, &password, plus, early).await?,
            (Mechanism::Command, _) => {
                if self.script.is_pipelining {
                    self.finish(format!("USER {user}\r\nPASS {password}\r\n"), early).await?;
                    self.hear("USER").await?;
                } else {
                    self.say(&format!("USER {user}")).await?;
                    self.finish(format!("PASS {password}\r\n"), early).await?;
                }
            }
            (Mechanism::Apop, _) => {
                let digest = digest_for(&self.challenge());
                self.finish(format!("APOP {user} {digest}\r\n"), early).await?;
            }
            (Mechanism::Plain { .. } | Mechanism::Login | Mechanism::CramMd5 | Mechanism::External, _) => {
                self.by_sasl(&user, &password, early).await?;
            }
        }
        match self.reply().await? {
            Reply::Good(text) => {
                self.check_welcome(&text);
                Ok(())
            }
            Reply::No(text) => Err(self.meaning(&text)),
            Reply::Prompt(text) => {
                self.conn.world.complain(format!("a login is answered by a prompt: {text:?}"));
                Err(Ending::Reset)
            }
        }
    }

    async fn by_literals(
        &mut self,
        user: &str,
        password: &str,
        plus: bool,
        early: usize,
    ) -> Result<(), Ending> {
        let sign = if plus { "+" } else { "" };
        let first = self.command(&format!("LOGIN {{{}{sign}}}", user.len()));
        let second = format!("{user} {{{}{sign}}}\r\n", password.len());
        if plus {
            return self.finish(format!("{first}{second}{password}\r\n"), early).await;
        }
        self.write(first.as_bytes()).await?;
        self.prompt().await?;
        self.write(second.as_bytes()).await?;
        self.prompt().await?;
        self.finish(format!("{password}\r\n"), early).await
    }

    async fn by_sasl(&mut self, user: &str, password: &str, early: usize) -> Result<(), Ending> {
        let verb = if self.script.protocol == Protocol::Imap { "AUTHENTICATE" } else { "AUTH" };
        let plain = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
        let (words, responses) = match self.script.mechanism {
            Mechanism::Plain { initial: true } => (format!("PLAIN {plain}"), vec![]),
            Mechanism::Plain { initial: false } => ("PLAIN".to_owned(), vec![plain]),
            Mechanism::External => (format!("EXTERNAL {}", BASE64.encode(user.as_bytes())), vec![]),
            Mechanism::CramMd5 => ("CRAM-MD5".to_owned(), vec![String::new()]),
            _ => {
                ("login".to_owned(), vec![BASE64.encode(user.as_bytes()), BASE64.encode(password.as_bytes())])
            }
        };
        let first = self.command(&format!("{verb} {words}"));
        let Some(last) = responses.len().checked_sub(1) else {
            return self.finish(first, early).await;
        };
        self.write(first.as_bytes()).await?;
        for (number, response) in responses.into_iter().enumerate() {
            let prompt = self.prompt().await?;
            let response =
                if response.is_empty() { self.answer_challenge(user, &prompt) } else { response } + "\r\n";
            if number == last {
                return self.finish(response, early).await;
            }
            self.write(response.as_bytes()).await?;
        }
        Ok(())
    }

    /// CRAM-MD5; the auth server knows what we make of a challenge.
    fn answer_challenge(&self, user: &str, prompt: &str) -> String {
        let challenge = BASE64.decode(prompt.as_bytes()).unwrap_or_default();
        let challenge = String::from_utf8_lossy(&challenge).into_owned();
        let answer = format!("{user} {}", digest_for(&challenge));
        self.set_challenge(challenge);
        BASE64.encode(answer.as_bytes())
    }

    fn challenge(&self) -> String {
        self.conn.world.ledger.borrow().records[self.session].challenge.clone()
    }

    async fn prompt(&mut self) -> Result<String, Ending> {
        self.conn.pause(self.script.pause_ms).await;
        match self.reply().await? {
            Reply::Prompt(text) => Ok(text),
            Reply::Good(text) | Reply::No(text) => {
                self.conn.world.complain(format!("{text:?} where a prompt is due"));
                Err(Ending::Reset)
            }
        }
    }

    /// Sends the last bytes of a login, and what the client sends without awaiting its outcome.
    async fn finish(&mut self, line: String, early: usize) -> Result<(), Ending> {
        {
            let record = &mut self.conn.world.ledger.borrow_mut().records[self.session];
            record.login_end = self.written + line.len();
            (record.is_judged, record.is_asked, record.is_backend_asked) = (false, false, false);
        }
        let mut bytes = line.into_bytes();
        bytes.extend(relay::bytes(self.session, Role::Client, 0, early));
        self.write(&bytes).await?;
        if early > 0 && self.is_hasty() {
            self.conn.shut_down().await;
        }
        Ok(())
    }
}

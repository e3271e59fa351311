//! Reading replies, strictly.

use gatepost_protocol::config::Protocol;

use super::Client;
use crate::simulation::ledger::Ending;
use crate::simulation::peer::Gone;

/// One reply: the text behind what marks its kind.
pub(super) enum Reply {
    Good(String),
    No(String),
    /// Of a SASL exchange, or for a literal.
    Prompt(String),
}

/// What the proxy says in parting, and why.
pub(super) fn farewell(line: &str) -> Option<Ending> {
    match line {
        "* BYE server shutting down" => Some(Ending::Shutdown),
        "* BYE Autologout; idle for too long" => Some(Ending::TimedOut),
        _ if line.starts_with("421 4.3.2 ") => Some(Ending::Shutdown),
        _ if line.starts_with("421 4.4.2 ") => Some(Ending::TimedOut),
        _ => None,
    }
}

/// Whether a line is a positive reply.
pub(super) fn is_good(protocol: Protocol, line: &str) -> bool {
    match protocol {
        Protocol::Imap => line.split(' ').nth(1) == Some("OK"),
        Protocol::Pop3 => line.starts_with("+OK"),
        Protocol::Smtp => line.starts_with('2'),
    }
}

impl Client<'_> {
    pub(super) async fn read_line(&self) -> Result<String, Ending> {
        match self.conn.read_line().await {
            Ok(line) => Ok(String::from_utf8_lossy(&line).into_owned()),
            Err(Gone::Ended) => Err(Ending::Closed),
            Err(Gone::Reset) => Err(Ending::Reset),
        }
    }

    /// The reply to the oldest command that has none.
    pub(super) async fn reply(&mut self) -> Result<Reply, Ending> {
        let reply = match self.script.protocol {
            Protocol::Imap => self.imap_reply().await?,
            Protocol::Pop3 => self.pop3_reply().await?,
            Protocol::Smtp => self.smtp_reply().await?,
        };
        reply.ok_or_else(|| {
            self.conn.world.complain("a reply is none of its protocol");
            Ending::Reset
        })
    }

    async fn pop3_reply(&self) -> Result<Option<Reply>, Ending> {
        let line = self.read_line().await?;
        let rest = |mark: &str| line.strip_prefix(mark).map(|rest| rest.trim_start().to_owned());
        Ok(rest("+OK")
            .map(Reply::Good)
            .or_else(|| rest("-ERR ").map(Reply::No))
            .or_else(|| rest("+ ").map(Reply::Prompt)))
    }

    async fn imap_reply(&mut self) -> Result<Option<Reply>, Ending> {
        loop {
            let line = self.read_line().await?;
            if let Some(ending) = farewell(&line) {
                return Err(ending);
            }
            if let Some(prompt) = line.strip_prefix("+ ") {
                return Ok(Some(Reply::Prompt(prompt.to_owned())));
            }
            let Some((tag, rest)) = line.split_once(' ') else { return Ok(None) };
            if tag == "*" {
                continue;
            }
            let expected = self.tags.pop_front();
            if expected.as_deref() != Some(tag) {
                self.conn.world.complain(format!("a reply to {tag} where {expected:?} waits"));
                return Err(Ending::Reset);
            }
            let (kind, text) = rest.split_once(' ').unwrap_or((rest, ""));
            return Ok(match kind {
                "OK" => Some(Reply::Good(text.to_owned())),
                "NO" | "BAD" => Some(Reply::No(text.to_owned())),
                _ => None,
            });
        }
    }

    async fn smtp_reply(&self) -> Result<Option<Reply>, Ending> {
        loop {
            let line = self.read_line().await?;
            if let Some(ending) = farewell(&line) {
                return Err(ending);
            }
            let Some((code, text)) = line.split_at_checked(3) else { return Ok(None) };
            if !code.bytes().all(|byte| byte.is_ascii_digit()) {
                return Ok(None);
            }
            match text.as_bytes().first() {
                Some(b'-') => continue,
                Some(b' ') => {}
                _ => return Ok(None),
            }
            return Ok(match code.as_bytes()[0] {
                b'2' => Some(Reply::Good(text.trim_start().to_owned())),
                b'3' => Some(Reply::Prompt(text.trim_start().to_owned())),
                b'4' | b'5' => Some(Reply::No(format!("{code}{text}"))),
                _ => None,
            });
        }
    }

    /// What a negative reply to a login means.
    pub(super) fn meaning(&self, text: &str) -> Ending {
        let of_smtp = |text: &str| text.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
        match (self.script.protocol, text) {
            (Protocol::Pop3, "[SYS/TEMP] Temporary authentication failure")
            | (Protocol::Imap, "[UNAVAILABLE] Temporary authentication failure")
            | (Protocol::Smtp, "454 4.7.0 Temporary authentication failure") => Ending::Temporary,
            (Protocol::Pop3, "internal server error")
            | (Protocol::Imap, "[UNAVAILABLE] internal server error")
            | (Protocol::Smtp, "451 4.3.2 Internal server error") => Ending::Internal,
            (Protocol::Smtp, _) => Ending::Refused(of_smtp(text)),
            (Protocol::Imap | Protocol::Pop3, _) => Ending::Refused(text.to_owned()),
        }
    }
}

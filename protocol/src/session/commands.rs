//! The command loop: cuts what the client says into lines and literals, and does what the machine makes of them.

use std::time::Instant;

use crate::action::Side;
use crate::deadline::Timer;
use crate::event::{Event, Stage};
use crate::line::{self, Front};
use crate::machine::{Expect, Step};
use crate::session::core::Core;
use crate::session::login::Authenticating;
use crate::session::phase::Phase;

/// Waits for commands.
#[derive(Debug, Default)]
pub(super) struct Commands {
    /// Bytes that the lines and literals of an unfinished command had so far.
    used: usize,
    /// Whether the client has said nothing since the greeting.
    is_unheard: bool,
}

impl Commands {
    /// Starts behind the greeting.
    pub(super) fn begin(core: &mut Core, now: Instant) -> Phase {
        let is_unheard = core.inbox.is_empty();
        let mut phase = Self::start(core, now);
        if let Phase::Commands(commands) = &mut phase {
            commands.is_unheard = is_unheard;
        }
        phase
    }

    /// What the client is being sent, if anything.
    pub(super) fn sending_stage(&self) -> Stage {
        if self.is_unheard { Stage::SendingGreeting } else { Stage::Auth }
    }

    /// Gives the client `timeout` from now to log in.
    pub(super) fn start(core: &mut Core, now: Instant) -> Phase {
        let timeout = core.server.timeout;
        core.deadlines.arm(Timer::Client, now, timeout);
        Self::go_on(core, now)
    }

    /// Goes on with what the client has said meanwhile, the deadline as it is.
    pub(super) fn go_on(core: &mut Core, now: Instant) -> Phase {
        core.stage = Stage::Auth;
        if core.must_end() {
            core.ask(|machine, context| machine.on_shutdown(context));
            return core.close();
        }
        let said = core.inbox.take();
        let phase = Self::default().on_client(&said, core, now);
        let waits_for_more = matches!(phase, Phase::Commands(_) | Phase::StartTls);
        if waits_for_more && core.client_ended { core.close() } else { phase }
    }

    /// Takes client bytes: straight from the lent buffer, unless an unfinished command waits for them.
    pub(super) fn on_client(mut self, bytes: &[u8], core: &mut Core, now: Instant) -> Phase {
        self.is_unheard &= bytes.is_empty();
        let joined = core.inbox.join(bytes);
        let mut rest: &[u8] = &joined;
        loop {
            let replied = core.reply.len();
            let step = match self.take_front(&mut rest, core) {
                Taken::Step(step) => step,
                Taken::Partial => {
                    core.inbox.append(rest);
                    return Phase::Commands(self);
                }
            };
            match step {
                Step::Continue => {}
                Step::StartTls if rest.is_empty() => {
                    core.stage = Stage::StartingTls;
                    core.log_context.starttls = true;
                    return Phase::StartTls;
                }
                Step::StartTls => {
                    core.reply.truncate(replied);
                    core.log(Event::PlaintextAfterStartTls(Side::Client));
                    core.ask(|machine, context| machine.on_plaintext_after_starttls(context));
                    return core.close();
                }
                Step::Authenticate(credentials) => {
                    core.inbox.append(rest);
                    return Authenticating::begin(credentials, core, now);
                }
                Step::Close => return core.close(),
            }
        }
    }

    /// Hands the machine the line or literal at the front of `rest`, once it is complete.
    fn take_front(&mut self, rest: &mut &[u8], core: &mut Core) -> Taken {
        let limit = core.server.client_buffer.saturating_sub(self.used);
        let expected = core.machine.expect();
        let (front, length) = match expected {
            Expect::Line => match line::front(rest, limit) {
                Front::Line(line, length) => (line, length),
                Front::Partial => return Taken::Partial,
                Front::TooLong => return overflow(rest, limit, core),
            },
            Expect::Literal(length) if length > limit => return overflow(rest, limit, core),
            Expect::Literal(length) if length > rest.len() => return Taken::Partial,
            Expect::Literal(length) => (&rest[..length], length),
        };
        *rest = &rest[length..];
        if self.used == 0 && is_http_request(front) {
            core.log(Event::HttpRequest);
            return Taken::Step(Step::Close);
        }
        let step = core.ask(|machine, context| match expected {
            Expect::Line => machine.on_line(front, context),
            Expect::Literal(_) => machine.on_literal(front, context),
        });
        // A command goes on behind a line that announces a literal, and behind every literal.
        let is_unfinished =
            matches!(expected, Expect::Literal(_)) || matches!(core.machine.expect(), Expect::Literal(_));
        self.used = if is_unfinished { self.used + length } else { 0 };
        Taken::Step(step)
    }
}

/// What became of the bytes at the front.
enum Taken {
    /// The machine has had them.
    Step(Step),
    /// More must come.
    Partial,
}

/// What follows a command that is too long cannot be told from its rest, so the session ends.
fn overflow(rest: &[u8], limit: usize, core: &mut Core) -> Taken {
    // Only what fits: the log must not depend on how the bytes were split.
    let received = &rest[..rest.len().min(limit)];
    core.ask(|machine, context| machine.on_overflow(received, context));
    Taken::Step(Step::Close)
}

/// Whether a browser speaks. Whoever leads one to a mail port wants our replies to be taken for a web server's
/// (CVE-2021-3618), so there is none. The method alone would not do: `GET` is a proper tag in IMAP; nor the version: it
/// may be part of a POP3 password.
fn is_http_request(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] =
        [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE", b"PRI"];
    let mut words = line.split(|&byte| byte == b' ');
    words.next().is_some_and(|method| METHODS.contains(&method))
        && words.nth(1).is_some_and(|version| version.starts_with(b"HTTP/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines_of_http() {
        for line in ["GET / HTTP/1.1", "POST /?a=b HTTP/1.0", "PRI * HTTP/2.0", "OPTIONS * HTTP/1.1"] {
            assert!(is_http_request(line.as_bytes()), "{line}");
        }
        for line in ["GET NOOP", "a1 LOGIN HTTP/1.1 x", "PASS x HTTP/1.1", " / HTTP/1.1", "USER joe", ""] {
            assert!(!is_http_request(line.as_bytes()), "{line}");
        }
    }
}

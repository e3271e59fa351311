//! From accept to greeting: PROXY header, TLS, the client's name, the greeting delay (spec/protocols.md sections 4, 8.3).

use std::time::{Duration, Instant};

use crate::action::{Action, DnsError, LookupFailure};
use crate::address::ProxyAddresses;
use crate::client_certificate::CertificateFault;
use crate::config::{Mail, Protocol};
use crate::deadline::Timer;
use crate::event::{Event, Stage};
use crate::line::Pending;
use crate::proxy_protocol;
use crate::realip::real_client;
use crate::session::commands::Commands;
use crate::session::core::Core;
use crate::session::phase::Phase;
use crate::words::without_credentials;

/// The client's name where it is not known, and cannot be found out by asking again.
const UNAVAILABLE: &str = "[UNAVAILABLE]";
/// The client's name where the lookup failed for now.
const TEMPORARILY_UNAVAILABLE: &str = "[TEMPUNAVAIL]";

/// Waits for the PROXY header.
#[derive(Debug, Default)]
pub(super) struct ProxyHeader {
    /// The beginning of the header.
    pub(super) received: Pending,
}

impl ProxyHeader {
    /// The client sends no more, and the header is not complete.
    pub(super) fn on_eof(mut self, core: &mut Core) -> Phase {
        core.log(proxy_protocol::unfinished(&self.received.take()));
        core.close()
    }
}

/// The phase of a session that has just been accepted.
pub(super) fn accept(proxy_protocol: bool, core: &mut Core, now: Instant) -> Phase {
    core.actions.log(Event::Connected, None);
    let timeout = core.server.timeout;
    if proxy_protocol {
        core.stage = Stage::ReadingProxyHeader;
        core.deadlines.arm(Timer::Client, now, timeout);
        return Phase::ProxyHeader(ProxyHeader::default());
    }
    if core.ssl {
        core.deadlines.arm(Timer::Client, now, timeout);
    }
    begin(core, now)
}

/// The PROXY header is complete: who the client is, is known now.
pub(super) fn on_proxy_header(addresses: Option<ProxyAddresses>, core: &mut Core, now: Instant) -> Phase {
    if let Some(addresses) = addresses {
        if let Some(client) = real_client(&core.log_context.client, &addresses, &core.server.real_ip_from) {
            core.log_context.client = client;
        }
        core.proxy = Some(addresses);
    }
    begin(core, now)
}

fn begin(core: &mut Core, now: Instant) -> Phase {
    if core.ssl {
        core.stage = Stage::Handshaking;
        return Phase::Handshake;
    }
    start_mail(core, now)
}

/// The handshake is complete, and the client is not one that may come in (spec/protocols.md section 5.1).
pub(super) fn on_certificate_fault(fault: CertificateFault, core: &mut Core) -> Phase {
    core.log(match fault {
        CertificateFault::Refused(failure) => Event::CertificateRefused(failure.to_string().into()),
        CertificateFault::Missing => Event::NoCertificate,
    });
    core.ask(|machine, context| machine.on_certificate_fault(fault, context));
    core.close()
}

/// TLS, if any, is established: an SMTP client's name comes first, the others are greeted.
pub(super) fn start_mail(core: &mut Core, now: Instant) -> Phase {
    if core.protocol() != Protocol::Smtp {
        return greet(core, now);
    }
    // A handshake's deadline must not end the lookup.
    core.deadlines.clear(Timer::Client);
    if !core.server.resolve {
        return on_name(UNAVAILABLE.into(), core, now);
    }
    match core.log_context.client.ip() {
        Some(address) => {
            core.stage = Stage::ResolvingAddress;
            // A client that has waited for `timeout` is greeted rather than lost.
            let limit = core.server.resolver_timeout.saturating_mul(2).min(core.server.timeout);
            core.start(Action::Resolve(address), Timer::Lookup, now, limit);
            Phase::Lookup
        }
        None => on_name(TEMPORARILY_UNAVAILABLE.into(), core, now),
    }
}

/// The lookup has ended.
pub(super) fn on_resolved(name: Result<Box<str>, LookupFailure>, core: &mut Core, now: Instant) -> Phase {
    core.deadlines.clear(Timer::Lookup);
    let name = name.unwrap_or_else(|failure| {
        let (stage, name) = match &failure {
            LookupFailure::Mismatch => return UNAVAILABLE.into(),
            LookupFailure::InvalidName(_) => (Stage::ResolvingAddress, TEMPORARILY_UNAVAILABLE),
            LookupFailure::Address(error) => (Stage::ResolvingAddress, name_for(*error)),
            LookupFailure::Name(_, error) => (Stage::ResolvingName, name_for(*error)),
        };
        core.actions.log(Event::LookupFailed(failure), Some(stage));
        name.into()
    });
    on_name(name, core, now)
}

fn name_for(error: DnsError) -> &'static str {
    match error {
        DnsError::NotFound => UNAVAILABLE,
        DnsError::Format
        | DnsError::ServerFailure
        | DnsError::Unimplemented
        | DnsError::Refused
        | DnsError::TimedOut => TEMPORARILY_UNAVAILABLE,
    }
}

fn on_name(name: Box<str>, core: &mut Core, now: Instant) -> Phase {
    core.client_host = Some(name);
    let delay = greeting_delay(core);
    if delay.is_zero() {
        return greet(core, now);
    }
    core.stage = Stage::DelayingGreeting;
    if !core.inbox.is_empty() {
        let early = core.inbox.take();
        return on_early_input(&early, core);
    }
    core.deadlines.arm(Timer::GreetingDelay, now, delay);
    Phase::GreetingDelay
}

fn greeting_delay(core: &Core) -> Duration {
    match &core.server.mail {
        Mail::Smtp(settings) => settings.greeting_delay,
        Mail::Imap(_) | Mail::Pop3(_) => Duration::ZERO,
    }
}

/// SMTP: who speaks before a delayed greeting does not listen.
pub(super) fn on_early_input(bytes: &[u8], core: &mut Core) -> Phase {
    core.log(Event::RejectedBeforeGreeting(excerpt(bytes).to_vec()));
    core.ask(|machine, context| machine.on_early_input(context));
    core.close()
}

/// What the log shows of it: the first line, without the password that may be in it.
fn excerpt(bytes: &[u8]) -> &[u8] {
    const AUTH: &[u8] = b"AUTH";
    let line = &bytes[..memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len())];
    match line.split_at_checked(AUTH.len()) {
        // Even where no space follows.
        Some((verb, _)) if verb.eq_ignore_ascii_case(AUTH) => verb,
        Some(_) | None => without_credentials(line),
    }
}

/// Greets the client and starts the command loop, whose `timeout` runs from here.
pub(super) fn greet(core: &mut Core, now: Instant) -> Phase {
    core.ask(|machine, context| machine.greeting(context));
    Commands::begin(core, now)
}

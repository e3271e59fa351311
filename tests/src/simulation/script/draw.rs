//! The dice: how likely each plan is.

use std::time::Duration;

use fastrand::Rng;
use gatepost_protocol::config::{Protocol, ProxySsl};

use super::{
    ADDRESSES, Absence, BackendPlan, Manner, Mechanism, Nonsense, RelayEnd, RelayPlan, Server, TlsFault,
};
use crate::simulation::network::Weather;

pub(super) fn manner(random: &mut Rng) -> Manner {
    match random.u8(..100) {
        0..3 => Manner::Silent,
        3..5 => Manner::HalfCommand,
        5..6 => Manner::FallsSilent,
        6..11 => Manner::LeavesEarly { by_reset: random.bool() },
        11..18 => Manner::LeavesDuringLogin { by_reset: random.bool() },
        18..21 => Manner::Garbage,
        21..24 => Manner::Endless,
        24..25 => Manner::Browser,
        25..28 => Manner::InjectsBehindStartTls,
        28 => Manner::Hasty,
        29 => Manner::BrokenHeader,
        _ => Manner::Proper,
    }
}

pub(super) fn mechanism(random: &mut Rng, protocol: Protocol, server: Server) -> Mechanism {
    if server == Server::Open {
        return Mechanism::Envelope;
    }
    let initial = random.bool();
    let plus = random.bool();
    let own = match protocol {
        Protocol::Imap if random.bool() => Mechanism::Literals { plus },
        Protocol::Pop3 if random.bool() => Mechanism::Apop,
        Protocol::Imap | Protocol::Pop3 => Mechanism::Command,
        Protocol::Smtp => Mechanism::Plain { initial },
    };
    let shared = [Mechanism::Plain { initial }, Mechanism::Login, Mechanism::CramMd5, Mechanism::External];
    if random.bool() { own } else { shared[random.usize(..4)] }
}

pub(super) fn absence(random: &mut Rng) -> Absence {
    [
        Absence::FailsAtOnce,
        Absence::FailsLater,
        Absence::NeverConnects,
        Absence::Silent,
        Absence::StopsInHead,
        Absence::ClosesInHead,
        Absence::Resets,
    ][random.usize(..7)]
}

/// Which of so many addresses are away; not all of them, and in ways that let the next one be asked.
pub(super) fn gaps(random: &mut Rng, addresses: usize) -> [Option<Absence>; ADDRESSES] {
    let ways = [Absence::FailsAtOnce, Absence::FailsLater, Absence::NeverConnects, Absence::Resets];
    let mut gaps = [None; ADDRESSES];
    for gap in &mut gaps[..addresses] {
        *gap = (random.u8(..6) == 0).then(|| ways[random.usize(..ways.len())]);
    }
    gaps[random.usize(..addresses)] = None;
    gaps
}

pub(super) fn nonsense(random: &mut Rng) -> Nonsense {
    [
        Nonsense::StatusLine,
        Nonsense::Header,
        Nonsense::TooBig,
        Nonsense::NoStatus,
        Nonsense::Error500,
        Nonsense::BadServer,
        Nonsense::BadPort,
        Nonsense::NoServer,
    ][random.usize(..8)]
}

pub(super) fn backend(random: &mut Rng, protocol: Protocol) -> BackendPlan {
    // An IMAP backend has at least two replies, the others three.
    let replies = if protocol == Protocol::Imap { 2 } else { 3 };
    let step = random.usize(..replies);
    match random.u8(..40) {
        0 => BackendPlan::FailsAtOnce,
        1 => BackendPlan::FailsLater,
        2 => BackendPlan::NeverConnects,
        3 => BackendPlan::Silent(step),
        4 => BackendPlan::Closes(step),
        5 => BackendPlan::Resets(step),
        6 => BackendPlan::Nonsense(step),
        7 => BackendPlan::Endless(step),
        8 | 9 => BackendPlan::Refuses,
        _ => BackendPlan::Works,
    }
}

pub(super) fn backend_tls(random: &mut Rng) -> ProxySsl {
    match random.u8(..8) {
        0 => ProxySsl::On,
        1 => ProxySsl::StartTls,
        _ => ProxySsl::Off,
    }
}

pub(super) fn tls_fault(random: &mut Rng, protocol: Protocol, tls: ProxySsl) -> TlsFault {
    match random.u8(..10) {
        0..3 if tls == ProxySsl::StartTls => TlsFault::ClearBehindStartTls,
        3 if tls == ProxySsl::StartTls && protocol == Protocol::Smtp => TlsFault::NotOffered,
        0..4 => TlsFault::Clear,
        4..7 => TlsFault::WrongName,
        7 => TlsFault::Silent,
        8 => TlsFault::Closes,
        _ => TlsFault::Resets,
    }
}

pub(super) fn relay(random: &mut Rng) -> RelayPlan {
    let mut size = || match random.u8(..40) {
        0 => random.usize(100_000..300_000),
        1..8 => random.usize(2_000..30_000),
        8..12 => 0,
        _ => random.usize(1..2_000),
    };
    let (up, down) = (size(), size());
    RelayPlan {
        up,
        early: if random.bool() { random.usize(..=up.min(9_000)) } else { 0 },
        down,
        surplus: if random.bool() { random.usize(..=down.min(3_000)) } else { 0 },
        end: match random.u8(..10) {
            0 => RelayEnd::Idle,
            1 => RelayEnd::ClientResets,
            2 => RelayEnd::BackendResets,
            3..7 => RelayEnd::ClientFirst,
            _ => RelayEnd::BackendFirst,
        },
        stop: Duration::from_millis(if random.u8(..4) == 0 { random.u64(..20_000) } else { 0 }),
    }
}

pub(super) fn weather(random: &mut Rng) -> Weather {
    let calm = random.bool();
    let most_us = [200, 2_000, 40_000][random.usize(..3)];
    Weather {
        delay_us: (most_us / 10, most_us),
        split: if calm { 0 } else { 60 },
        short: if calm { 0 } else { 30 },
        stall: if calm { 0 } else { 5 },
        stall_ms: 400,
        capacity: [700, 4_096, 20_000, 200_000][random.usize(..4)],
        is_datagram: false,
        loss: 0,
    }
}

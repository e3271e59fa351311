//! Everything that happened, in order, small enough to keep all of it, and one number that stands for it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// One thing that happened.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Happening {
    at: Duration,
    session: Option<usize>,
    what: What,
}

/// What it was. Streams have the number in which they were opened; counts are bytes.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) enum What {
    /// A task was polled.
    Poll { task: usize },
    /// The proxy opened or got a stream.
    Open { stream: usize, leg: Leg },
    /// The proxy read.
    Read { stream: usize, leg: Leg, count: usize },
    /// The proxy read the end, or an error.
    End { stream: usize, leg: Leg, is_error: bool },
    /// The proxy wrote; the digest is of the bytes.
    Write { stream: usize, leg: Leg, count: usize, digest: u64 },
    /// The proxy ended its sending direction.
    Shutdown { stream: usize, leg: Leg },
    /// The proxy dropped the stream.
    Drop { stream: usize, leg: Leg },
    /// A line of the log; the number is its place among them.
    Log { line: usize, digest: u64 },
    /// Something of the director's: reload, drain, end.
    Stage(&'static str),
}

/// Whom a stream leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Leg {
    Client,
    Backend,
    Auth,
    Names,
}

/// All that happened.
#[derive(Default)]
pub(super) struct Trace {
    happenings: Vec<Happening>,
    lines: Vec<Box<str>>,
    hasher: Mixer,
}

impl Trace {
    pub(super) fn push(&mut self, at: Duration, session: Option<usize>, what: What) {
        let happening = Happening { at, session, what };
        happening.hash(&mut self.hasher);
        self.happenings.push(happening);
    }

    pub(super) fn push_line(&mut self, at: Duration, session: Option<usize>, line: &str) {
        let what = What::Log { line: self.lines.len(), digest: digest(line.as_bytes()) };
        self.lines.push(line.into());
        self.push(at, session, what);
    }

    /// The same for the same run, on the same toolchain.
    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }

    pub(super) fn len(&self) -> usize {
        self.happenings.len()
    }

    /// The last things that happened, to one session or at all.
    pub(super) fn tail(&self, session: Option<usize>, count: usize) -> String {
        let is_shown = |happening: &&Happening| match session {
            Some(_) => happening.session == session && !matches!(happening.what, What::Poll { .. }),
            None => true,
        };
        let mut lines: Vec<_> =
            self.happenings.iter().rev().filter(is_shown).take(count).map(|it| self.show(it)).collect();
        lines.reverse();
        lines.join("\n")
    }

    fn show(&self, happening: &Happening) -> String {
        let session = happening.session.map_or_else(|| "-".to_owned(), |session| session.to_string());
        let what: &dyn fmt::Debug = &happening.what;
        let text = match happening.what {
            What::Log { line, .. } => format!("log: {:.300}", self.lines[line]),
            What::Stage(text) => text.to_owned(),
            _ => format!("{what:?}"),
        };
        format!("{:>12.6} s  session {session:>4}  {text}", happening.at.as_secs_f64())
    }
}

/// Bytes as one number.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    let mut mixer = Mixer::default();
    mixer.write(bytes);
    mixer.finish()
}

/// A hash that is the same on every machine and toolchain, and fast without optimisation: it meets no enemy.
#[derive(Default)]
struct Mixer(u64);

impl Mixer {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

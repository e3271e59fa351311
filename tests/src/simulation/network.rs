//! Connections in memory: two directions, each with a bounded buffer, a delay, and a seeded way of cutting what is
//! written into pieces. Ends, resets and closing with unread input behave as TCP's do.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use fastrand::Rng;
use nix::libc;

use super::executor::{Executor, Slot};

/// How a connection treats bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// The shortest and the longest way from one end to the other, in microseconds.
    pub(super) delay_us: (u64, u64),
    /// Percent of writes that arrive in several pieces.
    pub(super) split: u8,
    /// Percent of writes that take only a part of what was offered.
    pub(super) short: u8,
    /// Percent of writes that find the socket full for a while.
    pub(super) stall: u8,
    /// The longest such while, in milliseconds.
    pub(super) stall_ms: u64,
    /// Bytes on their way, or arrived and not read, at most.
    pub(super) capacity: usize,
    /// Each write is one datagram.
    pub(super) is_datagram: bool,
    /// Percent of datagrams that are lost, and of those that arrive twice.
    pub(super) loss: u8,
}

/// The proxy's end, and the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Proxy,
    Peer,
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Proxy => Self::Peer,
            Self::Peer => Self::Proxy,
        }
    }
}

/// One connection.
pub(super) struct Link {
    weather: Weather,
    random: Rng,
    /// What travels to each end.
    ways: [Way; 2],
}

/// One direction, named by the end it leads to.
#[derive(Default)]
struct Way {
    pieces: VecDeque<(Duration, Vec<u8>)>,
    /// Bytes in `pieces`.
    held: usize,
    last_arrival: Duration,
    /// When the end of the stream arrives.
    end: Option<Duration>,
    /// When a reset arrives, which destroys what was not read.
    reset: Option<Duration>,
    /// Whether the reader has been told of the reset.
    was_told: bool,
    /// The reader's end is gone.
    is_dropped: bool,
    full_until: Duration,
    reader: Slot,
    writer: Slot,
}

impl Link {
    pub(super) fn new(weather: Weather, random: Rng) -> Self {
        Self { weather, random, ways: <[Way; 2]>::default() }
    }

    fn way(&mut self, to: End) -> &mut Way {
        &mut self.ways[to as usize]
    }

    fn delay(&mut self) -> Duration {
        let (least, most) = self.weather.delay_us;
        Duration::from_micros(self.random.u64(least..=most))
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.random.u8(..100) < percent
    }

    /// Reads what has arrived at this end; zero bytes are the end.
    pub(super) fn read(
        &mut self,
        end: End,
        executor: &Executor,
        cx: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let now = executor.passed();
        let is_datagram = self.weather.is_datagram;
        // Sometimes a read stops where a segment ends, though the next one is there.
        let is_one_piece = is_datagram || self.chance(20);
        let way = self.way(end);
        if way.reset.is_some_and(|at| at <= now) {
            way.pieces.clear();
            way.held = 0;
            // Told once, the system has only the end to say. Our own peers need not guess which of the two it was.
            let was_told = std::mem::replace(&mut way.was_told, true) && end == End::Proxy;
            let error = io::Error::from_raw_os_error(libc::ECONNRESET);
            return Poll::Ready(if was_told { Ok(0) } else { Err(error) });
        }
        let mut count = 0;
        while let Some((at, piece)) = way.pieces.front_mut()
            && *at <= now
            && count < buffer.len()
            && (count == 0 || !is_one_piece)
        {
            let part = piece.len().min(buffer.len() - count);
            buffer[count..count + part].copy_from_slice(&piece[..part]);
            count += part;
            way.held -= if is_datagram { piece.len() } else { part };
            if part == piece.len() || is_datagram {
                way.pieces.pop_front();
            } else {
                piece.drain(..part);
            }
        }
        if count > 0 {
            way.writer.wake();
            return Poll::Ready(Ok(count));
        }
        if way.pieces.is_empty() && way.end.is_some_and(|at| at <= now) {
            return Poll::Ready(Ok(0));
        }
        way.reader.wait(cx);
        if let Some(at) = way.next_arrival() {
            executor.alarm(at, &way.reader);
        }
        Poll::Pending
    }

    /// Writes from this end what there is room for.
    pub(super) fn write(
        &mut self,
        end: End,
        executor: &Executor,
        cx: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let now = executor.passed();
        let to = end.other();
        if self.way(end).reset.is_some_and(|at| at <= now) {
            let errno = if std::mem::replace(&mut self.way(end).was_told, true) {
                libc::EPIPE
            } else {
                libc::ECONNRESET
            };
            return Poll::Ready(Err(io::Error::from_raw_os_error(errno)));
        }
        if self.way(to).end.is_some() {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EPIPE)));
        }
        if self.weather.is_datagram {
            self.send_datagram(to, now, executor, bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.way(to).is_dropped {
            // It leaves, and a reset comes back.
            let at = now + self.delay() + self.delay();
            self.reset_arrives(end, at, executor);
            return Poll::Ready(Ok(bytes.len()));
        }
        if self.way(to).full_until <= now && self.weather.stall > 0 && self.chance(self.weather.stall) {
            let while_ms = self.random.u64(1..=self.weather.stall_ms.max(1));
            self.way(to).full_until = now + Duration::from_millis(while_ms);
        }
        let room = self.weather.capacity.saturating_sub(self.way(to).held);
        if room == 0 || self.way(to).full_until > now {
            let way = self.way(to);
            way.writer.wait(cx);
            if way.full_until > now {
                executor.alarm(way.full_until, &way.writer);
            }
            return Poll::Pending;
        }
        let mut count = room.min(bytes.len());
        if count > 1 && self.chance(self.weather.short) {
            count = self.random.usize(1..count);
        }
        self.send(to, now, executor, &bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn send(&mut self, to: End, now: Duration, executor: &Executor, mut bytes: &[u8]) {
        let mut cuts = if self.chance(self.weather.split) { self.random.usize(1..=4) } else { 0 };
        while !bytes.is_empty() {
            let length = if cuts > 0 && bytes.len() > 1 {
                cuts -= 1;
                self.random.usize(1..bytes.len())
            } else {
                bytes.len()
            };
            let (piece, rest) = bytes.split_at(length);
            bytes = rest;
            let at = (now + self.delay()).max(self.way(to).last_arrival);
            self.way(to).arrive(at, piece, executor);
        }
    }

    fn send_datagram(&mut self, to: End, now: Duration, executor: &Executor, bytes: &[u8]) {
        let loss = self.weather.loss;
        if self.way(to).is_dropped || self.chance(loss) {
            return;
        }
        for _ in 0..if self.chance(loss) { 2 } else { 1 } {
            let at = now + self.delay();
            self.way(to).arrive(at, bytes, executor);
        }
    }

    /// Ends the sending direction of this end.
    pub(super) fn shut_down(&mut self, end: End, executor: &Executor) {
        let at = executor.passed() + self.delay();
        let way = self.way(end.other());
        if way.end.is_none() {
            let at = at.max(way.last_arrival);
            way.end = Some(at);
            executor.alarm(at, &way.reader);
        }
    }

    /// Closes this end. Unread input makes that a reset.
    pub(super) fn close(&mut self, end: End, executor: &Executor) {
        if std::mem::replace(&mut self.way(end).is_dropped, true) {
            return;
        }
        if self.way(end).pieces.is_empty() || self.weather.is_datagram {
            self.shut_down(end, executor);
            self.way(end).writer.wake();
        } else {
            self.abort(end, executor);
        }
    }

    /// Resets the connection from this end.
    pub(super) fn abort(&mut self, end: End, executor: &Executor) {
        let way = self.way(end);
        way.is_dropped = true;
        // Nothing can be read here any more either.
        way.reset.get_or_insert_with(|| executor.passed());
        way.reader.wake();
        let at = (executor.passed() + self.delay()).max(self.way(end.other()).last_arrival);
        self.reset_arrives(end.other(), at, executor);
    }

    fn reset_arrives(&mut self, at_end: End, at: Duration, executor: &Executor) {
        let way = self.way(at_end);
        way.reset.get_or_insert(at);
        executor.alarm(at, &way.reader);
        let writer = &self.way(at_end.other()).writer;
        executor.alarm(at, writer);
    }
}

impl Way {
    fn arrive(&mut self, at: Duration, piece: &[u8], executor: &Executor) {
        let place = self.pieces.partition_point(|(earlier, _)| *earlier <= at);
        self.pieces.insert(place, (at, piece.to_vec()));
        self.held += piece.len();
        self.last_arrival = self.last_arrival.max(at);
        if self.reader.is_waiting() {
            executor.alarm(at, &self.reader);
        }
    }

    /// When something can be read that cannot be read yet.
    fn next_arrival(&self) -> Option<Duration> {
        let piece = self.pieces.front().map(|(at, _)| *at);
        [piece.or(self.end), self.reset].into_iter().flatten().min()
    }
}

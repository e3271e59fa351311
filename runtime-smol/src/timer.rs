//! Timers on smol.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

/// Unset until the first `set`.
#[derive(Debug)]
pub struct Timer(smol::Timer);

impl Default for Timer {
    fn default() -> Self {
        Self(smol::Timer::never())
    }
}

impl gatepost_daemon::runtime::Timer for Timer {
    fn set(&mut self, at: Instant) {
        self.0.set_at(at);
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_| ())
    }
}

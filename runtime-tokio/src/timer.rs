//! Timers on tokio.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// Unset until the first `set`.
#[derive(Default, Debug)]
pub struct Timer(Option<Pin<Box<Sleep>>>);

impl gatepost_daemon::runtime::Timer for Timer {
    fn set(&mut self, at: Instant) {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(at.into()),
            None => self.0 = Some(Box::pin(tokio::time::sleep_until(at.into()))),
        }
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

//! From the workers of one configuration to those of the next: none is told to go before another one serves.

use gatepost_protocol::event::Level;
use nix::unistd::Pid;

use super::{Master, Stage};

/// A new generation of workers of which none was known to serve when it began.
#[derive(Debug)]
pub(super) struct Succession {
    /// The workers before it.
    old: Vec<Pid>,
    /// Whether it was told that none of the new ones could start. One that does later takes over all the same.
    has_failed: bool,
}

/// How the workers of the present generation are doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// None has reported yet.
    Awaited,
    /// One serves, at least.
    Made,
    /// None was forked, or all have ended without a report. They may be tried again.
    Failed,
}

impl Master<'_> {
    /// Starts workers on the present configuration. Those before them serve until one of these does.
    pub(super) fn renew_workers(&mut self) {
        self.note("start worker processes");
        let old = self.workers.begin_generation();
        self.stage = Stage::Serving;
        self.start_workers();
        self.succession = Some(Succession { old, has_failed: false });
    }

    /// Lets the old workers drain if new ones have taken over.
    pub(super) fn follow_succession(&mut self) {
        self.workers.hear();
        if matches!(self.stage, Stage::Quitting | Stage::Stopping { .. }) {
            // All have been told to go.
            self.succession = None;
        }
        let Some(succession) = &mut self.succession else { return };
        match self.workers.beginning() {
            Beginning::Awaited => {}
            Beginning::Made => {
                let old = std::mem::take(&mut succession.old);
                self.succession = None;
                self.workers.retire(&old, &self.plan.log);
                let parting = self.sockets.part();
                if !self.upgrade.is_under_way() {
                    self.sockets.forget(&parting);
                }
                self.answer(&self.serving());
            }
            Beginning::Failed if !succession.has_failed => {
                succession.has_failed = true;
                let message = "no worker process could start on the new configuration";
                self.plan.log.note(Level::Alert, &format!("{message}, those before it go on"));
                self.answer(&format!("serving as before, reload failed: {message}"));
            }
            Beginning::Failed => {}
        }
    }
}

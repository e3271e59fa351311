//! From the workers of one configuration to those of the next: none is told to go before another one serves.

use gatepost_protocol::event::Level;
use nix::unistd::Pid;

use super::{Master, Stage, move_pid_file};
use crate::plan::Plan;

/// A new generation of workers of which none was known to serve when it began.
#[derive(Debug)]
pub(super) struct Succession {
    /// The workers before it.
    old: Vec<Pid>,
    /// What comes back if none of the new ones can start; `None` if they are on the same configuration.
    previous: Option<Previous>,
    /// Whether it was told that none of the new ones could start. One that does later takes over all the same.
    has_failed: bool,
}

/// What was in force before a reload.
#[derive(Debug)]
pub(super) struct Previous {
    pub(super) plan: Plan,
    pub(super) stage: Stage,
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
    pub(super) fn renew_workers(&mut self, previous: Option<Previous>) {
        self.note("start worker processes");
        // What no worker has served yet is nothing to come back to.
        let unmade = self.succession.take().and_then(|succession| succession.previous);
        if unmade.is_some() {
            self.workers.dismiss_awaited(&self.plan.log);
        }
        let old = self.workers.begin_generation();
        self.stage = Stage::Serving;
        self.start_workers();
        self.succession = Some(Succession { old, previous: unmade.or(previous), has_failed: false });
    }

    /// Lets the old workers drain if new ones have taken over.
    pub(super) fn follow_succession(&mut self) {
        self.workers.hear();
        match self.stage {
            Stage::Serving => {}
            // All have been told to go.
            Stage::Quitting | Stage::Stopping { .. } => self.succession = None,
            Stage::Idle => {
                if self.succession.take().is_some() {
                    self.sockets.part(self.upgrade.is_under_way());
                    self.answer("no worker processes, they were told to go while new ones started");
                }
            }
        }
        let Some(succession) = &mut self.succession else { return };
        match self.workers.beginning() {
            Beginning::Awaited => {}
            Beginning::Made => {
                let old = std::mem::take(&mut succession.old);
                self.succession = None;
                self.workers.retire(&old, &self.plan.log);
                self.sockets.part(self.upgrade.is_under_way());
                self.answer(&self.serving());
            }
            Beginning::Failed if !succession.has_failed => {
                succession.has_failed = true;
                if let Some(previous) = succession.previous.take() {
                    self.succession = None;
                    self.restore(previous);
                }
                let message = "no worker process could start on the new configuration";
                self.plan.log.note(Level::Alert, &format!("{message}, those before it go on"));
                self.answer(&format!("serving as before, reload failed: {message}"));
            }
            Beginning::Failed => {}
        }
    }

    /// Goes back to what the old workers serve: to its sockets and its pid file, and to its workers.
    fn restore(&mut self, Previous { plan, stage }: Previous) {
        self.sockets.sort(&plan);
        self.sockets.part(self.upgrade.is_under_way());
        // While a successor runs, the file has made room for its own, and comes back to where it was.
        if !self.upgrade.has_successor() {
            move_pid_file(&mut self.pid_file, &plan);
        }
        self.plan = plan;
        self.stage = stage;
        self.redirect_stderr();
        self.workers.cancel_respawns();
        if stage == Stage::Serving {
            // Old ones that have died since were not replaced, as new ones were to come.
            for number in 0..self.plan.workers {
                if !self.workers.has(number) {
                    self.workers.spawn(number, &self.plan, &mut self.sockets);
                }
            }
        }
    }
}

//! What the master does on each signal.

use std::time::Duration;

use gatepost_protocol::event::Level;
use nix::sys::signal::Signal;

use super::ended::Ended;
use super::{Master, Stage, upgrade};
use crate::signals::{Order, Received};
use crate::sys;

/// The pauses between two requests to stop at once; then the workers are killed.
const INSISTENCE_MS: [u64; 5] = [50, 100, 200, 400, 800];

impl Master<'_> {
    pub(super) fn obey(&mut self, received: Received) {
        let order = received.order;
        self.note(&received.notice(self.purpose(order)));
        // A master on its way out begins nothing new.
        let is_staying = matches!(self.stage, Stage::Serving | Stage::Idle);
        match order {
            Order::Reload if is_staying => self.reload(),
            Order::Drain if is_staying => {
                self.stage = Stage::Quitting;
                self.tell_end();
                // The workers close theirs; clients are refused from here on.
                self.sockets.close();
                if !self.upgrade.is_under_way() {
                    self.sockets.forget_all();
                }
                self.workers.signal(Signal::SIGQUIT, &self.plan.log);
            }
            Order::Stop => {
                self.stage = Stage::Stopping { told: 0, next: sys::now() };
                self.tell_end();
                self.insist();
            }
            Order::Reopen => {
                self.note("reopening logs");
                self.reopen_logs();
            }
            Order::Upgrade if self.upgrade.is_under_way() => {
                let message = "the changing binary signal is ignored: you should shutdown or terminate before \
                               either old or new binary's process";
                self.plan.log.note(Level::Crit, message);
            }
            Order::Upgrade if is_staying => self.change_binary(),
            Order::Idle if self.workers.is_daemon() && is_staying => {
                self.stage = Stage::Idle;
                self.workers.signal(Signal::SIGQUIT, &self.plan.log);
            }
            Order::Reap => self.reap(),
            Order::Reload | Order::Drain | Order::Upgrade | Order::Idle => {}
        }
    }

    /// What the log says that a signal is for.
    fn purpose(&self, order: Order) -> &'static str {
        match order {
            Order::Reload => "reconfiguring",
            Order::Drain => "shutting down",
            Order::Stop => "exiting",
            Order::Reopen => "reopening logs",
            Order::Upgrade if self.upgrade.is_under_way() => "ignoring",
            Order::Upgrade => "changing binary",
            Order::Idle if self.workers.is_daemon() => "stop accepting connections",
            Order::Idle | Order::Reap => "",
        }
    }

    fn change_binary(&mut self) {
        self.note("changing binary");
        let mut environment = self.plan.variables.select();
        environment.extend(self.supervisor.variable());
        let Self { upgrade, program, sockets, pid_file, plan, .. } = self;
        upgrade.begin(program.binary, sockets, &environment, pid_file, &plan.log);
    }

    /// Takes note of all children that have ended.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = Ended::next(&self.plan.log) {
            if self.upgrade.successor() != Some(ended.pid) {
                self.workers.bury(ended, &self.plan.log);
                continue;
            }
            ended.tell(upgrade::NAME, &self.plan.log);
            self.upgrade.end(self.program.binary, &mut self.pid_file, &self.plan.log);
            match self.stage {
                // Nobody else would serve.
                Stage::Idle => {
                    self.stage = Stage::Serving;
                    self.start_workers();
                }
                // Nobody else listens, and whoever comes next is to find the names free.
                Stage::Quitting if !self.upgrade.is_under_way() => self.sockets.forget_all(),
                Stage::Serving | Stage::Quitting | Stage::Stopping { .. } => {}
            }
        }
    }

    /// Tells workers to stop at once, again and again, then kills them.
    pub(super) fn insist(&mut self) {
        let Stage::Stopping { told, next } = self.stage else { return };
        let now = sys::now();
        if now < next {
            return;
        }
        let (signal, pause_ms) = match INSISTENCE_MS.get(told) {
            Some(pause_ms) => (Signal::SIGTERM, *pause_ms),
            None => (Signal::SIGKILL, INSISTENCE_MS[0]),
        };
        self.workers.signal(signal, &self.plan.log);
        self.stage = Stage::Stopping { told: told + 1, next: now + Duration::from_millis(pause_ms) };
    }
}

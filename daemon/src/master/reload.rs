//! HUP: the configuration is read again, and workers that know it take over. USR1: the logs are opened again.

use gatepost_protocol::event::Level;

use super::{Master, Stage, background, report_removal, wanted};
use crate::listener;
use crate::log::lines::error_text;
use crate::pid::PidFile;
use crate::plan::Plan;
use crate::supervisor::News;

impl Master<'_> {
    /// Serves what the configuration says now, or goes on as before where it cannot be served.
    pub(super) fn reload(&mut self) {
        if self.upgrade.has_successor() {
            // Whatever the file says now may be meant for the new program.
            return self.renew_workers();
        }
        self.note("reconfiguring");
        self.tell(&News::Reloading);
        match self.reconfigure() {
            Ok(()) => self.tell_ready(),
            Err(message) => self.tell(&News::Ready(&format!("serving as before, reload failed: {message}"))),
        }
    }

    /// The error has been logged.
    fn reconfigure(&mut self) -> Result<(), String> {
        let plan = (self.program.load)(&self.plan.log).map_err(|error| {
            self.plan.log.note(Level::Emerg, &error.message);
            error.hint.iter().for_each(|hint| self.note(hint));
            error.message
        })?;
        let known = self.listening.len();
        let log = &self.plan.log;
        let mut message = String::new();
        let opened = listener::open_all(&wanted(&plan), &mut self.listening, |level, text| {
            log.note(level, text);
            text.clone_into(&mut message);
        });
        if opened.is_err() {
            let new = self.listening.split_off(known);
            new.iter().for_each(|listening| listener::forget(&listening.address));
            return Err(message);
        }
        self.move_pid_file(&plan);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listening)
            .into_iter()
            .partition(|listening| plan.inlets.iter().any(|inlets| inlets.bind.address == listening.address));
        self.listening = kept;
        if !self.upgrade.is_under_way() {
            gone.iter().for_each(|listening| self.names.forget(&listening.address));
        }
        // Before the fork: a worker that inherited one would keep its address open.
        drop(gone);
        self.plan = plan;
        self.adjust_listening();
        self.renew_workers();
        Ok(())
    }

    /// Starts workers on the present configuration, and lets those before them drain.
    fn renew_workers(&mut self) {
        self.note("start worker processes");
        let old = self.workers.begin_generation();
        self.stage = Stage::Serving;
        self.start_workers();
        // Only now: clients that connect in between wait in the queue of a socket that stays open.
        self.workers.retire(&old, &self.plan.log);
    }

    /// Sockets that stay open follow the options in the configuration.
    pub(super) fn adjust_listening(&self) {
        for (address, options) in wanted(&self.plan) {
            let listening = self.listening.iter().find(|listening| listening.address == address);
            if let Some(Err(error)) = listening.map(|listening| listener::adjust(listening, &options)) {
                self.plan.log.note(Level::Alert, &error.to_string());
            }
        }
    }

    /// The file follows the name in the configuration.
    fn move_pid_file(&mut self, plan: &Plan) {
        if self.pid_file.path() == plan.pid_path {
            return;
        }
        match PidFile::create(&plan.pid_path) {
            Ok(file) => {
                let old = std::mem::replace(&mut self.pid_file, file);
                report_removal(plan, old);
            }
            Err(error) => {
                let path = plan.pid_path.display();
                plan.log.note(Level::Emerg, &format!("open() \"{path}\" failed {}", error_text(&error)));
            }
        }
    }

    /// Opens the log files by their names, for the workers, too.
    pub(super) fn reopen_logs(&mut self) {
        for (path, error) in self.plan.log_files.reopen() {
            let message = format!("open() \"{}\" failed {}", path.display(), error_text(&error));
            self.plan.log.note(Level::Emerg, &message);
        }
        // Standard error of a daemon is the first of them.
        if self.plan.is_daemon
            && let Err(message) = background::redirect(&self.plan)
        {
            self.plan.log.note(Level::Alert, &message);
        }
        self.workers.pass_logs(&self.plan);
    }
}

//! HUP: the configuration is read again, and workers that know it take over. USR1: the logs are opened again.

use gatepost_protocol::event::Level;

use super::succession::Previous;
use super::{Master, move_pid_file};
use crate::listener;
use crate::log::lines::error_text;
use crate::supervisor::News;

impl Master<'_> {
    /// Serves what the configuration says now, or goes on as before where it cannot be served.
    pub(super) fn reload(&mut self) {
        // Workers of the reload before may have taken over by now.
        self.follow_succession();
        if self.upgrade.has_successor() {
            // Whatever the file says now may be meant for the new program.
            self.tell_anyway(&News::Reloading);
            return self.renew_workers(None);
        }
        self.note("reconfiguring");
        self.tell_anyway(&News::Reloading);
        if let Err(message) = self.reconfigure() {
            self.answer(&format!("serving as before, reload failed: {message}"));
        }
    }

    /// Tells the supervisor that the reload has ended. Which master it has asked is known to it alone: it ignores the
    /// others.
    pub(super) fn answer(&self, status: &str) {
        let is_taking_over = self.upgrade.has_predecessor();
        self.tell_anyway(&if is_taking_over { News::Reloaded(status) } else { News::Ready(status) });
    }

    /// The error has been logged.
    fn reconfigure(&mut self) -> Result<(), String> {
        let plan = (self.program.load)(&self.plan.log).map_err(|error| {
            error.tell(&self.plan.log);
            error.message
        })?;
        self.sockets.follow(&plan, listener::ATTEMPTS, &self.plan.log)?;
        move_pid_file(&mut self.pid_file, &plan);
        let plan = std::mem::replace(&mut self.plan, plan);
        self.redirect_stderr();
        self.renew_workers(Some(Previous { plan, stage: self.stage }));
        Ok(())
    }

    /// Opens the log files by their names, for the workers, too.
    pub(super) fn reopen_logs(&mut self) {
        let all = self.workers.log_files(&self.plan);
        for (path, error) in all.iter().flat_map(|files| files.reopen()) {
            let message = format!("open() \"{}\" failed {}", path.display(), error_text(&error));
            self.plan.log.note(Level::Emerg, &message);
        }
        self.redirect_stderr();
        self.workers.pass_logs(&self.plan.log);
    }

    /// After the log files have changed.
    pub(super) fn redirect_stderr(&self) {
        if self.workers.stderr_follows_log()
            && let Err(error) = self.plan.log_files.redirect_stderr()
        {
            self.plan.log.note(Level::Alert, &format!("dup2() failed {}", error_text(&error)));
        }
    }
}

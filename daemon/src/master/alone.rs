//! One process that does it all (`master_process off`): what it needs besides a worker.

use std::fmt;
use std::io;

use gatepost_protocol::event::Level;

use super::sockets::{Post, Sockets};
use super::upgrade::Upgrade;
use super::{Load, finish, move_pid_file, tell};
use crate::listener::Listening;
use crate::log::lines::error_text;
use crate::pid::PidFile;
use crate::plan::Plan;
use crate::supervisor::{News, Supervisor};

/// How such a process is doing, for the supervisor.
pub(super) const SERVING: &str = "serving in one process";

/// What a worker without a master needs to take a new configuration.
pub(crate) struct Alone {
    /// What is served.
    pub(super) plan: Plan,
    pub(super) sockets: Sockets,
    pub(super) pid_file: PidFile,
    pub(super) upgrade: Upgrade,
    pub(super) supervisor: Supervisor,
    pub(super) load: Load,
}

impl Alone {
    /// What is to be served according to this plan, on copies of the sockets.
    ///
    /// # Errors
    /// `dup`'s.
    pub(super) fn post(&self, plan: &Plan) -> io::Result<Post> {
        let copy = |Listening { address, socket }: &Listening| {
            Ok(Listening { address: address.clone(), socket: socket.try_clone()? })
        };
        let copies = self.sockets.listening.iter().map(copy).collect::<io::Result<Vec<_>>>()?;
        Ok(Post::new(plan, copies))
    }

    /// Reads the configuration again and has it served. Where it cannot be, all goes on as before, and the log says why.
    /// `take_over` changes nothing, either, if it fails.
    pub(crate) fn renew(&mut self, take_over: impl FnOnce(Post) -> io::Result<()>) {
        self.plan.log.note(Level::Notice, "reconfiguring");
        self.tell(&News::Reloading);
        let status = match self.reconfigure(take_over) {
            Ok(()) => SERVING.to_owned(),
            Err(message) => format!("serving as before, reload failed: {message}"),
        };
        let is_taking_over = self.upgrade.has_predecessor();
        self.tell(&if is_taking_over { News::Reloaded(&status) } else { News::Ready(&status) });
    }

    /// The error has been logged.
    fn reconfigure(&mut self, take_over: impl FnOnce(Post) -> io::Result<()>) -> Result<(), String> {
        let log = self.plan.log.clone();
        let plan = (self.load)(&log).map_err(|error| {
            error.tell(&log);
            error.message
        })?;
        // Once: sessions would wait for the next attempt, too.
        self.sockets.follow(&plan, 1, &log)?;
        let failed = |call: &'static str| move |error| format!("{call} failed {}", error_text(&error));
        let post = self.post(&plan).map_err(failed("dup()"));
        let outcome = post.and_then(|post| take_over(post).map_err(failed("epoll_ctl()")));
        match &outcome {
            Ok(()) => {
                move_pid_file(&mut self.pid_file, &plan);
                self.plan = plan;
            }
            Err(message) => {
                log.note(Level::Alert, message);
                self.sockets.sort(&self.plan);
            }
        }
        // Those of before, or those that were opened in vain.
        self.sockets.part(self.upgrade.is_under_way());
        outcome
    }

    /// Leaves nothing behind.
    pub(super) fn end(&mut self) {
        // The service may still be the master's that started this process.
        if !self.upgrade.has_predecessor() {
            self.tell(&News::Stopping);
        }
        finish(&self.plan.log, &self.pid_file, &self.upgrade, &mut self.sockets);
    }

    fn tell(&self, news: &News<'_>) {
        tell(&self.supervisor, &self.plan.log, news);
    }
}

impl fmt::Debug for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alone").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

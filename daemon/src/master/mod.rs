//! The master: reads the configuration, opens the sockets, keeps the workers alive and obeys signals.
//!
//! It has no runtime and no thread, so it can fork at any time, and it touches no byte of any client.

mod background;
mod workers;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use self::workers::Workers;
use crate::listener::{self, Listening};
use crate::log::Log;
use crate::log::lines::{errno_text, error_text};
use crate::pid::PidFile;
use crate::plan::Plan;
use crate::signals::{Order, Received, Signals};
use crate::sys::{self, Shared};
use crate::worker::Assignment;

/// Runs one worker to its end: a program gives its runtime this way.
pub type Start = fn(Assignment) -> io::Result<()>;

/// Why there is no new configuration.
#[derive(Debug)]
pub(crate) struct LoadError {
    /// One line for the log.
    pub(crate) message: String,
    /// What the operator may have meant.
    pub(crate) hint: Option<String>,
    /// The source line and the hint, for standard error; lines without an end.
    pub(crate) excerpt: Option<String>,
}

impl LoadError {
    /// An error that belongs to no line.
    pub(crate) fn new(message: String) -> Self {
        Self { message, hint: None, excerpt: None }
    }
}

/// What the master needs of its program.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    /// The name, for the log.
    pub(crate) name: &'static str,
    /// Runs a worker.
    pub(crate) start: Start,
    /// Tells a message of the start to this log and to whoever started the program.
    pub(crate) say: &'a dyn Fn(&Log, Level, &str),
    /// Reads the configuration again, with what is to be said about it going to this log.
    pub(crate) load: &'a dyn Fn(&Log) -> Result<Plan, LoadError>,
}

/// The pauses between two requests to stop at once; then the workers are killed.
const INSISTENCE_MS: [u64; 5] = [50, 100, 200, 400, 800];

struct Master<'a> {
    plan: Plan,
    program: Program<'a>,
    listening: Vec<Listening>,
    workers: Workers,
    pid_file: PidFile,
    signals: Signals,
    stage: Stage,
}

/// How far the master is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Workers drain.
    Quitting,
    /// Workers were told to stop at once, this often; the next time is then.
    Stopping {
        told: usize,
        next: Instant,
    },
}

/// Serves the first configuration and those that follow it, until a signal ends it.
pub(crate) fn run(program: Program<'_>, plan: Plan) -> ExitCode {
    let say = |level, message: &str| (program.say)(&plan.log, level, message);
    let mut listening = Vec::new();
    let opened = listener::open_all(&wanted(&plan), &mut listening, say);
    let prepared = opened.and_then(|()| {
        announce(program.name, &plan);
        prepare(&plan).map_err(|message| say(Level::Emerg, &message))
    });
    let Ok((signals, shared, pid_file)) = prepared else {
        listening.iter().for_each(|listening| listener::forget(&listening.address));
        return ExitCode::FAILURE;
    };
    let workers = Workers::new(program.start, shared);
    let master = Master { plan, program, listening, workers, pid_file, signals, stage: Stage::Serving };
    if master.plan.has_master { master.run() } else { master.run_alone() }
}

/// Leaves the terminal where that is wanted, and makes what a master has besides sockets.
fn prepare(plan: &Plan) -> Result<(Signals, Shared, PidFile), String> {
    let failed = |errno: Errno| format!("start failed {}", errno_text(errno as i32));
    // First: whatever is sent to the process that goes on waits there until it is read.
    let signals = Signals::open().map_err(failed)?;
    if plan.is_daemon {
        background::detach(plan)?;
    }
    let shared = Shared::new().map_err(failed)?;
    let pid_file = PidFile::create(&plan.pid_path).map_err(|error| {
        let path = plan.pid_path.display();
        format!("open() \"{path}\" failed {}", error_text(&error))
    })?;
    Ok((signals, shared, pid_file))
}

fn wanted(plan: &Plan) -> Vec<(crate::runtime::Peer, listener::Options)> {
    plan.inlets.iter().map(|inlets| (inlets.bind.address.clone(), inlets.bind.options.clone())).collect()
}

fn announce(program: &str, plan: &Plan) {
    let note = |message: &str| plan.log.note(Level::Notice, message);
    note("using the \"epoll\" event method");
    note(&format!("{program}/{}", env!("CARGO_PKG_VERSION")));
    if let Ok(system) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        note(&format!("OS: Linux {}", system.trim_end()));
    }
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        note(&format!("getrlimit(RLIMIT_NOFILE): {soft}:{hard}"));
    }
}

impl Master<'_> {
    fn run(mut self) -> ExitCode {
        self.note("start worker processes");
        self.start_workers();
        while self.stage == Stage::Serving || !self.workers.is_empty() {
            match self.next_signal() {
                Some(received) => self.obey(received),
                None => self.insist(),
            }
            self.workers.respawn_due(&self.plan, &mut self.listening, self.stage == Stage::Serving);
        }
        self.end()
    }

    /// One process does it all (`master_process off`).
    fn run_alone(self) -> ExitCode {
        let Self { plan, listening, workers, pid_file, signals, .. } = self;
        // The worker opens its own.
        drop(signals);
        let outcome = workers.run_here(&plan, listening);
        finish(&plan, pid_file);
        outcome
    }

    fn end(self) -> ExitCode {
        finish(&self.plan, self.pid_file);
        self.plan.log.note(Level::Notice, "exit");
        ExitCode::SUCCESS
    }

    fn note(&self, message: &str) {
        self.plan.log.note(Level::Notice, message);
    }

    fn start_workers(&mut self) {
        for _ in 0..self.plan.workers {
            self.workers.spawn(&self.plan, &mut self.listening);
        }
    }

    /// The next signal; `None` when it is time to look after the workers.
    fn next_signal(&self) -> Option<Received> {
        if let Ok(received) = self.signals.read() {
            return Some(received);
        }
        let until = match self.stage {
            Stage::Stopping { next, .. } => Some(next),
            Stage::Serving | Stage::Quitting => self.workers.next_respawn(),
        };
        let timeout = until.map_or(PollTimeout::NONE, |until| {
            // Rounded up: a timeout that ends too early would only spin.
            let left = until.saturating_duration_since(sys::now()) + Duration::from_millis(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(std::os::fd::AsFd::as_fd(&self.signals), PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => None,
            Ok(_) => self.signals.read().ok(),
            Err(errno) => {
                self.plan.log.note(Level::Alert, &format!("poll() failed {}", errno_text(errno as i32)));
                None
            }
        }
    }

    fn obey(&mut self, received: Received) {
        let purpose = match received.order {
            Order::Reload => "reconfiguring",
            Order::Drain => "shutting down",
            Order::Stop => "exiting",
            Order::Reopen => "reopening logs",
            Order::Upgrade => "changing binary is not supported",
            Order::Idle => "stopping workers alone is not supported",
            Order::Reap => "",
        };
        self.note(&received.notice(purpose));
        match received.order {
            Order::Reload if self.stage == Stage::Serving => self.reload(),
            Order::Drain if self.stage == Stage::Serving => {
                self.stage = Stage::Quitting;
                // The workers close theirs; clients are refused from here on.
                self.listening.clear();
                self.workers.signal(Signal::SIGQUIT, &self.plan.log);
            }
            Order::Stop => {
                self.stage = Stage::Stopping { told: 0, next: sys::now() };
                self.insist();
            }
            Order::Reopen => {
                self.note("reopening logs");
                self.reopen_logs();
            }
            Order::Reap => self.workers.reap(&self.plan.log),
            // A master on its way out begins nothing new.
            Order::Reload | Order::Drain | Order::Upgrade | Order::Idle => {}
        }
    }

    /// Tells workers to stop at once, again and again, then kills them.
    fn insist(&mut self) {
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

    fn reload(&mut self) {
        self.note("reconfiguring");
        let plan = match (self.program.load)(&self.plan.log) {
            Ok(plan) => plan,
            Err(LoadError { message, hint, .. }) => {
                self.plan.log.note(Level::Emerg, &message);
                hint.iter().for_each(|hint| self.note(hint));
                return;
            }
        };
        let known = self.listening.len();
        let log = &self.plan.log;
        let opened =
            listener::open_all(&wanted(&plan), &mut self.listening, |level, text| log.note(level, text));
        if opened.is_err() {
            let new = self.listening.split_off(known);
            new.iter().for_each(|listening| listener::forget(&listening.address));
            return;
        }
        self.move_pid_file(&plan);
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.listening)
            .into_iter()
            .partition(|listening| plan.inlets.iter().any(|inlets| inlets.bind.address == listening.address));
        self.listening = kept;
        gone.iter().for_each(|listening| listener::forget(&listening.address));
        // Before the fork: a worker that inherited one would keep its address open.
        drop(gone);
        self.plan = plan;
        self.adjust_listening();
        self.note("start worker processes");
        let old = self.workers.begin_generation();
        self.start_workers();
        // Only now: clients that connect in between wait in the queue of a socket that stays open.
        self.workers.retire(&old, &self.plan.log);
    }

    /// Sockets that stay open follow the options in the configuration.
    fn adjust_listening(&self) {
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

    fn reopen_logs(&mut self) {
        for (path, error) in self.plan.log_files.reopen() {
            let message = format!("open() \"{}\" failed {}", path.display(), error_text(&error));
            self.plan.log.note(Level::Emerg, &message);
        }
        self.workers.pass_logs(&self.plan);
    }
}

/// Leaves nothing behind.
fn finish(plan: &Plan, pid_file: PidFile) {
    report_removal(plan, pid_file);
    plan.inlets.iter().for_each(|inlets| listener::forget(&inlets.bind.address));
}

fn report_removal(plan: &Plan, pid_file: PidFile) {
    let path = pid_file.path().to_owned();
    if let Err(error) = pid_file.remove() {
        let message = format!("unlink() \"{}\" failed {}", path.display(), error_text(&error));
        plan.log.note(Level::Alert, &message);
    }
}

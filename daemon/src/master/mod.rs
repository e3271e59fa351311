//! The master: reads the configuration, opens the sockets, keeps the workers alive and obeys signals.
//!
//! It has no runtime and no thread, so it can fork at any time, and it touches no byte of any client.

mod background;
mod ended;
mod place;
mod reload;
mod upgrade;
mod workers;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;

use self::ended::Ended;
pub(crate) use self::upgrade::Binary;
use self::upgrade::Upgrade;
use self::workers::Workers;
use crate::inherited::Inherited;
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
    /// How it was started.
    pub(crate) binary: &'a Binary,
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
    upgrade: Upgrade,
    stage: Stage,
}

/// How far the master is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// There are to be no workers for now.
    Idle,
    /// Workers drain.
    Quitting,
    /// Workers were told to stop at once, this often; the next time is then.
    Stopping {
        told: usize,
        next: Instant,
    },
}

/// Serves the first configuration and those that follow it, until a signal ends it.
pub(crate) fn run(program: Program<'_>, plan: Plan, mut inherited: Inherited) -> ExitCode {
    let say = |level, message: &str| (program.say)(&plan.log, level, message);
    inherited.keep(|address| plan.inlets.iter().any(|inlets| inlets.bind.address == *address));
    inherited.notes.iter().for_each(|(level, message)| say(*level, message));
    let Inherited { mut listening, predecessor, .. } = inherited;
    let upgrade = Upgrade::new(predecessor);
    let opened = listener::open_all(&wanted(&plan), &mut listening, say);
    let prepared = opened.and_then(|()| {
        announce(program.name, &plan);
        prepare(&plan, &upgrade).map_err(|message| say(Level::Emerg, &message))
    });
    let Ok((signals, shared, pid_file)) = prepared else {
        if !upgrade.has_predecessor() {
            listening.iter().for_each(|listening| listener::forget(&listening.address));
        }
        return ExitCode::FAILURE;
    };
    let workers = Workers::new(program.start, shared, plan.is_daemon || upgrade.has_predecessor());
    let stage = Stage::Serving;
    let master = Master { plan, program, listening, workers, pid_file, signals, upgrade, stage };
    // Those that were open already may have been made in another way.
    master.adjust_listening();
    if master.plan.has_master { master.run() } else { master.run_alone() }
}

/// Leaves the terminal where that is wanted, and makes what a master has besides sockets.
fn prepare(plan: &Plan, upgrade: &Upgrade) -> Result<(Signals, Shared, PidFile), String> {
    let failed = |errno: Errno| format!("start failed {}", errno_text(errno as i32));
    // First: whatever is sent to the process that goes on waits there until it is read.
    let signals = Signals::open().map_err(failed)?;
    if plan.is_daemon {
        // The master that started this one has left the terminal long ago, and is to remain its parent.
        if !upgrade.has_predecessor() {
            background::detach()?;
        }
        background::redirect(plan)?;
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
        while matches!(self.stage, Stage::Serving | Stage::Idle) || !self.workers.is_empty() {
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
        let Self { plan, listening, workers, pid_file, signals, upgrade, .. } = self;
        // The worker opens its own.
        drop(signals);
        let outcome = workers.run_here(&plan, listening);
        finish(&plan, pid_file, &upgrade);
        outcome
    }

    fn end(self) -> ExitCode {
        finish(&self.plan, self.pid_file, &self.upgrade);
        self.plan.log.note(Level::Notice, "exit");
        ExitCode::SUCCESS
    }

    fn note(&self, message: &str) {
        self.plan.log.note(Level::Notice, message);
    }

    fn start_workers(&mut self) {
        for number in 0..self.plan.workers {
            self.workers.spawn(number, &self.plan, &mut self.listening);
        }
    }

    /// The next signal; `None` when it is time to look after the workers.
    fn next_signal(&self) -> Option<Received> {
        if let Ok(received) = self.signals.read() {
            return Some(received);
        }
        let until = match self.stage {
            Stage::Stopping { next, .. } => Some(next),
            Stage::Serving | Stage::Idle | Stage::Quitting => self.workers.next_respawn(),
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
        let order = received.order;
        self.note(&received.notice(self.purpose(order)));
        // A master on its way out begins nothing new.
        let is_staying = matches!(self.stage, Stage::Serving | Stage::Idle);
        match order {
            Order::Reload if is_staying => self.reload(),
            Order::Drain if is_staying => {
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
        let environment = self.plan.variables.select();
        let Self { upgrade, program, listening, pid_file, plan, .. } = self;
        upgrade.begin(program.binary, listening, &environment, pid_file, &plan.log);
    }

    fn reap(&mut self) {
        while let Some(ended) = Ended::next(&self.plan.log) {
            if self.upgrade.successor() != Some(ended.pid) {
                self.workers.bury(ended, &self.plan.log);
                continue;
            }
            ended.tell(upgrade::NAME, &self.plan.log);
            self.upgrade.end(self.program.binary, &mut self.pid_file, &self.plan.log);
            if self.stage == Stage::Idle {
                // Nobody else would serve.
                self.stage = Stage::Serving;
                self.start_workers();
            }
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
}

/// Leaves nothing behind, but what another master goes on with.
fn finish(plan: &Plan, pid_file: PidFile, upgrade: &Upgrade) {
    report_removal(plan, pid_file);
    if upgrade.is_under_way() {
        return;
    }
    plan.inlets.iter().for_each(|inlets| listener::forget(&inlets.bind.address));
}

fn report_removal(plan: &Plan, pid_file: PidFile) {
    let path = pid_file.place();
    if let Err(error) = pid_file.remove() {
        let message = format!("unlink() \"{}\" failed {}", path.display(), error_text(&error));
        plan.log.note(Level::Alert, &message);
    }
}

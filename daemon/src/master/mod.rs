//! The master: reads the configuration, opens the sockets, keeps the workers alive and obeys signals.
//!
//! It has no runtime and no thread, so it can fork at any time, and it touches no byte of any client.

mod alone;
mod background;
mod ended;
mod orders;
mod place;
mod reload;
mod sockets;
mod succession;
mod upgrade;
mod workers;

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};

pub(crate) use self::alone::Alone;
pub(crate) use self::sockets::Post;
use self::sockets::Sockets;
use self::succession::Succession;
pub(crate) use self::upgrade::Binary;
use self::upgrade::Upgrade;
use self::workers::Workers;
use crate::cli;
use crate::inherited::Inherited;
use crate::listener;
use crate::log::Log;
use crate::log::lines::{errno_text, error_text};
use crate::metrics::Metrics;
use crate::pid::PidFile;
use crate::plan::Plan;
use crate::signals::{Received, Signals};
use crate::supervisor::{News, Supervisor};
use crate::sys;
use crate::title::{self, Role};
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

    /// Tells the log of a running program.
    fn tell(&self, log: &Log) {
        log.note(Level::Emerg, &self.message);
        self.hint.iter().for_each(|hint| log.note(Level::Notice, hint));
    }
}

/// Reads the configuration again, with what is to be said about it going to this log.
pub(crate) type Load = Rc<dyn Fn(&Log) -> Result<Plan, LoadError>>;

/// What the master needs of its program.
pub(crate) struct Program<'a> {
    /// The name, for the log.
    pub(crate) name: &'static str,
    /// The name that it shows, which may be nginx's.
    pub(crate) shown_name: &'static str,
    /// How it was started.
    pub(crate) binary: &'a Binary,
    /// Runs a worker.
    pub(crate) start: Start,
    /// Tells a message of the start to this log and to whoever started the program.
    pub(crate) say: &'a dyn Fn(&Log, Level, &str),
    pub(crate) load: Load,
}

struct Master<'a> {
    plan: Plan,
    program: Program<'a>,
    sockets: Sockets,
    workers: Workers,
    pid_file: PidFile,
    signals: Signals,
    upgrade: Upgrade,
    supervisor: Supervisor,
    stage: Stage,
    /// Old workers that wait for new ones.
    succession: Option<Succession>,
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
    inherited.keep(|address| sockets::is_wanted(&plan, address));
    inherited.notes.iter().for_each(|(level, message)| say(*level, message));
    let Inherited { mut listening, predecessor, lent, .. } = inherited;
    let upgrade = Upgrade::new(predecessor);
    // Whoever is connected, or reads the log, may send signals: from now on they wait until they are read.
    let signals = match Signals::open() {
        Ok(signals) => signals,
        Err(errno) => {
            say(Level::Emerg, &format!("signalfd() failed {}", errno_text(errno as i32)));
            return ExitCode::FAILURE;
        }
    };
    let opened = listener::open_all(&sockets::wanted(&plan), &mut listening, listener::ATTEMPTS, say);
    let prepared = opened.and_then(|()| {
        announce(program.name, &plan);
        prepare(&plan, &upgrade, &signals).map_err(|message| say(Level::Emerg, &message))
    });
    let mut sockets = Sockets::new(listening, lent);
    let Ok((metrics, pid_file)) = prepared else {
        if !upgrade.has_predecessor() {
            sockets.forget_all();
        }
        return ExitCode::FAILURE;
    };
    let supervisor = Supervisor::from_environment();
    sys::claim_title();
    let workers = Workers::new(&program, metrics, &plan, &upgrade);
    let stage = Stage::Serving;
    let succession = None;
    let master =
        Master { plan, program, sockets, workers, pid_file, signals, upgrade, supervisor, stage, succession };
    // Those that were open already may have been made in another way.
    master.sockets.adjust(&master.plan);
    if master.plan.has_master { master.run() } else { master.run_alone() }
}

/// Leaves the terminal where that is wanted, and makes what a master has besides sockets.
fn prepare(plan: &Plan, upgrade: &Upgrade, signals: &Signals) -> Result<(Metrics, PidFile), String> {
    let failed =
        |call: &'static str| move |errno: Errno| format!("{call} failed {}", errno_text(errno as i32));
    if plan.is_daemon {
        // The master that started this one has left the terminal long ago, and is to remain its parent.
        if !upgrade.has_predecessor() {
            background::detach(signals)?;
        }
        background::redirect(plan)?;
    }
    let mut run = [0; 8];
    sys::fill_random(&mut run);
    let metrics = Metrics::new(u64::from_ne_bytes(run)).map_err(failed("mmap()"))?;
    let pid_file = PidFile::create(&plan.pid_path).map_err(|error| {
        let path = plan.pid_path.display();
        format!("open() \"{path}\" failed {}", error_text(&error))
    })?;
    Ok((metrics, pid_file))
}

fn announce(program: &str, plan: &Plan) {
    let note = |message: &str| plan.log.note(Level::Notice, message);
    note("using the \"epoll\" event method");
    note(&format!("{program}/{}", env!("CARGO_PKG_VERSION")));
    note(&format!("built by {}", cli::COMPILER));
    if let Ok(system) = std::fs::read_to_string("/proc/sys/kernel/osrelease") {
        note(&format!("OS: Linux {}", system.trim_end()));
    }
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        note(&format!("getrlimit(RLIMIT_NOFILE): {soft}:{hard}"));
    }
}

impl Master<'_> {
    fn run(mut self) -> ExitCode {
        title::show(self.program.shown_name, Role::Master(&self.program.binary.command_line()));
        self.note("start worker processes");
        self.start_workers();
        self.tell_ready();
        while matches!(self.stage, Stage::Serving | Stage::Idle) || !self.workers.is_empty() {
            match self.next_signal() {
                Some(received) => self.obey(received),
                None => self.insist(),
            }
            self.follow_succession();
            if !self.upgrade.is_under_way() {
                // Another master may have served them until now.
                self.sockets.forget_closed();
            }
            self.workers.respawn_due(&self.plan, &mut self.sockets, self.stage == Stage::Serving);
        }
        self.end()
    }

    /// One process does it all (`master_process off`).
    fn run_alone(self) -> ExitCode {
        self.tell_ready();
        let Self { plan, program, sockets, workers, pid_file, signals, upgrade, supervisor, .. } = self;
        // The worker opens its own.
        drop(signals);
        let alone = Alone { plan, sockets, pid_file, upgrade, supervisor, load: program.load };
        let alone = Rc::new(RefCell::new(alone));
        let outcome = workers.run_here(&alone);
        alone.borrow_mut().end();
        outcome
    }

    fn end(mut self) -> ExitCode {
        // A successor may have ended since: then the names of the sockets are this master's to remove.
        self.reap();
        finish(&self.plan.log, &self.pid_file, &self.upgrade, &mut self.sockets);
        self.plan.log.note(Level::Notice, "exit");
        ExitCode::SUCCESS
    }

    fn note(&self, message: &str) {
        self.plan.log.note(Level::Notice, message);
    }

    /// Tells the supervisor, unless the service is still another master's.
    fn tell(&self, news: &News<'_>) {
        if !self.upgrade.has_predecessor() {
            self.tell_anyway(news);
        }
    }

    fn tell_anyway(&self, news: &News<'_>) {
        tell(&self.supervisor, &self.plan.log, news);
    }

    fn tell_ready(&self) {
        self.tell(&News::Ready(&self.serving()));
    }

    fn serving(&self) -> String {
        if self.plan.has_master {
            format!("serving, worker processes: {}", self.plan.workers)
        } else {
            alone::SERVING.to_owned()
        }
    }

    fn tell_end(&self) {
        self.tell(&self.upgrade.successor().map_or(News::Stopping, News::Successor));
    }

    fn start_workers(&mut self) {
        for number in 0..self.plan.workers {
            self.workers.spawn(number, &self.plan, &mut self.sockets);
        }
    }

    /// The next signal; `None` when a worker has reported, or when it is time to look after them.
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
        let channels = self.workers.awaited_channels();
        let descriptors = std::iter::once(self.signals.as_fd()).chain(channels);
        let mut awaited: Vec<_> = descriptors.map(|one| PollFd::new(one, PollFlags::POLLIN)).collect();
        match poll(&mut awaited, timeout) {
            Ok(0) | Err(Errno::EINTR) => None,
            Ok(_) => self.signals.read().ok(),
            Err(errno) => {
                self.plan.log.note(Level::Alert, &format!("poll() failed {}", errno_text(errno as i32)));
                None
            }
        }
    }
}

/// Tells the supervisor, or this log that it cannot be told.
fn tell(supervisor: &Supervisor, log: &Log, news: &News<'_>) {
    if let Err(error) = supervisor.tell(news) {
        let text = error_text(&error);
        log.note(Level::Warn, &format!("the supervisor on NOTIFY_SOCKET cannot be told {text}"));
    }
}

/// Leaves nothing behind, but what another master goes on with.
fn finish(log: &Log, pid_file: &PidFile, upgrade: &Upgrade, sockets: &mut Sockets) {
    report_removal(log, pid_file);
    if !upgrade.is_under_way() {
        sockets.forget_all();
    }
}

/// Makes the pid file follow its name in the configuration.
fn move_pid_file(pid_file: &mut PidFile, plan: &Plan) {
    if pid_file.path() == plan.pid_path {
        return;
    }
    match PidFile::create(&plan.pid_path) {
        Ok(file) => report_removal(&plan.log, &std::mem::replace(pid_file, file)),
        Err(error) => {
            let path = plan.pid_path.display();
            plan.log.note(Level::Emerg, &format!("open() \"{path}\" failed {}", error_text(&error)));
        }
    }
}

fn report_removal(log: &Log, pid_file: &PidFile) {
    let path = pid_file.place();
    if let Err(error) = pid_file.remove() {
        let message = format!("unlink() \"{}\" failed {}", path.display(), error_text(&error));
        log.note(Level::Alert, &message);
    }
}

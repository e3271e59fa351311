//! The worker processes of the master.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid};

use super::ended::{Ended, FATAL};
use super::sockets::Sockets;
use super::succession::Beginning;
use super::{Alone, Post, Program, Start, Upgrade, place};
use crate::channel;
use crate::drive;
use crate::log::lines::{errno_text, error_text};
use crate::log::{Log, LogFiles};
use crate::metrics::Metrics;
use crate::plan::Plan;
use crate::sys;
use crate::title::{self, Role};
use crate::worker::Assignment;

/// A worker that lived for less is replaced only after this long.
const RESPAWN_PAUSE: Duration = Duration::from_secs(1);

/// All workers, of all generations.
pub(super) struct Workers {
    start: Start,
    /// What `ps` shows of it.
    name: &'static str,
    metrics: Metrics,
    /// Whether there is no terminal.
    is_daemon: bool,
    /// Whether standard error was led to the first log file at the start, and follows it.
    stderr_follows_log: bool,
    generation: u64,
    processes: Vec<Process>,
    /// When to replace workers that died, and their numbers.
    respawns: Vec<(Instant, usize)>,
}

/// Who tells a worker what to do.
enum Boss {
    /// The master, which gave it a line.
    Master(OwnedFd),
    /// `master_process off`.
    Nobody(Rc<RefCell<Alone>>),
}

struct Process {
    pid: Pid,
    /// Its place among the workers of its configuration, from 0.
    number: usize,
    /// Where it counts what is going on.
    seat: usize,
    generation: u64,
    born: Instant,
    /// Whether the master has told it to end.
    is_leaving: bool,
    report: Report,
    channel: OwnedFd,
    /// Those of its configuration, which may not be the present one any more.
    log_files: Rc<LogFiles>,
}

/// What a worker has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Report {
    Awaited,
    Serving,
    /// Nothing, and it will not: it is about to end.
    Never,
}

impl Workers {
    pub(super) fn new(program: &Program<'_>, metrics: Metrics, plan: &Plan, upgrade: &Upgrade) -> Self {
        let Program { start, shown_name: name, .. } = *program;
        Self {
            start,
            name,
            metrics,
            is_daemon: plan.is_daemon || upgrade.has_predecessor(),
            stderr_follows_log: plan.is_daemon,
            generation: 0,
            processes: Vec::new(),
            respawns: Vec::new(),
        }
    }

    pub(super) fn is_daemon(&self) -> bool {
        self.is_daemon
    }

    pub(super) fn stderr_follows_log(&self) -> bool {
        self.stderr_follows_log
    }

    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    pub(super) fn next_respawn(&self) -> Option<Instant> {
        self.respawns.iter().map(|(at, _)| *at).min()
    }

    /// Starts one worker on the present configuration. Only the parent returns.
    pub(super) fn spawn(&mut self, number: usize, plan: &Plan, sockets: &mut Sockets) {
        let is_free = |seat: &usize| !self.processes.iter().any(|process| process.seat == *seat);
        let seat = (0..).find(is_free).unwrap_or_default();
        let forked = match channel::pair() {
            Ok(pair) => sys::fork().map(|fork| (pair, fork)).map_err(|errno| ("fork()", errno)),
            Err(errno) => Err(("socketpair()", errno)),
        };
        match forked {
            Ok(((ours, _), ForkResult::Parent { child })) => {
                plan.log.note(Level::Notice, &format!("start worker process {child}"));
                self.processes.push(Process {
                    pid: child,
                    number,
                    seat,
                    generation: self.generation,
                    born: sys::now(),
                    is_leaving: false,
                    report: Report::Awaited,
                    channel: ours,
                    log_files: Rc::clone(&plan.log_files),
                });
            }
            Ok(((ours, theirs), ForkResult::Child)) => {
                // The master's ends are not a worker's to hold open.
                drop(ours);
                self.processes.clear();
                self.metrics = self.metrics.on_seat(seat);
                // The sockets are the worker's to close when it stops to accept.
                let post = Post::new(plan, sockets.take());
                let work = AssertUnwindSafe(|| self.work(plan, post, number, theirs));
                // Unwinding further would run the master's code in the worker.
                let code = panic::catch_unwind(work).unwrap_or_else(|_| {
                    let place = drive::take_place();
                    plan.log
                        .note(Level::Alert, &format!("worker ended by a fault of this program at {place}"));
                    1
                });
                process::exit(code);
            }
            Err((call, errno)) => {
                let text = errno_text(errno as i32);
                let message = format!("{call} failed while spawning \"worker process\" {text}");
                plan.log.note(Level::Alert, &message);
                self.respawns.push((sys::now() + RESPAWN_PAUSE, number));
            }
        }
    }

    /// Works in this process.
    pub(super) fn run_here(self, alone: &Rc<RefCell<Alone>>) -> ExitCode {
        match self.serve_here(alone) {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                alone.borrow().plan.log.note(Level::Emerg, &message);
                ExitCode::FAILURE
            }
        }
    }

    fn serve_here(self, alone: &Rc<RefCell<Alone>>) -> Result<(), String> {
        let failed = |what: &'static str| move |error: io::Error| format!("{what} {}", error_text(&error));
        // The plan does not stay borrowed: another one may take its place.
        let assignment = {
            let Alone { plan, .. } = &*alone.borrow();
            let post = alone.borrow().post(plan).map_err(failed("dup() failed"))?;
            // The process remains whoever started it.
            sys::replace_environment(&plan.variables.select());
            self.assignment(plan, post, Boss::Nobody(Rc::clone(alone)))
        };
        (self.start)(assignment).map_err(failed("worker cannot start"))
    }

    /// The life of a worker process; its exit code.
    fn work(&self, plan: &Plan, post: Post, number: usize, channel: OwnedFd) -> i32 {
        let emerg = |message: &str| plan.log.note(Level::Emerg, message);
        sys::replace_environment(&plan.variables.select());
        title::show(self.name, Role::Worker);
        if let Err(message) = place::take(number, plan) {
            emerg(&message);
            return FATAL;
        }
        match (self.start)(self.assignment(plan, post, Boss::Master(channel))) {
            Ok(()) => 0,
            Err(error) => {
                emerg(&format!("worker cannot start {}", error_text(&error)));
                FATAL
            }
        }
    }

    fn assignment(&self, plan: &Plan, post: Post, boss: Boss) -> Assignment {
        let (channel, alone) = match boss {
            Boss::Master(channel) => (Some(channel), None),
            Boss::Nobody(alone) => (None, Some(alone)),
        };
        Assignment {
            name: self.name,
            post,
            shutdown_timeout: plan.shutdown_timeout,
            metrics: self.metrics,
            channel,
            alone,
            is_daemon: self.is_daemon,
            stderr_follows_log: self.stderr_follows_log,
        }
    }

    /// The next workers belong to a new configuration; the processes of the ones before.
    pub(super) fn begin_generation(&mut self) -> Vec<Pid> {
        self.generation += 1;
        self.respawns.clear();
        self.processes.iter().filter(|process| !process.is_leaving).map(|process| process.pid).collect()
    }

    /// Whether one has this number and is to stay.
    pub(super) fn has(&self, number: usize) -> bool {
        self.processes.iter().any(|process| process.number == number && !process.is_leaving)
    }

    pub(super) fn cancel_respawns(&mut self) {
        self.respawns.clear();
    }

    /// Where those will report that have not yet.
    pub(super) fn awaited_channels(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let awaited = self.processes.iter().filter(|process| process.report == Report::Awaited);
        awaited.map(|process| process.channel.as_fd())
    }

    /// Takes note of what workers have reported.
    pub(super) fn hear(&mut self) {
        for process in self.processes.iter_mut().filter(|process| process.report == Report::Awaited) {
            process.report = match channel::reported(process.channel.as_fd()) {
                None => Report::Awaited,
                Some(true) => Report::Serving,
                Some(false) => Report::Never,
            }
        }
    }

    /// How the present generation is doing.
    pub(super) fn beginning(&self) -> Beginning {
        let mut present = self.processes.iter().filter(|process| process.generation == self.generation);
        if present.clone().any(|process| process.report == Report::Serving) {
            return Beginning::Made;
        }
        if present.next().is_none() { Beginning::Failed } else { Beginning::Awaited }
    }

    /// Lets those of the present generation go that have not reported yet.
    pub(super) fn dismiss_awaited(&mut self, log: &Log) {
        let generation = self.generation;
        let present = self.processes.iter_mut().filter(|process| process.generation == generation);
        for process in present.filter(|process| process.report == Report::Awaited) {
            process.is_leaving = true;
            send(process.pid, Signal::SIGQUIT, log);
        }
    }

    /// Lets these drain.
    pub(super) fn retire(&mut self, old: &[Pid], log: &Log) {
        for process in self.processes.iter_mut().filter(|process| old.contains(&process.pid)) {
            process.is_leaving = true;
            send(process.pid, Signal::SIGQUIT, log);
        }
    }

    /// Sends all workers a signal that ends them.
    pub(super) fn signal(&mut self, signal: Signal, log: &Log) {
        self.respawns.clear();
        for process in &mut self.processes {
            process.is_leaving = true;
            send(process.pid, signal, log);
        }
    }

    /// The log files that are in use: of this plan, and of those before whose workers drain.
    pub(super) fn log_files(&self, plan: &Plan) -> Vec<Rc<LogFiles>> {
        let mut all = vec![Rc::clone(&plan.log_files)];
        for process in &self.processes {
            if !all.iter().any(|known| Rc::ptr_eq(known, &process.log_files)) {
                all.push(Rc::clone(&process.log_files));
            }
        }
        all
    }

    /// Hands reopened log files to the workers that write to them.
    pub(super) fn pass_logs(&self, log: &Log) {
        for process in &self.processes {
            let files = process.log_files.descriptors().unwrap_or_default();
            let channel = process.channel.as_fd();
            let mut all = (0..).zip(&files);
            let sent = all.try_for_each(|(number, file)| channel::send(channel, number, file.as_fd()));
            // What cannot be handed over, a worker opens by its name, where it may.
            if files.is_empty() || sent.is_err() {
                send(process.pid, Signal::SIGUSR1, log);
            }
        }
    }

    /// Takes note of a child that has ended, if it was a worker.
    pub(super) fn bury(&mut self, ended: Ended, log: &Log) {
        // Whoever started the master may have left it other children.
        let Some(index) = self.processes.iter().position(|process| process.pid == ended.pid) else { return };
        let process = self.processes.swap_remove(index);
        self.metrics.clear_seat(process.seat);
        if ended.is_fatal() {
            let pid = ended.pid;
            let message =
                format!("worker process {pid} exited with fatal code {FATAL} and cannot be respawned");
            return log.note(Level::Alert, &message);
        }
        ended.tell("worker process", log);
        if process.is_leaving || self.is_replaced(&process) {
            return;
        }
        let now = sys::now();
        let is_short_lived = now.saturating_duration_since(process.born) < RESPAWN_PAUSE;
        self.respawns.push((if is_short_lived { now + RESPAWN_PAUSE } else { now }, process.number));
    }

    /// Whether one of the present generation has its place, or soon will.
    fn is_replaced(&self, process: &Process) -> bool {
        let is_present =
            |other: &Process| other.generation == self.generation && other.number == process.number;
        process.generation != self.generation
            && (self.processes.iter().any(is_present)
                || self.respawns.iter().any(|(_, number)| *number == process.number))
    }

    /// Replaces workers that died, where there are still to be some.
    pub(super) fn respawn_due(&mut self, plan: &Plan, sockets: &mut Sockets, is_serving: bool) {
        let now = sys::now();
        let (due, later): (Vec<_>, _) =
            std::mem::take(&mut self.respawns).into_iter().partition(|(at, _)| *at <= now);
        self.respawns = later;
        if is_serving {
            // One of an older configuration may have been one of more.
            let numbers = due.iter().map(|(_, number)| *number).filter(|number| *number < plan.workers);
            numbers.for_each(|number| self.spawn(number, plan, sockets));
        }
    }
}

fn send(pid: Pid, signal: Signal, log: &Log) {
    if let Err(errno) = kill(pid, signal)
        && errno != Errno::ESRCH
    {
        let message = format!("kill({pid}, {}) failed {}", signal as i32, errno_text(errno as i32));
        log.note(Level::Alert, &message);
    }
}

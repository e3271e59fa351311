//! The worker processes of the master.

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::process::{self, ExitCode};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gatepost_protocol::event::Level;
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, geteuid};

use super::Start;
use crate::channel;
use crate::drive;
use crate::listener::Listening;
use crate::log::Log;
use crate::log::lines::{errno_text, error_text};
use crate::plan::Plan;
use crate::privileges;
use crate::runtime::Peer;
use crate::sys::{self, Shared};
use crate::worker::Assignment;

/// What a worker ends with when it cannot work at all: another one could not, either.
const FATAL: i32 = 2;

/// A worker that lived for less is replaced only after this long.
const RESPAWN_PAUSE: Duration = Duration::from_secs(1);

/// All workers, of all generations.
pub(super) struct Workers {
    start: Start,
    shared: Shared,
    generation: u64,
    processes: Vec<Process>,
    /// When to replace workers that died.
    respawns: Vec<Instant>,
}

struct Process {
    pid: Pid,
    generation: u64,
    born: Instant,
    /// Whether the master has told it to end.
    is_leaving: bool,
    channel: OwnedFd,
}

impl Workers {
    pub(super) fn new(start: Start, shared: Shared) -> Self {
        Self { start, shared, generation: 0, processes: Vec::new(), respawns: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    pub(super) fn next_respawn(&self) -> Option<Instant> {
        self.respawns.iter().min().copied()
    }

    /// Starts one worker on the present configuration. Only the parent returns.
    pub(super) fn spawn(&mut self, plan: &Plan, listening: &mut Vec<Listening>) {
        let forked = channel::pair().and_then(|pair| Ok((pair, sys::fork()?)));
        match forked {
            Ok(((ours, _), ForkResult::Parent { child })) => {
                plan.log.note(Level::Notice, &format!("start worker process {child}"));
                self.processes.push(Process {
                    pid: child,
                    generation: self.generation,
                    born: sys::now(),
                    is_leaving: false,
                    channel: ours,
                });
            }
            Ok(((ours, theirs), ForkResult::Child)) => {
                // The master's ends are not a worker's to hold open.
                drop(ours);
                self.processes.clear();
                // The sockets are the worker's to close when it stops to accept.
                let listening = std::mem::take(listening);
                let work = AssertUnwindSafe(|| self.work(plan, listening, Some(theirs)));
                // Unwinding further would run the master's code in the worker.
                let code = panic::catch_unwind(work).unwrap_or_else(|_| {
                    let place = drive::take_place();
                    plan.log
                        .note(Level::Alert, &format!("worker ended by a fault of this program at {place}"));
                    1
                });
                process::exit(code);
            }
            Err(errno) => {
                let message =
                    format!("fork() failed while spawning \"worker process\" {}", errno_text(errno as i32));
                plan.log.note(Level::Alert, &message);
                self.respawns.push(sys::now() + RESPAWN_PAUSE);
            }
        }
    }

    /// Works in this process.
    pub(super) fn run_here(self, plan: &Plan, listening: Vec<Listening>) -> ExitCode {
        match self.work(plan, listening, None) {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }

    /// The life of a worker process; its exit code.
    fn work(&self, plan: &Plan, listening: Vec<Listening>, channel: Option<OwnedFd>) -> i32 {
        let emerg = |message: &str| plan.log.note(Level::Emerg, message);
        // What `master_process off` runs is whoever started it.
        if channel.is_some()
            && let Err(message) = become_worker(plan)
        {
            emerg(&message);
            return FATAL;
        }
        match (self.start)(assignment(plan, listening, self.shared, channel)) {
            Ok(()) => 0,
            Err(error) => {
                emerg(&format!("worker cannot start {}", error_text(&error)));
                FATAL
            }
        }
    }

    /// The next workers belong to a new configuration; the processes of the ones before.
    pub(super) fn begin_generation(&mut self) -> Vec<Pid> {
        self.generation += 1;
        self.respawns.clear();
        self.processes.iter().filter(|process| !process.is_leaving).map(|process| process.pid).collect()
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

    /// Hands reopened log files to the workers that write to them.
    pub(super) fn pass_logs(&self, plan: &Plan) {
        let files = plan.log_files.descriptors().unwrap_or_default();
        for process in &self.processes {
            // Workers of an older configuration have other files and open them by name.
            let is_current = process.generation == self.generation && !files.is_empty();
            if !is_current || channel::send(process.channel.as_fd(), &files).is_err() {
                send(process.pid, Signal::SIGUSR1, &plan.log);
            }
        }
    }

    /// Takes note of the workers that have ended.
    pub(super) fn reap(&mut self, log: &Log) {
        loop {
            let (pid, message, is_fatal) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, FATAL)) => {
                    let message = format!(
                        "worker process {pid} exited with fatal code {FATAL} and cannot be respawned"
                    );
                    (pid, (Level::Alert, message), true)
                }
                Ok(WaitStatus::Exited(pid, code)) => {
                    let level = if code == 0 { Level::Notice } else { Level::Alert };
                    (pid, (level, format!("worker process {pid} exited with code {code}")), false)
                }
                Ok(WaitStatus::Signaled(pid, signal, has_core)) => {
                    let core = if has_core { " (core dumped)" } else { "" };
                    let message = format!("worker process {pid} exited on signal {}{core}", signal as i32);
                    (pid, (Level::Alert, message), false)
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(errno) => {
                    return log.note(Level::Alert, &format!("waitpid() failed {}", errno_text(errno as i32)));
                }
            };
            // Whoever started the master may have left it other children.
            if let Some(index) = self.processes.iter().position(|process| process.pid == pid) {
                log.note(message.0, &message.1);
                self.bury(index, is_fatal);
            }
        }
    }

    fn bury(&mut self, index: usize, is_fatal: bool) {
        let process = self.processes.swap_remove(index);
        if process.is_leaving || process.generation != self.generation || is_fatal {
            return;
        }
        let now = sys::now();
        let is_short_lived = now.saturating_duration_since(process.born) < RESPAWN_PAUSE;
        self.respawns.push(if is_short_lived { now + RESPAWN_PAUSE } else { now });
    }

    /// Replaces workers that died, where there are still to be some.
    pub(super) fn respawn_due(&mut self, plan: &Plan, listening: &mut Vec<Listening>, is_serving: bool) {
        let now = sys::now();
        let (due, later): (Vec<_>, _) =
            std::mem::take(&mut self.respawns).into_iter().partition(|at| *at <= now);
        self.respawns = later;
        if is_serving {
            due.iter().for_each(|_| self.spawn(plan, listening));
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

/// Limits, rights and place of a worker process.
fn become_worker(plan: &Plan) -> Result<(), String> {
    if let Some(limit) = plan.open_files
        && let Err(errno) = setrlimit(Resource::RLIMIT_NOFILE, limit, limit)
    {
        let text = errno_text(errno as i32);
        plan.log.note(Level::Alert, &format!("setrlimit(RLIMIT_NOFILE, {limit}) failed {text}"));
    }
    if let Some(limit) = plan.core_size
        && let Err(errno) = setrlimit(Resource::RLIMIT_CORE, limit, limit)
    {
        let text = errno_text(errno as i32);
        plan.log.note(Level::Alert, &format!("setrlimit(RLIMIT_CORE, {limit}) failed {text}"));
    }
    plan.environment.iter().for_each(|(name, value)| sys::set_variable(name, value));
    if let Some(account) = &plan.account
        && geteuid().is_root()
    {
        privileges::drop_to(account).map_err(|error| error.to_string())?;
    }
    if let Some(folder) = &plan.working_directory {
        std::env::set_current_dir(folder)
            .map_err(|error| format!("chdir(\"{}\") failed {}", folder.display(), error_text(&error)))?;
    }
    Ok(())
}

fn assignment(
    plan: &Plan,
    listening: Vec<Listening>,
    shared: Shared,
    channel: Option<OwnedFd>,
) -> Assignment {
    let inlets_of = |address: &Peer| plan.inlets.iter().find(|inlets| inlets.bind.address == *address);
    let with_inlets = |Listening { address, socket }| Some((Rc::clone(inlets_of(&address)?), socket));
    Assignment {
        listening: listening.into_iter().filter_map(with_inlets).collect(),
        log: plan.log.clone(),
        log_files: Rc::clone(&plan.log_files),
        connections: plan.connections,
        shutdown_timeout: plan.shutdown_timeout,
        shared,
        channel,
    }
}

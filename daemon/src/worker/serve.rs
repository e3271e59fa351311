//! The life of a worker: listen, serve, drain, end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use gatepost_protocol::event::Level;
use nix::libc;

use super::{Worker, accept, exposition};
use crate::channel::{self, Arrival};
use crate::drive;
use crate::inlet::Inlets;
use crate::log::LogFiles;
use crate::log::lines::{errno_text, error_text};
use crate::master::{Alone, Post};
use crate::metrics::Metrics;
use crate::runtime::{System, Watch};
use crate::sessions::Phase;
use crate::signals::{Order, Received, Signals};
use crate::slots::Slots;
use crate::title::{self, Role};

/// What a worker process is to do: made by the master, inherited by the fork.
#[derive(Debug)]
pub struct Assignment {
    /// What `ps` shows of the program.
    pub(crate) name: &'static str,
    pub(crate) post: Post,
    pub(crate) shutdown_timeout: Option<Duration>,
    pub(crate) metrics: Metrics,
    /// To the master; `None` without one.
    pub(crate) channel: Option<OwnedFd>,
    /// Without a master: how to get a new configuration.
    pub(crate) alone: Option<Rc<RefCell<Alone>>>,
    /// Whether there is no terminal that sends SIGWINCH on its own account.
    pub(crate) is_daemon: bool,
    /// Whether standard error goes where the first log file goes.
    pub(crate) stderr_follows_log: bool,
}

/// What decides about the meaning of some signals.
#[derive(Clone, Copy)]
struct Standing {
    /// Without a master nobody waits for a worker that drains, and nobody else reads a new configuration.
    is_alone: bool,
    /// A terminal sends SIGWINCH whenever its window changes.
    is_daemon: bool,
    stderr_follows_log: bool,
}

/// What a signal asks of the worker as a whole.
enum Reaction {
    Nothing,
    Drain,
    Stop,
    /// Read the configuration again, here.
    Renew,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

impl Assignment {
    /// Serves until a signal ends it, on this runtime.
    ///
    /// # Errors
    /// Where listeners or signals cannot be watched: nothing was served then.
    pub async fn serve<R: System>(self, runtime: R) -> io::Result<()> {
        drive::install_hook();
        let post = self.post;
        let slots = Slots::new(post.connections, post.reserved());
        let (log, debug_connections) = (post.log.clone(), Rc::clone(&post.debug_connections));
        let worker = Worker::new(runtime, slots, log, debug_connections, self.metrics);
        worker.runtime.spawn(Rc::clone(&worker.deadlines).run(Rc::clone(&worker)));
        let notices = Rc::<RefCell<VecDeque<Received>>>::default();
        let Self { is_daemon, stderr_follows_log, .. } = self;
        let standing = Standing { is_alone: self.channel.is_none(), is_daemon, stderr_follows_log };
        let mut watching: Vec<Task> = vec![signal_task(&worker, &notices)?];
        let mut log_files = Rc::clone(&post.log_files);
        let mut accepting = accept_tasks(&worker, post)?;
        if let Some(channel) = self.channel {
            watching.push(channel_task(&worker, &log_files, standing, channel)?);
        }
        loop {
            let notice = next_notice(&worker, &notices, &mut watching, &mut accepting).await;
            match notice {
                Some(received) => match worker.obey(received, &log_files, standing) {
                    Reaction::Nothing => {}
                    Reaction::Drain => {
                        accepting.clear();
                        title::show(self.name, Role::Leaving);
                        worker.drain(self.shutdown_timeout);
                    }
                    // All sessions close at once, without a byte and without a line.
                    Reaction::Stop => break,
                    Reaction::Renew => {
                        let take_over = |post: Post| {
                            let new_files = Rc::clone(&post.log_files);
                            worker.take_over(post, &mut accepting)?;
                            new_files.succeed(&log_files);
                            log_files = new_files;
                            worker.redirect_stderr(&log_files, standing);
                            Ok(())
                        };
                        if let Some(alone) = &self.alone {
                            alone.borrow_mut().renew(take_over);
                        }
                    }
                },
                None => break,
            }
        }
        worker.note("exiting");
        worker.note("exit");
        Ok(())
    }
}

impl<R: System> Worker<R> {
    /// Reacts to a signal.
    fn obey(&self, received: Received, log_files: &LogFiles, standing: Standing) -> Reaction {
        let Standing { is_alone, is_daemon, .. } = standing;
        let is_to_go = received.order == Order::Idle && is_daemon && !is_alone;
        match if is_to_go { Order::Drain } else { received.order } {
            Order::Drain if is_alone => {
                self.note(&received.notice("shutting down"));
                Reaction::Stop
            }
            Order::Drain if self.sessions.phase() == Phase::Open => {
                self.note(&received.notice("shutting down"));
                self.note("gracefully shutting down");
                Reaction::Drain
            }
            Order::Stop => {
                self.note(&received.notice("exiting"));
                Reaction::Stop
            }
            Order::Reopen => {
                self.note(&received.notice("reopening logs"));
                for (path, error) in log_files.reopen() {
                    let message = format!("open() \"{}\" failed {}", path.display(), error_text(&error));
                    self.tell(Level::Emerg, None, &message);
                }
                self.redirect_stderr(log_files, standing);
                Reaction::Nothing
            }
            Order::Reload if is_alone => {
                self.note(&received.notice("reconfiguring"));
                Reaction::Renew
            }
            Order::Upgrade if is_alone => {
                self.note(&received.notice("changing binary needs \"master_process on\""));
                Reaction::Nothing
            }
            // The master's business, or known already.
            Order::Reload | Order::Drain | Order::Upgrade | Order::Idle | Order::Reap => Reaction::Nothing,
        }
    }

    /// Serves what a new configuration says. Sessions go on as they began; clients that wait in the queue have not been
    /// accepted.
    ///
    /// # Errors
    /// Where a listener cannot be watched: nothing has changed then.
    fn take_over(self: &Rc<Self>, post: Post, accepting: &mut Vec<Task>) -> io::Result<()> {
        let (connections, reserved) = (post.connections, post.reserved());
        let (log, debug_connections) = (post.log.clone(), Rc::clone(&post.debug_connections));
        *accepting = accept_tasks(self, post)?;
        self.slots.resize(connections, reserved);
        self.debug_connections.replace(debug_connections);
        self.log.replace(log);
        Ok(())
    }

    /// Lets the sessions end, and ends the relays that outlast the limit.
    fn drain(self: &Rc<Self>, limit: Option<Duration>) {
        self.sessions.enter(Phase::Draining);
        if let Some(limit) = limit {
            let worker = Rc::clone(self);
            self.runtime.spawn(async move {
                worker.sleep(limit).await;
                worker.sessions.enter(Phase::Expired);
            });
        }
    }

    /// Goes on with a log file that the master has opened.
    fn take_log_file(&self, arrival: Arrival, log_files: &LogFiles, standing: Standing) {
        let Arrival { number, file } = arrival;
        if number == 0 {
            self.note("reopening logs");
        }
        match file {
            Some(file) => log_files.replace(number, file),
            // The next time may be a better one.
            None => self.tell(Level::Alert, None, &format!("recvmsg() failed {}", errno_text(libc::EMFILE))),
        }
        if number == 0 {
            self.redirect_stderr(log_files, standing);
        }
    }

    /// After the files have changed.
    fn redirect_stderr(&self, log_files: &LogFiles, standing: Standing) {
        if standing.stderr_follows_log
            && let Err(error) = log_files.redirect_stderr()
        {
            self.tell(Level::Alert, None, &format!("dup2() failed {}", error_text(&error)));
        }
    }

    fn note(&self, message: &str) {
        self.tell(Level::Notice, None, message);
    }
}

/// What the worker is told next, while it accepts clients; `None` when it has drained.
async fn next_notice<R: System>(
    worker: &Worker<R>,
    notices: &RefCell<VecDeque<Received>>,
    watching: &mut [Task],
    accepting: &mut [Task],
) -> Option<Received> {
    poll_fn(|cx| {
        poll_all(watching, cx);
        // Before any further client: one accepted now might be sent away at once.
        if let Some(notice) = notices.borrow_mut().pop_front() {
            return Poll::Ready(Some(notice));
        }
        poll_all(accepting, cx);
        match worker.sessions.phase() {
            Phase::Open => Poll::Pending,
            Phase::Draining | Phase::Expired => worker.sessions.poll_empty(cx).map(|()| None),
        }
    })
    .await
}

fn accept_tasks<R: System>(worker: &Rc<Worker<R>>, post: Post) -> io::Result<Vec<Task>> {
    let Post { listening, metrics, accept_pause: pause, .. } = post;
    let task = |(inlets, socket): (Rc<Inlets>, OwnedFd)| {
        let listener = worker.runtime.watch(socket)?;
        let task: Task = Box::pin(accept::run(Rc::clone(worker), inlets, listener, pause));
        Ok(task)
    };
    let mut tasks = listening.into_iter().map(task).collect::<io::Result<Vec<_>>>()?;
    if let Some(socket) = metrics {
        let listener = worker.runtime.watch(socket)?;
        tasks.push(Box::pin(exposition::run(Rc::clone(worker), listener, pause)));
    }
    Ok(tasks)
}

fn poll_all(tasks: &mut [Task], cx: &mut Context<'_>) {
    for task in tasks {
        // None of them ends before the worker does.
        let _: Poll<()> = task.as_mut().poll(cx);
    }
}

fn signal_task<R: System>(worker: &Worker<R>, notices: &Rc<RefCell<VecDeque<Received>>>) -> io::Result<Task> {
    let signals = Signals::open()?;
    let watch = worker.runtime.watch(signals.try_clone_descriptor()?)?;
    let notices = Rc::clone(notices);
    Ok(Box::pin(async move {
        while let Ok(received) = watch.when_readable(|_| signals.read()).await {
            notices.borrow_mut().push_back(received);
        }
        std::future::pending().await
    }))
}

/// Reports to the master, and then takes what it sends.
fn channel_task<R: System>(
    worker: &Rc<Worker<R>>,
    log_files: &Rc<LogFiles>,
    standing: Standing,
    channel: OwnedFd,
) -> io::Result<Task> {
    let mut inbox = channel::Inbox::default();
    let ours = channel.try_clone()?;
    inbox.refill(ours.as_fd());
    let watch = worker.runtime.watch(channel)?;
    // Whatever could fail has not. A master that is gone does not wait.
    let _: nix::Result<()> = channel::report(ours.as_fd());
    let (worker, log_files) = (Rc::clone(worker), Rc::clone(log_files));
    Ok(Box::pin(async move {
        loop {
            match watch.when_readable(|channel| inbox.receive(channel)).await {
                Ok(Some(arrival)) => worker.take_log_file(arrival, &log_files, standing),
                // Without its master a worker goes on serving.
                Ok(None) => break,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
                Err(error) => {
                    worker.tell(Level::Alert, None, &format!("recvmsg() failed {}", error_text(&error)));
                    break;
                }
            }
            inbox.refill(ours.as_fd());
        }
        // A master that goes on sending finds out.
        drop((watch, ours, inbox));
        std::future::pending().await
    }))
}

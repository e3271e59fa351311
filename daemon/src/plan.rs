//! What a configuration asks of the processes, in the terms of this crate's shell.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::inlet::Inlets;
use crate::listener::Options;
use crate::log::{Log, LogFiles};
use crate::privileges::Account;
use crate::runtime::Peer;

/// One configuration, ready to be served.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The main log.
    pub(crate) log: Log,
    pub(crate) log_files: Rc<LogFiles>,
    pub(crate) is_daemon: bool,
    /// Whether workers are processes of their own (`master_process`).
    pub(crate) has_master: bool,
    pub(crate) pid_path: PathBuf,
    pub(crate) workers: usize,
    /// `worker_connections`.
    pub(crate) connections: usize,
    pub(crate) open_files: Option<u64>,
    pub(crate) shutdown_timeout: Option<Duration>,
    /// Whom root's workers become.
    pub(crate) account: Option<Account>,
    pub(crate) working_directory: Option<PathBuf>,
    pub(crate) listeners: Vec<Planned>,
}

/// One socket.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) address: Peer,
    pub(crate) options: Options,
    pub(crate) inlets: Rc<Inlets>,
}

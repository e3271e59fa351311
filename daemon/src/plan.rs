//! What a configuration asks of the processes: its values, made into logs, listeners and inlets.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::config::Network;

use crate::auth::AuthServer;
use crate::config::{self, Affinity, Bind, Config, Listen, LogFormat, LogTarget, LogTo, MailServer};
use crate::inlet::{Inlet, Inlets};
use crate::log::lines::error_text;
use crate::log::{Function, Log, LogFiles, Syslog, Target};
use crate::privileges::Account;
use crate::resolver::Resolver;
use crate::runtime::Peer;
use crate::variables::Variables;

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
    /// Where the counters are shown.
    pub(crate) metrics: Option<Peer>,
    pub(crate) workers: usize,
    /// `worker_connections`.
    pub(crate) connections: usize,
    /// `accept_mutex_delay`.
    pub(crate) accept_pause: Duration,
    /// `debug_connection`.
    pub(crate) debug_connections: Rc<[Network]>,
    pub(crate) open_files: Option<u64>,
    pub(crate) core_size: Option<u64>,
    pub(crate) shutdown_timeout: Option<Duration>,
    /// Whom root's workers become.
    pub(crate) account: Option<Account>,
    pub(crate) working_directory: Option<PathBuf>,
    /// `env`.
    pub(crate) variables: Variables,
    /// `worker_cpu_affinity`.
    pub(crate) affinity: Option<Affinity>,
    /// `worker_priority`.
    pub(crate) priority: i32,
    /// One for each socket.
    pub(crate) inlets: Vec<Rc<Inlets>>,
}

impl Plan {
    /// Opens the logs; nothing else is touched yet.
    ///
    /// # Errors
    /// The message for a log file that cannot be opened.
    pub(crate) fn new(config: Config) -> Result<Self, String> {
        Self::with_logs(config, Logs::default())
    }

    /// As [`new`](Self::new), with every message of the configured levels going to one function instead.
    ///
    /// # Errors
    /// None that comes from opening logs.
    pub(crate) fn with_log_function(config: Config, function: Rc<dyn Fn(&str)>) -> Result<Self, String> {
        let instead = Some(Target::Function(Function(function)));
        Self::with_logs(config, Logs { instead, ..Logs::default() })
    }

    fn with_logs(config: Config, mut logs: Logs) -> Result<Self, String> {
        let Config { main, binds } = config;
        let log = logs.open(main.error_log_format, &main.error_log)?;
        let mut servers = Servers { logs, binds: binds.as_slice().into(), known: Vec::new() };
        let inlets = binds.into_iter().map(|bind| servers.inlets(bind)).collect::<Result<_, _>>()?;
        servers.logs.syslogs.iter().for_each(|(_, syslog)| syslog.report_to(&log));
        Ok(Self {
            log,
            log_files: Rc::new(servers.logs.files),
            is_daemon: main.daemon,
            has_master: main.master_process,
            pid_path: main.pid,
            metrics: main.metrics,
            workers: main.worker_processes,
            connections: main.worker_connections,
            accept_pause: main.accept_mutex_delay,
            debug_connections: main.debug_connections.into(),
            open_files: main.worker_rlimit_nofile,
            core_size: main.worker_rlimit_core,
            shutdown_timeout: main.worker_shutdown_timeout,
            account: main.account.map(Account::from),
            working_directory: main.working_directory,
            variables: Variables::new(main.environment),
            affinity: main.worker_cpu_affinity,
            priority: main.worker_priority,
            inlets,
        })
    }
}

/// The logs of one configuration: equal targets share one file or socket.
#[derive(Default)]
struct Logs {
    files: LogFiles,
    syslogs: Vec<(config::Syslog, Rc<Syslog>)>,
    /// Takes everything, and nothing is opened.
    instead: Option<Target>,
}

impl Logs {
    fn open(&mut self, format: LogFormat, targets: &[LogTarget]) -> Result<Log, String> {
        let targets = targets.iter().map(|target| Ok((target.level, self.target(&target.to)?)));
        Ok(Log::with_format(format, targets.collect::<Result<Vec<_>, String>>()?))
    }

    fn target(&mut self, to: &LogTo) -> Result<Target, String> {
        if let Some(instead) = &self.instead {
            return Ok(instead.clone());
        }
        match to {
            LogTo::Stderr => {
                self.files.add_stderr();
                Ok(Target::Stderr)
            }
            LogTo::File(path) => {
                let failed = |error| format!("open() \"{}\" failed {}", path.display(), error_text(&error));
                self.files.open(path).map(Target::File).map_err(failed)
            }
            LogTo::Syslog(settings) => {
                if let Some((_, open)) = self.syslogs.iter().find(|(known, _)| known == settings) {
                    return Ok(Target::Syslog(Rc::clone(open)));
                }
                let config::Syslog { server, facility, tag, hostname } = settings.clone();
                let open = Rc::new(Syslog::new(server, facility, tag, hostname));
                self.syslogs.push((settings.clone(), Rc::clone(&open)));
                Ok(Target::Syslog(open))
            }
        }
    }
}

/// What the `listen`s of one server share.
struct Servers {
    logs: Logs,
    binds: Rc<[Bind]>,
    known: Vec<(Arc<MailServer>, Shared)>,
}

#[derive(Clone)]
struct Shared {
    log: Log,
    auth: Rc<AuthServer>,
    resolver: Option<Rc<Resolver>>,
}

impl Servers {
    fn inlets(&mut self, bind: Bind) -> Result<Rc<Inlets>, String> {
        let each = bind.listens.iter().map(|listen| self.inlet(listen)).collect::<Result<_, _>>()?;
        Ok(Rc::new(Inlets { bind, each }))
    }

    fn inlet(&mut self, listen: &Listen) -> Result<Rc<Inlet>, String> {
        let Shared { log, auth, resolver } = self.shared(&listen.server)?;
        let (listener, listen) = (listen.listener.clone(), listen.text.clone());
        let binds = Rc::clone(&self.binds);
        Ok(Rc::new(Inlet { listener, listen, auth, binds, resolver, log }))
    }

    fn shared(&mut self, server: &Arc<MailServer>) -> Result<Shared, String> {
        if let Some((_, shared)) = self.known.iter().find(|(known, _)| Arc::ptr_eq(known, server)) {
            return Ok(shared.clone());
        }
        let resolver = server.resolver.as_ref();
        let shared = Shared {
            log: self.logs.open(server.error_log_format, &server.error_log)?,
            auth: Rc::new(AuthServer::new(&server.auth)),
            resolver: resolver
                .map(|resolver| Rc::new(Resolver::new(resolver.servers.clone(), resolver.settings))),
        };
        self.known.push((Arc::clone(server), shared.clone()));
        Ok(shared)
    }
}

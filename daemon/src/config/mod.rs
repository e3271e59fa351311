//! The configuration: nginx's language and directives, read into checked values (spec/config.md).
//!
//! [`Config::load`] reads a file and what it includes; [`Environment`] stands for the machine, so that tests and
//! fuzzers read from memory. On the way:
//!
//! 1. `lexer` cuts bytes into statements, and knows no directive;
//! 2. `reader` walks blocks and includes and looks each name up in the tables of `directive`;
//! 3. the handlers in those tables check arguments and fill in one `Layer` for `mail {}` and one for each `server {}`;
//! 4. `merge` puts the layers over each other and builds what the engine wants, replies and TLS included;
//! 5. `bind` decides which addresses are bound, and which share a wildcard's socket.
//!
//! On the way the directives are `written` down as they stand, for `explain` (`-E`).
//!
//! Nothing is opened, bound or written.

mod address;
mod affinity;
mod bind;
mod defaults;
mod directive;
mod environment;
mod error;
mod errors;
mod excerpt;
mod explain;
mod hint;
mod layer;
mod lexer;
mod log_target;
mod mail;
mod main_block;
mod merge;
mod network;
mod reader;
mod value;
mod written;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::config::{Listener, Network, Server};
use gatepost_protocol::dns;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

pub use self::affinity::Affinity;
pub use self::bind::Bind;
pub use self::environment::{Account, Environment, Machine, Memory};
pub use self::error::{Diagnostic, Error, ReadFile, Report};
pub use self::errors::Errors;
pub(crate) use self::errors::MOST_ERRORS;
pub use self::log_target::{LogFormat, LogTarget, LogTo, Syslog};
use crate::runtime::Peer;
pub use crate::sys::SharedMemory;

/// A configuration without an error.
#[derive(Clone, Debug)]
pub struct Config {
    /// The main level.
    pub main: Main,
    /// All sockets to listen on.
    pub binds: Vec<Bind>,
}

/// What concerns the processes.
#[derive(Clone, Debug)]
pub struct Main {
    /// `user`, else `nobody`: whom workers become. `None` unless this process is root.
    pub account: Option<Account>,
    /// `pid`, absolute.
    pub pid: PathBuf,
    /// `metrics`: where counters are shown; never an address of `binds`.
    pub metrics: Option<Peer>,
    /// `daemon`.
    pub daemon: bool,
    /// `master_process`.
    pub master_process: bool,
    /// `worker_processes`: 1 or more.
    pub worker_processes: usize,
    /// `worker_connections`: sockets that one worker may have, listening ones included.
    pub worker_connections: usize,
    /// `accept_mutex_delay`: the pause after the system ran out of descriptors.
    pub accept_mutex_delay: Duration,
    /// `debug_connection`: clients whose sessions are logged with all details, whatever the levels.
    pub debug_connections: Vec<Network>,
    /// `worker_rlimit_nofile`.
    pub worker_rlimit_nofile: Option<u64>,
    /// `worker_rlimit_core`, in bytes.
    pub worker_rlimit_core: Option<u64>,
    /// `worker_shutdown_timeout`; without it a worker waits for its sessions for ever.
    pub worker_shutdown_timeout: Option<Duration>,
    /// `working_directory`.
    pub working_directory: Option<PathBuf>,
    /// `env NAME` and `env NAME=VALUE`, in the order of the file.
    pub environment: Vec<(String, Option<String>)>,
    /// `worker_cpu_affinity`.
    pub worker_cpu_affinity: Option<Affinity>,
    /// `worker_priority`: what `nice` counts, 0 if not given.
    pub worker_priority: i32,
    /// The main `error_log` list, never empty.
    pub error_log: Vec<LogTarget>,
    /// The main `error_log_format`.
    pub error_log_format: LogFormat,
}

/// One address of a `listen`, with the server behind it.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address as configured; a wildcard stays one.
    pub address: Peer,
    /// The same as logs show it.
    pub text: Box<str>,
    /// What a session starts from.
    pub listener: Listener,
    /// What the shell needs beside it.
    pub server: Arc<MailServer>,
}

/// The settings of a `server` block.
#[derive(Clone, Debug)]
pub struct MailServer {
    /// Those of the engine.
    pub engine: Arc<Server>,
    /// `auth_http`.
    pub auth: AuthServer,
    /// `resolver`.
    pub resolver: Option<Resolver>,
    /// The effective `error_log` list, never empty.
    pub error_log: Vec<LogTarget>,
    /// The effective `error_log_format`.
    pub error_log_format: LogFormat,
}

/// `auth_http` and the directives that go with it.
#[derive(Clone, Debug)]
pub struct AuthServer {
    /// What all requests have in common.
    pub settings: gatepost_auth_client::Settings,
    /// All addresses, one or more, in the order in which they are tried: those of `auth_http`, then those of
    /// `auth_http_backup`.
    pub addresses: Vec<AuthAddress>,
}

/// One address of an auth server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthAddress {
    /// Where to connect.
    pub peer: Peer,
    /// With `https://`.
    pub tls: Option<AuthTls>,
}

/// TLS with an auth server. Equal to another where connections and sessions of one serve the other.
#[derive(Clone, Debug)]
pub struct AuthTls {
    /// Whom to trust, and what to show.
    pub config: Arc<ClientConfig>,
    /// What its certificate is verified for.
    pub name: ServerName<'static>,
}

impl PartialEq for AuthTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for AuthTls {}

/// `resolver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// The name servers, as many as `settings` says.
    pub servers: Vec<SocketAddr>,
    /// How lookups use them.
    pub settings: dns::Settings,
}

/// Where a configuration is to be found: the options `-p`, `-c`, `-g` and `-e`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Relative paths of logs, pid file and `file` start here.
    pub prefix: PathBuf,
    /// The configuration file.
    pub file: PathBuf,
    /// Directives in front of the file.
    pub directives: Option<String>,
    /// The default log; `stderr` is standard error.
    pub error_log: PathBuf,
    /// The default `pid`.
    pub pid: PathBuf,
}

impl Request {
    /// The configuration file with its prefix.
    pub fn path(&self) -> PathBuf {
        self.prefix.join(&self.file)
    }
}

impl Config {
    /// Reads a configuration. `report` gets what there is to say besides, also before an error.
    ///
    /// # Errors
    /// All mistakes, without those that only follow from others.
    pub fn load(
        request: &Request,
        environment: &dyn Environment,
        report: &mut Report,
    ) -> Result<Self, Errors> {
        reader::read(request, environment, report)
    }

    /// Reads a configuration that is one text, from the root folder of a machine.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn parse(text: impl Into<Vec<u8>>, environment: Memory, report: &mut Report) -> Result<Self, Errors> {
        let request = Request {
            prefix: "/".into(),
            file: "nginx.conf".into(),
            directives: None,
            error_log: "logs/error.log".into(),
            pid: "logs/nginx.pid".into(),
        };
        let environment = environment.with_file(request.path(), text);
        Self::load(&request, &environment, report)
    }
}

/// `path` under `prefix`, unless it is absolute.
fn absolute(prefix: &Path, path: &str) -> PathBuf {
    prefix.join(path)
}

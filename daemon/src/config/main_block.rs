//! The main level and `events {}` (spec/config.md sections 6 and 7).

use std::path::PathBuf;
use std::time::Duration;

use gatepost_protocol::config::Network;

use super::address::{Address, Form};
use super::affinity::Affinity;
use super::directive::{ANYWHERE, Context, Directive, EVENTS, LOGGED, MAIN, MANY, Words, choose, once};
use super::environment::Account;
use super::error::Fault;
use super::reader::{NO_EFFECT, Reader};
use super::{log_target, network, value};
use crate::config::{LogFormat, LogTarget};
use crate::runtime::Peer;

/// The port of `metrics` where none is given.
const METRICS_PORT: u16 = 9145;

pub(super) const TABLES: &[&[Directive]] = &[MAIN_TABLE, IGNORED_TABLE, EVENTS_TABLE];

/// What the main level sets.
#[derive(Clone, Debug, Default)]
pub(super) struct MainBlock {
    /// The inner `None` where this process cannot become another user.
    pub(super) account: Option<Option<Account>>,
    pub(super) worker_processes: Option<usize>,
    pub(super) worker_rlimit_nofile: Option<u64>,
    pub(super) worker_rlimit_core: Option<u64>,
    pub(super) worker_shutdown_timeout: Option<Duration>,
    pub(super) working_directory: Option<PathBuf>,
    pub(super) pid: Option<PathBuf>,
    pub(super) metrics: Option<Peer>,
    pub(super) daemon: Option<bool>,
    pub(super) master_process: Option<bool>,
    pub(super) environment: Vec<(String, Option<String>)>,
    pub(super) worker_cpu_affinity: Option<Affinity>,
    pub(super) worker_priority: Option<i32>,
    pub(super) error_log: Vec<LogTarget>,
    pub(super) error_log_format: Option<LogFormat>,
    has_block: bool,
    /// Their names.
    thread_pools: Vec<String>,
    /// Directives without effect that were met.
    seen: Vec<String>,
}

/// What `events {}` sets.
#[derive(Clone, Debug, Default)]
pub(super) struct EventsBlock {
    pub(super) worker_connections: Option<usize>,
    pub(super) accept_mutex_delay: Option<Duration>,
    pub(super) debug_connections: Vec<Network>,
    seen: Vec<String>,
}

const MAIN_TABLE: &[Directive] = &[
    Directive::one("daemon", MAIN, |reader, words| once(&mut reader.main.daemon, words.flag())),
    Directive::one("env", MAIN, env),
    Directive::new("error_log", LOGGED, MANY, error_log),
    Directive::one("error_log_format", LOGGED, error_log_format),
    Directive::block("events", MAIN, events),
    Directive::block("http", MAIN, skipped),
    Directive::one("include", ANYWHERE, |reader, words| reader.include(words.first())),
    Directive::one("load_module", MAIN, load_module),
    Directive::one("master_process", MAIN, |reader, words| {
        once(&mut reader.main.master_process, words.flag())
    }),
    Directive::one("metrics", MAIN, metrics),
    Directive::one("pid", MAIN, |reader, words| {
        let path = super::absolute(&reader.prefix, words.first());
        once(&mut reader.main.pid, Ok(path))
    }),
    Directive::block("stream", MAIN, skipped),
    Directive::new("user", MAIN, 1..=2, user),
    Directive::new("worker_cpu_affinity", MAIN, MANY, |reader, words| {
        let processors = reader.environment.processors();
        once(&mut reader.main.worker_cpu_affinity, Affinity::parse(&words.arguments, processors))
    }),
    Directive::one("worker_priority", MAIN, |reader, words| {
        once(&mut reader.main.worker_priority, priority(words.first()))
    }),
    Directive::one("worker_processes", MAIN, worker_processes),
    Directive::one("worker_rlimit_core", MAIN, |reader, words| {
        let bytes = value::offset(words.first()).ok_or(Fault::INVALID_VALUE);
        once(&mut reader.main.worker_rlimit_core, bytes)
    }),
    Directive::one("worker_rlimit_nofile", MAIN, |reader, words| {
        once(&mut reader.main.worker_rlimit_nofile, words.number())
    }),
    Directive::one("worker_shutdown_timeout", MAIN, |reader, words| {
        once(&mut reader.main.worker_shutdown_timeout, words.time_ms())
    }),
    Directive::one("working_directory", MAIN, |reader, words| {
        once(&mut reader.main.working_directory, Ok(words.first().into()))
    }),
];

/// Directives that tune what gatepost does otherwise or not at all. Their arguments are checked.
const IGNORED_TABLE: &[Directive] = &[
    Directive::one("debug_points", MAIN, |reader, words| {
        choose(words.first(), &[("stop", ()), ("abort", ())])?;
        ignore(reader, words)
    }),
    Directive::one("google_perftools_profiles", MAIN, ignore),
    Directive::one("lock_file", MAIN, ignore),
    Directive::one("pcre_jit", MAIN, ignore_flag),
    Directive::one("quic_bpf", MAIN, ignore_flag),
    Directive::one("ssl_engine", MAIN, |reader, words| {
        reader.warn("\"ssl_engine\" has no effect: keys are used in software");
        ignore(reader, words)
    }),
    Directive::one("ssl_object_cache_inheritable", MAIN, ignore_flag),
    Directive::new("thread_pool", MAIN, 2..=3, thread_pool),
    Directive::one("timer_resolution", MAIN, ignore_time),
];

const EVENTS_TABLE: &[Directive] = &[
    Directive::one("accept_mutex", EVENTS, ignore_flag),
    Directive::one("accept_mutex_delay", EVENTS, |reader, words| {
        once(&mut reader.events.get_or_insert_default().accept_mutex_delay, words.time_ms())
    }),
    Directive::one("debug_connection", EVENTS, |reader, words| {
        let networks = network::read(reader, words)?;
        reader.events.get_or_insert_default().debug_connections.extend(networks);
        Ok(())
    }),
    Directive::one("epoll_events", EVENTS, ignore_number),
    Directive::one("multi_accept", EVENTS, ignore_flag),
    Directive::one("use", EVENTS, use_method),
    Directive::one("worker_aio_requests", EVENTS, ignore_number),
    Directive::one("worker_connections", EVENTS, worker_connections),
];

fn events(reader: &mut Reader<'_>, _words: &Words) -> Result<(), Fault> {
    if reader.events.is_some() {
        return Err(Fault::DUPLICATE);
    }
    reader.events = Some(EventsBlock::default());
    reader.main.has_block = true;
    reader.read_block(Context::Events)
}

fn skipped(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    reader.main.has_block = true;
    reader.note(format!("the \"{}\" block is skipped: gatepost serves mail", words.name));
    reader.skip_block(words)
}

fn load_module(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    if reader.main.has_block || reader.mail.is_some() {
        return Err(Fault::Directive("is specified too late"));
    }
    reader.note(format!("\"load_module\" is ignored: \"{}\" is not loaded", words.first()));
    reader.ignore("not loaded");
    Ok(())
}

fn env(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let (name, value) = match words.first().split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (words.first(), None),
    };
    // The system has no variable without a name, and none with a NUL.
    if name.is_empty() || words.first().contains('\0') {
        return Err(Fault::INVALID_VALUE);
    }
    reader.main.environment.push((name.to_owned(), value));
    Ok(())
}

/// gatepost's own: where the counters are shown.
fn metrics(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let word = words.first();
    let found = Address::parse(word, Form::Server)
        .and_then(|address| address.resolve(METRICS_PORT, reader.environment));
    let peers = found
        .map_err(|error| Fault::Message(format!("{error} in \"{word}\" of the \"metrics\" directive")))?;
    let peer = peers.into_iter().next().ok_or(Fault::INVALID_VALUE)?;
    if let Peer::Inet(address) = &peer
        && !address.ip().to_canonical().is_loopback()
    {
        reader.warn("\"metrics\" are shown to everybody who can connect to this address");
    }
    once(&mut reader.main.metrics, Ok(peer))
}

fn error_log(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    if words.first() == "off" {
        reader.warn("\"error_log off\" does not turn logging off, it names a file \"off\"");
    }
    let target = log_target::parse(&words.arguments, &reader.prefix, reader.environment)?;
    match reader.context() {
        Context::Main | Context::Events => reader.main.error_log.push(target),
        Context::Mail | Context::Server => reader.layer().error_log.push(target),
    }
    Ok(())
}

/// gatepost's own: lines for people or for programs.
fn error_log_format(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let format = choose(words.first(), log_target::FORMATS);
    match reader.context() {
        Context::Main | Context::Events => once(&mut reader.main.error_log_format, format),
        Context::Mail | Context::Server => once(&mut reader.layer().error_log_format, format),
    }
}

fn user(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    if reader.main.account.is_some() {
        return Err(Fault::DUPLICATE);
    }
    if !reader.environment.is_root() {
        reader.main.account = Some(None);
        reader.warn(
            "the \"user\" directive makes sense only if the master process runs with super-user privileges, \
             ignored",
        );
        return Ok(());
    }
    let name = words.first();
    // The group defaults to the one that has the user's name.
    let group = words.arguments.get(1).map_or(name, String::as_str);
    let unknown = |call: &str, name: &str| Fault::Message(format!("{call}(\"{name}\") failed"));
    let mut account = reader.environment.user(name).ok_or_else(|| unknown("getpwnam", name))?;
    account.group = reader.environment.group(group).ok_or_else(|| unknown("getgrnam", group))?;
    reader.main.account = Some(Some(account));
    Ok(())
}

fn worker_processes(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let processors = reader.environment.processors();
    let count = match words.first() {
        "auto" => Some(processors.max(1)),
        // Nobody would serve.
        word => value::number(word).and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0),
    };
    once(&mut reader.main.worker_processes, count.ok_or(Fault::INVALID_VALUE))
}

fn priority(word: &str) -> Result<i32, Fault> {
    let (digits, sign) = match word.strip_prefix('-') {
        Some(digits) => (digits, -1),
        None => (word.strip_prefix('+').unwrap_or(word), 1),
    };
    let number = value::number(digits).and_then(|number| i32::try_from(number).ok());
    number.map(|number| sign * number).ok_or(Fault::INVALID_NUMBER)
}

fn worker_connections(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let word = words.first();
    let count = value::number(word).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or_else(|| Fault::Message(format!("invalid number \"{word}\"")));
    once(&mut reader.events.get_or_insert_default().worker_connections, count)
}

fn use_method(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    // Those that an nginx for Linux may have.
    const METHODS: [&str; 3] = ["epoll", "poll", "select"];
    match METHODS.contains(&words.first()) {
        true => ignore(reader, words),
        false => Err(Fault::Message(format!("invalid event type \"{}\"", words.first()))),
    }
}

/// `NAME threads=N [max_queue=N]`
fn thread_pool(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    let (mut has_threads, name) = (false, words.first());
    for word in &words.arguments[1..] {
        if let Some(count) = word.strip_prefix("threads=") {
            has_threads = value::number(count).is_some_and(|count| count > 0);
            if !has_threads {
                return Err(Fault::Message(format!("invalid threads value \"{word}\"")));
            }
        } else if let Some(length) = word.strip_prefix("max_queue=") {
            value::number(length)
                .ok_or_else(|| Fault::Message(format!("invalid max_queue value \"{word}\"")))?;
        }
    }
    if !has_threads {
        return Err(Fault::Message("\"thread_pool\" must have \"threads\" parameter".into()));
    }
    if reader.main.thread_pools.iter().any(|known| known == name) {
        return Err(Fault::Message(format!("duplicate thread pool \"{name}\"")));
    }
    reader.main.thread_pools.push(name.to_owned());
    reader.ignore(NO_EFFECT);
    Ok(())
}

fn ignore_flag(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    ignore_checked(reader, words, words.flag().map(drop))
}

fn ignore_number(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    ignore_checked(reader, words, words.number().map(drop))
}

fn ignore_time(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    ignore_checked(reader, words, words.time_ms().map(drop))
}

fn ignore(reader: &mut Reader<'_>, words: &Words) -> Result<(), Fault> {
    ignore_checked(reader, words, Ok(()))
}

/// Does nothing, but only once.
fn ignore_checked(reader: &mut Reader<'_>, words: &Words, check: Result<(), Fault>) -> Result<(), Fault> {
    let seen = match reader.context() {
        Context::Events => &mut reader.events.get_or_insert_default().seen,
        Context::Main | Context::Mail | Context::Server => &mut reader.main.seen,
    };
    if seen.contains(&words.name) {
        return Err(Fault::DUPLICATE);
    }
    seen.push(words.name.clone());
    reader.ignore(NO_EFFECT);
    check
}

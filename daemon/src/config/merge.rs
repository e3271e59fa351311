//! From levels to settings: what each server effectively has, checked (spec/config.md sections 9 to 15).

mod auth;
mod tls;
mod upstream_ssl;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost_protocol::config::{BackendTls, Listener, Mail, Protocol, ProxyProtocol, Server, StartTls};
use gatepost_protocol::event::Level;
use gatepost_protocol::sasl::{Mechanism, Mechanisms};
use gatepost_protocol::smtp::Xclient;
use gatepost_protocol::{imap, pop3, smtp};

use self::tls::Tls;
use super::directive::Context;
use super::environment::Environment;
use super::error::Error;
use super::errors::Errors;
use super::layer::Layer;
use super::mail::methods::{Method, mechanisms};
use super::mail::{MailBlock, ServerBlock};
use super::reader::Reader;
use super::written::{Found, FoundServer};
use super::{
    Account, Affinity, Bind, Config, Listen, LogFormat, LogTarget, LogTo, MailServer, Main, Request,
};
use crate::listener::{Keepalive, Options};
use crate::log::lines::peer_text;

/// The page size, which nginx takes for buffers.
const PAGE: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const UNEQUAL_MASKS: &str = "the number of \"worker_processes\" is not equal to the number of \
    \"worker_cpu_affinity\" masks, using last mask for remaining worker processes";
const ACCEPT_MUTEX_DELAY: Duration = Duration::from_millis(500);
const DEFAULT_CONNECTIONS: usize = 512;
const DEFAULT_USER: &str = "nobody";

/// A server that is complete but for the main level's logs, which may come later in the file.
#[derive(Debug)]
pub(super) struct Merged {
    server: MailServer,
    /// `error_log_format`, if it is not the main level's.
    log_format: Option<LogFormat>,
    listens: Vec<(Listener, Vec<crate::runtime::Peer>, Options)>,
}

impl Merged {
    fn found(&self) -> FoundServer {
        let engine = &self.server.engine;
        FoundServer {
            protocol: engine.protocol(),
            name: engine.name.clone(),
            has_tls: engine.tls.is_some(),
            has_backend_tls: engine.proxy_ssl.config.is_some(),
            has_auth_tls: self.server.auth.addresses.iter().any(|address| address.tls.is_some()),
            has_proxy_protocol: self.listens.iter().any(|(listener, ..)| listener.proxy_protocol),
        }
    }
}

/// Puts the servers of the `mail` block together. Each kind of mistake is looked for in all servers before the next.
///
/// Errors go to the reader; servers that have any are left out.
pub(super) fn mail(reader: &mut Reader<'_>, mail: &MailBlock) -> Vec<Merged> {
    let mut servers = Vec::new();
    for block in &mail.servers {
        if block.protocol.is_none() {
            let error = Error::new("unknown mail protocol for server", block.place.clone());
            fail(reader, mail, block, error.for_lack_of(&["protocol", "listen"]));
        }
        // It is known to be wrong then, and looked at on.
        servers.push((block, block.layer.over(&mail.layer), block.protocol.unwrap_or(Protocol::Imap)));
    }
    let mut secured = Vec::new();
    for (block, layer, protocol) in servers {
        match tls::tls(reader, block, &layer, protocol) {
            Ok(tls) => secured.push((block, layer, protocol, tls)),
            Err(error) => {
                fail(reader, mail, block, error);
                secured.push((block, layer, protocol, None));
            }
        }
    }
    let mut merged = Vec::new();
    let mut known = auth::Known::default();
    for (block, layer, protocol, tls) in secured {
        match merge(reader, block, &layer, protocol, tls, &mut known) {
            Ok(server) => merged.push(server),
            Err(error) => fail(reader, mail, block, error),
        }
    }
    merged
}

/// Adds what is wrong with a server as a whole, unless that comes of an error in it or around it.
fn fail(reader: &mut Reader<'_>, mail: &MailBlock, server: &ServerBlock, error: Error) {
    if !mail.damage.explains(&error, Context::Mail) && !server.damage.explains(&error, Context::Server) {
        reader.errors.add(error);
    }
}

fn merge(
    reader: &Reader<'_>,
    block: &ServerBlock,
    layer: &Layer,
    protocol: Protocol,
    tls: Option<Tls>,
    known: &mut auth::Known,
) -> Result<Merged, Error> {
    let proxy_ssl = upstream_ssl::backend_tls(reader, layer)?;
    let engine = Arc::new(engine(reader, layer, protocol, tls, proxy_ssl));
    let server = MailServer {
        engine: Arc::clone(&engine),
        auth: auth::auth_server(reader, block, layer, known)?,
        resolver: layer.resolver.clone().flatten(),
        error_log: layer.error_log.clone(),
        error_log_format: LogFormat::default(),
    };
    let listen = |listen: &super::mail::listen::ListenBlock| {
        let ssl = is_ssl(listen.ssl, layer);
        let listener = Listener { server: Arc::clone(&engine), ssl, proxy_protocol: listen.proxy_protocol };
        let mut options = listen.options.clone();
        options.keepalive = options.keepalive.or_else(|| {
            let on = Keepalive::On { idle: None, interval: None, probes: None };
            layer.so_keepalive.map(|is_on| if is_on { on } else { Keepalive::Off })
        });
        (listener, listen.addresses.clone(), options)
    };
    let listens = block.listens.iter().map(listen).collect();
    Ok(Merged { server, log_format: layer.error_log_format, listens })
}

fn engine(
    reader: &Reader<'_>,
    layer: &Layer,
    protocol: Protocol,
    tls: Option<Tls>,
    proxy_ssl: BackendTls,
) -> Server {
    let name = server_name(reader, layer);
    let client_buffer = match protocol {
        Protocol::Imap => layer.imap_client_buffer,
        Protocol::Pop3 => layer.pop3_client_buffer,
        Protocol::Smtp => layer.smtp_client_buffer,
    };
    let (tls, verify_client) = tls.map_or((None, None), |tls| (Some(tls.config), tls.verify_client));
    Server {
        mail: protocol_settings(layer, protocol, &name),
        name,
        timeout: layer.timeout.unwrap_or(MINUTE),
        auth_timeout: layer.auth_http_timeout.unwrap_or(MINUTE),
        proxy_timeout: layer.proxy_timeout.unwrap_or(DAY),
        resolver_timeout: layer.resolver_timeout.unwrap_or(MINUTE / 2),
        resolve: matches!(layer.resolver, Some(Some(_))),
        max_errors: layer.max_errors.map_or(5, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        client_buffer: client_buffer.unwrap_or(PAGE),
        proxy_buffer: layer.proxy_buffer.unwrap_or(PAGE),
        starttls: starttls(layer),
        tls,
        verify_client,
        auth_failure: layer.proxy_auth_failure.unwrap_or(false),
        session_log: layer.proxy_session_log.unwrap_or(false),
        proxy_ssl,
        pass_error_message: layer.proxy_pass_error_message.unwrap_or(false),
        proxy_protocol: layer.proxy_protocol.unwrap_or(ProxyProtocol::Off),
        real_ip_from: layer.set_real_ip_from.clone(),
    }
}

fn protocol_settings(layer: &Layer, protocol: Protocol, name: &str) -> Mail {
    let starttls = starttls(layer);
    match protocol {
        Protocol::Imap => {
            let defaults = &imap::Settings::DEFAULT_CAPABILITIES;
            let capabilities = capabilities(&layer.imap_capabilities, defaults);
            Mail::Imap(imap::Settings::new(starttls, &capabilities, offered(&layer.imap_auth)))
        }
        Protocol::Pop3 => {
            let defaults = &pop3::Settings::DEFAULT_CAPABILITIES;
            let capabilities = capabilities(&layer.pop3_capabilities, defaults);
            let apop = layer.pop3_auth.contains(&Method::Apop);
            Mail::Pop3(pop3::Settings::new(starttls, &capabilities, offered(&layer.pop3_auth), apop))
        }
        Protocol::Smtp => {
            let mechanisms = match layer.smtp_auth.as_slice() {
                [] => [Mechanism::Plain, Mechanism::Login].into_iter().collect(),
                methods => mechanisms(methods),
            };
            let none = layer.smtp_auth.contains(&Method::None);
            let mut settings =
                smtp::Settings::new(name, starttls, &layer.smtp_capabilities, mechanisms, none);
            settings.greeting_delay = layer.smtp_greeting_delay.unwrap_or_default();
            settings.proxy_smtp_auth = layer.proxy_smtp_auth.unwrap_or(false);
            settings.xclient = match layer.xclient {
                Some(true) => Xclient::Required,
                Some(false) => Xclient::Off,
                None => Xclient::IfOffered,
            };
            Mail::Smtp(settings)
        }
    }
}

fn capabilities<'a>(configured: &'a [String], defaults: &[&'a str]) -> Vec<&'a str> {
    match configured {
        [] => defaults.to_vec(),
        words => words.iter().map(String::as_str).collect(),
    }
}

/// The mechanisms of IMAP and POP3; without a directive PLAIN.
fn offered(methods: &[Method]) -> Mechanisms {
    match methods {
        [] => [Mechanism::Plain].into_iter().collect(),
        methods => mechanisms(methods),
    }
}

/// `server_name`, or the name of the machine as far as it can stand in a reply.
fn server_name(reader: &Reader<'_>, layer: &Layer) -> Box<str> {
    match layer.server_name.as_deref() {
        Some(name) if !name.is_empty() => name.into(),
        _ => {
            let name = reader.environment.host_name().to_ascii_lowercase();
            let is_fit = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
            if is_fit { name.into() } else { "localhost".into() }
        }
    }
}

fn starttls(layer: &Layer) -> StartTls {
    layer.starttls.as_ref().map_or(StartTls::Off, |(starttls, _)| *starttls)
}

fn is_ssl(own: bool, layer: &Layer) -> bool {
    own || matches!(layer.ssl, Some((true, _)))
}

impl Reader<'_> {
    /// What can be checked only when all has been read.
    pub(super) fn finish(self, request: &Request) -> Result<Config, Errors> {
        let Self { main, events, mail, report, environment, prefix, mut errors, damage, .. } = self;
        if events.is_none() {
            let error = Error::nowhere("no \"events\" section in configuration").for_lack_of(&["events"]);
            if !damage.explains(&error, Context::Main) {
                errors.add(error.with_hint(Some("\"events { }\" is enough".to_owned())));
            }
        }
        if let Some(errors) = errors.into_errors() {
            return Err(errors);
        }
        let events = events.unwrap_or_default();
        let default_log = match request.error_log.to_str() {
            Some("stderr") => LogTo::Stderr,
            _ => LogTo::File(prefix.join(&request.error_log)),
        };
        let mut error_log = main.error_log;
        let has_default_log = !error_log.iter().any(|log| matches!(log.to, LogTo::File(_) | LogTo::Stderr));
        if has_default_log {
            error_log.push(LogTarget { to: default_log, level: Level::Error });
        }
        let merged = mail.map(|mail| mail.merged).unwrap_or_default();
        for (written, merged) in report.written.servers.iter_mut().zip(&merged) {
            written.found = Some(merged.found());
        }
        let error_log_format = main.error_log_format.unwrap_or_default();
        let binds = Bind::from_listens(listens(merged, &error_log, error_log_format));
        if let Some(address) =
            main.metrics.iter().find(|address| binds.iter().any(|bind| bind.address == **address))
        {
            let message = format!("\"metrics\" and \"listen\" have the same address {}", peer_text(address));
            return Err(Error::nowhere(message).into());
        }
        let connections = events.worker_connections.unwrap_or(DEFAULT_CONNECTIONS);
        if connections < binds.len() + 1 {
            let message = format!(
                "{connections} worker_connections are not enough for {} listening sockets",
                binds.len()
            );
            return Err(Error::nowhere(message).into());
        }
        let open_files = main.worker_rlimit_nofile.unwrap_or_else(|| environment.open_files());
        if u64::try_from(connections).is_ok_and(|connections| connections > open_files) {
            let message =
                format!("{connections} worker_connections exceed open file resource limit: {open_files}");
            report.add(Level::Warn, message);
        }
        let account = match main.account {
            Some(account) => account,
            None => default_account(environment)?,
        };
        let workers = main.worker_processes.unwrap_or(1);
        if let Some(Affinity::Masks(masks)) = &main.worker_cpu_affinity
            && masks.len() != 1
            && masks.len() != workers
        {
            report.add(Level::Warn, UNEQUAL_MASKS);
        }
        report.written.found = Some(Found {
            pid: request.pid.to_string_lossy().into(),
            error_log: has_default_log.then(|| request.error_log.to_string_lossy().into()),
        });
        let pid: PathBuf = main.pid.unwrap_or_else(|| prefix.join(&request.pid));
        let main = Main {
            account,
            pid,
            metrics: main.metrics,
            daemon: main.daemon.unwrap_or(true),
            master_process: main.master_process.unwrap_or(true),
            worker_processes: workers,
            worker_connections: connections,
            accept_mutex_delay: events.accept_mutex_delay.unwrap_or(ACCEPT_MUTEX_DELAY),
            debug_connections: events.debug_connections,
            worker_rlimit_nofile: main.worker_rlimit_nofile,
            worker_rlimit_core: main.worker_rlimit_core,
            worker_shutdown_timeout: main.worker_shutdown_timeout,
            working_directory: main.working_directory,
            environment: main.environment,
            worker_cpu_affinity: main.worker_cpu_affinity,
            worker_priority: main.worker_priority.unwrap_or(0),
            error_log,
            error_log_format,
        };
        Ok(Config { main, binds })
    }
}

/// Whom workers become where no `user` is written: root's must not be root.
fn default_account(environment: &dyn Environment) -> Result<Option<Account>, Error> {
    if !environment.is_root() {
        return Ok(None);
    }
    let unknown = || {
        let error = Error::nowhere(format!("getpwnam(\"{DEFAULT_USER}\") failed"));
        error.with_hint(Some("\"user\" says whom the workers are to become".to_owned()))
    };
    environment.user(DEFAULT_USER).map(Some).ok_or_else(unknown)
}

fn listens(merged: Vec<Merged>, main_log: &[LogTarget], main_format: LogFormat) -> Vec<(Listen, Options)> {
    let mut listens = Vec::new();
    for Merged { mut server, log_format, listens: blocks } in merged {
        server.error_log_format = log_format.unwrap_or(main_format);
        if server.error_log.is_empty() {
            server.error_log = main_log.to_vec();
        }
        let server = Arc::new(server);
        for (listener, addresses, options) in blocks {
            listens.extend(addresses.into_iter().map(|address| {
                let text = peer_text(&address).into();
                let (listener, server) = (listener.clone(), Arc::clone(&server));
                (Listen { address, text, listener, server }, options.clone())
            }));
        }
    }
    listens
}

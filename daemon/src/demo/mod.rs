//! `--demo`: all that a proxy needs around it, in one process and in memory.
//!
//! [`prepare`] binds three mail services and an auth service on free loopback ports, makes a certificate, and writes
//! the configuration of a real proxy in front of them into a private directory. [`serve`] then runs the services,
//! preferably in a process of their own (nothing here starts a thread before it), while the caller runs the proxy
//! with [`Demo::configuration`]. All is bounded, and reachable from this machine only.

mod auth;
mod certificate;
mod date;
mod imap;
mod mailbox;
mod peer;
mod pop3;
mod smtp;
mod text;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{self, Pid};

use auth::Backends;
use mailbox::Mailboxes;
use text::Ports;

/// A demo that is ready to run: its services are bound, its files written.
#[derive(Debug)]
pub struct Demo {
    directory: PathBuf,
    configuration: PathBuf,
    banner: String,
    /// The process that has prepared all this.
    owner: Pid,
    services: Services,
}

#[derive(Debug)]
struct Services {
    imap: TcpListener,
    pop3: TcpListener,
    smtp: TcpListener,
    auth: TcpListener,
}

/// Binds the services and writes certificate and configuration into a new directory that only this user may enter.
/// The caller removes it in the end: [`remove`].
pub fn prepare() -> io::Result<Demo> {
    let services = Services { imap: bind(0)?, pop3: bind(0)?, smtp: bind(0)?, auth: bind(0)? };
    let ports = Ports::free()?;
    let directory = unistd::mkdtemp(&std::env::temp_dir().join("gatepost-demo-XXXXXX"))?;
    let write = || {
        let files = certificate::write(&directory)?;
        let configuration = directory.join("gatepost.conf");
        let content = text::configuration(&directory, &files, &ports, services.auth.local_addr()?);
        certificate::write_private(&configuration, content.as_bytes())?;
        Ok((text::banner(&configuration, &files, &ports), configuration))
    };
    match write() {
        Ok((banner, configuration)) => {
            Ok(Demo { directory, configuration, banner, owner: Pid::this(), services })
        }
        Err(error) => {
            remove(&directory);
            Err(error)
        }
    }
}

impl Demo {
    /// The private directory: configuration, certificate, key, pid file.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The configuration file for the proxy.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// What to tell the user: where everything is, who may log in, and commands to try.
    pub fn banner(&self) -> &str {
        &self.banner
    }
}

/// Runs the services. In a child of the process that has called [`prepare`], until that has ended: nobody else is left
/// then to remove the directory, so that is done here. In that process itself, for ever.
///
/// What the terminal says to all of its foreground processes does not end the services: the proxy comes first. That
/// the terminal has gone means an end to the proxy, too, which would read its configuration again for it.
pub fn serve(demo: Demo) -> io::Result<()> {
    let terminal = SigSet::from_iter([Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP]);
    terminal.thread_block()?;
    start(demo.services)?;
    spawn("terminal", move || {
        while let Ok(signal) = terminal.wait() {
            if signal == Signal::SIGHUP {
                // If it has ended already, so will this.
                let _ = kill(demo.owner, Signal::SIGTERM);
            }
        }
    })?;
    while [Pid::this(), Pid::parent()].contains(&demo.owner) {
        thread::sleep(Duration::from_millis(200));
    }
    remove(&demo.directory);
    Ok(())
}

/// Removes the demo's directory. Harmless if it is gone already.
pub fn remove(directory: &Path) {
    // What cannot be removed stays in the temporary directory; there is nothing better to do about it at the end.
    let _ = fs::remove_dir_all(directory);
}

/// Starts one thread per service.
fn start(services: Services) -> io::Result<()> {
    let Services { imap, pop3, smtp, auth } = services;
    let mail = Arc::new(Mailboxes::new());
    let backends = Backends { imap: imap.local_addr()?, pop3: pop3.local_addr()?, smtp: smtp.local_addr()? };
    let (imap_mail, pop3_mail, smtp_mail) = (Arc::clone(&mail), Arc::clone(&mail), mail);
    spawn("imap", move || peer::serve(&imap, move |peer| imap::session(peer, &imap_mail)))?;
    spawn("pop3", move || peer::serve(&pop3, move |peer| pop3::session(peer, &pop3_mail)))?;
    spawn("smtp", move || peer::serve(&smtp, move |peer| smtp::session(peer, &smtp_mail)))?;
    spawn("auth", move || peer::serve(&auth, move |peer| auth::session(peer, &backends)))
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(format!("demo-{name}")).spawn(run).map(drop)
}

fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests;

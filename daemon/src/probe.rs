//! What `-t` tries beyond reading the configuration: everything a start would need, leaving no trace
//! (spec/config.md section 17).

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use crate::config::{Config, LogTo};
use crate::guarded;
use crate::listener::{self, Options};
use crate::log::lines::{errno_text, error_text};
use crate::master::LoadError;
use crate::runtime::Peer;

/// What keeps the files from being written and the addresses from being bound, in the order and the words of a start.
pub(crate) fn probe(config: &Config) -> Vec<LoadError> {
    let folder = probe_working_directory(config.main.working_directory.as_deref());
    let mut failures: Vec<_> =
        probe_pid_file(&config.main.pid).err().into_iter().chain(folder.err()).collect();
    let binds = config.binds.iter().map(|bind| (&bind.address, &bind.options));
    let ordinary = Options::default();
    let sockets = binds.chain(config.main.metrics.iter().map(|address| (address, &ordinary)));
    let refused = sockets.filter_map(|(address, options)| probe_bind(address, options).err());
    for message in probe_logs(config).chain(refused) {
        // Servers share logs.
        if failures.iter().all(|failure| failure.message != message) {
            failures.push(LoadError::new(message));
        }
    }
    failures
}

/// Whether the pid file could be written. A daemon finds out only when nobody looks at it any more.
///
/// # Errors
/// Why not.
pub(crate) fn probe_pid_file(path: &Path) -> Result<(), LoadError> {
    let hint = || "the directive \"pid\" names another place".to_owned();
    probe_file(path).map_err(|message| LoadError { hint: Some(hint()), ..LoadError::new(message) })
}

/// Whether workers could go to `working_directory`, as far as this process can tell: one that cannot does not work at
/// all.
///
/// # Errors
/// Why not.
pub(crate) fn probe_working_directory(folder: Option<&Path>) -> Result<(), LoadError> {
    let Some(folder) = folder else { return Ok(()) };
    let access = match folder.is_dir() || !folder.exists() {
        true => eaccess(folder, AccessFlags::X_OK),
        false => Err(Errno::ENOTDIR),
    };
    access.map_err(|errno| {
        let text = errno_text(errno as i32);
        let message = format!("chdir(\"{}\") failed {text}", folder.display());
        LoadError {
            hint: Some("the directive \"working_directory\" names it".into()),
            ..LoadError::new(message)
        }
    })
}

fn probe_logs(config: &Config) -> impl Iterator<Item = String> {
    let servers = config.binds.iter().flat_map(|bind| &bind.listens).map(|listen| &listen.server);
    let targets = config.main.error_log.iter().chain(servers.flat_map(|server| &server.error_log));
    targets.filter_map(|target| match &target.to {
        LogTo::File(path) => probe_file(path).err(),
        LogTo::Stderr | LogTo::Syslog(_) => None,
    })
}

/// Whether the file could be written, or made where it does not exist.
fn probe_file(path: &Path) -> Result<(), String> {
    let access = match eaccess(path, AccessFlags::W_OK) {
        Ok(()) if path.is_dir() => Err(Errno::EISDIR),
        Err(Errno::ENOENT) => probe_folder(path),
        access => access,
    };
    let outcome = access.map_err(Into::into).and_then(|()| guarded::probe(path));
    outcome.map_err(|error| format!("open() \"{}\" failed {}", path.display(), error_text(&error)))
}

/// Whether the folder takes a new file of this name.
fn probe_folder(path: &Path) -> nix::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    eaccess(folder.unwrap_or_else(|| Path::new(".")), AccessFlags::W_OK | AccessFlags::X_OK)
}

fn probe_bind(address: &Peer, options: &Options) -> Result<(), String> {
    match address {
        Peer::Inet(_) => listener::probe(address, options).map_err(|error| error.to_string()),
        // Binding would leave a socket behind; one that is there is probably the running master's.
        Peer::Unix(path) if path.exists() => Ok(()),
        Peer::Unix(path) => probe_folder(path).map_err(|errno| {
            format!("bind() to unix:{} failed {}", path.display(), errno_text(errno as i32))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;

    use super::*;
    use crate::config::{Memory, Report};

    fn probed(text: &str) -> Vec<String> {
        let config = Config::parse(text, Memory::default(), &mut Report::default());
        let failures = probe(&config.expect("a good configuration"));
        failures.into_iter().map(|failure| failure.message).collect()
    }

    /// A mail server with this `listen` in a configuration whose files can be made in `folder`.
    fn with_listen(folder: &Path, address: &str) -> String {
        let folder = folder.display();
        format!(
            "events {{}} pid {folder}/pid; error_log {folder}/error.log;
             mail {{ auth_http 127.0.0.1:9; server {{ listen {address}; protocol imap; }} }}"
        )
    }

    #[test]
    fn a_probe_leaves_no_trace() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = format!("unix:{}/imap", folder.path().display());
        assert_eq!(probed(&with_listen(folder.path(), &socket)), [""; 0]);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn files_that_are_there_keep_their_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = ["pid", "error.log", "imap"].map(|name| folder.path().join(name));
        names.iter().for_each(|name| fs::write(name, "before").expect("a file"));
        let socket = format!("unix:{}", names[2].display());
        assert_eq!(probed(&with_listen(folder.path(), &socket)), [""; 0]);
        for name in &names {
            assert_eq!(fs::read(name).expect("the file"), b"before");
        }
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = folder.path().display();
        fs::write(folder.path().join("file"), "").expect("a file");
        for (text, expected) in [
            (
                format!("pid {here}; error_log stderr;"),
                format!("open() \"{here}\" failed (21: Is a directory)"),
            ),
            (
                format!("pid {here}/no/pid; error_log stderr;"),
                format!("open() \"{here}/no/pid\" failed (2: No such file or directory)"),
            ),
            (
                format!("pid {here}/pid; error_log {here}/no/log;"),
                format!("open() \"{here}/no/log\" failed (2: No such file or directory)"),
            ),
            (
                format!("pid {here}/pid; error_log stderr; working_directory {here}/no;"),
                format!("chdir(\"{here}/no\") failed (2: No such file or directory)"),
            ),
            (
                format!("pid {here}/pid; error_log stderr; working_directory {here}/file;"),
                format!("chdir(\"{here}/file\") failed (20: Not a directory)"),
            ),
        ] {
            assert_eq!(probed(&format!("events {{}} {text}")), [expected]);
        }
        let socket = format!("unix:{here}/no/imap");
        let expected = format!("bind() to {socket} failed (2: No such file or directory)");
        assert_eq!(probed(&with_listen(folder.path(), &socket)), [expected]);
    }

    #[test]
    fn all_that_cannot_be_made_is_named_once_in_the_order_of_a_start() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = folder.path().display();
        let text = format!(
            "events {{}} pid {here}/no/pid; error_log {here}/no/log; metrics 192.0.2.77:30211;
             mail {{
                 auth_http 127.0.0.1:9;
                 server {{ listen 192.0.2.77:30210; protocol imap; error_log {here}/no/imap; }}
                 server {{ listen unix:{here}/no/pop3; protocol pop3; error_log {here}/no/log; }}
             }}"
        );
        let expected = [
            format!("open() \"{here}/no/pid\" failed (2: No such file or directory)"),
            format!("open() \"{here}/no/log\" failed (2: No such file or directory)"),
            format!("open() \"{here}/no/imap\" failed (2: No such file or directory)"),
            "bind() to 192.0.2.77:30210 failed (99: Cannot assign requested address)".to_owned(),
            format!("bind() to unix:{here}/no/pop3 failed (2: No such file or directory)"),
            "bind() to 192.0.2.77:30211 failed (99: Cannot assign requested address)".to_owned(),
        ];
        assert_eq!(probed(&text), expected);
    }

    #[test]
    fn a_pid_file_without_a_folder_comes_with_a_hint() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(probe_pid_file(&folder.path().join("pid")).is_ok());
        let error = probe_pid_file(&folder.path().join("no/pid")).expect_err("no folder");
        assert_eq!(error.hint.as_deref(), Some("the directive \"pid\" names another place"));
    }

    #[test]
    fn an_address_in_use_is_no_mistake_and_a_foreign_one_is() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let in_use = other.local_addr().expect("an address").to_string();
        assert_eq!(probed(&with_listen(folder.path(), &in_use)), [""; 0]);
        let expected = "bind() to 192.0.2.77:30210 failed (99: Cannot assign requested address)";
        assert_eq!(probed(&with_listen(folder.path(), "192.0.2.77:30210")), [expected]);
    }
}

//! What `-t` tries beyond reading the configuration: everything a start would need, leaving no trace
//! (spec/config.md section 17).

use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use crate::config::{Bind, Config, LogTo};
use crate::listener;
use crate::log::lines::errno_text;
use crate::master::LoadError;
use crate::runtime::Peer;

/// Whether the files could be written and the addresses bound.
///
/// # Errors
/// The first that could not, in the words of a start.
pub(crate) fn probe(config: &Config) -> Result<(), LoadError> {
    probe_pid_file(&config.main.pid)?;
    probe_rest(config).map_err(LoadError::new)
}

/// Whether the pid file could be written. A daemon finds out only when nobody looks at it any more.
///
/// # Errors
/// Why not.
pub(crate) fn probe_pid_file(path: &Path) -> Result<(), LoadError> {
    let hint = || "the directive \"pid\" names another place".to_owned();
    probe_file(path).map_err(|message| LoadError { hint: Some(hint()), ..LoadError::new(message) })
}

fn probe_rest(config: &Config) -> Result<(), String> {
    let servers = config.binds.iter().flat_map(|bind| &bind.listens).map(|listen| &listen.server);
    for target in config.main.error_log.iter().chain(servers.flat_map(|server| &server.error_log)) {
        match &target.to {
            LogTo::File(path) => probe_file(path)?,
            LogTo::Stderr | LogTo::Syslog(_) => {}
        }
    }
    config.binds.iter().try_for_each(probe_bind)
}

/// Whether the file could be written, or made where it does not exist.
fn probe_file(path: &Path) -> Result<(), String> {
    let access = match eaccess(path, AccessFlags::W_OK) {
        Ok(()) if path.is_dir() => Err(Errno::EISDIR),
        Err(Errno::ENOENT) => probe_folder(path),
        access => access,
    };
    access.map_err(|errno| format!("open() \"{}\" failed {}", path.display(), errno_text(errno as i32)))
}

/// Whether the folder takes a new file of this name.
fn probe_folder(path: &Path) -> nix::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    eaccess(folder.unwrap_or_else(|| Path::new(".")), AccessFlags::W_OK | AccessFlags::X_OK)
}

fn probe_bind(bind: &Bind) -> Result<(), String> {
    match &bind.address {
        Peer::Inet(_) => listener::probe(&bind.address, &bind.options).map_err(|error| error.to_string()),
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

    fn probed(text: &str) -> Result<(), String> {
        let config = Config::parse(text, Memory::default(), &mut Report::default());
        probe(&config.expect("a good configuration")).map_err(|error| error.message)
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
        assert_eq!(probed(&with_listen(folder.path(), &socket)), Ok(()));
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn files_that_are_there_keep_their_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let names = ["pid", "error.log", "imap"].map(|name| folder.path().join(name));
        names.iter().for_each(|name| fs::write(name, "before").expect("a file"));
        let socket = format!("unix:{}", names[2].display());
        assert_eq!(probed(&with_listen(folder.path(), &socket)), Ok(()));
        for name in &names {
            assert_eq!(fs::read(name).expect("the file"), b"before");
        }
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let here = folder.path().display();
        for (text, expected) in [
            (format!("pid {here};"), format!("open() \"{here}\" failed (21: Is a directory)")),
            (
                format!("pid {here}/no/pid;"),
                format!("open() \"{here}/no/pid\" failed (2: No such file or directory)"),
            ),
            (
                format!("pid {here}/pid; error_log {here}/no/log;"),
                format!("open() \"{here}/no/log\" failed (2: No such file or directory)"),
            ),
        ] {
            assert_eq!(probed(&format!("events {{}} {text}")), Err(expected));
        }
        let socket = format!("unix:{here}/no/imap");
        let expected = format!("bind() to {socket} failed (2: No such file or directory)");
        assert_eq!(probed(&with_listen(folder.path(), &socket)), Err(expected));
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
        assert_eq!(probed(&with_listen(folder.path(), &in_use)), Ok(()));
        let expected = "bind() to 192.0.2.77:30210 failed (99: Cannot assign requested address)";
        assert_eq!(probed(&with_listen(folder.path(), "192.0.2.77:30210")), Err(expected.into()));
    }
}

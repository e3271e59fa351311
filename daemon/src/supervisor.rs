//! The service manager that started this program and wants to hear how it is doing (sd_notify(3)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;

use nix::unistd::Pid;

use crate::sys;

/// The variable that names its socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// Whoever listens on `NOTIFY_SOCKET`; nobody where that is not set.
#[derive(Debug, Default)]
pub(crate) struct Supervisor {
    name: Option<OsString>,
}

/// What a supervisor is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News<'a> {
    /// The service is served by this process; the text is for whoever asks how it is.
    Ready(&'a str),
    /// The configuration is being read again; [`Ready`](Self::Ready) or [`Reloaded`](Self::Reloaded) follows.
    Reloading,
    /// As [`Ready`](Self::Ready), from a process that may not be the service's main one yet.
    Reloaded(&'a str),
    /// The service ends.
    Stopping,
    /// Another process is the service from now on.
    Successor(Pid),
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Self {
        Self { name: std::env::var_os(VARIABLE) }
    }

    /// The variable for a process that takes the place of this one.
    pub(crate) fn variable(&self) -> Option<(OsString, OsString)> {
        self.name.clone().map(|name| (VARIABLE.into(), name))
    }

    /// Tells it, if it is there.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn tell(&self, news: &News<'_>) -> io::Result<()> {
        let Some(name) = &self.name else { return Ok(()) };
        let socket = UnixDatagram::unbound()?;
        // A manager that is busy for long must not hold up the master.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(news.text().as_bytes(), &address(name)?).map(drop)
    }
}

impl News<'_> {
    fn text(&self) -> String {
        match self {
            Self::Ready(status) => format!("READY=1\nMAINPID={}\nSTATUS={status}\n", process::id()),
            Self::Reloading => {
                let now = sys::monotonic_microseconds();
                format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=reading the configuration\n")
            }
            Self::Reloaded(status) => format!("READY=1\nSTATUS={status}\n"),
            Self::Stopping => "STOPPING=1\nSTATUS=shutting down\n".into(),
            Self::Successor(pid) => format!("MAINPID={pid}\nSTATUS=served by a new program\n"),
        }
    }
}

/// A path, or a name in the abstract namespace behind `@`.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 500];
        let count = socket.recv(&mut buffer).expect("a datagram");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn news_arrive_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("notify");
        let abstract_name = format!("@gatepost-test-{}", process::id());
        for name in [path.as_os_str(), OsStr::new(&abstract_name)] {
            let socket = UnixDatagram::bind_addr(&address(name).expect("an address")).expect("a socket");
            let supervisor = Supervisor { name: Some(name.to_owned()) };
            assert_eq!(supervisor.variable(), Some((VARIABLE.into(), name.to_owned())));
            supervisor.tell(&News::Ready("fine")).expect("it listens");
            let expected = format!("READY=1\nMAINPID={}\nSTATUS=fine\n", process::id());
            assert_eq!(received(&socket), expected);
            supervisor.tell(&News::Successor(Pid::from_raw(7))).expect("it listens");
            assert_eq!(received(&socket), "MAINPID=7\nSTATUS=served by a new program\n");
        }
    }

    #[test]
    fn a_reload_has_its_time() {
        let text = News::Reloading.text();
        let time = text.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
        let time: u64 = time.and_then(|time| time.parse().ok()).expect("a number");
        assert!((1..=sys::monotonic_microseconds()).contains(&time));
        assert!(text.starts_with("RELOADING=1\n"));
    }

    #[test]
    fn nobody_is_told_nothing_and_one_that_is_gone_is_an_error() {
        assert!(Supervisor::default().tell(&News::Stopping).is_ok());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let supervisor = Supervisor { name: Some(folder.path().join("none").into()) };
        assert!(supervisor.tell(&News::Stopping).is_err());
    }
}

//! `error_log syslog:`: a datagram per line.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::SystemTime;

use gatepost_protocol::event::Level;

use crate::runtime::Peer;
use crate::sys;

/// One syslog server with what stands in front of its messages.
#[derive(Debug)]
pub(crate) struct Syslog {
    server: Peer,
    /// The code of the facility, 0 to 23.
    facility: u8,
    tag: Box<str>,
    /// `None` with `nohostname`.
    hostname: Option<Box<str>>,
    socket: RefCell<Option<Socket>>,
    /// Whether the last message was lost: only the first loss is told.
    failed: Cell<bool>,
}

#[derive(Debug)]
enum Socket {
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Syslog {
    pub(crate) fn new(server: Peer, facility: u8, tag: Box<str>, with_hostname: bool) -> Self {
        let hostname = || nix::unistd::gethostname().ok()?.into_string().ok();
        Self {
            server,
            facility,
            tag,
            hostname: with_hostname.then(hostname).flatten().map(String::into_boxed_str),
            socket: RefCell::default(),
            failed: Cell::new(false),
        }
    }

    /// Sends one line, or loses it: a log must not hold up its program.
    pub(crate) fn send(&self, at: SystemTime, level: Level, line: &str) {
        let message = self.message(at, level, line);
        let outcome = self.try_send(message.as_bytes());
        if let Err((call, error)) = &outcome {
            // A server that was restarted is found again by the next message.
            *self.socket.borrow_mut() = None;
            if !self.failed.get() {
                let text = super::lines::errno_text(error.raw_os_error().unwrap_or(0));
                let server = super::lines::peer_text(&self.server);
                let notice = format!("{call} failed {text} while logging to syslog, server: {server}");
                super::write_stderr(&super::frame(at, Level::Alert, None, &notice));
            }
        }
        self.failed.set(outcome.is_err());
    }

    /// The error comes with the call that failed.
    fn try_send(&self, message: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let mut slot = self.socket.borrow_mut();
        let socket = match &mut *slot {
            Some(socket) => socket,
            None => slot.insert(Socket::open(&self.server).map_err(|error| ("connect()", error))?),
        };
        match socket {
            Socket::Udp(socket) => socket.send(message),
            Socket::Unix(socket) => socket.send(message),
        }
        .map(drop)
        .map_err(|error| ("send()", error))
    }

    /// `<PRI>Mon DD HH:MM:SS HOSTNAME TAG: LINE`
    fn message(&self, at: SystemTime, level: Level, line: &str) -> String {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let now = sys::local_time(at);
        let priority = u16::from(self.facility) * 8 + level as u16;
        let month = MONTHS[usize::from(now.month.clamp(1, 12)) - 1];
        let (host, space) = self.hostname.as_deref().map_or(("", ""), |host| (host, " "));
        format!(
            "<{priority}>{month} {:2} {:02}:{:02}:{:02} {host}{space}{}: {line}",
            now.day, now.hour, now.minute, now.second, self.tag
        )
    }
}

impl Socket {
    fn open(server: &Peer) -> io::Result<Self> {
        match server {
            Peer::Inet(address) => {
                let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let local: SocketAddr = any.parse().expect("an address");
                let socket = UdpSocket::bind(local)?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            Peer::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Unix(socket))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_priority_time_and_tag() {
        let syslog = Syslog::new(Peer::Unix("/dev/null".into()), 2, "gp".into(), false);
        let message = syslog.message(SystemTime::UNIX_EPOCH, Level::Info, "a line");
        let (priority, rest) = message.split_at(4);
        assert_eq!(priority, "<22>");
        assert_eq!(&rest[15..], " gp: a line");
        assert!(rest.starts_with("Jan  1 ") || rest.starts_with("Dec 31 "), "{rest}");
    }

    #[test]
    fn lines_arrive_and_a_dead_server_does_no_harm() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("log");
        let server = UnixDatagram::bind(&path).expect("a socket");
        let syslog = Syslog::new(Peer::Unix(path.clone()), 23, "nginx".into(), false);
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "one");
        let mut buffer = [0; 100];
        let count = server.recv(&mut buffer).expect("a datagram");
        assert!(buffer.starts_with(b"<184>") && buffer[..count].ends_with(b" nginx: one"));
        drop(server);
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "lost");
        std::fs::remove_file(&path).expect("remove");
        let server = UnixDatagram::bind(&path).expect("a socket");
        syslog.send(SystemTime::UNIX_EPOCH, Level::Emerg, "three");
        let count = server.recv(&mut buffer).expect("a datagram");
        assert!(buffer[..count].ends_with(b" nginx: three"));
    }
}

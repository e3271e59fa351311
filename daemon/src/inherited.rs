//! Listening sockets that were open before this program started: those of the master it replaces (`NGINX`, nginx's
//! way of changing binaries), or those of a supervisor (`LISTEN_FDS`, sd_listen_fds(3)).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use gatepost_protocol::event::Level;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::{Pid, getpid, getppid};
use socket2::{SockRef, Type};

use crate::listener::Listening;
use crate::log::escape;
use crate::log::lines::{error_text, peer_text};
use crate::runtime::Peer;
use crate::sys;

/// The variable in which one master tells the next which descriptors listen, each followed by `;`.
pub(crate) const VARIABLE: &str = "NGINX";

/// The variable in which it tells which of them a supervisor lent it, in the same form. nginx knows nothing of it.
pub(crate) const LENT_VARIABLE: &str = "GATEPOST_LENT";

/// The first descriptor of a supervisor.
const FIRST_OF_SUPERVISOR: RawFd = 3;

/// What this process was started with.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) listening: Vec<Listening>,
    /// The master that this one is to replace: it started this process and still runs.
    pub(crate) predecessor: Option<Pid>,
    /// Addresses whose names in the file system are a supervisor's to remove.
    pub(crate) lent: Vec<Peer>,
    /// What the log should know.
    pub(crate) notes: Vec<(Level, String)>,
}

impl Inherited {
    /// Takes what the environment announces. To be called once, before this program has opened anything.
    pub(crate) fn take() -> Self {
        let variable = |name| std::env::var_os(name);
        if let Some(value) = variable(VARIABLE) {
            return Self::from_master(&value, &variable(LENT_VARIABLE).unwrap_or_default());
        }
        let is_meant = |pid: &OsStr| pid.to_str() == Some(&getpid().to_string());
        match (variable("LISTEN_PID"), variable("LISTEN_FDS")) {
            (Some(pid), Some(count)) if is_meant(&pid) => Self::from_supervisor(&count),
            _ => Self::default(),
        }
    }

    fn from_master(value: &OsStr, lent: &OsStr) -> Self {
        let (text, lent) = (value.to_string_lossy(), lent.to_string_lossy());
        let notice = format!("using inherited sockets from \"{}\"", escape(text.as_bytes()));
        let mut inherited =
            Self { predecessor: Some(getppid()), notes: vec![(Level::Notice, notice)], ..Self::default() };
        let (all, fault) = numbers(VARIABLE, &text);
        let (lent, fault_of_lent) = numbers(LENT_VARIABLE, &lent);
        inherited
            .notes
            .extend([fault, fault_of_lent].into_iter().flatten().map(|fault| (Level::Emerg, fault)));
        inherited.adopt(all, &lent);
        inherited
    }

    fn from_supervisor(count: &OsStr) -> Self {
        let mut inherited = Self::default();
        let count = count.to_str().and_then(|count| count.parse::<u16>().ok());
        let Some(count) = count else {
            inherited.notes.push((Level::Warn, "invalid LISTEN_FDS, ignored".into()));
            return inherited;
        };
        inherited.notes.push((Level::Notice, format!("using {count} inherited sockets from LISTEN_FDS")));
        let all: BTreeSet<_> = (FIRST_OF_SUPERVISOR..).take(count.into()).collect();
        inherited.adopt(all.clone(), &all);
        inherited
    }

    /// Takes these sockets, of which some are lent.
    fn adopt(&mut self, numbers: BTreeSet<RawFd>, lent: &BTreeSet<RawFd>) {
        for (number, descriptor) in sys::own_inherited(numbers) {
            match descriptor.and_then(listening) {
                Ok(listening) => {
                    if lent.contains(&number) {
                        self.lent.push(listening.address.clone());
                    }
                    self.listening.push(listening);
                }
                Err(error) => {
                    let text = error_text(&error);
                    self.notes
                        .push((Level::Crit, format!("the inherited socket #{number} is ignored {text}")));
                }
            }
        }
    }

    /// Closes what no `listen` of the configuration wants, and what is there twice.
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(&Peer) -> bool) {
        let mut known = Vec::new();
        self.listening.retain(|listening| {
            let address = &listening.address;
            let is_kept = is_wanted(address) && !known.contains(address);
            if is_kept {
                known.push(address.clone());
            } else {
                let text = peer_text(address);
                let warning = format!("the inherited socket {text} belongs to no \"listen\" and is closed");
                self.notes.push((Level::Warn, warning));
            }
            is_kept
        });
    }
}

/// The numbers in a variable, and what is wrong with the rest of it. As nginx reads it: `:` ends one, too.
fn numbers(variable: &str, text: &str) -> (BTreeSet<RawFd>, Option<String>) {
    let mut numbers = BTreeSet::new();
    let mut pieces: Vec<&str> = text.split([';', ':']).collect();
    let rest = pieces.pop().unwrap_or_default();
    for piece in pieces {
        match piece.parse() {
            Ok(number) => numbers.insert(number),
            Err(_) => {
                let fault = format!(
                    "invalid socket number \"{}\" in {variable} environment variable, ignoring the rest of the variable",
                    escape(piece.as_bytes())
                );
                return (numbers, Some(fault));
            }
        };
    }
    let fault = (!rest.is_empty()).then(|| {
        let rest = escape(rest.as_bytes());
        format!("invalid socket number \"{rest}\" in {variable} environment variable, ignoring")
    });
    (numbers, fault)
}

/// Makes an inherited descriptor one of ours, if it is a stream socket that listens.
fn listening(descriptor: OwnedFd) -> io::Result<Listening> {
    let socket = SockRef::from(&descriptor);
    if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
        return Err(io::Error::other("not a listening stream socket"));
    }
    let local = socket.local_addr()?;
    let address = match (local.as_socket(), local.as_pathname()) {
        (Some(address), _) => Peer::Inet(address),
        (None, Some(path)) => Peer::Unix(path.to_owned()),
        (None, None) => return Err(io::Error::other("unsupported address family")),
    };
    socket.set_nonblocking(true)?;
    // Nobody but us decides who gets it next.
    fcntl(descriptor.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(Listening { address, socket: descriptor })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn numbers_end_in_semicolons() {
        for (text, expected, fault) in [
            ("", &[][..], None),
            ("6;7;", &[6, 7], None),
            ("6:7;6;", &[6, 7], None),
            (
                "6;x;7;",
                &[6],
                Some(
                    "invalid socket number \"x\" in NGINX environment variable, ignoring the rest of the variable",
                ),
            ),
            ("6;7", &[6], Some("invalid socket number \"7\" in NGINX environment variable, ignoring")),
        ] {
            let (found, said) = numbers(VARIABLE, text);
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected, "{text}");
            assert_eq!(said.as_deref(), fault, "{text}");
        }
    }

    #[test]
    fn only_listening_stream_sockets_are_taken() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("an address");
        let taken = listening(tcp.into()).expect("a listening socket");
        assert_eq!(taken.address, Peer::Inet(address));
        let flags = fcntl(taken.socket.as_fd(), FcntlArg::F_GETFD).expect("flags");
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        let path = folder.path().join("socket");
        let unix = UnixListener::bind(&path).expect("a socket");
        assert_eq!(listening(unix.into()).expect("a listening socket").address, Peer::Unix(path));
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        assert!(listening(udp.into()).is_err());
        let file = tempfile::tempfile().expect("a file");
        assert!(listening(file.into()).is_err());
    }

    #[test]
    fn what_nobody_wants_is_closed_with_a_warning() {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let [wanted, other] =
            sockets.each_ref().map(|socket| Peer::Inet(socket.local_addr().expect("an address")));
        let twin = sockets[0].try_clone().expect("a copy");
        let all = sockets.into_iter().chain([twin]);
        let mut inherited = Inherited {
            listening: all.map(|socket| listening(socket.into()).expect("a listening socket")).collect(),
            ..Inherited::default()
        };
        inherited.keep(|address| *address == wanted);
        assert_eq!(inherited.listening.iter().map(|kept| &kept.address).collect::<Vec<_>>(), [&wanted]);
        let notes: Vec<_> = inherited.notes.iter().map(|(_, note)| note.as_str()).collect();
        let closed = |address| {
            format!("the inherited socket {} belongs to no \"listen\" and is closed", peer_text(address))
        };
        assert_eq!(notes, [closed(&other), closed(&wanted)]);
    }
}

//! Listening sockets: opened by the master, kept over reloads, inherited by the workers.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::thread;
use std::time::Duration;

use gatepost_protocol::event::Level;
use nix::libc;
use nix::sys::stat::{Mode, fchmod, umask};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;

use crate::log::lines::{error_text, peer_text};
use crate::runtime::Peer;

/// How often an address in use is tried where there is time for it, and the pause between.
pub(crate) const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// Read and write for all.
const EVERYBODY: Mode = Mode::from_bits_truncate(0o666);

/// How a socket listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Clients that may wait to be accepted.
    pub(crate) backlog: i32,
    /// `SO_RCVBUF` and `SO_SNDBUF`, in bytes.
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    /// Whether an IPv6 wildcard leaves IPv4 alone.
    pub(crate) ipv6_only: bool,
    /// `multipath`: MPTCP.
    pub(crate) multipath: bool,
    /// `so_keepalive`; `None` leaves the system's default.
    pub(crate) keepalive: Option<Keepalive>,
}

/// `so_keepalive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keepalive {
    Off,
    /// With what differs from the system's settings.
    On {
        idle: Option<Duration>,
        interval: Option<Duration>,
        probes: Option<u32>,
    },
}

/// One listening socket.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) address: Peer,
    pub(crate) socket: OwnedFd,
}

/// What kept a socket from listening.
#[derive(Debug, Error)]
#[error("{call} {} failed {}", peer_text(.address), error_text(.error))]
pub(crate) struct ListenError {
    call: &'static str,
    address: Peer,
    error: io::Error,
}

impl ListenError {
    fn is_in_use(&self) -> bool {
        self.error.raw_os_error() == Some(libc::EADDRINUSE)
    }
}

/// Opens all of these that are not open yet. An address in use is tried this often, as it may come free. The first of
/// `tell`'s messages for each address and try; the last says that it was in vain.
pub(crate) fn open_all(
    wanted: &[(Peer, Options)],
    open: &mut Vec<Listening>,
    attempts: u32,
    mut tell: impl FnMut(Level, &str),
) -> Result<(), ()> {
    for attempt in 1..=attempts {
        let mut is_complete = true;
        for (address, options) in wanted {
            if open.iter().any(|listening| listening.address == *address) {
                continue;
            }
            match listen(address, options) {
                Ok(socket) => open.push(Listening { address: address.clone(), socket }),
                Err(error) => {
                    tell(Level::Emerg, &error.to_string());
                    if !error.is_in_use() {
                        return Err(());
                    }
                    is_complete = false;
                }
            }
        }
        if is_complete {
            return Ok(());
        }
        if attempt < attempts {
            thread::sleep(PAUSE);
        }
    }
    tell(Level::Emerg, "still could not bind()");
    Err(())
}

/// Opens one listening socket that does not block.
pub(crate) fn listen(address: &Peer, options: &Options) -> Result<OwnedFd, ListenError> {
    let failed = |call: &'static str| {
        let address = address.clone();
        move |error| ListenError { call, address, error }
    };
    let at = match address {
        Peer::Inet(address) => SockAddr::from(*address),
        Peer::Unix(path) => SockAddr::unix(path).map_err(failed("bind() to"))?,
    };
    let protocol = (options.multipath && at.domain() != Domain::UNIX).then_some(Protocol::MPTCP);
    let socket =
        Socket::new(at.domain(), Type::STREAM.nonblocking(), protocol).map_err(failed("socket() for"))?;
    set_options(&socket, &at, options).map_err(failed("setsockopt() for"))?;
    if at.domain() == Domain::UNIX {
        // As for a port, who may connect is not decided by the socket. Its file is made with the mode that it has: by
        // its name, one that somebody put in its place might be changed.
        fchmod(&socket, EVERYBODY).map_err(io::Error::from).map_err(failed("fchmod() of"))?;
        let mask = umask(Mode::empty());
        let bound = socket.bind(&at);
        umask(mask);
        bound.map_err(failed("bind() to"))?;
    } else {
        socket.bind(&at).map_err(failed("bind() to"))?;
    }
    socket.listen(options.backlog).map_err(failed("listen() to"))?;
    Ok(socket.into())
}

/// Gives a socket that listens already the options of a new configuration, as far as they can still change. What the
/// new one does not name stays.
pub(crate) fn adjust(listening: &Listening, options: &Options) -> Result<(), ListenError> {
    let failed = |call| move |error| ListenError { call, address: listening.address.clone(), error };
    let socket = SockRef::from(&listening.socket);
    set_changeable(&socket, options).map_err(failed("setsockopt() for"))?;
    socket.listen(options.backlog).map_err(failed("listen() to"))
}

/// Whether the address could be bound; one in use could be, once whoever uses it has gone. Unix sockets are not tried:
/// the attempt would leave a file.
pub(crate) fn probe(address: &Peer, options: &Options) -> Result<(), ListenError> {
    let Peer::Inet(at) = address else { return Ok(()) };
    let failed = |error| ListenError { call: "bind() to", address: address.clone(), error };
    let at = SockAddr::from(*at);
    let socket = Socket::new(at.domain(), Type::STREAM, None).map_err(failed)?;
    let outcome = set_options(&socket, &at, options).and_then(|()| socket.bind(&at)).map_err(failed);
    match outcome {
        Err(error) if error.is_in_use() => Ok(()),
        outcome => outcome,
    }
}

fn set_options(socket: &Socket, at: &SockAddr, options: &Options) -> io::Result<()> {
    if at.domain() != Domain::UNIX {
        socket.set_reuse_address(true)?;
    }
    if at.domain() == Domain::IPV6 {
        socket.set_only_v6(options.ipv6_only)?;
    }
    set_changeable(socket, options)
}

/// The options that a socket may get while it listens.
fn set_changeable(socket: &Socket, options: &Options) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    match options.keepalive {
        None => Ok(()),
        Some(Keepalive::Off) => socket.set_keepalive(false),
        Some(Keepalive::On { idle, interval, probes }) => {
            let mut keepalive = TcpKeepalive::new();
            if let Some(idle) = idle {
                keepalive = keepalive.with_time(idle);
            }
            if let Some(interval) = interval {
                keepalive = keepalive.with_interval(interval);
            }
            if let Some(probes) = probes {
                keepalive = keepalive.with_retries(probes);
            }
            socket.set_tcp_keepalive(&keepalive)
        }
    }
}

/// Removes the name of a unix socket that is not listened on any more.
pub(crate) fn forget(address: &Peer) {
    if let Peer::Unix(path) = address
        && fs::symlink_metadata(path).is_ok_and(|name| name.file_type().is_socket())
    {
        // Whoever removed it before us wanted the same.
        drop(fs::remove_file(path));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use nix::sys::stat::fstat;

    use super::*;

    fn any_port() -> Peer {
        Peer::Inet(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    #[test]
    fn an_open_address_is_kept_and_new_ones_join() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unix = Peer::Unix(folder.path().join("socket"));
        let options = Options { backlog: 5, ..Options::default() };
        let mut open = Vec::new();
        let wanted = [(unix.clone(), options.clone())];
        open_all(&wanted, &mut open, 1, |_, message| panic!("{message}")).expect("a socket");
        let wanted = [(unix.clone(), options.clone()), (any_port(), options)];
        open_all(&wanted, &mut open, 1, |_, message| panic!("{message}")).expect("a socket");
        assert_eq!(open.len(), 2);
        forget(&unix);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn everybody_may_connect_to_a_unix_socket_as_soon_as_it_is_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("socket");
        let socket = listen(&Peer::Unix(path.clone()), &Options::default()).expect("a socket");
        assert_eq!(fs::metadata(path).expect("the socket").mode() & 0o7777, 0o666);
        // What it was made with, nobody has changed by its name.
        let descriptor = fstat(&socket).expect("a descriptor");
        assert_eq!(descriptor.st_mode & 0o7777, 0o666);
    }

    #[test]
    fn keepalive_is_inherited_from_the_options() {
        let keepalive =
            Keepalive::On { idle: Some(Duration::from_secs(77)), interval: None, probes: Some(3) };
        let options = Options { backlog: 5, keepalive: Some(keepalive), ..Options::default() };
        let socket = Socket::from(listen(&any_port(), &options).expect("a socket"));
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let _client = TcpStream::connect(address).expect("a connection");
        let (accepted, _) = socket.accept().expect("a client");
        assert!(accepted.keepalive().expect("an option"));
        assert_eq!(accepted.tcp_keepalive_time().expect("an option"), Duration::from_secs(77));
        assert_eq!(accepted.tcp_keepalive_retries().expect("an option"), 3);
    }

    #[test]
    fn options_are_on_the_socket() {
        let options = |options: Options| Options { backlog: 5, ..options };
        let open = |address: &Peer, wanted: Options| {
            Socket::from(listen(address, &options(wanted)).expect("a socket"))
        };
        let plain = open(&any_port(), Options::default());
        let sizes = open(
            &any_port(),
            Options { receive_buffer: Some(9000), send_buffer: Some(7000), ..Options::default() },
        );
        // The kernel doubles them, to have room for its own.
        assert_eq!(sizes.recv_buffer_size().expect("an option"), 18_000);
        assert_eq!(sizes.send_buffer_size().expect("an option"), 14_000);
        assert!(plain.recv_buffer_size().expect("an option") > 18_000);
        let wildcard = Peer::Inet("[::]:0".parse().expect("an address"));
        for ipv6_only in [true, false] {
            let socket = open(&wildcard, Options { ipv6_only, ..Options::default() });
            assert_eq!(socket.only_v6().expect("an option"), ipv6_only);
        }
        let multipath = listen(&any_port(), &options(Options { multipath: true, ..Options::default() }));
        match (multipath, Path::new("/proc/sys/net/mptcp").exists()) {
            (Ok(socket), true) => {
                let protocol = Socket::from(socket).protocol();
                assert_eq!(protocol.expect("an option"), Some(Protocol::MPTCP));
            }
            // A kernel without it.
            (Err(error), false) => assert_eq!(error.call, "socket() for"),
            (outcome, _) => panic!("{outcome:?}"),
        }
        assert_eq!(plain.protocol().expect("an option"), Some(Protocol::TCP));
    }

    #[test]
    fn as_many_clients_wait_as_the_backlog_says() {
        let socket = Socket::from(
            listen(&any_port(), &Options { backlog: 3, ..Options::default() }).expect("a socket"),
        );
        let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        // One more than it says, as the kernel counts; the next one's connection is not made.
        let waiting: Vec<_> = (0..4).map(|_| TcpStream::connect(address).expect("a connection")).collect();
        let late = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        assert_eq!(late.expect_err("a full queue").kind(), io::ErrorKind::TimedOut);
        drop(waiting);
    }

    #[test]
    fn a_socket_that_listens_takes_new_options() {
        let address = any_port();
        let socket = listen(&address, &Options { backlog: 5, ..Options::default() }).expect("a socket");
        let listening = Listening { address, socket };
        let keepalive = Some(Keepalive::On { idle: None, interval: None, probes: None });
        let options = Options { backlog: 7, keepalive, ..Options::default() };
        adjust(&listening, &options).expect("a listening socket");
        let socket = SockRef::from(&listening.socket);
        assert!(socket.keepalive().expect("an option"));
        assert!(socket.is_listener().expect("an option"));
    }

    #[test]
    fn errors_name_the_address() {
        let other = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = other.local_addr().expect("an address");
        let error = listen(&Peer::Inet(address), &Options::default()).expect_err("in use");
        assert!(error.is_in_use());
        assert_eq!(error.to_string(), format!("bind() to {address} failed (98: Address already in use)"));
    }
}

//! Non-blocking socket calls that both runtimes share; readiness is theirs.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::libc;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::runtime::Peer;

/// Begins to connect. The socket does not block, is not inherited by programs, and sends without delay.
///
/// # Errors
/// `socket`'s and `connect`'s, but an attempt still under way is none.
pub fn connect(peer: &Peer) -> io::Result<OwnedFd> {
    let address = match peer {
        Peer::Inet(address) => SockAddr::from(*address),
        Peer::Unix(path) => SockAddr::unix(path)?,
    };
    let socket = Socket::new(address.domain(), Type::STREAM.nonblocking(), None)?;
    if address.domain() != Domain::UNIX {
        socket.set_tcp_nodelay(true)?;
    }
    match socket.connect(&address) {
        Ok(()) => Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}

/// A UDP socket bound to this one peer, on a source port of the kernel's choice.
///
/// # Errors
/// `socket`'s and `connect`'s.
pub fn datagram(server: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(server), Type::DGRAM.nonblocking(), None)?;
    socket.connect(&server.into())?;
    Ok(socket.into())
}

/// Whether the attempt to connect has succeeded; false while it is under way.
///
/// # Errors
/// Why it failed.
pub fn is_connected(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let socket = SockRef::from(&socket);
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => match socket.take_error()? {
            Some(error) => Err(error),
            None => Ok(false),
        },
        Err(error) => Err(error),
    }
}

/// Reads what there is; an interrupted call is repeated.
///
/// # Errors
/// `recv`'s, `WouldBlock` among them.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let socket = SockRef::from(&socket);
    loop {
        match io::Read::read(&mut &*socket, buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Writes what the kernel takes; an interrupted call is repeated. A peer that is gone is an error, not a signal.
///
/// # Errors
/// `send`'s, `WouldBlock` among them.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let socket = SockRef::from(&socket);
    loop {
        match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Ends the sending direction.
///
/// # Errors
/// `shutdown`'s.
pub fn shutdown(socket: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&socket).shutdown(Shutdown::Write)
}

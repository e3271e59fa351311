//! The line between the master and one worker, over which the worker reports that it serves, and reopened log files go
//! to it.
//!
//! A worker may not be allowed to open the log files itself, so the master opens them and hands the descriptors over
//! (spec/auth-http-and-ops.md O04).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self as socket, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    recvmsg, sendmsg, socketpair,
};

use crate::sys;

/// Both ends: the master's and the worker's. Neither blocks.
///
/// # Errors
/// `socketpair`'s.
pub(crate) fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
}

/// Sends the log file of this number. Each goes alone: whoever has no descriptor left for one loses no other.
///
/// # Errors
/// `sendmsg`'s; `WouldBlock` if the worker does not read.
pub(crate) fn send(channel: BorrowedFd<'_>, number: u32, file: BorrowedFd<'_>) -> nix::Result<()> {
    let files = [file.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&files)];
    let number = number.to_be_bytes();
    sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(&number)], &control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// A log file that was sent.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) number: u32,
    /// `None` if this process had no descriptor left for it.
    pub(crate) file: Option<OwnedFd>,
}

/// The worker's side. It keeps a descriptor in reserve, so that a log file has one when all others are taken.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    reserve: Option<OwnedFd>,
}

impl Inbox {
    /// Takes a descriptor in reserve, if there is one: at the beginning, and when a file that came has replaced another.
    pub(crate) fn refill(&mut self, channel: BorrowedFd<'_>) {
        self.reserve = channel.try_clone_to_owned().ok();
    }

    /// Receives a log file; `None` when the master is gone.
    ///
    /// # Errors
    /// `recvmsg`'s; `WouldBlock` when nothing has come.
    pub(crate) fn receive(&mut self, channel: BorrowedFd<'_>) -> io::Result<Option<Arrival>> {
        self.reserve = None;
        let arrival = receive(channel);
        if !matches!(arrival, Ok(Some(Arrival { file: Some(_), .. }))) {
            self.refill(channel);
        }
        arrival
    }
}

fn receive(channel: BorrowedFd<'_>) -> io::Result<Option<Arrival>> {
    let mut control = nix::cmsg_space!(RawFd);
    let mut number = [0; 4];
    let mut buffers = [IoSliceMut::new(&mut number)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(channel.as_raw_fd(), &mut buffers, Some(&mut control), flags)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut file = None;
    // An error means that the kernel left the descriptor out.
    for part in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            file = descriptors.into_iter().map(sys::own_received).next_back();
        }
    }
    Ok(Some(Arrival { number: u32::from_be_bytes(number), file }))
}

/// Tells the master that this worker serves.
///
/// # Errors
/// `send`'s, where the master is gone.
pub(crate) fn report(channel: BorrowedFd<'_>) -> nix::Result<()> {
    socket::send(channel.as_raw_fd(), b"S", MsgFlags::MSG_NOSIGNAL).map(drop)
}

/// Whether the worker has reported; `None` if it still may.
pub(crate) fn reported(channel: BorrowedFd<'_>) -> Option<bool> {
    match socket::recv(channel.as_raw_fd(), &mut [0], MsgFlags::empty()) {
        Ok(count) => Some(count > 0),
        Err(Errno::EAGAIN | Errno::EINTR) => None,
        Err(_) => Some(false),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn files_arrive_open_and_in_order() {
        let (master, worker) = pair().expect("a pair");
        let mut files = [(); 2].map(|()| tempfile::tempfile().expect("a file"));
        for (number, file) in (7..).zip(&files) {
            send(master.as_fd(), number, file.as_fd()).expect("room for a message");
        }
        let mut inbox = Inbox::default();
        for (expected, byte) in [(7, b'1'), (8, b'2')] {
            inbox.refill(worker.as_fd());
            let arrival = inbox.receive(worker.as_fd()).expect("a message").expect("an open channel");
            assert_eq!(arrival.number, expected);
            let mut file = File::from(arrival.file.expect("a descriptor"));
            file.write_all(&[byte]).expect("a writable file");
        }
        let contents = files.each_mut().map(|file| {
            let mut text = String::new();
            file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("a readable file");
            text
        });
        assert_eq!(contents, ["1", "2"]);
    }

    #[test]
    fn a_worker_reports_or_is_gone() {
        let (master, worker) = pair().expect("a pair");
        assert_eq!(reported(master.as_fd()), None);
        report(worker.as_fd()).expect("room for a message");
        assert_eq!(reported(master.as_fd()), Some(true));
        drop(worker);
        assert_eq!(reported(master.as_fd()), Some(false));
    }

    #[test]
    fn an_empty_channel_blocks_and_a_closed_one_ends() {
        let (master, worker) = pair().expect("a pair");
        let mut inbox = Inbox::default();
        let error = inbox.receive(worker.as_fd()).expect_err("nothing sent");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(inbox.reserve.is_some());
        drop(master);
        assert!(inbox.receive(worker.as_fd()).expect("end of file").is_none());
    }
}

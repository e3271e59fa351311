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

/// Descriptors that one message may carry (the kernel's limit).
const DESCRIPTOR_LIMIT: usize = 253;

/// Both ends: the master's and the worker's. Neither blocks.
///
/// # Errors
/// `socketpair`'s.
pub(crate) fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
}

/// Sends the log files.
///
/// # Errors
/// `sendmsg`'s; `WouldBlock` if the worker does not read.
pub(crate) fn send(channel: BorrowedFd<'_>, files: &[OwnedFd]) -> nix::Result<()> {
    let files: Vec<RawFd> = files.iter().take(DESCRIPTOR_LIMIT).map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&files)];
    sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(b"R")], &control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives log files; `None` when the master is gone.
///
/// # Errors
/// `recvmsg`'s; `WouldBlock` when nothing has come.
pub(crate) fn receive(channel: BorrowedFd<'_>) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut control = nix::cmsg_space!([RawFd; DESCRIPTOR_LIMIT]);
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(channel.as_raw_fd(), &mut buffers, Some(&mut control), flags)?;
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut files = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = part {
            files.extend(descriptors.into_iter().map(sys::own_received));
        }
    }
    Ok(Some(files))
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
        let copies = files.each_ref().map(|file| file.try_clone().expect("a copy").into());
        send(master.as_fd(), &copies).expect("room for a message");
        let received = receive(worker.as_fd()).expect("a message").expect("an open channel");
        for (number, descriptor) in (b'1'..).zip(received) {
            File::from(descriptor).write_all(&[number]).expect("a writable file");
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
        let error = receive(worker.as_fd()).expect_err("nothing sent");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(master);
        assert!(receive(worker.as_fd()).expect("end of file").is_none());
    }
}

//! Signals as messages: blocked for the whole process and read from a descriptor, with their sender.
//!
//! No handler runs, so nothing has to be async-signal-safe, and a forked worker inherits no handler of the master's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that mean something to us, and what.
const HANDLED: [(Signal, Order); 8] = [
    (Signal::SIGHUP, Order::Reload),
    (Signal::SIGQUIT, Order::Drain),
    (Signal::SIGTERM, Order::Stop),
    (Signal::SIGINT, Order::Stop),
    (Signal::SIGUSR1, Order::Reopen),
    (Signal::SIGUSR2, Order::Upgrade),
    (Signal::SIGWINCH, Order::Idle),
    (Signal::SIGCHLD, Order::Reap),
];

/// Signals that would end the process if nobody looked after them, and mean nothing to us. They stay blocked.
const UNHEARD: [Signal; 3] = [Signal::SIGALRM, Signal::SIGIO, Signal::SIGSYS];

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Read the configuration again.
    Reload,
    /// End when all sessions have.
    Drain,
    /// End now.
    Stop,
    /// Open the log files again.
    Reopen,
    /// Start a new program on the same sockets.
    Upgrade,
    /// End the workers and stay.
    Idle,
    /// A worker has ended.
    Reap,
}

/// The descriptor that signals of this process are read from.
#[derive(Debug)]
pub(crate) struct Signals(SignalFd);

/// One signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    signal: Signal,
    pub(crate) order: Order,
    /// The process that sent it; 0 for the kernel.
    sender: u32,
}

impl Signals {
    /// Blocks the signals we handle and opens their descriptor. A forked child opens its own.
    ///
    /// # Errors
    /// `sigprocmask`'s and `signalfd`'s.
    pub(crate) fn open() -> nix::Result<Self> {
        let mask = SigSet::from_iter(HANDLED.map(|(signal, _)| signal));
        let blocked = SigSet::from_iter(mask.iter().chain(UNHEARD));
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&blocked), None)?;
        Ok(Self(SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// The next signal that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does; `read`'s.
    pub(crate) fn read(&self) -> io::Result<Received> {
        let info = self.0.read_signal()?.ok_or(io::ErrorKind::WouldBlock)?;
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        let known = HANDLED.into_iter().find(|(signal, _)| *signal as i32 == number);
        let (signal, order) = known.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Received { signal, order, sender: info.ssi_pid })
    }

    /// A second descriptor of the same queue, to wait on.
    ///
    /// # Errors
    /// `dup`'s.
    pub(crate) fn try_clone_descriptor(&self) -> io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Received {
    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    /// The notice for the log; `purpose` is what follows the sender. The kernel, as for Ctrl-C, has no process to name.
    pub(crate) fn notice(&self, purpose: &str) -> String {
        let mut notice = format!("signal {} ({}) received", self.signal as i32, self.signal.as_str());
        if self.sender != 0 {
            notice.push_str(&format!(" from {}", self.sender));
        }
        if !purpose.is_empty() {
            notice.push_str(&format!(", {purpose}"));
        }
        notice
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_name_number_signal_and_sender() {
        let received = Received { signal: Signal::SIGHUP, order: Order::Reload, sender: 42 };
        assert_eq!(received.notice("reconfiguring"), "signal 1 (SIGHUP) received from 42, reconfiguring");
        let received = Received { signal: Signal::SIGCHLD, order: Order::Reap, sender: 7 };
        assert_eq!(received.notice(""), "signal 17 (SIGCHLD) received from 7");
        let received = Received { signal: Signal::SIGINT, order: Order::Stop, sender: 0 };
        assert_eq!(received.notice("exiting"), "signal 2 (SIGINT) received, exiting");
    }
}

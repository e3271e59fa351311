//! The system calls that no safe wrapper offers: the one place of this crate where `unsafe` is allowed.
//!
//! Each block states what makes it sound. Everything else goes through `nix`, `socket2` or the standard library.
#![expect(unsafe_code, reason = "each block below states why it is sound")]

mod shared;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::ForkResult;
use socket2::SockAddr;

pub use self::shared::SharedMemory;

/// The monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The monotonic clock of the system as a number, for those who compare it with their own.
pub(crate) fn monotonic_microseconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |now| now.num_microseconds());
    u64::try_from(now).unwrap_or_default()
}

/// The clock on the wall.
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Fills `bytes` from the kernel's generator; waits for it at most once, early after boot.
pub(crate) fn fill_random(mut bytes: &mut [u8]) {
    while !bytes.is_empty() {
        // SAFETY: pointer and length are of one live, writable slice.
        let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        match usize::try_from(filled) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => panic!("getrandom() failed: {}", io::Error::last_os_error()),
        }
    }
}

/// Splits the process in two.
///
/// # Errors
/// `fork`'s.
///
/// # Panics
/// If the process has a second thread: the child would have none of the locks that thread holds released.
pub(crate) fn fork() -> nix::Result<ForkResult> {
    assert_eq!(threads(), 1, "only a process with one thread may fork workers");
    // SAFETY: with one thread, no lock can be held by a thread that does not exist in the child.
    unsafe { nix::unistd::fork() }
}

/// Counters that all workers of all generations share: a mapping made before the first fork.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    first: NonNull<AtomicU64>,
    count: usize,
}

impl Shared {
    /// Makes the mapping of this many counters, all zero; it lives until the last process that inherited it ends.
    ///
    /// # Errors
    /// `mmap`'s; `EINVAL` for none.
    pub(crate) fn new(count: usize) -> nix::Result<Self> {
        let length = count.checked_mul(size_of::<AtomicU64>()).and_then(NonZeroUsize::new);
        let length = length.ok_or(Errno::EINVAL)?;
        // SAFETY: a new anonymous mapping touches no memory in use. It is zeroed, page-aligned and never unmapped, so
        // the pointer stays valid for `count` `AtomicU64`s, for which zero is a value, as long as the process lives.
        let mapping = unsafe {
            mmap_anonymous(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED)?
        };
        Ok(Self { first: mapping.cast(), count })
    }

    /// Adds to a counter, around its end if need be; the value before.
    pub(crate) fn add(&self, index: usize, number: u64) -> u64 {
        self.counter(index).fetch_add(number, Ordering::Relaxed)
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.counter(index).load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, index: usize, value: u64) {
        self.counter(index).store(value, Ordering::Relaxed);
    }

    fn counter(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.count, "no counter {index}");
        // SAFETY: `new` made the pointer valid for this many counters for the life of the process, and none of them is
        // ever used but atomically.
        unsafe { self.first.add(index).as_ref() }
    }
}

/// Accepts one connection; the descriptor does not block and is not inherited by programs.
///
/// # Errors
/// `accept4`'s; `WouldBlock` when no connection waits.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SockAddr)> {
    // SAFETY: `try_init` lends storage and its length, which is what accept4 fills in and shortens.
    unsafe {
        SockAddr::try_init(|storage, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let socket = libc::accept4(listener.as_raw_fd(), storage.cast(), length, flags);
            if socket < 0 {
                return Err(io::Error::last_os_error());
            }
            // The kernel has just made this descriptor and nobody else knows it.
            Ok(OwnedFd::from_raw_fd(socket))
        })
    }
}

/// Makes these the only variables of the environment.
///
/// # Panics
/// If the process has a second thread, which might be reading the environment; if a name is empty or holds `=`, or
/// anything holds a NUL.
pub(crate) fn replace_environment(variables: &[(OsString, OsString)]) {
    assert_eq!(threads(), 1, "only a process with one thread may change its environment");
    // SAFETY: no other thread can read or write the environment.
    unsafe { libc::clearenv() };
    for (name, value) in variables {
        // SAFETY: no other thread can read or write the environment.
        unsafe { std::env::set_var(name, value) };
    }
    // The C library has looked at TZ before.
    // SAFETY: it takes no argument; no other thread can use the time zone.
    unsafe { tzset() };
}

unsafe extern "C" {
    /// POSIX.
    fn tzset();
}

/// Sets how much this process gives way to others, from -20 (least) to 19.
///
/// # Errors
/// `setpriority`'s.
pub(crate) fn set_priority(priority: i32) -> nix::Result<()> {
    // SAFETY: it takes no pointer.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) }).map(drop)
}

/// Where the system finds the command line of this process, as `ps` shows it: address and length of the arguments and
/// of the environment behind them. `None` where it does not say, and before [`claim_title`].
static TITLE: OnceLock<Option<(usize, usize)>> = OnceLock::new();

/// Makes the memory of the command line and of the environment free for [`set_title`]: the environment moves elsewhere.
///
/// # Panics
/// If the process has a second thread, which might be reading the environment.
pub(crate) fn claim_title() {
    let is_valid = |name: &OsString| !name.is_empty() && !name.as_encoded_bytes().contains(&b'=');
    let variables: Vec<_> = std::env::vars_os().filter(|(name, _)| is_valid(name)).collect();
    // As long as it fails to say where, nothing is written.
    let area = std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| title_area(&stat));
    replace_environment(&variables);
    let _: Result<(), _> = TITLE.set(area);
}

/// From the line of proc_pid_stat(5).
fn title_area(stat: &str) -> Option<(usize, usize)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    // The first of these is the third of the line; arg_start is the 48th.
    let mut addresses = fields.split(' ').skip(45).map(|field| field.trim_end().parse::<usize>().ok());
    let mut next = || addresses.next().flatten();
    let (arguments, arguments_end, environment, environment_end) = (next()?, next()?, next()?, next()?);
    let end = if environment == arguments_end { environment_end } else { arguments_end };
    // One byte at least, and the NUL behind it.
    let length = end.checked_sub(arguments).filter(|length| *length > 1)?;
    (arguments > 0).then_some((arguments, length))
}

/// Makes `ps` show this text, cut where the memory of the command line and the environment ends.
pub(crate) fn set_title(title: &str) {
    let Some(Some((start, length))) = TITLE.get().copied() else { return };
    let title = title.as_bytes();
    let count = title.len().min(length - 1);
    let area = ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY: the kernel put arguments and environment there, contiguous and writable, for the life of the process,
    // and `count` is less than `length`. Nothing of ours refers to them: `claim_title` moved the environment, and the
    // standard library copies arguments whenever it is asked. They stay C strings: all bytes behind the text are NUL.
    unsafe {
        ptr::copy_nonoverlapping(title.as_ptr(), area, count);
        ptr::write_bytes(area.add(count), 0, length - count);
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// Takes over descriptors that were open when this process started. The standard streams and numbers that name nothing
/// are errors.
///
/// # Panics
/// When called a second time: the numbers may have other owners by then.
pub(crate) fn own_inherited(numbers: BTreeSet<RawFd>) -> Vec<(RawFd, io::Result<OwnedFd>)> {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    assert!(!IS_DONE.swap(true, Ordering::Relaxed), "descriptors are inherited once");
    let own = |number: RawFd| {
        if number <= libc::STDERR_FILENO {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        // SAFETY: F_GETFD takes no pointer, and any number may be asked about.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open. It is owned by nobody else: the caller comes before anything that this
        // program opens, a set holds each number once, and the check above lets no second call pass.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    numbers.into_iter().map(|number| (number, own(number))).collect()
}

/// Takes over a descriptor that the kernel has just put into a received message.
pub(crate) fn own_received(descriptor: RawFd) -> OwnedFd {
    // SAFETY: `recvmsg` made the descriptor for this process, and its caller hands it over exactly once.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A moment in the local time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    pub(crate) year: i32,
    /// 1 to 12.
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
}

/// `time` in the local time zone (`TZ`, else the system's).
pub(crate) fn local_time(time: SystemTime) -> LocalTime {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs());
    let seconds = libc::time_t::try_from(seconds).unwrap_or(libc::time_t::MAX);
    // SAFETY: all zeroes are a valid `tm`: integers, and a zone name pointer that is not read here.
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are of live values. localtime_r reads the environment, which this program changes only
    // in a worker before it has a second thread.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut parts) };
    let small = |value: libc::c_int| u8::try_from(value).unwrap_or(0);
    LocalTime {
        year: parts.tm_year + 1900,
        month: small(parts.tm_mon + 1),
        day: small(parts.tm_mday),
        hour: small(parts.tm_hour),
        minute: small(parts.tm_min),
        second: small(parts.tm_sec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_in_the_same_place() {
        let shared = Shared::new(2).expect("a page of memory");
        let copy = shared;
        assert_eq!((shared.add(1, 5), copy.add(1, u64::MAX), shared.get(1), shared.get(0)), (0, 5, 4, 0));
        copy.set(1, 9);
        assert_eq!(shared.get(1), 9);
        assert!(Shared::new(0).is_err());
    }

    #[test]
    fn the_command_line_is_found_in_the_status_of_the_process() {
        let stat = std::fs::read_to_string("/proc/self/stat").expect("this process");
        let (start, length) = title_area(&stat).expect("an area");
        // The test may have any arguments, but a command line it has.
        let shown = std::fs::read("/proc/self/cmdline").expect("this process");
        assert!(length >= shown.len() && start > 0);
        let fields = |addresses: &str| format!("1 (a) b) R {}{addresses}", "0 ".repeat(44));
        assert_eq!(title_area(&fields("100 110 110 150 0")), Some((100, 50)));
        assert_eq!(title_area(&fields("100 110 112 150 0")), Some((100, 10)));
        for odd in ["0 0 0 0 0", "100 90 90 80 0", "100 101 200 300 0", "100 110", "a b c d"] {
            assert_eq!(title_area(&fields(odd)), None, "{odd}");
        }
    }

    #[test]
    fn random_bytes_differ() {
        let mut rows = [[0; 16]; 2];
        rows.iter_mut().for_each(|row| fill_random(row));
        assert_ne!(rows[0], rows[1]);
    }
}

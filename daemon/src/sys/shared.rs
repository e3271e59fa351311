//! Memory that processes share, behind a lock that outlives any of them.

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::ptr::NonNull;

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// How often a lock that is held is tried again, after giving others the processor. It is held for a copy of some
/// hundred bytes, so this is long, and short for whoever waits.
const TRIES: usize = 200;

/// Some bytes, zeroes at first, that this process and those forked from it share.
pub struct SharedMemory {
    mapping: NonNull<Header>,
    /// Bytes behind the header.
    length: usize,
}

/// What stands in front of the bytes.
#[repr(C, align(64))]
struct Header {
    lock: UnsafeCell<libc::pthread_mutex_t>,
}

// SAFETY: the bytes are reached through the lock alone, and the lock is made for threads and processes.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Makes a mapping. It costs memory as far as it is used.
    ///
    /// # Errors
    /// `mmap`'s, and those of the lock.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        let whole = length.checked_add(size_of::<Header>()).and_then(NonZeroUsize::new);
        let whole = whole.ok_or(io::ErrorKind::OutOfMemory)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new anonymous mapping touches no memory in use.
        let mapping = unsafe { mmap_anonymous(None, whole, access, MapFlags::MAP_SHARED)? };
        let memory = Self { mapping: mapping.cast(), length };
        memory.make_lock()?;
        Ok(memory)
    }

    fn make_lock(&self) -> io::Result<()> {
        let check = |code| if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised by the first call, used, and destroyed by the last; the lock is new
        // zeroed memory that nobody knows yet.
        unsafe {
            check(libc::pthread_mutexattr_init(attributes.as_mut_ptr()))?;
            check(libc::pthread_mutexattr_setpshared(attributes.as_mut_ptr(), libc::PTHREAD_PROCESS_SHARED))?;
            check(libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), libc::PTHREAD_MUTEX_ROBUST))?;
            check(libc::pthread_mutex_init(self.lock(), attributes.as_ptr()))?;
            check(libc::pthread_mutexattr_destroy(attributes.as_mut_ptr()))
        }
    }

    fn lock(&self) -> *mut libc::pthread_mutex_t {
        // SAFETY: the mapping begins with a header and lives as long as `self`.
        unsafe { self.mapping.as_ref() }.lock.get()
    }

    /// Lends the bytes; `None` if somebody else has them for too long: what is in them is not worth waiting for.
    ///
    /// Where work on them was cut off, by a panic or the end of a process, `mend` gets them before anybody else does.
    pub(crate) fn with<T>(&self, mend: fn(&mut [u8]), work: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        let mut held = Held::take(self, mend)?;
        let outcome = work(held.bytes());
        held.is_whole = true;
        Some(outcome)
    }
}

/// The lock, held.
struct Held<'a> {
    memory: &'a SharedMemory,
    /// Makes sense of bytes that make none any more.
    mend: fn(&mut [u8]),
    /// Whether the bytes are as they should be.
    is_whole: bool,
}

impl<'a> Held<'a> {
    fn take(memory: &'a SharedMemory, mend: fn(&mut [u8])) -> Option<Self> {
        for _ in 0..TRIES {
            // SAFETY: `new` made the lock.
            match unsafe { libc::pthread_mutex_trylock(memory.lock()) } {
                0 => return Some(Self { memory, mend, is_whole: false }),
                libc::EBUSY => std::thread::yield_now(),
                libc::EOWNERDEAD => {
                    let mut held = Self { memory, mend, is_whole: false };
                    mend(held.bytes());
                    // SAFETY: EOWNERDEAD says that this thread has the lock, in a state that this call mends.
                    unsafe { libc::pthread_mutex_consistent(memory.lock()) };
                    return Some(held);
                }
                _ => return None,
            }
        }
        None
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping has `length` initialised bytes behind the header and lives as long as `memory`; whoever
        // holds the lock is alone with them, and this borrow ends before the lock is given back.
        unsafe {
            let bytes = self.memory.mapping.add(1).cast::<u8>();
            std::slice::from_raw_parts_mut(bytes.as_ptr(), self.memory.length)
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_whole {
            (self.mend)(self.bytes());
        }
        // SAFETY: this thread has the lock.
        unsafe { libc::pthread_mutex_unlock(self.memory.lock()) };
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let whole = self.length + size_of::<Header>();
        // SAFETY: the mapping is this long, and nothing of it is borrowed any more. Other processes have their own.
        let unmapped = unsafe { munmap(self.mapping.cast(), whole) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Secrets are in it.
        f.debug_struct("SharedMemory").field("length", &self.length).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn first(memory: &SharedMemory) -> Option<u8> {
        memory.with(mend, |bytes| bytes[0])
    }

    /// The last byte stays as it is.
    fn mend(bytes: &mut [u8]) {
        bytes[0] = 0;
    }

    #[test]
    fn bytes_are_zero_and_then_what_was_written() {
        let memory = SharedMemory::new(100_000).expect("memory");
        assert_eq!(
            memory.with(mend, |bytes| bytes.iter().all(|&byte| byte == 0) && bytes.len() == 100_000),
            Some(true)
        );
        memory.with(mend, |bytes| bytes.fill(7));
        assert_eq!(memory.with(mend, |bytes| bytes[99_999]), Some(7));
        assert_eq!(format!("{memory:?}"), "SharedMemory { length: 100000, .. }");
    }

    #[test]
    fn it_is_lent_once_at_a_time() {
        let memory = SharedMemory::new(1).expect("memory");
        assert_eq!(memory.with(mend, |_| first(&memory)), Some(None));
        assert_eq!(first(&memory), Some(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let add = || memory.with(mend, |bytes| bytes[0] += 1);
                    (0..25).for_each(|_| while add().is_none() {});
                });
            }
        });
        assert_eq!(first(&memory), Some(100));
    }

    #[test]
    fn work_that_is_cut_off_leaves_bytes_to_mend() {
        let memory = SharedMemory::new(2).expect("memory");
        let panic = catch_unwind(AssertUnwindSafe(|| {
            memory.with(mend, |bytes| {
                bytes.copy_from_slice(&[1, 5]);
                std::panic::resume_unwind(Box::new(()));
            })
        }));
        assert!(panic.is_err());
        assert_eq!(first(&memory), Some(0));
        // A thread that ends with the lock is to it what a process is that ends.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut held = Held::take(&memory, mend).expect("the lock");
                held.bytes()[0] = 1;
                std::mem::forget(held);
            });
        });
        assert_eq!(first(&memory), Some(0));
        memory.with(mend, |bytes| bytes[0] = 2);
        assert_eq!(memory.with(mend, |bytes| bytes.to_vec()), Some(vec![2, 5]), "nothing else was touched");
    }

    #[test]
    fn too_much_is_an_error() {
        assert!(SharedMemory::new(usize::MAX).is_err());
        assert!(SharedMemory::new(usize::MAX / 2).is_err());
    }
}

//! What reading a configuration asks of the machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{Gid, Group, Uid, User};

use crate::sys::SharedMemory;

/// Files, names and accounts. Tests and fuzzers have one in memory.
pub trait Environment {
    /// The content of a file.
    ///
    /// # Errors
    /// `open`'s and `read`'s.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The files that match a pattern of glob(7), sorted.
    fn glob(&self, pattern: &str) -> Vec<PathBuf>;

    /// The addresses of a host; none if it is not known. May block.
    fn addresses(&self, host: &str) -> Vec<IpAddr>;

    /// The name of this machine.
    fn host_name(&self) -> String;

    /// Whether this process may become another user.
    fn is_root(&self) -> bool;

    /// Looks up a user: its id, and its name as the system calls want it.
    fn user(&self, name: &str) -> Option<Account>;

    /// Looks up the id of a group.
    fn group(&self, name: &str) -> Option<u32>;

    /// How many processors are online.
    fn processors(&self) -> usize;

    /// How many descriptors this process may have open (the soft RLIMIT_NOFILE).
    fn open_files(&self) -> u64;

    /// Memory of this length that all configurations share which name it so, and all processes forked from this one.
    /// It is zeroes at first, and goes with the last configuration that has it.
    ///
    /// # Errors
    /// `mmap`'s.
    fn shared_memory(&self, name: &str, length: usize) -> io::Result<Arc<SharedMemory>>;
}

/// `user USER [GROUP]`, looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub name: CString,
    /// The user's id.
    pub user: u32,
    /// The id of the user's or the given group.
    pub group: u32,
}

/// The machine this process runs on.
#[derive(Debug, Default)]
pub struct Machine {
    /// What configurations share that were read one after the other.
    shared: RefCell<BTreeMap<(String, usize), Weak<SharedMemory>>>,
}

impl Environment for Machine {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        glob::glob_with(pattern, GLOB).map(|paths| paths.flatten().collect()).unwrap_or_default()
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let found = (host, 0).to_socket_addrs();
        found.map(|found| found.map(|address| address.ip()).collect()).unwrap_or_default()
    }

    fn host_name(&self) -> String {
        nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }

    fn user(&self, name: &str) -> Option<Account> {
        let user = User::from_name(name).ok()??;
        Some(Account {
            name: CString::new(name).ok()?,
            user: Uid::as_raw(user.uid),
            group: Gid::as_raw(user.gid),
        })
    }

    fn group(&self, name: &str) -> Option<u32> {
        Some(Group::from_name(name).ok()??.gid.as_raw())
    }

    fn processors(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    fn open_files(&self) -> u64 {
        getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
    }

    fn shared_memory(&self, name: &str, length: usize) -> io::Result<Arc<SharedMemory>> {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|_, memory| memory.strong_count() > 0);
        let key = (name.to_owned(), length);
        if let Some(memory) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(memory);
        }
        let memory = Arc::new(SharedMemory::new(length)?);
        shared.insert(key, Arc::downgrade(&memory));
        Ok(memory)
    }
}

/// A machine in memory, for tests and fuzzers: the files, hosts and users it is given, and nothing else but the user
/// `mail` with id 8, whose group `mail` has id 12.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    files: BTreeMap<PathBuf, Vec<u8>>,
    hosts: BTreeMap<String, Vec<IpAddr>>,
    /// See [`Environment::is_root`].
    pub is_root: bool,
    users: Vec<Account>,
}

impl Memory {
    /// Adds a file.
    #[must_use]
    pub fn with_file(mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    /// Adds a host. What is no address is left out.
    #[must_use]
    pub fn with_host(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().filter_map(|address| address.parse().ok()).collect();
        self.hosts.insert(name.to_owned(), addresses);
        self
    }

    /// Adds a user whose group has another name.
    #[must_use]
    pub fn with_user(mut self, account: Account) -> Self {
        self.users.push(account);
        self
    }
}

impl Environment for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::from_raw_os_error(nix::libc::ENOENT))
    }

    fn glob(&self, pattern: &str) -> Vec<PathBuf> {
        let Ok(pattern) = glob::Pattern::new(pattern) else { return Vec::new() };
        let is_match = |path: &&PathBuf| pattern.matches_path_with(path, GLOB);
        self.files.keys().filter(is_match).cloned().collect()
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        self.hosts.get(host).cloned().unwrap_or_default()
    }

    fn host_name(&self) -> String {
        "Host.Example".into()
    }

    fn is_root(&self) -> bool {
        self.is_root
    }

    fn user(&self, name: &str) -> Option<Account> {
        let mail = Account { name: c"mail".into(), user: 8, group: 12 };
        self.users.iter().chain([&mail]).find(|user| user.name.as_bytes() == name.as_bytes()).cloned()
    }

    fn group(&self, name: &str) -> Option<u32> {
        (name == "mail").then_some(12)
    }

    fn processors(&self) -> usize {
        4
    }

    fn open_files(&self) -> u64 {
        1024
    }

    fn shared_memory(&self, _name: &str, length: usize) -> io::Result<Arc<SharedMemory>> {
        SharedMemory::new(length).map(Arc::new)
    }
}

/// As glob(3) does: wildcards match neither `/` nor a leading dot.
const GLOB: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_by_name_and_length_while_somebody_has_it() {
        let machine = Machine::default();
        let memory = |name: &str, length| machine.shared_memory(name, length).expect("memory");
        let first = memory("a", 10);
        assert!(Arc::ptr_eq(&first, &memory("a", 10)));
        assert!(!Arc::ptr_eq(&first, &memory("b", 10)) && !Arc::ptr_eq(&first, &memory("a", 11)));
        first.with(|_| {}, |bytes| bytes.fill(1));
        drop(first);
        assert_eq!(memory("a", 10).with(|_| {}, |bytes| bytes[0]), Some(0));
    }
}

//! Log files: opened by the master, appended to by everybody, reopened after rotation.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};

use nix::unistd::dup2_stderr;

use crate::guarded;

/// One open log file.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    file: RefCell<File>,
}

impl LogFile {
    /// Appends one line in one call, so that lines of several processes do not mix.
    pub(crate) fn append(&self, line: &[u8]) {
        // A full disk has nowhere to be reported to.
        drop((&*self.file.borrow()).write_all(line));
    }
}

/// All log files of one configuration, in the order they were named. Equal paths share one file.
#[derive(Debug, Default)]
pub(crate) struct LogFiles {
    files: Vec<Rc<LogFile>>,
    /// Whether standard error is a log, too.
    has_stderr: bool,
    /// Files of configurations before, where sessions of this process may still write to them.
    former: RefCell<Vec<Weak<LogFile>>>,
}

impl LogFiles {
    /// Takes note that lines also go to standard error.
    pub(crate) fn add_stderr(&mut self) {
        self.has_stderr = true;
    }

    /// Makes standard error the first of the files, for what is said past all logs, unless it is a log itself.
    ///
    /// # Errors
    /// `dup2`'s.
    pub(crate) fn redirect_stderr(&self) -> io::Result<()> {
        match self.files.first() {
            Some(first) if !self.has_stderr => Ok(dup2_stderr(&*first.file.borrow())?),
            _ => Ok(()),
        }
    }

    /// Opens the file, or finds it open.
    ///
    /// # Errors
    /// `open`'s.
    pub(crate) fn open(&mut self, path: &Path) -> io::Result<Rc<LogFile>> {
        if let Some(file) = self.files.iter().find(|file| file.path == path) {
            return Ok(Rc::clone(file));
        }
        let file = Rc::new(LogFile { path: path.to_owned(), file: RefCell::new(open(path)?) });
        self.files.push(Rc::clone(&file));
        Ok(file)
    }

    /// Takes on the files of the configuration before this one: they are reopened, too, while anybody writes to them.
    pub(crate) fn succeed(&self, before: &Self) {
        let mut former = before.former.take();
        former.retain(|file| file.strong_count() > 0);
        former.extend(before.files.iter().map(Rc::downgrade));
        self.former.replace(former);
    }

    /// Opens every path anew, after the old files were renamed. A file that fails stays as it was; the failures.
    pub(crate) fn reopen(&self) -> Vec<(PathBuf, io::Error)> {
        let reopen = |file: &Rc<LogFile>| match open(&file.path) {
            Ok(new) => {
                *file.file.borrow_mut() = new;
                None
            }
            Err(error) => Some((file.path.clone(), error)),
        };
        let former: Vec<_> = self.former.borrow().iter().filter_map(Weak::upgrade).collect();
        self.files.iter().chain(&former).filter_map(reopen).collect()
    }

    /// Copies of the descriptors, in order, for a process that may not open the paths itself.
    ///
    /// # Errors
    /// `dup`'s.
    pub(crate) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.files.iter().map(|file| Ok(file.file.borrow().try_clone()?.into())).collect()
    }

    /// Takes over what [`descriptors`](Self::descriptors) of the same configuration gave elsewhere, one by its place.
    pub(crate) fn replace(&self, number: u32, descriptor: OwnedFd) {
        let file = usize::try_from(number).ok().and_then(|number| self.files.get(number));
        if let Some(file) = file {
            *file.file.borrow_mut() = descriptor.into();
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    guarded::open(path, OpenOptions::new().append(true).create(true).mode(0o644))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn equal_paths_share_a_file_and_reopen_follows_the_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, old] = ["error.log", "error.log.1"].map(|name| folder.path().join(name));
        let mut files = LogFiles::default();
        let [first, second] = [(); 2].map(|()| files.open(&path).expect("a new file"));
        first.append(b"one\n");
        second.append(b"two\n");
        fs::rename(&path, &old).expect("rotation");
        first.append(b"three\n");
        assert!(files.reopen().is_empty());
        second.append(b"four\n");
        assert_eq!(fs::read_to_string(&old).expect("the old file"), "one\ntwo\nthree\n");
        assert_eq!(fs::read_to_string(&path).expect("the new file"), "four\n");
    }

    #[test]
    fn a_file_that_cannot_be_reopened_stays_open() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [inner, moved] = ["logs", "moved"].map(|name| folder.path().join(name));
        fs::create_dir(&inner).expect("a folder");
        let mut files = LogFiles::default();
        let file = files.open(&inner.join("error.log")).expect("a new file");
        fs::rename(&inner, &moved).expect("rename");
        assert_eq!(files.reopen().len(), 1);
        file.append(b"still here\n");
        assert_eq!(fs::read_to_string(moved.join("error.log")).expect("the file"), "still here\n");
    }

    #[test]
    fn files_of_configurations_before_are_reopened_while_they_are_in_use() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [used, unused] = ["used.log", "unused.log"].map(|name| folder.path().join(name));
        let (mut first, second, third) = (LogFiles::default(), LogFiles::default(), LogFiles::default());
        let file = first.open(&used).expect("a new file");
        first.open(&unused).expect("a new file");
        second.succeed(&first);
        drop(first);
        third.succeed(&second);
        drop(second);
        [&used, &unused].iter().for_each(|path| fs::remove_file(path).expect("remove"));
        assert!(third.reopen().is_empty());
        file.append(b"new\n");
        assert_eq!(fs::read_to_string(&used).expect("the file"), "new\n");
        assert!(!unused.exists());
    }

    #[test]
    fn descriptors_carry_a_reopened_file_elsewhere() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("error.log");
        let (mut master, mut worker) = (LogFiles::default(), LogFiles::default());
        master.open(&path).expect("a new file");
        let file = worker.open(&path).expect("the same file");
        fs::remove_file(&path).expect("remove");
        assert!(master.reopen().is_empty());
        for (number, descriptor) in (0..).zip(master.descriptors().expect("copies")) {
            worker.replace(number, descriptor);
        }
        file.append(b"new\n");
        assert_eq!(fs::read_to_string(&path).expect("the file"), "new\n");
    }
}

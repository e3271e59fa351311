//! The pid file.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::guarded;

/// The file that names the master, for `-s` and for whoever supervises it.
#[derive(Debug)]
pub(crate) struct PidFile {
    /// As the configuration names it.
    path: PathBuf,
    /// Whether it has made room for that of a new master.
    is_aside: bool,
}

/// Why the master cannot be named by its file.
#[derive(Debug, Error)]
pub(crate) enum PidError {
    /// It cannot be read.
    #[error("open() \"{}\" failed {}", .0.display(), crate::log::lines::error_text(.1))]
    Open(PathBuf, io::Error),
    /// It holds something else than a number of a process.
    #[error("invalid PID number \"{}\" in \"{}\"", crate::log::escape(.1), .0.display())]
    Invalid(PathBuf, Vec<u8>),
}

impl PidFile {
    /// Writes the number of this process and a line end, over what was there.
    ///
    /// # Errors
    /// Those of [`guarded::open`], `ftruncate` and `write`.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut options = fs::OpenOptions::new();
        let mut file = guarded::open(path, options.write(true).create(true).truncate(false).mode(0o644))?;
        // A device has no length.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { path: path.to_owned(), is_aside: false })
    }

    /// As the configuration names it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is.
    pub(crate) fn place(&self) -> PathBuf {
        if self.is_aside { self.aside() } else { self.path.clone() }
    }

    /// Makes room for the file of a new master.
    ///
    /// # Errors
    /// `rename`'s.
    pub(crate) fn step_aside(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.aside())?;
        self.is_aside = true;
        Ok(())
    }

    /// Takes the place back, over whatever is there.
    ///
    /// # Errors
    /// `rename`'s.
    pub(crate) fn step_back(&mut self) -> io::Result<()> {
        fs::rename(self.aside(), &self.path)?;
        self.is_aside = false;
        Ok(())
    }

    /// Where it is while a new master writes its own to the path.
    pub(crate) fn aside(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".oldbin");
        name.into()
    }

    /// Removes the file, at the end or for another name.
    ///
    /// # Errors
    /// `unlink`'s.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.place())
    }
}

/// Reads the number of the running master.
pub(crate) fn read(path: &Path) -> Result<i32, PidError> {
    let content = fs::read(path).map_err(|error| PidError::Open(path.to_owned(), error))?;
    let content = content.trim_ascii_end();
    let number = str::from_utf8(content).ok().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| PidError::Invalid(path.to_owned(), content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_file_reads_back_and_goes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pid");
        fs::write(&path, "something longer than a number\n").expect("a file");
        let file = PidFile::create(&path).expect("a file");
        assert_eq!(fs::read_to_string(&path).expect("the file"), format!("{}\n", std::process::id()));
        assert_eq!(read(file.path()).ok(), i32::try_from(std::process::id()).ok());
        file.remove().expect("the file");
        assert!(!path.exists());
    }

    #[test]
    fn a_file_makes_room_and_comes_back() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (path, aside) = (folder.path().join("pid"), folder.path().join("pid.oldbin"));
        let mut file = PidFile::create(&path).expect("a file");
        file.step_aside().expect("the file");
        assert!(!path.exists() && aside.exists() && file.aside() == aside && file.path() == path);
        fs::write(&path, "1\n").expect("the file of another");
        file.step_back().expect("the file");
        assert_eq!(read(&path).ok(), i32::try_from(std::process::id()).ok());
        file.step_aside().expect("the file");
        file.remove().expect("the file");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    }

    #[test]
    fn odd_content_is_quoted_in_the_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("pid");
        let shown = path.display();
        let missing = read(&path).expect_err("no file").to_string();
        assert_eq!(missing, format!("open() \"{shown}\" failed (2: No such file or directory)"));
        for (content, quoted) in [("abc\n", "abc"), ("", ""), ("0\n", "0"), ("-7", "-7"), ("1 2", "1 2")] {
            fs::write(&path, content).expect("a file");
            let error = read(&path).expect_err("no number").to_string();
            assert_eq!(error, format!("invalid PID number \"{quoted}\" in \"{shown}\""));
        }
    }
}

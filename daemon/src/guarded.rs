//! Files to write to, in folders where others may have put something else in their place (CVE-2016-1247).

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::geteuid;

/// Opens a file as `options` say. Where others than root may write to the folder, root opens nothing but a regular
/// file of this very name: a link could lead anywhere, a FIFO would make it wait, and a file of root's that has other
/// names may be one that others cannot write to. `options` must not truncate.
///
/// # Errors
/// `open`'s; `ELOOP` for a symbolic link, `ENXIO` for what is no regular file, `ESTALE` for a file that was replaced
/// meanwhile, and one that says what to do about a file with other names.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if !is_exposed(path) {
        return options.open(path);
    }
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    check_opened(path, &file.metadata()?)?;
    Ok(file)
}

/// What would keep [`open`] from opening what is there now, besides rights.
///
/// # Errors
/// Those of [`open`] for what is there.
pub(crate) fn probe(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if is_exposed(path) => check(&there),
        _ => Ok(()),
    }
}

/// Whether this process may do more than some who may write to the folder.
fn is_exposed(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let is_of_root = || folder.metadata().is_ok_and(|folder| folder.uid() == 0 && folder.mode() & 0o022 == 0);
    geteuid().is_root() && !is_of_root()
}

/// Whether what was opened is what it should be.
fn check_opened(path: &Path, opened: &Metadata) -> io::Result<()> {
    check(opened)?;
    if is_own(opened) {
        // A name that was taken away since is not counted any more: the one that is left must be this.
        let there = path.symlink_metadata()?;
        if (there.dev(), there.ino()) != (opened.dev(), opened.ino()) {
            return Err(Errno::ESTALE.into());
        }
        check(&there)?;
    }
    Ok(())
}

fn check(there: &Metadata) -> io::Result<()> {
    if there.is_symlink() {
        Err(Errno::ELOOP.into())
    } else if !there.is_file() {
        Err(Errno::ENXIO.into())
    } else if is_own(there) && there.nlink() > 1 {
        Err(io::Error::other("31: Too many links: the file has other names, remove this one"))
    } else {
        Ok(())
    }
}

/// Whether it belongs to the account of this process, which is root's where it matters.
fn is_own(file: &Metadata) -> bool {
    file.uid() == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_has_no_other_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [path, other] = ["error.log", "other"].map(|name| folder.path().join(name));
        let file = File::create(&path).expect("a new file");
        let opened = || file.metadata().expect("an open file");
        assert!(check_opened(&path, &opened()).is_ok());
        fs::hard_link(&path, &other).expect("another name");
        let error = check_opened(&path, &opened()).expect_err("two names").to_string();
        assert_eq!(error, "31: Too many links: the file has other names, remove this one");
        // It was opened by a name that is gone, and the only one left is elsewhere.
        fs::remove_file(&path).expect("one name");
        let error = check_opened(&path, &opened()).expect_err("another's name");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
        File::create(&path).expect("a new file");
        let error = check_opened(&path, &opened()).expect_err("another file's name");
        assert_eq!(error.raw_os_error(), Some(libc::ESTALE));
    }
}

//! Files to write to, in folders where others may have put something else in their place (CVE-2016-1247).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::geteuid;

/// Opens a file as `options` say. Where others than root may write to the folder, root opens nothing but a regular
/// file of this very name: a link could lead anywhere, and a FIFO would make it wait. `options` must not truncate.
///
/// # Errors
/// `open`'s; `ELOOP` for a link and `ENXIO` for what is no regular file.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    if !is_exposed(path) {
        return options.open(path);
    }
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(Errno::ENXIO.into()) }
}

/// What would keep [`open`] from opening what is there now, besides rights.
///
/// # Errors
/// Those of `open` for a link and for what is no regular file.
pub(crate) fn probe(path: &Path) -> nix::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if is_exposed(path) && there.is_symlink() => Err(Errno::ELOOP),
        Ok(there) if is_exposed(path) && !there.is_file() => Err(Errno::ENXIO),
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

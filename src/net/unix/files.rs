//! The permissions and the identity of files.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use tracing::warn;

/// The permissions of users who are neither the owner of a file nor in its group.
const OTHERS: u32 = 0o007;
/// The permissions of a secret: its owner may read and write it.
const OWNER_ONLY: u32 = 0o600;

/// Makes `options` create files that only the owner can read and write.
pub(crate) fn create_for_owner_only(options: &mut OpenOptions) {
    options.mode(OWNER_ONLY);
}

/// Warns if every user of this machine can read or write the private key in the file `key`. (A group may: Debian has
/// the group `ssl-cert` for that.)
pub(crate) fn warn_if_others_can_read(key: &Path) {
    let mode = fs::metadata(key).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS != 0 {
        warn!(file = %key.display(), mode = format!("{:o}", mode & 0o777), "every user of this machine can reach the private key: chmod 600 it");
    }
}

/// Opens a regular file to read it. What is none is an error: to open or to read a FIFO would wait for its writer.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path)?;
    let is_file = file.metadata()?.is_file();
    if is_file { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")) }
}

/// A value that changes when `file` is written or replaced; none if its metadata cannot be read.
pub(crate) fn file_version(file: &Path) -> Option<impl fmt::Debug + use<>> {
    let metadata = fs::metadata(file).ok()?;
    let written = (metadata.mtime(), metadata.mtime_nsec());
    let changed = (metadata.ctime(), metadata.ctime_nsec());
    Some((metadata.dev(), metadata.ino(), metadata.len(), written, changed))
}

//! The permissions and the identity of files.

use std::fmt;
#[cfg(feature = "lan")]
use std::fs::OpenOptions;
use std::fs::{self, File};
use std::io;
use std::os::windows::fs::MetadataExt;
use std::path::Path;

/// Does nothing: a new file has the ACL that it inherits from its folder, which is checked.
#[cfg(feature = "lan")]
pub(crate) fn create_for_owner_only(_options: &mut OpenOptions) {}

/// Warns if every user of this machine can read or write the private key in the file `key`.
pub(crate) fn warn_if_others_can_read(key: &Path) {
    #[cfg(any(feature = "lan", feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
    if let Err(error) = super::own::check_secret(key) {
        tracing::warn!(error = %format_args!("{error:#}"), "others can reach the private key");
    }
    #[cfg(not(any(feature = "lan", feature = "auth", feature = "admin", feature = "cluster", feature = "cli")))]
    let _ = key;
}

/// Opens a regular file to read it.
///
/// # Errors
/// When it cannot be opened, or is something else.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    let is_file = file.metadata()?.is_file();
    if is_file { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")) }
}

/// A value that changes when `file` is written or replaced; none if its metadata cannot be read.
pub(crate) fn file_version(file: &Path) -> Option<impl fmt::Debug + use<>> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.last_write_time(), metadata.creation_time()))
}

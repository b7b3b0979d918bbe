//! The module `unix` on systems that are not Unix: no Unix sockets, no systemd, and no changes to the permissions of
//! files.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use socket2::Socket;
use tokio::io::DuplexStream;

use crate::net::accept::Accept;
use crate::net::info::ConnectionInfo;
use crate::net::listen::Listener;

/// A listener that does not exist.
#[derive(Debug)]
pub(crate) enum UnixListener {}

impl UnixListener {
    /// Fails.
    ///
    /// # Errors
    /// Always: this system has no Unix sockets.
    pub(crate) fn bind(_path: &Path, _mode: u32) -> anyhow::Result<Self> {
        bail!("there are no Unix sockets on this system; listen on an address such as 127.0.0.1:8080")
    }

    /// The path of the socket.
    pub(crate) fn path(&self) -> Option<&Path> {
        match *self {}
    }
}

impl Accept for UnixListener {
    type Io = DuplexStream;

    async fn accept(&mut self) -> (DuplexStream, ConnectionInfo) {
        match *self {}
    }
}

/// Fails.
///
/// # Errors
/// Always: this system has no systemd.
pub(crate) fn inherited_listeners() -> anyhow::Result<Vec<Listener>> {
    bail!("there is no systemd on this system; listen on an address such as 127.0.0.1:8080")
}

/// Does nothing: Windows refuses a second listener by default, and has no TIME_WAIT to work around.
///
/// # Errors
/// Never.
pub(crate) fn reuse_address(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// None: this system counts no file descriptors.
pub(crate) fn descriptor_limit() -> Option<usize> {
    None
}

/// Does nothing: a new file has the permissions of its folder.
pub(crate) fn create_for_owner_only(_options: &mut OpenOptions) {}

/// Creates `folder`, and those above it that are missing, with the permissions of the one that is there.
///
/// # Errors
/// When the operating system refuses it.
pub(crate) fn create_own_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
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

/// Opens a file. Who owns it is not known here.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_own(path: &Path) -> anyhow::Result<File> {
    open_file(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Opens a file. Who can read it is not known here.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn open_secret(path: &Path) -> anyhow::Result<File> {
    open_own(path)
}

/// Does nothing: who may write a folder is not known here.
///
/// # Errors
/// Never.
pub(crate) fn check_own_folder(_folder: &Path) -> anyhow::Result<()> {
    Ok(())
}

/// Does nothing: the permissions of a file are not known here.
pub(crate) fn warn_if_others_can_read(_key: &Path) {}

/// A value that changes when `file` is written; none if its metadata cannot be read.
pub(crate) fn file_version(file: &Path) -> Option<impl fmt::Debug + use<>> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

#[cfg(test)]
mod tests {
    use crate::net::listen::listen;

    #[tokio::test]
    async fn an_address_that_needs_unix_is_refused_with_another_that_does_not() {
        for address in ["unix:/run/relay.sock", "systemd"] {
            let refused = listen(&[address.parse().unwrap()], 0o660).await.unwrap_err();
            let refused = format!("{refused:#}");
            assert!(refused.contains(address) && refused.contains("such as 127.0.0.1:8080"), "{refused}");
        }
    }
}

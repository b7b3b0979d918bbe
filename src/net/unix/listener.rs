//! A Unix socket that removes its file when it is dropped.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
#[cfg(target_os = "linux")]
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::{UnixListener as TokioListener, UnixStream};
use tracing::debug;

use crate::limits;
use crate::net::accept::{Accept, retry};
use crate::net::info::ConnectionInfo;
use crate::net::listen::start_listening;

/// A listening Unix socket. It removes the file that it created when it is dropped.
#[derive(Debug)]
pub(crate) struct UnixListener {
    listener: TokioListener,
    path: Option<PathBuf>,
    /// The device and the inode of the file that it created; none if another process created it.
    created: Option<(u64, u64)>,
}

impl UnixListener {
    /// Listens at `path`, with the permissions `mode`. Replaces the socket of an earlier process if no process listens
    /// on it any more.
    ///
    /// # Errors
    /// When another program listens there, the file there is not a socket, or the folder cannot be written.
    pub(crate) fn bind(path: &Path, mode: u32) -> anyhow::Result<Self> {
        if let Ok(existing) = fs::symlink_metadata(path) {
            ensure!(existing.file_type().is_socket(), "there is a file that is not a socket");
            let stale = is_stale(path).context("cannot connect to the socket that is there")?;
            ensure!(stale, "another program listens there; stop it, or choose another path");
            fs::remove_file(path).context("cannot remove the socket of an earlier process")?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // No client can connect before it listens, and by then the mode is set.
        fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
        let created = fs::symlink_metadata(path)?;
        start_listening(&socket)?;
        let listener = TokioListener::from_std(socket.into())?;
        Ok(Self { listener, path: Some(path.to_owned()), created: Some((created.dev(), created.ino())) })
    }

    /// Adopts a socket that systemd made, and that already listens and is non-blocking. Its file stays when it is dropped.
    ///
    /// # Errors
    /// When the runtime cannot register it.
    #[cfg(target_os = "linux")]
    pub(crate) fn from_std(listener: StdListener) -> io::Result<Self> {
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
        Ok(Self { listener: TokioListener::from_std(listener)?, path, created: None })
    }

    /// The path of the socket, if it has one.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl Accept for UnixListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> (UnixStream, ConnectionInfo) {
        let listener = &self.listener;
        let (stream, _) = retry(|| listener.accept()).await;
        // Unlike TCP sockets, accepted Unix sockets do not inherit this option.
        if let Err(error) = SockRef::from(&stream).set_send_buffer_size(limits::SEND_BUFFER_BYTES) {
            debug!(%error, "cannot set socket options");
        }
        (stream, ConnectionInfo::unix())
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        let (Some(path), Some(created)) = (&self.path, self.created) else { return };
        // The next process may have created its own socket there.
        if fs::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == created) {
            // An error does no harm: the next start removes the file.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether no process listens on the socket at `path`. It does not wait for a listener whose backlog is full: the error
/// says at once that the connection would block.
fn is_stale(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_with_a_full_backlog_does_not_hang_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.sock");
        let address = SockAddr::unix(&path).unwrap();
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&address).unwrap();
        busy.listen(0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            match client.connect(&address) {
                Ok(()) => waiting.push(client),
                Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        let (told, result) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            let _runtime = runtime.enter();
            told.send(UnixListener::bind(&path, 0o600).map(|_| ()).map_err(|error| error.to_string()))
        });
        let result = result.recv_timeout(std::time::Duration::from_secs(10)).expect("no wait");
        assert!(result.unwrap_err().contains("another program listens there"));
    }
}

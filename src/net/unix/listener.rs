//! A Unix socket that cleans up behind itself; independent of what is served there.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener as TokioListener, UnixStream};

use crate::limits;

/// A Unix socket that listens. The file that it made is removed when it is dropped.
#[derive(Debug)]
pub struct UnixListener {
    listener: TokioListener,
    path: Option<PathBuf>,
    /// The device and the number of the file that it made.
    made: Option<(u64, u64)>,
}

impl UnixListener {
    /// Listens at `path`. What an earlier process left there is removed, if nobody listens any more.
    ///
    /// # Errors
    /// When somebody does, or something else than a socket is there, or the folder cannot be written.
    pub fn bind(path: &Path, mode: u32) -> anyhow::Result<Self> {
        if let Ok(there) = fs::symlink_metadata(path) {
            ensure!(there.file_type().is_socket(), "there is a file that is no socket");
            let stale =
                matches!(StdStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
            ensure!(stale, "another program listens there; stop it, or choose another path");
            fs::remove_file(path).context("what is left there cannot be removed")?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Nobody gets in before it listens, and then the mode is right.
        fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
        let made = fs::symlink_metadata(path)?;
        socket.listen(limits::BACKLOG)?;
        let listener = TokioListener::from_std(socket.into())?;
        Ok(Self { listener, path: Some(path.to_owned()), made: Some((made.dev(), made.ino())) })
    }

    /// A socket that listens already; its file is somebody else's.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn from_std(listener: StdListener) -> io::Result<Self> {
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
        Ok(Self { listener: TokioListener::from_std(listener)?, path, made: None })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }

    /// Where it is, if it has a path.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl Drop for UnixListener {
    fn drop(&mut self) {
        let (Some(path), Some(made)) = (&self.path, self.made) else { return };
        // The next process may have put its own there.
        if fs::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == made) {
            // It is in nobody's way: the next start removes it.
            let _ = fs::remove_file(path);
        }
    }
}

//! The code that needs Unix: Unix sockets, systemd's sockets, and the permissions and identity of files.

pub(crate) mod files;
pub(crate) mod listener;
#[cfg(any(feature = "lan", feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
pub(crate) mod own;
#[cfg_attr(not(target_os = "linux"), path = "systemd_absent.rs")]
pub(crate) mod systemd;

#[cfg(feature = "lan")]
pub(crate) use files::create_for_owner_only;
pub(crate) use files::open_file;
#[cfg(feature = "tls")]
pub(crate) use files::{file_version, warn_if_others_can_read};
pub(crate) use listener::UnixListener;
#[cfg(any(feature = "lan", feature = "auth"))]
pub(crate) use own::open_own;
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
pub(crate) use own::open_secret;
#[cfg(feature = "lan")]
pub(crate) use own::{check_own_folder, create_own_folder};
pub(crate) use systemd::inherited_listeners;

use std::io;

use socket2::Socket;

/// Lets the listener that `socket` will be use an address whose last connections are still in TIME_WAIT. (On Windows, the
/// option would let it use an address that another program listens on.)
///
/// # Errors
/// When the operating system refuses it.
pub(crate) fn claim_address(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// How many file descriptors this process may open; none if there is no limit.
pub(crate) fn descriptor_limit() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current?;
    usize::try_from(limit).ok()
}

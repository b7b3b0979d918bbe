//! The code that needs Windows: addresses of one's own, the owner and the ACL of files; and refusals of what only Unix has.

pub(crate) mod files;
#[cfg(any(feature = "lan", feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
pub(crate) mod own;

#[cfg(feature = "lan")]
pub(crate) use files::create_for_owner_only;
pub(crate) use files::open_file;
#[cfg(feature = "tls")]
pub(crate) use files::{file_version, warn_if_others_can_read};
#[cfg(any(feature = "lan", feature = "auth"))]
pub(crate) use own::open_own;
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
pub(crate) use own::open_secret;
#[cfg(feature = "lan")]
pub(crate) use own::{check_own_folder, create_own_folder};

use std::io;
use std::path::Path;

use anyhow::bail;
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

/// Makes the address that `socket` will be bound to its own: by default, another program could be bound to it as well, and
/// take over its connections. (There is no TIME_WAIT to work around.)
///
/// # Errors
/// When the operating system refuses it.
pub(crate) fn claim_address(socket: &Socket) -> io::Result<()> {
    exclusive_address::make_exclusive(socket)
}

/// None: this system counts no file descriptors.
pub(crate) fn descriptor_limit() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::listen::listen;

    #[tokio::test]
    async fn an_address_that_needs_unix_is_refused_with_another_that_does_not() {
        use crate::net::address::ListenAddress;

        for address in [ListenAddress::Unix("/run/relay.sock".into()), ListenAddress::Systemd] {
            let refused = listen(&[address], 0o660, &[]).await.unwrap_err();
            assert!(format!("{refused:#}").contains("such as 127.0.0.1:8080"), "{refused:#}");
        }
    }

    #[tokio::test]
    async fn nobody_else_can_bind_an_address_that_the_relay_listens_on() {
        let listeners = listen(&["127.0.0.1:0".parse().unwrap()], 0, &[]).await.unwrap();
        let address = listeners[0].local_addr().unwrap();
        for is_rude in [false, true] {
            let other = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            other.set_reuse_address(is_rude).unwrap();
            assert!(other.bind(&address.into()).is_err(), "with SO_REUSEADDR: {is_rude}");
        }
    }
}

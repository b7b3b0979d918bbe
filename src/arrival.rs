//! Where a connection comes from and over what; independent of what is said over it.

use std::fmt;
use std::net::SocketAddr;

/// Where a connection comes from and over what, as the relay itself sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The other end of the socket.
    pub address: SocketAddr,
    /// Whether it is TLS.
    pub secure: bool,
}

impl Arrival {
    /// A connection without TLS.
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, secure: false }
    }

    /// A connection over TLS.
    pub fn secure(address: SocketAddr) -> Self {
        Self { address, secure: true }
    }

    /// The scheme of the URLs that lead here.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

impl From<SocketAddr> for Arrival {
    fn from(address: SocketAddr) -> Self {
        Self::plain(address)
    }
}

impl fmt::Display for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

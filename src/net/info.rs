//! Where a connection comes from and over what; independent of what is said over it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a connection comes from and over what, as the relay itself sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The other end of the socket; none over a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it is TLS.
    pub tls: bool,
}

impl ConnectionInfo {
    /// A connection without TLS.
    pub fn tcp(address: SocketAddr) -> Self {
        Self { address: Some(address), tls: false }
    }

    /// A connection over TLS.
    pub fn tls(address: SocketAddr) -> Self {
        Self { address: Some(address), tls: true }
    }

    /// The same connection, once TLS is spoken over it.
    pub fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// A connection over a Unix socket.
    pub fn unix() -> Self {
        Self { address: None, tls: false }
    }

    /// The other end's IP address; an IPv4 address is one also where it came in by IPv6.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

impl From<SocketAddr> for ConnectionInfo {
    fn from(address: SocketAddr) -> Self {
        Self::tcp(address)
    }
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

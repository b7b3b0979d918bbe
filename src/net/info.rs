//! The address at the other end of a connection, and whether it is TLS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What the relay itself knows about a connection; a proxy may be at its other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The address of the other end; none over a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it uses TLS.
    pub tls: bool,
    /// Whether another relay of the cluster is at the other end, which has proven that.
    is_door: bool,
}

impl ConnectionInfo {
    /// A TCP connection without TLS.
    pub fn tcp(address: SocketAddr) -> Self {
        Self { address: Some(address), tls: false, is_door: false }
    }

    /// A TCP connection over TLS.
    pub fn tls(address: SocketAddr) -> Self {
        Self { address: Some(address), tls: true, is_door: false }
    }

    /// The same connection after a TLS handshake.
    pub fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// A connection over a Unix socket.
    pub fn unix() -> Self {
        Self { address: None, tls: false, is_door: false }
    }

    /// The IP address of the other end. An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) is returned as IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip().to_canonical())
    }
}

impl ConnectionInfo {
    /// A connection from another relay of the cluster, whose port for relays is at `address`: what it says of its client is
    /// believed.
    pub(crate) fn door(address: SocketAddr) -> Self {
        Self { address: Some(address), tls: true, is_door: true }
    }

    /// Whether another relay of the cluster is at the other end.
    pub(crate) fn is_door(&self) -> bool {
        self.is_door
    }

    /// Whether the other end is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
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

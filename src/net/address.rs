//! Addresses to listen on, as people write them.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// An address to listen on, as people write it: `localhost:8080`, `192.168.1.5:8080`, `[::1]:0`, `*:8080`,
/// `unix:/run/relay.sock`, `systemd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A host, which may have several addresses, and a port.
    Tcp {
        /// A name or an address, without brackets; `*` for every address of this machine.
        host: String,
        /// The port; 0 takes any free port.
        port: u16,
    },
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// The sockets that systemd hands over, already listening.
    Systemd,
}

impl ListenAddress {
    /// Both loopback addresses. Port 0 takes any port that is free on both.
    pub fn localhost(port: u16) -> Self {
        Self::Tcp { host: "localhost".to_owned(), port }
    }

    /// Whether only programs on this machine reach it.
    #[cfg(feature = "admin")]
    pub(crate) fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
            }
            Self::Unix(_) => true,
            Self::Systemd => false,
        }
    }

    /// Checks that it is a valid address. Whether this machine has it is known only when the relay listens on it.
    pub(crate) fn check(&self) -> Result<(), ListenAddressError> {
        match self {
            Self::Tcp { host, .. } if host.is_empty() || host.contains(char::is_whitespace) => {
                Err(ListenAddressError::Host)
            }
            Self::Unix(path) if path.as_os_str().is_empty() => Err(ListenAddressError::Path),
            #[cfg(not(unix))]
            Self::Unix(_) => Err(ListenAddressError::NoUnix),
            #[cfg(not(target_os = "linux"))]
            Self::Systemd => Err(ListenAddressError::NoSystemd),
            _ => Ok(()),
        }
    }

    fn checked(self) -> Result<Self, ListenAddressError> {
        self.check().map(|()| self)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        if text == "systemd" {
            return Self::Systemd.checked();
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Self::Unix(path.into()).checked();
        }
        if text.contains("://") {
            return Err(ListenAddressError::Url);
        }
        let is_port = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_port(text.strip_prefix(':').unwrap_or(text)) {
            return Err(ListenAddressError::NoHost);
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError::NoPort)?;
        let port = port.parse().map_err(|_| ListenAddressError::Port)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let inner = inner.strip_suffix(']').ok_or(ListenAddressError::Host)?;
                inner.parse::<Ipv6Addr>().map_err(|_| ListenAddressError::Host)?;
                inner
            }
            None if host.contains(':') => return Err(ListenAddressError::Brackets),
            None => host,
        };
        Self::Tcp { host: host.to_owned(), port }.checked()
    }
}

/// Why a text is not an address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListenAddressError {
    /// There is no `:port`.
    #[error("it lacks a port: write HOST:PORT, such as localhost:8080")]
    NoPort,
    /// There is only a port.
    #[error("it is only a port: write localhost:PORT for this machine, or *:PORT for every address of it")]
    NoHost,
    /// It is a URL, which has more than an address.
    #[error("it is a URL: write only HOST:PORT, such as localhost:8080, without http:// before it and / after it")]
    Url,
    /// The port is not a number from 0 to 65535.
    #[error("its port is not a number from 0 to 65535")]
    Port,
    /// The host is empty or malformed.
    #[error(
        "its host is not a name or an address: write HOST:PORT, such as localhost:8080, or *:8080 for every address"
    )]
    Host,
    /// A Unix socket has no path.
    #[error("it lacks a path: write unix:/PATH, such as unix:/run/signaling-relay/relay.sock")]
    Path,
    /// Only Unix has Unix sockets.
    #[error("this system has no Unix sockets: write HOST:PORT, such as localhost:8080")]
    NoUnix,
    /// Only Linux has systemd.
    #[error("this system has no systemd to pass sockets: write HOST:PORT, such as localhost:8080")]
    NoSystemd,
    /// An IPv6 address has no brackets.
    #[error("an IPv6 address needs brackets, such as [::1]:8080")]
    Brackets,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_people_write_them() {
        for text in ["localhost:8080", "*:80", "127.0.0.1:0", "[::1]:8080", "relay.example:65535"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("8080", ListenAddressError::NoHost),
            (":8080", ListenAddressError::NoHost),
            ("http://localhost:8080", ListenAddressError::Url),
            ("https://relay.example/", ListenAddressError::Url),
            ("localhost", ListenAddressError::NoPort),
            ("localhost:http", ListenAddressError::Port),
            ("localhost:65536", ListenAddressError::Port),
            (":http", ListenAddressError::Port),
            (" :8080", ListenAddressError::Host),
            ("[nonsense]:8080", ListenAddressError::Host),
            ("a b:1", ListenAddressError::Host),
            ("::1:8080", ListenAddressError::Brackets),
            ("unix:", ListenAddressError::Path),
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text}");
        }
    }
    #[test]
    fn an_address_that_this_system_lacks_is_refused_as_it_is_read() {
        for (text, is_here, error) in [
            ("unix:/run/a b", cfg!(unix), ListenAddressError::NoUnix),
            ("systemd", cfg!(target_os = "linux"), ListenAddressError::NoSystemd),
        ] {
            match text.parse::<ListenAddress>() {
                Ok(address) => assert!(is_here && address.to_string() == text, "{text}"),
                Err(refused) => assert!(!is_here && refused == error, "{text}: {refused}"),
            }
        }
    }
}

//! A STUN or TURN server: its URL, its addresses, and a connection to it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use turn_client_proto::types::TransportType;

use super::reach::what_happened;
use super::stream::AnyStream;
use crate::limits;
use crate::secret::Secret;

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It tells a client under which address others see it.
    Stun,
    /// It relays media.
    Turn,
}

/// How a server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    /// By datagrams.
    Udp,
    /// By a stream.
    Tcp,
    /// By a stream with TLS.
    Tls,
    /// By datagrams with DTLS.
    Dtls,
}

/// What a URL names (RFC 7064, RFC 7065).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// What it is for.
    pub(super) kind: Kind,
    /// How it is reached.
    pub(super) transport: Transport,
    /// Its name or address, without brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
}

/// The credentials of a client.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    /// The user name.
    pub(super) name: String,
    /// The password.
    pub(super) password: Secret,
}

/// What a server did for a client.
#[derive(Debug)]
pub(super) struct Found {
    /// The client as the server sees it, or where it relays for the client.
    pub(super) address: SocketAddr,
    /// Where the server is.
    pub(super) server: SocketAddr,
}

/// What is wrong with a server, and what to do.
#[derive(Debug)]
pub(super) struct Fault {
    /// What was seen.
    pub(super) detail: String,
    /// What to do.
    pub(super) advice: String,
    /// Whether there is no server at all.
    pub(super) is_absent: bool,
}

impl Fault {
    /// What was seen, and what to do.
    pub(super) fn new(detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { detail: detail.into(), advice: advice.into(), is_absent: false }
    }
}

impl Endpoint {
    /// Parses the URL of a server; none if it is none.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (kind, is_secure) = match scheme.to_ascii_lowercase().as_str() {
            "stun" => (Kind::Stun, false),
            "stuns" => (Kind::Stun, true),
            "turn" => (Kind::Turn, false),
            "turns" => (Kind::Turn, true),
            _ => return None,
        };
        let transport = match (is_secure, query.to_ascii_lowercase().as_str()) {
            (false, "" | "transport=udp") => Transport::Udp,
            (false, "transport=tcp") => Transport::Tcp,
            (true, "" | "transport=tcp") => Transport::Tls,
            (true, "transport=udp") => Transport::Dtls,
            _ => return None,
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
            None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        // Without one, that of the scheme (RFC 7064 section 3.2, RFC 7065 section 3.2).
        let port = match port {
            Some(port) => port.parse().ok()?,
            None if is_secure => 5349,
            None => 3478,
        };
        (!host.is_empty()).then(|| Self { kind, transport, host: host.to_owned(), port })
    }
}

/// A connection to a server.
pub(super) struct Wire {
    /// This end.
    pub(super) local: SocketAddr,
    /// The server's end.
    pub(super) remote: SocketAddr,
    link: Link,
}

enum Link {
    Udp(UdpSocket),
    Stream(AnyStream),
}

impl Wire {
    pub(super) async fn open(endpoint: &Endpoint, remote: SocketAddr, tls: &TlsConnector) -> io::Result<Self> {
        if endpoint.transport == Transport::Udp {
            let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
            // So the system tells when nothing listens there.
            socket.connect(remote).await?;
            return Ok(Self { local: socket.local_addr()?, remote, link: Link::Udp(socket) });
        }
        let stream = TcpStream::connect(remote).await?;
        let local = stream.local_addr()?;
        let link: AnyStream = if endpoint.transport == Transport::Tls {
            let name = ServerName::try_from(endpoint.host.clone()).map_err(io::Error::other)?;
            Box::new(tls.connect(name, stream).await?)
        } else {
            Box::new(stream)
        };
        Ok(Self { local, remote, link: Link::Stream(link) })
    }

    /// As STUN distinguishes them.
    pub(super) fn transport(&self) -> TransportType {
        match self.link {
            Link::Udp(_) => TransportType::Udp,
            Link::Stream(_) => TransportType::Tcp,
        }
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.link {
            Link::Udp(socket) => socket.send(bytes).await.map(|_| ()),
            Link::Stream(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// What comes next. It may be dropped at any time, and loses nothing.
    ///
    /// # Errors
    /// When the connection has ended.
    pub(super) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; limits::DOCTOR_DATAGRAM_BYTES];
        let length = match &mut self.link {
            Link::Udp(socket) => socket.recv(&mut bytes).await?,
            Link::Stream(stream) => match stream.read(&mut bytes).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => length,
            },
        };
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// A server that says nothing.
pub(super) fn no_answer(endpoint: &Endpoint) -> Fault {
    let (by, port) = (if endpoint.transport == Transport::Udp { "UDP" } else { "TCP" }, endpoint.port);
    let advice = format!(
        "see whether the server runs, and let {by} port {port} through its firewall and that of this network{}",
        if by == "UDP" { "; for people whose networks block UDP, offer turns: on port 443" } else { "" }
    );
    Fault::new(format!("no answer by {by}"), advice)
}

/// What a connection that fails means.
pub(super) fn broken(endpoint: &Endpoint, error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Fault {
            is_absent: true,
            ..Fault::new(
                format!("nothing listens at port {} there", endpoint.port),
                "start the server, or correct the port; and let it listen on that address",
            )
        },
        io::ErrorKind::InvalidData => Fault::new(
            format!("no TLS: {error}"),
            "give the server a certificate for this name that browsers accept (coturn: cert, pkey)",
        ),
        _ => Fault::new(what_happened(error), "see whether the server runs, and what its log says"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_how_a_server_is_reached() {
        let of = |url| Endpoint::parse(url).map(|one| (one.kind, one.transport, one.host, one.port));
        for (url, kind, transport, host, port) in [
            ("stun:stun.example", Kind::Stun, Transport::Udp, "stun.example", 3478),
            ("STUN:a:1", Kind::Stun, Transport::Udp, "a", 1),
            ("turn:a?transport=tcp", Kind::Turn, Transport::Tcp, "a", 3478),
            ("turns:[::1]:443?transport=tcp", Kind::Turn, Transport::Tls, "::1", 443),
            ("turns:a", Kind::Turn, Transport::Tls, "a", 5349),
            ("turns:a?transport=udp", Kind::Turn, Transport::Dtls, "a", 5349),
        ] {
            assert_eq!(of(url), Some((kind, transport, host.to_owned(), port)), "{url}");
        }
        for url in ["", "stun", "stun:", "http://a", "turn:a?transport=sctp", "turn:a:x", "turn:[::1"] {
            assert_eq!(of(url), None, "{url}");
        }
    }
}

//! Listening sockets for the addresses in the settings.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::thread;

use anyhow::{Context, anyhow, bail};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::limits;
use crate::net::address::ListenAddress;
use crate::net::system::{self, UnixListener};

/// The error of a machine without the address family, such as IPv6: of Winsock, of Linux, and of the BSDs and macOS.
const EAFNOSUPPORT: i32 = match (cfg!(windows), cfg!(any(target_os = "linux", target_os = "android"))) {
    (true, _) => 10_047,
    (_, true) => 97,
    (_, false) => 47,
};

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Its TCP address; none for a Unix socket.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener) => listener.path(),
        }
    }
}

/// Why the relay cannot listen on an address a second time.
const OWN: &str = "the relay listens there already, by another address that it was given; leave one of them out";

/// Listens on all of `addresses`; Unix sockets get the mode `unix_mode`. Resolving a host name takes
/// [`RESOLVE_DEADLINE`](limits::RESOLVE_DEADLINE) at most.
///
/// # Errors
/// When it cannot listen on one of them; the error says what would help. `others` are the relay's own already.
pub(crate) async fn listen(
    addresses: &[ListenAddress],
    unix_mode: u32,
    others: &[&Listener],
) -> anyhow::Result<Vec<Listener>> {
    let mut listeners: Vec<Listener> = Vec::new();
    for address in addresses {
        match address {
            ListenAddress::Tcp { host, port } => {
                let own: Vec<SocketAddr> =
                    listeners.iter().chain(others.iter().copied()).filter_map(Listener::local_addr).collect();
                listeners.extend(listen_on_host(address, host, *port, &own).await?.into_iter().map(Listener::Tcp));
            }
            ListenAddress::Unix(path) => {
                if listeners.iter().chain(others.iter().copied()).any(|listener| listener.path() == Some(path)) {
                    bail!("cannot listen on {address}: {OWN}");
                }
                let socket = UnixListener::bind(path, unix_mode);
                listeners.push(Listener::Unix(socket.with_context(|| format!("cannot listen on {address}"))?));
            }
            ListenAddress::Systemd => {
                listeners.extend(system::inherited_listeners().context("cannot listen on systemd's sockets")?);
            }
        }
    }
    Ok(listeners)
}

/// Sets the options of every listening socket, and makes it listen, even if it does already.
pub(super) fn start_listening(socket: &Socket) -> io::Result<()> {
    // Accepted TCP connections inherit it.
    socket.set_send_buffer_size(limits::SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.listen(limits::BACKLOG)
}

/// Listens on all addresses of a host. If it has IPv4 and IPv6 addresses, this machine may lack one of the two
/// families. Port 0 becomes one port that is free on all of them. `own` are the addresses on which the relay listens.
async fn listen_on_host(
    address: &ListenAddress,
    host: &str,
    port: u16,
    own: &[SocketAddr],
) -> anyhow::Result<Vec<TcpListener>> {
    let candidates = resolve(host, port).await.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => anyhow!("cannot listen on {address}: {error}"),
        _ => anyhow!("cannot listen on {address}: no such host: {error}"),
    })?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match listen_on_all(&candidates) {
            Ok(listeners) if listeners.is_empty() => {
                bail!("cannot listen on {address}: this machine has no such address")
            }
            Ok(listeners) => return Ok(listeners),
            Err((candidate, error)) if error.kind() == io::ErrorKind::AddrInUse && candidate.port() == 0 => {
                if attempt == limits::FREE_PORT_ATTEMPTS {
                    bail!("cannot listen on {address}: no port is free on all its addresses");
                }
            }
            Err((candidate, error)) if error.kind() == io::ErrorKind::AddrInUse && includes(own, candidate) => {
                bail!("cannot listen on {address}: {OWN}")
            }
            Err((candidate, error)) => bail!("cannot listen on {candidate}: {}", explained(&error)),
        }
    }
}

/// The addresses of `host`.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<IpAddr> = match host {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        "*" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        host => {
            let host = host.to_owned();
            look_up(move || Ok((host.as_str(), port).to_socket_addrs()?.map(|address| address.ip()).collect())).await?
        }
    };
    Ok(each_once(addresses).map(|ip| SocketAddr::new(ip, port)).collect())
}

/// `addresses` in their order without duplicates: a name may be both in a hosts file and in DNS, or twice in one of
/// them.
fn each_once(addresses: Vec<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let mut seen = HashSet::new();
    addresses.into_iter().filter(move |ip| seen.insert(*ip))
}

/// Calls `ask`, which blocks on the system's resolver, and waits for [`RESOLVE_DEADLINE`](limits::RESOLVE_DEADLINE) at
/// most. It runs on a thread of its own, because the runtime would wait for its blocking threads before the program can
/// end.
async fn look_up<T: Send + 'static>(ask: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let (answer, answered) = oneshot::channel();
    thread::Builder::new().name("resolver".to_owned()).spawn(move || {
        // The receiver is gone if the answer is late.
        let _ = answer.send(ask());
    })?;
    match timeout(limits::RESOLVE_DEADLINE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(io::Error::other("the resolver failed")),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the DNS servers do not answer for the host name")),
    }
}

/// Listens on each of `candidates`, except those whose address family this machine lacks. An error comes with its
/// address.
fn listen_on_all(candidates: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for candidate in candidates {
        let mut bound = *candidate;
        // The port that was free on the first address must be free on the others, too.
        if let (0, Some(Ok(first))) = (candidate.port(), listeners.first().map(TcpListener::local_addr)) {
            bound.set_port(first.port());
        }
        match listen_on(bound) {
            Ok(listener) => listeners.push(listener),
            Err(error) if candidates.len() > 1 && is_missing_family(&error) => {
                warn!(address = %bound, %error, "this machine lacks this address of the host to listen on");
            }
            Err(error) => return Err((*candidate, error)),
        }
    }
    Ok(listeners)
}

/// Whether the relay takes up `candidate` itself: an address of a family includes all of its own by `0.0.0.0` or `[::]`.
fn includes(own: &[SocketAddr], candidate: SocketAddr) -> bool {
    own.iter().any(|own| {
        let is_same = own.ip() == candidate.ip() || own.ip().is_unspecified() || candidate.ip().is_unspecified();
        own.port() == candidate.port() && own.is_ipv4() == candidate.is_ipv4() && is_same
    })
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Each family has its own socket, so that `*` and `localhost` mean the same on every system.
        socket.set_only_v6(true)?;
    }
    system::claim_address(&socket)?;
    socket.bind(&address.into())?;
    start_listening(&socket)?;
    TcpListener::from_std(socket.into())
}

/// Whether this machine has no addresses of the family, such as IPv6.
fn is_missing_family(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// The text of `error`, with advice if there is any.
fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another address with --listen".into()
        }
        // Windows says this of a port that another program has for itself, and of one that it keeps for virtual machines.
        io::ErrorKind::PermissionDenied if cfg!(windows) => {
            "another program or Windows itself has that port (`netsh interface ipv4 show excludedportrange tcp`); choose \
             another address with --listen"
                .into()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not listen there; choose a port above 1023 with --listen".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_given_twice_is_not_blamed_on_another_program() {
        let said = async |addresses: &[String], others: &[Listener]| {
            let addresses: Vec<ListenAddress> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            listen(&addresses, 0o600, &others.iter().collect::<Vec<_>>()).await.map(|_| ()).unwrap_err().to_string()
        };
        let first = listen(&["127.0.0.1:0".parse().unwrap()], 0o600, &[]).await.unwrap();
        let port = first[0].local_addr().unwrap().port();
        for again in ["127.0.0.1", "localhost", "0.0.0.0", "*"] {
            let said = said(&[format!("{again}:{port}")], &first).await;
            assert!(said.contains("the relay listens there already") && said.contains(again), "{said}");
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(said(&[free.to_string(), free.to_string()], &[]).await.contains("listens there already"));
        // Somebody else's.
        let other = said(&[format!("127.0.0.1:{port}")], &[]).await;
        assert!(other.contains("another program"), "{other}");
        #[cfg(unix)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = format!("unix:{}/relay.sock", folder.path().display());
            assert!(said(&[path.clone(), path], &[]).await.contains("listens there already"));
        }
    }

    #[tokio::test]
    async fn a_name_that_resolves_twice_to_one_address_is_listened_on_once() {
        let addresses = ["127.0.0.1", "::1", "127.0.0.1", "::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(each_once(addresses.into()).collect::<Vec<_>>(), addresses[..2]);
        let candidates: Vec<_> = each_once(vec![addresses[0]; 2]).map(|ip| SocketAddr::new(ip, 0)).collect();
        assert_eq!(listen_on_all(&candidates).unwrap().len(), 1);
        assert_eq!(resolve("localhost", 1).await.unwrap().len(), 2);
        assert_eq!(resolve("127.0.0.1", 1).await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_does_not_answer_is_given_up() {
        let (_forever, wait) = std::sync::mpsc::channel::<()>();
        let error = look_up(move || Ok(wait.recv())).await.unwrap_err();
        assert!(error.to_string().contains("do not answer"), "{error}");
    }
}

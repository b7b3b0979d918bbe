//! From addresses as people write them to sockets that listen; independent of what is accepted there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tracing::warn;

use crate::config::ListenAddress;
use crate::limits;
use crate::net::unix::listener::UnixListener;

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// One that the network reaches.
    Tcp(TcpListener),
    /// One that programs on this machine reach.
    Unix(UnixListener),
}

/// A connection that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// From the network.
    Tcp(TcpStream, SocketAddr),
    /// From this machine.
    Unix(UnixStream),
}

impl Listener {
    /// Waits for a connection.
    ///
    /// # Errors
    /// When the operating system gives none, for lack of file descriptors mostly.
    pub async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, address)| Accepted::Tcp(stream, address)),
            Self::Unix(socket) => socket.accept().await.map(Accepted::Unix),
        }
    }

    /// Its address in the network; none for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// Listens on all that `addresses` stand for; Unix sockets get the mode `unix_mode`.
///
/// # Errors
/// When one of them cannot be listened on; the error says what would help.
pub async fn listen(addresses: &[ListenAddress], unix_mode: u32) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        match address {
            ListenAddress::Tcp { host, port } => {
                listeners.extend(listen_on_host(address, host, *port).await?.into_iter().map(Listener::Tcp));
            }
            ListenAddress::Unix(path) => {
                let socket = UnixListener::bind(path, unix_mode);
                listeners.push(Listener::Unix(socket.with_context(|| format!("cannot listen on {address}"))?));
            }
            ListenAddress::Systemd => listeners.extend(handed_over().context("cannot listen on systemd's sockets")?),
        }
    }
    Ok(listeners)
}

/// The sockets that systemd hands over (sd_listen_fds(3)).
fn handed_over() -> anyhow::Result<Vec<Listener>> {
    // A file descriptor has one owner: they can be taken once.
    static TAKEN: AtomicBool = AtomicBool::new(false);
    ensure!(!TAKEN.swap(true, Ordering::Relaxed), "they have been taken already");
    let sockets = sd_listen_fds::get()?;
    ensure!(!sockets.is_empty(), "there is none; is this started by a .socket unit?");
    sockets
        .into_iter()
        .map(|(_, descriptor)| {
            let socket = Socket::from(descriptor.into_std());
            let address = socket.local_addr()?;
            ensure!(
                socket.is_listener()?,
                "one of them does not listen: a .socket unit needs ListenStream=, Accept=no"
            );
            socket.set_nonblocking(true)?;
            Ok(if address.is_unix() {
                Listener::Unix(UnixListener::from_std(socket.into())?)
            } else {
                Listener::Tcp(TcpListener::from_std(socket.into())?)
            })
        })
        .collect()
}

/// Listens on all that a host stands for. Where it stands for both families, one of them may be missing on this machine; and
/// a free port is looked for that is free on all.
async fn listen_on_host(address: &ListenAddress, host: &str, port: u16) -> anyhow::Result<Vec<TcpListener>> {
    let candidates = resolve(host, port).await.with_context(|| format!("cannot listen on {address}: no such host"))?;
    const ATTEMPTS_AT_A_FREE_PORT: usize = 16;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match listen_on_all(&candidates) {
            Ok(listeners) if listeners.is_empty() => {
                bail!("cannot listen on {address}: this machine has no such address")
            }
            Ok(listeners) => return Ok(listeners),
            Err((candidate, error)) if error.kind() == io::ErrorKind::AddrInUse && candidate.port() == 0 => {
                if attempt == ATTEMPTS_AT_A_FREE_PORT {
                    bail!("cannot listen on {address}: no port is free on all its addresses");
                }
            }
            Err((candidate, error)) => bail!("cannot listen on {candidate}: {}", explained(&error)),
        }
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<IpAddr> = match host {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        "*" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        host => tokio::net::lookup_host((host, port)).await?.map(|address| address.ip()).collect(),
    };
    Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
}

fn listen_on_all(candidates: &[SocketAddr]) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    for candidate in candidates {
        let mut bound = *candidate;
        // The first one finds the port for the others.
        if let (0, Some(Ok(first))) = (candidate.port(), listeners.first().map(TcpListener::local_addr)) {
            bound.set_port(first.port());
        }
        match listen_on(bound) {
            Ok(listener) => listeners.push(listener),
            Err(error) if candidates.len() > 1 && is_missing_family(&error) => {
                warn!(address = %bound, %error, "not listening there");
            }
            Err(error) => return Err((*candidate, error)),
        }
    }
    Ok(listeners)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Each family has its own socket, so that `*` and `localhost` mean the same on every system.
        socket.set_only_v6(true)?;
    }
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it.
    socket.set_send_buffer_size(limits::SEND_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_missing_family(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || (cfg!(target_os = "linux") && error.raw_os_error() == Some(EAFNOSUPPORT))
}

fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; stop it, or choose another address with --listen".into()
        }
        io::ErrorKind::PermissionDenied => "that needs more rights; choose a port above 1023 with --listen".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        _ => error.to_string(),
    }
}

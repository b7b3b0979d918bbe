//! From addresses as people write them to sockets that listen; independent of what is accepted there.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tracing::warn;

use crate::config::ListenAddress;
use crate::limits;

/// Listens on all that `address` stands for. Where it stands for both families, one of them may be missing on this
/// machine; and a free port is looked for that is free on all.
///
/// # Errors
/// When the host is unknown or the address cannot be listened on; the error says what would help.
pub async fn listen(address: &ListenAddress) -> anyhow::Result<Vec<TcpListener>> {
    let candidates = address.resolve().await.with_context(|| format!("cannot listen on {address}: no such host"))?;
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

//! Binds, accepts, and drains: the frame that the other rooms of the house stand in.
//!
//! The caller owns the configuration, the moment of the shutdown and the log.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::{Config, ListenAddress};
use crate::connection;
use crate::http::{self, Upgraded};
use crate::limits::{self, Allowance};
use crate::origin::OriginPolicy;
use crate::outbox::Outbox;
use crate::page::Page;
use crate::protocol::ErrorCode;
use crate::rooms::Rooms;
use crate::session::Session;

/// A relay that listens, and serves once it is told to.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    local_addrs: Vec<SocketAddr>,
    relay: Arc<Relay>,
    shutdown: watch::Sender<Option<Shutdown>>,
}

/// What the clients are told when the relay ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It will be back in a moment: `goaway`, then close code 1012.
    Restart,
    /// It will not: close code 1001.
    ForGood,
}

/// Who does not say is taken to restart, so that clients come back.
impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Restart
    }
}

impl Server {
    /// Listens where `config` says.
    ///
    /// # Errors
    /// When an address has no host, cannot be listened on, or the folder of the page holds none. The error says which, and
    /// what would help.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let page = Page::new(config.web.as_deref())?;
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.extend(listen(address).await?);
        }
        let local_addrs = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let origins = OriginPolicy {
            allowed: config.allow_origin.clone(),
            loopback_only: local_addrs.iter().all(|address| address.ip().is_loopback()),
        };
        let rooms = Arc::new(Rooms::new(config.room_capacity, config.ice_servers.clone()));
        let (shutdown, signal) = watch::channel(None);
        let relay =
            Relay { config, rooms, page, origins, shutdown: ShutdownSignal(signal), connections: AtomicU64::new(0) };
        Ok(Self { listeners, local_addrs, relay: Arc::new(relay), shutdown })
    }

    /// The addresses that it listens on, with the ports that were free where port 0 was asked for.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Serves until `shutdown` is ready, then tells every client, and returns when all connections have ended, after
    /// [`DRAIN_DEADLINE`](limits::DRAIN_DEADLINE) at the latest.
    pub async fn serve<S: Into<Shutdown>>(self, shutdown: impl Future<Output = S>) {
        let connections = TaskTracker::new();
        for listener in self.listeners {
            connections.spawn(accept(listener, Arc::clone(&self.relay), connections.clone()));
        }
        let shutdown = shutdown.await.into();
        info!(connections = connections.len().saturating_sub(self.local_addrs.len()), "shutting down");
        self.shutdown.send_replace(Some(shutdown));
        connections.close();
        if timeout(limits::DRAIN_DEADLINE, connections.wait()).await.is_err() {
            warn!(connections = connections.len(), "some connections did not end in time");
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub struct Relay {
    /// What the relay was told.
    pub config: Config,
    /// Who is where.
    pub rooms: Arc<Rooms>,
    /// What is served to browsers.
    pub page: Page,
    /// Which pages may dial in.
    pub origins: OriginPolicy,
    /// Whether the relay is going away.
    pub shutdown: ShutdownSignal,
    connections: AtomicU64,
}

impl Relay {
    /// A session in no room, with an empty outbox and a full allowance.
    pub fn new_session(&self) -> Session {
        let outbox = Arc::new(Outbox::new(self.config.max_message_bytes));
        let allowance = Allowance::new(self.config.message_rate, self.config.byte_rate, Instant::now());
        Session::new(Arc::clone(&self.rooms), outbox, allowance)
    }
}

/// Tells when the relay is going away.
#[derive(Debug, Clone)]
pub struct ShutdownSignal(watch::Receiver<Option<Shutdown>>);

impl ShutdownSignal {
    /// Waits until the relay goes away.
    pub async fn wait(&mut self) -> Shutdown {
        match self.0.wait_for(Option::is_some).await.map(|shutdown| *shutdown) {
            Ok(Some(shutdown)) => shutdown,
            // The server was dropped while serving.
            _ => Shutdown::ForGood,
        }
    }

    /// Whether the relay is going away now.
    pub fn is_shutting_down(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// Takes connections from `listener`; an error (out of file descriptors, mostly) is waited out.
async fn accept(listener: TcpListener, relay: Arc<Relay>, connections: TaskTracker) {
    let mut shutdown = relay.shutdown.clone();
    let mut pause = limits::ACCEPT_PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                pause = limits::ACCEPT_PAUSE_MIN;
                connections.spawn(welcome(stream, address, Arc::clone(&relay)));
            }
            Err(error) => {
                warn!(%error, pause_ms = pause.as_millis(), "cannot accept a connection");
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = shutdown.wait() => return,
                }
                pause = (pause * 2).min(limits::ACCEPT_PAUSE_MAX);
            }
        }
    }
}

/// One connection, from its first byte to its last.
async fn welcome(stream: TcpStream, address: SocketAddr, relay: Arc<Relay>) {
    if let Err(error) = set_socket_options(&stream) {
        debug!(%address, %error, "cannot set socket options");
    }
    let Some(Upgraded { socket, mut admission }) = http::serve(stream, Arc::clone(&relay)).await else { return };
    let connection = relay.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let connected = Instant::now();
    match admission.session.place() {
        // `{:?}` escapes what people wrote: nobody forges a line of the log.
        Some((room, id)) => info!(connection, %address, room = ?room.as_str(), %id, "connected"),
        None => info!(connection, %address, "connected"),
    }
    let end = match admission.refused {
        Some(code) => connection::refuse(socket, admission.session.outbox(), code == ErrorCode::RoomFull).await,
        None => connection::run(socket, &mut admission.session, relay.shutdown.clone()).await,
    };
    info!(connection, %address, after_s = connected.elapsed().as_secs(), why = %end, "disconnected");
}

fn set_socket_options(stream: &TcpStream) -> io::Result<()> {
    // Without it a small message may wait 40 ms for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT))?;
    Ok(())
}

/// Listens on all that `address` stands for. Where it stands for both families, one of them may be missing on this
/// machine; and a free port is looked for that is free on all.
async fn listen(address: &ListenAddress) -> anyhow::Result<Vec<TcpListener>> {
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

//! Binds, accepts, and drains: the frame that the other rooms of the house stand in.
//!
//! The caller owns the configuration, the moment of the shutdown and the log.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::connection;
use crate::http::{self, Upgraded};
use crate::limits;
use crate::listen::listen;
use crate::protocol::ErrorCode;
use crate::relay::Relay;
use crate::session::Session;
use crate::shutdown::{self, Shutdown, ShutdownSender};

/// A relay that listens, and serves once it is told to.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    local_addrs: Vec<SocketAddr>,
    relay: Arc<Relay>,
    shutdown: ShutdownSender,
}

impl Server {
    /// Listens where `config` says.
    ///
    /// # Errors
    /// When an address has no host, cannot be listened on, or the folder of the page holds none. The error says which, and
    /// what would help.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for address in &config.listen {
            listeners.extend(listen(address).await?);
        }
        let local_addrs = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let loopback_only = local_addrs.iter().all(|address| address.ip().is_loopback());
        let (shutdown, signal) = shutdown::channel();
        let relay = Arc::new(Relay::new(config, loopback_only, signal)?);
        Ok(Self { listeners, local_addrs, relay, shutdown })
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
        self.shutdown.send(shutdown);
        connections.close();
        if timeout(limits::DRAIN_DEADLINE, connections.wait()).await.is_err() {
            warn!(connections = connections.len(), "some connections did not end in time");
        }
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
    serve_stream(stream, address, relay).await;
}

/// Serves whatever a client on `stream` asks for: pages, then perhaps a WebSocket. The log gets a line when that begins and
/// one when it ends.
pub async fn serve_stream<S>(stream: S, address: SocketAddr, relay: Arc<Relay>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(Upgraded { socket, mut admission }) = http::serve(stream, Arc::clone(&relay)).await else { return };
    let connection = relay.count_connection();
    let connected = Instant::now();
    info!(connection, %address, place = %place_of(&admission.session), "connected");
    let end = match admission.refused {
        Some(code) => connection::refuse(socket, admission.session.outbox(), code == ErrorCode::RoomFull).await,
        None => connection::run(socket, &mut admission.session, relay.shutdown.clone()).await,
    };
    let (place, after_s) = (place_of(&admission.session), connected.elapsed().as_secs());
    info!(connection, %address, %place, after_s, why = %end, "disconnected");
}

/// The peer's room and id, for the log. `{:?}` escapes what people wrote: nobody forges a line.
fn place_of(session: &Session) -> String {
    session.place().map_or("none".to_owned(), |(room, id)| format!("{:?}/{id}", room.as_str()))
}

fn set_socket_options(stream: &TcpStream) -> io::Result<()> {
    // Without it a small message may wait 40 ms for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT))?;
    Ok(())
}

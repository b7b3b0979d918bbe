//! Binds, accepts, and drains.
//!
//! The caller owns the configuration, the moment of the shutdown and the log.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::drain::Shutdown;
use crate::error::BindError;
use crate::http::redirect::Redirect;
use crate::lan::authority::{Authority, LeafSource};
use crate::lan::trust::TrustPages;
use crate::limits;
use crate::net::info::ConnectionInfo;
use crate::net::listen::{Accepted, Listener, listen};
use crate::net::tls::{MaybeTlsStream, Tls};
use crate::relay::{Relay, RelayBuilder};
use crate::ws::Transport;

/// A relay that listens, and serves once it is told to.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    local_addrs: Vec<SocketAddr>,
    redirectors: Vec<Listener>,
    redirect_addrs: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    relay: Arc<Relay>,
}

/// What is served on a listener: how its streams arrive is apart from what they come to.
#[derive(Debug, Clone)]
struct Endpoint {
    /// TLS, where it is spoken.
    tls: Option<Arc<Tls>>,
    app: App,
    relay: Arc<Relay>,
}

/// What a stream comes to.
#[derive(Debug, Clone)]
enum App {
    /// The relay and its page.
    Relay,
    /// The way to where TLS is spoken.
    Redirect(Arc<Redirect>),
}

impl Server {
    /// Listens where `config` says, for a relay that lets everybody in; see [`Relay::builder`] for more.
    ///
    /// # Errors
    /// [`BindError`], which says what is wrong and what would help.
    pub async fn bind(config: Config) -> Result<Self, BindError> {
        Relay::builder(config).bind().await
    }

    pub(crate) async fn bind_relay(builder: RelayBuilder) -> Result<Self, BindError> {
        let config = builder.config();
        config.check()?;
        let (tls, trust) = open_tls(config).map_err(BindError::Tls)?;
        let listeners = listen(&config.listen, config.unix_mode).await.map_err(BindError::Listen)?;
        let redirectors = listen(&config.redirect_from, config.unix_mode).await.map_err(BindError::Listen)?;
        let addresses = |of: &[Listener]| of.iter().filter_map(Listener::address).collect::<Vec<_>>();
        let (local_addrs, redirect_addrs) = (addresses(&listeners), addresses(&redirectors));
        let relay = Arc::new(builder.build_with(trust)?);
        Ok(Self { listeners, local_addrs, redirectors, redirect_addrs, tls, relay })
    }

    /// The relay that it listens for.
    pub fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// The addresses in the network that it listens on, with the ports that were free where port 0 was asked for.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// The Unix sockets that it listens on.
    pub fn unix_paths(&self) -> impl Iterator<Item = &Path> {
        self.listeners.iter().filter_map(|listener| match listener {
            Listener::Unix(socket) => socket.path(),
            Listener::Tcp(_) => None,
        })
    }

    /// The addresses where it only says that TLS is spoken elsewhere.
    pub fn redirect_addrs(&self) -> &[SocketAddr] {
        &self.redirect_addrs
    }

    /// Whether its addresses speak TLS: then what is opened is `https://` and `wss://`.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The SHA-256 of the local authority's certificate, where it has one: people compare it before they trust.
    pub fn authority_fingerprint(&self) -> Option<&str> {
        self.relay.trust.as_ref().map(|trust| trust.fingerprint())
    }

    /// What tells it, while it serves, to read its certificate anew.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.tls.clone())
    }

    /// Serves until `shutdown` is ready, then tells every client, and returns when all connections have ended, after
    /// [`DRAIN_DEADLINE`](limits::DRAIN_DEADLINE) at the latest.
    pub async fn serve<S: Into<Shutdown>>(self, shutdown: impl Future<Output = S>) {
        let drain = self.relay.drain();
        let port = self.local_addrs.first().map(SocketAddr::port);
        let redirect = App::Redirect(Arc::new(Redirect { port, trust: self.relay.trust.clone() }));
        for listener in self.listeners {
            let endpoint = Endpoint { tls: self.tls.clone(), app: App::Relay, relay: Arc::clone(&self.relay) };
            drain.spawn(endpoint.accept_from(listener));
        }
        for listener in self.redirectors {
            let endpoint = Endpoint { tls: None, app: redirect.clone(), relay: Arc::clone(&self.relay) };
            drain.spawn(endpoint.accept_from(listener));
        }
        let watch = async {
            match self.tls {
                Some(tls) => tls.watch().await,
                None => std::future::pending().await,
            }
        };
        let shutdown = tokio::select! {
            shutdown = shutdown => shutdown.into(),
            () = watch => Shutdown::Restart,
        };
        self.relay.shutdown(shutdown).await;
    }
}

impl Endpoint {
    /// Takes connections from `listener`; an error (out of file descriptors, mostly) is waited out.
    async fn accept_from(self, listener: Listener) {
        let drain = Arc::clone(self.relay.drain());
        let mut pause = limits::ACCEPT_PAUSE_MIN;
        let accept = async {
            loop {
                match listener.accept().await {
                    Ok(accepted) => {
                        pause = limits::ACCEPT_PAUSE_MIN;
                        match accepted {
                            Accepted::Tcp(stream, address) => drain.spawn(self.clone().serve_tcp(stream, address)),
                            Accepted::Unix(stream) => drain.spawn(self.clone().serve(stream, ConnectionInfo::unix())),
                        }
                    }
                    Err(error) => {
                        warn!(%error, pause_ms = pause.as_millis(), "cannot accept a connection");
                        sleep(pause).await;
                        pause = (pause * 2).min(limits::ACCEPT_PAUSE_MAX);
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            _ = drain.wait() => {}
        }
    }

    /// Serves one connection from the network, from its first byte to its last.
    async fn serve_tcp(self, stream: TcpStream, address: SocketAddr) {
        if let Err(error) = set_socket_options(&stream) {
            debug!(%address, %error, "cannot set socket options");
        }
        let Some(tls) = self.tls.clone() else { return self.serve(stream, ConnectionInfo::tcp(address)).await };
        // In a box that is gone when the handshake is made.
        let handshake = Box::pin(async {
            tokio::select! {
                accepted = tls.accept(stream) => Some(accepted),
                _ = self.relay.drain().wait() => None,
            }
        });
        match handshake.await {
            Some(Ok(MaybeTlsStream::Tls(stream))) => self.serve(*stream, ConnectionInfo::tls(address)).await,
            Some(Ok(MaybeTlsStream::Plain(stream))) => {
                let redirect = Arc::new(Redirect { port: None, trust: self.relay.trust.clone() });
                Box::pin(redirect.serve(stream, self.relay.drain())).await;
            }
            Some(Err(error)) => debug!(%address, %error, "no TLS handshake"),
            None => {}
        }
    }

    async fn serve<S: Transport>(self, stream: S, connection: ConnectionInfo) {
        match self.app {
            App::Relay => self.relay.serve_transport(stream, connection).await,
            App::Redirect(redirect) => Box::pin(redirect.serve(stream, self.relay.drain())).await,
        }
    }
}

/// Tells a [`Server`] that serves to read its certificate anew.
#[derive(Debug, Clone)]
pub struct Reloader(Option<Arc<Tls>>);

impl Reloader {
    /// New connections are shown the certificate that is there now, unless it cannot be used: the log says so then, and the
    /// old one stays.
    pub fn reload(&self) {
        match &self.0 {
            Some(tls) => tls.reload(),
            None => info!("there is no certificate to reload"),
        }
    }
}

fn set_socket_options(stream: &TcpStream) -> std::io::Result<()> {
    // Without it a small message may wait 40 ms for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT))?;
    Ok(())
}

/// TLS as the settings want it, and how to trust it where the certificate comes from a local authority.
type Security = (Option<Arc<Tls>>, Option<Arc<TrustPages>>);

fn open_tls(config: &Config) -> anyhow::Result<Security> {
    if let Some(files) = config.certificate_files()? {
        return Ok((Some(Arc::new(Tls::new(files).context("cannot serve TLS")?)), None));
    }
    if config.lan {
        let authority = Arc::new(Authority::open(&config.lan_dir)?);
        let trust = TrustPages::new(&authority);
        return Ok((Some(Arc::new(Tls::new(LeafSource(authority))?)), Some(Arc::new(trust))));
    }
    Ok((None, None))
}

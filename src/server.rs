//! Binds, accepts, and drains: the frame that the other rooms of the house stand in.
//!
//! The caller owns the configuration, the moment of the shutdown and the log.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "tls")]
use anyhow::Context;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Config;
use crate::doorkeeper::{Doorkeeper, Greeting};
use crate::drain::{self, Shutdown, ShutdownSender};
use crate::http::redirect::Redirect;
#[cfg(feature = "lan")]
use crate::lan::authority::{Authority, LeafSource};
use crate::lan::trust::TrustPages;
use crate::limits;
use crate::net::listen::{Accepted, Listener, listen};
use crate::net::tls::Tls;
use crate::relay::Relay;

/// A relay that listens, and serves once it is told to.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    local_addrs: Vec<SocketAddr>,
    redirectors: Vec<Listener>,
    redirect_addrs: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    relay: Arc<Relay>,
    shutdown: ShutdownSender,
}

impl Server {
    /// Listens where `config` says.
    ///
    /// # Errors
    /// When a setting is wrong ([`ConfigError`](crate::ConfigError)), an address has no host, cannot be listened on, the folder of the page holds none, or the certificate cannot be
    /// used. The error says which, and what would help.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        config.check()?;
        let (tls, trust) = open_tls(&config)?;
        let listeners = listen(&config.listen, config.unix_mode).await?;
        #[cfg(feature = "tls")]
        let redirectors = listen(&config.redirect_from, config.unix_mode).await?;
        #[cfg(not(feature = "tls"))]
        let redirectors = Vec::new();
        let addresses = |of: &[Listener]| of.iter().filter_map(Listener::address).collect::<Vec<_>>();
        let (local_addrs, redirect_addrs) = (addresses(&listeners), addresses(&redirectors));
        // A proxy brings everybody to loopback, and a Unix socket is there for a proxy.
        let loopback_only = config.trusted_proxy.is_empty()
            && listeners.iter().all(|one| one.address().is_some_and(|address| address.ip().is_loopback()));
        let (shutdown, signal) = drain::channel();
        let mut relay = Relay::new(config, loopback_only, signal)?;
        relay.trust = trust;
        let relay = Arc::new(relay);
        Ok(Self { listeners, local_addrs, redirectors, redirect_addrs, tls, relay, shutdown })
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
        let connections = TaskTracker::new();
        let doorkeeper = |greeting| Doorkeeper { greeting, relay: Arc::clone(&self.relay) };
        let open = |listener, greeting| {
            connections.spawn(accept(listener, doorkeeper(greeting), connections.clone()));
        };
        let listening = self.listeners.len() + self.redirectors.len();
        let port = self.local_addrs.first().map(SocketAddr::port);
        for listener in self.listeners {
            open(listener, self.tls.clone().map_or(Greeting::Plain, Greeting::Tls));
        }
        for listener in self.redirectors {
            open(listener, Greeting::Redirect(Arc::new(Redirect { port, trust: self.relay.trust.clone() })));
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
        info!(connections = connections.len().saturating_sub(listening), "shutting down");
        self.shutdown.send(shutdown);
        connections.close();
        if timeout(limits::DRAIN_DEADLINE, connections.wait()).await.is_err() {
            warn!(connections = connections.len(), "some connections did not end in time");
        }
    }
}

/// The TLS of a relay, and what makes people trust it; either may be missing.
type Security = (Option<Arc<Tls>>, Option<Arc<TrustPages>>);

/// TLS where `config` asks for it, and how to trust it where it comes from the relay's own authority.
#[cfg(feature = "tls")]
fn open_tls(config: &Config) -> anyhow::Result<Security> {
    if let Some(files) = config.certificate_files()? {
        return Ok((Some(Arc::new(Tls::new(files).context("cannot serve TLS")?)), None));
    }
    #[cfg(feature = "lan")]
    if config.lan {
        let authority = Arc::new(Authority::open(&config.lan_dir)?);
        let trust = TrustPages::new(&authority);
        return Ok((Some(Arc::new(Tls::new(LeafSource(authority))?)), Some(Arc::new(trust))));
    }
    Ok((None, None))
}

#[cfg(not(feature = "tls"))]
fn open_tls(_: &Config) -> anyhow::Result<Security> {
    Ok((None, None))
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

/// Takes connections from `listener`; an error (out of file descriptors, mostly) is waited out.
async fn accept(listener: Listener, doorkeeper: Doorkeeper, connections: TaskTracker) {
    let mut shutdown = doorkeeper.relay.shutdown.clone();
    let mut pause = limits::ACCEPT_PAUSE_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait() => return,
        };
        match accepted {
            Ok(accepted) => {
                pause = limits::ACCEPT_PAUSE_MIN;
                match accepted {
                    Accepted::Tcp(stream, address) => connections.spawn(doorkeeper.clone().welcome(stream, address)),
                    Accepted::Unix(stream) => connections.spawn(doorkeeper.clone().welcome_local(stream)),
                };
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

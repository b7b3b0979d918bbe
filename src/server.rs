//! Binds, accepts, and drains: the frame that the other rooms of the house stand in.
//!
//! The caller owns the configuration, the moment of the shutdown and the log.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Config;
use crate::doorkeeper::{Doorkeeper, Greeting};
use crate::drain::{self, Shutdown, ShutdownSender};
use crate::http::redirect::Redirect;
use crate::lan::authority::{Authority, LeafSource};
use crate::lan::trust::TrustPages;
use crate::limits;
use crate::net::accept::Accept;
use crate::net::info::ConnectionInfo;
use crate::net::listen::{Listener, listen};
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
    /// When an address has no host, cannot be listened on, the folder of the page holds none, or the certificate cannot be
    /// used. The error says which, and what would help.
    pub async fn bind(config: Config) -> anyhow::Result<Self> {
        config.check()?;
        let authority = match config.certificate_files()? {
            None if config.lan => Some(Arc::new(Authority::open(&config.lan_dir)?)),
            _ => None,
        };
        let tls = match (config.certificate_files()?, &authority) {
            (Some(files), _) => Some(Arc::new(Tls::new(files).context("cannot serve TLS")?)),
            (None, Some(authority)) => Some(Arc::new(Tls::new(LeafSource(Arc::clone(authority)))?)),
            (None, None) => None,
        };
        let listeners = listen(&config.listen, config.unix_mode).await?;
        let redirectors = listen(&config.redirect_from, config.unix_mode).await?;
        let addresses = |of: &[Listener]| of.iter().filter_map(Listener::local_addr).collect::<Vec<_>>();
        let (local_addrs, redirect_addrs) = (addresses(&listeners), addresses(&redirectors));
        let (shutdown, signal) = drain::channel();
        let mut relay = Relay::new(config, signal)?;
        relay.trust = authority.map(|authority| Arc::new(TrustPages::new(&authority)));
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
        let open = |listener, greeting| match listener {
            Listener::Tcp(listener) => {
                connections.spawn(accept(listener, doorkeeper(greeting), connections.clone(), Doorkeeper::welcome))
            }
            Listener::Unix(listener) => connections.spawn(accept(
                listener,
                doorkeeper(greeting),
                connections.clone(),
                Doorkeeper::welcome_local,
            )),
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

/// Serves the connections of `listener`, each in a task of its own, until the shutdown.
async fn accept<L, F>(
    mut listener: L,
    doorkeeper: Doorkeeper,
    connections: TaskTracker,
    serve: impl Fn(Doorkeeper, L::Io, ConnectionInfo) -> F,
) where
    L: Accept,
    F: Future<Output = ()> + Send + 'static,
{
    let mut shutdown = doorkeeper.relay.shutdown.clone();
    loop {
        let (stream, info) = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait() => return,
        };
        connections.spawn(serve(doorkeeper.clone(), stream, info));
    }
}

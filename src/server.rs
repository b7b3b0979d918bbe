//! The server: binds, accepts, serves until it is told to shut down, and drains.

mod reloader;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::Either;
use tokio::net::TcpStream;
use tracing::{debug, info};

#[cfg(feature = "admin")]
use crate::admin::Admin;
#[cfg(feature = "cluster")]
use crate::clustering;
use crate::config::Config;
use crate::drain::Shutdown;
use crate::error::BindError;
use crate::http::redirect::Redirect;
use crate::http::trust::TrustPages;
#[cfg(feature = "admin")]
use crate::limits;
use crate::net::accept::Accept;
use crate::net::info::ConnectionInfo;
use crate::net::listen::{Listener, listen};
use crate::net::tls::{MaybeTlsStream, Tls};
use crate::quota::{Admission, RefusalPermit};
use crate::relay::{Relay, RelayBuilder};
use crate::ws::Transport;
pub use reloader::Reloader;

/// A relay with its listeners. It serves in [`serve`](Self::serve).
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    local_addrs: Vec<SocketAddr>,
    redirectors: Vec<Listener>,
    redirect_addrs: Vec<SocketAddr>,
    tls: Option<Arc<Tls>>,
    #[cfg(feature = "admin")]
    admin: Option<Admin>,
    relay: Arc<Relay>,
}

/// What a listener serves.
#[derive(Debug, Clone)]
struct Endpoint {
    /// TLS, if its TCP connections use it.
    tls: Option<Arc<Tls>>,
    app: App,
    relay: Arc<Relay>,
}

/// What answers the requests on a stream.
#[derive(Debug, Clone)]
enum App {
    /// The relay and its page.
    Relay,
    /// A redirect to https.
    Redirect(Arc<Redirect>),
}

/// Whether a connection is within the limits: if not, it is to be told.
type Admitted = Result<Arc<Admission>, RefusalPermit>;

impl RelayBuilder {
    /// Builds the relay and a server that listens for it.
    ///
    /// # Errors
    /// The same as [`Server::bind`](crate::Server::bind).
    pub async fn bind(self) -> Result<Server, BindError> {
        Server::bind_relay(self).await
    }
}

impl Server {
    /// Listens on the addresses of `config`, for a relay where every client may join. [`Relay::builder`] offers more.
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
        let listeners = listen(&config.listen, config.unix_mode, &[]).await.map_err(BindError::Listen)?;
        #[cfg(feature = "tls")]
        let redirectors = listen(&config.redirect_from, config.unix_mode, &listeners.iter().collect::<Vec<_>>())
            .await
            .map_err(BindError::Listen)?;
        #[cfg(not(feature = "tls"))]
        let redirectors = Vec::new();
        #[cfg(feature = "admin")]
        let admin = open_admin(config, tls.clone(), &listeners, &redirectors).await?;
        let addresses = |of: &[Listener]| of.iter().filter_map(Listener::local_addr).collect::<Vec<_>>();
        let (local_addrs, redirect_addrs) = (addresses(&listeners), addresses(&redirectors));
        #[cfg(feature = "cluster")]
        let cluster = clustering::open(builder.config(), builder.observer_of_events()).await?;
        #[cfg(not(feature = "cluster"))]
        let cluster = None;
        let relay = Arc::new(builder.build_with(trust, cluster)?);
        #[cfg(feature = "cluster")]
        relay.cluster.iter().for_each(|cluster| cluster.begin(Arc::clone(&relay.hub().rooms)));
        #[cfg(feature = "page")]
        relay.site.about.listens(&local_addrs, tls.is_some());
        Ok(Self {
            listeners,
            local_addrs,
            redirectors,
            redirect_addrs,
            tls,
            #[cfg(feature = "admin")]
            admin,
            relay,
        })
    }

    /// The relay that it listens for.
    pub fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// The TCP addresses that it listens on. Where the settings have port 0, these have the port that was chosen.
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

    /// The addresses where it only redirects to https.
    pub fn redirect_addrs(&self) -> &[SocketAddr] {
        &self.redirect_addrs
    }

    /// The URLs, or `unix:` and the path, at which it tells operators how it is.
    #[cfg(feature = "admin")]
    pub fn admin_addresses(&self) -> Vec<String> {
        self.admin.as_ref().map_or_else(Vec::new, Admin::addresses)
    }

    /// Where other relays of its cluster reach it, if it is in one.
    #[cfg(feature = "cluster")]
    pub fn cluster_address(&self) -> Option<SocketAddr> {
        self.relay.cluster.as_ref().map(crate::cluster::Cluster::address)
    }

    /// The wires of other libraries that it speaks.
    #[cfg(feature = "wires")]
    pub fn wires(&self) -> &[crate::wire::Wire] {
        &self.relay.config.wires
    }

    /// Whether its TCP addresses use TLS: then its URLs begin with `https://` and `wss://`.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// The DNS names that its certificate is for; none without TLS.
    #[cfg(feature = "cli")]
    pub(crate) fn certificate_names(&self) -> Vec<String> {
        self.tls.as_ref().map_or_else(Vec::new, |tls| tls.dns_names())
    }

    /// The SHA-256 of the local authority's root certificate, if there is one. People compare it before they trust the
    /// authority.
    pub fn authority_fingerprint(&self) -> Option<&str> {
        self.relay.site.trust.as_ref().map(|trust| trust.fingerprint())
    }

    /// A handle that reloads the certificate and the keys of tokens while the server serves.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(self.tls.clone(), &self.relay)
    }

    /// Serves until `shutdown` is ready, then tells every client, and returns when all connections have ended, after
    /// [`DRAIN_DEADLINE`](crate::limits::DRAIN_DEADLINE) at the latest.
    pub async fn serve<S: Into<Shutdown>>(self, shutdown: impl Future<Output = S>) {
        let port = self.local_addrs.first().map(SocketAddr::port);
        let redirect = App::Redirect(Arc::new(Redirect { port, trust: self.relay.site.trust.clone() }));
        for listener in self.listeners {
            let endpoint = Endpoint { tls: self.tls.clone(), app: App::Relay, relay: Arc::clone(&self.relay) };
            endpoint.open(listener);
        }
        #[cfg(feature = "cluster")]
        clustering::serve_other_relays(&self.relay);
        for listener in self.redirectors {
            let endpoint = Endpoint { tls: None, app: redirect.clone(), relay: Arc::clone(&self.relay) };
            endpoint.open(listener);
        }
        let watch = async {
            match self.tls {
                Some(tls) => tls.watch().await,
                None => std::future::pending().await,
            }
        };
        let relay = Arc::clone(&self.relay);
        let serve = async move {
            let shutdown = tokio::select! {
                shutdown = shutdown => shutdown.into(),
                () = watch => Shutdown::Restart,
            };
            relay.shutdown(shutdown).await;
        };
        // Operators can look until the end.
        #[cfg(feature = "admin")]
        let serve = async move {
            match self.admin {
                Some(admin) => tokio::select! {
                    () = serve => {}
                    () = admin.serve(self.relay).then(|()| std::future::pending()) => {}
                },
                None => serve.await,
            }
        };
        serve.await;
    }
}

impl Endpoint {
    fn open(self, listener: Listener) {
        let drain = Arc::clone(&self.relay.hub().drain);
        match (listener, self.tls.clone()) {
            (Listener::Tcp(listener), None) => drain.spawn_listener(self.accept_from(listener, Self::serve)),
            (Listener::Tcp(listener), Some(tls)) => {
                let serve = move |endpoint: Self, stream, info, admitted| {
                    endpoint.serve_tls(Arc::clone(&tls), stream, info, admitted)
                };
                drain.spawn_listener(self.accept_from(listener, serve));
            }
            // The bytes of a Unix socket do not leave the machine, so TLS would be of no use.
            (Listener::Unix(listener), _) => drain.spawn_listener(self.accept_from(listener, Self::serve)),
        }
    }

    /// Serves the connections of `listener`, each in a task of its own, until the relay shuts down. Those beyond a limit are
    /// refused.
    async fn accept_from<L, F>(self, mut listener: L, serve: impl Fn(Self, L::Io, ConnectionInfo, Admitted) -> F + Send)
    where
        L: Accept,
        F: Future<Output = ()> + Send + 'static,
    {
        let drain = Arc::clone(&self.relay.hub().drain);
        loop {
            let (stream, connection) = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = drain.wait() => return,
            };
            let admitted = match self.relay.site.admit(connection) {
                Ok(admission) => Ok(admission),
                Err(Some(refused)) => Err(refused),
                // Without a word: enough others are being told.
                Err(None) => continue,
            };
            drain.spawn(serve(self.clone(), stream, connection, admitted));
        }
    }

    /// Serves one TCP connection that begins with a TLS handshake.
    async fn serve_tls(self, tls: Arc<Tls>, stream: TcpStream, connection: ConnectionInfo, mut admitted: Admitted) {
        let _memory = match &mut admitted {
            Ok(admission) => match admission.take_handshake() {
                Ok(memory) => Some(memory),
                Err(over) => {
                    self.relay.hub().metrics.refusals.add(over.number());
                    if admission.may_log() {
                        info!(address = %connection, why = %over, "refused a connection");
                    }
                    return;
                }
            },
            Err(refused) => {
                if !self.relay.hub().quotas.is_worth_a_handshake(refused, connection) {
                    return;
                }
                None
            }
        };
        // Boxed, so that the connection does not keep the memory that the handshake needed.
        let handshake = Box::pin(async {
            tokio::select! {
                accepted = tls.accept(stream) => Some(accepted),
                _ = self.relay.hub().drain.wait() => None,
            }
        });
        let relay = Arc::clone(&self.relay);
        let metrics = &relay.hub().metrics;
        match handshake.await {
            Some(Ok(MaybeTlsStream::Tls(stream))) => {
                metrics.handshakes.add(1);
                self.serve(*stream, connection.over_tls(), admitted).await
            }
            Some(Ok(MaybeTlsStream::Plain(stream))) => {
                let admission = match admitted {
                    Ok(admission) => admission,
                    Err(refused) => return self.relay.refuse(stream, connection, refused).await,
                };
                let redirect = Arc::new(Redirect { port: None, trust: self.relay.site.trust.clone() });
                Box::pin(redirect.serve(stream, admission, &self.relay.hub().drain)).await;
            }
            Some(Err(error)) => {
                metrics.failed_handshakes.add(1);
                debug!(address = %connection, %error, "no TLS handshake");
            }
            None => {}
        }
    }

    fn serve<S: Transport>(
        self,
        stream: S,
        connection: ConnectionInfo,
        admitted: Admitted,
    ) -> impl Future<Output = ()> + Send {
        let Self { app, relay, .. } = self;
        match (app, admitted) {
            (App::Relay, Ok(admission)) => Either::Left(relay.serve_transport(stream, connection, admission)),
            // Boxed, so that a WebSocket does not keep room for these.
            (_, Err(refused)) => Either::Right(async move { relay.refuse(stream, connection, refused).await }.boxed()),
            (App::Redirect(redirect), Ok(admission)) => {
                Either::Right(async move { redirect.serve(stream, admission, &relay.hub().drain).await }.boxed())
            }
        }
    }
}

/// The address for operators, if the settings name one.
#[cfg(feature = "admin")]
async fn open_admin(
    config: &Config,
    tls: Option<Arc<Tls>>,
    listeners: &[Listener],
    redirectors: &[Listener],
) -> Result<Option<Admin>, BindError> {
    let Some(address) = &config.admin_listen else { return Ok(None) };
    let own: Vec<&Listener> = listeners.iter().chain(redirectors).collect();
    let admin = listen(std::slice::from_ref(address), limits::ADMIN_UNIX_MODE, &own)
        .await
        .map_err(|error| BindError::Listen(error.context("--admin-listen")))?;
    Admin::new(admin, config.admin_token_file.as_deref(), tls).map(Some).map_err(BindError::Admin)
}

/// The TLS of a relay, and the pages about its local authority; both are optional.
type Security = (Option<Arc<Tls>>, Option<Arc<TrustPages>>);

/// TLS if `config` asks for it, and the pages about the local authority if that signs the certificate.
#[cfg(feature = "tls")]
fn open_tls(config: &Config) -> anyhow::Result<Security> {
    use anyhow::Context;

    if let Some(files) = config.certificate_files()? {
        return Ok((Some(Arc::new(Tls::new(files).context("cannot serve TLS")?)), None));
    }
    #[cfg(feature = "lan")]
    if config.lan {
        use crate::lan::authority::{Authority, LeafSource};
        use crate::lan::home;

        let folder = home::find(config.lan_dir.as_deref())?;
        let authority = Arc::new(Authority::open(&folder)?);
        let trust = TrustPages::new(authority.der(), authority.pem(), authority.fingerprint());
        return Ok((Some(Arc::new(Tls::new(LeafSource(authority))?)), Some(Arc::new(trust))));
    }
    Ok((None, None))
}

#[cfg(not(feature = "tls"))]
fn open_tls(_: &Config) -> anyhow::Result<Security> {
    Ok((None, None))
}

//! What an embedder holds: one relay, whatever its connections arrive by.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::HeaderMap;
use tokio::time::Instant;
use tracing::info;

use crate::auth::{Authorizer, Open};
use crate::config::Config;
use crate::drain::{Drain, Registration, Shutdown};
use crate::error::BindError;
use crate::http::assets::Page;
use crate::http::mount::RelayService;
use crate::http::origin::OriginPolicy;
use crate::http::proxy::Client;
use crate::http::service::{self, Upgraded};
use crate::http::upgrade::Admission;
use crate::lan::trust::TrustPages;
use crate::limits;
use crate::net::accept::Accept;
use crate::net::info::ConnectionInfo;
use crate::net::machine;
use crate::outbox::{EndReason, Outbox};
use crate::peer::{Context, Observer, RateLimiter, RelayEvent, Session};
use crate::protocol;
use crate::room::{ErrorCode, Event, Rooms};
use crate::server::Server;
use crate::ws::{Connection, End, Transport};

/// One relay: its rooms, its page, and everybody who is connected to it.
///
/// A [`Server`](crate::Server) has one and listens for it. An embedder may do without: [`serve_stream`](Self::serve_stream)
/// serves a stream of one's own, [`service`](Self::service) mounts it in another HTTP server.
pub struct Relay {
    pub(crate) config: Config,
    /// What is served to browsers.
    pub(crate) page: Page,
    /// Which pages may connect.
    pub(crate) origins: OriginPolicy,
    /// How to trust the local authority, where it has one.
    pub(crate) trust: Option<Arc<TrustPages>>,
    context: Arc<Context>,
    drain: Arc<Drain>,
}

/// Builds a [`Relay`], by [`Relay::builder`].
#[must_use]
pub struct RelayBuilder {
    config: Config,
    authorizer: Arc<dyn Authorizer>,
    observer: Option<Observer>,
}

impl RelayBuilder {
    /// Asks `authorizer` before each join. Without one everybody may enter.
    pub fn authorizer(mut self, authorizer: impl Authorizer + 'static) -> Self {
        self.authorizer = Arc::new(authorizer);
        self
    }

    /// Tells `observer` what happens. It is called where it happens, so it must not block: a channel is a good place to put
    /// what takes time.
    pub fn observer(mut self, observer: impl Fn(&RelayEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// The relay, without a listener. Of the settings it heeds those that are not about listening and TLS.
    ///
    /// # Errors
    /// When a setting is wrong, or the folder of the page holds none.
    pub fn build(self) -> Result<Arc<Relay>, BindError> {
        self.build_with(None).map(Arc::new)
    }

    /// The relay with a server that listens for it.
    ///
    /// # Errors
    /// As [`Server::bind`](crate::Server::bind).
    pub async fn bind(self) -> Result<Server, BindError> {
        Server::bind_relay(self).await
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn build_with(self, trust: Option<Arc<TrustPages>>) -> Result<Relay, BindError> {
        let config = self.config;
        config.check()?;
        #[cfg(feature = "page")]
        let page = Page::new(config.web.as_deref()).map_err(BindError::Page)?;
        #[cfg(not(feature = "page"))]
        let page = Page;
        Ok(Relay {
            page,
            origins: OriginPolicy { allowed: config.allow_origin.clone(), machine_names: machine::names() },
            trust,
            context: Arc::new(Context {
                rooms: Arc::new(Rooms::new(config.room_capacity, protocol::encode)),
                authorizer: self.authorizer,
                ice_servers: config.ice_servers.clone(),
                observer: self.observer,
            }),
            drain: Arc::new(Drain::new()),
            config,
        })
    }
}

impl fmt::Debug for RelayBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Relay {
    /// Builds a relay that does what `config` says.
    pub fn builder(config: Config) -> RelayBuilder {
        RelayBuilder { config, authorizer: Arc::new(Open), observer: None }
    }

    /// Serves whatever a client on `stream` asks for: pages, then perhaps a WebSocket. A stream of a type of one's own
    /// (TLS of one's own, a tunnel) goes into [`Opaque`](crate::Opaque).
    pub async fn serve_stream<S: Transport>(self: &Arc<Self>, stream: S, connection: impl Into<ConnectionInfo>) {
        self.drain.serve(self.serve_transport(stream, connection.into())).await;
    }

    /// Serves the connections of a listener of one's own, until the relay goes away.
    pub async fn serve<L>(self: &Arc<Self>, mut listener: L)
    where
        L: Accept<Io: Transport>,
    {
        loop {
            let (stream, connection) = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.drain.wait() => return,
            };
            let relay = Arc::clone(self);
            self.drain.spawn(async move { relay.serve_transport(stream, connection).await });
        }
    }

    /// This relay as a service of another HTTP server.
    pub fn service(self: &Arc<Self>) -> RelayService {
        RelayService(Arc::clone(self))
    }

    /// How many rooms somebody is in.
    pub fn rooms(&self) -> usize {
        self.context.rooms.len()
    }

    /// How many WebSockets there are.
    pub fn connections(&self) -> usize {
        self.drain.websockets()
    }

    /// Tells every client that the relay goes away, and waits until all connections have ended,
    /// [`DRAIN_DEADLINE`](limits::DRAIN_DEADLINE) at most. What is left then is cut off. Streams that come later are refused.
    pub async fn shutdown(&self, shutdown: Shutdown) {
        self.drain.shut_down(shutdown).await;
    }

    /// As [`serve_stream`](Self::serve_stream), in a task that the [`Drain`] knows already.
    pub(crate) async fn serve_transport<S: Transport>(self: &Arc<Self>, stream: S, connection: ConnectionInfo) {
        // In a box that is gone when the WebSocket begins: it needs more than a connection that is open.
        let requests = Box::pin(service::serve(stream, connection, Arc::clone(self)));
        let mut websocket = match requests.await {
            Some(Upgraded { stream, read, admission }) => self.open_websocket(stream, &read, admission),
            None => return,
        };
        websocket.serve(self).await;
    }

    pub(crate) fn drain(&self) -> &Arc<Drain> {
        &self.drain
    }

    /// A session in no room, with all that its rate allows, and its registration.
    pub(crate) fn new_session(&self, address: Option<IpAddr>, origin: Option<&str>) -> (Session, Registration) {
        // As much as every other member's share, and then some of those who left.
        let outbox = Arc::new(Outbox::new(self.config.room_capacity * limits::SHARE_BYTES));
        let registration = self.drain.register(&outbox);
        let connection = registration.number();
        self.context.observe(|| RelayEvent::Connected { connection, address });
        let rate = RateLimiter::new(self.config.message_rate, self.config.byte_rate, Instant::now());
        (Session::new(Arc::clone(&self.context), connection, outbox, rate, address, origin), registration)
    }

    /// Who made the request with these `headers`, on a connection that may be a proxy's.
    pub(crate) fn client(&self, headers: &HeaderMap, connection: ConnectionInfo) -> Client {
        Client::from_request(headers, connection, &self.config.trusted_proxy)
    }

    /// Makes a WebSocket of `stream`, of which `read` has been read already.
    pub(crate) fn open_websocket(&self, stream: impl Transport, read: &[u8], admission: Admission) -> WebSocket {
        let Admission { client, session, registration, refused } = admission;
        let outbox = Arc::clone(session.outbox());
        let connection = Connection::new(stream, read, outbox, self.config.max_message_bytes);
        let address = client.to_string().into();
        WebSocket { connection, session, registration, address, refused, opened: Instant::now() }
    }

    /// What is said before the relay restarts: to wait, each client differently long, so that not all come back at once.
    fn goaway(&self, end: &End) -> Option<bytes::Bytes> {
        if !matches!(end, End::Told(EndReason::Restart)) {
            return None;
        }
        let (min, max) = (limits::RETRY_AFTER_MIN.as_millis() as u64, limits::RETRY_AFTER_MAX.as_millis() as u64);
        // Without randomness everybody waits as long as it may take.
        let retry_after_ms = getrandom::u64().map_or(max, |random| min + random % (max - min + 1));
        (self.context.rooms.encoder())(&Event::Goaway { retry_after_ms })
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("config", &self.config).finish_non_exhaustive()
    }
}

/// One WebSocket of a relay, with all that ends with it.
pub(crate) struct WebSocket {
    connection: Connection,
    session: Session,
    registration: Registration,
    /// The client's, for the log.
    address: Box<str>,
    /// Why its room does not take the client.
    refused: Option<ErrorCode>,
    opened: Instant,
}

impl WebSocket {
    /// Serves it until it ends. The log gets a line when it begins and one when it ends.
    pub(crate) async fn serve(&mut self, relay: &Relay) {
        let (number, place) = (self.registration.number(), place_of(&self.session));
        info!(connection = number, address = %self.address, %place, "connected");
        drop(place);
        let end = match self.refused {
            Some(code) => End::Refused { retryable: code.is_retryable() },
            None => self.connection.run(&mut self.session).await,
        };
        // In a box, since it needs more than a connection that is open.
        Box::pin(self.close(relay, end)).await;
    }

    /// Leaves the room at once, and then makes the closing handshake.
    async fn close(&mut self, relay: &Relay, end: End) {
        self.session.end(end.leave_reason(), &end.to_string());
        let (number, place) = (self.registration.number(), place_of(&self.session));
        let errors_left_out = self.session.outbox().errors_left_out();
        self.connection.close(&end, relay.goaway(&end)).await;
        let (address, after_s) = (&self.address, self.opened.elapsed().as_secs());
        if errors_left_out == 0 {
            info!(connection = number, %address, %place, after_s, why = %end, "disconnected");
        } else {
            info!(connection = number, %address, %place, after_s, why = %end, errors_left_out, "disconnected");
        }
    }
}

/// The peer's room and id, for the log. `{:?}` escapes what people wrote: nobody forges a line.
fn place_of(session: &Session) -> String {
    session.place().map_or("none".to_owned(), |(room, id)| format!("{:?}/{id}", room.as_str()))
}

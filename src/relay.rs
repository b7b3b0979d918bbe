//! The relay that a program embeds: what all its connections share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderMap;
use tokio::time::Instant;
use tracing::info;

use crate::auth::Authorizer;
use crate::auth::door::{self, KeyRing};
use crate::config::Config;
#[cfg(feature = "auth")]
use crate::config::ConfigError;
use crate::drain::{Drain, Registration, Shutdown};
use crate::error::BindError;
use crate::http::assets::Page;
use crate::http::origin::OriginPolicy;
use crate::http::proxy::{self, Client};
use crate::lan::trust::TrustPages;
use crate::limits;
use crate::net::info::ConnectionInfo;
use crate::net::machine;
use crate::outbox::Outbox;
use crate::peer::{Context, Observer, Places, RelayEvent, Session};
use crate::protocol;
use crate::quota::{Admission, Quotas, RateLimiter, Refused};
use crate::room::Rooms;

/// One relay: its rooms, its page, and its connections.
///
/// A [`Server`](crate::Server) listens for it. Without a server, [`serve_stream`](Self::serve_stream) serves a stream
/// of your own, and [`service`](Self::service) mounts the relay in another HTTP server.
pub struct Relay {
    pub(crate) config: Config,
    /// The call page.
    pub(crate) page: Page,
    /// The web pages that may connect.
    pub(crate) origins: OriginPolicy,
    /// The pages about the local authority, if there is one.
    pub(crate) trust: Option<Arc<TrustPages>>,
    /// The keys of tokens, if clients need one.
    pub(crate) keys: Option<Arc<KeyRing>>,
    context: Arc<Context>,
    drain: Arc<Drain>,
    quotas: Arc<Quotas>,
}

/// Builds a [`Relay`]; made by [`Relay::builder`].
#[must_use]
pub struct RelayBuilder {
    config: Config,
    authorizer: Option<Arc<dyn Authorizer>>,
    observer: Option<Observer>,
}

impl RelayBuilder {
    /// Asks `authorizer` before each join. Without one, every client may join, unless the [`Config`] asks for tokens or
    /// has a webhook. If it asks for tokens, they are looked at first: the request has the id and the name of the token,
    /// and whatever the token says wins over the grant.
    pub fn authorizer(mut self, authorizer: impl Authorizer + 'static) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Calls `observer` for each event. The task that causes the event calls it, so it must not block: send the event
    /// into a channel if handling it takes time.
    pub fn observer(mut self, observer: impl Fn(&RelayEvent) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// The relay, without a listener. It ignores the settings for listening and TLS.
    ///
    /// # Errors
    /// When a setting is wrong, the folder of the page has no `index.html`, or a key of tokens cannot be used.
    pub fn build(self) -> Result<Arc<Relay>, BindError> {
        self.build_with(None).map(Arc::new)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn build_with(self, trust: Option<Arc<TrustPages>>) -> Result<Relay, BindError> {
        let config = self.config;
        config.check()?;
        #[cfg(feature = "auth")]
        if self.authorizer.is_some() && config.auth_url.is_some() {
            return Err(ConfigError::TwoAuthorizers.into());
        }
        let (authorizer, keys) = door::open(&config, self.authorizer).map_err(BindError::Auth)?;
        #[cfg(feature = "page")]
        let page = Page::new(config.web.as_deref()).map_err(BindError::Page)?;
        #[cfg(not(feature = "page"))]
        let page = Page;
        proxy::warn_of_networks(&config.trusted_proxy);
        let (drain, quotas) = (Arc::new(Drain::new()), Quotas::new(&config));
        let hold = Duration::from_millis(config.hold_ms);
        Ok(Relay {
            page,
            origins: OriginPolicy { allowed: config.allow_origin.clone(), machine_names: machine::names() },
            trust,
            keys,
            context: Arc::new(Context {
                rooms: Arc::new(Rooms::new(config.room_capacity, protocol::encode)),
                places: Arc::new(Places::new(hold, Arc::clone(&drain), Arc::clone(&quotas))),
                authorizer,
                ice_servers: config.ice_servers.clone(),
                observer: self.observer,
            }),
            drain,
            quotas,
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
    /// A builder of a relay with these settings.
    pub fn builder(config: Config) -> RelayBuilder {
        RelayBuilder { config, authorizer: None, observer: None }
    }

    /// How many rooms there are. Each has at least one member.
    pub fn rooms(&self) -> usize {
        self.context.rooms.len()
    }

    /// How many WebSockets there are, including those whose upgrade is still being answered.
    pub fn connections(&self) -> usize {
        self.drain.websockets()
    }

    /// How many addresses the limits for each address know of: those that have a connection or a held place, or have used a
    /// part of their limits that has not refilled yet.
    pub fn addresses(&self) -> usize {
        self.quotas.addresses()
    }

    /// Tells every client that the relay shuts down, and waits until all connections have ended, for
    /// [`DRAIN_DEADLINE`](limits::DRAIN_DEADLINE) at most. Then it aborts those that are left. It refuses later
    /// WebSockets.
    pub async fn shutdown(&self, shutdown: Shutdown) {
        self.drain.shut_down(shutdown).await;
        self.quotas.report_left_out();
    }

    /// Reads the files of `token_secret_file` and `token_key_file` again, as [`Reloader`](crate::Reloader) does. If one of
    /// them cannot be used, the log says why, and the old keys stay.
    #[cfg(feature = "auth")]
    pub fn reload_token_keys(&self) {
        if let Some(keys) = &self.keys {
            keys.reload();
        }
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// Admits a connection; a trusted proxy's counts only among all.
    ///
    /// # Errors
    /// When a limit is reached, which the log says: the refusal, unless enough others are being written.
    pub(crate) fn admit(&self, connection: ConnectionInfo) -> Result<Arc<Admission>, Option<Refused>> {
        let ip = proxy::counted_ip(connection.ip(), &self.config.trusted_proxy);
        self.quotas.admit(ip).map_err(|excess| {
            if self.quotas.may_log_refusal(ip, excess) {
                info!(address = %connection, why = %excess, "refused a connection");
            }
            self.quotas.refuse(excess, connection)
        })
    }

    pub(crate) fn drain(&self) -> &Arc<Drain> {
        &self.drain
    }

    /// A new session in no room, with full rate limits, for the client of `admission`; and its registration.
    pub(crate) fn new_session(
        &self,
        address: Option<IpAddr>,
        origin: Option<&str>,
        admission: &Admission,
    ) -> (Session, Registration) {
        // A full share for each member of a room, and as much again for those who have left. An empty share takes a message
        // of any size.
        let share = limits::SHARE_BYTES.max(self.config.max_message_bytes);
        let outbox = Arc::new(Outbox::new(2 * self.config.room_capacity * share));
        let registration = self.drain.register(&outbox);
        let connection = registration.number();
        self.context.observe(|| RelayEvent::Connected { connection, address });
        let rate = RateLimiter::new(self.config.message_rate, self.config.byte_rate, Instant::now())
            .sharing(admission.address().cloned());
        (Session::new(Arc::clone(&self.context), connection, outbox, rate, address, origin), registration)
    }

    /// The client that made the request with these `headers`, on a connection that may be a proxy's.
    pub(crate) fn client(&self, headers: &HeaderMap, connection: ConnectionInfo) -> Client {
        Client::from_request(headers, connection, &self.config.trusted_proxy)
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("config", &self.config).finish_non_exhaustive()
    }
}

//! The relay that a program embeds, built from its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "auth")]
use tokio::time::Instant;

use tracing::warn;

use crate::auth::Authorizer;
#[cfg(not(feature = "auth"))]
use crate::auth::Open;
#[cfg(feature = "auth")]
use crate::auth::keys::KeyRing;
#[cfg(feature = "auth")]
use crate::auth::settings::AuthSettings;
#[cfg(feature = "auth")]
use crate::auth::token::Rules;
use crate::cluster::Cluster;
use crate::config::{Config, ConfigError};
use crate::drain::Shutdown;
use crate::error::BindError;
#[cfg(feature = "auth")]
use crate::events::{Events, EventsSettings};
#[cfg(feature = "page")]
use crate::http::about::About;
use crate::http::assets::Page;
use crate::http::origin::{Origin, OriginPolicy};
use crate::http::proxy;
use crate::http::site::Site;
use crate::http::trust::TrustPages;
use crate::ice::IceServers;
use crate::ice::settings::{IceError, IceSettings};
#[cfg(feature = "auth")]
use crate::ice::turn::TurnSigner;
#[cfg(feature = "auth")]
use crate::limits;
use crate::net::machine;
use crate::peer::{Hub, HubSettings, Observer, RelayEvent};
#[cfg(feature = "auth")]
use crate::room::RoomObserver;
#[cfg(feature = "wires")]
use crate::wires::{Keys, Wires};

/// One relay: its rooms, its page, and its connections.
///
/// A [`Server`](crate::Server) listens for it. Without a server, [`serve_stream`](Self::serve_stream) serves a stream
/// of your own, and [`service`](Self::service) mounts the relay in another HTTP server.
pub struct Relay {
    pub(crate) config: Config,
    pub(crate) site: Arc<Site>,
    /// The keys of tokens, if clients need one.
    #[cfg(feature = "auth")]
    pub(crate) keys: Option<Arc<KeyRing>>,
    /// The events of rooms, if an application gets them.
    #[cfg(feature = "auth")]
    pub(crate) events: Option<Arc<Events>>,
    /// Its part in a cluster, if it is one of several.
    pub(crate) cluster: Option<Cluster>,
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
        self.observer = Some(Arc::new(observer));
        self
    }

    /// The relay, without a listener. It ignores the settings for listening and TLS.
    ///
    /// # Errors
    /// When a setting is wrong, the folder of the page has no `index.html`, or a key of tokens cannot be used.
    pub fn build(self) -> Result<Arc<Relay>, BindError> {
        #[cfg(feature = "cluster")]
        if self.config.redis.is_some() {
            return Err(ConfigError::ClusterWithoutServer.into());
        }
        self.build_with(None, None).map(Arc::new)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Who hears of the events.
    #[cfg(feature = "cluster")]
    pub(crate) fn observer_of_events(&self) -> Option<Observer> {
        self.observer.clone()
    }

    pub(crate) fn build_with(
        self,
        trust: Option<Arc<TrustPages>>,
        cluster: Option<Cluster>,
    ) -> Result<Relay, BindError> {
        let config = self.config;
        config.check()?;
        #[cfg(feature = "auth")]
        if self.authorizer.is_some() && config.auth_url.is_some() {
            return Err(ConfigError::TwoAuthorizers.into());
        }
        #[cfg(feature = "wires")]
        let peerjs_keys = peerjs_keys(&config, self.authorizer.is_some());
        #[cfg(feature = "auth")]
        let (authorizer, keys) = AuthSettings {
            token_secret_files: &config.token_secret_file,
            token_key_files: &config.token_key_file,
            token_key_sets: &config.token_jwks,
            token_rules: Rules {
                audiences: config.token_audience.clone(),
                issuers: config.token_issuer.clone(),
                room_claim: config.token_room_claim.clone(),
                any_room: config.token_any_room,
                resume_after_exp: Duration::from_secs(config.resume_after_exp),
            },
            webhook: config.auth_url.as_ref(),
            authorities: config.auth_ca.as_deref(),
        }
        .open(self.authorizer)
        .map_err(BindError::Auth)?;
        #[cfg(not(feature = "auth"))]
        let authorizer = self.authorizer.unwrap_or_else(|| Arc::new(Open));
        #[cfg(feature = "page")]
        let page = Page::new(config.web.as_deref()).map_err(BindError::Page)?;
        #[cfg(not(feature = "page"))]
        let page = Page;
        proxy::warn_of_networks(&config.trusted_proxy);
        if config.allow_origin.contains(&Origin::Any) {
            warn!("--allow-origin *: the pages of every web site may connect, with whoever looks at them");
        }
        #[cfg(feature = "auth")]
        let events = open_events(&config)?;
        #[cfg(feature = "auth")]
        let room_observer = events.clone().map(|events| events as Arc<dyn RoomObserver>);
        #[cfg(not(feature = "auth"))]
        let room_observer = None;
        let settings = HubSettings {
            room_capacity: config.room_capacity,
            max_message_bytes: config.max_message_bytes,
            hold: Duration::from_millis(config.hold_ms),
            ice_servers: open_ice_servers(&config)?,
            candidate_policy: config.candidate_policy,
            quotas: (&config).into(),
            room_observer,
            #[cfg(feature = "cluster")]
            directory: cluster.as_ref().map(|cluster| Arc::clone(cluster.directory())),
        };
        #[cfg(all(feature = "page", feature = "auth"))]
        let needs_token = keys.is_some();
        #[cfg(all(feature = "page", not(feature = "auth")))]
        let needs_token = false;
        let site = Site {
            hub: Hub::new(settings, authorizer, self.observer),
            page,
            #[cfg(feature = "page")]
            about: About::new(needs_token),
            #[cfg(feature = "wires")]
            wires: Wires::new(&config.wires, peerjs_keys),
            origins: OriginPolicy { allowed: config.allow_origin.clone(), machine_names: machine::names() },
            may_frame: config.allow_frame.clone(),
            trusted_proxies: config.trusted_proxy.clone(),
            auth_headers: config.auth_header.clone(),
            trust,
        };
        Ok(Relay {
            config,
            site: Arc::new(site),
            #[cfg(feature = "auth")]
            keys,
            #[cfg(feature = "auth")]
            events,
            cluster,
        })
    }
}

/// What the keys of clients of PeerJS mean. `has_authorizer` says whether the program decides who may join.
#[cfg(feature = "wires")]
fn peerjs_keys(config: &Config, has_authorizer: bool) -> Keys {
    #[cfg(feature = "auth")]
    let has_authorizer = has_authorizer || config.needs_tokens() || config.auth_url.is_some();
    match config.peerjs_key.as_slice() {
        [] if has_authorizer => Keys::Tokens,
        [] => Keys::Any,
        keys => Keys::Only(keys.to_vec()),
    }
}

/// The events of rooms, if the settings name an application that gets them.
#[cfg(feature = "auth")]
fn open_events(config: &Config) -> Result<Option<Arc<Events>>, BindError> {
    let Some(url) = &config.events_url else { return Ok(None) };
    let (secret_files, authorities) = (config.events_secret_file.as_slice(), config.events_ca.as_deref());
    let opened = Events::open(&EventsSettings { url, secret_files, authorities });
    opened.map(|events| Some(Arc::new(events))).map_err(BindError::Events)
}

/// The STUN and TURN servers by the settings.
///
/// # Errors
/// When the list is wrong, or a file cannot be used.
pub(crate) fn open_ice_servers(config: &Config) -> Result<IceServers, BindError> {
    let settings = IceSettings {
        stun: &config.stun,
        list: &config.ice_servers,
        file: config.ice_servers_file.as_deref(),
        policy: config.candidate_policy,
    };
    #[cfg(feature = "auth")]
    let opened = {
        let (urls, files) = (config.turn.clone(), config.turn_secret_file.clone());
        let signer = (!urls.is_empty()).then(|| TurnSigner::open(urls, files, config.turn_ttl)).transpose();
        settings.open(signer.map_err(BindError::Ice)?)
    };
    #[cfg(not(feature = "auth"))]
    let opened = settings.open();
    opened.map_err(|error| match error {
        IceError::File(error) => BindError::Ice(error.context("--ice-servers")),
        IceError::List(error) => ConfigError::IceServers(error).into(),
        IceError::StunCredentials(server) => ConfigError::StunCredentials { server }.into(),
        IceError::NoTurn => ConfigError::RelayWithoutTurn.into(),
    })
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

    /// How many rooms there are. Each has at least one member, or was made ahead of time.
    pub fn rooms(&self) -> usize {
        self.hub().rooms.len()
    }

    /// How many WebSockets there are, including those whose upgrade is still being answered.
    pub fn connections(&self) -> usize {
        self.hub().drain.websockets()
    }

    /// How many addresses the limits for each address know of: those that have a connection or a held place, or have used a
    /// part of their limits that has not refilled yet.
    pub fn addresses(&self) -> usize {
        self.hub().quotas.addresses()
    }

    /// Tells every client that the relay shuts down, and waits until all connections have ended, for
    /// [`DRAIN_DEADLINE`](crate::limits::DRAIN_DEADLINE) at most. Then it aborts those that are left. It refuses later
    /// WebSockets. The events of rooms are sent within that time too, as far as they fit.
    pub async fn shutdown(&self, shutdown: Shutdown) {
        // First, so that its rooms are free for the others when its clients look for them.
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster {
            cluster.leave().await;
        }
        #[cfg(feature = "auth")]
        let until = Instant::now() + limits::DRAIN_DEADLINE;
        #[cfg(feature = "auth")]
        self.events.iter().for_each(|events| events.hurry());
        self.hub().drain.shut_down(shutdown).await;
        self.hub().quotas.report_left_out();
        #[cfg(feature = "auth")]
        if let Some(events) = &self.events {
            events.finish(until).await;
        }
    }

    /// Reads the files of `token_secret_file` and `token_key_file` again, as [`Reloader`](crate::Reloader) does. If one of
    /// them cannot be used, the log says why, and the old keys stay. Who came with a token of a key that is gone stays
    /// connected, but has no way back after a lost connection; places that are held so end.
    #[cfg(feature = "auth")]
    pub fn reload_token_keys(&self) {
        if let Some(keys) = &self.keys {
            keys.reload();
            self.hub().resumptions.give_up_those_without_a_way_back();
        }
    }

    /// Reads the files of `turn_secret_file` again, as [`Reloader`](crate::Reloader) does: who joins from now on, comes back or
    /// asks, gets credentials by the new secret. If one cannot be used, the log says why, and the old secret goes on. Returns
    /// whether there are any.
    #[cfg(feature = "auth")]
    pub fn reload_turn_secrets(&self) -> bool {
        self.hub().ice_servers.reload()
    }

    /// Reads the files of `events_secret_file` again, as [`Reloader`](crate::Reloader) does. If one cannot be used, the log says
    /// why, and the old secrets go on. Returns whether there are any.
    #[cfg(feature = "auth")]
    pub fn reload_events_secrets(&self) -> bool {
        self.events.as_ref().is_some_and(|events| events.reload())
    }

    /// What all its sessions share.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.site.hub
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("config", &self.config).finish_non_exhaustive()
    }
}

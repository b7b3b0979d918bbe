//! What all connections share; independent of how they arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::HeaderMap;
use tokio::time::Instant;

use crate::config::Config;
use crate::drain::ShutdownSignal;
use crate::http::assets::Page;
use crate::http::origin::OriginPolicy;
use crate::http::proxy::Client;
use crate::lan::trust::TrustPages;
use crate::limits::Allowance;
use crate::net::info::Arrival;
use crate::peer::outbox::Outbox;
use crate::peer::session::Session;
use crate::room::table::Rooms;

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
    /// How to trust the local authority, where it has one.
    pub trust: Option<Arc<TrustPages>>,
    /// Whether the relay is going away.
    pub shutdown: ShutdownSignal,
    connections: AtomicU64,
}

impl Relay {
    /// A relay without rooms, that does what `config` says; `loopback_only` when nobody but this machine can reach it.
    ///
    /// # Errors
    /// When a setting is wrong, or the folder of the page holds none.
    pub fn new(config: Config, loopback_only: bool, shutdown: ShutdownSignal) -> anyhow::Result<Self> {
        config.check()?;
        Ok(Self {
            rooms: Arc::new(Rooms::new(config.room_capacity, config.ice_servers.clone())),
            #[cfg(feature = "page")]
            page: Page::new(config.web.as_deref())?,
            #[cfg(not(feature = "page"))]
            page: Page,
            origins: OriginPolicy { allowed: config.allow_origin.clone(), loopback_only },
            trust: None,
            connections: AtomicU64::new(0),
            config,
            shutdown,
        })
    }

    /// Who made the request with these `headers`, on a connection that may be a proxy's.
    pub fn client(&self, headers: &HeaderMap, arrival: Arrival) -> Client {
        Client::of(headers, arrival, &self.config.trusted_proxy)
    }

    /// The number of one more WebSocket, to tell its lines in the log from those of others.
    pub fn count_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A session in no room, with an empty outbox and a full allowance.
    pub fn new_session(&self) -> Session {
        let outbox = Arc::new(Outbox::new(self.config.max_message_bytes));
        let allowance = Allowance::new(self.config.message_rate, self.config.byte_rate, Instant::now());
        Session::new(Arc::clone(&self.rooms), outbox, allowance)
    }
}

//! What all sessions of a relay share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::observer::{Events, Observer, RelayEvent};
use super::resume::Resumptions;
use crate::auth::{Answer, Authorizer, Denial, JoinRequest};
use crate::budget::Purse;
#[cfg(feature = "cluster")]
use crate::cluster::directory::Directory;
use crate::drain::Drain;
use crate::ice::{CandidatePolicy, IceServers};
use crate::limits::{self, AUTHORIZE_DEADLINE};
use crate::metrics::Metrics;
use crate::outbox::{ConnectionId, Outbox, Sender};
use crate::protocol;
use crate::quota::{QuotaSettings, Quotas};
use crate::room::{RoomObserver, RoomSettings, Rooms};
#[cfg(feature = "wires")]
use crate::wire::Wire;

/// The settings of what all sessions share.
#[derive(Debug, Clone)]
pub(crate) struct HubSettings {
    /// The most members of a room.
    pub room_capacity: usize,
    /// The largest message in bytes.
    pub max_message_bytes: usize,
    /// For how long the place of a client is held whose connection is lost; zero means not at all.
    pub hold: Duration,
    /// The STUN and TURN servers for clients that join.
    pub ice_servers: IceServers,
    /// Which candidates clients should use.
    pub candidate_policy: CandidatePolicy,
    /// How much the clients may use.
    pub quotas: QuotaSettings,
    /// Who hears of the changes of rooms.
    pub room_observer: Option<Arc<dyn RoomObserver>>,
    /// Says where rooms live, if this relay is one of several.
    #[cfg(feature = "cluster")]
    pub directory: Option<Arc<Directory>>,
}

/// What all sessions of a relay share.
pub(crate) struct Hub {
    /// The rooms and their members.
    pub rooms: Arc<Rooms>,
    /// The places that survive a lost connection.
    pub resumptions: Arc<Resumptions>,
    /// Decides who may join.
    pub authorizer: Arc<dyn Authorizer>,
    /// The STUN and TURN servers for clients whose [`Grant`](crate::auth::Grant) names none.
    pub ice_servers: IceServers,
    /// Where the relay's events go.
    events: Arc<Events>,
    /// Says where rooms live, if this relay is one of several.
    #[cfg(feature = "cluster")]
    pub directory: Option<Arc<Directory>>,
    /// The connections, and the signal that ends them.
    pub drain: Arc<Drain>,
    /// How much the clients may use, and do.
    pub quotas: Arc<Quotas>,
    /// The application's own server as the cause of messages. No connection has its number.
    #[cfg(feature = "admin")]
    pub server: Sender,
    /// What is counted.
    pub metrics: Metrics,
    /// The largest message in bytes.
    pub max_message_bytes: usize,
    /// How many connections there were, to number them.
    connections: AtomicU64,
    /// Bytes of peers' messages that may wait for one client.
    outbox_bytes: usize,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            room_capacity: limits::ROOM_CAPACITY,
            max_message_bytes: limits::MESSAGE_BYTES,
            hold: Duration::from_millis(limits::HOLD_MS),
            ice_servers: IceServers::default(),
            candidate_policy: CandidatePolicy::default(),
            quotas: QuotaSettings::default(),
            room_observer: None,
            #[cfg(feature = "cluster")]
            directory: None,
        }
    }
}

impl Hub {
    /// A hub without rooms and connections. `authorizer` decides who may join, and `observer` gets the events.
    pub(crate) fn new(settings: HubSettings, authorizer: Arc<dyn Authorizer>, observer: Option<Observer>) -> Arc<Self> {
        let HubSettings {
            room_capacity,
            max_message_bytes,
            hold,
            ice_servers,
            candidate_policy,
            quotas,
            room_observer,
            #[cfg(feature = "cluster")]
            directory,
        } = settings;
        #[cfg(feature = "cluster")]
        let owned = directory.as_ref().map(|directory| Arc::clone(directory.owned()));
        #[cfg(not(feature = "cluster"))]
        let owned = None;
        let rooms = RoomSettings {
            capacity: room_capacity,
            max_message_bytes,
            candidate_policy,
            encode: protocol::encode,
            observer: room_observer,
            owned,
        };
        let (drain, quotas, events) = (Arc::new(Drain::new()), Quotas::new(&quotas), Arc::new(Events::new(observer)));
        let resumptions = Resumptions::new(hold, Arc::clone(&drain), Arc::clone(&quotas), Arc::clone(&events));
        #[cfg(feature = "cluster")]
        let resumptions = match &directory {
            Some(directory) => resumptions.with_prefix(format!("{}-", directory.process())),
            None => resumptions,
        };
        Arc::new(Self {
            rooms: Arc::new(Rooms::new(rooms)),
            resumptions: Arc::new(resumptions),
            authorizer,
            ice_servers,
            events,
            #[cfg(feature = "cluster")]
            directory,
            drain,
            #[cfg(feature = "admin")]
            server: Sender::new(ConnectionId::new(0), quotas.server()),
            quotas,
            metrics: Metrics::default(),
            max_message_bytes,
            connections: AtomicU64::new(0),
            // A full share for each member of a room, and as much again for those who have left. An empty share takes a
            // message of any size.
            outbox_bytes: 2 * room_capacity * limits::SHARE_BYTES.max(max_message_bytes),
        })
    }

    /// An outbox for a new connection of a client at `address`, whose messages are charged to `purse`.
    pub(crate) fn new_outbox(&self, purse: &Arc<Purse>, address: Option<IpAddr>) -> Arc<Outbox> {
        Arc::new(Outbox::of(self.new_sender(purse), self.outbox_bytes).at(address))
    }

    /// The same, for a client that speaks this wire of another library, and `max_bytes` of others' messages.
    #[cfg(feature = "wires")]
    pub(crate) fn new_outbox_on(
        &self,
        wire: Wire,
        purse: &Arc<Purse>,
        address: Option<IpAddr>,
        max_bytes: usize,
    ) -> Arc<Outbox> {
        Arc::new(Outbox::of(self.new_sender(purse), max_bytes).at(address).on(wire))
    }

    fn new_sender(&self, purse: &Arc<Purse>) -> Sender {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        Sender::new(ConnectionId::new(number), Arc::clone(purse))
    }

    /// Asks the authorizer whether a client may join. A pending answer becomes `unavailable` after
    /// [`AUTHORIZE_DEADLINE`].
    pub(crate) fn authorize(&self, request: &JoinRequest) -> Answer {
        let chosen = request.id.clone();
        match self.authorizer.authorize(request) {
            Answer::Now(answer) => Answer::Now(answer.map(|grant| grant.for_one_who_chose(chosen.as_ref()))),
            Answer::Later(decision) => Answer::Later(Box::pin(async move {
                let late = || Denial::Unavailable("the decision on this join took too long".into());
                let answer = timeout(AUTHORIZE_DEADLINE, decision).await.unwrap_or_else(|_| Err(late()));
                answer.map(|grant| grant.for_one_who_chose(chosen.as_ref()))
            })),
        }
    }

    /// Sends an event to the observer, if there is one.
    pub(crate) fn observe(&self, event: impl FnOnce() -> RelayEvent) {
        self.events.observe(event);
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("rooms", &self.rooms.len()).finish_non_exhaustive()
    }
}

//! Many relays as one: a room lives on one of them, and the others are doors to it.
//!
//! Redis says where a room lives, and which relays there are. No message goes through it. Who owns a name is decided by one
//! command of Redis; everything else here is what a relay does so that this stays true:
//!
//! - [`directory`] claims a room for this relay, or says which one has it. It takes a room over whose relay is dead.
//! - [`lease`] says every second that this relay lives.
//! - [`assertions`] says again and again which rooms it has, and lets go of those that another one has.
//! - [`caution`] says when what is missing in Redis may just have been forgotten.
//! - [`questions`] asks once for all who want to know the same.
//! - [`scan`] finds the other relays, which [`relays`] knows, and [`trial`] tries whether they are reached.
//! - [`survey`] asks them for a room while Redis is away.
//!
//! They ask a [`store::Store`], which is [`redis`], or a fake in tests.

pub(crate) mod alive;
mod assertions;
mod caution;
#[cfg(feature = "admin")]
pub(crate) mod counts;
pub(crate) mod dial;
pub(crate) mod directory;
pub(crate) mod door;
#[cfg(test)]
mod explored;
#[cfg(test)]
pub(crate) mod fake;
pub(crate) mod identity;
mod lease;
pub(crate) mod line;
pub(crate) mod notice;
pub(crate) mod paths;
pub(crate) mod questions;
mod recent;
mod redis;
pub(crate) mod relays;
mod scan;
pub(crate) mod settings;
mod store;
mod survey;
mod trial;
pub(crate) mod tunnel;
pub(crate) mod way;

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::info;

use crate::limits::{ASSERTIONS_UNDER_WAY, RELEASE_DEADLINE};
use crate::room::{Owned, Ownership, Rooms};
use assertions::Assertions;
use caution::Caution;
use directory::Directory;
use door::Doors;
use identity::Identity;
use notice::Notices;
use redis::Redis;
use relays::Neighbour;
use scan::Scan;
use settings::ClusterSettings;
use store::{RoomKey, Store};

/// A task that runs until the cluster is left.
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// This relay's part in a cluster. Its tasks end when it is dropped.
pub(crate) struct Cluster {
    directory: Arc<Directory>,
    redis: Arc<Redis>,
    own: Arc<Neighbour>,
    /// The certificate of this process, and where it listens for other relays, until that port is opened.
    entrance: Mutex<Option<Entrance>>,
    notices: Notices,
    /// Those that keep the connections to Redis.
    links: Tasks,
    /// Those that say what is here.
    speakers: Tasks,
}

/// What other relays meet.
pub(crate) struct Entrance {
    /// The certificate of this process.
    pub identity: Identity,
    /// Where it listens for other relays.
    pub listener: TcpListener,
}

/// Tasks that end when this is dropped.
#[derive(Default)]
struct Tasks(Mutex<Vec<AbortHandle>>);

impl Tasks {
    fn spawn(&self, task: Task) {
        let task = tokio::spawn(task).abort_handle();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    fn end(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

impl Cluster {
    /// Connects to Redis, or waits for it in a task of its own. The relay is known as `own`, which others
    /// meet at the `entrance`, and owns the names in `owned`.
    ///
    /// # Errors
    /// When a setting is wrong, or Redis is there and will not do.
    pub(crate) async fn open(
        settings: &ClusterSettings,
        own: Neighbour,
        entrance: Entrance,
        owned: Arc<Owned>,
        notices: Notices,
    ) -> anyhow::Result<Self> {
        let (caution, links) = (Arc::new(Caution::default()), Tasks::default());
        let redis = Redis::open(settings, Arc::clone(&caution), notices.clone(), |task| links.spawn(task)).await?;
        let store: Arc<dyn Store> = Arc::clone(&redis) as _;
        let own = Arc::new(own);
        let directory = Directory::new(Arc::clone(&own), store, caution, Arc::default(), owned);
        directory.open_doors(Arc::new(Doors::new(&entrance.identity)?));
        let (directory, entrance) = (Arc::new(directory), Mutex::new(Some(entrance)));
        Ok(Self { directory, redis, own, entrance, notices, links, speakers: Tasks::default() })
    }

    /// Says from now on that the relay lives and which rooms it has.
    pub(crate) fn begin(&self, rooms: Arc<Rooms>) {
        let Directory { store, caution, relays, .. } = &*self.directory;
        let (store, caution, own) = (Arc::clone(store), Arc::clone(caution), Arc::clone(&self.own));
        let scan = Scan::new(
            Arc::clone(&store),
            Arc::clone(&caution),
            Arc::clone(relays),
            Arc::clone(&own),
            self.notices.clone(),
        );
        self.speakers.spawn(Box::pin(lease::renew(store, caution, own)));
        self.speakers.spawn(Box::pin(scan.run()));
        let assertions = Assertions::new(Arc::clone(&self.directory), rooms, self.notices.clone());
        self.speakers.spawn(Box::pin(assertions.run()));
    }

    /// What other relays meet, for whoever opens that; none if somebody has it already.
    pub(crate) fn take_entrance(&self) -> Option<Entrance> {
        self.entrance.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Tries from now on whether this relay is reached where it says, and reaches the others by `doors`.
    pub(crate) fn try_ways(&self, doors: Arc<Doors>) {
        self.speakers.spawn(Box::pin(trial::run(doors, Arc::clone(&self.directory), Arc::clone(&self.own))));
    }

    /// Where other relays reach this one.
    pub(crate) fn address(&self) -> SocketAddr {
        self.own.address
    }

    /// Says where rooms live.
    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Whether Redis has ever been reached.
    pub(crate) fn was_reached(&self) -> bool {
        self.redis.was_reached()
    }

    /// Leaves the cluster before the relay shuts down: its rooms are free for the other relays, as far as
    /// [`RELEASE_DEADLINE`] allows.
    pub(crate) async fn leave(&self) {
        self.directory.drain();
        self.speakers.end();
        let (store, process) = (&self.directory.store, self.own.process);
        let owned = self.directory.owned.all();
        let leaves = async {
            let release = |ownership: &Arc<Ownership>| store.release(RoomKey::from(ownership.room()), process);
            let rooms: Vec<_> = owned.iter().map(release).collect();
            let released = stream::iter(rooms).buffer_unordered(ASSERTIONS_UNDER_WAY);
            released.for_each(|_| std::future::ready(())).await;
            let _ = store.forget(&process.to_string()).await;
            store.end_lease(process).await
        };
        let is_done = timeout(RELEASE_DEADLINE, leaves).await.is_ok_and(|left| left.is_ok());
        info!(rooms = owned.len(), is_done, "left the cluster");
        self.links.end();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("own", &self.own).finish_non_exhaustive()
    }
}

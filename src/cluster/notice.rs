//! What happens to a cluster, for the program that embeds the relay.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::room::names::RoomName;

/// What happens to a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Redis is away, for this reason.
    RedisIsAway {
        /// A sentence.
        why: String,
    },
    /// Redis is there again.
    RedisIsBack,
    /// Another relay of the cluster is there.
    RelayIsThere {
        /// Where its port for other relays is reached.
        address: SocketAddr,
    },
    /// Another relay of the cluster is there no more.
    RelayIsGone {
        /// Where its port for other relays was reached.
        address: SocketAddr,
    },
    /// This relay has let go of a room that another one has.
    LetGo {
        /// The room.
        room: RoomName,
    },
}

/// Where the notices go.
#[derive(Clone)]
pub(crate) struct Notices(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Notices {
    /// They go to `listener`, which must not block.
    pub(crate) fn new(listener: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells of this.
    pub(crate) fn tell(&self, notice: &Notice) {
        (self.0)(notice);
    }
}

//! The events of a relay, for the program that embeds it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::panics;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{ErrorCode, LeaveReason};
#[cfg(feature = "wires")]
use crate::wire::Wire;

/// Gets the events of a relay. It is called by the task that causes the event, so it must not block.
pub(crate) type Observer = Arc<dyn Fn(&RelayEvent) + Send + Sync>;

/// Where the events of a relay go.
#[derive(Default)]
pub(crate) struct Events(Option<Observer>);

impl Events {
    /// They go to `observer`, if there is one.
    pub(crate) fn new(observer: Option<Observer>) -> Self {
        Self(observer)
    }

    /// Sends an event to the observer, if there is one. A panic of the observer ends here: a session also sends events
    /// while it is dropped because of another panic, and a second panic would abort the process.
    pub(crate) fn observe(&self, event: impl FnOnce() -> RelayEvent) {
        if let Some(observer) = &self.0 {
            panics::call("the observer", || observer(&event()));
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.0.is_some()).finish()
    }
}

/// An event of a relay. The events of a connection end with [`Disconnected`](Self::Disconnected), unless the process is
/// killed, or the client keeps its place when the connection is lost ([`Away`](Self::Away)).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RelayEvent {
    /// A client asks for a WebSocket, and its origin may connect. Its upgrade may still be refused or lost.
    Connected {
        /// The number of the connection, unique in this relay.
        connection: u64,
        /// The client's address, if it is known.
        address: Option<IpAddr>,
        /// The wire that it speaks (feature `wires`); none if that is the relay's own.
        #[cfg(feature = "wires")]
        wire: Option<Wire>,
    },
    /// A client joined a room.
    Joined {
        /// The number of its connection.
        connection: u64,
        /// The room.
        room: RoomName,
        /// The client's id there.
        id: PeerId,
        /// The client's display name.
        name: Option<PeerName>,
    },
    /// A client was not let into a room: at once, or after it had waited at a locked one. Not of one that is in a room already.
    /// A topic of another library's wire counts as the room `WIRE/TOPIC`, and all of PeerJS as `peerjs/`.
    JoinRefused {
        /// The number of its connection.
        connection: u64,
        /// The client's address, if it is known.
        address: Option<IpAddr>,
        /// The room; none if the join was not valid.
        room: Option<RoomName>,
        /// The reason, for programs.
        code: ErrorCode,
        /// The reason as a sentence, as the client got it.
        message: String,
    },
    /// A client left a room.
    Left {
        /// The number of its connection, or of the last one if it was away.
        connection: u64,
        /// The room.
        room: RoomName,
        /// The client's id there.
        id: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// A client lost its connection, and keeps its place: [`Back`](Self::Back) or [`Left`](Self::Left) follows. Also when
    /// another connection of the client takes the place over.
    Away {
        /// The number of its connection.
        connection: u64,
        /// The room.
        room: RoomName,
        /// The client's id there.
        id: PeerId,
    },
    /// A client has its place again.
    Back {
        /// The number of its new connection.
        connection: u64,
        /// The room.
        room: RoomName,
        /// The client's id there.
        id: PeerId,
    },
    /// The Redis of the cluster is away: rooms that are open go on, and new ones wait until it is back.
    RedisIsAway {
        /// Why, as the log says it.
        why: String,
    },
    /// The Redis of the cluster is there again.
    RedisIsBack,
    /// Another relay of the cluster is there.
    RelayIsThere {
        /// Where other relays reach it.
        address: SocketAddr,
    },
    /// Another relay of the cluster is there no more: its rooms come to those relays where somebody joins them.
    RelayIsGone {
        /// Where other relays reached it.
        address: SocketAddr,
    },
    /// Another relay of the cluster has this room: its members are told to come again.
    LetGo {
        /// The room.
        room: RoomName,
    },
    /// A connection has ended.
    Disconnected {
        /// The number of the connection.
        connection: u64,
        /// Why, as the log says it.
        why: String,
    },
}

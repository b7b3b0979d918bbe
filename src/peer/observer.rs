//! The events of a relay, for the program that embeds it.

use std::net::IpAddr;

use crate::room::LeaveReason;
use crate::room::names::{PeerId, PeerName, RoomName};

/// Gets the events of a relay. It is called by the task that causes the event, so it must not block.
pub(crate) type Observer = Box<dyn Fn(&RelayEvent) + Send + Sync>;

/// An event of a relay. The events of a connection end with [`Disconnected`](Self::Disconnected), unless the process is
/// killed, or the client keeps its place when the connection is lost ([`Away`](Self::Away)).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RelayEvent {
    /// A client asks for a WebSocket, and its origin may connect. Its upgrade may still be refused or lost.
    Connected {
        /// The number of the connection, unique in this process.
        connection: u64,
        /// The client's address, if it is known.
        address: Option<IpAddr>,
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
    /// A connection has ended.
    Disconnected {
        /// The number of the connection.
        connection: u64,
        /// Why, as the log says it.
        why: String,
    },
}

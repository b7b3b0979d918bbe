//! What happens at a relay, for whoever embeds it.

use std::net::IpAddr;

use crate::room::LeaveReason;
use crate::room::names::{PeerId, PeerName, RoomName};

/// Hears what happens at a relay. It is called where it happens, so it must not block.
pub(crate) type Observer = Box<dyn Fn(&RelayEvent) + Send + Sync>;

/// What happens at a relay. Not all that begins is seen to end: a process that is killed says nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RelayEvent {
    /// A WebSocket is there.
    Connected {
        /// Its number, which tells it from all others of this relay.
        connection: u64,
        /// The client's address, as far as it is known.
        address: Option<IpAddr>,
    },
    /// It entered a room.
    Joined {
        /// Its number.
        connection: u64,
        /// The room.
        room: RoomName,
        /// Its id there.
        id: PeerId,
        /// What people call it.
        name: Option<PeerName>,
    },
    /// It left a room.
    Left {
        /// Its number.
        connection: u64,
        /// The room.
        room: RoomName,
        /// Its id there.
        id: PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// It has ended.
    Disconnected {
        /// Its number.
        connection: u64,
        /// Why, in words.
        why: String,
    },
}

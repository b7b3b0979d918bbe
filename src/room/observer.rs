//! Who hears of each change of the rooms, for others than their members.

use std::fmt::Debug;

use serde::Serialize;

use super::event::LeaveReason;
use super::names::{PeerId, PeerName, RoomName};
use crate::metrics::CallReport;

/// Hears of each change of a room while the room is locked, and so in the order in which they happen: also when a room
/// ends and another one has its name. So it must take little time, whatever there is, and wait for nothing.
pub(crate) trait RoomObserver: Debug + Send + Sync {
    /// `change` has happened in `room`.
    fn observe(&self, room: &RoomName, change: &RoomChange<'_>);
}

/// A change of a room. Exactly one [`Left`](Self::Left) follows each [`Joined`](Self::Joined).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum RoomChange<'a> {
    /// A client has become a member.
    Joined {
        /// Its id.
        id: &'a PeerId,
        /// Its display name.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a PeerName>,
        /// Whether the authorizer vouches for its id.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        verified: bool,
    },
    /// A member is none any more.
    Left {
        /// Its id.
        id: &'a PeerId,
        /// Why.
        reason: LeaveReason,
    },
    /// The room has a new host, or its first one.
    Host {
        /// Its id.
        id: &'a PeerId,
    },
    /// The last member has left.
    RoomEmpty,
    /// A member reports that its call is there, or failed.
    Call {
        /// Its id.
        id: &'a PeerId,
        /// Whom the call is with, if that is a member.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a PeerId>,
        /// What became of the call.
        #[serde(flatten)]
        report: CallReport,
    },
}

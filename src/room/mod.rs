//! Rooms: their members, and what each member is told.
//!
//! `room.rs` is one room, and `table.rs` all of them. `door.rs` and `password.rs` decide who may enter, `rank.rs` who is the
//! host, and `host.rs` carries out what the host wants. `suspend.rs` is about members whose connection is lost.
//!
//! A room sends [`Event`]s to its members. An [`Encoder`](event::Encoder) encodes each event once, however many members
//! receive it. This module knows nothing about JSON.

mod deferred;
mod door;
pub(crate) mod event;
mod held_offer;
mod host;
mod member;
pub mod names;
mod password;
mod rank;
mod role;
#[allow(clippy::module_inception, reason = "one room, in the module of all rooms")]
mod room;
mod state;
mod suspend;
mod table;

pub(crate) use deferred::{Blocked, Flushes, Relayed};
pub use event::{
    ErrorCode, Event, HostCommand, IceServers, LeaveReason, Peer, Refusal, ResumeOffer, Signal, SignalKind, View,
};
pub(crate) use member::Entrant;
pub use role::Role;
pub(crate) use suspend::{Absence, ResumeError, Returning};
pub(crate) use table::{Entered, Knock, Membership, Rooms};

#[cfg(test)]
mod tests;

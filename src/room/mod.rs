//! Rooms: their members, and what each member is told.
//!
//! `table.rs` is all rooms. `room.rs` is one of them while it is locked: each of the files above it in the list below is
//! something that a client may do there. `door.rs` and `password.rs` decide who may enter, `rank.rs` who is the host, and
//! `reserve.rs` whether there is room for the messages about that.
//!
//! A room sends [`Event`]s to its members. An [`Encoder`](event::Encoder) encodes each event once, however many members
//! receive it.

mod enter;
mod host;
mod knocks;
mod relay;
mod suspend;

mod reserve;
mod table;

#[allow(clippy::module_inception, reason = "one room, in the module of all rooms")]
mod room;

mod deferred;
mod door;
pub(crate) mod event;
mod held_offer;
mod member;
pub mod names;
mod password;
mod rank;
mod refusal;
mod role;
mod state;

pub(crate) use deferred::{Deferred, OnRemoved};
pub use event::{Event, HostCommand, IceServers, LeaveReason, Peer, ResumeOffer, Signal, SignalKind, View};
pub(crate) use knocks::Knock;
pub(crate) use member::PendingMember;
pub(crate) use refusal::JoinError;
pub use refusal::{ErrorCode, Refusal};
pub(crate) use relay::{Blocked, Relayed};
pub use role::Role;
pub(crate) use suspend::Returning;
pub(crate) use table::{Membership, Rooms};

#[cfg(test)]
mod tests;

//! Rooms: their members, and what each member is told.
//!
//! `room.rs` is one room, and `table.rs` all of them. `door.rs` and `password.rs` decide who may enter, `host.rs` who is the
//! host, and `hosting.rs` carries out what the host wants. `returning.rs` is about members whose connection is lost.
//!
//! A room sends [`Event`]s to its members. An [`Encoder`](event::Encoder) encodes each event once, however many members
//! receive it. This module knows nothing about JSON.

mod delivery;
mod door;
mod entrant;
pub(crate) mod event;
mod held;
mod host;
mod hosting;
pub mod names;
mod password;
mod returning;
mod role;
#[allow(clippy::module_inception, reason = "one room, in the module of all rooms")]
mod room;
mod state;
mod table;

pub(crate) use delivery::{Blocked, Flushes};
pub(crate) use entrant::Entrant;
pub use event::{
    ErrorCode, Event, HostCommand, IceServers, LeaveReason, Peer, Refusal, ResumeOffer, Signal, SignalKind, View,
};
pub(crate) use returning::{Absence, ResumeError, Returning};
pub use role::Role;
pub(crate) use table::{Entered, Knock, Membership, Rooms};

//! Rooms: their members, and what each member is told.
//!
//! A room sends [`Event`]s to its members. An [`Encoder`](event::Encoder) encodes each event once, however many members
//! receive it. This module knows nothing about JSON.

mod delivery;
pub(crate) mod event;
mod held;
pub mod names;
#[allow(clippy::module_inception, reason = "one room, in the module of all rooms")]
mod room;
mod table;

pub(crate) use delivery::{Blocked, Flushes};
pub use event::{ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, ResumeOffer, Signal, SignalKind};
pub(crate) use room::{Entrant, ResumeError, Returning};
pub(crate) use table::{Membership, Rooms};

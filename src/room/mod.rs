//! Who is where, and who hears what.
//!
//! A room tells its members [`Event`]s. What an event looks like on the wire is the business of an [`Encoder`](event::Encoder), which each
//! event passes once, however many hear it: this floor knows nothing of JSON.

mod delivery;
pub(crate) mod event;
mod held;
pub mod names;
#[allow(clippy::module_inception, reason = "the room, on the floor of rooms")]
mod room;
mod table;

pub(crate) use delivery::{Blocked, Flushes};
pub use event::{ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, Signal, SignalKind};
pub(crate) use room::Entrant;
pub(crate) use table::{Membership, Rooms};

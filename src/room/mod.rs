//! Rooms: their members, and what each member is told.
//!
//! `table.rs` is the table of all rooms, with the memberships in them, and `room.rs` one room while it is locked. What may
//! happen there has a file each: clients `enter`, `relay` signals, and come back after a `suspend`; a `host` commands, and
//! who is outside of a lock `knocks`; the application's own `server` does the like, and makes rooms ahead of time (`bookings.rs`);
//! and a relay that is one of several has to `let_go` of a room that another one has.
//! Below are `door.rs`, `password.rs` and `wrong_passwords.rs`, which decide who may enter, `rank.rs`, which
//! decides who is the host, and `reserve.rs`, which keeps room for the messages about all that. `owned.rs` says which rooms are this relay's. `observer.rs` tells others than
//! the members.
//!
//! A room sends [`Event`]s to its members. An [`Encoder`](event::Encoder) encodes each event once, however many members
//! receive it.

mod enter;
mod host;
mod knocks;
#[cfg(any(feature = "cluster", test))]
mod let_go;
mod observe;
#[cfg(feature = "admin")]
mod overview;
mod relay;
#[cfg(feature = "admin")]
mod server;
mod suspend;

mod reserve;
mod table;

#[allow(clippy::module_inception, reason = "one room, in the module of all rooms")]
mod room;

mod booking;
mod bookings;
mod deferred;
mod door;
pub(crate) mod event;
mod held_offer;
mod member;
pub mod names;
mod observer;
mod owned;
mod password;
mod rank;
mod refusal;
mod role;
mod setup;
mod state;
mod wrong_passwords;

pub(crate) use deferred::{Deferred, OnRemoved};
pub use event::{Event, HostCommand, LeaveReason, NoticeCode, Peer, ResumeOffer, Signal, SignalKind, View};
pub(crate) use knocks::Knock;
#[cfg(any(feature = "cluster", test))]
#[cfg_attr(not(feature = "cluster"), expect(unused_imports, reason = "only a cluster lets go"))]
pub(crate) use let_go::LetGo;
pub(crate) use member::PendingMember;
#[cfg(feature = "auth")]
pub(crate) use observer::RoomChange;
pub(crate) use observer::RoomObserver;
#[cfg(feature = "admin")]
pub(crate) use overview::{Overview, Place};
#[cfg(any(feature = "cluster", test))]
pub(crate) use owned::Owned;
#[cfg(feature = "cluster")]
pub(crate) use owned::Ownership;
pub(crate) use refusal::JoinError;
pub use refusal::{ErrorCode, Refusal};
pub(crate) use relay::{Blocked, Relayed};
pub use role::Role;
pub(crate) use room::RoomSettings;
#[cfg(feature = "admin")]
pub(crate) use server::{NewRoom, ServerError};
pub(crate) use suspend::Returning;
pub(crate) use table::{Membership, Rooms};

#[cfg(test)]
mod tests;

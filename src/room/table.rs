//! The table of all rooms, and the memberships in them.
//!
//! A room is created when the first client enters, and removed when the last member leaves. Each room has its own lock:
//! the table is locked only to find, add or remove a room. A [`Membership`] ends when it is left or dropped, so that
//! exactly one `peer_left` follows each `peer_joined`.

use std::sync::Arc;

use dashmap::DashMap;

use super::deferred::Deferred;
use super::event::{Encoder, LeaveReason};
use super::names::{PeerId, RoomName};
use super::room::Room;
use crate::outbox::ConnectionId;

/// The rooms by name. Each has at least one member.
#[derive(Debug)]
pub(crate) struct Rooms {
    table: DashMap<RoomName, Arc<Room>>,
    capacity: usize,
    max_message_bytes: usize,
    encode: Encoder,
}

/// A membership in a room, or what becomes one when a host lets the client in. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    rooms: Arc<Rooms>,
    pub(super) room: Arc<Room>,
    pub(super) id: PeerId,
    pub(super) sender: ConnectionId,
    /// Its number in the room.
    pub(super) serial: u64,
    has_left: bool,
}

impl Rooms {
    /// An empty table. Its rooms have at most `capacity` members (`lobby` at most two), tell them that a message has at most
    /// `max_message_bytes`, and encode events with `encode`.
    pub(crate) fn new(capacity: usize, max_message_bytes: usize, encode: Encoder) -> Self {
        Self { table: DashMap::new(), capacity, max_message_bytes, encode }
    }

    /// How many rooms there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no rooms.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The encoder of the events in these rooms.
    pub(crate) fn encoder(&self) -> Encoder {
        self.encode
    }

    /// The room with this name; a new one if there is none.
    pub(super) fn room(&self, name: &RoomName) -> Arc<Room> {
        let new = || Arc::new(Room::new(name.clone(), self.capacity, self.max_message_bytes, self.encode));
        Arc::clone(&*self.table.entry(name.clone()).or_insert_with(new))
    }

    /// Removes a closed room. A new room may have its name by now, and stays.
    pub(super) fn remove(&self, room: &Arc<Room>) {
        self.table.remove_if(&room.name, |_, there| Arc::ptr_eq(there, room));
    }
}

impl Membership {
    pub(super) fn new(rooms: Arc<Rooms>, room: Arc<Room>, id: PeerId, sender: ConnectionId, serial: u64) -> Self {
        Self { rooms, room, id, sender, serial, has_left: false }
    }

    /// The id that this member has in the room.
    pub(crate) fn id(&self) -> &PeerId {
        &self.id
    }

    /// The room.
    pub(crate) fn room(&self) -> &RoomName {
        &self.room.name
    }

    /// Leaves the room, and tells the others why.
    pub(crate) fn leave(mut self, reason: LeaveReason, deferred: &mut Deferred) {
        self.end(reason, deferred);
    }

    fn end(&mut self, reason: LeaveReason, deferred: &mut Deferred) {
        self.has_left = true;
        if self.room.lock(deferred).leave(self.serial, reason) {
            self.rooms.remove(&self.room);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if !self.has_left {
            self.end(LeaveReason::Closed, &mut Deferred::default());
        }
    }
}

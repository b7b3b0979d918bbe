//! A place in a room.
//!
//! A membership ends when it is dropped: there is no other way out, so `peer_left` follows each `peer_joined` exactly once,
//! and an empty room is gone.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use smallvec::SmallVec;

use super::event::{LeaveReason, Refusal, Signal};
use super::names::{PeerId, RoomName};
use super::room::Room;
use super::table::Rooms;
use crate::outbox::{Outbox, Pushed, SenderId};

/// The outboxes that something was put into. They are flushed when no lock is held, and each once for all that one read
/// of a socket brought.
#[derive(Debug, Default)]
pub(crate) struct Flushes(SmallVec<[Arc<Outbox>; 8]>);

impl Flushes {
    /// Writes what waits in the outboxes, as far as their sockets take it now.
    pub(crate) fn flush(&mut self) {
        for outbox in self.0.drain(..) {
            outbox.flush();
        }
    }

    pub(super) fn add(&mut self, outbox: &Arc<Outbox>) {
        if !self.0.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            self.0.push(Arc::clone(outbox));
        }
    }
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Where a signal went.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// How many it was for.
    pub receivers: usize,
    /// Those who did not get it: they take no more from this sender just now.
    pub busy: Vec<PeerId>,
    /// Those whose share of this sender is full, and worth waiting for a moment.
    pub blocked: Vec<Blocked>,
    /// What they wait for.
    pub frame: Bytes,
}

/// A member that a signal waits for.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// Its id.
    pub id: PeerId,
    pub(super) serial: u64,
}

/// A place in a room, kept until it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    rooms: Arc<Rooms>,
    room: Arc<Room>,
    id: PeerId,
    sender: SenderId,
    serial: u64,
    has_left: bool,
}

impl Membership {
    pub(super) fn new(rooms: Arc<Rooms>, room: Arc<Room>, id: PeerId, sender: SenderId, serial: u64) -> Self {
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

    /// Carries a signal to those it is for. `waker` is woken when one of the [blocked](Relayed::blocked) may have room.
    ///
    /// # Errors
    /// `peer_not_found`, when it reached nobody and is not held.
    pub(crate) fn relay(&self, signal: &Signal<'_>, waker: &Waker, flushes: &mut Flushes) -> Result<Relayed, Refusal> {
        self.room.relay(self.sender, &self.id, signal, waker, flushes)
    }

    /// Carries what [`relay`](Self::relay) could not to `blocked`; none when that member has left since. If there is still
    /// no room, `is_late` decides by whether its socket is stalled if it is waited for: if not, it is busy for this member
    /// until it has read half of what waits.
    pub(crate) fn relay_again(
        &self,
        blocked: &Blocked,
        frame: &Bytes,
        waker: &Waker,
        flushes: &mut Flushes,
        is_late: impl FnOnce(bool) -> bool,
    ) -> Option<Pushed> {
        self.room.relay_again(self.sender, blocked, frame, waker, flushes, is_late)
    }

    /// Leaves the room, and tells the others why; says how many they are.
    pub(crate) fn leave(mut self, reason: LeaveReason, flushes: &mut Flushes) -> usize {
        self.end(reason, flushes)
    }

    fn end(&mut self, reason: LeaveReason, flushes: &mut Flushes) -> usize {
        if std::mem::replace(&mut self.has_left, true) {
            return 0;
        }
        let (heard, is_closed) = self.room.leave(self.serial, reason, flushes);
        if is_closed {
            self.rooms.remove(&self.room);
        }
        heard
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.end(LeaveReason::Closed, &mut Flushes::default());
    }
}

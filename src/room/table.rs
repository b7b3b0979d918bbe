//! The table of all rooms, and the memberships in them.
//!
//! A room is created when the first client enters, and removed when the last member leaves. Each room has its own lock:
//! the table is locked only to find, add or remove a room. A [`Membership`] ends when it is left or dropped, so that
//! exactly one `peer_left` follows each `peer_joined`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::oneshot;

use super::delivery::{Blocked, Flushes, Relayed};
use super::door::{self, Verdict};
use super::entrant::{Entrant, JoinError};
use super::event::{Encoder, HostCommand, LeaveReason, Refusal, Signal};
use super::names::{LOBBY, PeerId, RoomName};
use super::returning::{Absence, ResumeError, Returning};
use super::room::{Arrival, Room};
use crate::limits::LOBBY_CAPACITY;
use crate::outbox::{ConnectionId, Pushed};

/// The rooms by name. Each has at least one member.
#[derive(Debug)]
pub(crate) struct Rooms {
    table: DashMap<RoomName, Arc<Room>>,
    capacity: usize,
    encode: Encoder,
}

impl Rooms {
    /// An empty table. Its rooms have at most `capacity` members (`lobby` at most two), and encode events with
    /// `encode`.
    pub(crate) fn new(capacity: usize, encode: Encoder) -> Self {
        Self { table: DashMap::new(), capacity, encode }
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

    /// Enters a room: sends the newcomer `joined` and the held offer, and `peer_joined` to the others. If the room is
    /// locked, the client knocks instead.
    ///
    /// # Errors
    /// [`JoinError`]; then nobody is told anything.
    pub(crate) fn enter(
        self: &Arc<Self>,
        name: &RoomName,
        entrant: &Entrant<'_>,
        flushes: &mut Flushes,
    ) -> Result<Entered, JoinError> {
        let id = entrant.id.cloned().map_or_else(PeerId::random, Ok)?;
        let usual = if name.as_str() == LOBBY { LOBBY_CAPACITY.min(self.capacity) } else { self.capacity };
        let capacity = entrant.capacity.unwrap_or(usual);
        loop {
            let new = || Arc::new(Room::new(name.clone(), self.encode));
            let room = Arc::clone(&*self.table.entry(name.clone()).or_insert_with(new));
            match room.enter(&id, capacity, entrant, flushes) {
                Some(Ok(arrival)) => {
                    let place = |serial| Membership::new(Arc::clone(self), room, id, entrant.outbox.id(), serial);
                    return Ok(match arrival {
                        Arrival::Inside(serial, heard) => Entered::Inside(place(serial), heard),
                        Arrival::Outside(serial, verdict) => Entered::Outside(Knock { place: place(serial), verdict }),
                    });
                }
                Some(Err(error)) => {
                    if room.is_closed() {
                        self.remove(&room);
                    }
                    return Err(error);
                }
                None => self.remove(&room),
            }
        }
    }

    /// Removes a closed room. A new room may have its name by now, and stays.
    fn remove(&self, room: &Arc<Room>) {
        self.table.remove_if(&room.name, |_, there| Arc::ptr_eq(there, room));
    }
}

/// What became of a client that enters a room.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It is a member; how many others were told.
    Inside(Membership, usize),
    /// It waits outside, and the host was told.
    Outside(Knock),
}

/// A client that waits at a locked room. It gives up when this is dropped.
#[derive(Debug)]
pub(crate) struct Knock {
    /// The place that it has in the room once it is let in.
    place: Membership,
    verdict: oneshot::Receiver<Verdict>,
}

impl Knock {
    /// The room.
    pub(crate) fn room(&self) -> &RoomName {
        self.place.room()
    }

    /// Ready when the client is in the room, or with the reason why it is not; there is no reason if the relay shuts down.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Refusal>>> {
        Pin::new(&mut self.verdict).poll(cx).map(in_words)
    }

    /// The same, without waiting; none if it is not decided.
    pub(crate) fn verdict(&mut self) -> Option<Result<(), Option<Refusal>>> {
        match self.verdict.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => None,
            Ok(verdict) => Some(in_words(Ok(verdict))),
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(None)),
        }
    }

    /// Gives up because it took too long, unless it was decided meanwhile.
    pub(crate) fn expire(&mut self, flushes: &mut Flushes) -> Result<(), Option<Refusal>> {
        if self.place.room.expire_knock(self.place.serial, flushes) {
            return Err(Some(door::denied("nobody let you in in time")));
        }
        self.verdict().unwrap_or(Err(None))
    }

    /// The place in the room, to use it or to leave it.
    pub(crate) fn into_place(self) -> Membership {
        self.place
    }
}

fn in_words(verdict: Result<Verdict, oneshot::error::RecvError>) -> Result<(), Option<Refusal>> {
    verdict.map_err(|_| None)?.map_err(Some)
}

/// A membership in a room. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    rooms: Arc<Rooms>,
    room: Arc<Room>,
    id: PeerId,
    sender: ConnectionId,
    serial: u64,
    has_left: bool,
}

impl Membership {
    fn new(rooms: Arc<Rooms>, room: Arc<Room>, id: PeerId, sender: ConnectionId, serial: u64) -> Self {
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

    /// Relays a signal to its receivers. `waker` is woken when one of the [blocked](Relayed::blocked) may have room.
    ///
    /// # Errors
    /// `peer_not_found`, if it has no receiver and is not held.
    pub(crate) fn relay(&self, signal: &Signal<'_>, waker: &Waker, flushes: &mut Flushes) -> Result<Relayed, Refusal> {
        self.room.relay((self.serial, self.sender), &self.id, signal, waker, flushes)
    }

    /// Carries out what only the host may do. Returns how many messages that sent.
    ///
    /// # Errors
    /// `not_host`, `peer_not_found`, `room_full`, `unavailable`.
    pub(crate) fn command(&self, command: &HostCommand<'_>, flushes: &mut Flushes) -> Result<usize, Refusal> {
        self.room.command(self.serial, command, flushes)
    }

    /// Tries again to relay to `blocked`; none if that member has left. If the share is still full, `is_late` decides
    /// from whether the outbox is stalled: if it returns true, the sender gives up, and the receiver is busy for it.
    pub(crate) fn relay_again(
        &self,
        blocked: &Blocked,
        frame: &Bytes,
        waker: &Waker,
        flushes: &mut Flushes,
        is_late: impl FnOnce(bool) -> bool,
    ) -> Option<Pushed> {
        self.room.relay_again((self.serial, self.sender), blocked, frame, waker, flushes, is_late)
    }

    /// Keeps the place although the connection is lost: what is for this member waits. Tells the others if `tell` is set,
    /// and returns how many they are; none if the place cannot be kept: leave it then. `absence` learns if the member is
    /// removed from the room.
    pub(crate) fn hold(&self, absence: Arc<dyn Absence>, tell: bool, flushes: &mut Flushes) -> Option<usize> {
        self.room.hold(self.serial, absence, tell, flushes)
    }

    /// Tells the others that this member is away; returns how many they are, and none if the place cannot be kept.
    pub(crate) fn tell_away(&self, flushes: &mut Flushes) -> Option<usize> {
        self.room.tell_away(self.serial, flushes)
    }

    /// Goes on with the place on another connection; returns how many others were told.
    ///
    /// # Errors
    /// [`ResumeError`]; then nothing has happened.
    pub(crate) fn resume(&self, returning: &Returning<'_>, flushes: &mut Flushes) -> Result<usize, ResumeError> {
        self.room.resume(self.serial, returning, flushes)
    }

    /// Leaves the room, and tells the others why; returns how many they are.
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

#[cfg(test)]
pub(super) mod tests;

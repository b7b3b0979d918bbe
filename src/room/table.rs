//! The room table: every room that somebody is in, by name.
//!
//! A room comes with the first who is let in and goes with the last who leaves. Its lock is its own: the table is locked
//! only to find a room, to add one and to remove one.

use std::sync::Arc;

use dashmap::DashMap;
use thiserror::Error;

use super::event::{Encoder, ErrorCode, Refusal};
use super::membership::Seat;
use super::names::{LOBBY, PeerId, PeerName, RoomName};
use super::room::Room;
use crate::limits::LOBBY_CAPACITY;
use crate::outbox::Outbox;

/// Every room that somebody is in, by name. Each wire has a table of its own.
#[derive(Debug)]
pub struct Rooms {
    table: DashMap<RoomName, Arc<Room>>,
    capacity: usize,
    encode: Encoder,
}

/// Who enters a room.
#[derive(Debug)]
pub struct Entrant {
    /// What people call the one who enters.
    pub name: Option<PeerName>,
    /// Where what it hears is put.
    pub outbox: Arc<Outbox>,
}

impl Rooms {
    /// An empty table whose rooms take `capacity` members each (`lobby` at most two) and tell them what `encode` writes.
    pub fn new(capacity: usize, encode: Encoder) -> Self {
        Self { table: DashMap::new(), capacity, encode }
    }

    /// How many rooms somebody is in.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether nobody is in any room.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// What writes events for the clients of this table's rooms.
    pub fn encoder(&self) -> Encoder {
        self.encode
    }

    /// Keeps a seat in the room `name` for somebody with this `id`, or with one that is made; the room takes `capacity`, or
    /// what the table's rooms take. Nobody there hears of it.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn reserve(
        self: &Arc<Self>,
        name: &RoomName,
        id: Option<PeerId>,
        capacity: Option<usize>,
    ) -> Result<Seat, JoinError> {
        let id = id.map_or_else(PeerId::random, Ok)?;
        let usual = if name.as_str() == LOBBY { LOBBY_CAPACITY.min(self.capacity) } else { self.capacity };
        let capacity = capacity.unwrap_or(usual);
        loop {
            let new = || Arc::new(Room::new(name.clone(), self.encode));
            let room = Arc::clone(&*self.table.entry(name.clone()).or_insert_with(new));
            match room.reserve(&id, capacity) {
                Some(Ok(())) => return Ok(Seat::new(Arc::clone(self), room, id)),
                Some(Err(error)) => return Err(error),
                None => self.remove(&room),
            }
        }
    }

    /// Removes a room that is closed. Another one may have its name by now.
    pub(super) fn remove(&self, room: &Arc<Room>) {
        self.table.remove_if(&room.name, |_, there| Arc::ptr_eq(there, room));
    }
}

/// Why somebody may not enter a room.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The room has as many members as it takes.
    #[error("the room is full: it takes {0}")]
    Full(usize),
    /// Somebody in the room has this id.
    #[error("somebody in the room has this id")]
    IdTaken,
    /// A member has not read yet who joined and left before.
    #[error("a member of the room has yet to read who joined and left before: try again in a moment")]
    Unavailable,
    /// The operating system has no randomness for an id.
    #[error("no id could be made: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let code = match error {
            JoinError::Full(_) => ErrorCode::RoomFull,
            JoinError::IdTaken => ErrorCode::IdTaken,
            JoinError::Unavailable => ErrorCode::Unavailable,
            JoinError::NoRandomness(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

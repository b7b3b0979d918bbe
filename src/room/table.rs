//! The table of all rooms, and the memberships in them.
//!
//! A room is created when the first client enters, and removed when the last member leaves; one that was made ahead of time is
//! there earlier and longer. Each room has its own lock:
//! the table is locked only to find, add or remove a room. A [`Membership`] ends when it is left or dropped, so that
//! exactly one `peer_left` follows each `peer_joined`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

#[cfg(feature = "admin")]
use super::bookings::Bookings;
use super::deferred::Deferred;
use super::event::{Encoder, LeaveReason};
use super::names::{PeerId, RoomName};
use super::owned::Ownership;
use super::refusal::JoinError;
use super::room::{Room, RoomSettings};
use super::wrong_passwords::WrongPasswords;
use crate::ice::{ClientsServers, IceServers};
use crate::metrics::SetupTimes;
use crate::outbox::Sender;

/// The rooms by name. Each has at least one member, or was made ahead of time.
#[derive(Debug)]
pub(crate) struct Rooms {
    pub(super) table: DashMap<RoomName, Arc<Room>>,
    pub(super) settings: RoomSettings,
    /// Those that were made ahead of time.
    #[cfg(feature = "admin")]
    pub(super) bookings: Bookings,
    /// Whether no new rooms are made.
    is_draining: AtomicBool,
    /// The wrong passwords of all rooms.
    pub(super) wrong_passwords: WrongPasswords,
    /// How long calls took to be set up.
    pub(super) setup_times: SetupTimes,
}

/// How many there are of each.
#[cfg(feature = "admin")]
#[derive(Debug, Default)]
pub(crate) struct RoomCount {
    pub rooms: usize,
    pub booked: usize,
    pub peers: usize,
    pub knocks: usize,
}

/// A membership in a room, or what becomes one when a host lets the client in. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    rooms: Arc<Rooms>,
    pub(super) room: Arc<Room>,
    pub(super) id: PeerId,
    pub(super) sender: Sender,
    /// Its number in the room.
    pub(super) serial: u64,
    /// The STUN and TURN servers for this member.
    pub(super) ice_servers: IceServers,
    has_left: bool,
}

impl Rooms {
    /// An empty table.
    pub(crate) fn new(settings: RoomSettings) -> Self {
        Self {
            table: DashMap::new(),
            settings,
            #[cfg(feature = "admin")]
            bookings: Bookings::default(),
            is_draining: AtomicBool::new(false),
            wrong_passwords: WrongPasswords::default(),
            setup_times: SetupTimes::default(),
        }
    }

    /// How many rooms there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How long calls took to be set up, so far.
    #[cfg(feature = "admin")]
    pub(crate) fn setup_times(&self) -> &SetupTimes {
        &self.setup_times
    }

    /// How many rooms, members and knocks there are. What takes too long in them is counted on the way.
    #[cfg(feature = "admin")]
    pub(crate) fn count(&self) -> RoomCount {
        self.end_bookings();
        let mut count = RoomCount::default();
        for room in &self.table {
            let mut state = room.state();
            state.setups.sweep(&self.setup_times);
            count.rooms += usize::from(!state.members.is_empty());
            count.booked += usize::from(state.is_booked());
            count.peers += state.members.len();
            count.knocks += state.knockers().len();
        }
        count
    }

    /// Whether there are no rooms.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The encoder of the events in these rooms.
    pub(crate) fn encoder(&self) -> Encoder {
        self.settings.encode
    }

    /// Makes no new rooms from now on, or does so again.
    #[cfg(feature = "admin")]
    pub(crate) fn drain(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Relaxed);
    }

    /// Whether it makes no new rooms.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// Whether this relay may open the room with this name: it owns the name, or is not one of several.
    pub(crate) fn may_open(&self, name: &RoomName) -> bool {
        self.settings.owned.as_ref().is_none_or(|owned| owned.get(name).is_some())
    }

    /// That this relay owns the name, if it is one of several.
    ///
    /// # Errors
    /// [`JoinError::NotOwned`]
    pub(super) fn ownership(&self, name: &RoomName) -> Result<Option<Arc<Ownership>>, JoinError> {
        let Some(owned) = &self.settings.owned else { return Ok(None) };
        owned.get(name).map(Some).ok_or(JoinError::NotOwned)
    }

    /// The room with this name; a new one if there is none.
    ///
    /// # Errors
    /// [`JoinError::Draining`], or [`JoinError::NotOwned`] where several relays are one.
    pub(super) fn room(&self, name: &RoomName) -> Result<Arc<Room>, JoinError> {
        match self.table.entry(name.clone()) {
            // It is about to be removed.
            Entry::Occupied(entry) if entry.get().ownership.as_ref().is_some_and(|own| own.is_lost()) => {
                Err(JoinError::NotOwned)
            }
            Entry::Occupied(entry) => Ok(Arc::clone(entry.get())),
            Entry::Vacant(_) if self.is_draining() => Err(JoinError::Draining),
            Entry::Vacant(entry) => {
                let room = Arc::new(Room::new(name.clone(), &self.settings, self.ownership(name)?));
                Ok(Arc::clone(&*entry.insert(room)))
            }
        }
    }

    /// Removes a closed room. A new room may have its name by now, and stays.
    pub(super) fn remove(&self, room: &Arc<Room>) {
        self.table.remove_if(&room.name, |_, there| Arc::ptr_eq(there, room));
    }
}

impl Membership {
    pub(super) fn new(
        rooms: Arc<Rooms>,
        room: Arc<Room>,
        id: PeerId,
        sender: Sender,
        serial: u64,
        ice_servers: IceServers,
    ) -> Self {
        Self { rooms, room, id, sender, serial, ice_servers, has_left: false }
    }

    /// The id that this member has in the room.
    pub(crate) fn id(&self) -> &PeerId {
        &self.id
    }

    /// How many members the room has now, and how many it takes.
    pub(crate) fn crowd(&self) -> (usize, usize) {
        (self.room.state().members.len(), self.room.capacity)
    }

    /// The room.
    pub(crate) fn room(&self) -> &RoomName {
        &self.room.name
    }

    /// The most bytes of what [`ice_servers`](Self::ice_servers) has to tell.
    pub(crate) fn ice_servers_bytes(&self) -> usize {
        self.ice_servers.bytes()
    }

    /// The STUN and TURN servers for this member, with credentials of now.
    pub(crate) fn ice_servers(&self) -> ClientsServers<'_> {
        self.ice_servers.for_client(self.id.as_str())
    }

    pub(super) fn setup_times(&self) -> &SetupTimes {
        &self.rooms.setup_times
    }

    /// Leaves the room, and tells the others why.
    pub(crate) fn leave(mut self, reason: LeaveReason, deferred: &mut Deferred) {
        self.end(reason, deferred);
    }

    fn end(&mut self, reason: LeaveReason, deferred: &mut Deferred) {
        self.has_left = true;
        let mut room = self.room.lock(deferred);
        room.state.setups.forget(self.serial, &self.rooms.setup_times);
        if room.leave(self.serial, reason) {
            drop(room);
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

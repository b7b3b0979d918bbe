//! The rooms that were made ahead of time: they are there without members, until their time is over.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::room::Room;

/// All rooms that were made ahead of time, so that those whose time is over are found without a look at all rooms.
#[derive(Debug, Default)]
pub(super) struct Bookings(Mutex<Vec<(Instant, Arc<Room>)>>);

impl Bookings {
    /// Adds a room that is there until this time, unless there are `most` already. What `is_free` does with the name happens
    /// while no other room is added.
    pub(super) fn add(&self, most: usize, until: Instant, room: &Arc<Room>, is_free: impl FnOnce() -> bool) -> Added {
        let mut all = self.all();
        if all.len() >= most {
            return Added::TooMany;
        }
        if !is_free() {
            return Added::Taken;
        }
        all.push((until, Arc::clone(room)));
        Added::Done
    }

    /// Forgets a room that is no more.
    pub(super) fn remove(&self, room: &Arc<Room>) {
        self.all().retain(|(_, other)| !Arc::ptr_eq(other, room));
    }

    /// Takes the rooms whose time is over.
    pub(super) fn take_over(&self) -> Vec<Arc<Room>> {
        let now = Instant::now();
        let mut all = self.all();
        if all.iter().all(|(until, _)| now < *until) {
            return Vec::new();
        }
        let (over, left): (Vec<_>, Vec<_>) = mem::take(&mut *all).into_iter().partition(|(until, _)| now >= *until);
        *all = left;
        over.into_iter().map(|(_, room)| room).collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<(Instant, Arc<Room>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a room that was to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// It is there.
    Done,
    /// As many as may be are there.
    TooMany,
    /// A room has its name.
    Taken,
}

//! Which rooms this relay has, where several relays are one: a room is only opened by the relay that owns its name.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::names::RoomName;

/// That this relay owns the name of a room. Whoever is about to enter has it, and so has the room.
#[derive(Debug)]
pub(crate) struct Ownership {
    room: RoomName,
    is_lost: AtomicBool,
}

impl Ownership {
    /// The name.
    pub(crate) fn room(&self) -> &RoomName {
        &self.room
    }

    /// Whether the relay has let go of the room: another one has the name.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(SeqCst)
    }
}

/// The names that this relay owns. A name that nobody has a use for any more is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Owned(DashMap<RoomName, Weak<Ownership>>);

impl Owned {
    /// That this relay owns the name, as far as it knows.
    pub(crate) fn get(&self, name: &RoomName) -> Option<Arc<Ownership>> {
        self.0.get(name).and_then(|ownership| ownership.upgrade())
    }

    /// This relay owns the name from now on.
    pub(crate) fn add(&self, name: &RoomName) -> Arc<Ownership> {
        let new = || Arc::new(Ownership { room: name.clone(), is_lost: AtomicBool::new(false) });
        match self.0.entry(name.clone()) {
            Entry::Occupied(mut entry) => entry.get().upgrade().unwrap_or_else(|| {
                let ownership = new();
                entry.insert(Arc::downgrade(&ownership));
                ownership
            }),
            Entry::Vacant(entry) => {
                let ownership = new();
                entry.insert(Arc::downgrade(&ownership));
                ownership
            }
        }
    }

    /// The relay does not own it any more: nobody opens a room by it from now on. The name may be owned again, by another
    /// [`Ownership`].
    pub(super) fn lose(&self, ownership: &Ownership) {
        ownership.is_lost.store(true, SeqCst);
        let is_it = |there: &Weak<Ownership>| std::ptr::eq(there.as_ptr(), ownership);
        self.0.remove_if(&ownership.room, |_, there| is_it(there));
    }

    /// All that it owns. Forgets those that nobody has a use for.
    pub(crate) fn all(&self) -> Vec<Arc<Ownership>> {
        let mut all = Vec::with_capacity(self.0.len());
        self.0.retain(|_, ownership| match ownership.upgrade() {
            Some(ownership) => {
                all.push(ownership);
                true
            }
            None => false,
        });
        all
    }

    /// How many names there are, or were a moment ago.
    #[cfg(any(test, feature = "cluster"))]
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

//! The table of one wire's places, which are its topics, groups or rooms: where clients hear each other.
//!
//! A place is there while somebody may enter it who finds others. Each has its own lock: the table is locked only to find, add or
//! remove one.

use std::borrow::Borrow;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// Who is in a place.
pub(super) trait State: Debug + Default {
    /// Whether nobody enters any more: then the next one begins a new place under its key.
    fn is_over(&self) -> bool;
}

/// The places by their keys.
#[derive(Debug)]
pub(super) struct Table<K: Eq + Hash, S>(DashMap<K, Arc<Place<K, S>>>);

/// One place.
#[derive(Debug)]
pub(super) struct Place<K, S> {
    key: K,
    inner: Mutex<Inner<S>>,
}

#[derive(Debug, Default)]
struct Inner<S> {
    state: S,
    /// Whether it was over: it is about to be removed from the table, or was.
    is_closed: bool,
}

impl<K: Clone + Eq + Hash, S: State> Table<K, S> {
    /// How many places there are which somebody may enter.
    #[cfg(any(test, fuzzing, feature = "admin"))]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The place with this key.
    pub(super) fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<Place<K, S>>>
    where
        K: Borrow<Q>,
    {
        self.0.get(key).map(|place| Arc::clone(&place))
    }

    /// Has somebody `enter` the place with this key, or begin it.
    ///
    /// # Errors
    /// That of `enter`.
    pub(super) fn enter<T, E>(
        &self,
        key: &K,
        enter: impl FnOnce(&mut S) -> Result<T, E>,
    ) -> Result<(Arc<Place<K, S>>, T), E> {
        loop {
            let place = match self.0.entry(key.clone()) {
                Entry::Occupied(entry) => Arc::clone(entry.get()),
                Entry::Vacant(entry) => {
                    let place = Place { key: key.clone(), inner: Mutex::default() };
                    Arc::clone(&*entry.insert(Arc::new(place)))
                }
            };
            let inner = place.lock();
            if inner.is_closed {
                drop(inner);
                self.remove(&place);
                continue;
            }
            let entered = self.change_locked(&place, inner, enter);
            return entered.map(|entered| (place, entered));
        }
    }

    /// Changes who is in a place, which they may leave as the last ones.
    pub(super) fn change<T>(&self, place: &Arc<Place<K, S>>, change: impl FnOnce(&mut S) -> T) -> T {
        self.change_locked(place, place.lock(), change)
    }

    fn change_locked<T>(
        &self,
        place: &Arc<Place<K, S>>,
        mut inner: MutexGuard<'_, Inner<S>>,
        change: impl FnOnce(&mut S) -> T,
    ) -> T {
        let changed = change(&mut inner.state);
        inner.is_closed |= inner.state.is_over();
        let is_closed = inner.is_closed;
        drop(inner);
        if is_closed {
            self.remove(place);
        }
        changed
    }

    fn remove(&self, place: &Arc<Place<K, S>>) {
        self.0.remove_if(&place.key, |_, there| Arc::ptr_eq(there, place));
    }
}

impl<K: Eq + Hash, S> Default for Table<K, S> {
    fn default() -> Self {
        Self(DashMap::new())
    }
}

impl<K, S> Place<K, S> {
    /// Does something with those who are there, and changes nothing about that.
    pub(super) fn visit<T>(&self, visit: impl FnOnce(&mut S) -> T) -> T {
        visit(&mut self.lock().state)
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place for as many as its key, if they come one after the other.
    #[derive(Debug, Default)]
    struct Seats(usize);

    impl State for Seats {
        fn is_over(&self) -> bool {
            matches!(self.0, 0 | 2)
        }
    }

    fn sit(seats: &mut Seats) -> Result<usize, ()> {
        seats.0 += 1;
        Ok(seats.0)
    }

    #[test]
    fn a_place_is_removed_when_it_is_over_and_another_one_takes_its_key() {
        let table = Table::<&str, Seats>::default();
        let (one, seat) = table.enter(&"a", sit).unwrap();
        assert_eq!((seat, table.len()), (1, 1));
        assert!(Arc::ptr_eq(&one, &table.find("a").unwrap()));
        let (two, seat) = table.enter(&"a", sit).unwrap();
        assert!(Arc::ptr_eq(&one, &two) && seat == 2 && table.len() == 0);
        let (three, seat) = table.enter(&"a", sit).unwrap();
        assert!(!Arc::ptr_eq(&one, &three) && seat == 1);
        // Whoever is over stays so, and removes nobody else.
        table.change(&one, |seats| seats.0 = 1);
        assert!(one.lock().is_closed);
        assert!(Arc::ptr_eq(&three, &table.find("a").unwrap()));
        table.change(&three, |seats| seats.0 = 0);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn who_is_refused_leaves_no_empty_place() {
        let table = Table::<&str, Seats>::default();
        assert!(table.enter(&"a", |_| Err::<(), _>("no")).is_err());
        assert_eq!(table.len(), 0);
    }
}

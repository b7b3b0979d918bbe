//! The topics or rooms that one client knows.

use std::sync::Arc;

use crate::budget::Charge;
use crate::limits::{TOPIC_NAMES_BYTES, TOPICS};

/// The topics that a client knows, the oldest first. In those to which it is subscribed it has an `S`.
#[derive(Debug)]
pub(super) struct KnownTopics<S>(Vec<Known<S>>);

/// A topic that a client knows.
#[derive(Debug)]
pub(super) struct Known<S> {
    /// Its name.
    pub(super) name: Arc<str>,
    /// What the client may do there, and does.
    pub(super) standing: Standing<S>,
    /// The memory of it.
    pub(super) _memory: Charge,
}

/// What a client may do in a topic, and does.
#[derive(Debug)]
pub(super) enum Standing<S> {
    /// Nothing: whoever decides has said so.
    Refused,
    /// It may publish, and is not subscribed.
    Allowed,
    /// It is subscribed.
    Subscribed(S),
}

impl<S> KnownTopics<S> {
    /// That of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Known<S>> {
        self.0.iter().find(|known| *known.name == *name)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Known<S>> {
        self.0.iter_mut().find(|known| *known.name == *name)
    }

    /// Adds one, for which there [is room](Self::make_room).
    pub(super) fn push(&mut self, known: Known<S>) {
        self.0.push(known);
    }

    /// To how many of them the client is subscribed.
    pub(super) fn subscriptions(&self) -> usize {
        self.subscribed().count()
    }

    /// The names of these, the oldest first.
    pub(super) fn subscribed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|known| matches!(known.standing, Standing::Subscribed(_))).map(|known| &*known.name)
    }

    /// Makes room for one more topic whose name has so many bytes: forgets those to which the client only has published, the oldest
    /// first. Whether there is room.
    pub(super) fn make_room(&mut self, bytes: usize) -> bool {
        loop {
            let names: usize = self.0.iter().map(|known| known.name.len()).sum();
            if self.0.len() < TOPICS && names + bytes <= TOPIC_NAMES_BYTES {
                return true;
            }
            let oldest = self.0.iter().position(|known| matches!(known.standing, Standing::Allowed));
            match oldest {
                Some(oldest) => drop(self.0.remove(oldest)),
                None => return false,
            }
        }
    }
}

impl<S> IntoIterator for KnownTopics<S> {
    type Item = Known<S>;
    type IntoIter = std::vec::IntoIter<Known<S>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<S> Default for KnownTopics<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

//! The table of topics of one wire: who is subscribed to what, and how a message gets to them.
//!
//! A topic is there while somebody is subscribed to it. A [`Subscription`] ends when it is dropped.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use smallvec::SmallVec;

use super::command::{Dialect, Publish};
use super::table::{self, Place, Table};
use crate::limits::{TOPIC_ID_BYTES, TOPIC_IDS};
use crate::outbox::{ConnectionId, Outbox, Pushed, Sender};
use crate::room::Deferred;

/// The topics of one wire by name.
#[derive(Debug)]
pub(crate) struct Topics {
    dialect: &'static Dialect,
    table: Table<Arc<str>, State>,
}

/// One topic.
#[derive(Debug, Default)]
struct State {
    subscribers: Vec<Subscriber>,
}

#[derive(Debug)]
struct Subscriber {
    outbox: Arc<Outbox>,
    ids: Ids,
}

/// By which ids a subscriber wants to be known in a topic.
#[derive(Debug)]
enum Ids {
    /// These. If there are none, it has not said so yet.
    Known(Vec<Box<str>>),
    /// More than are remembered.
    Any,
}

/// A connection's part in a topic. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Subscription {
    topics: Arc<Topics>,
    topic: Arc<Place<Arc<str>, State>>,
    id: ConnectionId,
}

/// What became of a message.
#[derive(Debug, Default)]
pub(super) struct Published {
    /// How many subscribers it is for.
    pub receivers: usize,
    /// In how many outboxes it is queued.
    pub queued: usize,
    /// Its frame, in bytes.
    pub bytes: usize,
    /// Those that have no room for it yet.
    pub blocked: Vec<Arc<Outbox>>,
    /// It, for those; empty if there are none.
    pub frame: Bytes,
}

impl Topics {
    /// None yet, of the wire with this dialect.
    pub(super) fn new(dialect: &'static Dialect) -> Self {
        Self { dialect, table: Table::default() }
    }

    /// How the wire writes things down.
    pub(super) fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// How many topics there are.
    #[cfg(any(test, fuzzing, feature = "admin"))]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Subscribes the client of `outbox`, which is not subscribed; none if there are as many subscribers as may be.
    pub(super) fn subscribe(self: &Arc<Self>, name: &Arc<str>, outbox: &Arc<Outbox>) -> Option<Subscription> {
        let entered = self.table.enter(name, |state| {
            if state.subscribers.len() >= self.dialect.subscribers {
                return Err(());
            }
            state.subscribers.push(Subscriber { outbox: Arc::clone(outbox), ids: Ids::Known(Vec::new()) });
            Ok(())
        });
        let (topic, ()) = entered.ok()?;
        Some(Subscription { topics: Arc::clone(self), topic, id: outbox.id() })
    }

    /// Says something of `sender`, who is not subscribed, in its topic. A topic without a place for one more is not for such.
    pub(super) fn publish(
        &self,
        publish: &Publish<'_>,
        sender: &Sender,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Published {
        let Some(topic) = self.table.find(&*publish.topic) else { return Published::default() };
        topic.visit(|state| {
            if state.subscribers.len() >= self.dialect.subscribers {
                return Published::default();
            }
            state.publish(self.dialect, publish, sender, waker, deferred)
        })
    }
}

impl table::State for State {
    fn is_over(&self) -> bool {
        self.subscribers.is_empty()
    }
}

impl Subscription {
    /// Says something of the subscriber in the topic.
    pub(super) fn publish(
        &self,
        publish: &Publish<'_>,
        sender: &Sender,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Published {
        self.topic.visit(|state| {
            if let Some(from) = &publish.from
                && let Some(own) = state.subscribers.iter_mut().find(|one| one.outbox.id() == self.id)
            {
                own.ids.note(from);
            }
            state.publish(self.topics.dialect, publish, sender, waker, deferred)
        })
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topics.table.change(&self.topic, |state| {
            state.subscribers.retain(|one| one.outbox.id() != self.id);
            if state.subscribers.capacity() > 2 * state.subscribers.len() + 4 {
                state.subscribers.shrink_to_fit();
            }
        });
    }
}

impl State {
    /// Queues it for those whom it is for, under the lock, so that their number is that which it tells.
    fn publish(
        &mut self,
        dialect: &Dialect,
        publish: &Publish<'_>,
        sender: &Sender,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Published {
        let is_for = |one: &&Subscriber| publish.to.as_ref().is_none_or(|to| one.ids.may_be(to));
        // If nobody has said to be that one, and everybody who somebody is, it is for nobody: as for all, who would not listen.
        let receivers: SmallVec<[&Arc<Outbox>; 16]> =
            self.subscribers.iter().filter(is_for).map(|one| &one.outbox).collect();
        let mut published = Published { receivers: receivers.len(), ..Published::default() };
        if receivers.is_empty() {
            return published;
        }
        let frame = (dialect.encode)(publish, self.subscribers.len());
        published.bytes = frame.len();
        for outbox in receivers {
            match outbox.push_or_wait(sender, &frame, waker, true) {
                Pushed::Queued => {
                    published.queued += 1;
                    deferred.add(outbox);
                }
                Pushed::Closed => {}
                Pushed::Full | Pushed::Busy => {
                    // An earlier message of the same read may still be queued there.
                    deferred.add(outbox);
                    published.blocked.push(Arc::clone(outbox));
                }
            }
        }
        if !published.blocked.is_empty() {
            published.frame = frame;
        }
        published
    }
}

impl Ids {
    /// Notes that its subscriber wants to be known by this id too.
    fn note(&mut self, id: &str) {
        let Self::Known(ids) = self else { return };
        if ids.iter().any(|known| **known == *id) {
            return;
        }
        if ids.len() == TOPIC_IDS || id.len() > TOPIC_ID_BYTES {
            *self = Self::Any;
        } else {
            ids.push(id.into());
        }
    }

    /// Whether its subscriber may be the one with this id. Whoever has taken the id of another one hears what is for that one, and
    /// so does the other one.
    fn may_be(&self, id: &str) -> bool {
        match self {
            Self::Known(ids) => ids.is_empty() || ids.iter().any(|known| **known == *id),
            Self::Any => true,
        }
    }
}

#[cfg(test)]
#[path = "topics_tests.rs"]
mod tests;

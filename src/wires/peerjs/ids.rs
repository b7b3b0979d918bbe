//! The ids: who has each, and what is held for those that nobody has.
//!
//! All that happens to one id happens under one lock, so that a client which takes an id first hears `OPEN`, then what was held
//! for it in its order, and then what is said from then on, and nothing is lost in between.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::time::Instant;

use super::identity::Identity;
use super::mail::{Mailbox, Tally};
use super::text;
use crate::outbox::{CloseRequest, Outbox, Pushed, Sender, Topic};
use crate::quota::Network;

/// The ids of all spaces.
#[derive(Debug, Default)]
pub(super) struct Ids {
    table: DashMap<Arc<str>, Slot>,
    tally: Arc<Tally>,
}

#[derive(Debug)]
enum Slot {
    /// Somebody has the id.
    Taken { who: Arc<Identity>, outbox: Arc<Outbox> },
    /// Nobody has, and something is held for who comes.
    Free(Box<Mailbox>),
}

/// What became of a claim.
#[derive(Debug)]
pub(super) enum Claimed {
    /// The id is the client's.
    New,
    /// So it is, and the client's earlier connection is closed.
    Again,
    /// It is another one's.
    Taken,
}

/// What a client says to an id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    /// The id within its space.
    pub key: &'a str,
    /// The id as JSON.
    pub id_json: &'a str,
    /// What its client hears.
    pub frame: &'a Bytes,
    /// Whether it is held if nobody has the id.
    pub may_be_held: bool,
}

/// Who says something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Author<'a> {
    pub who: &'a Arc<Identity>,
    pub sender: &'a Sender,
    pub network: Option<Network>,
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Posted {
    /// It is queued in this outbox.
    Queued(Arc<Outbox>),
    /// This outbox has no room for it yet, or there is no memory for it (`is_memory`).
    NoRoom { outbox: Arc<Outbox>, is_memory: bool },
    /// It is held, until that moment if it is the first.
    Held { until: Option<Instant> },
    /// Nobody has the id, and it is not held.
    Nobody,
}

impl Ids {
    /// How many ids somebody has.
    #[cfg(feature = "admin")]
    pub(super) fn taken(&self) -> usize {
        self.table.iter().filter(|slot| matches!(**slot, Slot::Taken { .. })).count()
    }

    /// Takes the id for the client of `outbox`, unless another client has it. It hears `OPEN`, and what was held for it.
    pub(super) fn claim(&self, who: &Arc<Identity>, outbox: &Arc<Outbox>) -> Claimed {
        let slot = Slot::Taken { who: Arc::clone(who), outbox: Arc::clone(outbox) };
        let open = || outbox.announce(outbox.sender(), Topic::Other, text::open());
        match self.table.entry(Arc::clone(&who.key)) {
            Entry::Vacant(entry) => {
                open();
                entry.insert(slot);
                Claimed::New
            }
            Entry::Occupied(mut entry) => match entry.get() {
                Slot::Taken { who: other, .. } if !other.is_same(who) => Claimed::Taken,
                Slot::Taken { outbox: earlier, .. } => {
                    earlier.request_close(CloseRequest::TakenOver);
                    open();
                    entry.insert(slot);
                    Claimed::Again
                }
                Slot::Free(mailbox) => {
                    open();
                    // They are few enough to stand outside their senders' shares, and stay charged to them.
                    for letter in &mailbox.letters {
                        outbox.announce(&letter.sender, Topic::Other, letter.frame.clone());
                    }
                    entry.insert(slot);
                    Claimed::New
                }
            },
        }
    }

    /// Frees the id of a client whose connection has ended, unless it has another connection by now.
    pub(super) fn release(&self, who: &Identity, outbox: &Outbox) {
        self.table.remove_if(
            &who.key,
            |_, slot| matches!(slot, Slot::Taken { outbox: there, .. } if there.id() == outbox.id()),
        );
    }

    /// Says something to an id. If there is no room for it yet, `waker` is woken when there may be.
    pub(super) fn post(
        &self,
        message: Message<'_>,
        from: Author<'_>,
        waker: &Waker,
        nudges: bool,
        now: Instant,
    ) -> Posted {
        let push = |outbox: &Arc<Outbox>| {
            let posted = match outbox.push_or_wait(from.sender, message.frame, waker, nudges) {
                Pushed::Queued => Posted::Queued(Arc::clone(outbox)),
                Pushed::Full => Posted::NoRoom { outbox: Arc::clone(outbox), is_memory: false },
                Pushed::Busy => Posted::NoRoom { outbox: Arc::clone(outbox), is_memory: true },
                // It is about to free the id.
                Pushed::Closed => return None,
            };
            Some(posted)
        };
        // Nearly always somebody has the id, and others look at the same time.
        if let Some(slot) = self.table.get(message.key)
            && let Slot::Taken { outbox, .. } = &*slot
            && let Some(posted) = push(outbox)
        {
            return posted;
        }
        if !message.may_be_held {
            return Posted::Nobody;
        }
        let hold =
            |mailbox: &mut Mailbox| mailbox.hold(&self.tally, message.frame, from.who, from.sender, from.network);
        let begin = || {
            let mut mailbox = Mailbox::new(message.id_json, now);
            let until = Some(mailbox.until);
            hold(&mut mailbox).then_some((Slot::Free(Box::new(mailbox)), Posted::Held { until }))
        };
        match self.table.entry(message.key.into()) {
            Entry::Occupied(mut entry) => {
                match entry.get_mut() {
                    Slot::Free(mailbox) => {
                        return if hold(mailbox) { Posted::Held { until: None } } else { Posted::Nobody };
                    }
                    Slot::Taken { outbox, .. } => {
                        if let Some(posted) = push(outbox) {
                            return posted;
                        }
                    }
                }
                let Some((slot, posted)) = begin() else { return Posted::Nobody };
                entry.insert(slot);
                posted
            }
            Entry::Vacant(entry) => {
                let Some((slot, posted)) = begin() else { return Posted::Nobody };
                entry.insert(slot);
                posted
            }
        }
    }

    /// Gives up what is held for an id, if it is time for that: each sender is told so once.
    pub(super) fn expire(&self, key: &str, now: Instant) {
        let is_due = |slot: &Slot| matches!(slot, Slot::Free(mailbox) if mailbox.until <= now);
        let Some((_, Slot::Free(mailbox))) = self.table.remove_if(key, |_, slot| is_due(slot)) else { return };
        let mut told: Vec<Arc<Identity>> = Vec::new();
        for letter in &mailbox.letters {
            if !told.iter().any(|one| one.is_same(&letter.from)) {
                told.push(Arc::clone(&letter.from));
            }
        }
        drop(mailbox.letters);
        for who in told {
            // It may have come back by another connection meanwhile.
            let outbox = self.table.get(&*who.key).and_then(|slot| match &*slot {
                Slot::Taken { who: there, outbox } if there.is_same(&who) => Some(Arc::clone(outbox)),
                _ => None,
            });
            if let Some(outbox) = outbox {
                let expire = text::expire(&mailbox.id_json, &who.json);
                outbox.announce(outbox.sender(), Topic::Other, expire);
                outbox.flush();
            }
        }
    }

    /// How many ids are taken or have something held for them, and how many bytes are held, of how many addresses.
    #[cfg(any(test, fuzzing))]
    pub(super) fn len(&self) -> (usize, (usize, usize)) {
        (self.table.len(), self.tally.held())
    }
}

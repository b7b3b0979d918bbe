//! The rooms of RxDB's clients: who is together with whom.
//!
//! All members hear a list of all at each coming and going, which is made and queued under the room's lock: so the last list that a
//! member hears is right. A [`Membership`] ends when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Waker;

use thiserror::Error;

use super::{Id, joined};
use crate::limits::{NEWCOMER_BYTES, RXDB_MEMBERS};
use crate::outbox::{Outbox, Sender, Topic, frame};
use crate::room::Deferred;
use crate::wires::signalled::{Signalled, signal_to};
use crate::wires::table::{self, Place, Table};

/// The rooms by their names.
#[derive(Debug, Default)]
pub(in crate::wires) struct Rooms {
    table: Table<Arc<str>, State>,
    /// How many rooms there were.
    count: AtomicU64,
}

/// One room.
#[derive(Debug, Default)]
struct State {
    /// Tells it from others, to whose members one of its own may belong.
    number: u64,
    /// In the order in which they came.
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    id: Id,
    outbox: Arc<Outbox>,
}

/// Why a client cannot enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Full {
    /// The room has as many members as may be.
    #[error("the room has {RXDB_MEMBERS} members, which are all that it may have")]
    Members,
    /// There is no memory for what the others are told.
    #[error("there is no memory for one more member now: try again later")]
    NoMemory,
}

/// A client's part in a room. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Membership {
    rooms: Arc<Rooms>,
    room: Arc<Place<Arc<str>, State>>,
    outbox: Arc<Outbox>,
    /// Whether the others hear of its end.
    is_told: bool,
}

impl Rooms {
    /// How many rooms have a member.
    #[cfg(any(test, fuzzing, feature = "admin"))]
    pub(in crate::wires) fn len(&self) -> usize {
        self.table.len()
    }

    /// Has the client of `outbox`, which is not there, enter the room `name`. Also says how many members it has then.
    ///
    /// # Errors
    /// [`Full`]; then nobody is told anything.
    pub(super) fn enter(
        self: &Arc<Self>,
        name: &Arc<str>,
        id: Id,
        outbox: &Arc<Outbox>,
        deferred: &mut Deferred,
    ) -> Result<(Membership, usize), Full> {
        let (room, members) = self.table.enter(name, |state| {
            if state.members.len() >= RXDB_MEMBERS {
                return Err(Full::Members);
            }
            if !outbox.sender().purse().has((1 + state.members.len()) * NEWCOMER_BYTES) {
                return Err(Full::NoMemory);
            }
            if state.members.is_empty() {
                state.number = self.count.fetch_add(1, Relaxed);
            }
            state.members.push(Member { id, outbox: Arc::clone(outbox) });
            state.tell(outbox.sender(), deferred);
            Ok(state.members.len())
        })?;
        let (rooms, outbox) = (Arc::clone(self), Arc::clone(outbox));
        Ok((Membership { rooms, room, outbox, is_told: true }, members))
    }
}

impl table::State for State {
    fn is_over(&self) -> bool {
        self.members.is_empty()
    }
}

impl State {
    /// Tells all who is there, because of `cause`. Of the lists that a member has not read the last one is enough.
    fn tell(&self, cause: &Sender, deferred: &mut Deferred) {
        let frame = joined(self.members.iter().map(|member| member.id));
        for member in &self.members {
            member.outbox.announce(cause, Topic::Roster(self.number), frame.clone());
            deferred.add(&member.outbox);
        }
    }
}

impl Membership {
    /// Says `text` to the member whose id is `receiver`.
    pub(super) fn signal(&self, receiver: &str, text: &str, waker: &Waker, deferred: &mut Deferred) -> Signalled {
        self.room.visit(|state| {
            let Some(receiver) = state.members.iter().find(|member| member.id.as_str() == receiver) else {
                return Signalled::Nobody;
            };
            let frame = frame::text(text.len(), |frame| frame.extend_from_slice(text.as_bytes()));
            signal_to(&receiver.outbox, frame, self.outbox.sender(), waker, deferred)
        })
    }

    /// Ends it without a word.
    pub(super) fn end_silently(&mut self) {
        self.is_told = false;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut deferred = Deferred::default();
        self.rooms.table.change(&self.room, |state| {
            state.members.retain(|member| member.outbox.id() != self.outbox.id());
            if self.is_told {
                state.tell(self.outbox.sender(), &mut deferred);
            }
        });
    }
}

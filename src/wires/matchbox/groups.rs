//! The groups of matchbox's clients: who is together with whom.
//!
//! A group is in the table, under its room and its size, while it is neither complete nor empty; who comes later begins a new
//! one. A complete group lives on with its members, who alone know of it. A coming, a leaving, and a signal happen under the
//! group's lock, so that of two members exactly one hears of the other as new. A [`Membership`] ends when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Waker;

use thiserror::Error;

use super::uuid::Uuid;
use super::{Signal, Size, id_assigned, new_peer, peer_left, signal_of};
use crate::limits::{MATCHBOX_MEMBERS, NEWCOMER_BYTES};
use crate::outbox::{Outbox, Topic};
use crate::room::Deferred;
use crate::wires::signalled::{Signalled, signal_to};
use crate::wires::table::{self, Place, Table};

/// The groups that newcomers may enter.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    open: Table<Key, State>,
    /// How many have a member, complete ones too.
    count: AtomicUsize,
}

/// By what newcomers find a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    room: Arc<str>,
    size: Size,
}

/// One group.
#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    /// Whether as many have come as make it complete.
    is_complete: bool,
}

#[derive(Debug)]
struct Member {
    id: Uuid,
    outbox: Arc<Outbox>,
}

/// Why a client cannot enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Full {
    /// It asks for a group of a size that there is not.
    #[error("\"next\" in the URL must be from 1 to {MATCHBOX_MEMBERS}")]
    NoSuchSize,
    /// The group has as many members as may be.
    #[error("the room has {MATCHBOX_MEMBERS} members, which are all that it may have")]
    Members,
    /// A member has not read yet what it was told earlier.
    #[error("a member of the room does not read what it is told: try again in a few seconds")]
    Unread,
    /// There is no memory for what the others are told.
    #[error("there is no memory for one more member now: try again later")]
    NoMemory,
    /// The operating system provides no randomness for an id.
    #[error("there is no randomness for an id: try again later")]
    NoRandomness,
}

/// A client's part in a group. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Membership {
    groups: Arc<Groups>,
    group: Arc<Place<Key, State>>,
    id: Uuid,
    outbox: Arc<Outbox>,
    /// Whether the others hear of its end.
    is_told: bool,
}

impl Groups {
    /// How many groups have a member.
    #[cfg(any(feature = "admin", test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// How many groups newcomers may enter.
    #[cfg(any(test, fuzzing))]
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Enters the group of this room and size that is open, or begins one.
    ///
    /// # Errors
    /// [`Full`]; then nobody is told anything.
    pub(super) fn enter(
        self: &Arc<Self>,
        room: &Arc<str>,
        size: Size,
        outbox: &Arc<Outbox>,
        deferred: &mut Deferred,
    ) -> Result<Membership, Full> {
        let id = Uuid::random().map_err(|_| Full::NoRandomness)?;
        let key = Key { room: Arc::clone(room), size };
        let (group, ()) = self.open.enter(&key, |state| {
            state.check(outbox)?;
            state.add(id, outbox, deferred);
            if state.members.len() == 1 {
                self.count.fetch_add(1, Relaxed);
            }
            state.is_complete = size.is_some_and(|size| state.members.len() >= usize::from(size.get()));
            Ok(())
        })?;
        let (groups, outbox) = (Arc::clone(self), Arc::clone(outbox));
        Ok(Membership { groups, group, id, outbox, is_told: true })
    }
}

impl table::State for State {
    fn is_over(&self) -> bool {
        self.is_complete || self.members.is_empty()
    }
}

impl State {
    /// Whether the client of `outbox` may enter.
    fn check(&self, outbox: &Outbox) -> Result<(), Full> {
        if self.members.len() >= MATCHBOX_MEMBERS {
            return Err(Full::Members);
        }
        if !outbox.sender().purse().has((1 + self.members.len()) * NEWCOMER_BYTES) {
            return Err(Full::NoMemory);
        }
        // That somebody has come, and later that each of them has left.
        let more = 2 + self.members.len();
        let reads = |member: &Member| member.outbox.make_room_for_announcements(more);
        if self.members.iter().all(reads) { Ok(()) } else { Err(Full::Unread) }
    }

    fn add(&mut self, id: Uuid, outbox: &Arc<Outbox>, deferred: &mut Deferred) {
        let newcomer = outbox.sender();
        outbox.announce(newcomer, Topic::Start, id_assigned(id));
        let frame = new_peer(id);
        for member in &self.members {
            member.outbox.announce(newcomer, Topic::Joined(outbox.id()), frame.clone());
            deferred.add(&member.outbox);
        }
        self.members.push(Member { id, outbox: Arc::clone(outbox) });
    }
}

impl Membership {
    /// The id of the client.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Says something to another member.
    pub(super) fn signal(&self, signal: &Signal<'_>, waker: &Waker, deferred: &mut Deferred) -> Signalled {
        self.group.visit(|state| {
            let Some(receiver) = state.members.iter().find(|member| member.id == signal.receiver) else {
                return Signalled::Nobody;
            };
            let frame = signal_of(self.id, signal.data);
            signal_to(&receiver.outbox, frame, self.outbox.sender(), waker, deferred)
        })
    }

    /// Ends it without a word: the relay itself ends, and who has met goes on.
    pub(super) fn end_silently(&mut self) {
        self.is_told = false;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut deferred = Deferred::default();
        self.groups.open.change(&self.group, |state| {
            state.members.retain(|member| member.id != self.id);
            if self.is_told {
                let (sender, frame) = (self.outbox.sender(), peer_left(self.id));
                for member in &state.members {
                    member.outbox.announce(sender, Topic::Left(self.outbox.id()), frame.clone());
                    deferred.add(&member.outbox);
                }
            }
            if state.members.is_empty() {
                self.groups.count.fetch_sub(1, Relaxed);
            }
        });
    }
}

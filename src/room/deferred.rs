//! Which outboxes a signal was pushed into, and which of them are to be flushed.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::event::LeaveReason;
use super::names::PeerId;
use super::suspend::Absence;
use crate::outbox::Outbox;

/// What is left to do when no lock is held: the outboxes that have new frames are flushed, each once for all messages of
/// one read; and members that were removed while they were away are given up.
#[derive(Debug, Default)]
pub(crate) struct Flushes {
    outboxes: SmallVec<[Arc<Outbox>; 8]>,
    /// Seldom there: a pointer that is null costs each message less than a list that is empty.
    removed: Option<Box<Removed>>,
}

/// Members that were removed while they were away, and why.
#[derive(Debug, Default)]
struct Removed(Vec<(Arc<dyn Absence>, LeaveReason)>);

impl Flushes {
    /// Writes as much of each outbox as its socket accepts now, and gives up the members that were removed.
    pub(crate) fn flush(&mut self) {
        for outbox in self.outboxes.drain(..) {
            outbox.flush();
        }
        self.give_up_removed();
    }

    /// Gives up the members that were removed.
    #[inline]
    pub(crate) fn give_up_removed(&mut self) {
        let Some(removed) = self.removed.take() else { return };
        for (absence, reason) in removed.0 {
            absence.end(reason);
        }
    }

    pub(super) fn add(&mut self, outbox: &Arc<Outbox>) {
        if !self.outboxes.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            self.outboxes.push(Arc::clone(outbox));
        }
    }

    pub(super) fn add_removed(&mut self, absence: Arc<dyn Absence>, reason: LeaveReason) {
        self.removed.get_or_insert_default().0.push((absence, reason));
    }
}

impl Drop for Flushes {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The outcome of relaying a signal.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// How many members it was for.
    pub receivers: usize,
    /// The members that did not get it because they are busy for this sender.
    pub busy: Vec<PeerId>,
    /// The members that have not got it yet, because the sender's share in their outboxes is full.
    pub blocked: Vec<Blocked>,
    /// The signal for the blocked members; empty if there are none.
    pub frame: Bytes,
}

/// A receiver in whose outbox the sender's share is full: the sender is paused until it has room.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// Its id.
    pub id: PeerId,
    /// The number of its membership in the room.
    pub(super) serial: u64,
}

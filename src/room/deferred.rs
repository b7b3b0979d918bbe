//! What is left to do when no lock is held.

use std::fmt;
use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use super::event::LeaveReason;
use crate::outbox::Outbox;

/// What is left to do when no lock is held: the outboxes that have new frames are flushed, each once for all messages of
/// one read; and who was removed while it was away is given up. It is done when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Deferred {
    outboxes: SmallVec<[Arc<Outbox>; 8]>,
    /// Seldom there: a pointer that is null costs each message less than a list that is empty.
    removed: Option<Box<Removed>>,
    /// How many deliveries the client pays for whose message is handled.
    deliveries: usize,
}

/// Members that were removed while they were away, and why.
#[derive(Debug, Default)]
struct Removed(Vec<(OnRemoved, LeaveReason)>);

/// What to do when the room removes a member that is away. It is called when no lock is held.
pub(crate) struct OnRemoved(Box<dyn FnOnce(LeaveReason) + Send>);

impl OnRemoved {
    /// Calls `act` with the reason.
    pub(crate) fn new(act: impl FnOnce(LeaveReason) + Send + 'static) -> Self {
        Self(Box::new(act))
    }
}

impl Deferred {
    /// Writes as much of each outbox as its socket accepts now, and gives up the members that were removed.
    pub(crate) fn flush(&mut self) {
        if !self.outboxes.is_empty() {
            for outbox in self.outboxes.drain(..) {
                outbox.flush();
            }
        }
        self.give_up_removed();
    }

    /// Gives up the members that were removed.
    #[inline]
    pub(crate) fn give_up_removed(&mut self) {
        let Some(removed) = self.removed.take() else { return };
        for (OnRemoved(act), reason) in removed.0 {
            act(reason);
        }
    }

    /// How many deliveries there were since the last call that the client pays for.
    pub(crate) fn take_deliveries(&mut self) -> usize {
        mem::take(&mut self.deliveries)
    }

    /// Counts a delivery.
    pub(super) fn count_delivery(&mut self) {
        self.deliveries += 1;
    }

    /// Forgets all but the first `counted` deliveries: the client does not pay for the others.
    pub(super) fn forget_deliveries(&mut self, counted: usize) {
        self.deliveries = counted;
    }

    /// How many deliveries are counted.
    pub(super) fn deliveries(&self) -> usize {
        self.deliveries
    }

    /// Flushes this outbox, in which something new is queued.
    pub(crate) fn add(&mut self, outbox: &Arc<Outbox>) {
        if !self.outboxes.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            self.outboxes.push(Arc::clone(outbox));
        }
    }

    pub(super) fn add_removed(&mut self, act: OnRemoved, reason: LeaveReason) {
        self.removed.get_or_insert_default().0.push((act, reason));
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for OnRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRemoved(..)")
    }
}

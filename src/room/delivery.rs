//! Which outboxes a signal was pushed into, and which of them are to be flushed.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::names::PeerId;
use crate::outbox::Outbox;

/// The outboxes that have new frames. They are flushed when no lock is held: each once for all messages of one read.
#[derive(Debug, Default)]
pub(crate) struct Flushes(SmallVec<[Arc<Outbox>; 8]>);

impl Flushes {
    /// Writes as much of each outbox as its socket accepts now.
    pub(crate) fn flush(&mut self) {
        for outbox in self.0.drain(..) {
            outbox.flush();
        }
    }

    pub(super) fn add(&mut self, outbox: &Arc<Outbox>) {
        if !self.0.iter().any(|other| Arc::ptr_eq(other, outbox)) {
            self.0.push(Arc::clone(outbox));
        }
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

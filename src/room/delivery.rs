//! Where a signal went, and what is still to be done for it.

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::names::PeerId;
use crate::outbox::Outbox;

/// The outboxes that something was put into. They are flushed when no lock is held, and each once for all that one read
/// of a socket brought.
#[derive(Debug, Default)]
pub(crate) struct Flushes(SmallVec<[Arc<Outbox>; 8]>);

impl Flushes {
    /// Writes what waits in the outboxes, as far as their sockets take it now.
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

/// Where a signal went.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// How many it was for.
    pub receivers: usize,
    /// Those who did not get it: they take no more from this sender just now.
    pub busy: Vec<PeerId>,
    /// Those whose share of this sender is full, and worth waiting for a moment.
    pub blocked: Vec<Blocked>,
    /// What they wait for.
    pub frame: Bytes,
}

/// A member that a signal waits for.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// Its id.
    pub id: PeerId,
    pub(super) serial: u64,
}

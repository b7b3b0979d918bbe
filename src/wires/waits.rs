//! For what a client on a wire of topics waits, while nothing more is read from it.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use crate::auth::Decision;
use crate::budget::Charge;
use crate::limits::WIRE_PATIENCE;
use crate::outbox::{CloseRequest, Outbox, Pushed, Sender};
use crate::room::Deferred;

/// For what a client waits: nothing more is read from it.
pub(super) enum Waits {
    /// Others get their turns.
    Turn {
        /// Whether they had it.
        is_over: bool,
    },
    /// Whether it may do what it said is being decided.
    Answer(Box<Deciding>),
    /// Receivers have no room for what it said.
    Room(Box<Blocked>),
}

pub(super) struct Deciding {
    pub(super) decision: Decision,
    pub(super) topic: Arc<str>,
    /// What it said, and which of the topics in that is being decided.
    pub(super) text: String,
    pub(super) at: usize,
    /// The memory of all that.
    pub(super) _memory: Charge,
}

pub(super) struct Blocked {
    pub(super) frame: Bytes,
    pub(super) receivers: Vec<Arc<Outbox>>,
    pub(super) since: Instant,
    /// When it was tried again last.
    pub(super) looked: Option<Instant>,
    /// The memory of all that.
    pub(super) _memory: Charge,
}

impl Blocked {
    /// Tries again; returns in how many outboxes it is queued now.
    pub(super) fn try_again(&mut self, sender: &Sender, waker: &Waker, deferred: &mut Deferred, nudges: bool) -> usize {
        let before = self.receivers.len();
        let mut gone = 0;
        self.receivers.retain(|receiver| match receiver.push_or_wait(sender, &self.frame, waker, nudges) {
            Pushed::Queued => {
                deferred.add(receiver);
                false
            }
            Pushed::Closed => {
                gone += 1;
                false
            }
            Pushed::Full | Pushed::Busy => true,
        });
        before - self.receivers.len() - gone
    }

    /// Nobody waits for these receivers any longer: who reads too slowly is closed, and if there is no memory, the sender is.
    pub(super) fn give_up(self, owner: &Outbox) {
        for receiver in self.receivers {
            match receiver.push_or_wait(owner.sender(), &self.frame, Waker::noop(), true) {
                Pushed::Full => receiver.request_close(CloseRequest::TooSlow),
                Pushed::Busy => owner.request_close(CloseRequest::NoMemory),
                Pushed::Queued => receiver.flush(),
                Pushed::Closed => {}
            }
            receiver.give_up(owner.sender());
        }
    }

    /// When patience ends.
    pub(super) fn end(&self) -> Instant {
        self.since + WIRE_PATIENCE
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn { .. } => "Turn",
            Self::Answer(_) => "Answer",
            Self::Room(_) => "Room",
        })
    }
}

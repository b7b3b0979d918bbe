//! What becomes of a message for one other member.

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

use crate::outbox::{Outbox, Pushed, Sender};
use crate::room::Deferred;

/// What became of a signal.
#[derive(Debug)]
pub(super) enum Signalled {
    /// No such member is there, or its connection is about to end.
    Nobody,
    /// It is queued, with a frame of so many bytes.
    Queued(usize),
    /// The receiver has no room for it yet.
    Blocked(Bytes, Arc<Outbox>),
}

/// Says `frame` of `sender` to the member of this outbox.
pub(super) fn signal_to(
    receiver: &Arc<Outbox>,
    frame: Bytes,
    sender: &Sender,
    waker: &Waker,
    deferred: &mut Deferred,
) -> Signalled {
    match receiver.push_or_wait(sender, &frame, waker, true) {
        Pushed::Queued => {
            deferred.add(receiver);
            Signalled::Queued(frame.len())
        }
        Pushed::Closed => Signalled::Nobody,
        Pushed::Full | Pushed::Busy => {
            // An earlier message of the same read may still be queued there.
            deferred.add(receiver);
            Signalled::Blocked(frame, Arc::clone(receiver))
        }
    }
}

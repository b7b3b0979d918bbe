//! Senders whose wire has no word for "busy": they wait for as long as it takes.

use std::task::Waker;

use bytes::Bytes;

use super::{Outbox, Pushed, Sender, replay};

impl Outbox {
    /// Queues a message as [`push`](Self::push) does, for a sender whose wire has no word for "busy": whatever is full, it waits.
    /// [`Pushed::Busy`] says that there is no memory for it now, which nobody wakes the sender for. `nudges` says whether the
    /// task of this outbox is to try its socket; two that wait for each other must not always do so.
    pub(crate) fn push_or_wait(&self, sender: &Sender, frame: &Bytes, waker: &Waker, nudges: bool) -> Pushed {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.is_closed {
            return Pushed::Closed;
        }
        let is_crowded = state.is_stalled() && state.is_crowded_by(sender, frame.len());
        let has_room = !is_crowded && state.has_room(frame.len(), self.max_bytes);
        let share = state.shares.entry(sender.id);
        let pushed = if has_room && share.fits(frame.len()) {
            if let Some(queued) = replay::queued(sender, frame, &mut state.kept) {
                share.add(frame.len());
                state.bytes += frame.len();
                self.enqueue(state, queued);
                return Pushed::Queued;
            }
            Pushed::Busy
        } else {
            share.wait(waker);
            if nudges {
                state.wake_owner();
            }
            Pushed::Full
        };
        state.shares.forget_if_idle(sender.id);
        pushed
    }
}

//! A message that waits for room in the outboxes of its receivers, on wires that have no word for "busy".

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use crate::budget::Charge;
use crate::limits::{WIRE_LOOK, WIRE_PATIENCE};
use crate::outbox::{CloseRequest, Outbox, Pushed, Sender};
use crate::peer::Looks;
use crate::room::Deferred;

/// A message that waits, while nothing more is read from its sender.
#[derive(Debug)]
pub(super) struct Blocked {
    /// The message.
    pub(super) frame: Bytes,
    /// Those that have no room for it yet.
    pub(super) receivers: Vec<Arc<Outbox>>,
    patience: Patience,
    _memory: Charge,
}

/// How long a message waits, and when it is tried again.
#[derive(Debug)]
pub(super) struct Patience(Looks);

/// So often a message is tried again.
const LOOKS: u32 = (WIRE_PATIENCE.as_millis() / WIRE_LOOK.as_millis()) as u32;

impl Patience {
    /// It waits since `now`.
    pub(super) fn since(now: Instant) -> Self {
        Self(Looks::every(WIRE_LOOK, now))
    }

    /// Whether to try again. Not each time that it is woken: who waits for whom may be woken by that, and wakes it in turn.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.0.is_due(now)
    }

    /// Whether it has waited long enough.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.0.count() >= LOOKS && self.is_due(now)
    }

    /// Notes that it was tried in vain.
    pub(super) fn note(&mut self, now: Instant) {
        self.0.note(now);
    }

    /// When to try again at the latest.
    pub(super) fn next_look(&self) -> Instant {
        self.0.next()
    }
}

impl Blocked {
    /// It waits since `now`. Its memory is charged in any case to its sender, `owner`: each has one at most.
    pub(super) fn new(frame: Bytes, receivers: Vec<Arc<Outbox>>, owner: &Outbox, now: Instant) -> Self {
        let bytes = frame.len() + receivers.len() * size_of::<Arc<Outbox>>();
        let _memory = owner.sender().purse().charge_anyway(bytes);
        Self { frame, receivers, patience: Patience::since(now), _memory }
    }

    /// Tries again if it is time; ready when nobody has to be waited for any more. Also says in how many outboxes it is queued now.
    pub(super) fn poll(
        &mut self,
        owner: &Outbox,
        cx: &mut Context<'_>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> (Poll<()>, usize) {
        let is_due = self.patience.is_due(now);
        let queued = self.try_again(owner.sender(), cx.waker(), deferred, is_due);
        if self.receivers.is_empty() {
            return (Poll::Ready(()), queued);
        }
        if self.patience.is_over(now) {
            self.give_up(owner);
            return (Poll::Ready(()), queued);
        }
        self.patience.note(now);
        (Poll::Pending, queued)
    }

    /// When to poll it again at the latest.
    pub(super) fn next_look(&self) -> Instant {
        self.patience.next_look()
    }

    /// Tries for a last time, because the connection of its sender has ended; returns in how many outboxes it is queued now.
    pub(super) fn end_with(&mut self, owner: &Outbox) -> usize {
        let sender = owner.sender();
        let queued = self.try_again(sender, Waker::noop(), &mut Deferred::default(), true);
        self.receivers.drain(..).for_each(|receiver| receiver.give_up(sender));
        queued
    }

    fn try_again(&mut self, sender: &Sender, waker: &Waker, deferred: &mut Deferred, nudges: bool) -> usize {
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
    fn give_up(&mut self, owner: &Outbox) {
        for receiver in self.receivers.drain(..) {
            match receiver.push_or_wait(owner.sender(), &self.frame, Waker::noop(), true) {
                Pushed::Full => receiver.request_close(CloseRequest::TooSlow),
                Pushed::Busy => owner.request_close(CloseRequest::NoMemory),
                Pushed::Queued => receiver.flush(),
                Pushed::Closed => {}
            }
            receiver.give_up(owner.sender());
        }
    }
}

//! How a session relays signals, and when it pauses: its peer is **paused** while the last signal found the sender's share
//! full in some outboxes. Each of these receivers is **blocked** until it has room or the sender gives up.
//! [`crate::outbox`] defines full, stalled and busy.

use std::task::{self, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Session, Stage};
use crate::budget::Charge;
use crate::limits::{PAUSE, STALL};
use crate::outbox::{Outbox, Pushed};
use crate::peer::looks::Looks;
use crate::room::{Blocked, Deferred, ErrorCode, Membership, Refusal, Relayed, Signal};

/// How often a paused peer looks at its receivers: twice in the time that makes a socket stalled, since each look lets the
/// socket's task try to write.
const LOOK: Duration = STALL.checked_div(2).unwrap();
/// After so many looks it gives up on a receiver whose socket is stalled, and after so many on any.
const LOOKS_AT_STALLED: u32 = (STALL.as_millis() / LOOK.as_millis()) as u32;
const LOOKS: u32 = (PAUSE.as_millis() / LOOK.as_millis()) as u32;

/// The wait for room for one signal.
#[derive(Debug)]
pub(super) struct Pause {
    frame: Bytes,
    /// The memory of the frame.
    _memory: Option<Charge>,
    blocked: Vec<Blocked>,
    /// How many copies were queued since the pause began.
    queued: usize,
    /// The bytes of the signal, as its sender wrote it.
    bytes: usize,
    is_broadcast: bool,
    /// The `ref` of the signal.
    reference: Option<String>,
    /// Those at the blocked receivers.
    looks: Looks,
}

impl Pause {
    /// A pause for what `relayed` could not deliver, whose memory is charged.
    pub(super) fn new(
        relayed: Relayed,
        memory: Option<Charge>,
        signal: &Signal<'_>,
        reference: Option<&str>,
        now: Instant,
    ) -> Self {
        let Relayed { frame, blocked, .. } = relayed;
        let reference = reference.map(str::to_owned);
        let (bytes, is_broadcast) = (signal.bytes, signal.to.is_none());
        Self {
            frame,
            _memory: memory,
            blocked,
            queued: 0,
            bytes,
            is_broadcast,
            reference,
            looks: Looks::every(LOOK, now),
        }
    }

    /// When to look again at the latest.
    pub(super) fn next_look(&self) -> Instant {
        self.looks.next()
    }

    /// Tries again; `is_late` says from a receiver's outbox whether to give up on it. Returns a refusal for each receiver
    /// that does not get the signal.
    fn try_again(
        &mut self,
        membership: &Membership,
        waker: &Waker,
        deferred: &mut Deferred,
        is_late: impl Fn(&Outbox) -> bool,
    ) -> Vec<Refusal> {
        let (frame, is_broadcast, mut refusals) = (&self.frame, self.is_broadcast, Vec::new());
        let queued = &mut self.queued;
        self.blocked.retain(|one| match membership.relay_again(one, frame, waker, deferred, &is_late) {
            Some(Pushed::Full) => true,
            Some(Pushed::Queued) => {
                *queued += 1;
                false
            }
            Some(Pushed::Closed) => false,
            Some(Pushed::Busy) => {
                refusals.push(Refusal::peer_busy(&one.id));
                false
            }
            None => {
                // A broadcast is for those who are in the room: one who has left needs no error.
                if !is_broadcast {
                    refusals.push(has_left(one));
                }
                false
            }
        });
        refusals
    }
}

impl Session {
    /// Relays a signal; the peer is paused if it does not fit.
    pub(super) fn relay(
        &mut self,
        signal: &Signal<'_>,
        reference: Option<&str>,
        now: Instant,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<(), Refusal> {
        let relayed = self.membership()?.relay(signal, waker, deferred)?;
        // `take_message` has counted the first receiver already.
        self.rate.charge(relayed.receivers.saturating_sub(1));
        self.count_relayed(relayed.queued, signal.bytes);
        for id in &relayed.busy {
            self.refuse(&Refusal::peer_busy(id), reference);
        }
        if !relayed.blocked.is_empty() {
            let bytes = relayed.frame.len() + relayed.blocked.len() * size_of::<Blocked>();
            let memory = self.outbox.sender().purse().charge(bytes);
            let has_memory = memory.is_some();
            self.pause(Pause::new(relayed, memory, signal, reference, now));
            if !has_memory {
                self.stop_pause();
            }
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, new: Pause) {
        if let Stage::Joined { pause, .. } = &mut self.stage {
            *pause = Some(Box::new(new));
        }
    }

    /// Tries again to queue the signal for the blocked receivers; ready when none is blocked any more.
    pub(super) fn poll_pause(&mut self, cx: &task::Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        let Stage::Joined { membership, pause: slot, .. } = &mut self.stage else { return Poll::Ready(()) };
        let Some(mut pause) = slot.take() else { return Poll::Ready(()) };
        let (is_due, looks, last) = (pause.looks.is_due(now), pause.looks.count(), pause.looks.last());
        let is_stalled =
            |receiver: &Outbox| looks >= LOOKS_AT_STALLED && last.is_some_and(|at| receiver.was_stalled(at));
        let is_late = |receiver: &Outbox| is_due && (looks >= LOOKS || is_stalled(receiver));
        let refusals = pause.try_again(membership, cx.waker(), deferred, is_late);
        let is_over = pause.blocked.is_empty();
        pause.looks.note(now);
        self.count_relayed(std::mem::take(&mut pause.queued), pause.bytes);
        for refusal in refusals {
            self.refuse(&refusal, pause.reference.as_deref());
        }
        if is_over {
            return Poll::Ready(());
        }
        self.pause(*pause);
        Poll::Pending
    }

    /// Gives up on the receivers for which the peer is paused: they are busy. The message counts as taken, so the peer
    /// must hear about it.
    pub(super) fn stop_pause(&mut self) {
        let Stage::Joined { membership, pause, .. } = &mut self.stage else { return };
        let Some(mut pause) = pause.take() else { return };
        let refusals = pause.try_again(membership, Waker::noop(), &mut Deferred::default(), |_| true);
        self.count_relayed(pause.queued, pause.bytes);
        for refusal in refusals {
            self.refuse(&refusal, pause.reference.as_deref());
        }
    }
}

fn has_left(one: &Blocked) -> Refusal {
    Refusal {
        code: ErrorCode::PeerNotFound,
        message: "that peer has just left the room".into(),
        to: Some(one.id.as_str().to_owned()),
    }
}

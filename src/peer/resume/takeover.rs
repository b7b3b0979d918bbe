//! A connection that takes over the place of an earlier one.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::{Resumption, Resumptions, State, Suspended};
use crate::limits::RESUME_WAIT;
use crate::outbox::{CloseRequest, Outbox};
use crate::room::{Deferred, ErrorCode, LeaveReason, Refusal, ResumeOffer, Returning};
use crate::secret::Secret;

/// A takeover under way. It is withdrawn when it is dropped.
#[derive(Debug)]
pub(crate) struct Takeover {
    resumptions: Arc<Resumptions>,
    resumption: Arc<Resumption>,
    number: u64,
    /// The number of the last message that the client has received.
    received: u64,
    /// The outbox of the client's new connection.
    outbox: Arc<Outbox>,
    /// When the client's rates allow it to have the place, if it waits for that.
    paid_at: Option<Instant>,
}

/// The connection of a takeover, which waits until the session of the old one has left the place.
#[derive(Debug)]
pub(super) struct Successor {
    number: u64,
    waker: Waker,
    outbox: Arc<Outbox>,
}

impl Successor {
    pub(super) fn wake(&self) {
        self.waker.wake_by_ref();
    }
}

impl Resumptions {
    /// Begins to take over the place of `token` for the client of `outbox`, which has received its messages up to the
    /// number `received`, and which asked for it at the time `asked`: another relay may have kept that for a while. `waker`
    /// is woken when the takeover may be [ready](Takeover::poll).
    ///
    /// # Errors
    /// When there is no such place, its connection cannot go on from there, or another connection has asked later than this
    /// one.
    pub(crate) fn take_over(
        self: &Arc<Self>,
        token: &Secret,
        received: u64,
        asked: Instant,
        outbox: &Arc<Outbox>,
        waker: &Waker,
    ) -> Result<Takeover, Refusal> {
        let resumption = Arc::clone(&*self.by_token.get(token.reveal()).ok_or_else(resume_failed)?);
        if !resumption.has_way_back() {
            self.give_up_if_held(&resumption);
            return Err(resume_failed());
        }
        let mut state = resumption.lock();
        if state.asked.is_some_and(|last| asked < last) {
            return Err(comes_too_late());
        }
        if state.suspended.is_none() {
            let owner = state.owner.upgrade().ok_or_else(resume_failed)?;
            if !owner.can_resume_after(received) {
                return Err(resume_failed());
            }
            owner.request_close(CloseRequest::TakenOver);
        }
        state.asked = Some(asked);
        if let Some(before) = state.successor.take() {
            before.outbox.request_close(CloseRequest::TakenOver);
        }
        let number = state.next_number();
        state.successor = Some(Successor { number, waker: waker.clone(), outbox: Arc::clone(outbox) });
        drop(state);
        let (resumptions, outbox) = (Arc::clone(self), Arc::clone(outbox));
        Ok(Takeover { resumptions, resumption, number, received, outbox, paid_at: None })
    }
}

impl Takeover {
    /// The place.
    pub(crate) fn resumption(&self) -> &Arc<Resumption> {
        &self.resumption
    }

    /// When to [poll](Self::poll) again at the latest.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.paid_at
    }

    /// Ready when the client has the place, with what the old session left, or with the reason why it cannot have it. A
    /// takeover that another one has replaced is never ready: its connection is told to end.
    ///
    /// What the client was sent again before, and what others heard of its coming and going, counts towards its rates. If
    /// that was too much, it waits.
    pub(crate) fn poll(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Poll<Result<Box<Suspended>, Refusal>> {
        let resumption = Arc::clone(&self.resumption);
        let mut state = resumption.lock();
        if !self.resumptions.by_token.contains_key(resumption.token.reveal()) {
            return Poll::Ready(Err(resume_failed()));
        }
        let Some(successor) = state.successor.as_mut().filter(|successor| successor.number == self.number) else {
            return Poll::Pending;
        };
        successor.waker.clone_from(cx.waker());
        self.paid_at = None;
        if !resumption.has_way_back() && state.suspended.is_some() {
            // It has ended while the client waited.
            state.successor = None;
            self.resumptions.abandon(&resumption, &mut state, LeaveReason::Timeout);
            return Poll::Ready(Err(resume_failed()));
        }
        match state.suspended.as_ref().map(|suspended| suspended.rate.missing(now)) {
            None => Poll::Pending,
            Some(Some(missing)) if missing > RESUME_WAIT => Poll::Ready(Err(comes_too_often(missing))),
            Some(Some(missing)) => {
                self.paid_at = Some(now + missing);
                Poll::Pending
            }
            Some(None) => match state.suspended.take() {
                Some(suspended) => Poll::Ready(self.complete(&mut state, suspended, now, deferred)),
                None => Poll::Pending,
            },
        }
    }

    /// Gives the place to the new connection. If it cannot go on, the place is given up.
    fn complete(
        &self,
        state: &mut State,
        mut suspended: Box<Suspended>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Result<Box<Suspended>, Refusal> {
        let Self { resumptions, resumption, received, outbox, .. } = self;
        (state.successor, state.hold) = (None, None);
        let resume = ResumeOffer { token: &resumption.token, hold_ms: resumptions.hold_ms() };
        let returning = Returning { received: *received, taken: suspended.taken, resume, outbox };
        let Ok(replayed) = suspended.membership.resume(&returning, deferred) else {
            resumptions.end(resumption, state);
            resumptions.leave(*suspended, LeaveReason::Timeout);
            return Err(resume_failed());
        };
        let messages = deferred.take_deliveries() + replayed.messages;
        suspended.rate.charge_replay(messages, replayed.bytes, now);
        state.owner = Arc::downgrade(outbox);
        Ok(suspended)
    }
}

/// Why a client cannot have its place again.
pub(crate) fn resume_failed() -> Refusal {
    Refusal::new(ErrorCode::ResumeFailed, "the place is gone, or its messages are not kept any more: join again")
}

/// Why a client cannot have its place that another connection of it has asked for meanwhile: it has given this one up, most
/// likely, and is not to lose the other one to it. If it has not, it asks again.
fn comes_too_late() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "a later connection has asked for this place meanwhile: ask again")
}

/// Why a client cannot have its place now.
fn comes_too_often(missing: Duration) -> Refusal {
    let seconds = missing.as_secs() + 1;
    let message = format!("you were sent too much again for how often you came back: try again in {seconds} s");
    Refusal::new(ErrorCode::RateLimited, message)
}

impl Drop for Takeover {
    fn drop(&mut self) {
        let mut state = self.resumption.lock();
        if state.successor.take_if(|successor| successor.number == self.number).is_none() {
            return;
        }
        // It was held before, and is on.
        if state.hold.is_some() {
            return;
        }
        // The old session has left the place, and the new one does not come: nobody has it.
        let Some(suspended) = &state.suspended else { return };
        match self.resumptions.quotas.hold(suspended.address.as_ref()) {
            Some(quota) => self.resumptions.hold(&self.resumption, &mut state, quota, Instant::now()),
            None => self.resumptions.abandon(&self.resumption, &mut state, LeaveReason::Timeout),
        }
    }
}

//! A connection that takes over the place of an earlier one.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::{Resumption, Resumptions, State, Suspended};
use crate::outbox::{CloseRequest, Outbox};
use crate::room::{Deferred, LeaveReason, ResumeOffer, Returning};
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
    /// number `received`. None if there is no such place, or its connection cannot go on from there. `waker` is woken when
    /// the takeover may be [ready](Takeover::poll).
    pub(crate) fn take_over(
        self: &Arc<Self>,
        token: &Secret,
        received: u64,
        outbox: &Arc<Outbox>,
        waker: &Waker,
    ) -> Option<Takeover> {
        let resumption = Arc::clone(&*self.by_token.get(token.reveal())?);
        if !resumption.has_way_back() {
            self.give_up_if_held(&resumption);
            return None;
        }
        let mut state = resumption.lock();
        if state.suspended.is_none() {
            let owner = state.owner.upgrade()?;
            if !owner.can_resume_after(received) {
                return None;
            }
            owner.request_close(CloseRequest::TakenOver);
        }
        if let Some(before) = state.successor.take() {
            before.outbox.request_close(CloseRequest::TakenOver);
        }
        let number = state.next_number();
        state.successor = Some(Successor { number, waker: waker.clone(), outbox: Arc::clone(outbox) });
        drop(state);
        Some(Takeover { resumptions: Arc::clone(self), resumption, number, received, outbox: Arc::clone(outbox) })
    }
}

impl Takeover {
    /// The place.
    pub(crate) fn resumption(&self) -> &Arc<Resumption> {
        &self.resumption
    }

    /// Ready when the client has the place, with what the old session left; with none if it cannot have it, and then
    /// nobody can. A takeover that another one has replaced is never ready: its connection is told to end.
    pub(crate) fn poll(&self, cx: &Context<'_>, deferred: &mut Deferred) -> Poll<Option<Box<Suspended>>> {
        let mut state = self.resumption.lock();
        let is_known = self.resumptions.by_token.contains_key(self.resumption.token.reveal());
        let State { suspended, successor, .. } = &mut *state;
        match successor {
            _ if !is_known => Poll::Ready(None),
            Some(successor) if successor.number == self.number => match suspended.take() {
                Some(suspended) => Poll::Ready(self.complete(&mut state, suspended, deferred)),
                None => {
                    successor.waker.clone_from(cx.waker());
                    Poll::Pending
                }
            },
            _ => Poll::Pending,
        }
    }

    /// Gives the place to the new connection. If it cannot go on, the place is given up.
    fn complete(
        &self,
        state: &mut State,
        mut suspended: Box<Suspended>,
        deferred: &mut Deferred,
    ) -> Option<Box<Suspended>> {
        let Self { resumptions, resumption, received, outbox, .. } = self;
        (state.successor, state.hold) = (None, None);
        let resume = ResumeOffer { token: &resumption.token, hold_ms: resumptions.hold_ms() };
        let (received, taken, ice_servers) = (*received, suspended.taken, &resumption.ice_servers);
        let returning = Returning { received, taken, ice_servers, resume, outbox };
        if suspended.membership.resume(&returning, deferred).is_err() {
            resumptions.end(resumption, state);
            resumptions.leave(*suspended, LeaveReason::Timeout);
            return None;
        }
        suspended.rate.charge(deferred.take_deliveries());
        state.owner = Arc::downgrade(outbox);
        Some(suspended)
    }
}

impl Drop for Takeover {
    fn drop(&mut self) {
        // Dropped after the lock: it may give up other places.
        let mut deferred = Deferred::default();
        let mut state = self.resumption.lock();
        if state.successor.take_if(|successor| successor.number == self.number).is_none() {
            return;
        }
        // The old session has left the place, and the new one does not come: nobody has it.
        let Some(mut suspended) = state.suspended.take() else { return };
        let quota = self.resumptions.quotas.hold(suspended.address.as_ref());
        match quota.filter(|_| suspended.membership.tell_away(&mut deferred).is_ok()) {
            Some(quota) => {
                suspended.rate.charge(deferred.take_deliveries());
                state.suspended = Some(suspended);
                self.resumptions.hold(&self.resumption, &mut state, quota, Instant::now());
            }
            None => {
                self.resumptions.end(&self.resumption, &mut state);
                self.resumptions.leave(*suspended, LeaveReason::Timeout);
            }
        }
    }
}

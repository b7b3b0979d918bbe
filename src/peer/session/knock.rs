//! A session whose peer knocks at a locked room.

use std::mem;
use std::task::{self, Poll};

use tokio::time::Instant;

use super::resume::Resumable;
use super::{Session, Stage};
use crate::limits::KNOCK_DEADLINE;
use crate::outbox::CloseRequest;
use crate::room::names::PeerName;
use crate::room::{Deferred, Knock, LeaveReason, Membership, Refusal};

/// The wait of one peer.
#[derive(Debug)]
pub(super) struct Knocking {
    /// It begins when the peer is let in.
    membership: Membership,
    knock: Knock,
    deadline: Instant,
    via: Via,
    /// The peer's display name, for the observer.
    name: Option<PeerName>,
    /// Already here, since a host may let the peer in before its session knows.
    resumable: Option<Box<Resumable>>,
}

/// By what a client asks to join, and so where its refusal goes.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// A message, with this `ref`: the refusal is an `error`.
    Message(Option<String>),
    /// The URL of its connection: the refusal is the response to the upgrade. If the client knocks, it is an `error`, and
    /// the connection ends.
    Url,
}

impl Knocking {
    pub(super) fn new(
        membership: Membership,
        knock: Knock,
        via: Via,
        name: Option<PeerName>,
        resumable: Option<Box<Resumable>>,
    ) -> Box<Self> {
        Box::new(Self { membership, knock, deadline: Instant::now() + KNOCK_DEADLINE, via, name, resumable })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The room at which it waits.
    pub(super) fn room(&self) -> &str {
        self.membership.room().as_str()
    }

    pub(super) fn resumable(&mut self) -> Option<&mut Resumable> {
        self.resumable.as_deref_mut()
    }
}

impl Session {
    /// Goes on if it is decided whether the peer comes in, or if that takes too long.
    pub(super) fn poll_knock(&mut self, cx: &mut task::Context<'_>, now: Instant, deferred: &mut Deferred) {
        let Stage::Knocking(knocking) = &mut self.stage else { return };
        match knocking.knock.poll(cx) {
            Poll::Ready(outcome) => self.end_knock(outcome),
            Poll::Pending if now >= knocking.deadline => {
                let outcome = knocking.membership.expire(&mut knocking.knock, deferred);
                self.end_knock(outcome);
            }
            Poll::Pending => {}
        }
    }

    /// Takes notice if it is decided. A host may have let the peer in since the last poll, and the peer may know it.
    pub(super) fn settle_knock(&mut self) {
        if let Stage::Knocking(knocking) = &mut self.stage
            && let Some(outcome) = knocking.knock.outcome()
        {
            self.end_knock(outcome);
        }
    }

    /// Gives up.
    pub(super) fn stop_knocking(&mut self, knocking: Knocking, reason: LeaveReason, deferred: &mut Deferred) {
        self.close(knocking.resumable);
        knocking.membership.leave(reason, deferred);
        self.rate.charge(deferred.take_deliveries());
    }

    fn end_knock(&mut self, outcome: Result<(), Option<Refusal>>) {
        let Stage::Knocking(knocking) = mem::take(&mut self.stage) else { return };
        let Knocking { membership, via, name, resumable, .. } = *knocking;
        let refusal = match outcome {
            Ok(()) => return self.has_joined(membership, name, resumable),
            Err(refusal) => refusal,
        };
        self.close(resumable);
        // Without a reason, the relay shuts down.
        let Some(refusal) = refusal else { return };
        self.note_refused_join(&refusal, Some(membership.room()));
        match via {
            Via::Message(reference) => self.refuse(&refusal, reference.as_deref()),
            Via::Url => {
                self.refuse(&refusal, None);
                self.outbox.request_close(CloseRequest::Denied { retryable: refusal.code.is_retryable() });
            }
        }
    }
}

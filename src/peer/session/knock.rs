//! A session whose peer waits outside of a locked room: it is no member yet, and receives messages all the same.

use std::task;

use tokio::time::Instant;

use super::Session;
use crate::limits::KNOCK_DEADLINE;
use crate::outbox::EndReason;
use crate::room::names::PeerName;
use crate::room::{Flushes, Knock, LeaveReason, Refusal};

/// The wait of one peer.
#[derive(Debug)]
pub(super) struct Outside {
    knock: Knock,
    deadline: Instant,
    /// The `ref` of the join.
    reference: Option<String>,
    /// Whether the URL of the connection names the room: then the connection ends if the peer does not come in.
    is_by_url: bool,
    /// The peer's display name, for the observer.
    name: Option<PeerName>,
}

impl Outside {
    pub(super) fn new(knock: Knock, reference: Option<&str>, is_by_url: bool, name: Option<PeerName>) -> Box<Self> {
        let (deadline, reference) = (Instant::now() + KNOCK_DEADLINE, reference.map(str::to_owned));
        Box::new(Self { knock, deadline, reference, is_by_url, name })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The room at which it waits.
    pub(super) fn room(&self) -> &str {
        self.knock.room().as_str()
    }
}

impl Session {
    /// Goes on if it is decided whether the peer comes in, or if that takes too long.
    pub(super) fn poll_outside(&mut self, cx: &mut task::Context<'_>, now: Instant, flushes: &mut Flushes) {
        let Some(mut outside) = self.outside.take() else { return };
        let verdict = match outside.knock.poll(cx) {
            task::Poll::Ready(verdict) => verdict,
            task::Poll::Pending if now >= outside.deadline => outside.knock.expire(flushes),
            task::Poll::Pending => {
                self.outside = Some(outside);
                return;
            }
        };
        self.settle(*outside, verdict);
    }

    /// Takes notice if it is decided. A host may have let the peer in since the last poll, and the peer may know it.
    pub(super) fn look_outside(&mut self) {
        if let Some(mut outside) = self.outside.take() {
            match outside.knock.verdict() {
                Some(verdict) => self.settle(*outside, verdict),
                None => self.outside = Some(outside),
            }
        }
    }

    /// Gives up; returns whether the peer waited.
    pub(super) fn leave_outside(&mut self, reason: LeaveReason, flushes: &mut Flushes) -> bool {
        let Some(outside) = self.outside.take() else { return false };
        self.rate.charge(outside.knock.into_place().leave(reason, flushes));
        true
    }

    fn settle(&mut self, outside: Outside, verdict: Result<(), Option<Refusal>>) {
        match verdict {
            Ok(()) => self.become_member(outside.knock.into_place(), outside.name),
            Err(None) => self.close_place(),
            Err(Some(refusal)) => {
                self.close_place();
                self.refuse(&refusal, outside.reference.as_deref());
                if outside.is_by_url {
                    self.outbox.end(EndReason::Denied { retryable: refusal.code.is_retryable() });
                }
            }
        }
    }
}

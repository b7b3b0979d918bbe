//! A session whose place survives a lost connection: what it counts, how it leaves the place, and how it gets one.
//! [`crate::peer::resume`] keeps the places meanwhile.

use std::mem;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};

use super::{Session, Stage};
use crate::limits::TAKEN_MESSAGES;
use crate::peer::observer::RelayEvent;
use crate::peer::resume::{Claim, Found, Parted, Place};
use crate::protocol::Resume;
use crate::room::{ErrorCode, Event, Flushes, Refusal};

/// The place of a peer that survives a lost connection.
#[derive(Debug)]
pub(super) struct Resumable {
    place: Arc<Place>,
    /// How many of the peer's messages the relay has taken since it joined.
    taken: u64,
    /// How many of them the peer knows of.
    told: u64,
}

/// The wait for the place of another connection.
#[derive(Debug)]
pub(super) struct TakingOver {
    claim: Claim,
    /// The `ref` of the `resume`.
    reference: Option<String>,
}

impl Resumable {
    /// The place of a peer that has just joined.
    pub(super) fn new(place: Arc<Place>) -> Box<Self> {
        Box::new(Self { place, taken: 0, told: 0 })
    }
}

impl Session {
    /// Gives up the promise that the place survives a lost connection, if there is one.
    pub(super) fn close(&self, resumable: Option<Box<Resumable>>) {
        if let Some(resumable) = resumable {
            self.hub.places.close(&resumable.place);
            self.outbox.forget();
        }
    }

    /// Leaves the place to the next connection of this peer, if it may come back. Who still knocks may not.
    pub(super) fn suspend(&mut self) {
        self.settle_knock();
        if !matches!(self.stage, Stage::Joined { resumable: Some(_), .. }) {
            return;
        }
        self.stop_pause();
        let stage = mem::take(&mut self.stage);
        let Stage::Joined { membership, resumable: Some(resumable), .. } = stage else { return };
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.hub.observe(|| RelayEvent::Away { connection: self.connection, room, id });
        let (address, rate) = (self.rate.address().cloned(), self.rate.take());
        let Resumable { place, taken, .. } = *resumable;
        let parted =
            Parted { context: Arc::clone(&self.hub), connection: self.connection, address, membership, rate, taken };
        self.hub.places.part(&place, Box::new(parted));
    }

    /// Asks for the place of an earlier connection.
    pub(super) fn resume(
        &mut self,
        resume: &Resume,
        reference: Option<&str>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        self.check_is_idle()?;
        let Resume { token, received } = resume;
        match self.hub.places.find(token, *received, &self.outbox, waker, flushes) {
            Some(Found::Parted(place, parted)) => self.take_over(place, *parted),
            Some(Found::Claimed(claim)) => {
                let reference = reference.map(str::to_owned);
                self.stage = Stage::TakingOver(Box::new(TakingOver { claim, reference }));
            }
            None => return Err(resume_failed()),
        }
        Ok(())
    }

    /// Goes on once the session of the earlier connection has left its place, or the place is gone.
    pub(super) fn poll_takeover(&mut self, cx: &task::Context<'_>, flushes: &mut Flushes) -> Poll<()> {
        let Stage::TakingOver(waiting) = &mut self.stage else { return Poll::Ready(()) };
        let parted = ready!(waiting.claim.poll(cx, &self.outbox, flushes));
        let Stage::TakingOver(waiting) = mem::take(&mut self.stage) else { return Poll::Ready(()) };
        match parted {
            Some(parted) => self.take_over(Arc::clone(waiting.claim.place()), *parted),
            None => self.refuse(&resume_failed(), waiting.reference.as_deref()),
        }
        Poll::Ready(())
    }

    /// Goes on where an earlier session has parted.
    fn take_over(&mut self, place: Arc<Place>, parted: Parted) {
        let Parted { membership, rate, taken, .. } = parted;
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.hub.observe(|| RelayEvent::Back { connection: self.connection, room, id });
        self.rate.continue_from(rate);
        self.become_member(membership, Some(Box::new(Resumable { place, taken, told: taken })));
    }

    /// Counts a message that the relay has taken, and tells the peer from time to time.
    pub(super) fn count_taken(&mut self) {
        let Some(resumable) = self.resumable() else { return };
        resumable.taken += 1;
        let taken = resumable.taken;
        if taken - resumable.told >= TAKEN_MESSAGES {
            resumable.told = taken;
            self.answer(&Event::Taken { received: taken });
        }
    }
}

/// Why a client cannot have its place again.
fn resume_failed() -> Refusal {
    Refusal::new(ErrorCode::ResumeFailed, "the place is gone, or its messages are not kept any more: join again")
}

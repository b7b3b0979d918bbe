//! A session whose place survives a lost connection: what it counts, how it leaves the place, and how it gets one.
//! [`crate::peer::resume`] keeps the places meanwhile.

use std::sync::Arc;
use std::task::Waker;

use super::{Session, Waiting, What};
use crate::limits::TAKEN_MESSAGES;
use crate::peer::observer::RelayEvent;
use crate::peer::resume::{Found, Parted, Place};
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

impl Resumable {
    /// The place of a peer that has just joined.
    pub(super) fn new(place: Arc<Place>) -> Box<Self> {
        Box::new(Self { place, taken: 0, told: 0 })
    }
}

impl Session {
    /// Gives up the promise that the place survives a lost connection.
    pub(super) fn close_place(&mut self) {
        if let Some(resumable) = self.resumable.take() {
            self.context.places.close(&resumable.place);
            self.outbox.forget();
        }
    }

    /// Leaves the place to the next connection of this peer, if it may come back. Who still waits outside may not.
    pub(super) fn part(&mut self) {
        self.look_outside();
        if self.resumable.is_none() || self.membership.is_none() {
            return;
        }
        self.stop_waiting();
        let (Some(membership), Some(resumable)) = (self.membership.take(), self.resumable.take()) else { return };
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.context.observe(|| RelayEvent::Away { connection: self.connection, room, id });
        let (address, rate) = (self.rate.address().cloned(), self.rate.take());
        let Resumable { place, taken, .. } = *resumable;
        let parted = Parted {
            context: Arc::clone(&self.context),
            connection: self.connection,
            address,
            membership,
            rate,
            taken,
        };
        self.context.places.part(&place, Box::new(parted));
    }

    /// Asks for the place of an earlier connection.
    pub(super) fn resume(
        &mut self,
        resume: &Resume,
        reference: Option<&str>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        self.check_in_no_room()?;
        let Resume { token, received } = resume;
        match self.context.places.find(token, *received, &self.outbox, waker, flushes) {
            Some(Found::Parted(place, parted)) => self.take_over(place, *parted),
            Some(Found::Claimed(claim)) => {
                let (reference, what) = (reference.map(str::to_owned), What::Place(claim));
                self.waiting = Some(Box::new(Waiting { reference, what }));
            }
            None => return Err(resume_failed()),
        }
        Ok(())
    }

    /// Goes on where an earlier session has parted.
    pub(super) fn take_over(&mut self, place: Arc<Place>, parted: Parted) {
        let Parted { membership, rate, taken, .. } = parted;
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.context.observe(|| RelayEvent::Back { connection: self.connection, room: room.clone(), id: id.clone() });
        self.rate.continue_from(rate);
        self.place = Some((room, id));
        self.membership = Some(membership);
        self.has_come = true;
        self.resumable = Some(Box::new(Resumable { place, taken, told: taken }));
    }

    /// Counts a message that the relay has taken, and tells the peer from time to time.
    pub(super) fn count_taken(&mut self) {
        let Some(resumable) = &mut self.resumable else { return };
        resumable.taken += 1;
        if resumable.taken - resumable.told >= TAKEN_MESSAGES {
            resumable.told = resumable.taken;
            if let Some(frame) = (self.context.rooms.encoder())(&Event::Taken { received: resumable.taken }) {
                self.outbox.answer(frame);
                self.has_answered.set(true);
            }
        }
    }
}

/// Why a client cannot have its place again.
pub(super) fn resume_failed() -> Refusal {
    Refusal::new(ErrorCode::ResumeFailed, "the place is gone, or its messages are not kept any more: join again")
}

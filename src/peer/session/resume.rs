//! A session whose place survives a lost connection: what it counts, how it leaves the place, and how it gets one.
//! [`crate::peer::resume`] keeps the places meanwhile.

use std::mem;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};

use tokio::time::Instant;

use super::{Session, Stage};
use crate::limits::{RESUMED_BYTES, TAKEN_MESSAGES};
use crate::peer::observer::RelayEvent;
use crate::peer::resume::{Resumption, Suspended, Takeover};
use crate::protocol::Resume;
use crate::room::{Deferred, Event, JoinError, LeaveReason, Refusal};

/// The place of a peer that survives a lost connection.
#[derive(Debug)]
pub(super) struct Resumable {
    resumption: Arc<Resumption>,
    /// How many of the peer's messages the relay has taken since it joined.
    taken: u64,
    /// How many of them the peer knows of.
    told: u64,
}

/// The wait for the place of another connection.
#[derive(Debug)]
pub(super) struct TakingOver {
    takeover: Takeover,
    /// The `ref` of the `resume`.
    reference: Option<String>,
}

impl TakingOver {
    /// When to poll again at the latest.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.takeover.next_look()
    }
}

impl Resumable {
    /// The place of a peer that has just joined.
    pub(super) fn new(resumption: Arc<Resumption>) -> Box<Self> {
        Box::new(Self { resumption, taken: 0, told: 0 })
    }
}

impl Session {
    /// Gives up the promise that the place survives a lost connection, if there is one.
    pub(super) fn close(&self, resumable: Option<Box<Resumable>>) {
        if let Some(resumable) = resumable {
            self.hub.resumptions.close(&resumable.resumption);
            self.outbox.forget();
        }
    }

    /// Leaves the place to the next connection of this peer, if it may come back: its connection is lost since that time and
    /// for this `reason`. Who still knocks may not.
    pub(super) fn suspend(&mut self, reason: LeaveReason, since: Instant) {
        self.settle_knock();
        match &self.stage {
            Stage::Joined { resumable: Some(resumable), .. } if resumable.resumption.has_way_back() => {}
            _ => return,
        }
        self.stop_pause();
        let stage = mem::take(&mut self.stage);
        let Stage::Joined { membership, resumable: Some(resumable), .. } = stage else { return };
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.hub.observe(|| RelayEvent::Away { connection: self.connection(), room, id });
        let (address, rate) = (self.rate.address().cloned(), self.rate.take());
        let Resumable { resumption, taken, .. } = *resumable;
        let suspended = Suspended { connection: self.connection(), address, membership, rate, taken };
        self.hub.resumptions.suspend(&resumption, Box::new(suspended), reason, since);
    }

    /// Asks for the place of an earlier connection, by a message, which is `text`.
    pub(super) fn resume(
        &mut self,
        resume: &Resume,
        text: &str,
        reference: Option<&str>,
        now: Instant,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<(), Refusal> {
        self.check_is_idle()?;
        self.check_reads()?;
        self.take_join()?;
        if !self.outbox.sender().purse().has(self.hub.ice_servers.bytes() + RESUMED_BYTES) {
            return Err(JoinError::NoMemory.into());
        }
        let Resume { token, received } = resume;
        if self.resume_elsewhere(token, text, reference)? {
            return Ok(());
        }
        let asked = self.upgrade.as_mut().and_then(|said| said.0.asked.take()).unwrap_or(now);
        let takeover = self.hub.resumptions.take_over(token, *received, asked, &self.outbox, waker)?;
        let reference = reference.map(str::to_owned);
        self.stage = Stage::TakingOver(Box::new(TakingOver { takeover, reference }));
        // It is ready at once if the place has no connection.
        let _ = self.poll_takeover(&task::Context::from_waker(waker), now, deferred);
        Ok(())
    }

    /// Goes on once the session of the earlier connection has left its place, or the place is gone.
    pub(super) fn poll_takeover(&mut self, cx: &task::Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        let Stage::TakingOver(waiting) = &mut self.stage else { return Poll::Ready(()) };
        let suspended = ready!(waiting.takeover.poll(cx, now, deferred));
        let Stage::TakingOver(waiting) = mem::take(&mut self.stage) else { return Poll::Ready(()) };
        match suspended {
            Ok(suspended) => self.go_on(Arc::clone(waiting.takeover.resumption()), *suspended),
            Err(refusal) => self.refuse(&refusal, waiting.reference.as_deref()),
        }
        Poll::Ready(())
    }

    /// Goes on where the session of an earlier connection has stopped.
    fn go_on(&mut self, resumption: Arc<Resumption>, suspended: Suspended) {
        let Suspended { membership, rate, taken, .. } = suspended;
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.hub.metrics.resumes.add(1);
        self.hub.observe(|| RelayEvent::Back { connection: self.connection(), room, id });
        self.rate.continue_from(rate);
        self.become_member(membership, Some(Box::new(Resumable { resumption, taken, told: taken })));
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

//! How a session leaves its room, and how it ends.

use std::mem;
use std::thread;

use tokio::time::Instant;

use super::{Session, Stage};
use crate::outbox::CloseRequest;
use crate::peer::observer::RelayEvent;
use crate::room::{Deferred, LeaveReason, Refusal};

impl Session {
    /// Leaves because the client says so.
    pub(super) fn leave_on_purpose(&mut self, deferred: &mut Deferred) -> Result<(), Refusal> {
        self.settle_knock();
        if !matches!(self.stage, Stage::Knocking(_)) {
            self.membership()?;
        }
        self.leave(LeaveReason::Left, deferred);
        Ok(())
    }

    /// Leaves the room, if the peer is in one or outside of one.
    pub(crate) fn leave(&mut self, reason: LeaveReason, deferred: &mut Deferred) {
        self.settle_knock();
        match mem::take(&mut self.stage) {
            // The name stays with this relay for a while if it was claimed, which harms nobody.
            #[cfg(feature = "cluster")]
            Stage::Locating(_) => {}
            // A decision is dropped, and a claim withdrawn.
            Stage::Idle | Stage::Deciding(_) | Stage::TakingOver(_) | Stage::HandedOver(_) => {}
            Stage::Knocking(knocking) => self.stop_knocking(*knocking, reason, deferred),
            Stage::Joined { membership, resumable, .. } => {
                self.close(resumable);
                self.hub.observe(|| RelayEvent::Left {
                    connection: self.connection(),
                    room: membership.room().clone(),
                    id: membership.id().clone(),
                    reason,
                });
                membership.leave(reason, deferred);
                self.rate.charge(deferred.take_deliveries());
            }
        }
    }

    /// Leaves the room because the connection ended, unless the peer may come back and was lost at that time: then its
    /// place is held. Keeps `why` for the observer.
    pub(crate) fn end(&mut self, reason: LeaveReason, lost_since: Option<Instant>, why: &str) {
        self.why = Some(why.into());
        // The room may have removed the peer just before its connection was lost.
        let (reason, lost_since) = match self.outbox.close_request() {
            Some(CloseRequest::Kicked) => (LeaveReason::Kicked, None),
            Some(CloseRequest::Displaced) => (LeaveReason::Displaced, None),
            Some(CloseRequest::GaveWay) => (LeaveReason::Idle, None),
            Some(CloseRequest::RoomMoved) => (LeaveReason::Shutdown, None),
            _ => (reason, lost_since),
        };
        if let Some(since) = lost_since {
            self.suspend(reason, since);
        }
        self.leave(reason, &mut Deferred::default());
    }
}

/// A session that is dropped leaves its room.
impl Drop for Session {
    fn drop(&mut self) {
        self.leave(LeaveReason::Closed, &mut Deferred::default());
        let why = self.why.take().unwrap_or_else(|| {
            if thread::panicking() { "it panicked".into() } else { "the upgrade was refused or lost".into() }
        });
        self.hub.observe(|| RelayEvent::Disconnected { connection: self.connection(), why: why.into() });
    }
}

//! One client of matchbox, without its socket.
//!
//! It is in its group before its upgrade is answered, and the relay says nothing to it but what happens in that. There is no word
//! for an error: what is not understood is silence, and whoever is too fast, or sends to one that reads slowly, is read from later.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::groups::{Full, Groups, Membership};
use super::{Joining, signal};
use crate::auth::{Answer, Denial};
use crate::budget::Charge;
use crate::limits::MATCHBOX_MEMBER_BYTES;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::peer::{Client, Flood, Hub, JoinRefusal, RelayEvent, UpgradeHeaders};
use crate::quota::{Pace, RateLimiter};
use crate::room::names::{PeerId, RoomName};
use crate::room::{Deferred, ErrorCode, LeaveReason, Refusal};
use crate::wire::Wire;
use crate::wires::blocked::Blocked;
use crate::wires::refused::{self, Wanted};
use crate::wires::said::Said;
use crate::wires::signalled::Signalled;

/// One client of matchbox.
#[derive(Debug)]
pub(crate) struct MatchboxClient {
    hub: Arc<Hub>,
    outbox: Arc<Outbox>,
    rate: RateLimiter,
    pace: Pace,
    _memory: Charge,
    /// Its part in its group, until its connection ends.
    membership: Option<Membership>,
    /// The room, and the id there, for the observer and the log.
    room: RoomName,
    id: Option<PeerId>,
    /// A signal for which its receiver has no room yet.
    blocked: Option<Box<Blocked>>,
    messages: u32,
    /// Why its connection ended.
    ended: Option<(LeaveReason, Box<str>)>,
}

impl MatchboxClient {
    /// A client that wants into the room `name`, and is in no group yet.
    pub(crate) fn new(hub: Arc<Hub>, outbox: Arc<Outbox>, rate: RateLimiter, name: &str) -> Self {
        let bytes = size_of::<Self>() + MATCHBOX_MEMBER_BYTES + 3 * name.len();
        Self {
            _memory: outbox.sender().purse().charge_anyway(bytes),
            pace: rate.pace(),
            room: RoomName::of_topic(Wire::Matchbox, name),
            membership: None,
            id: None,
            blocked: None,
            messages: 0,
            ended: None,
            hub,
            outbox,
            rate,
        }
    }

    /// Enters a group of the room that it wants into, if who decides allows it, and tells the others.
    ///
    /// # Errors
    /// Why it may not; then nobody is told anything.
    pub(crate) async fn join(
        &mut self,
        groups: &Arc<Groups>,
        joining: Joining,
        headers: UpgradeHeaders,
    ) -> Result<(), JoinRefusal> {
        let Joining { room, size, token } = joining;
        self.rate.take_join().inspect_err(|over| self.hub.metrics.refusals.add(over.number()))?;
        let entered = match self.decide(Said { headers, token }, &room).await {
            Ok(()) => groups.enter(&room.into(), size, &self.outbox, &mut Deferred::default()).map_err(Refusal::from),
            Err(denial) => Err(denial.into()),
        };
        let membership = entered.inspect_err(|refusal| self.note_refused(refusal))?;
        self.hub.metrics.joins.add(1);
        self.id = PeerId::parse(&membership.id().to_string()).ok();
        self.membership = Some(membership);
        if let Some(id) = &self.id {
            let (connection, room, id) = (self.outbox.id().number(), self.room.clone(), id.clone());
            self.hub.observe(|| RelayEvent::Joined { connection, room, id, name: None });
        }
        Ok(())
    }

    /// Asks who decides on joins.
    async fn decide(&self, said: Said, room: &str) -> Result<(), Denial> {
        let _memory = self.outbox.sender().purse().charge_anyway(said.bytes());
        let request = said.request(&self.outbox, Wire::Matchbox, room);
        let answer = match self.hub.authorize(&request) {
            Answer::Now(answer) => answer,
            Answer::Later(decision) => decision.await,
        };
        answer.map(drop)
    }

    /// Says in the log, and tells the observer, that the client was not let in.
    fn note_refused(&self, refusal: &Refusal) {
        refused::note(&self.hub, &self.rate, &self.outbox, &Wanted::Join, self.room.clone(), refusal);
    }

    fn carry_out(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) {
        let (Some(membership), Some(signal)) = (&self.membership, signal(text)) else { return };
        match membership.signal(&signal, waker, deferred) {
            Signalled::Nobody => {}
            Signalled::Queued(bytes) => self.hub.metrics.hot().count_relayed(1, bytes),
            Signalled::Blocked(frame, receiver) => {
                self.blocked = Some(Box::new(Blocked::new(frame, vec![receiver], &self.outbox, now)));
            }
        }
    }

    /// Leaves the group, after a last try to deliver what waits for room.
    fn leave(&mut self) {
        if let Some(mut blocked) = self.blocked.take() {
            let queued = blocked.end_with(&self.outbox);
            self.hub.metrics.hot().count_relayed(queued, blocked.frame.len());
        }
        if let Some(mut membership) = self.membership.take()
            && self.hub.drain.has_begun()
        {
            // Its clients would take everybody for lost, with whom they go on talking.
            membership.end_silently();
        }
    }
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        let code = if full == Full::Members { ErrorCode::RoomFull } else { ErrorCode::Unavailable };
        Self::new(code, full.to_string())
    }
}

impl Client for MatchboxClient {
    fn metrics(&self) -> &Metrics {
        &self.hub.metrics
    }

    fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    fn rate(&mut self) -> &mut RateLimiter {
        &mut self.rate
    }

    fn next_read(&mut self, now: Instant) -> Option<Instant> {
        self.rate.next_read(now).max(self.pace.next_read(now))
    }

    fn receive(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) -> Result<(), Flood> {
        self.messages = self.messages.saturating_add(1);
        self.hub.metrics.hot().wires.add(Wire::Matchbox.number());
        self.pace.charge(0, now);
        self.carry_out(text, now, waker, deferred);
        Ok(())
    }

    fn takes_binary(&self) -> bool {
        true
    }

    fn receive_binary(&mut self, _: &[u8], now: Instant, waker: &Waker, deferred: &mut Deferred) -> Result<(), Flood> {
        self.receive("", now, waker, deferred)
    }

    fn is_waiting(&self) -> bool {
        self.blocked.is_some()
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        let Some(mut blocked) = self.blocked.take() else { return Poll::Ready(()) };
        let (poll, queued) = blocked.poll(&self.outbox, cx, now, deferred);
        self.hub.metrics.hot().count_relayed(queued, blocked.frame.len());
        if poll.is_pending() {
            self.blocked = Some(blocked);
        }
        poll
    }

    fn next_look(&self) -> Option<Instant> {
        self.blocked.as_ref().map(|blocked| blocked.next_look())
    }

    fn take_answered(&self) -> bool {
        false
    }

    /// Its clients know no such word.
    fn goaway(&self, _: u64) -> Option<Bytes> {
        None
    }

    /// After a close frame its `run` returns `Ok`, as if the program itself had ended it.
    fn hangs_up(&self) -> bool {
        true
    }

    fn wire(&self) -> Option<&'static str> {
        Some(Wire::Matchbox.name())
    }

    fn messages(&self) -> u32 {
        self.messages
    }

    fn place(&self) -> String {
        format!("{:?}/{}", self.room.as_str(), self.id.as_ref().map_or("", PeerId::as_str))
    }

    fn end(&mut self, reason: LeaveReason, _: Option<Instant>, why: &str) {
        self.ended = Some((reason, why.into()));
        self.leave();
    }
}

impl Drop for MatchboxClient {
    fn drop(&mut self) {
        self.leave();
        let ended = self.ended.take();
        let (reason, why) = ended.unwrap_or((LeaveReason::Closed, "the upgrade was refused or lost".into()));
        let connection = self.outbox.id().number();
        if let Some(id) = self.id.take() {
            let room = self.room.clone();
            self.hub.observe(|| RelayEvent::Left { connection, room, id, reason });
        }
        self.hub.observe(|| RelayEvent::Disconnected { connection, why: why.into() });
    }
}

//! Those who knock at a locked room: they wait until its host lets them in, or somebody ends that.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use super::deferred::Deferred;
use super::door::{KnockOutcome, Knocker};
use super::event::Event;
use super::member::PendingMember;
use super::refusal::{JoinError, Refusal, denied};
use super::reserve::KNOCK;
use super::room::Locked;
use super::table::Membership;

/// The wait of a client that knocks at a locked room. Its [`Membership`] begins when it is let in.
#[derive(Debug)]
pub(crate) struct Knock(oneshot::Receiver<KnockOutcome>);

impl Knock {
    /// Ready when the client is in the room, or with the reason why it is not; there is no reason if the relay shuts down.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Refusal>>> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| outcome.map_err(|_| None)?.map_err(Some))
    }

    /// The same, without waiting; none if it is not decided.
    pub(crate) fn outcome(&mut self) -> Option<Result<(), Option<Refusal>>> {
        match self.0.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(None)),
            Ok(outcome) => Some(outcome.map_err(Some)),
        }
    }
}

impl Membership {
    /// Ends its knock because that took too long, unless it was decided meanwhile.
    pub(crate) fn expire(&self, knock: &mut Knock, deferred: &mut Deferred) -> Result<(), Option<Refusal>> {
        if self.room.lock(deferred).at_no_charge(|room| room.end_knock(self.serial)) {
            return Err(Some(denied("nobody let you in in time")));
        }
        knock.outcome().unwrap_or(Err(None))
    }
}

impl Locked<'_> {
    /// Lets a client knock that gets this number: tells it, and the host.
    pub(super) fn knock(&mut self, pending: PendingMember, serial: u64) -> Result<Knock, JoinError> {
        self.state.check_id(&pending)?;
        let has_room = self.state.have_room(KNOCK);
        let gives_way = self.state.door.get_or_insert_default().check_knock(&pending)?;
        if !has_room {
            return Err(JoinError::Unavailable);
        }
        if let Some((serial, refusal)) = gives_way {
            self.at_no_charge(|room| room.refuse_knock(serial, refusal));
        }
        self.post.tell(&pending.outbox, &Event::Waiting);
        if let Some(host) = self.state.host() {
            self.post.tell(&host.outbox, &Event::Knock(pending.as_peer()));
        }
        let (outcome, knock) = oneshot::channel();
        self.state.door.get_or_insert_default().push(Knocker { serial, pending, outcome });
        Ok(Knock(knock))
    }

    /// Turns away the one that knocks with this number, and tells the host.
    fn refuse_knock(&mut self, serial: u64, refusal: Refusal) {
        let knocker = self.state.door.as_mut().and_then(|door| door.take_if(|knocker| knocker.serial == serial));
        if let Some(knocker) = knocker {
            self.tell_knock_gone(&knocker);
            self.post.refuse(knocker, refusal);
        }
    }

    /// Makes a member of one who knocked and may enter.
    pub(super) fn let_in(&mut self, knocker: Knocker) {
        let Knocker { serial, pending, outcome } = knocker;
        self.add(pending, serial);
        // The session that it is for has the receiver until it has left the room.
        let _ = outcome.send(Ok(()));
    }
}

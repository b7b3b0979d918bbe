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
use crate::outbox::Topic;

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
        self.state.check_memory(&pending)?;
        if let Some((serial, refusal)) = gives_way {
            self.at_no_charge(|room| room.refuse_knock(serial, refusal));
        }
        self.post.tell(pending.outbox.sender(), &pending.outbox, Topic::Other, &Event::Waiting);
        if let Some(host) = self.state.host() {
            let topic = Topic::Knock(serial);
            self.post.tell(pending.outbox.sender(), &host.outbox, topic, &Event::Knock(pending.as_peer()));
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
        let host = self.state.host().map(|host| host.serial);
        self.add(pending, serial, host);
        // The session that it is for has the receiver until it has left the room.
        let _ = outcome.send(Ok(()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::event::HostCommand;
    use super::super::refusal::ErrorCode;
    use super::super::table::Rooms;
    use super::super::tests::{Coming, Somebody, rooms};
    use super::*;
    use crate::limits::KNOCKS;

    type Visitor = (Membership, Knock);

    fn locked() -> (Arc<Rooms>, Somebody) {
        let rooms = rooms(4);
        let host = Coming::new("host").enters(&rooms).unwrap();
        host.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        host.hears();
        (rooms, host)
    }

    /// Somebody of this address knocks.
    fn knocks(rooms: &Arc<Rooms>, id: &str, address: Option<u8>) -> Result<Visitor, JoinError> {
        Coming { address, ..Coming::new(id) }.knocks(rooms)
    }

    /// As many as this knock at one address.
    fn crowd(rooms: &Arc<Rooms>, address: Option<u8>, count: usize) -> Vec<Visitor> {
        let id = |number| format!("of-{}-{number}", address.unwrap_or_default());
        (0..count).map(|number| knocks(rooms, &id(number), address).unwrap()).collect()
    }

    fn waiting(crowd: &mut [Visitor]) -> usize {
        crowd.iter_mut().map(|(_, knock)| usize::from(knock.outcome().is_none())).sum()
    }

    #[test]
    fn those_of_one_address_who_fill_the_door_keep_no_other_address_out() {
        let (rooms, host) = locked();
        let mut many = crowd(&rooms, Some(1), KNOCKS);
        assert!(matches!(knocks(&rooms, "one-more", Some(1)), Err(JoinError::TooManyKnocks(KNOCKS))));
        host.hears();
        let _other = knocks(&rooms, "other", Some(2)).unwrap();
        let gone = r#"{"type":"knock_gone","id":"of-1-15"}"#;
        assert_eq!(host.hears(), [gone, r#"{"type":"knock","id":"other"}"#]);
        let refusal = many[KNOCKS - 1].1.outcome().unwrap().unwrap_err().unwrap();
        assert_eq!((refusal.code, refusal.code.is_retryable()), (ErrorCode::RoomFull, true));
        assert_eq!(waiting(&mut many[..KNOCKS - 1]), KNOCKS - 1, "only the last one");
    }

    #[test]
    fn nobody_gives_way_to_an_address_that_would_have_as_many() {
        let (rooms, _host) = locked();
        let (mut one, mut other) = (crowd(&rooms, Some(1), KNOCKS / 2 + 2), crowd(&rooms, Some(2), KNOCKS / 2 - 2));
        other.push(knocks(&rooms, "ninth", Some(2)).unwrap());
        other.push(knocks(&rooms, "tenth", Some(2)).unwrap());
        assert_eq!((waiting(&mut one), waiting(&mut other)), (KNOCKS / 2, KNOCKS / 2));
        for address in [1, 2] {
            assert!(matches!(knocks(&rooms, "more", Some(address)), Err(JoinError::TooManyKnocks(KNOCKS))));
        }
        // One each.
        let (rooms, _host) = locked();
        let _all: Vec<_> = (0..KNOCKS as u8).map(|address| crowd(&rooms, Some(address), 1)).collect();
        assert!(matches!(knocks(&rooms, "more", Some(99)), Err(JoinError::TooManyKnocks(KNOCKS))));
    }

    #[test]
    fn those_whose_address_is_not_known_count_as_one() {
        let (rooms, _host) = locked();
        let mut many = crowd(&rooms, None, KNOCKS);
        assert!(matches!(knocks(&rooms, "more", None), Err(JoinError::TooManyKnocks(KNOCKS))));
        let _other = knocks(&rooms, "other", Some(1)).unwrap();
        assert_eq!(waiting(&mut many), KNOCKS - 1);
    }
}

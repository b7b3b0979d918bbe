//! A relay that is one of several lets go of a room that another one has.

use std::sync::Arc;

use super::deferred::Deferred;
use super::event::LeaveReason;
use super::member::Member;
use super::owned::Ownership;
use super::room::Locked;
use super::table::Rooms;
use crate::outbox::CloseRequest;

/// Who was in a room that the relay has let go of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LetGo {
    /// Its members, those who were away among them.
    pub members: usize,
    /// Those who waited at it.
    pub knocks: usize,
}

impl std::ops::Add for LetGo {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { members: self.members + other.members, knocks: self.knocks + other.knocks }
    }
}

impl Rooms {
    /// Lets go of a room: nobody enters it any more, and everybody who is there or waits there is told to come again, which leads
    /// to the relay that has the room.
    pub(crate) fn let_go(&self, ownership: &Arc<Ownership>) -> LetGo {
        // From now on nobody opens a room by this name before it is owned again.
        self.settings.owned.iter().for_each(|owned| owned.lose(ownership));
        let is_of_it =
            |other: &Option<Arc<Ownership>>| other.as_ref().is_some_and(|other| Arc::ptr_eq(other, ownership));
        let room = self.table.get(ownership.room()).map(|room| Arc::clone(&room));
        let Some(room) = room.filter(|room| is_of_it(&room.ownership)) else { return LetGo::default() };
        let mut deferred = Deferred::default();
        let let_go = room.lock(&mut deferred).let_go();
        self.remove(&room);
        #[cfg(feature = "admin")]
        self.bookings.remove(&room);
        let_go
    }
}

impl Locked<'_> {
    /// Removes everybody. Nobody is told of the others: all of them go.
    fn let_go(&mut self) -> LetGo {
        // Before the first one is told, who may be back at once.
        (self.state.is_closed, self.state.has_kicked) = (true, true);
        let mut let_go = LetGo::default();
        let goes = |member: &Member| !cfg!(signaling_relay_fault = "away") || !member.is_suspended();
        while let Some(position) = self.state.members.iter().position(goes) {
            let member = self.remove(position, LeaveReason::Shutdown);
            let_go.members += 1;
            member.outbox.request_close(CloseRequest::RoomMoved);
        }
        self.observe_if_empty();
        let knockers = self.state.door.take().map(|mut door| door.take_all());
        for knocker in knockers.into_iter().flatten() {
            let_go.knocks += 1;
            knocker.pending.outbox.request_close(CloseRequest::RoomMoved);
        }
        self.state.held = None;
        let_go
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::HostCommand;
    use super::super::names::RoomName;
    use super::super::refusal::JoinError;
    use super::super::tests::{Coming, owned_rooms};
    use super::*;

    fn name() -> RoomName {
        RoomName::parse("r").unwrap()
    }

    #[test]
    fn only_a_room_whose_name_is_owned_is_opened() {
        let (rooms, owned) = owned_rooms();
        assert!(matches!(Coming::new("a").enters(&rooms), Err(JoinError::NotOwned)));
        assert!(rooms.is_empty() && !rooms.may_open(&name()));
        let ownership = owned.add(&name());
        let member = Coming::new("a").enters(&rooms).unwrap();
        drop(ownership);
        let other = Coming::new("b").enters(&rooms).unwrap();
        drop((member, other));
        assert!(rooms.is_empty() && !rooms.may_open(&name()), "the name was the room's alone");
        assert!(owned.all().is_empty() && owned.len() == 0);
    }

    #[test]
    fn everybody_goes_when_a_room_is_let_go_of_those_who_are_away_and_those_who_knock_too() {
        let (rooms, owned) = owned_rooms();
        let ownership = owned.add(&name());
        let here = Coming::new("here").enters(&rooms).unwrap();
        let away = Coming { may_resume: true, ..Coming::new("away") }.enters(&rooms).unwrap();
        here.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        let (_waits, mut knock, _) = Coming::new("waits").comes(&rooms).map(|(m, k, s)| (m, k.unwrap(), s)).unwrap();
        away.is_cut();
        let outbox = here.outbox();
        here.hears();
        assert_eq!(rooms.let_go(&ownership), LetGo { members: 2, knocks: 1 });
        assert_eq!(here.hears(), [""; 0], "nobody is told of the others");
        assert_eq!(outbox.close_request(), Some(CloseRequest::RoomMoved));
        assert!(knock.outcome().unwrap().unwrap_err().is_none(), "as when the relay shuts down");
        assert!(ownership.is_lost() && rooms.is_empty());
        assert!(matches!(Coming::new("a").enters(&rooms), Err(JoinError::NotOwned)));
        // The name is owned again, and those who leave the old room leave the new one alone.
        let again = owned.add(&name());
        let _next = Coming::new("here").enters(&rooms).unwrap();
        drop((here, away));
        assert_eq!(rooms.len(), 1);
        assert_eq!(rooms.let_go(&ownership), LetGo::default(), "it is another room");
        assert_eq!(rooms.let_go(&again), LetGo { members: 1, knocks: 0 });
    }

    #[test]
    fn whoever_has_found_the_room_before_it_is_let_go_of_enters_another_one_or_none() {
        let (rooms, owned) = owned_rooms();
        let ownership = owned.add(&name());
        let _member = Coming::new("a").enters(&rooms).unwrap();
        let found = rooms.room(&name()).unwrap();
        rooms.let_go(&ownership);
        assert!(found.lock(&mut Deferred::default()).close_if_over(), "it takes nobody");
    }
}

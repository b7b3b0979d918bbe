//! Members whose connection is lost: their places are held, and they come back on another connection.

use std::sync::Arc;

use bytes::Bytes;

use super::deferred::{Deferred, OnRemoved};
use super::event::{Event, Peer, ResumeOffer};
use super::member::Member;
use super::names::PeerId;
use super::room::Locked;
use super::table::Membership;
use crate::ice::IceServers;
use crate::outbox::{ConnectionId, Outbox, Replayed, Topic};

/// A member that comes back on another connection.
#[derive(Debug)]
pub(crate) struct Returning<'a> {
    /// The number of the last message that it has received.
    pub received: u64,
    /// How many of its messages the relay has taken.
    pub taken: u64,
    /// The same as when it entered.
    pub resume: ResumeOffer<'a>,
    /// The outbox of its new connection.
    pub outbox: &'a Arc<Outbox>,
}

/// The place of a member cannot be kept, or cannot be given back: it is no member any more, its messages are not kept, or
/// there is no memory to tell the others that it is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlaceLost;

impl Membership {
    /// Keeps the place although the connection is lost: what is for this member waits. Another connection `is_awaited`, or
    /// there must be memory to [tell the others](Self::tell_away) later. `on_removed` is called if the member is removed.
    ///
    /// # Errors
    /// [`PlaceLost`]: leave it then.
    pub(crate) fn suspend(
        &self,
        on_removed: OnRemoved,
        is_awaited: bool,
        deferred: &mut Deferred,
    ) -> Result<(), PlaceLost> {
        let mut room = self.room.lock(deferred);
        if !is_awaited && !room.state.has_memory_for_change(&self.sender) {
            return Err(PlaceLost);
        }
        let member = room.state.members.iter_mut().find(|member| member.serial == self.serial);
        member.ok_or(PlaceLost)?.suspend(on_removed)
    }

    /// Tells the others that this member is away, unless they know.
    ///
    /// # Errors
    /// [`PlaceLost`]: leave it then.
    pub(crate) fn tell_away(&self, deferred: &mut Deferred) -> Result<(), PlaceLost> {
        self.room.lock(deferred).tell_away(self.serial)
    }

    /// Goes on with the place on another connection: sends `resumed`, and what the member has not received. Returns what of
    /// that was sent before.
    ///
    /// # Errors
    /// [`PlaceLost`]; then the member has no connection as before.
    pub(crate) fn resume(&mut self, returning: &Returning<'_>, deferred: &mut Deferred) -> Result<Replayed, PlaceLost> {
        let replayed = self.room.lock(deferred).resume(self.serial, &self.ice_servers, returning)?;
        self.sender.charge_to(returning.outbox.sender());
        Ok(replayed)
    }
}

/// The only two moments at which a member changes its outbox. Whoever queues something there has the room locked, and finds
/// the new one from then on.
impl Member {
    /// What is for it waits in an outbox without a connection.
    fn suspend(&mut self, on_removed: OnRemoved) -> Result<(), PlaceLost> {
        self.outbox = Arc::new(self.outbox.suspend().ok_or(PlaceLost)?);
        self.on_removed = Some(on_removed);
        Ok(())
    }

    /// It goes on with `outbox`, after the message `resumed`; it has received its messages up to the number `received`.
    fn resume(&mut self, outbox: &Arc<Outbox>, received: u64, resumed: Bytes) -> Result<Replayed, PlaceLost> {
        let replayed = self.outbox.hand_over(outbox, received, resumed).ok_or(PlaceLost)?;
        (self.outbox, self.on_removed, self.is_away) = (Arc::clone(outbox), None, false);
        Ok(replayed)
    }
}

impl Locked<'_> {
    fn tell_away(&mut self, serial: u64) -> Result<(), PlaceLost> {
        if self.state.member(serial).is_some_and(|member| member.is_away) {
            return Ok(());
        }
        let position = self.state.position(serial).ok_or(PlaceLost)?;
        self.announce_away(position);
        Ok(())
    }

    /// Tells the others at once of each member that has just lost its connection, but not of the one that comes back:
    /// whoever has a place from now on sees who is away.
    pub(super) fn announce_suspended(&mut self, back: Option<u64>) {
        for position in 0..self.state.members.len() {
            let is_new = |member: &Member| member.is_suspended() && !member.is_away && Some(member.serial) != back;
            if self.state.members.get(position).is_some_and(is_new) {
                self.at_no_charge(|room| room.announce_away(position));
            }
        }
    }

    fn announce_away(&mut self, position: usize) {
        self.announce_to_others(position, Topic::Away, |id| Event::PeerAway { id });
        if let Some(member) = self.state.members.get_mut(position) {
            member.is_away = true;
        }
    }

    fn resume(
        &mut self,
        serial: u64,
        ice_servers: &IceServers,
        returning: &Returning<'_>,
    ) -> Result<Replayed, PlaceLost> {
        let Returning { received, taken, resume, outbox } = *returning;
        self.announce_suspended(Some(serial));
        let (position, state) = (self.state.position(serial).ok_or(PlaceLost)?, &mut *self.state);
        let (Some(member), Some(host)) = (state.members.get(position), state.host()) else { return Err(PlaceLost) };
        let others = state.members.iter().filter(|other| other.serial != serial);
        let peers: Vec<Peer<'_>> = others.map(Member::as_peer).collect();
        let servers = ice_servers.for_client(member.id.as_str());
        let view = self.room.view(state.door.as_deref(), member, &host.id, &peers, &servers);
        let resumed = (self.room.encode)(&Event::Resumed { view, received: taken, resume }).unwrap_or_default();
        let (id, was_away) = (member.id.clone(), member.is_away);
        let replayed = state.members.get_mut(position).ok_or(PlaceLost)?.resume(outbox, received, resumed)?;
        self.post.deferred.add(outbox);
        // The same person may knock, who would have taken the place.
        self.at_no_charge(|room| room.end_knock_of(&id));
        if was_away {
            self.announce_to_others(position, Topic::Back, |id| Event::PeerBack { id });
        }
        Ok(replayed)
    }

    /// Tells all members but the one at `position` what `event` makes of its id.
    fn announce_to_others(
        &mut self,
        position: usize,
        topic: fn(ConnectionId) -> Topic,
        event: for<'e> fn(&'e PeerId) -> Event<'e>,
    ) {
        let (state, post) = (&*self.state, &mut self.post);
        if let Some((before, [member, after @ ..])) = state.members.split_at_checked(position) {
            let (cause, topic, event) = (member.outbox.sender(), topic(member.sender), event(&member.id));
            post.announce(cause, before.iter().chain(after), topic, &event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::HostCommand;
    use super::super::table::Rooms;
    use super::super::tests::{Coming, Somebody, fill, rooms, visit};
    use super::*;
    use crate::limits::ANNOUNCEMENTS;

    fn enter(rooms: &Arc<Rooms>, id: &str) -> Somebody {
        Coming { may_resume: true, ..Coming::new(id) }.enters(rooms).unwrap()
    }

    #[test]
    fn each_member_that_is_away_is_announced_to_the_others_once() {
        let rooms = rooms(4);
        let [one, two, three] = ["one", "two", "three"].map(|id| enter(&rooms, id));
        three.hears();
        assert_eq!((two.is_cut(), two.is_cut(), one.is_cut()), (Some(2), Some(0), Some(2)));
        let away = |id: &str| format!(r#"{{"type":"peer_away","id":"{id}"}}"#);
        assert_eq!(three.hears(), [away("two"), away("one")]);
    }

    /// A host that gets all at once, and need not confirm it.
    fn reader(rooms: &Arc<Rooms>) -> Somebody {
        Coming::new("host").enters(rooms).unwrap()
    }

    /// The announcements that wait for a member.
    fn waiting(somebody: &Somebody) -> usize {
        let state = somebody.membership.room.state();
        state.member(somebody.membership.serial).unwrap().outbox.announcements()
    }

    fn has_left(heard: &[String], id: &str) -> bool {
        heard.iter().any(|text| text.starts_with(&format!(r#"{{"type":"peer_left","id":"{id}","#)))
    }

    #[test]
    fn those_who_come_say_something_and_go_end_no_place_of_one_that_is_away() {
        let rooms = rooms(8);
        let (host, [away, _third]) = (reader(&rooms), ["away", "third"].map(|id| enter(&rooms, id)));
        away.is_cut();
        for _ in 0..2 * ANNOUNCEMENTS {
            visit(&rooms).unwrap();
            assert!(waiting(&away) <= ANNOUNCEMENTS);
            assert!(!has_left(&host.hears(), "away"));
        }
    }

    #[test]
    fn neither_do_those_whom_another_one_lets_in() {
        let rooms = rooms(8);
        let (host, away) = (reader(&rooms), enter(&rooms, "away"));
        host.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        away.is_cut();
        for _ in 0..ANNOUNCEMENTS {
            let _visitor = Coming::new("visitor").knocks(&rooms).unwrap();
            host.commands(&HostCommand::Admit { to: "visitor".into() }).unwrap();
        }
        assert!(!has_left(&host.hears(), "away"));
    }

    #[test]
    fn those_who_say_something_to_a_large_room_that_is_away_end_no_place() {
        let rooms = rooms(256);
        let stays = enter(&rooms, "stays");
        let away: Vec<_> = (0..250).map(|number| enter(&rooms, &format!("away-{number}"))).collect();
        away.iter().for_each(|away| assert!(away.is_cut().is_some()));
        for _ in 0..60 {
            visit(&rooms).unwrap();
        }
        assert_eq!(stays.membership.room.state().members.len(), 251);
    }

    #[test]
    fn a_member_that_is_away_is_given_up_when_what_it_must_hear_of_those_who_are_there_does_not_fit() {
        let rooms = rooms(8);
        let [host, away] = ["host", "away"].map(|id| enter(&rooms, id));
        away.is_cut();
        fill(&away, ANNOUNCEMENTS - 2);
        visit(&rooms).unwrap();
        assert!(!has_left(&host.hears(), "away"));
        fill(&away, 1);
        visit(&rooms).unwrap();
        assert!(has_left(&host.hears(), "away"));
    }

    #[test]
    fn those_who_come_and_go_or_knock_and_go_end_no_place_of_one_that_is_away() {
        let rooms = rooms(8);
        let [away, next] = ["away", "next"].map(|id| enter(&rooms, id));
        away.is_cut();
        next.hears();
        for _ in 0..2 * ANNOUNCEMENTS {
            drop(enter(&rooms, "visitor"));
        }
        away.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        let _waits = Coming::new("waits").knocks(&rooms).unwrap();
        for _ in 0..2 * ANNOUNCEMENTS {
            drop(Coming::new("visitor").knocks(&rooms).unwrap());
        }
        assert!(next.hears().iter().all(|text| !text.contains(r#""id":"away""#)));
        // What waits for it is that the room is locked, and who waits.
        assert_eq!(waiting(&away), 2);
    }

    #[test]
    fn a_place_is_kept_even_if_a_member_has_not_read_enough_for_anybody_to_join() {
        let rooms = rooms(8);
        let stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
        let [member, host] = ["member", "host"].map(|id| enter(&rooms, id));
        fill(&stalled, ANNOUNCEMENTS);
        let before = waiting(&stalled);
        assert_eq!(member.is_cut(), Some(2));
        assert!(waiting(&stalled) == before + 1 && !has_left(&host.hears(), "member"));
    }
}

//! Members whose connection is lost: their places are held, and they come back on another connection.

use std::fmt;
use std::sync::Arc;

use super::delivery::Flushes;
use super::event::{Event, IceServers, LeaveReason, Peer, ResumeOffer};
use super::room::Room;
use super::state::{Member, State};
use crate::outbox::Outbox;

/// What is kept outside of the room for a member whose connection is lost.
pub(crate) trait Absence: fmt::Debug + Send + Sync {
    /// Gives it up, because somebody else removed the member for this reason. It is called when no lock is held.
    fn end(&self, reason: LeaveReason);
}

/// A member that comes back on another connection.
#[derive(Debug)]
pub(crate) struct Returning<'a> {
    /// The number of the last message that it has received.
    pub received: u64,
    /// How many of its messages the relay has taken.
    pub taken: u64,
    /// The STUN and TURN servers for this client.
    pub ice_servers: &'a IceServers,
    /// The same as when it entered.
    pub resume: ResumeOffer<'a>,
    /// The outbox of its new connection.
    pub outbox: &'a Arc<Outbox>,
}

/// Why a member cannot come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResumeError {
    /// It is no member any more.
    Gone,
    /// The messages that it needs were never sent, or are not kept any more.
    NotKept,
}

impl Room {
    /// Keeps the place of a member whose connection is lost: what is for it waits. Tells the others if `tell` is set, and
    /// returns how many they are; none if the place cannot be kept. `absence` learns if the member is removed.
    pub(super) fn hold(
        &self,
        serial: u64,
        absence: Arc<dyn Absence>,
        tell: bool,
        flushes: &mut Flushes,
    ) -> Option<usize> {
        let mut state = self.lock();
        let member = state.members.iter_mut().find(|member| member.serial == serial)?;
        member.outbox = Arc::new(member.outbox.part()?);
        member.absence = Some(absence);
        if tell { self.mark_away(&mut state, serial, flushes) } else { Some(0) }
    }

    /// Tells the others that a member is away, unless they know; returns how many they are, and none if they have no room
    /// for that, or it is no member any more.
    pub(super) fn tell_away(&self, serial: u64, flushes: &mut Flushes) -> Option<usize> {
        self.mark_away(&mut self.lock(), serial, flushes)
    }

    fn mark_away(&self, state: &mut State, serial: u64, flushes: &mut Flushes) -> Option<usize> {
        if state.members.iter().any(|member| member.serial == serial && member.is_away) {
            return Some(0);
        }
        // `peer_away` now, and `peer_back` later.
        self.give_up_unread(state, 2, flushes);
        let position = state.members.iter().position(|member| member.serial == serial)?;
        let announcements = 2 + state.reserved();
        let mut others = state.members.iter().filter(|other| other.serial != serial);
        if !others.all(|member| member.outbox.room_for_announcements(announcements)) {
            return None;
        }
        let id = state.members.get(position)?.id.clone();
        let heard = self.announce_to_others(state, position, &Event::PeerAway { id: &id }, flushes);
        state.members.get_mut(position)?.is_away = true;
        Some(heard)
    }

    /// Gives a member its place on another connection: `resumed`, and what it has not received. Returns how many others
    /// were told.
    ///
    /// # Errors
    /// [`ResumeError`]; then nothing has happened.
    pub(super) fn resume(
        &self,
        serial: u64,
        returning: &Returning<'_>,
        flushes: &mut Flushes,
    ) -> Result<usize, ResumeError> {
        let mut state = self.lock();
        let position = state.members.iter().position(|member| member.serial == serial).ok_or(ResumeError::Gone)?;
        let (Some(member), Some(host)) = (state.members.get(position), state.host()) else {
            return Err(ResumeError::Gone);
        };
        let Returning { received, taken, ice_servers, resume, outbox } = *returning;
        if !member.outbox.can_resume_after(received) {
            return Err(ResumeError::NotKept);
        }
        let others = state.members.iter().filter(|other| other.serial != serial);
        let peers: Vec<Peer<'_>> = others.map(Member::as_peer).collect();
        let view = self.view(state.door.as_deref(), member, &host.id, &peers, ice_servers);
        let resumed = Event::Resumed { view, received: taken, resume };
        member.outbox.move_to(outbox, received, (self.encode)(&resumed).unwrap_or_default());
        let (id, was_away) = (member.id.clone(), member.is_away);
        if let Some(member) = state.members.get_mut(position) {
            (member.outbox, member.absence, member.is_away) = (Arc::clone(outbox), None, false);
        }
        flushes.add(outbox);
        // The same person may knock, who would have taken the place.
        self.take_id_from_knock(&mut state, &id, flushes);
        Ok(if was_away { self.announce_to_others(&state, position, &Event::PeerBack { id: &id }, flushes) } else { 0 })
    }

    /// Removes those members that are away and have no room left for `more` announcements.
    pub(super) fn give_up_unread(&self, state: &mut State, more: usize, flushes: &mut Flushes) {
        loop {
            let most = more + state.reserved();
            let is_full = |member: &Member| member.is_away && !member.outbox.room_for_announcements(most);
            let Some(position) = state.members.iter().position(is_full) else { return };
            self.remove(state, position, LeaveReason::Timeout, flushes);
        }
    }

    /// Tells all members but the one at `position`; returns how many they are.
    fn announce_to_others(&self, state: &State, position: usize, event: &Event<'_>, flushes: &mut Flushes) -> usize {
        let Some((before, [_, after @ ..])) = state.members.split_at_checked(position) else { return 0 };
        for members in [before, after] {
            self.announce(members, event, flushes);
        }
        before.len() + after.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::HostCommand;
    use super::super::table::Rooms;
    use super::super::table::tests::{Coming, Somebody, rooms};
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

    /// How many visitors may come and go while a member is away, before it is given up. Before that it is sent `others`
    /// more messages.
    fn visits_until_given_up(others: usize) -> usize {
        let rooms = rooms(8);
        let [host, away, _third] = ["host", "away", "third"].map(|id| enter(&rooms, id));
        away.is_cut();
        for _ in 0..others {
            host.membership.command(&HostCommand::MakeHost { to: "host".into() }, &mut Flushes::default()).unwrap();
        }
        host.hears();
        let gone = r#"{"type":"peer_left","id":"away","reason":"timeout"}"#;
        (0..ANNOUNCEMENTS)
            .find(|_| {
                drop(enter(&rooms, "visitor"));
                host.hears().iter().any(|text| text == gone)
            })
            .unwrap()
    }

    #[test]
    fn a_member_that_is_away_is_given_up_when_what_it_must_hear_about_the_others_does_not_fit() {
        // A newcomer needs four; later each of three members needs two, and `peer_back` one. Each visit takes two.
        let room = ANNOUNCEMENTS - 4 - 6 - 1;
        assert_eq!([0, 1].map(visits_until_given_up), [0, 1].map(|others| (room - others) / 2 + 1));
    }

    #[test]
    fn so_is_a_host_that_is_away_while_others_knock_and_the_next_host_hears_of_those_who_wait() {
        let rooms = rooms(8);
        let [away, next] = ["away", "next"].map(|id| enter(&rooms, id));
        away.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        let _waits = Coming::new("waits").knocks(&rooms).unwrap();
        away.is_cut();
        next.hears();
        // Whoever comes needs four; later each of two members needs two, `peer_back` one, and who waits two.
        for _ in 0..=(ANNOUNCEMENTS - 4 - 4 - 1 - 2) / 2 {
            drop(Coming::new("visitor").knocks(&rooms).unwrap());
        }
        assert_eq!(next.hears(), [""; 0]);
        let _visitor = Coming::new("visitor").knocks(&rooms).unwrap();
        let left = r#"{"type":"peer_left","id":"away","reason":"timeout"}"#;
        let (host, knock) = (r#"{"type":"host","id":"next"}"#, |id: &str| format!(r#"{{"type":"knock","id":"{id}"}}"#));
        assert_eq!(next.hears(), [left, host, &knock("waits"), &knock("visitor")]);
    }

    #[test]
    fn a_place_is_not_kept_if_a_member_has_not_read_enough_to_be_told() {
        let is_cut_after = |commands: usize| {
            let rooms = rooms(8);
            let host = enter(&rooms, "host");
            let _stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
            let member = enter(&rooms, "member");
            for _ in 0..commands {
                host.commands(&HostCommand::Lock { is_locked: true }).unwrap();
            }
            member.is_cut()
        };
        // It has `joined` and `peer_joined`. `peer_away` and `peer_back` are two; later each of three members needs two.
        let most = ANNOUNCEMENTS - 2 - 2 - 6;
        assert_eq!((is_cut_after(most), is_cut_after(most + 1)), (Some(2), None));
    }
}

//! What the host of a room may do.

use super::deferred::Deferred;
use super::event::{Event, HostCommand};
use super::names::PeerId;
use super::rank::Rank;
use super::refusal::{ErrorCode, JoinError, Refusal, denied, not_found};
use super::reserve::NEWCOMER;
use super::room::Locked;
use super::table::Membership;
use crate::limits::BANNED_BYTES;
use crate::outbox::{CloseRequest, Sender, Topic};

impl Membership {
    /// Carries out what only the host may do.
    ///
    /// # Errors
    /// `not_joined`, `not_host`, `peer_not_found`, `room_full`, `unavailable`.
    pub(crate) fn command(&self, command: &HostCommand<'_>, deferred: &mut Deferred) -> Result<(), Refusal> {
        self.room.lock(deferred).command(self.serial, &self.sender, command)
    }
}

impl Locked<'_> {
    /// Carries out a command of the member with this number. What it repeats to the members and the host is charged to
    /// `giver`, never to those whom it is about.
    fn command(&mut self, serial: u64, giver: &Sender, command: &HostCommand<'_>) -> Result<(), Refusal> {
        let most = NEWCOMER.max(self.state.change());
        self.give_up_unread(most);
        let (Some(member), Some(host)) = (self.state.member(serial), self.state.host()) else {
            return Err(Refusal::new(ErrorCode::NotJoined, "you are no longer in the room"));
        };
        let may_replace = matches!(command, HostCommand::MakeHost { .. }) && member.rank.may_replace(host.rank);
        if member.serial != host.serial && !may_replace {
            return Err(Refusal::new(ErrorCode::NotHost, "only the host of the room may do that"));
        }
        let (from, rank) = (member.id.clone(), member.rank);
        self.carry_out((&from, rank), giver, command)
    }

    /// Carries out a command of `from`, who may give it: the host, or the application's own server.
    pub(super) fn carry_out(
        &mut self,
        (from, rank): (&PeerId, Rank),
        giver: &Sender,
        command: &HostCommand<'_>,
    ) -> Result<(), Refusal> {
        match command {
            HostCommand::Kick { to, message } => self.kick(from, giver, to, message.as_deref()),
            HostCommand::Lock { is_locked } => self.set_lock(giver, *is_locked),
            HostCommand::Admit { to } => self.admit(from, to),
            HostCommand::Deny { to } => self.deny(from, to),
            HostCommand::MakeHost { to } => self.make_host(from, giver, rank, to),
        }
    }

    fn kick(&mut self, from: &PeerId, giver: &Sender, to: &str, message: Option<&str>) -> Result<(), Refusal> {
        let position = self.state.position_of(to).filter(|_| to != from.as_str());
        let position = position.ok_or_else(|| not_found(to, from))?;
        let usual = if from.is_server() {
            "the server removed you from the room"
        } else {
            "the host removed you from the room"
        };
        let message = message.unwrap_or(usual).to_owned();
        let member = self.expel(position, CloseRequest::Kicked, message);
        if member.is_identified {
            self.at_no_charge(|room| room.keep_out(&member.id, giver));
        }
        Ok(())
    }

    /// Keeps the person with this id out for `giver`, even if it knocks already because its first connection was lost.
    fn keep_out(&mut self, id: &PeerId, giver: &Sender) {
        let memory = giver.purse().charge_anyway(BANNED_BYTES);
        self.state.door.get_or_insert_default().ban(id, memory);
        if let Some(knocker) = self.state.take_knocker(id.as_str()) {
            self.tell_knock_gone(&knocker);
            self.post.refuse(knocker, JoinError::Banned.into());
        }
    }

    fn set_lock(&mut self, giver: &Sender, is_locked: bool) -> Result<(), Refusal> {
        self.check_room_for_change(giver)?;
        let door = self.state.door.get_or_insert_default();
        door.is_locked = is_locked;
        let knockers = if is_locked { Vec::new() } else { door.take_all() };
        self.post.announce(giver, &self.state.members, Topic::Lock, &Event::Room { is_locked });
        for knocker in knockers {
            self.give_up_unread(NEWCOMER);
            match self.check(&knocker.pending) {
                Ok(()) => self.let_in(knocker),
                Err(error) => {
                    self.tell_knock_gone(&knocker);
                    self.post.refuse(knocker, error.into());
                }
            }
        }
        Ok(())
    }

    fn admit(&mut self, from: &PeerId, to: &str) -> Result<(), Refusal> {
        let knocker = self.state.knockers().iter().find(|knocker| knocker.pending.id.as_str() == to);
        let knocker = knocker.ok_or_else(|| not_found(to, from))?;
        self.check(&knocker.pending).map_err(|error| {
            let refusal = Refusal::from(error);
            Refusal { to: Some(to.to_owned()), ..refusal }
        })?;
        if let Some(knocker) = self.state.take_knocker(to) {
            self.let_in(knocker);
        }
        Ok(())
    }

    fn deny(&mut self, from: &PeerId, to: &str) -> Result<(), Refusal> {
        let knocker = self.state.take_knocker(to).ok_or_else(|| not_found(to, from))?;
        let message = match from.is_server() {
            true => {
                // The host does not know it otherwise.
                self.tell_knock_gone(&knocker);
                "the server did not let you in"
            }
            false => "the host did not let you in",
        };
        self.post.refuse(knocker, denied(message));
        Ok(())
    }

    fn make_host(&mut self, from: &PeerId, giver: &Sender, rank: Rank, to: &str) -> Result<(), Refusal> {
        let position = self.state.position_of(to).ok_or_else(|| not_found(to, from))?;
        self.check_room_for_change(giver)?;
        let before = self.state.host().map(|host| host.serial);
        let latest = self.state.members.iter().map(|member| member.rank.chosen()).max().unwrap_or_default();
        if let Some(member) = self.state.members.get_mut(position) {
            member.rank.choose(rank, latest);
        }
        if self.state.host().map(|host| host.serial) != before {
            self.observe_host();
        }
        self.announce_host(giver, None);
        Ok(())
    }

    /// Checks whether each member has room for one more message about the room, and all knocks; and whether there is memory
    /// of `giver` for that.
    fn check_room_for_change(&self, giver: &Sender) -> Result<(), Refusal> {
        if !self.state.have_room(self.state.change()) {
            return Err(JoinError::Unavailable.into());
        }
        if self.state.has_memory_for_change(giver) { Ok(()) } else { Err(JoinError::NoMemory.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::knocks::Knock;
    use super::super::role::Role;
    use super::super::table::Rooms;
    use super::super::tests::{Coming, Somebody, rooms};
    use super::*;
    use crate::limits::ANNOUNCEMENTS;

    const LOCK: HostCommand<'_> = HostCommand::Lock { is_locked: true };
    const UNLOCK: HostCommand<'_> = HostCommand::Lock { is_locked: false };

    fn enter(rooms: &Arc<Rooms>, id: &str) -> Somebody {
        Coming::new(id).enters(rooms).unwrap()
    }

    #[test]
    fn a_command_counts_each_message_that_it_sends() {
        let rooms = rooms(4);
        let [host, _b, _c] = ["host", "b", "c"].map(|id| enter(&rooms, id));
        assert_eq!(host.commands(&LOCK), Ok(3));
        let _knocks = ["x", "y"].map(|id| Coming::new(id).knocks(&rooms).unwrap());
        assert_eq!(host.commands(&HostCommand::MakeHost { to: "host".into() }), Ok(3 + 2), "`host`, and the knocks");
        assert_eq!(host.commands(&HostCommand::Deny { to: "y".into() }), Ok(1));
        assert_eq!(host.commands(&HostCommand::Admit { to: "x".into() }), Ok(1 + 3));
        assert_eq!(host.commands(&HostCommand::Kick { to: "c".into(), message: None }), Ok(3 + 1));
        let _knocks = ["v", "w"].map(|id| Coming::new(id).knocks(&rooms).unwrap());
        assert_eq!(host.commands(&UNLOCK), Ok(3 + (1 + 3) + 2), "one comes in, and the next one finds the room full");
    }

    /// What is charged to the purse of somebody.
    fn charged_to(membership: &Membership) -> usize {
        membership.sender.purse().account().used()
    }

    #[test]
    fn what_a_host_is_told_again_by_its_command_is_charged_to_it_and_not_to_those_who_knock() {
        let rooms = rooms(4);
        let keeps = |id| Coming { may_resume: true, ..Coming::new(id) }.enters(&rooms).unwrap();
        let [host, other] = ["host", "other"].map(keeps);
        host.commands(&LOCK).unwrap();
        let (waits, _knock) = Coming::new("waits").knocks(&rooms).unwrap();
        let before = [charged_to(&waits), charged_to(&other.membership)];
        // It reads all of it, and nothing shows that it has arrived.
        for _ in 0..100 {
            host.commands(&HostCommand::MakeHost { to: "host".into() }).unwrap();
        }
        let heard = host.hears();
        assert_eq!(heard.iter().filter(|text| text.contains(r#""knock""#)).count(), 101);
        assert_eq!([charged_to(&waits), charged_to(&other.membership)], before);
        assert!(charged_to(&host.membership) > heard.concat().len(), "{}", charged_to(&host.membership));
    }

    #[test]
    fn who_makes_another_one_the_host_pays_for_what_all_are_told_of_that() {
        let rooms = rooms(4);
        let host = Coming { role: Role::Host, ..Coming::new("host") }.enters(&rooms).unwrap();
        let other = Coming { may_resume: true, ..Coming::new("other") }.enters(&rooms).unwrap();
        host.commands(&LOCK).unwrap();
        let _waits = Coming::new("waits").knocks(&rooms).unwrap();
        let before = charged_to(&other.membership);
        for to in ["other", "host"].iter().cycle().take(100) {
            // Who has the role may take it back.
            host.commands(&HostCommand::MakeHost { to: (*to).into() }).unwrap();
        }
        assert_eq!(charged_to(&other.membership), before);
    }

    #[test]
    fn those_who_knock_and_go_without_end_are_not_charged_to_the_host() {
        let rooms = rooms(4);
        let host = Coming { may_resume: true, ..Coming::new("host") }.enters(&rooms).unwrap();
        host.commands(&LOCK).unwrap();
        let before = charged_to(&host.membership);
        for _ in 0..100 {
            drop(Coming::new("visitor").knocks(&rooms).unwrap());
        }
        assert_eq!(charged_to(&host.membership), before);
    }

    #[test]
    fn a_member_that_reads_nothing_keeps_no_host_from_its_commands() {
        let rooms = rooms(4);
        let host = enter(&rooms, "host");
        let _stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
        for _ in 0..2 * ANNOUNCEMENTS {
            host.commands(&LOCK).unwrap();
            host.commands(&UNLOCK).unwrap();
        }
    }

    #[test]
    fn those_who_knock_and_go_fill_no_outbox_of_a_host_that_reads_nothing() {
        let rooms = rooms(4);
        let host = Coming { reads: 0, ..Coming::new("host") }.enters(&rooms).unwrap();
        host.commands(&LOCK).unwrap();
        for _ in 0..2 * ANNOUNCEMENTS {
            drop(Coming::new("visitor").knocks(&rooms).unwrap());
        }
        let _waits = Coming::new("waits").knocks(&rooms).unwrap();
        host.reads_on();
        let heard = host.hears();
        assert_eq!(heard[1..], [r#"{"type":"room","locked":true}"#, r#"{"type":"knock","id":"waits"}"#]);
    }

    #[test]
    fn a_host_hears_of_a_knock_that_ended_if_it_heard_of_the_knock() {
        let rooms = rooms(4);
        let [host, next] = ["host", "next"].map(|id| enter(&rooms, id));
        host.commands(&LOCK).unwrap();
        let waits = Coming::new("waits").knocks(&rooms).unwrap();
        host.hears();
        host.reads_no_more();
        // It is told of the knock once more.
        host.commands(&HostCommand::MakeHost { to: "next".into() }).unwrap();
        next.commands(&HostCommand::MakeHost { to: "host".into() }).unwrap();
        drop(waits);
        host.reads_on();
        assert_eq!(host.hears().last().unwrap(), r#"{"type":"knock_gone","id":"waits"}"#);
    }

    #[test]
    fn a_host_may_command_as_often_as_it_likes_while_a_member_is_away_and_that_one_keeps_its_place() {
        let rooms = rooms(4);
        let (host, away) = (enter(&rooms, "host"), Coming { may_resume: true, ..Coming::new("away") });
        let away = away.enters(&rooms).unwrap();
        host.commands(&LOCK).unwrap();
        let _knocks = ["x", "y", "z"].map(|id| Coming::new(id).knocks(&rooms).unwrap());
        assert_eq!(away.is_cut(), Some(1));
        host.hears();
        for _ in 0..2 * ANNOUNCEMENTS {
            host.commands(&LOCK).unwrap();
        }
        assert!(host.hears().iter().all(|text| text.contains(r#""type":"room""#)));
    }

    #[test]
    fn one_who_was_let_in_just_before_its_time_was_over_is_in() {
        let rooms = rooms(4);
        let host = enter(&rooms, "host");
        host.commands(&LOCK).unwrap();
        let [mut in_time, mut late] = ["in_time", "late"].map(|id| Coming::new(id).knocks(&rooms).unwrap());
        host.commands(&HostCommand::Admit { to: "in_time".into() }).unwrap();
        let expire = |(visitor, knock): &mut (Membership, Knock)| visitor.expire(knock, &mut Deferred::default());
        assert_eq!(expire(&mut in_time), Ok(()));
        let denied = expire(&mut late).unwrap_err().unwrap();
        assert_eq!(denied.code, ErrorCode::Denied);
    }
}

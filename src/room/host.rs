//! What the host of a room may do.

use super::deferred::Deferred;
use super::event::{Event, HostCommand};
use super::names::PeerId;
use super::rank::Rank;
use super::refusal::{ErrorCode, JoinError, Refusal, denied, not_found};
use super::reserve::NEWCOMER;
use super::room::Locked;
use super::table::Membership;
use crate::outbox::CloseRequest;

impl Membership {
    /// Carries out what only the host may do.
    ///
    /// # Errors
    /// `not_joined`, `not_host`, `peer_not_found`, `room_full`, `unavailable`.
    pub(crate) fn command(&self, command: &HostCommand<'_>, deferred: &mut Deferred) -> Result<(), Refusal> {
        self.room.lock(deferred).command(self.serial, command)
    }
}

impl Locked<'_> {
    fn command(&mut self, serial: u64, command: &HostCommand<'_>) -> Result<(), Refusal> {
        let most = NEWCOMER.max(self.state.change());
        self.give_up_unread(most);
        let (Some(giver), Some(host)) = (self.state.member(serial), self.state.host()) else {
            return Err(Refusal::new(ErrorCode::NotJoined, "you are no longer in the room"));
        };
        let may_replace = matches!(command, HostCommand::MakeHost { .. }) && giver.rank.may_replace(host.rank);
        if giver.serial != host.serial && !may_replace {
            return Err(Refusal::new(ErrorCode::NotHost, "only the host of the room may do that"));
        }
        let (from, rank) = (giver.id.clone(), giver.rank);
        match command {
            HostCommand::Kick { to, message } => self.kick(&from, to, message.as_deref()),
            HostCommand::Lock { is_locked } => self.set_lock(*is_locked),
            HostCommand::Admit { to } => self.admit(&from, to),
            HostCommand::Deny { to } => self.deny(&from, to),
            HostCommand::MakeHost { to } => self.make_host(&from, rank, to),
        }
    }

    fn kick(&mut self, from: &PeerId, to: &str, message: Option<&str>) -> Result<(), Refusal> {
        let position = self.state.position_of(to).filter(|_| to != from.as_str());
        let position = position.ok_or_else(|| not_found(to, from))?;
        let message = message.unwrap_or("the host removed you from the room").to_owned();
        let member = self.expel(position, CloseRequest::Kicked, message);
        if member.is_identified {
            self.at_no_charge(|room| room.keep_out(&member.id));
        }
        Ok(())
    }

    /// Keeps the person with this id out, even if it knocks already because its first connection was lost.
    fn keep_out(&mut self, id: &PeerId) {
        self.state.door.get_or_insert_default().ban(id);
        if let Some(knocker) = self.state.take_knocker(id.as_str()) {
            self.tell_knock_gone(&knocker);
            self.post.refuse(knocker, JoinError::Banned.into());
        }
    }

    fn set_lock(&mut self, is_locked: bool) -> Result<(), Refusal> {
        self.check_room_for_change()?;
        let door = self.state.door.get_or_insert_default();
        door.is_locked = is_locked;
        let knockers = if is_locked { Vec::new() } else { door.take_all() };
        self.post.announce(&self.state.members, &Event::Room { is_locked });
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
        self.post.refuse(knocker, denied("the host did not let you in"));
        Ok(())
    }

    fn make_host(&mut self, from: &PeerId, giver: Rank, to: &str) -> Result<(), Refusal> {
        let position = self.state.position_of(to).ok_or_else(|| not_found(to, from))?;
        self.check_room_for_change()?;
        let latest = self.state.members.iter().map(|member| member.rank.chosen()).max().unwrap_or_default();
        if let Some(member) = self.state.members.get_mut(position) {
            member.rank.choose(giver, latest);
        }
        self.announce_host(None);
        Ok(())
    }

    /// Checks whether each member has room for one more message about the room, and all knocks.
    fn check_room_for_change(&self) -> Result<(), Refusal> {
        if self.state.have_room(self.state.change()) { Ok(()) } else { Err(JoinError::Unavailable.into()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::knocks::Knock;
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

    #[test]
    fn a_member_that_reads_nothing_makes_the_room_refuse_commands_before_its_outbox_is_full() {
        let rooms = rooms(4);
        let host = enter(&rooms, "host");
        let _stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
        // It has its `joined`, and a `room` for each command; later it needs two for each of the two members.
        for _ in 0..ANNOUNCEMENTS - 1 - 4 {
            host.commands(&LOCK).unwrap();
        }
        assert_eq!(host.commands(&LOCK).unwrap_err().code, ErrorCode::Unavailable);
    }

    #[test]
    fn a_host_that_reads_nothing_makes_the_room_refuse_knocks_before_its_outbox_is_full() {
        let rooms = rooms(4);
        let host = Coming { reads: 0, ..Coming::new("host") }.enters(&rooms).unwrap();
        host.commands(&LOCK).unwrap();
        // It has `joined` and `room`, and two messages for each knock that was given up. A knock needs three; later the
        // host's own leave needs two.
        for _ in 0..=(ANNOUNCEMENTS - 2 - 3 - 2) / 2 {
            drop(Coming::new("visitor").knocks(&rooms).unwrap());
        }
        assert!(matches!(Coming::new("visitor").knocks(&rooms), Err(JoinError::Unavailable)));
    }

    #[test]
    fn a_member_that_is_away_is_given_up_rather_than_to_refuse_a_command() {
        let rooms = rooms(4);
        let (host, away) = (enter(&rooms, "host"), Coming { may_resume: true, ..Coming::new("away") });
        let away = away.enters(&rooms).unwrap();
        host.commands(&LOCK).unwrap();
        let _knocks = ["x", "y", "z"].map(|id| Coming::new(id).knocks(&rooms).unwrap());
        assert_eq!(away.is_cut(), Some(1));
        host.hears();
        // A `room` and the three knocks; later two for each member, one for `peer_back`, and two for each knock.
        for _ in 0..=ANNOUNCEMENTS - 4 - (4 + 1 + 6) {
            host.commands(&LOCK).unwrap();
        }
        assert!(host.hears().iter().all(|text| text.contains(r#""type":"room""#)));
        host.commands(&LOCK).unwrap();
        assert_eq!(host.hears()[0], r#"{"type":"peer_left","id":"away","reason":"timeout"}"#);
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

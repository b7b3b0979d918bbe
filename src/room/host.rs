//! What the host of a room may do, and what becomes of those who knock.

use tokio::sync::oneshot;

use super::deferred::Flushes;
use super::door::{Verdict, Visitor, denied};
use super::event::{ErrorCode, Event, HostCommand, LeaveReason, Refusal};
use super::member::{JoinError, Newcomer};
use super::names::PeerId;
use super::rank;
use super::room::{Room, not_found};
use super::state::{Member, NEWCOMER, State};
use crate::outbox::EndReason;

impl Room {
    /// Carries out a command of the member with this number. Returns how many messages that sent.
    pub(super) fn command(
        &self,
        serial: u64,
        command: &HostCommand<'_>,
        flushes: &mut Flushes,
    ) -> Result<usize, Refusal> {
        let mut state = self.lock();
        let most = NEWCOMER.max(1 + state.knocks().len());
        self.give_up_unread(&mut state, most, flushes);
        let giver = state.members.iter().find(|member| member.serial == serial);
        let (Some(giver), Some(host)) = (giver, state.host()) else {
            return Err(Refusal::new(ErrorCode::NotJoined, "you are no longer in the room"));
        };
        let may = match command {
            HostCommand::MakeHost { .. } => rank::may_hand_over(giver, host),
            _ => giver.serial == host.serial,
        };
        if !may {
            return Err(Refusal::new(ErrorCode::NotHost, "only the host of the room may do that"));
        }
        let (from, standing) = (giver.id.clone(), giver.standing);
        match command {
            HostCommand::Kick { to, message } => self.kick(&mut state, &from, to, message.as_deref(), flushes),
            HostCommand::Lock { is_locked } => self.set_lock(&mut state, *is_locked, flushes),
            HostCommand::Admit { to } => self.admit(&mut state, &from, to, flushes),
            HostCommand::Deny { to } => deny(&mut state, &from, to),
            HostCommand::MakeHost { to } => {
                let chosen = state.members.iter().position(|member| member.id.as_str() == to);
                let chosen = chosen.ok_or_else(|| not_found(to, &from))?;
                state.check_room_to_announce()?;
                rank::choose(&mut state.members, standing, chosen);
                self.announce_host(&state, flushes);
                Ok(state.members.len() + state.knocks().len())
            }
        }
    }

    fn kick(
        &self,
        state: &mut State,
        from: &PeerId,
        to: &str,
        message: Option<&str>,
        flushes: &mut Flushes,
    ) -> Result<usize, Refusal> {
        let position = state.members.iter().position(|member| member.id.as_str() == to && member.id != *from);
        let position = position.ok_or_else(|| not_found(to, from))?;
        state.has_kicked = true;
        let member = self.remove(state, position, LeaveReason::Kicked, flushes);
        let message = message.unwrap_or("the host removed you from the room").to_owned();
        let refusal = Refusal::new(ErrorCode::Kicked, message);
        if let Some(frame) = (self.encode)(&Event::Error { refusal: &refusal, reference: None }) {
            member.outbox.answer(frame);
            flushes.add(&member.outbox);
        }
        member.outbox.end(EndReason::Kicked);
        if member.standing.is_identified {
            self.keep_out(state, &member.id, flushes);
        }
        Ok(state.members.len() + 1)
    }

    /// Keeps the person with this id out, even if it knocks already because its first connection was lost.
    fn keep_out(&self, state: &mut State, id: &PeerId, flushes: &mut Flushes) {
        let door = state.door.get_or_insert_default();
        door.ban(id);
        if let Some(visitor) = door.take(id.as_str()) {
            self.tell_knock_gone(state, &visitor, flushes);
            visitor.refuse(JoinError::Banned.into());
        }
    }

    fn set_lock(&self, state: &mut State, is_locked: bool, flushes: &mut Flushes) -> Result<usize, Refusal> {
        state.check_room_to_announce()?;
        let door = state.door.get_or_insert_default();
        door.is_locked = is_locked;
        let visitors = if is_locked { Vec::new() } else { door.take_all() };
        self.announce(&state.members, &Event::Room { is_locked }, flushes);
        let mut sent = state.members.len();
        for visitor in visitors {
            self.give_up_unread(state, NEWCOMER, flushes);
            match visitor.newcomer.check(state) {
                Ok(()) => sent += self.let_in(state, visitor, flushes),
                Err(error) => {
                    self.tell_knock_gone(state, &visitor, flushes);
                    visitor.refuse(error.into());
                    sent += 2;
                }
            }
        }
        Ok(sent)
    }

    fn admit(&self, state: &mut State, from: &PeerId, to: &str, flushes: &mut Flushes) -> Result<usize, Refusal> {
        let visitor = state.knocks().iter().find(|visitor| visitor.newcomer.member.id.as_str() == to);
        let Some(Visitor { newcomer, .. }) = visitor else { return Err(not_found(to, from)) };
        newcomer.check(state).map_err(|error| {
            let refusal = Refusal::from(error);
            Refusal { to: Some(to.to_owned()), ..refusal }
        })?;
        let visitor = state.door.as_mut().and_then(|door| door.take(to));
        Ok(visitor.map_or(0, |visitor| self.let_in(state, visitor, flushes)))
    }

    /// Makes a member of one who knocked. Returns how many messages that sent.
    fn let_in(&self, state: &mut State, visitor: Visitor, flushes: &mut Flushes) -> usize {
        let (newcomer, verdict) = visitor.admit();
        let sent = 1 + self.add(state, newcomer, flushes);
        // The session that it is for has the receiver until it has left the room.
        let _ = verdict.send(Ok(()));
        sent
    }

    /// Lets a client knock: tells it, and the host.
    pub(super) fn knock(
        &self,
        state: &mut State,
        newcomer: Newcomer,
        flushes: &mut Flushes,
    ) -> Result<oneshot::Receiver<Verdict>, JoinError> {
        state.check_id(&newcomer.member.id, newcomer.member.standing.is_identified)?;
        // A `knock` now, and what else it may cause later for each member that becomes the host.
        let has_room = state.have_room(1 + 2);
        let door = state.door.get_or_insert_default();
        door.check_knock(&newcomer.member.id)?;
        if !has_room {
            return Err(JoinError::Unavailable);
        }
        let (visitor, verdict) = Visitor::new(newcomer);
        self.tell(&visitor.newcomer.member, &Event::Waiting, flushes);
        if let Some(host) = state.host() {
            self.tell(host, &Event::Knock(visitor.newcomer.member.as_peer()), flushes);
        }
        state.door.get_or_insert_default().push(visitor);
        Ok(verdict)
    }

    /// Ends the knock with this number because it has waited too long; returns whether it waited.
    pub(super) fn expire_knock(&self, serial: u64, flushes: &mut Flushes) -> bool {
        self.end_knock(&mut self.lock(), serial, flushes)
    }

    /// Ends the knock with this number, and tells the host; returns whether there was one.
    pub(super) fn end_knock(&self, state: &mut State, serial: u64, flushes: &mut Flushes) -> bool {
        let visitor = state.door.as_mut().and_then(|door| door.take_serial(serial));
        visitor.inspect(|visitor| self.tell_knock_gone(state, visitor, flushes)).is_some()
    }

    /// Ends the knock of one who would have the id of a newcomer.
    pub(super) fn take_id_from_knock(&self, state: &mut State, id: &PeerId, flushes: &mut Flushes) {
        if let Some(visitor) = state.door.as_mut().and_then(|door| door.take(id.as_str())) {
            self.tell_knock_gone(state, &visitor, flushes);
            visitor.refuse(JoinError::IdTaken.into());
        }
    }

    /// Ends all knocks at a room that is empty.
    pub(super) fn close_door(&self, state: &mut State, reason: LeaveReason) {
        let Some(mut door) = state.door.take() else { return };
        // When the relay shuts down, they are told that instead.
        if reason != LeaveReason::Shutdown {
            door.take_all().into_iter().for_each(|visitor| visitor.refuse(denied("everybody has left the room")));
        }
    }

    /// Tells everybody who the host is now, and the host who knocks.
    pub(super) fn announce_host(&self, state: &State, flushes: &mut Flushes) {
        if let Some(host) = state.host() {
            self.announce(&state.members, &Event::Host { id: &host.id }, flushes);
            self.tell_knocks(state, host, flushes);
        }
    }

    /// Tells `host` who knocks.
    pub(super) fn tell_knocks(&self, state: &State, host: &Member, flushes: &mut Flushes) {
        for visitor in state.knocks() {
            self.tell(host, &Event::Knock(visitor.newcomer.member.as_peer()), flushes);
        }
    }

    fn tell_knock_gone(&self, state: &State, visitor: &Visitor, flushes: &mut Flushes) {
        if let Some(host) = state.host() {
            self.tell(host, &Event::KnockGone { id: &visitor.newcomer.member.id }, flushes);
        }
    }
}

impl State {
    fn knocks(&self) -> &[Visitor] {
        self.door.as_ref().map_or(&[], |door| door.waiting())
    }

    /// Checks whether each member has room for one more message about the room, and all knocks.
    fn check_room_to_announce(&self) -> Result<(), Refusal> {
        if self.have_room(1 + self.knocks().len()) { Ok(()) } else { Err(JoinError::Unavailable.into()) }
    }
}

fn deny(state: &mut State, from: &PeerId, to: &str) -> Result<usize, Refusal> {
    let visitor = state.door.as_mut().and_then(|door| door.take(to)).ok_or_else(|| not_found(to, from))?;
    visitor.refuse(denied("the host did not let you in"));
    Ok(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        assert_eq!(in_time.expire(&mut Flushes::default()), Ok(()));
        let denied = late.expire(&mut Flushes::default()).unwrap_err().unwrap();
        assert_eq!(denied.code, ErrorCode::Denied);
    }
}

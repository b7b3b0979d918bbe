//! Members whose connection is lost: their places are held, and they come back on another connection.

use std::fmt;
use std::sync::Arc;

use super::delivery::Flushes;
use super::door::Door;
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
        let door = state.door.as_deref();
        let resumed = Event::Resumed {
            id: &member.id,
            room: &self.name,
            host: &host.id,
            peers: &peers,
            ice_servers,
            is_locked: door.is_some_and(|door| door.is_locked),
            has_password: door.is_some_and(Door::has_password),
            received: taken,
            resume,
        };
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

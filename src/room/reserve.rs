//! Whether there is room for another member, and for the messages about it.
//!
//! Each join, each knock and each command of a host must fit into the outbox of each member, within
//! [`ANNOUNCEMENTS`](crate::limits::ANNOUNCEMENTS). What the members may cause without a further question is never refused, and
//! is bounded by how many they are: each one's `peer_left` and the `host` after it, its `peer_away` and its `peer_back` (the
//! next ones cancel out); and a `knock` and a `knock_gone` for each one that knocks, for each new host. So what waits for a
//! member that reads nothing grows with the capacity of its room, and not with how many come and go.

use super::door::Knocker;
use super::event::LeaveReason;
use super::held_offer::HeldOffer;
use super::member::{Member, PendingMember};
use super::refusal::JoinError;
use super::room::Locked;
use super::state::State;
use crate::limits::{CHANGE_BYTES, NEWCOMER_BYTES};
use crate::outbox::Sender;

/// What a newcomer needs: a `peer_joined`, and a `host` if it has the role.
pub(super) const NEWCOMER: usize = 2;
/// What one who knocks needs: a `knock`.
pub(super) const KNOCK: usize = 1;

impl State {
    /// Whether `pending` may be added. If the authorizer vouches for its id, it takes the place of a member that only named
    /// itself so, or that is away and was the same person.
    pub(super) fn check(&self, pending: &PendingMember, capacity: usize) -> Result<(), JoinError> {
        // The id comes first: a client that is in the room already learns that, rather than that the room is full.
        let replaced = self.check_id(pending)?;
        if self.members.len() - replaced >= capacity {
            return Err(JoinError::Full(capacity));
        }
        if !self.have_room(NEWCOMER) {
            return Err(JoinError::Unavailable);
        }
        self.check_memory(pending)
    }

    /// Whether there is memory for all that `pending` may cause before it sends anything: what it is told, and what the
    /// others are.
    pub(super) fn check_memory(&self, pending: &PendingMember) -> Result<(), JoinError> {
        let held = self.held.as_ref().filter(|_| self.members.len() == 1).map_or(0, HeldOffer::bytes);
        let bytes = pending.ice_servers.bytes() + held + (1 + self.members.len()) * NEWCOMER_BYTES;
        if pending.outbox.sender().purse().has(bytes) { Ok(()) } else { Err(JoinError::NoMemory) }
    }

    /// Whether there is memory for what `cause` tells each member, and for the knocks that a new host hears of.
    pub(super) fn has_memory_for_change(&self, cause: &Sender) -> bool {
        cause.purse().has((self.members.len() + 2 * self.knockers().len()) * CHANGE_BYTES)
    }

    /// Whether `pending` may have its id, and how many members it replaces.
    pub(super) fn check_id(&self, pending: &PendingMember) -> Result<usize, JoinError> {
        let has_its_id = |knocker: &Knocker| knocker.pending.is_identified && knocker.pending.id == pending.id;
        if !pending.is_identified && self.knockers().iter().any(has_its_id) {
            return Err(JoinError::IdTaken);
        }
        match self.members.iter().find(|member| member.id == pending.id) {
            None => Ok(0),
            Some(member) if member.gives_way_to(pending) => Ok(1),
            Some(_) => Err(JoinError::IdTaken),
        }
    }

    /// What a change of the room needs: one message about it, and all knocks for a new host.
    pub(super) fn change(&self) -> usize {
        1 + self.knockers().len()
    }

    /// Whether `more` announcements fit into the outbox of each member.
    pub(super) fn have_room(&self, more: usize) -> bool {
        self.members.iter().all(|member| member.outbox.room_for_announcements(more))
    }
}

impl Locked<'_> {
    /// Makes room for `more` announcements to each member: if need be, those who came and are gone again since it read are
    /// forgotten, with what they said. Removes those members whose connection is lost and that have no room even so.
    pub(super) fn give_up_unread(&mut self, more: usize) {
        loop {
            let is_full = |member: &Member| !member.outbox.make_room_for_announcements(more) && member.is_suspended();
            let Some(position) = self.state.members.iter().position(is_full) else { return };
            self.at_no_charge(|room| {
                room.remove(position, LeaveReason::Timeout);
            });
        }
    }
}

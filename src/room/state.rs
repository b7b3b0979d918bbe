//! What a room keeps: its members, its door, and the offer that is held for the first peer that joins.

use super::booking::Booking;
use super::door::{Door, Knocker};
use super::event::SignalKind;
use super::held_offer::HeldOffer;
use super::member::Member;
use super::names::PeerId;
use super::setup::Setups;
use crate::metrics::SetupTimes;

/// The state of a room.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Oldest first.
    pub(super) members: Vec<Member>,
    /// Who may enter; everybody without it.
    pub(super) door: Option<Box<Door>>,
    pub(super) held: Option<HeldOffer>,
    /// The calls that are being set up.
    pub(super) setups: Setups,
    /// How many clients have entered or knocked so far.
    entered: u64,
    /// Whether a member was removed, as by a kick: its session may not know it yet.
    pub(super) has_kicked: bool,
    /// Whether it has members, or had some until a moment ago and the observer does not know that they are gone.
    pub(super) had_members: bool,
    /// Whether the room is empty and about to be removed: then no client can enter.
    pub(super) is_closed: bool,
}

impl State {
    /// Where the host is among the members; none in an empty room.
    pub(super) fn host_position(&self) -> Option<usize> {
        let members = self.members.iter().enumerate();
        // Of equal ones, this is the first.
        members.min_by_key(|(_, member)| member.rank.order()).map(|(position, _)| position)
    }

    /// The host; none in an empty room.
    pub(super) fn host(&self) -> Option<&Member> {
        self.members.get(self.host_position()?)
    }

    /// Where the member with this number is.
    pub(super) fn position(&self, serial: u64) -> Option<usize> {
        self.members.iter().position(|member| member.serial == serial)
    }

    /// The member with this number.
    pub(super) fn member(&self, serial: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.serial == serial)
    }

    /// Where the member with this id is.
    pub(super) fn position_of(&self, id: &str) -> Option<usize> {
        self.members.iter().position(|member| member.id.as_str() == id)
    }

    /// Those who knock, in the order in which they came.
    pub(super) fn knockers(&self) -> &[Knocker] {
        self.door.as_ref().map_or(&[], |door| door.knockers())
    }

    /// Takes the one who knocks and would have this id.
    pub(super) fn take_knocker(&mut self, id: &str) -> Option<Knocker> {
        self.door.as_mut()?.take_if(|knocker| knocker.pending.id.as_str() == id)
    }

    /// The number of the next one who enters or knocks.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.entered += 1;
        self.entered
    }

    /// Adds a member. The table doubles from one: a plain `push` makes room for four, and most rooms are for two, which
    /// saves each of them 96 bytes.
    pub(super) fn push(&mut self, member: Member) {
        if self.members.len() == self.members.capacity() {
            self.members.reserve_exact(self.members.len().max(1));
        }
        self.members.push(member);
        self.had_members = true;
    }

    /// The member `from` sends a signal of this kind to the member `to`, or to all others.
    pub(super) fn note_setup(&mut self, kind: SignalKind, from: u64, to: Option<u64>, times: &SetupTimes) {
        self.setups.note(kind, from, to, self.members.len(), times);
    }

    /// The member `serial` has come: it waits for a call with those who are there, or has the offer that was held.
    pub(super) fn note_setup_with(&mut self, serial: u64) {
        let members = self.members.len();
        let offerer = self.held.as_ref().and_then(|held| self.members.iter().find(|member| member.id == *held.from()));
        match (members, offerer) {
            (0 | 1, _) => {}
            (2, Some(offerer)) => self.setups.hand_over(offerer.serial, serial, members),
            _ => self.setups.enter(serial, members),
        }
    }

    /// Forgets the offer of one who leaves.
    pub(super) fn forget_offer(&mut self, of: &PeerId) {
        HeldOffer::note_leave(&mut self.held, of);
    }

    /// What was settled about the room before anybody came, if it was made ahead of time.
    pub(super) fn booking(&self) -> Option<&Booking> {
        self.door.as_ref()?.booking.as_ref()
    }

    /// Whether the room was made ahead of time, and that is not over: then it is there without members.
    pub(super) fn is_booked(&self) -> bool {
        self.booking().is_some_and(|booking| !booking.is_over())
    }

    /// Closes the room if nobody is in it, unless it is booked; whether it is closed.
    pub(super) fn close_if_empty(&mut self) -> bool {
        self.is_closed |= self.members.is_empty() && !self.is_booked();
        self.is_closed
    }
}

//! Who may enter a room: its lock and those who knock, its password, and those who stay out.

use std::collections::VecDeque;
use std::net::IpAddr;

use tokio::sync::oneshot;

use super::booking::Booking;
use super::member::PendingMember;
use super::names::{PeerId, RoomName};
use super::password::Password;
use super::refusal::{JoinError, Refusal, displaced};
use super::role::Role;
use super::wrong_passwords::WrongPasswords;
use crate::budget::Charge;
use crate::limits::{BANNED, KNOCKS};
use crate::quota::Network;

/// What somebody who knocks is told at last: it is in the room, or why it is not.
pub(super) type KnockOutcome = Result<(), Refusal>;

/// The door of a room. A room without one is open to everybody.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub(super) is_locked: bool,
    /// In the order in which they came.
    knockers: Vec<Knocker>,
    /// Persons who were kicked, in that order, [`BANNED`] at most; each is charged to who kicked it.
    banned: VecDeque<(PeerId, Charge)>,
    pub(super) password: Option<Password>,
    /// If the room was made ahead of time.
    pub(super) booking: Option<Booking>,
}

/// A client that knocks.
#[derive(Debug)]
pub(super) struct Knocker {
    /// Its number in the room, as a member has one.
    pub(super) serial: u64,
    pub(super) pending: PendingMember,
    pub(super) outcome: oneshot::Sender<KnockOutcome>,
}

impl Door {
    /// The door of a room that is made ahead of time.
    #[cfg(feature = "admin")]
    pub(super) fn of_booked(booking: Booking, password: Option<Password>) -> Self {
        Self { is_locked: booking.is_locked, password, booking: Some(booking), ..Self::default() }
    }

    /// Checks whether `pending` may ask to come in to `room`.
    pub(super) fn check(
        &mut self,
        pending: &PendingMember,
        room: &RoomName,
        wrong_passwords: &WrongPasswords,
    ) -> Result<(), JoinError> {
        if pending.is_identified && self.has_banned(&pending.id) {
            return Err(JoinError::Banned);
        }
        let Some(password) = &mut self.password else { return Ok(()) };
        password.check(pending.password.as_ref(), room, pending.address, wrong_passwords)
    }

    /// Whether somebody with this role has to knock.
    pub(super) fn is_closed_to(&self, role: Role) -> bool {
        self.is_locked && role != Role::Host
    }

    /// Keeps the person with this id out, whose id needs this memory.
    pub(super) fn ban(&mut self, id: &PeerId, memory: Charge) {
        if self.banned.len() >= BANNED {
            self.banned.pop_front();
        }
        self.banned.push_back((id.clone(), memory));
    }

    fn has_banned(&self, id: &PeerId) -> bool {
        self.banned.iter().any(|(banned, _)| banned == id)
    }

    /// Those who knock, in the order in which they came.
    pub(super) fn knockers(&self) -> &[Knocker] {
        &self.knockers
    }

    /// Checks whether `pending` may knock. If another one has to give way for that, returns the number of that one, and what
    /// it is told.
    pub(super) fn check_knock(&self, pending: &PendingMember) -> Result<Option<(u64, Refusal)>, JoinError> {
        if let Some(knocker) = self.knockers.iter().find(|knocker| knocker.pending.id == pending.id) {
            let gives_way = pending.is_identified && !knocker.pending.is_identified;
            return if gives_way { Ok(Some((knocker.serial, displaced()))) } else { Err(JoinError::IdTaken) };
        }
        if self.knockers.len() < KNOCKS {
            return Ok(None);
        }
        let full = JoinError::TooManyKnocks(KNOCKS);
        match self.last_of_most(pending.address) {
            Some(knocker) => Ok(Some((knocker.serial, full.into()))),
            None => Err(full),
        }
    }

    /// The last one that came of the address with the most knocks, if it has more even when one of `address` knocks instead:
    /// so two addresses do not take turns without end.
    fn last_of_most(&self, address: Option<IpAddr>) -> Option<&Knocker> {
        let network = |address: Option<IpAddr>| address.map(Network::from);
        let of = |knocker: &Knocker| network(knocker.pending.address);
        let count = |network| self.knockers.iter().filter(|knocker| of(knocker) == network).count();
        // Of equal ones, this is the last.
        let last = self.knockers.iter().max_by_key(|knocker| count(of(knocker)))?;
        (count(of(last)) > count(network(address)) + 1).then_some(last)
    }

    pub(super) fn push(&mut self, knocker: Knocker) {
        self.knockers.push(knocker);
    }

    /// Takes the first one of whom this is true.
    pub(super) fn take_if(&mut self, is_it: impl Fn(&Knocker) -> bool) -> Option<Knocker> {
        let position = self.knockers.iter().position(is_it)?;
        Some(self.knockers.remove(position))
    }

    /// Nobody is in the room any more, which was made ahead of time: the door is as it was made, and those whom members kicked
    /// may come again.
    pub(super) fn reset(&mut self) {
        self.is_locked = self.booking.as_ref().is_some_and(|booking| booking.is_locked);
        self.banned.clear();
    }

    /// Takes all who knock.
    pub(super) fn take_all(&mut self) -> Vec<Knocker> {
        std::mem::take(&mut self.knockers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::limits::BANNED_BYTES;

    #[test]
    fn as_many_persons_as_are_remembered_stay_out_and_then_the_first_one_may_come_again() {
        let mut door = Door::default();
        let person = |n: usize| PeerId::parse(&format!("person-{n}")).unwrap();
        let account = Budget::new(0, 0).address();
        let memory = || account.purse().charge_anyway(BANNED_BYTES);
        (0..BANNED).for_each(|n| door.ban(&person(n), memory()));
        assert!((0..BANNED).all(|n| door.has_banned(&person(n))));
        let used = account.used();
        door.ban(&person(BANNED), memory());
        assert_eq!(account.used(), used, "the memory of the first is free");
        assert!(!door.has_banned(&person(0)));
        assert!((1..=BANNED).all(|n| door.has_banned(&person(n))));
    }
}

//! Who may enter a room: its lock and those who knock, its password, and those who stay out.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::Role;
use super::entrant::{Entrant, JoinError, Newcomer};
use super::event::{ErrorCode, Refusal};
use super::names::PeerId;
use super::password::Password;
use crate::limits::{BANNED, KNOCKS};

/// What somebody who knocks is told at last: it is in the room, or why it is not.
pub(super) type Verdict = Result<(), Refusal>;

/// The door of a room. A room without one is open to everybody.
#[derive(Debug, Default)]
pub(super) struct Door {
    pub(super) is_locked: bool,
    /// In the order in which they came.
    waiting: Vec<Visitor>,
    /// Persons who were kicked, in that order.
    banned: VecDeque<PeerId>,
    password: Option<Password>,
}

/// A client that knocks.
#[derive(Debug)]
pub(super) struct Visitor {
    pub(super) newcomer: Newcomer,
    verdict: oneshot::Sender<Verdict>,
}

impl Visitor {
    pub(super) fn new(newcomer: Newcomer) -> (Self, oneshot::Receiver<Verdict>) {
        let (verdict, receiver) = oneshot::channel();
        (Self { newcomer, verdict }, receiver)
    }

    /// Tells it that it does not come in.
    pub(super) fn refuse(self, refusal: Refusal) {
        // The session that it is for removes the visitor before it forgets the receiver.
        let _ = self.verdict.send(Err(refusal));
    }

    /// What is to become a member, and how to tell it once it is.
    pub(super) fn admit(self) -> (Newcomer, oneshot::Sender<Verdict>) {
        (self.newcomer, self.verdict)
    }
}

impl Door {
    /// Checks whether `entrant` may ask to come in.
    pub(super) fn check(&mut self, id: &PeerId, entrant: &Entrant<'_>) -> Result<(), JoinError> {
        if entrant.is_identified && self.banned.contains(id) {
            return Err(JoinError::Banned);
        }
        self.password.as_mut().map_or(Ok(()), |password| password.check(entrant.password, entrant.address))
    }

    /// Whether somebody with this role has to knock.
    pub(super) fn is_closed_to(&self, role: Role) -> bool {
        self.is_locked && role != Role::Host
    }

    pub(super) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    pub(super) fn set_password(&mut self, password: Password) {
        self.password = Some(password);
    }

    /// Keeps the person with this id out.
    pub(super) fn ban(&mut self, id: &PeerId) {
        if self.banned.len() >= BANNED {
            self.banned.pop_front();
        }
        self.banned.push_back(id.clone());
    }

    /// Those who knock, in the order in which they came.
    pub(super) fn waiting(&self) -> &[Visitor] {
        &self.waiting
    }

    /// Checks whether somebody may knock who would have this id.
    pub(super) fn check_knock(&self, id: &PeerId) -> Result<(), JoinError> {
        if self.waiting.iter().any(|visitor| visitor.newcomer.member.id == *id) {
            return Err(JoinError::IdTaken);
        }
        if self.waiting.len() >= KNOCKS { Err(JoinError::TooManyKnocks(KNOCKS)) } else { Ok(()) }
    }

    pub(super) fn push(&mut self, visitor: Visitor) {
        self.waiting.push(visitor);
    }

    /// Takes the visitor with this id.
    pub(super) fn take(&mut self, id: &str) -> Option<Visitor> {
        self.take_if(|visitor| visitor.newcomer.member.id.as_str() == id)
    }

    /// Takes the visitor with this number.
    pub(super) fn take_serial(&mut self, serial: u64) -> Option<Visitor> {
        self.take_if(|visitor| visitor.newcomer.member.serial == serial)
    }

    fn take_if(&mut self, is_it: impl Fn(&Visitor) -> bool) -> Option<Visitor> {
        let position = self.waiting.iter().position(is_it)?;
        Some(self.waiting.remove(position))
    }

    /// Takes all who knock.
    pub(super) fn take_all(&mut self) -> Vec<Visitor> {
        std::mem::take(&mut self.waiting)
    }
}

/// The refusal for somebody who knocked.
pub(super) fn denied(message: &'static str) -> Refusal {
    Refusal::new(ErrorCode::Denied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_persons_as_are_remembered_stay_out_and_then_the_first_one_may_come_again() {
        let mut door = Door::default();
        let person = |n: usize| PeerId::parse(&format!("person-{n}")).unwrap();
        (0..BANNED).for_each(|n| door.ban(&person(n)));
        assert!((0..BANNED).all(|n| door.banned.contains(&person(n))));
        door.ban(&person(BANNED));
        assert!(!door.banned.contains(&person(0)));
        assert!((1..=BANNED).all(|n| door.banned.contains(&person(n))));
    }
}

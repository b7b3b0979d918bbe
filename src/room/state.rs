//! What a room keeps: its members, its door, and the offer that is held for the first peer that joins.

use std::sync::Arc;

use tokio::time::Instant;

use super::door::Door;
use super::event::{ErrorCode, Peer, Refusal};
use super::held_offer::Held;
use super::member::{Entrant, JoinError, Newcomer, Resumption};
use super::names::{PeerId, PeerName};
use super::rank::{self, Standing};
use super::suspend::Absence;
use crate::outbox::Outbox;

/// What a newcomer needs in each outbox: a `peer_joined` now, and a `host` if it has the role; and later a `peer_left` and a
/// `host`.
pub(super) const NEWCOMER: usize = 2 + 2;

/// The state of a room.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Oldest first.
    pub(super) members: Vec<Member>,
    /// Who may enter; everybody without it.
    pub(super) door: Option<Box<Door>>,
    pub(super) held: Option<Held>,
    /// How many clients have entered or knocked so far.
    entered: u64,
    /// Whether a member was kicked: its session may not know it yet.
    pub(super) has_kicked: bool,
    /// Whether the room is empty and about to be removed: then no client can enter.
    pub(super) is_closed: bool,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: PeerId,
    /// Its number in this room: another member may have had the same id before.
    pub(super) serial: u64,
    name: Option<PeerName>,
    pub(super) outbox: Arc<Outbox>,
    /// Whether the others know that its connection was lost: it keeps its place for a while.
    pub(super) is_away: bool,
    /// What is kept for it outside of the room while it has no connection.
    pub(super) absence: Option<Arc<dyn Absence>>,
    pub(super) standing: Standing,
    /// When it last sent or was sent a signal, or entered. Only kept where idle members give way.
    pub(super) active: Instant,
}

impl Member {
    pub(super) fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref(), away: self.is_away }
    }
}

impl State {
    /// The host; none in an empty room.
    pub(super) fn host(&self) -> Option<&Member> {
        self.members.get(rank::position(&self.members)?)
    }

    /// Adds a member. The table doubles from one: a plain `push` makes room for four, and most rooms are for two, which
    /// saves each of them 96 bytes.
    pub(super) fn push(&mut self, member: Member) {
        if self.members.len() == self.members.capacity() {
            self.members.reserve_exact(self.members.len().max(1));
        }
        self.members.push(member);
    }

    pub(super) fn newcomer(&mut self, id: &PeerId, capacity: usize, entrant: &Entrant<'_>) -> Newcomer {
        self.entered += 1;
        let member = Member {
            id: id.clone(),
            serial: self.entered,
            name: entrant.name.cloned(),
            outbox: Arc::clone(entrant.outbox),
            is_away: false,
            absence: None,
            standing: Standing::new(entrant.role, entrant.is_identified),
            active: Instant::now(),
        };
        let (ice_servers, resume) = (entrant.ice_servers.clone(), entrant.resume.map(Resumption::from));
        Newcomer { member, capacity, ice_servers, resume }
    }

    /// Whether a member with this `id` may be added, which stands for one person if `is_identified` is set: then it takes
    /// the place of a member that is away and was the same person.
    pub(super) fn check(&self, id: &PeerId, is_identified: bool, capacity: usize) -> Result<(), JoinError> {
        // The id comes first: a client that is in the room already learns that, rather than that the room is full.
        let replaced = self.check_id(id, is_identified)?;
        if self.members.len() - replaced >= capacity {
            return Err(JoinError::Full(capacity));
        }
        if self.have_room(NEWCOMER) { Ok(()) } else { Err(JoinError::Unavailable) }
    }

    /// Whether a newcomer may have this `id`, and how many members it replaces.
    pub(super) fn check_id(&self, id: &PeerId, is_identified: bool) -> Result<usize, JoinError> {
        match self.members.iter().find(|member| member.id == *id) {
            None => Ok(0),
            Some(member) if is_identified && member.is_away && member.standing.is_identified => Ok(1),
            Some(_) => Err(JoinError::IdTaken),
        }
    }

    /// Whether `now` announcements fit into the outbox of each member, besides those that are [reserved](Self::reserved).
    pub(super) fn have_room(&self, now: usize) -> bool {
        let announcements = now + self.reserved();
        self.members.iter().all(|member| member.outbox.room_for_announcements(announcements))
    }

    /// How many announcements must fit later: a `peer_left` and a `host` for each member, a `peer_back` for each that is
    /// away, and a `knock` and a `knock_gone` for each one that knocks.
    pub(super) fn reserved(&self) -> usize {
        let away = self.members.iter().filter(|member| member.is_away).count();
        let knocks = self.door.as_ref().map_or(0, |door| door.waiting().len());
        2 * self.members.len() + away + 2 * knocks
    }

    pub(super) fn has_member(&self, serial: u64) -> bool {
        self.members.iter().any(|member| member.serial == serial)
    }

    /// Notes that the member `serial` and the receivers of its signal (`to`, or all others) are not idle.
    pub(super) fn note_activity(&mut self, serial: u64, to: Option<&str>) -> Result<(), Refusal> {
        if !self.has_member(serial) {
            let message = "you were removed from the room: you were idle and gave way, or the host did it";
            return Err(Refusal::new(ErrorCode::NotJoined, message));
        }
        let now = Instant::now();
        let takes_part = |member: &Member| member.serial == serial || to.is_none_or(|to| member.id.as_str() == to);
        self.members.iter_mut().filter(|member| takes_part(member)).for_each(|member| member.active = now);
        Ok(())
    }

    pub(super) fn close_if_empty(&mut self) -> bool {
        self.is_closed |= self.members.is_empty();
        self.is_closed
    }
}

//! What a room keeps: its members, its door, and the offer that is held for the first peer that joins.

use std::sync::Arc;

use tokio::time::Instant;

use super::door::Door;
use super::entrant::{Entrant, JoinError, Newcomer};
use super::event::{ErrorCode, Peer, Refusal};
use super::held::Held;
use super::host::{self, Standing};
use super::names::{PeerId, PeerName};
use crate::outbox::{Outbox, SenderId};

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
    pub(super) standing: Standing,
    /// When it last sent or was sent a signal, or entered. Only kept where idle members give way.
    pub(super) active: Instant,
}

impl Member {
    pub(super) fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref() }
    }
}

impl State {
    /// The host; none in an empty room.
    pub(super) fn host(&self) -> Option<&Member> {
        self.members.get(host::position(&self.members)?)
    }

    pub(super) fn newcomer(&mut self, id: &PeerId, capacity: usize, entrant: &Entrant<'_>) -> Newcomer {
        self.entered += 1;
        let member = Member {
            id: id.clone(),
            serial: self.entered,
            name: entrant.name.cloned(),
            outbox: Arc::clone(entrant.outbox),
            standing: Standing::new(entrant.role, entrant.is_identified),
            active: Instant::now(),
        };
        Newcomer { member, capacity, ice_servers: entrant.ice_servers.clone() }
    }

    /// Whether a member with this `id` may be added.
    pub(super) fn check(&self, id: &PeerId, capacity: usize) -> Result<(), JoinError> {
        // The id comes first: a client that is in the room already learns that, rather than that the room is full.
        if self.members.iter().any(|member| member.id == *id) {
            return Err(JoinError::IdTaken);
        }
        if self.members.len() >= capacity {
            return Err(JoinError::Full(capacity));
        }
        // One `peer_joined` now.
        if self.have_room(1) { Ok(()) } else { Err(JoinError::Unavailable) }
    }

    /// Whether `now` announcements fit into the outbox of each member. Later, a `peer_left` and a `host` for each member
    /// must fit as well, and for each one that knocks a `knock` and a `knock_gone`.
    pub(super) fn have_room(&self, now: usize) -> bool {
        let knocks = self.door.as_ref().map_or(0, |door| door.waiting().len());
        let announcements = now + 2 * (self.members.len() + 1 + knocks);
        self.members.iter().all(|member| member.outbox.room_for_announcements(announcements))
    }

    pub(super) fn has_sender(&self, sender: SenderId) -> bool {
        self.members.iter().any(|member| member.outbox.id() == sender)
    }

    /// Notes that the member `sender` and the receivers of its signal (`to`, or all others) are not idle.
    pub(super) fn note_activity(&mut self, sender: SenderId, to: Option<&str>) -> Result<(), Refusal> {
        if !self.has_sender(sender) {
            let message = "you were removed from the room: you were idle and gave way, or the host did it";
            return Err(Refusal::new(ErrorCode::NotJoined, message));
        }
        let now = Instant::now();
        let takes_part = |member: &Member| member.outbox.id() == sender || to.is_none_or(|to| member.id.as_str() == to);
        self.members.iter_mut().filter(|member| takes_part(member)).for_each(|member| member.active = now);
        Ok(())
    }

    pub(super) fn close_if_empty(&mut self) -> bool {
        self.is_closed |= self.members.is_empty();
        self.is_closed
    }
}

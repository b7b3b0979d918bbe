//! The room table: who is where, and who gets what; independent of sockets and of what the messages are about.
//!
//! `join` gives a [`Membership`], which leaves when it is dropped: there is no other way in or out, so `peer_left` follows
//! each `peer_joined` exactly once. The table's locks are the only ones that see more than one peer. They are never held
//! across an await, because nothing here awaits: delivering is pushing to an [`Outbox`].

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use thiserror::Error;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::limits::{HELD_BYTES, LOBBY_CAPACITY};
use crate::peer::outbox::Outbox;
use crate::protocol::{ErrorCode, IceServers, Join, LeaveReason, Peer, Refusal, RelayMessage, Signal, SignalKind};
use crate::room::names::{LOBBY, PeerId, PeerName, RoomName};

/// Every room that has a member, by name. A room comes with its first member and goes with its last.
#[derive(Debug)]
pub struct Rooms {
    table: DashMap<RoomName, Room>,
    capacity: usize,
    ice_servers: IceServers,
}

impl Rooms {
    /// An empty table whose rooms take `capacity` members each (`lobby` at most two) and tell them `ice_servers`.
    pub fn new(capacity: usize, ice_servers: IceServers) -> Self {
        Self { table: DashMap::new(), capacity, ice_servers }
    }

    /// How many rooms have a member.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether no room has a member.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Enters a room: tells the others, then tells the newcomer who is there and what was held for the first to come.
    ///
    /// # Errors
    /// [`JoinError`]; nobody is told anything then.
    pub fn join(self: &Arc<Self>, join: Join, outbox: Arc<Outbox>) -> Result<Membership, JoinError> {
        let id = join.id.map_or_else(PeerId::random, Ok)?;
        let member = Member { id: id.clone(), name: join.name, outbox };
        let capacity = if join.room.as_str() == LOBBY { LOBBY_CAPACITY } else { self.capacity };
        match self.table.entry(join.room.clone()) {
            Entry::Occupied(mut room) => room.get_mut().admit(member, capacity, &join.room, &self.ice_servers)?,
            Entry::Vacant(vacant) => {
                let mut room = Room::default();
                room.admit(member, capacity, &join.room, &self.ice_servers)?;
                vacant.insert(room);
            }
        }
        Ok(Membership { rooms: Arc::clone(self), room: join.room, id, reason: LeaveReason::Closed })
    }
}

/// Why somebody may not enter a room.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The room has as many members as it takes.
    #[error("the room is full: it takes {0}")]
    Full(usize),
    /// Somebody in the room has this id.
    #[error("somebody in the room has this id")]
    IdTaken,
    /// The operating system has no randomness for an id.
    #[error("no id could be made: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let code = match error {
            JoinError::Full(_) => ErrorCode::RoomFull,
            JoinError::IdTaken => ErrorCode::IdTaken,
            JoinError::NoRandomness(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// A place in a room, kept until it is dropped.
#[derive(Debug)]
pub struct Membership {
    rooms: Arc<Rooms>,
    room: RoomName,
    id: PeerId,
    reason: LeaveReason,
}

impl Membership {
    /// The id that this member has in the room.
    pub fn id(&self) -> &PeerId {
        &self.id
    }

    /// The room.
    pub fn room(&self) -> &RoomName {
        &self.room
    }

    /// Carries a signal to whom it is for, and says how many that were (0: it is held for the first to come).
    ///
    /// # Errors
    /// `peer_not_found`, when it reached nobody and is not held.
    pub fn relay(&self, signal: &Signal<'_>) -> Result<usize, Refusal> {
        let text = signal.encode(&self.id);
        let Some(mut room) = self.rooms.table.get_mut(&self.room) else {
            // A room with a member is in the table; this one has us.
            return Err(Refusal::new(ErrorCode::Internal, "the room is gone"));
        };
        room.note_progress(signal, &self.id);
        match &signal.to {
            Some(to) => room.deliver_to(to, &self.id, text).map(|()| 1),
            None => room.broadcast(signal, &self.id, text),
        }
    }

    /// Leaves the room, and tells the others why.
    pub fn leave(mut self, reason: LeaveReason) {
        self.reason = reason;
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Entry::Occupied(mut room) = self.rooms.table.entry(self.room.clone()) {
            room.get_mut().dismiss(&self.id, self.reason);
            if room.get().members.is_empty() {
                room.remove();
            }
        }
    }
}

#[derive(Debug, Default)]
struct Room {
    /// Oldest first: the first one is the host.
    members: Vec<Member>,
    held: Option<Held>,
}

#[derive(Debug)]
struct Member {
    id: PeerId,
    name: Option<PeerName>,
    outbox: Arc<Outbox>,
}

impl Member {
    fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref() }
    }
}

/// The unanswered offer of somebody who was alone when sending it, and the candidates that followed.
#[derive(Debug)]
struct Held {
    from: PeerId,
    texts: Vec<Utf8Bytes>,
    /// The size of `texts` as they were sent.
    bytes: usize,
}

impl Room {
    fn admit(
        &mut self,
        newcomer: Member,
        capacity: usize,
        name: &RoomName,
        ice_servers: &IceServers,
    ) -> Result<(), JoinError> {
        // The id first: whoever is in the room already learns that, rather than that it is full.
        if self.members.iter().any(|member| member.id == newcomer.id) {
            return Err(JoinError::IdTaken);
        }
        if self.members.len() >= capacity {
            return Err(JoinError::Full(capacity));
        }
        let joined = RelayMessage::Joined {
            id: &newcomer.id,
            room: name,
            host: &self.members.first().unwrap_or(&newcomer).id,
            peers: self.members.iter().map(Member::as_peer).collect(),
            ice_servers,
        };
        newcomer.outbox.welcome(std::iter::once(joined.encode()).chain(self.held_for_a_newcomer()));
        let peer_joined = RelayMessage::PeerJoined(newcomer.as_peer()).encode();
        self.tell_everyone(&peer_joined);
        self.members.push(newcomer);
        Ok(())
    }

    fn dismiss(&mut self, id: &PeerId, reason: LeaveReason) {
        let Some(position) = self.members.iter().position(|member| member.id == *id) else { return };
        self.members.remove(position);
        self.held.take_if(|held| held.from == *id);
        self.tell_everyone(&RelayMessage::PeerLeft { id, reason }.encode());
        if let (0, Some(host)) = (position, self.members.first()) {
            self.tell_everyone(&RelayMessage::Host { id: &host.id }.encode());
        }
    }

    /// What is held waits for the first one to come: somebody whose sender is alone.
    fn held_for_a_newcomer(&self) -> Vec<Utf8Bytes> {
        match (&self.held, self.members.len()) {
            (Some(held), 1) => held.texts.clone(),
            _ => Vec::new(),
        }
    }

    /// Forgets what is held once it is answered, or its sender offers again.
    fn note_progress(&mut self, signal: &Signal<'_>, from: &PeerId) {
        self.held.take_if(|held| match signal.kind {
            SignalKind::Offer => held.from == *from,
            SignalKind::Answer => held.from != *from && signal.to.as_deref().is_none_or(|to| to == held.from.as_str()),
            _ => false,
        });
    }

    fn deliver_to(&self, to: &str, from: &PeerId, text: Utf8Bytes) -> Result<(), Refusal> {
        match self.members.iter().find(|member| member.id.as_str() == to && member.id != *from) {
            Some(member) => {
                member.outbox.push(text);
                Ok(())
            }
            None => Err(Refusal {
                code: ErrorCode::PeerNotFound,
                message: if to == from.as_str() { "that is your own id" } else { "nobody in this room has that id" }
                    .into(),
                to: Some(to.to_owned()),
            }),
        }
    }

    fn broadcast(&mut self, signal: &Signal<'_>, from: &PeerId, text: Utf8Bytes) -> Result<usize, Refusal> {
        let held = self.hold(signal, from, &text);
        let mut receivers = 0;
        for member in self.members.iter().filter(|member| member.id != *from) {
            member.outbox.push(text.clone());
            receivers += 1;
        }
        if receivers == 0 && !held {
            return Err(Refusal::new(ErrorCode::PeerNotFound, "nobody else is in the room"));
        }
        Ok(receivers)
    }

    /// Holds an offer by someone who is alone, and the candidates that follow it. Those that follow after somebody came are
    /// held as well, so that the offer is whole for the next one should the first one go without an answer.
    fn hold(&mut self, signal: &Signal<'_>, from: &PeerId, text: &Utf8Bytes) -> bool {
        let alone = self.members.len() == 1;
        match (signal.kind, &mut self.held) {
            (SignalKind::Offer, held) if alone && signal.bytes <= HELD_BYTES => {
                *held = Some(Held { from: from.clone(), texts: vec![text.clone()], bytes: signal.bytes });
                true
            }
            (SignalKind::OfferIce, Some(held)) if held.from == *from && held.bytes + signal.bytes <= HELD_BYTES => {
                held.texts.push(text.clone());
                held.bytes += signal.bytes;
                true
            }
            _ => false,
        }
    }

    fn tell_everyone(&self, text: &Utf8Bytes) {
        for member in &self.members {
            member.outbox.push(text.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{self, ClientMessage};

    struct Somebody {
        membership: Membership,
        outbox: Arc<Outbox>,
    }

    impl Somebody {
        fn says(&self, text: &str) -> Result<usize, Refusal> {
            match protocol::parse(text).message {
                Ok(ClientMessage::Signal(signal)) => self.membership.relay(&signal),
                other => panic!("no signal: {other:?}"),
            }
        }

        fn hears(&self) -> Vec<String> {
            heard(&self.outbox)
        }
    }

    fn heard(outbox: &Outbox) -> Vec<String> {
        std::iter::from_fn(|| outbox.pop()).map(|message| message.to_string()).collect()
    }

    fn rooms() -> Arc<Rooms> {
        Arc::new(Rooms::new(3, IceServers::default()))
    }

    fn try_enter(rooms: &Arc<Rooms>, room: &str, id: &str) -> Result<Somebody, JoinError> {
        let outbox = Arc::new(Outbox::new(64 * 1024));
        let room = RoomName::parse(room).unwrap();
        let join = Join { room, name: None, id: Some(PeerId::parse(id).unwrap()) };
        let membership = rooms.join(join, Arc::clone(&outbox))?;
        Ok(Somebody { membership, outbox })
    }

    fn enter(rooms: &Arc<Rooms>, room: &str, id: &str) -> Somebody {
        try_enter(rooms, room, id).unwrap()
    }

    const OFFER: &str = r#"{"type":"offer","sdp":"v=0"}"#;
    const OFFER_ICE: &str = r#"{"type":"offer_ice","iceCandidate":null}"#;
    const ANSWER: &str = r#"{"type":"answer","sdp":"v=0"}"#;

    #[test]
    fn the_oldest_member_is_the_host_and_is_replaced_when_it_leaves() {
        let rooms = rooms();
        let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
        assert_eq!(a.hears()[0], r#"{"type":"joined","id":"a","room":"r","host":"a","peers":[],"iceServers":[]}"#);
        assert_eq!(
            b.hears(),
            [r#"{"type":"joined","id":"b","room":"r","host":"a","peers":[{"id":"a"}],"iceServers":[]}"#]
        );
        a.membership.leave(LeaveReason::Left);
        assert_eq!(b.hears(), [r#"{"type":"peer_left","id":"a","reason":"left"}"#, r#"{"type":"host","id":"b"}"#]);
    }

    #[test]
    fn a_room_goes_with_its_last_member() {
        let rooms = rooms();
        let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
        assert_eq!(rooms.len(), 1);
        drop(a);
        assert_eq!(rooms.len(), 1);
        drop(b);
        assert!(rooms.is_empty());
    }

    #[test]
    fn a_full_room_and_a_taken_id_are_refused_and_nobody_notices() {
        let rooms = rooms();
        let (a, _b, _c) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"), enter(&rooms, "r", "c"));
        a.hears();
        assert!(matches!(try_enter(&rooms, "r", "d"), Err(JoinError::Full(3))));
        assert!(matches!(try_enter(&rooms, "r", "b"), Err(JoinError::IdTaken)));
        assert_eq!(a.hears(), [""; 0]);
        assert!(try_enter(&rooms, "other", "b").is_ok(), "ids are unique in a room, not in the world");
    }

    #[test]
    fn the_lobby_takes_two() {
        let rooms = rooms();
        let _two = (enter(&rooms, LOBBY, "a"), enter(&rooms, LOBBY, "b"));
        assert!(matches!(try_enter(&rooms, LOBBY, "c"), Err(JoinError::Full(2))));
    }

    #[test]
    fn a_peer_of_another_room_is_not_found() {
        let rooms = rooms();
        let (a, elsewhere) = (enter(&rooms, "r", "a"), enter(&rooms, "other", "b"));
        elsewhere.hears();
        let refusal = a.says(r#"{"type":"message","data":1,"to":"b"}"#).unwrap_err();
        assert_eq!((refusal.code, refusal.to.as_deref()), (ErrorCode::PeerNotFound, Some("b")));
        assert_eq!(a.says(r#"{"type":"message","data":1,"to":"a"}"#).unwrap_err().code, ErrorCode::PeerNotFound);
        assert_eq!(elsewhere.hears(), [""; 0]);
    }

    #[test]
    fn an_offer_made_alone_and_its_candidates_wait_for_the_first_to_come() {
        let rooms = rooms();
        let a = enter(&rooms, "r", "a");
        assert_eq!(a.says(OFFER), Ok(0));
        assert_eq!(a.says(OFFER_ICE), Ok(0));
        let b = enter(&rooms, "r", "b");
        let heard = b.hears();
        assert!(heard[0].contains("joined"));
        assert_eq!(heard[1], r#"{"type":"offer","from":"a","sdp":"v=0"}"#);
        assert_eq!(heard[2], r#"{"type":"offer_ice","from":"a","iceCandidate":null}"#);
        assert_eq!(enter(&rooms, "r", "c").hears().len(), 1, "only the first to come gets them");
    }

    #[test]
    fn what_is_held_stays_until_somebody_answers() {
        let rooms = rooms();
        let a = enter(&rooms, "r", "a");
        a.says(OFFER).unwrap();
        let b = enter(&rooms, "r", "b");
        a.says(OFFER_ICE).unwrap();
        drop(b);
        let c = enter(&rooms, "r", "c");
        assert_eq!(c.hears().len(), 3, "the first to come went without an answer");
        c.says(ANSWER).unwrap();
        drop(c);
        assert_eq!(enter(&rooms, "r", "d").hears().len(), 1, "it has been answered");
    }

    #[test]
    fn what_is_held_is_forgotten_when_its_sender_leaves_or_offers_again() {
        let rooms = rooms();
        let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
        drop(b);
        a.says(OFFER).unwrap();
        a.says(r#"{"type":"offer","sdp":"again"}"#).unwrap();
        let b = enter(&rooms, "r", "b");
        assert!(b.hears()[1].contains("again"));
        drop(a);
        assert_eq!(enter(&rooms, "r", "c").hears().len(), 1);
    }

    #[test]
    fn a_broadcast_that_reaches_nobody_and_is_not_held_is_refused() {
        let rooms = rooms();
        let a = enter(&rooms, "r", "a");
        for text in [OFFER_ICE, ANSWER, r#"{"type":"message","data":1}"#] {
            assert_eq!(a.says(text).unwrap_err().code, ErrorCode::PeerNotFound, "{text}");
        }
    }

    #[test]
    fn no_more_than_64_kib_are_held() {
        let rooms = rooms();
        let a = enter(&rooms, "r", "a");
        let offer = |bytes: usize| format!(r#"{{"type":"offer","sdp":"{}"}}"#, "x".repeat(bytes - 25));
        assert_eq!(a.says(&offer(HELD_BYTES)), Ok(0));
        assert_eq!(a.says(OFFER_ICE).unwrap_err().code, ErrorCode::PeerNotFound);
        assert_eq!(a.says(&offer(HELD_BYTES + 1)).unwrap_err().code, ErrorCode::PeerNotFound);
    }
}

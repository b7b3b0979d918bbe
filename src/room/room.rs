//! One room, and its state while it is locked: how members come and go, and how they are told about each other.
//!
//! A message locks only its room. The room queues frames in its members' outboxes under that lock, so that all members
//! get them in the same order. They are written to the sockets after the lock is released.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::booking::Booking;
use super::deferred::Deferred;
use super::door::{Door, Knocker};
use super::event::{Encoder, Event, LeaveReason, Peer, ResumeOffer, View};
use super::member::{Member, PendingMember};
use super::names::{LOBBY, PeerId, RoomName};
use super::observer::{RoomChange, RoomObserver};
use super::owned::{Owned, Ownership};
use super::refusal::{DISPLACED, ErrorCode, JoinError, Refusal, denied, displaced};
use super::state::State;
use crate::ice::{CandidatePolicy, ClientsServers};
use crate::limits::LOBBY_CAPACITY;
use crate::outbox::{CloseRequest, Outbox, Sender, Topic};

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    /// How many members it takes, if the grant of one who enters says nothing else.
    pub(super) capacity: usize,
    /// The largest message in bytes, which its members are told. In this type it costs a room nothing.
    max_message_bytes: u32,
    /// Which candidates its members should use, if not all.
    candidate_policy: Option<CandidatePolicy>,
    /// Whether idle members give way to newcomers when the room is full. Everybody who opens the bare URL shares `lobby`;
    /// members of other rooms chose them.
    pub(super) idle_give_way: bool,
    pub(super) encode: Encoder,
    /// Who hears of its changes.
    pub(super) observer: Option<Arc<dyn RoomObserver>>,
    /// That this relay owns the name, where several are one.
    pub(super) ownership: Option<Arc<Ownership>>,
    state: Mutex<State>,
}

/// What all rooms of a relay have in common.
#[derive(Debug, Clone)]
pub(crate) struct RoomSettings {
    /// The most members; `lobby` has two at most.
    pub capacity: usize,
    /// The largest message in bytes, which members are told.
    pub max_message_bytes: usize,
    /// Which candidates members should use.
    pub candidate_policy: CandidatePolicy,
    /// How events are written.
    pub encode: Encoder,
    /// Who hears of the changes of all rooms.
    pub observer: Option<Arc<dyn RoomObserver>>,
    /// Which names this relay owns, if it is one of several: it opens no other room.
    pub owned: Option<Arc<Owned>>,
}

/// A room that is locked.
pub(super) struct Locked<'a> {
    pub(super) room: &'a Room,
    pub(super) state: MutexGuard<'a, State>,
    pub(super) post: Post<'a>,
}

/// Queues events of a room for its members, and counts each delivery.
pub(super) struct Post<'a> {
    encode: Encoder,
    pub(super) deferred: &'a mut Deferred,
}

impl Room {
    /// An empty room. The lobby has at most two members.
    pub(super) fn new(name: RoomName, settings: &RoomSettings, ownership: Option<Arc<Ownership>>) -> Self {
        let RoomSettings { capacity, max_message_bytes, candidate_policy, encode, ref observer, .. } = *settings;
        let is_lobby = name.as_str() == LOBBY;
        Self {
            name,
            capacity: if is_lobby { LOBBY_CAPACITY.min(capacity) } else { capacity },
            max_message_bytes: max_message_bytes.try_into().unwrap_or(u32::MAX),
            candidate_policy: candidate_policy.told(),
            idle_give_way: is_lobby,
            encode,
            observer: observer.clone(),
            ownership,
            state: Mutex::default(),
        }
    }

    /// Locks it. What follows from the changes waits in `deferred` until it is unlocked.
    pub(super) fn lock<'a>(&'a self, deferred: &'a mut Deferred) -> Locked<'a> {
        Locked { room: self, state: self.state(), post: Post { encode: self.encode, deferred } }
    }

    /// Its state alone.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so the room is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `member` learns of the room when it has its place: the room's name is as this client wrote it.
    pub(super) fn view<'a>(
        &'a self,
        door: Option<&Door>,
        member: &'a Member,
        host: &'a PeerId,
        peers: &'a [Peer<'a>],
        ice_servers: &'a ClientsServers<'a>,
    ) -> View<'a> {
        let Peer { id, name, .. } = member.as_peer();
        View {
            id,
            name,
            room: member.spelling.as_deref().unwrap_or(self.name.as_str()),
            host,
            peers,
            ice_servers,
            candidate_policy: self.candidate_policy,
            max_message_bytes: self.max_message_bytes as usize,
            is_locked: door.is_some_and(|door| door.is_locked),
            has_password: door.is_some_and(|door| door.password.is_some()),
        }
    }
}

impl Post<'_> {
    /// Tells `members` what `cause` has caused, to which the memory for it is charged.
    pub(super) fn announce<'m>(
        &mut self,
        cause: &Sender,
        members: impl IntoIterator<Item = &'m Member>,
        topic: Topic,
        event: &Event<'_>,
    ) {
        let mut members = members.into_iter().peekable();
        if members.peek().is_none() {
            return;
        }
        let Some(frame) = (self.encode)(event) else { return };
        for member in members {
            self.send(cause, &member.outbox, topic, frame.clone());
        }
    }

    /// Tells the client of `outbox` what `cause` has caused.
    pub(super) fn tell(&mut self, cause: &Sender, outbox: &Arc<Outbox>, topic: Topic, event: &Event<'_>) {
        if let Some(frame) = (self.encode)(event) {
            self.send(cause, outbox, topic, frame);
        }
    }

    fn send(&mut self, cause: &Sender, outbox: &Arc<Outbox>, topic: Topic, frame: Bytes) {
        outbox.announce(cause, topic, frame);
        self.note_delivery(outbox);
    }

    /// Counts a message that was queued in `outbox`, which is to be flushed.
    pub(super) fn note_delivery(&mut self, outbox: &Arc<Outbox>) {
        self.deferred.add(outbox);
        self.deferred.count_delivery();
    }

    /// Tells somebody who knocks that it does not come in.
    pub(super) fn refuse(&mut self, knocker: Knocker, refusal: Refusal) {
        self.deferred.count_delivery();
        // The session that it is for ends the knock before it forgets the receiver.
        let _ = knocker.outcome.send(Err(refusal));
    }
}

impl Locked<'_> {
    /// Does what somebody else caused: the client whose message is handled does not pay for these deliveries.
    pub(super) fn at_no_charge<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let counted = self.post.deferred.deliveries();
        let done = act(self);
        self.post.deferred.forget_deliveries(counted);
        done
    }

    /// Adds a member that may enter: sends it `joined` and the held offer, and `peer_joined` to the others. The member with the
    /// number `knows`, if any, is told in any case that it came: it may know that it knocked.
    pub(super) fn add(&mut self, pending: PendingMember, serial: u64, knows: Option<u64>) {
        self.at_no_charge(|room| room.free_id(&pending));
        self.announce_suspended(None);
        let (member, ice_servers, resume) = pending.into_member(serial);
        self.state.push(member);
        self.observe(|state| state.member(serial).map(Member::as_joined));
        self.state.note_setup_with(serial);
        let (state, post) = (&*self.state, &mut self.post);
        let ([others @ .., newcomer], Some(host)) = (state.members.as_slice(), state.host()) else { return };
        let peers: Vec<Peer<'_>> = others.iter().map(Member::as_peer).collect();
        let servers = ice_servers.for_client(newcomer.id.as_str());
        let view = self.room.view(state.door.as_deref(), newcomer, &host.id, &peers, &servers);
        let resume = resume.as_ref().map(|(token, hold_ms)| ResumeOffer { token, hold_ms: *hold_ms });
        let joined = (self.room.encode)(&Event::Joined { view, resume });
        if resume.is_some() {
            newcomer.outbox.keep(joined);
        } else {
            joined
                .into_iter()
                .for_each(|frame| newcomer.outbox.announce(newcomer.outbox.sender(), Topic::Start, frame));
        }
        post.note_delivery(&newcomer.outbox);
        if let (Some(held), [_]) = (&state.held, others) {
            newcomer.outbox.announce(newcomer.outbox.sender(), Topic::Other, held.frames());
        }
        let (cause, event) = (newcomer.outbox.sender(), Event::PeerJoined(newcomer.as_peer()));
        let is_knowing = |member: &&Member| Some(member.serial) == knows;
        post.announce(cause, others.iter().filter(is_knowing), Topic::Other, &event);
        let others = others.iter().filter(|member| !is_knowing(member));
        post.announce(cause, others, Topic::Joined(newcomer.sender), &event);
        if host.serial == serial {
            let newcomer = newcomer.outbox.sender().clone();
            self.observe_host();
            self.at_no_charge(|room| room.announce_host(&newcomer, Some(serial)));
        }
    }

    /// Takes the id away from those who would keep somebody from entering that [`check_id`](State::check_id) lets pass.
    fn free_id(&mut self, pending: &PendingMember) {
        if let Some(knocker) = self.state.take_knocker(pending.id.as_str()) {
            self.tell_knock_gone(&knocker);
            let is_displaced = pending.is_identified && !knocker.pending.is_identified;
            self.post.refuse(knocker, if is_displaced { displaced() } else { JoinError::IdTaken.into() });
        }
        let position = self.state.position_of(pending.id.as_str());
        let Some((position, member)) = position.and_then(|at| Some((at, self.state.members.get(at)?))) else { return };
        if member.is_identified {
            // The same person, whose last connection is lost.
            self.remove(position, LeaveReason::Timeout);
        } else {
            self.expel(position, CloseRequest::Displaced, DISPLACED.into());
        }
    }

    /// Ends the knock of one who would have the id of a member that has come back: it is the same person. If that member
    /// only named itself so, the other one waits on.
    pub(super) fn end_knock_of(&mut self, id: &PeerId) {
        let is_identified = self.state.members.iter().any(|member| member.id == *id && member.is_identified);
        if is_identified && let Some(knocker) = self.state.take_knocker(id.as_str()) {
            self.tell_knock_gone(&knocker);
            self.post.refuse(knocker, JoinError::IdTaken.into());
        }
    }

    /// Removes the member at `position` and ends its connection, after it was told `why`.
    pub(super) fn expel(&mut self, position: usize, request: CloseRequest, why: String) -> Member {
        self.state.has_kicked = true;
        let is_displaced = request == CloseRequest::Displaced;
        let member = self.remove(position, if is_displaced { LeaveReason::Displaced } else { LeaveReason::Kicked });
        let refusal = Refusal::new(ErrorCode::Kicked, why);
        if let Some(frame) = (self.room.encode)(&Event::Error { refusal: &refusal, reference: None }) {
            member.outbox.answer(frame);
            self.post.note_delivery(&member.outbox);
        }
        member.outbox.request_close(request);
        member
    }

    /// Removes the member at `position`, and tells the others. Whoever removes it, that is charged to this member: it happens
    /// once for each coming, before which there was memory for it.
    pub(super) fn remove(&mut self, position: usize, reason: LeaveReason) -> Member {
        let was_host = self.state.host_position() == Some(position);
        let mut member = self.state.members.remove(position);
        if let Some(act) = member.on_removed.take() {
            self.post.deferred.add_removed(act, reason);
        }
        self.state.forget_offer(&member.id);
        self.observe(|_| Some(RoomChange::Left { id: &member.id, reason }));
        // When the relay shuts down, all members leave: there is no use in telling them about each other.
        if reason != LeaveReason::Shutdown {
            let left = Event::PeerLeft { id: &member.id, reason };
            let topic = Topic::Left(member.sender);
            let cause = Sender::new(member.sender, Arc::clone(member.outbox.sender().purse()));
            self.post.announce(&cause, &self.state.members, topic, &left);
            if was_host {
                self.observe_host();
                self.at_no_charge(|room| room.announce_host(&cause, None));
            }
        }
        member
    }

    /// Removes the member with this number because it leaves, or ends its knock. Returns whether the room is closed now.
    pub(super) fn leave(&mut self, serial: u64, reason: LeaveReason) -> bool {
        if let Some(position) = self.state.position(serial) {
            // It leaves itself, so nobody has to be told that it is removed.
            if let Some(member) = self.state.members.get_mut(position) {
                member.on_removed = None;
            }
            self.remove(position, reason);
        } else {
            // It may have been removed before, when nobody else was there.
            self.end_knock(serial);
        }
        self.observe_if_empty();
        let is_closed = self.state.close_if_empty();
        if self.state.members.is_empty() {
            self.clear_door(reason);
        }
        is_closed
    }

    /// Ends the knock with this number, and tells the host; returns whether there was one.
    pub(super) fn end_knock(&mut self, serial: u64) -> bool {
        let knocker = self.state.door.as_mut().and_then(|door| door.take_if(|knocker| knocker.serial == serial));
        knocker.inspect(|knocker| self.tell_knock_gone(knocker)).is_some()
    }

    /// Nobody is in the room: ends all knocks, and forgets what the members made of its door. A room that was made ahead of time
    /// is then as it was made, and if that is locked, those who knock wait on.
    pub(super) fn clear_door(&mut self, reason: LeaveReason) {
        let is_booked = self.state.is_booked();
        let Some(door) = &mut self.state.door else { return };
        let knockers = if is_booked {
            door.reset();
            if door.is_locked { Vec::new() } else { door.take_all() }
        } else {
            let knockers = door.take_all();
            self.state.door = None;
            knockers
        };
        // When the relay shuts down, they are told that instead.
        if reason != LeaveReason::Shutdown {
            for knocker in knockers {
                self.at_no_charge(|room| room.post.refuse(knocker, denied("everybody has left the room")));
            }
        }
    }

    /// Closes the room if nobody is in it and the time is over for which it was made; whether it is closed.
    pub(super) fn close_if_over(&mut self) -> bool {
        let is_over = self.state.booking().is_some_and(Booking::is_over);
        if is_over && self.state.close_if_empty() {
            self.observe_if_empty();
            self.clear_door(LeaveReason::Timeout);
        }
        self.state.is_closed
    }

    /// Tells everybody who the host is now because of what `cause` did, but not the one with the number `knows`; and the host
    /// who knocks. Those who knock do not pay for it: it may happen ever so often while they wait.
    pub(super) fn announce_host(&mut self, cause: &Sender, knows: Option<u64>) {
        let (state, post) = (&*self.state, &mut self.post);
        let Some(host) = state.host() else { return };
        let others = state.members.iter().filter(|member| Some(member.serial) != knows);
        post.announce(cause, others, Topic::Host, &Event::Host { id: &host.id });
        for knocker in state.knockers() {
            let knock = Event::Knock(knocker.pending.as_peer());
            post.tell(cause, &host.outbox, Topic::KnockAgain(knocker.serial), &knock);
        }
    }

    /// Tells the host that somebody knocks no more.
    pub(super) fn tell_knock_gone(&mut self, knocker: &Knocker) {
        if let Some(host) = self.state.host() {
            let gone = Event::KnockGone { id: &knocker.pending.id };
            let topic = Topic::KnockGone(knocker.serial);
            self.post.tell(knocker.pending.outbox.sender(), &host.outbox, topic, &gone);
        }
    }
}

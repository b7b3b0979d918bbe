//! One room: how clients enter and leave it, and how signals reach its members.
//!
//! A message locks only its room. The room queues frames in its members' outboxes under that lock, so that all members
//! get them in the same order. They are written to the sockets after the lock is released.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::delivery::{Blocked, Flushes, Relayed};
use super::door::{Door, Verdict};
use super::entrant::{Entrant, JoinError, Newcomer, Resumption};
use super::event::{Encoder, ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, Signal, View};
use super::held::Held;
use super::host;
use super::names::{LOBBY, PeerId, RoomName};
use super::password::Password;
use super::state::{Member, NEWCOMER, State};
use crate::limits::LOBBY_IDLE;
use crate::outbox::{ConnectionId, EndReason, Pushed};

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    /// Whether idle members give way to newcomers when the room is full. Everybody who opens the bare URL shares `lobby`;
    /// members of other rooms chose them.
    idle_give_way: bool,
    pub(super) encode: Encoder,
    state: Mutex<State>,
}

/// What became of a client that may come to the room, and the number that it has there.
pub(super) enum Arrival {
    /// It is a member; how many others were told.
    Inside(u64, usize),
    /// It knocks, and the host was told.
    Outside(u64, oneshot::Receiver<Verdict>),
}

impl Room {
    pub(super) fn new(name: RoomName, encode: Encoder) -> Self {
        let idle_give_way = name.as_str() == LOBBY;
        Self { name, idle_give_way, encode, state: Mutex::default() }
    }

    /// Lets a client in that has this `id` here, or lets it knock; none if the room is about to be removed, and a new
    /// room has to take its name.
    pub(super) fn enter(
        &self,
        id: &PeerId,
        capacity: usize,
        entrant: &Entrant<'_>,
        flushes: &mut Flushes,
    ) -> Option<Result<Arrival, JoinError>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        self.give_up_unread(&mut state, NEWCOMER, flushes);
        if state.members.is_empty() {
            self.close_door(&mut state, LeaveReason::Timeout);
        }
        let arrived = self.arrive(&mut state, id, capacity, entrant, flushes);
        if arrived.is_err() {
            state.close_if_empty();
        }
        Some(arrived)
    }

    fn arrive(
        &self,
        state: &mut State,
        id: &PeerId,
        capacity: usize,
        entrant: &Entrant<'_>,
        flushes: &mut Flushes,
    ) -> Result<Arrival, JoinError> {
        let mut must_knock = false;
        if let Some(door) = &mut state.door {
            door.check(id, entrant)?;
            must_knock = door.is_closed_to(entrant.role);
        }
        if !must_knock {
            match state.check(id, entrant.is_identified, capacity) {
                Err(JoinError::Full(_)) if self.idle_give_way => {
                    self.make_way(state, (id, entrant.is_identified), capacity, flushes)?;
                }
                checked => checked?,
            }
        }
        let newcomer = state.newcomer(id, capacity, entrant);
        let serial = newcomer.member.serial;
        if must_knock {
            return Ok(Arrival::Outside(serial, self.knock(state, newcomer, flushes)?));
        }
        if let (Some(secret), []) = (entrant.password, state.members.as_slice()) {
            state.door.get_or_insert_default().set_password(Password::new(secret.clone()));
        }
        Ok(Arrival::Inside(serial, self.add(state, newcomer, flushes)))
    }

    /// What `member` learns of the room when it has its place.
    pub(super) fn view<'a>(
        &'a self,
        door: Option<&Door>,
        member: &'a Member,
        host: &'a PeerId,
        peers: &'a [Peer<'a>],
        ice_servers: &'a IceServers,
    ) -> View<'a> {
        View {
            id: &member.id,
            name: member.as_peer().name,
            room: &self.name,
            host,
            peers,
            ice_servers,
            is_locked: door.is_some_and(|door| door.is_locked),
            has_password: door.is_some_and(Door::has_password),
        }
    }

    /// Adds a member that may enter: sends it `joined` and the held offer, and `peer_joined` to the others. Returns how
    /// many others were told.
    pub(super) fn add(&self, state: &mut State, newcomer: Newcomer, flushes: &mut Flushes) -> usize {
        let Newcomer { member, ice_servers, resume, .. } = newcomer;
        self.take_id_from_knock(state, &member.id, flushes);
        // The same person, whose last connection is lost: `check` has let nobody else with that id pass.
        if let Some(position) = state.members.iter().position(|away| away.id == member.id) {
            self.remove(state, position, LeaveReason::Timeout, flushes);
        }
        state.push(member);
        let host = state.host();
        let ([others @ .., newcomer], Some(host)) = (state.members.as_slice(), host) else { return 0 };
        let peers: Vec<Peer<'_>> = others.iter().map(Member::as_peer).collect();
        let view = self.view(state.door.as_deref(), newcomer, &host.id, &peers, &ice_servers);
        let joined = Event::Joined { view, resume: resume.as_ref().map(Resumption::offer) };
        let joined = (self.encode)(&joined);
        if resume.is_some() {
            newcomer.outbox.keep(joined);
        } else {
            joined.into_iter().for_each(|frame| newcomer.outbox.announce(frame));
        }
        flushes.add(&newcomer.outbox);
        if let (Some(held), [_]) = (&state.held, others) {
            newcomer.outbox.announce(held.frames());
        }
        self.announce(others, &Event::PeerJoined(newcomer.as_peer()), flushes);
        if host.serial == newcomer.serial {
            if !others.is_empty() {
                self.announce(others, &Event::Host { id: &host.id }, flushes);
            }
            self.tell_knocks(state, host, flushes);
        }
        others.len()
    }

    /// Removes a member, or somebody who knocks, and tells the others. Returns how many were told, and whether the room
    /// is now closed.
    pub(super) fn leave(&self, serial: u64, reason: LeaveReason, flushes: &mut Flushes) -> (usize, bool) {
        let mut state = self.lock();
        let Some(position) = state.members.iter().position(|member| member.serial == serial) else {
            return (usize::from(self.end_knock(&mut state, serial, flushes)), false);
        };
        // It leaves itself, so nobody has to be told that it is removed.
        if let Some(member) = state.members.get_mut(position) {
            member.absence = None;
        }
        self.remove(&mut state, position, reason, flushes);
        let is_closed = state.close_if_empty();
        if is_closed {
            self.close_door(&mut state, reason);
        }
        (state.members.len(), is_closed)
    }

    /// Ends the connection of the member that was idle for longest, if that is [`LOBBY_IDLE`] at least, so that the
    /// newcomer `id` can enter.
    fn make_way(
        &self,
        state: &mut State,
        (id, is_identified): (&PeerId, bool),
        capacity: usize,
        flushes: &mut Flushes,
    ) -> Result<(), JoinError> {
        let oldest = state.members.iter().enumerate().min_by_key(|(_, member)| member.active);
        let Some((position, member)) = oldest.filter(|(_, member)| member.active.elapsed() >= LOBBY_IDLE) else {
            return Err(JoinError::Full(capacity));
        };
        let outbox = Arc::clone(&member.outbox);
        // Whether there is room for one more is not the only question: nobody gives way to one who cannot enter anyway.
        state.check(id, is_identified, capacity + 1)?;
        self.remove(state, position, LeaveReason::Idle, flushes);
        outbox.end(EndReason::GaveWay);
        Ok(())
    }

    /// Removes the member at `position`, and tells the others.
    pub(super) fn remove(
        &self,
        state: &mut State,
        position: usize,
        reason: LeaveReason,
        flushes: &mut Flushes,
    ) -> Member {
        let was_host = host::position(&state.members) == Some(position);
        let mut member = state.members.remove(position);
        if let Some(absence) = member.absence.take() {
            flushes.add_removed(absence, reason);
        }
        Held::note_leave(&mut state.held, &member.id);
        // When the relay shuts down, all members leave: there is no use in telling them about each other.
        if reason != LeaveReason::Shutdown {
            self.announce(&state.members, &Event::PeerLeft { id: &member.id, reason }, flushes);
            if was_host {
                self.announce_host(state, flushes);
            }
        }
        member
    }

    /// Pushes a signal into the outboxes of its receivers.
    pub(super) fn relay(
        &self,
        (serial, sender): (u64, ConnectionId),
        from: &PeerId,
        signal: &Signal<'_>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<Relayed, Refusal> {
        // Encoded before the room is locked, so that the others need not wait for it.
        let Some(frame) = (self.encode)(&Event::Signal { from, signal }) else { return Ok(Relayed::default()) };
        let mut relayed = Relayed::default();
        let mut state = self.lock();
        if self.idle_give_way || state.has_kicked {
            state.note_activity(serial, signal.to.as_deref())?;
        }
        Held::note_progress(&mut state.held, signal, from);
        if let Some(to) = &signal.to {
            let Some(member) = state.members.iter().find(|member| member.id.as_str() == to && member.id != *from)
            else {
                return Err(not_found(to, from));
            };
            relayed.push(member, sender, &frame, waker, flushes);
        } else {
            let alone = state.members.len() == 1;
            let held = Held::hold(&mut state.held, signal, from, &frame, alone);
            // By the number rather than the id, which is one more place in memory to look at for each member.
            for member in state.members.iter().filter(|member| member.serial != serial) {
                relayed.push(member, sender, &frame, waker, flushes);
            }
            if relayed.receivers == 0 && !held {
                return Err(Refusal::new(ErrorCode::PeerNotFound, "nobody else is in the room"));
            }
        }
        drop(state);
        if !relayed.blocked.is_empty() {
            relayed.frame = frame;
        }
        Ok(relayed)
    }

    /// Tries again to push `frame` into the outbox of `blocked`; none if that member has left. If the share is still
    /// full, `is_late` decides from whether the outbox is stalled: if it returns true, the sender gives up.
    pub(super) fn relay_again(
        &self,
        (serial, sender): (u64, ConnectionId),
        blocked: &Blocked,
        frame: &Bytes,
        waker: &Waker,
        flushes: &mut Flushes,
        is_late: impl FnOnce(bool) -> bool,
    ) -> Option<Pushed> {
        let state = self.lock();
        if state.has_kicked && !state.has_member(serial) {
            return None;
        }
        let Member { outbox, .. } = state.members.iter().find(|member| member.serial == blocked.serial)?;
        flushes.add(outbox);
        Some(match outbox.push(sender, frame, waker) {
            Pushed::Full if is_late(outbox.is_stalled()) => {
                outbox.give_up(sender);
                Pushed::Busy
            }
            pushed => pushed,
        })
    }

    /// Whether no client can enter it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Tells all of `members`.
    pub(super) fn announce(&self, members: &[Member], event: &Event<'_>, flushes: &mut Flushes) {
        let Some(frame) = (self.encode)(event) else { return };
        for member in members {
            member.outbox.announce(frame.clone());
            flushes.add(&member.outbox);
        }
    }

    /// Tells one member.
    pub(super) fn tell(&self, member: &Member, event: &Event<'_>, flushes: &mut Flushes) {
        self.announce(std::slice::from_ref(member), event, flushes);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so the room is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relayed {
    fn push(&mut self, member: &Member, sender: ConnectionId, frame: &Bytes, waker: &Waker, flushes: &mut Flushes) {
        self.receivers += 1;
        match member.outbox.push(sender, frame, waker) {
            Pushed::Queued => flushes.add(&member.outbox),
            // The sender gets its `peer_left` soon.
            Pushed::Closed => {}
            Pushed::Busy => self.busy.push(member.id.clone()),
            Pushed::Full => {
                // An earlier message of the same read may still be queued there.
                flushes.add(&member.outbox);
                self.blocked.push(Blocked { id: member.id.clone(), serial: member.serial });
            }
        }
    }
}

pub(super) fn not_found(to: &str, from: &PeerId) -> Refusal {
    let message = if to == from.as_str() { "that is your own id" } else { "nobody in this room has that id" };
    Refusal { code: ErrorCode::PeerNotFound, message: message.into(), to: Some(to.to_owned()) }
}

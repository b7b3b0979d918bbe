//! One room: its members, and the offer that is held for the first peer that joins.
//!
//! A message locks only its room. The room queues frames in its members' outboxes under that lock, so that all members
//! get them in the same order. They are written to the sockets after the lock is released.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use thiserror::Error;
use tokio::time::Instant;

use super::delivery::{Blocked, Flushes, Relayed};
use super::event::{Encoder, ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, Signal};
use super::held::Held;
use super::names::{LOBBY, PeerId, PeerName, RoomName};
use crate::limits::LOBBY_IDLE;
use crate::outbox::{EndReason, Outbox, Pushed, SenderId};

/// A client that enters a room.
#[derive(Debug)]
pub(crate) struct Entrant<'a> {
    /// Its id; without one it gets a random id.
    pub id: Option<&'a PeerId>,
    /// Its display name.
    pub name: Option<&'a PeerName>,
    /// The capacity of the room for this client; without it, that of the table.
    pub capacity: Option<usize>,
    /// The STUN and TURN servers for this client.
    pub ice_servers: &'a IceServers,
    /// Its outbox.
    pub outbox: &'a Arc<Outbox>,
}

/// Why a client cannot enter a room.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The room has reached this capacity.
    #[error("the room is full: it takes {0}")]
    Full(usize),
    /// Another member has this id.
    #[error("another peer in the room has this id")]
    IdTaken,
    /// A member has not read the messages about earlier joins and leaves.
    #[error("a member of the room has not yet read about earlier joins and leaves: try again in a moment")]
    Unavailable,
    /// The operating system provides no randomness for an id.
    #[error("cannot make an id: {0}")]
    NoRandomness(#[from] getrandom::Error),
}

impl From<JoinError> for Refusal {
    fn from(error: JoinError) -> Self {
        let code = match error {
            JoinError::Full(_) => ErrorCode::RoomFull,
            JoinError::IdTaken => ErrorCode::IdTaken,
            JoinError::Unavailable => ErrorCode::Unavailable,
            JoinError::NoRandomness(_) => ErrorCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// One room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: RoomName,
    /// Whether idle members give way to newcomers when the room is full. Everybody who opens the bare URL shares `lobby`;
    /// members of other rooms chose them.
    idle_give_way: bool,
    encode: Encoder,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first: the first one is the host.
    members: Vec<Member>,
    held: Option<Held>,
    /// How many clients have entered so far.
    entered: u64,
    /// Whether the room is empty and about to be removed: then no client can enter.
    is_closed: bool,
}

#[derive(Debug)]
struct Member {
    id: PeerId,
    /// Its number in this room: another member may have had the same id before.
    serial: u64,
    name: Option<PeerName>,
    outbox: Arc<Outbox>,
    /// When it last sent or was sent a signal, or entered. Only kept where idle members give way.
    active: Instant,
}

impl Member {
    fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref() }
    }
}

impl Room {
    pub(super) fn new(name: RoomName, encode: Encoder) -> Self {
        let idle_give_way = name.as_str() == LOBBY;
        Self { name, idle_give_way, encode, state: Mutex::default() }
    }

    /// Adds a member with this `id`: sends it `joined` and the held offer, and `peer_joined` to the others. Returns the
    /// newcomer's number in this room, and how many others were told; none if the room is about to be removed, and a
    /// new room has to take its name.
    pub(super) fn enter(
        &self,
        id: &PeerId,
        capacity: usize,
        entrant: &Entrant<'_>,
        flushes: &mut Flushes,
    ) -> Option<Result<(u64, usize), JoinError>> {
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        let mut checked = state.check(id, capacity);
        if let (Err(JoinError::Full(_)), true) = (&checked, self.idle_give_way) {
            checked = self.make_way(&mut state, id, capacity, flushes);
        }
        if let Err(error) = checked {
            state.close_if_empty();
            return Some(Err(error));
        }
        state.entered += 1;
        let (name, outbox) = (entrant.name.cloned(), Arc::clone(entrant.outbox));
        let newcomer = Member { id: id.clone(), serial: state.entered, name, outbox, active: Instant::now() };
        let peers: Vec<Peer<'_>> = state.members.iter().map(Member::as_peer).collect();
        let host = &state.members.first().unwrap_or(&newcomer).id;
        let joined = Event::Joined { id, room: &self.name, host, peers: &peers, ice_servers: entrant.ice_servers };
        (self.encode)(&joined).into_iter().for_each(|frame| newcomer.outbox.announce(frame));
        if let (Some(held), 1) = (&state.held, state.members.len()) {
            newcomer.outbox.announce(held.frames());
        }
        flushes.add(&newcomer.outbox);
        self.announce(&state, &Event::PeerJoined(newcomer.as_peer()), flushes);
        let heard = state.members.len();
        state.members.push(newcomer);
        Some(Ok((state.entered, heard)))
    }

    /// Removes a member and tells the others. Returns how many remain, and whether the room is now closed.
    pub(super) fn leave(&self, serial: u64, reason: LeaveReason, flushes: &mut Flushes) -> (usize, bool) {
        let mut state = self.lock();
        let Some(position) = state.members.iter().position(|member| member.serial == serial) else {
            return (0, false);
        };
        self.remove(&mut state, position, reason, flushes);
        (state.members.len(), state.close_if_empty())
    }

    /// Ends the connection of the member that was idle for longest, if that is [`LOBBY_IDLE`] at least, so that the
    /// newcomer `id` can enter.
    fn make_way(
        &self,
        state: &mut State,
        id: &PeerId,
        capacity: usize,
        flushes: &mut Flushes,
    ) -> Result<(), JoinError> {
        let oldest = state.members.iter().enumerate().min_by_key(|(_, member)| member.active);
        let Some((position, member)) = oldest.filter(|(_, member)| member.active.elapsed() >= LOBBY_IDLE) else {
            return Err(JoinError::Full(capacity));
        };
        let outbox = Arc::clone(&member.outbox);
        // Whether there is room for one more is not the only question: nobody gives way to one who cannot enter anyway.
        state.check(id, capacity + 1)?;
        self.remove(state, position, LeaveReason::Idle, flushes);
        outbox.end(EndReason::GaveWay);
        Ok(())
    }

    /// Removes the member at `position`, and tells the others.
    fn remove(&self, state: &mut State, position: usize, reason: LeaveReason, flushes: &mut Flushes) {
        let member = state.members.remove(position);
        Held::note_leave(&mut state.held, &member.id);
        // When the relay shuts down, all members leave: there is no use in telling them about each other.
        if reason != LeaveReason::Shutdown {
            self.announce(state, &Event::PeerLeft { id: &member.id, reason }, flushes);
            if let (0, Some(host)) = (position, state.members.first()) {
                self.announce(state, &Event::Host { id: &host.id }, flushes);
            }
        }
    }

    /// Pushes a signal into the outboxes of its receivers.
    pub(super) fn relay(
        &self,
        sender: SenderId,
        from: &PeerId,
        signal: &Signal<'_>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<Relayed, Refusal> {
        // Encoded before the room is locked, so that the others need not wait for it.
        let Some(frame) = (self.encode)(&Event::Signal { from, signal }) else { return Ok(Relayed::default()) };
        let mut relayed = Relayed::default();
        let mut state = self.lock();
        if self.idle_give_way {
            state.note_activity(sender, signal.to.as_deref())?;
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
            // By the outbox rather than the id, which is one more place in memory to look at for each member.
            for member in state.members.iter().filter(|member| member.outbox.id() != sender) {
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
        sender: SenderId,
        blocked: &Blocked,
        frame: &Bytes,
        waker: &Waker,
        flushes: &mut Flushes,
        is_late: impl FnOnce(bool) -> bool,
    ) -> Option<Pushed> {
        let state = self.lock();
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

    fn announce(&self, state: &State, event: &Event<'_>, flushes: &mut Flushes) {
        let Some(frame) = (self.encode)(event) else { return };
        for member in &state.members {
            member.outbox.announce(frame.clone());
            flushes.add(&member.outbox);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so the room is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, id: &PeerId, capacity: usize) -> Result<(), JoinError> {
        // The id comes first: a client that is in the room already learns that, rather than that the room is full.
        if self.members.iter().any(|member| member.id == *id) {
            return Err(JoinError::IdTaken);
        }
        if self.members.len() >= capacity {
            return Err(JoinError::Full(capacity));
        }
        // One `peer_joined` now. Later, a `peer_left` and a `host` for each member must fit as well.
        let announcements = 1 + 2 * (self.members.len() + 1);
        if !self.members.iter().all(|member| member.outbox.room_for_announcements(announcements)) {
            return Err(JoinError::Unavailable);
        }
        Ok(())
    }

    /// Notes that the member `sender` and the receivers of its signal (`to`, or all others) are not idle.
    fn note_activity(&mut self, sender: SenderId, to: Option<&str>) -> Result<(), Refusal> {
        if !self.members.iter().any(|member| member.outbox.id() == sender) {
            return Err(Refusal::new(ErrorCode::NotJoined, "you were idle, and gave way to somebody else"));
        }
        let now = Instant::now();
        let takes_part = |member: &Member| member.outbox.id() == sender || to.is_none_or(|to| member.id.as_str() == to);
        self.members.iter_mut().filter(|member| takes_part(member)).for_each(|member| member.active = now);
        Ok(())
    }

    fn close_if_empty(&mut self) -> bool {
        self.is_closed |= self.members.is_empty();
        self.is_closed
    }
}

impl Relayed {
    fn push(&mut self, member: &Member, sender: SenderId, frame: &Bytes, waker: &Waker, flushes: &mut Flushes) {
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

fn not_found(to: &str, from: &PeerId) -> Refusal {
    let message = if to == from.as_str() { "that is your own id" } else { "nobody in this room has that id" };
    Refusal { code: ErrorCode::PeerNotFound, message: message.into(), to: Some(to.to_owned()) }
}

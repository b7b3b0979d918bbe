//! One room: its members, and what is held for the first who joins.
//!
//! A message locks its room alone. Everything that members hear is put into their outboxes under that lock, so all hear it
//! in the same order; it is written to their sockets after the lock is released.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use thiserror::Error;

use super::delivery::{Blocked, Flushes, Relayed};
use super::event::{Encoder, ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, Signal};
use super::held::Held;
use super::names::{PeerId, PeerName, RoomName};
use crate::outbox::{Outbox, Pushed, SenderId};

/// Who enters a room, and as what.
#[derive(Debug)]
pub(crate) struct Entrant<'a> {
    /// The id; one is made where there is none.
    pub id: Option<&'a PeerId>,
    /// What people call the one who enters.
    pub name: Option<&'a PeerName>,
    /// How many the room takes for this one, where that is not what the table's rooms take.
    pub capacity: Option<usize>,
    /// The STUN and TURN servers that this one is told.
    pub ice_servers: &'a IceServers,
    /// Where what it hears is put.
    pub outbox: &'a Arc<Outbox>,
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
    /// A member has not read yet who joined and left before.
    #[error("a member of the room has yet to read who joined and left before: try again in a moment")]
    Unavailable,
    /// The operating system has no randomness for an id.
    #[error("no id could be made: {0}")]
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
    encode: Encoder,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Oldest first: the first one is the host.
    members: Vec<Member>,
    held: Option<Held>,
    /// Counts those who entered.
    entered: u64,
    /// The room is empty and about to be removed: nobody enters any more.
    is_closed: bool,
}

#[derive(Debug)]
struct Member {
    id: PeerId,
    /// Tells it from an earlier member with the same id.
    serial: u64,
    name: Option<PeerName>,
    outbox: Arc<Outbox>,
}

impl Member {
    fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref() }
    }
}

impl Room {
    pub(super) fn new(name: RoomName, encode: Encoder) -> Self {
        Self { name, encode, state: Mutex::default() }
    }

    /// Lets somebody in as `id`: tells the newcomer who is there and what is held, and the others who came. Says which number
    /// the newcomer has in this room, and how many heard of it. None when the room is about to be removed, and another one
    /// takes its name.
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
        if let Err(error) = state.check(id, capacity) {
            state.close_if_empty();
            return Some(Err(error));
        }
        state.entered += 1;
        let (name, outbox) = (entrant.name.cloned(), Arc::clone(entrant.outbox));
        let newcomer = Member { id: id.clone(), serial: state.entered, name, outbox };
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

    /// Ends a membership and tells the others; says how many heard of it, and whether the room is closed with that.
    pub(super) fn leave(&self, serial: u64, reason: LeaveReason, flushes: &mut Flushes) -> (usize, bool) {
        let mut state = self.lock();
        let Some(position) = state.members.iter().position(|member| member.serial == serial) else {
            return (0, false);
        };
        let member = state.members.remove(position);
        Held::note_leave(&mut state.held, &member.id);
        // When the relay goes away everybody goes: nobody is left to be told.
        if reason != LeaveReason::Shutdown {
            self.announce(&state, &Event::PeerLeft { id: &member.id, reason }, flushes);
            if let (0, Some(host)) = (position, state.members.first()) {
                self.announce(&state, &Event::Host { id: &host.id }, flushes);
            }
        }
        (state.members.len(), state.close_if_empty())
    }

    /// Puts a signal into the outboxes of those it is for.
    pub(super) fn relay(
        &self,
        sender: SenderId,
        from: &PeerId,
        signal: &Signal<'_>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<Relayed, Refusal> {
        // Encoded before the room is locked: the others go on meanwhile.
        let Some(frame) = (self.encode)(&Event::Signal { from, signal }) else { return Ok(Relayed::default()) };
        let mut relayed = Relayed::default();
        let mut state = self.lock();
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
            for member in state.members.iter().filter(|member| member.id != *from) {
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

    /// Tries once more to put `frame` into the outbox of `blocked`; none when that member has left.
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

    /// Whether nobody enters it any more.
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
        // No code panics while it holds the lock, so a poisoned room is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, id: &PeerId, capacity: usize) -> Result<(), JoinError> {
        // The id first: who is in the room already learns that, rather than that it is full.
        if self.members.iter().any(|member| member.id == *id) {
            return Err(JoinError::IdTaken);
        }
        if self.members.len() >= capacity {
            return Err(JoinError::Full(capacity));
        }
        // Who enters is announced once now; that each leaves, and who is host then, must fit as well.
        let announcements = 1 + 2 * (self.members.len() + 1);
        if !self.members.iter().all(|member| member.outbox.room_for_announcements(announcements)) {
            return Err(JoinError::Unavailable);
        }
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
            // Its `peer_left` is on the way.
            Pushed::Closed => {}
            Pushed::Busy => self.busy.push(member.id.clone()),
            Pushed::Full => {
                // What an earlier message of the same read left there may still be to be written.
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

//! How signals reach the members of a room.

use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use super::deferred::Deferred;
use super::event::{Event, Signal};
use super::held_offer::HeldOffer;
use super::member::Member;
use super::names::PeerId;
use super::refusal::{ErrorCode, Refusal, not_found};
use super::state::State;
use super::table::Membership;
use crate::outbox::{Outbox, Pushed, Sender};

/// The outcome of relaying a signal.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    /// How many members it was for.
    pub receivers: usize,
    /// How many of these got it.
    pub queued: usize,
    /// The members that did not get it because they are busy for this sender.
    pub busy: Vec<PeerId>,
    /// The members that have not got it yet, because the sender's share in their outboxes is full.
    pub blocked: Vec<Blocked>,
    /// The signal for the blocked members; empty if there are none.
    pub frame: Bytes,
}

/// A receiver in whose outbox the sender's share is full: the sender is paused until it has room.
#[derive(Debug)]
pub(crate) struct Blocked {
    /// Its id.
    pub id: PeerId,
    /// The number of its membership in the room.
    serial: u64,
}

impl Membership {
    /// Relays a signal to its receivers. `waker` is woken when one of the [blocked](Relayed::blocked) may have room.
    ///
    /// # Errors
    /// `peer_not_found`, if it has no receiver and is not held; `not_joined`, if the member was removed.
    pub(crate) fn relay(
        &self,
        signal: &Signal<'_>,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<Relayed, Refusal> {
        let (room, from) = (&self.room, &self.id);
        let mut relayed = Relayed::default();
        // Encoded before the room is locked, so that the others need not wait for it.
        let Some(frame) = (room.encode)(&Event::Signal { from, signal }) else { return Ok(relayed) };
        let mut state = room.state();
        if room.idle_give_way || state.has_kicked {
            state.note_activity(self.serial, signal.to.as_deref())?;
        }
        HeldOffer::note_progress(&mut state.held, signal, from);
        if let Some(to) = &signal.to {
            let receiver = state.members.iter().find(|member| member.id.as_str() == to && member.id != *from);
            let receiver = receiver.ok_or_else(|| not_found(to, from))?;
            relayed.push(receiver, &self.sender, &frame, waker, deferred);
            let to = receiver.serial;
            state.note_setup(signal.kind, self.serial, Some(to), self.setup_times());
        } else {
            let alone = state.members.len() == 1;
            let held = HeldOffer::hold(&mut state.held, signal, (from, &self.sender), &frame, alone);
            // By the number rather than the id, which is one more place in memory to look at for each member.
            for member in state.members.iter().filter(|member| member.serial != self.serial) {
                relayed.push(member, &self.sender, &frame, waker, deferred);
            }
            if relayed.receivers == 0 && !held {
                return Err(Refusal::new(ErrorCode::PeerNotFound, "nobody else is in the room"));
            }
            if !alone {
                state.note_setup(signal.kind, self.serial, None, self.setup_times());
            }
        }
        drop(state);
        if !relayed.blocked.is_empty() {
            relayed.frame = frame;
        }
        Ok(relayed)
    }

    /// Tries again to relay `frame` to `blocked`; none if that member has left. If the share is still full, `is_late`
    /// decides from the outbox: if it returns true, the sender gives up, and the receiver is busy for it.
    pub(crate) fn relay_again(
        &self,
        blocked: &Blocked,
        frame: &Bytes,
        waker: &Waker,
        deferred: &mut Deferred,
        is_late: impl FnOnce(&Outbox) -> bool,
    ) -> Option<Pushed> {
        let state = self.room.state();
        if state.has_kicked && state.member(self.serial).is_none() {
            return None;
        }
        let Member { outbox, .. } = state.member(blocked.serial)?;
        deferred.add(outbox);
        Some(match outbox.push(&self.sender, frame, waker) {
            Pushed::Full if is_late(outbox) => {
                outbox.give_up(&self.sender);
                Pushed::Busy
            }
            pushed => pushed,
        })
    }
}

impl State {
    /// Notes that the member `serial` and the receivers of its signal (`to`, or all others) are not idle.
    fn note_activity(&mut self, serial: u64, to: Option<&str>) -> Result<(), Refusal> {
        if self.member(serial).is_none() {
            let message = "you were removed from the room: you were idle and gave way, or the host did it";
            return Err(Refusal::new(ErrorCode::NotJoined, message));
        }
        let now = Instant::now();
        let takes_part = |member: &Member| member.serial == serial || to.is_none_or(|to| member.id.as_str() == to);
        self.members.iter_mut().filter(|member| takes_part(member)).for_each(|member| member.active = now);
        Ok(())
    }
}

impl Relayed {
    fn push(&mut self, member: &Member, sender: &Sender, frame: &Bytes, waker: &Waker, deferred: &mut Deferred) {
        self.receivers += 1;
        match member.outbox.push(sender, frame, waker) {
            Pushed::Queued => {
                self.queued += 1;
                deferred.add(&member.outbox);
            }
            // The sender gets its `peer_left` soon.
            Pushed::Closed => {}
            Pushed::Busy => self.busy.push(member.id.clone()),
            Pushed::Full => {
                // An earlier message of the same read may still be queued there.
                deferred.add(&member.outbox);
                self.blocked.push(Blocked { id: member.id.clone(), serial: member.serial });
            }
        }
    }
}

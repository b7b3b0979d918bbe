//! The session: one peer's protocol state, without a socket. It handles the texts that the peer sends.
//!
//! The relay's answers go to the peer's own [`Outbox`], and signals to those of the other members through its
//! [`Membership`].
//!
//! A session that **waits** receives no more texts: what the client sends meanwhile stays in its socket. It waits for
//! the decision on a join, or while its peer is **paused**: the last signal found the sender's share full in some
//! outboxes, and each of these receivers is **blocked** until it has room or the sender gives up. [`crate::outbox`]
//! defines full, stalled and busy.
//!
//! A session that is **outside** receives texts, and is in no room: its peer knocks at a locked room, whose host decides.
//! [`super::resume`] says how a session gets the place of one whose connection is lost.

mod outside;

use std::cell::Cell;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::thread;

use bytes::Bytes;
use tokio::time::Instant;

use super::context::Context;
use super::observer::RelayEvent;
use super::rate::{RateDecision, RateLimiter};
use super::resume::{Claim, Found, Parted, Place};
use crate::auth::{Answer, Decision, Denial, Grant, JoinRequest, Secret};
use crate::limits::{PAUSE, STALL, TAKEN_MESSAGES};
use crate::net::quota::Excess;
use crate::outbox::{EndReason, Outbox, Pushed, frame};
use crate::protocol::{self, Command, Join, Resume};
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{
    Blocked, Entered, Entrant, ErrorCode, Event, Flushes, HostCommand, LeaveReason, Membership, Refusal, Signal,
};
use outside::Outside;

/// One peer's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    context: Arc<Context>,
    /// The number of its connection.
    connection: u64,
    outbox: Arc<Outbox>,
    rate: RateLimiter,
    /// The client's address, for the authorizer.
    address: Option<IpAddr>,
    /// The origin of the client's page, for the authorizer.
    origin: Option<Box<str>>,
    membership: Option<Membership>,
    /// The room that the peer is in or was in last, and its id there.
    place: Option<(RoomName, PeerId)>,
    waiting: Option<Box<Waiting>>,
    /// The wait at a locked room. Only without a membership.
    outside: Option<Box<Outside>>,
    /// Whether the peer has been in a room, or at one that was locked.
    has_come: bool,
    /// The place that survives a lost connection, if the peer has one, or will have one once it is let in.
    resumable: Option<Box<Resumable>>,
    /// Whether an `error` was queued since the last [`take_answered`](Self::take_answered).
    has_answered: Cell<bool>,
    /// Why its connection ended, for the observer.
    why: Option<Box<str>>,
}

/// The place of a peer that survives a lost connection.
#[derive(Debug)]
struct Resumable {
    place: Arc<Place>,
    /// How many of the peer's messages the relay has taken since it joined.
    taken: u64,
    /// How many of them the peer knows of.
    told: u64,
}

/// The peer went on sending although it was limited: its connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood;

/// What a session waits for before it receives more, and the `ref` of the message.
struct Waiting {
    reference: Option<String>,
    what: What,
}

enum What {
    /// Room for a signal in the outboxes of the blocked receivers.
    Room {
        frame: Bytes,
        blocked: Vec<Blocked>,
        is_broadcast: bool,
        since: Instant,
        next_look: Instant,
        patience: Patience,
    },
    /// The decision on a join.
    Answer { entry: Entry, decision: Decision },
    /// The place of another connection.
    Place(Claim),
}

/// What a join asks of the room itself: the authorizer does not see it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The room.
    pub room: RoomName,
    /// Its password.
    pub password: Option<Secret>,
    /// Whether the URL of the connection names the room.
    pub is_by_url: bool,
    /// Whether the client wants a place that survives a lost connection.
    pub wants_resume: bool,
}

/// Whether to go on waiting for a blocked receiver. It advances only after all other tasks had a turn, because the
/// receiver may have read in time while the relay itself was late to write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Wait in any case.
    Wait,
    /// Wait unless the receiver's outbox is stalled.
    UnlessStalled,
    /// Give up.
    Over,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("reference", &self.reference).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that is in no room yet, for the client of the connection with the number `connection`, at `address`,
    /// whose page has the origin `origin`.
    pub(crate) fn new(
        context: Arc<Context>,
        connection: u64,
        outbox: Arc<Outbox>,
        rate: RateLimiter,
        address: Option<IpAddr>,
        origin: Option<&str>,
    ) -> Self {
        let origin = origin.map(Box::from);
        Self {
            context,
            connection,
            outbox,
            rate,
            address,
            origin,
            membership: None,
            place: None,
            waiting: None,
            outside: None,
            has_come: false,
            resumable: None,
            has_answered: Cell::new(false),
            why: None,
        }
    }

    /// The outbox of this peer.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// How much this peer may send.
    pub(crate) fn rate(&mut self) -> &mut RateLimiter {
        &mut self.rate
    }

    /// The room that the peer is in or was in last, and its id there; none before the first join.
    pub(crate) fn place(&self) -> Option<(&RoomName, &PeerId)> {
        self.place.as_ref().map(|(room, id)| (room, id))
    }

    /// Whether it waits: then call [`poll_waiting`](Self::poll_waiting), and not [`receive`](Self::receive).
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether the peer still has to join its first room, and nothing keeps it from that.
    pub(crate) fn must_join(&self) -> bool {
        !self.has_come && !self.is_waiting()
    }

    /// Whether an `error` was queued for this peer since the last call.
    pub(crate) fn take_answered(&self) -> bool {
        self.has_answered.take()
    }

    /// When to call [`poll_waiting`](Self::poll_waiting) again at the latest.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        match self.waiting.as_ref().map(|waiting| &waiting.what) {
            Some(What::Room { next_look, .. }) => Some(*next_look),
            Some(What::Answer { .. } | What::Place(_)) => None,
            None => self.outside.as_ref().map(|outside| outside.deadline()),
        }
    }

    /// Handles one text from the peer: carries out its message, or answers it with `error`. If the session waits after
    /// that, `waker` is woken when a blocked receiver may have room.
    ///
    /// # Errors
    /// [`Flood`], if the connection must end.
    pub(crate) fn receive(
        &mut self,
        text: &str,
        now: Instant,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<(), Flood> {
        if cfg!(signaling_relay_echo) {
            self.echo(text);
            return Ok(());
        }
        let parsed = protocol::parse(text);
        let reference = parsed.reference.as_deref();
        // The message by which the peer joins is not counted, nor is `resume`.
        let is_counted = self.resumable.is_some() && !matches!(parsed.message, Ok(Command::Resume(_)));
        let done = match self.rate.take_message(now) {
            RateDecision::Allowed => match parsed.message {
                Ok(Command::Resume(resume)) => {
                    resume.and_then(|resume| self.resume(&resume, reference, waker, flushes))
                }
                Ok(Command::Join(join)) => self.ask_to_join(join, reference, flushes),
                Ok(Command::Leave) => self.leave_on_purpose(flushes),
                Ok(Command::Signal(signal)) => self.relay(&signal, reference, now, waker, flushes),
                Ok(Command::Host(command)) => self.command(&command, flushes),
                Err(refusal) => Err(refusal),
            },
            RateDecision::Limited => Err(Refusal::new(ErrorCode::RateLimited, "too many messages at once: slow down")),
            RateDecision::Exceeded => return Err(Flood),
        };
        if let Err(refusal) = done {
            self.refuse(&refusal, reference);
        }
        if is_counted {
            self.count_taken();
        }
        Ok(())
    }

    /// Goes on with what the session waits for, inside or outside; ready when it may receive the next text.
    pub(crate) fn poll_waiting(&mut self, cx: &mut task::Context<'_>, now: Instant, flushes: &mut Flushes) -> Poll<()> {
        if self.outside.is_some() {
            self.poll_outside(cx, now, flushes);
        }
        let Some(mut waiting) = self.waiting.take() else { return Poll::Ready(()) };
        let reference = waiting.reference.as_deref();
        match &mut waiting.what {
            What::Answer { entry, decision } => {
                let Poll::Ready(answer) = decision.as_mut().poll(cx) else {
                    self.waiting = Some(waiting);
                    return Poll::Pending;
                };
                if let Err(refusal) = self.enter(entry, reference, answer, flushes) {
                    self.refuse(&refusal, reference);
                }
            }
            What::Place(claim) => {
                let Poll::Ready(parted) = claim.poll(cx, &self.outbox, flushes) else {
                    self.waiting = Some(waiting);
                    return Poll::Pending;
                };
                match parted {
                    Some(parted) => self.take_over(Arc::clone(claim.place()), *parted),
                    None => self.refuse(&resume_failed(), reference),
                }
            }
            What::Room { frame, blocked, is_broadcast, since, next_look, patience } => {
                let (is_broadcast, now_patience) = (*is_broadcast, *patience);
                blocked.retain(|one| {
                    let outcome = self.try_again(one, frame, now_patience, is_broadcast, cx.waker(), flushes);
                    outcome.map_err(|refusal| self.refuse(&refusal, reference)).unwrap_or(false)
                });
                if !blocked.is_empty() {
                    let next = if now < *since + PAUSE { Patience::UnlessStalled } else { Patience::Over };
                    if next != now_patience {
                        *patience = next;
                        cx.waker().wake_by_ref();
                    }
                    // Twice in the time that makes a socket stalled, since each look lets its task try to write.
                    *next_look = (now + STALL / 2).min(*since + PAUSE);
                    self.waiting = Some(waiting);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(())
    }

    /// The question to the authorizer whether this client may join.
    pub(crate) fn request(&self, join: Join) -> JoinRequest {
        JoinRequest {
            room: join.room,
            id: join.id,
            name: join.name,
            address: self.address,
            origin: self.origin.as_deref().map(str::to_owned),
            token: join.token,
        }
    }

    /// Counts a join for the client's address. Call it before the authorizer is asked.
    ///
    /// # Errors
    /// `rate_limited`, if clients there have joined too often.
    pub(crate) fn take_join(&self) -> Result<(), Excess> {
        self.rate.take_join()
    }

    /// Asks the authorizer.
    pub(crate) fn authorize(&self, request: &JoinRequest) -> Answer {
        self.context.authorize(request)
    }

    /// Enters a room if `answer` is a grant, or knocks if the room is locked. The session must be in no room. `reference`
    /// is the `ref` of the join.
    ///
    /// # Errors
    /// `unauthorized`, `unavailable`, `denied`, `wrong_password`, `rate_limited`, `room_full`, `id_taken`, `internal`.
    pub(crate) fn enter(
        &mut self,
        entry: &Entry,
        reference: Option<&str>,
        answer: Result<Grant, Denial>,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        let entered = answer.map_err(Refusal::from).and_then(|grant| self.enter_with(entry, reference, grant, flushes));
        if entered.as_ref().is_err_and(|refusal| is_a_guess(refusal.code)) {
            self.rate.charge_failed_join();
        }
        entered
    }

    fn enter_with(
        &mut self,
        entry: &Entry,
        reference: Option<&str>,
        grant: Grant,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        let ice_servers = grant.ice_servers.as_ref().unwrap_or(&self.context.ice_servers);
        let places = &self.context.places;
        let place = if entry.wants_resume { places.open(&self.outbox, ice_servers)? } else { None };
        let entrant = Entrant {
            id: grant.id.as_ref(),
            is_identified: grant.is_identified,
            name: grant.name.as_ref(),
            role: grant.role,
            password: entry.password.as_ref(),
            address: self.address,
            capacity: grant.capacity,
            ice_servers,
            resume: place.as_ref().map(|place| places.offer(place)),
            outbox: &self.outbox,
        };
        let entered = self.context.rooms.enter(&entry.room, &entrant, flushes);
        if let (Err(_), Some(place)) = (&entered, &place) {
            places.close(place);
        }
        let entered = entered?;
        // The observer hears that an earlier place of the same person ended before it hears of the new one.
        flushes.give_up_removed();
        // From now on, since a host may let the peer in before its session knows.
        self.resumable = place.map(|place| Box::new(Resumable { place, taken: 0, told: 0 }));
        match entered {
            Entered::Inside(membership, heard) => {
                self.rate.charge(heard);
                self.become_member(membership, grant.name);
            }
            Entered::Outside(knock) => {
                // The host.
                self.rate.charge(1);
                self.outside = Some(Outside::new(knock, reference, entry.is_by_url, grant.name));
                self.has_come = true;
            }
        }
        Ok(())
    }

    fn become_member(&mut self, membership: Membership, name: Option<PeerName>) {
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.context.observe(|| RelayEvent::Joined {
            connection: self.connection,
            room: room.clone(),
            id: id.clone(),
            name,
        });
        self.place = Some((room, id));
        self.membership = Some(membership);
        self.has_come = true;
    }

    /// Leaves the room, if the peer is in one or outside of one.
    pub(crate) fn leave(&mut self, reason: LeaveReason, flushes: &mut Flushes) {
        self.waiting = None;
        self.look_outside();
        self.close_place();
        self.leave_outside(reason, flushes);
        let Some(membership) = self.membership.take() else { return };
        self.context.observe(|| RelayEvent::Left {
            connection: self.connection,
            room: membership.room().clone(),
            id: membership.id().clone(),
            reason,
        });
        self.rate.charge(membership.leave(reason, flushes));
    }

    /// Gives up the promise that the place survives a lost connection.
    fn close_place(&mut self) {
        if let Some(resumable) = self.resumable.take() {
            self.context.places.close(&resumable.place);
            self.outbox.forget();
        }
    }

    /// Leaves the room because the connection ended, unless the peer may come back and `is_lost` is set: then its place
    /// is held. Keeps `why` for the observer.
    pub(crate) fn end(&mut self, reason: LeaveReason, is_lost: bool, why: &str) {
        self.why = Some(why.into());
        // The room may have removed the peer just before its connection was lost.
        let (reason, is_lost) = match self.outbox.ended() {
            Some(EndReason::Kicked) => (LeaveReason::Kicked, false),
            Some(EndReason::GaveWay) => (LeaveReason::Idle, false),
            _ => (reason, is_lost),
        };
        if is_lost {
            self.part();
        }
        self.leave(reason, &mut Flushes::default());
    }

    /// Leaves the place to the next connection of this peer, if it may come back. Who still waits outside may not.
    fn part(&mut self) {
        self.look_outside();
        if self.resumable.is_none() || self.membership.is_none() {
            return;
        }
        self.stop_waiting();
        let (Some(membership), Some(resumable)) = (self.membership.take(), self.resumable.take()) else { return };
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.context.observe(|| RelayEvent::Away { connection: self.connection, room, id });
        let (address, rate) = (self.rate.address().cloned(), self.rate.take());
        let Resumable { place, taken, .. } = *resumable;
        let parted = Parted {
            context: Arc::clone(&self.context),
            connection: self.connection,
            address,
            membership,
            rate,
            taken,
        };
        self.context.places.part(&place, Box::new(parted));
    }

    /// Gives up on the receivers for which the peer is paused: they are busy. The message counts as taken, so the peer
    /// must hear about it.
    fn stop_waiting(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        if let What::Room { frame, blocked, is_broadcast, .. } = &waiting.what {
            for one in blocked {
                let (waker, mut flushes) = (Waker::noop(), Flushes::default());
                let outcome = self.try_again(one, frame, Patience::Over, *is_broadcast, waker, &mut flushes);
                if let Err(refusal) = outcome {
                    self.refuse(&refusal, waiting.reference.as_deref());
                }
            }
        }
    }

    /// Asks for the place of an earlier connection.
    fn resume(
        &mut self,
        resume: &Resume,
        reference: Option<&str>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        self.check_in_no_room()?;
        let Resume { token, received } = resume;
        match self.context.places.find(token, *received, &self.outbox, waker, flushes) {
            Some(Found::Parted(place, parted)) => self.take_over(place, *parted),
            Some(Found::Claimed(claim)) => {
                let (reference, what) = (reference.map(str::to_owned), What::Place(claim));
                self.waiting = Some(Box::new(Waiting { reference, what }));
            }
            None => return Err(resume_failed()),
        }
        Ok(())
    }

    /// Goes on where an earlier session has parted.
    fn take_over(&mut self, place: Arc<Place>, parted: Parted) {
        let Parted { membership, rate, taken, .. } = parted;
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.context.observe(|| RelayEvent::Back { connection: self.connection, room: room.clone(), id: id.clone() });
        self.rate.continue_from(rate);
        self.place = Some((room, id));
        self.membership = Some(membership);
        self.has_come = true;
        self.resumable = Some(Box::new(Resumable { place, taken, told: taken }));
    }

    /// Counts a message that the relay has taken, and tells the peer from time to time.
    fn count_taken(&mut self) {
        let Some(resumable) = &mut self.resumable else { return };
        resumable.taken += 1;
        if resumable.taken - resumable.told >= TAKEN_MESSAGES {
            resumable.told = resumable.taken;
            if let Some(frame) = (self.context.rooms.encoder())(&Event::Taken { received: resumable.taken }) {
                self.outbox.answer(frame);
                self.has_answered.set(true);
            }
        }
    }

    /// Answers with an `error`.
    pub(crate) fn refuse(&self, refusal: &Refusal, reference: Option<&str>) {
        if let Some(frame) = (self.context.rooms.encoder())(&Event::Error { refusal, reference }) {
            self.outbox.answer(frame);
            self.has_answered.set(true);
        }
    }

    /// Sends the text back, as the suite of `scripts/autobahn` expects of a server.
    fn echo(&self, text: &str) {
        self.outbox.answer(frame::text(text.len(), |frame| frame.extend_from_slice(text.as_bytes())));
        self.has_answered.set(true);
    }

    fn ask_to_join(&mut self, mut join: Join, reference: Option<&str>, flushes: &mut Flushes) -> Result<(), Refusal> {
        self.check_in_no_room()?;
        // Each join queues a `joined` and perhaps a held offer: a client that joins repeatedly must read them.
        if !self.outbox.room_for_join() {
            let message = "read the messages of your earlier joins first: then join again";
            return Err(Refusal::new(ErrorCode::Unavailable, message));
        }
        self.take_join()?;
        let entry = Entry {
            room: join.room.clone(),
            password: join.password.take(),
            is_by_url: false,
            wants_resume: join.resume,
        };
        let request = self.request(join);
        match self.authorize(&request) {
            Answer::Now(answer) => self.enter(&entry, reference, answer, flushes)?,
            Answer::Later(decision) => {
                let what = What::Answer { entry, decision };
                self.waiting = Some(Box::new(Waiting { reference: reference.map(str::to_owned), what }));
            }
        }
        Ok(())
    }

    fn leave_on_purpose(&mut self, flushes: &mut Flushes) -> Result<(), Refusal> {
        self.look_outside();
        if self.outside.is_none() {
            self.membership()?;
        }
        self.leave(LeaveReason::Left, flushes);
        Ok(())
    }

    fn command(&mut self, command: &HostCommand<'_>, flushes: &mut Flushes) -> Result<(), Refusal> {
        let sent = self.membership()?.command(command, flushes)?;
        // `take_message` has counted the first one already.
        self.rate.charge(sent.saturating_sub(1));
        Ok(())
    }

    fn relay(
        &mut self,
        signal: &Signal<'_>,
        reference: Option<&str>,
        now: Instant,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<(), Refusal> {
        let relayed = self.membership()?.relay(signal, waker, flushes)?;
        // `take_message` has counted the first receiver already.
        self.rate.charge(relayed.receivers.saturating_sub(1));
        for id in &relayed.busy {
            self.refuse(&Refusal::peer_busy(id), reference);
        }
        if !relayed.blocked.is_empty() {
            let (frame, blocked, is_broadcast) = (relayed.frame, relayed.blocked, signal.to.is_none());
            let patience = Patience::Wait;
            let what = What::Room { frame, blocked, is_broadcast, since: now, next_look: now, patience };
            self.waiting = Some(Box::new(Waiting { reference: reference.map(str::to_owned), what }));
        }
        Ok(())
    }

    /// Tries again to push a message into the outbox of a blocked receiver; returns whether it is still blocked.
    fn try_again(
        &self,
        one: &Blocked,
        frame: &Bytes,
        patience: Patience,
        is_broadcast: bool,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Result<bool, Refusal> {
        let Some(membership) = &self.membership else { return Ok(false) };
        let is_late = |stalled: bool| patience == Patience::Over || (stalled && patience == Patience::UnlessStalled);
        match membership.relay_again(one, frame, waker, flushes, is_late) {
            Some(Pushed::Queued | Pushed::Closed) => Ok(false),
            Some(Pushed::Full) => Ok(true),
            Some(Pushed::Busy) => Err(Refusal::peer_busy(&one.id)),
            // A broadcast is for those who are in the room: one who has left needs no error.
            None if is_broadcast => Ok(false),
            None => Err(Refusal {
                code: ErrorCode::PeerNotFound,
                message: "that peer has just left the room".into(),
                to: Some(one.id.as_str().to_owned()),
            }),
        }
    }

    /// Checks that the peer neither is in a room nor waits at one.
    fn check_in_no_room(&mut self) -> Result<(), Refusal> {
        self.look_outside();
        if let Some(outside) = &self.outside {
            let message = format!("you wait to be let into the room {:?}: leave first", outside.room());
            return Err(Refusal::new(ErrorCode::AlreadyJoined, message));
        }
        if let Some(membership) = &self.membership {
            let message = format!("you are in the room {:?}: leave it first", membership.room().as_str());
            return Err(Refusal::new(ErrorCode::AlreadyJoined, message));
        }
        Ok(())
    }

    fn membership(&mut self) -> Result<&Membership, Refusal> {
        if self.membership.is_none() {
            self.look_outside();
        }
        self.membership.as_ref().ok_or_else(|| Refusal::new(ErrorCode::NotJoined, "you are in no room: join one first"))
    }
}

/// Whether a join that fails with this code may have been an attempt to find a room, rather than the relay's own trouble.
fn is_a_guess(code: ErrorCode) -> bool {
    use ErrorCode::{IdTaken, RoomFull, Unauthorized, WrongPassword};
    matches!(code, RoomFull | IdTaken | Unauthorized | WrongPassword)
}

fn resume_failed() -> Refusal {
    Refusal::new(ErrorCode::ResumeFailed, "the place is gone, or its messages are not kept any more: join again")
}

/// A client beyond a limit of its address learns that by the code for too many messages.
impl From<Excess> for Refusal {
    fn from(excess: Excess) -> Self {
        Self::new(ErrorCode::RateLimited, format!("{excess}: try again in {} s", excess.retry_after()))
    }
}

/// A session that is dropped leaves its room.
impl Drop for Session {
    fn drop(&mut self) {
        self.leave(LeaveReason::Closed, &mut Flushes::default());
        let why = self.why.take().unwrap_or_else(|| {
            if thread::panicking() { "it panicked".into() } else { "the upgrade was refused or lost".into() }
        });
        self.context.observe(|| RelayEvent::Disconnected { connection: self.connection, why: why.into() });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::{Authorizer, Open};
    use crate::limits::{BYTE_RATE, MESSAGE_BURST, MESSAGE_RATE, REFUSALS, SHARE_MESSAGES};
    use crate::room::{IceServers, Rooms};
    use crate::testing::{self, MemorySocket};

    /// A client whose session has no task: a test carries its texts, and gives it its turns.
    pub(in crate::peer) struct Client {
        pub(in crate::peer) session: Session,
        socket: MemorySocket,
    }

    impl Client {
        pub(in crate::peer) fn new(context: &Arc<Context>, room: usize) -> Self {
            let (socket, outbox) = MemorySocket::with_outbox(room);
            let rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, Instant::now());
            Self { session: Session::new(Arc::clone(context), 1, outbox, rate, None, None), socket }
        }

        pub(in crate::peer) fn says(&mut self, text: &str) -> Result<(), Flood> {
            self.session.receive(text, Instant::now(), Waker::noop(), &mut Flushes::default())
        }

        /// The texts that the relay has sent to it since the last call.
        pub(in crate::peer) fn hears(&self) -> Vec<String> {
            self.session.outbox().flush();
            self.socket.texts()
        }

        /// What the relay answers to `text`; empty when it answers nothing.
        pub(in crate::peer) fn answer(&mut self, text: &str) -> String {
            self.says(text).unwrap();
            self.hears().concat()
        }

        pub(in crate::peer) fn poll_waiting(&mut self) -> Poll<()> {
            let mut cx = task::Context::from_waker(Waker::noop());
            self.session.poll_waiting(&mut cx, Instant::now(), &mut Flushes::default())
        }
    }

    pub(in crate::peer) fn context(authorizer: impl Authorizer + 'static) -> Arc<Context> {
        Arc::new(Context {
            rooms: Arc::new(Rooms::new(8, protocol::encode)),
            places: testing::places(),
            authorizer: Arc::new(authorizer),
            ice_servers: IceServers::default(),
            observer: None,
        })
    }

    fn client() -> Client {
        Client::new(&context(Open), usize::MAX)
    }

    const MESSAGE: &str = r#"{"type":"message","data":1,"ref":"m"}"#;

    #[test]
    fn a_peer_joins_leaves_and_joins_again() {
        let mut client = client();
        assert!(client.answer(r#"{"type":"join","room":"one"}"#).contains("joined"));
        assert!(client.answer(r#"{"type":"join","room":"two"}"#).contains("already_joined"));
        assert_eq!(client.session.place().unwrap().0.as_str(), "one");
        assert_eq!(client.answer(r#"{"type":"leave"}"#), "");
        assert!(client.answer(r#"{"type":"join","room":"two"}"#).contains("joined"));
        assert_eq!(client.session.place().unwrap().0.as_str(), "two");
    }

    #[test]
    fn what_needs_a_room_is_refused_outside_of_one() {
        let mut client = client();
        for text in [r#"{"type":"leave"}"#, r#"{"type":"offer","sdp":""}"#, r#"{"type":"message","data":1,"to":"x"}"#] {
            assert!(client.answer(text).contains("not_joined"), "{text}");
        }
        assert!(client.session.place().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_refused_and_then_ended() {
        let mut client = client();
        for _ in 0..MESSAGE_BURST {
            client.answer(r#"{"type":"leave"}"#);
        }
        for _ in 0..REFUSALS {
            let error = client.answer(r#"{"type":"leave","ref":"x"}"#);
            assert!(error.contains("rate_limited") && error.contains(r#""ref":"x""#), "{error}");
        }
        assert_eq!(client.says(r#"{"type":"leave"}"#), Err(Flood));
    }

    #[tokio::test(start_paused = true)]
    async fn joins_and_leaves_cost_as_much_as_they_deliver() {
        let context = context(Open);
        let mut members: Vec<Client> = (0..6).map(|_| Client::new(&context, usize::MAX)).collect();
        for member in &mut members {
            member.answer(r#"{"type":"join","room":"r"}"#);
        }
        let mut churner = Client::new(&context, usize::MAX);
        let told = || members.iter().map(|member| member.hears().len()).sum::<usize>();
        told();
        while !churner.answer(r#"{"type":"join","room":"r"}"#).contains("rate_limited") {
            churner.answer(r#"{"type":"leave"}"#);
        }
        let told = told();
        assert!(told <= MESSAGE_BURST as usize + 12, "{told} deliveries for {MESSAGE_BURST} tokens");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_host_does_costs_as_much_as_it_delivers() {
        let context = context(Open);
        let mut host = Client::new(&context, usize::MAX);
        host.answer(r#"{"type":"join","room":"r","id":"host"}"#);
        let mut members: Vec<Client> = (0..6).map(|_| Client::new(&context, usize::MAX)).collect();
        for member in &mut members {
            member.answer(r#"{"type":"join","room":"r"}"#);
        }
        let told = || members.iter().map(|member| member.hears().len()).sum::<usize>();
        told();
        host.hears();
        let commands = [r#"{"type":"lock","locked":true}"#, r#"{"type":"make_host","to":"host"}"#];
        for command in commands.iter().cycle() {
            if host.answer(command).contains("rate_limited") {
                break;
            }
        }
        let told = told();
        assert!(told > 0 && told <= MESSAGE_BURST as usize, "{told} deliveries for {MESSAGE_BURST} tokens");
    }

    /// The host of the room `r`, which it has locked, and a client that is in no room yet.
    fn at_a_locked_room(context: &Arc<Context>) -> (Client, Client) {
        let (mut host, visitor) = (Client::new(context, usize::MAX), Client::new(context, usize::MAX));
        host.answer(r#"{"type":"join","room":"r"}"#);
        host.answer(r#"{"type":"lock","locked":true}"#);
        (host, visitor)
    }

    #[tokio::test(start_paused = true)]
    async fn knocking_again_and_again_costs_as_much_as_it_delivers() {
        let context = context(Open);
        let (host, mut visitor) = at_a_locked_room(&context);
        while !visitor.answer(r#"{"type":"join","room":"r"}"#).contains("rate_limited") {
            visitor.answer(r#"{"type":"leave"}"#);
        }
        let told = host.hears().len();
        assert!(told > 0 && told <= MESSAGE_BURST as usize / 2, "{told} deliveries for {MESSAGE_BURST} tokens");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_was_let_in_is_a_member_at_once_even_before_its_task_has_a_turn() {
        let context = context(Open);
        let (mut host, mut visitor) = at_a_locked_room(&context);
        assert_eq!(visitor.answer(r#"{"type":"join","room":"r","id":"visitor"}"#), r#"{"type":"waiting"}"#);
        assert!(!visitor.session.must_join() && visitor.session.place().is_none());
        host.answer(r#"{"type":"admit","to":"visitor"}"#);
        assert_eq!(visitor.answer(MESSAGE).matches("joined").count(), 1);
        assert!(host.hears().concat().contains(r#""from":"visitor""#));
        assert!(visitor.answer(r#"{"type":"join","room":"r"}"#).contains("already_joined"));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_of_a_kicked_peer_arrives_even_before_its_connection_has_ended() {
        let context = context(Open);
        let (mut host, mut bully) = (Client::new(&context, 0), Client::new(&context, usize::MAX));
        host.says(r#"{"type":"join","room":"r"}"#).unwrap();
        bully.says(r#"{"type":"join","room":"r","id":"bully"}"#).unwrap();
        for _ in 0..=SHARE_MESSAGES {
            bully.says(MESSAGE).unwrap();
        }
        assert!(bully.session.is_waiting());
        host.says(r#"{"type":"kick","to":"bully"}"#).unwrap();
        host.socket.make_room(usize::MAX);
        assert!(host.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
        assert!(bully.poll_waiting().is_ready());
        assert!(bully.answer(MESSAGE).contains("not_joined"));
        let heard = host.hears();
        assert_eq!(heard.len(), 2 + SHARE_MESSAGES + 1);
        assert_eq!(heard.last().unwrap(), r#"{"type":"peer_left","id":"bully","reason":"kicked"}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_lost_just_after_it_was_let_in_leaves_the_room() {
        let context = context(Open);
        let (mut host, mut visitor) = at_a_locked_room(&context);
        visitor.answer(r#"{"type":"join","room":"r","id":"visitor"}"#);
        host.answer(r#"{"type":"admit","to":"visitor"}"#);
        drop(visitor);
        assert_eq!(host.hears(), [r#"{"type":"peer_left","id":"visitor","reason":"closed"}"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_takes_a_place_over_and_is_lost_before_it_has_it_leaves_it_away() {
        for has_parted in [false, true] {
            let context = context(Open);
            let (mut stays, mut old) = (Client::new(&context, usize::MAX), Client::new(&context, usize::MAX));
            stays.says(r#"{"type":"join","room":"r"}"#).unwrap();
            let joined = old.answer(r#"{"type":"join","room":"r","id":"phone","resume":true}"#);
            let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
            stays.hears();
            let resume = format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]);
            let mut new = Client::new(&context, usize::MAX);
            assert_eq!(new.answer(&resume), "", "the old one has to part first");
            if has_parted {
                old.session.end(LeaveReason::Closed, true, "taken over");
                assert_eq!(stays.hears().len(), 0);
                new.session.end(LeaveReason::Closed, true, "lost");
            } else {
                new.session.end(LeaveReason::Closed, true, "lost");
                old.session.end(LeaveReason::Closed, true, "taken over");
            }
            assert_eq!(stays.hears(), [r#"{"type":"peer_away","id":"phone"}"#]);
            assert_eq!((context.places.len(), context.places.held()), (1, 1));
            assert!(Client::new(&context, usize::MAX).answer(&resume).contains(r#""type":"resumed""#));
            assert_eq!(context.places.held(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_is_lost_just_after_it_was_kicked_was_kicked() {
        let (tell, told) = std::sync::mpsc::channel();
        let observer = move |event: &RelayEvent| {
            if let RelayEvent::Left { reason, .. } = event {
                let _ = tell.send(*reason);
            }
        };
        let mut context = Arc::into_inner(context(Open)).unwrap();
        context.observer = Some(Box::new(observer));
        let context = Arc::new(context);
        let (mut host, mut bully) = (Client::new(&context, usize::MAX), Client::new(&context, usize::MAX));
        host.says(r#"{"type":"join","room":"r"}"#).unwrap();
        bully.says(r#"{"type":"join","room":"r","id":"bully","resume":true}"#).unwrap();
        host.says(r#"{"type":"kick","to":"bully"}"#).unwrap();
        bully.session.end(LeaveReason::Closed, true, "lost");
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [LeaveReason::Kicked]);
        assert_eq!(context.places.len(), 0);
        assert_eq!(host.hears().len(), 3, "`joined`, `peer_joined` and one `peer_left`");
    }

    #[tokio::test(start_paused = true)]
    async fn who_joins_again_and_again_for_a_held_offer_has_to_read_it() {
        let context = context(Open);
        let (mut alone, mut joiner) = (Client::new(&context, usize::MAX), Client::new(&context, 0));
        alone.says(r#"{"type":"join","room":"r"}"#).unwrap();
        alone.says(&format!(r#"{{"type":"offer","sdp":"{}"}}"#, "x".repeat(60_000))).unwrap();
        for _ in 0..100 {
            joiner.says(r#"{"type":"join","room":"r"}"#).unwrap();
            joiner.says(r#"{"type":"leave"}"#).unwrap();
        }
        joiner.socket.make_room(usize::MAX);
        assert!(joiner.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
        let heard = joiner.hears();
        let count = |what: &str| heard.iter().filter(|text| text.contains(what)).count();
        assert_eq!((count(r#""type":"offer""#), count(r#""code":"unavailable""#)), (5, 95));
        assert!(joiner.answer(r#"{"type":"join","room":"r"}"#).contains(r#""type":"joined""#), "it has read");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_share_pauses_its_sender_until_the_receiver_reads() {
        let context = context(Open);
        let (mut sender, mut receiver) = (Client::new(&context, usize::MAX), Client::new(&context, 0));
        receiver.says(r#"{"type":"join","room":"r"}"#).unwrap();
        sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
        for _ in 0..SHARE_MESSAGES {
            sender.says(MESSAGE).unwrap();
            assert!(!sender.session.is_waiting());
        }
        sender.says(MESSAGE).unwrap();
        assert!(sender.session.is_waiting());
        assert!(sender.poll_waiting().is_pending());
        receiver.socket.make_room(usize::MAX);
        let mut cx = task::Context::from_waker(Waker::noop());
        assert!(receiver.session.outbox().poll_flush(&mut cx).is_ready());
        assert!(sender.poll_waiting().is_ready());
        assert_eq!(receiver.hears().len(), 2 + SHARE_MESSAGES + 1);
        assert_eq!(sender.hears().len(), 1, "nothing but `joined`");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_paused_when_somebody_else_is_kicked_still_gets_its_message_through() {
        let context = context(Open);
        let [mut receiver, mut sender, mut bully] = [0, usize::MAX, usize::MAX].map(|room| Client::new(&context, room));
        receiver.says(r#"{"type":"join","room":"r","id":"host"}"#).unwrap();
        sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
        bully.says(r#"{"type":"join","room":"r","id":"bully"}"#).unwrap();
        let message = r#"{"type":"message","data":1,"to":"host"}"#;
        (0..=SHARE_MESSAGES).for_each(|_| sender.says(message).unwrap());
        assert!(sender.session.is_waiting());
        receiver.says(r#"{"type":"kick","to":"bully"}"#).unwrap();
        receiver.socket.make_room(usize::MAX);
        assert!(receiver.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
        assert!(sender.poll_waiting().is_ready());
        assert_eq!(receiver.hears().iter().filter(|text| text.contains(r#""data":1"#)).count(), SHARE_MESSAGES + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_reads_nothing_for_100_ms_is_busy_until_half_of_the_share_is_read() {
        let context = context(Open);
        let (mut sender, mut receiver) = (Client::new(&context, usize::MAX), Client::new(&context, 0));
        receiver.says(r#"{"type":"join","room":"r","id":"slow"}"#).unwrap();
        sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
        for _ in 0..=SHARE_MESSAGES {
            sender.says(MESSAGE).unwrap();
        }
        assert!(sender.poll_waiting().is_pending());
        tokio::time::advance(STALL).await;
        assert!(sender.poll_waiting().is_ready());
        let busy = sender.hears().pop().unwrap();
        assert!(busy.contains(r#""code":"peer_busy""#) && busy.contains(r#""to":"slow""#), "{busy}");
        assert!(busy.contains(r#""ref":"m""#) && busy.contains(r#""retryable":true"#), "{busy}");
        assert!(sender.answer(MESSAGE).contains("peer_busy"), "at once from then on");
        assert!(!sender.session.is_waiting());
        let frame = 2 + r#"{"type":"message","from":"","data":1,"ref":"m"}"#.len() + 32;
        let before = 400;
        receiver.socket.make_room(before + frame * SHARE_MESSAGES / 2);
        let mut cx = task::Context::from_waker(Waker::noop());
        let _ = receiver.session.outbox().poll_flush(&mut cx);
        assert_eq!(sender.answer(MESSAGE), "", "it takes messages again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_receiver_that_reads_too_slowly_pauses_its_sender_for_250_ms() {
        let context = context(Open);
        let (mut sender, mut receiver) = (Client::new(&context, usize::MAX), Client::new(&context, 0));
        receiver.says(r#"{"type":"join","room":"r"}"#).unwrap();
        sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
        for _ in 0..=SHARE_MESSAGES {
            sender.says(MESSAGE).unwrap();
        }
        let start = Instant::now();
        while sender.poll_waiting().is_pending() {
            receiver.socket.make_room(1);
            let _ = receiver.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop()));
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!(start.elapsed() >= PAUSE && start.elapsed() < PAUSE * 2, "{:?}", start.elapsed());
        assert!(sender.hears().concat().contains("peer_busy"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_authorizer_may_take_time_and_a_late_answer_is_a_refusal() {
        let slowly = |request: JoinRequest| async move {
            tokio::time::sleep(Duration::from_secs(if request.room.as_str() == "never" { 60 } else { 1 })).await;
            if request.room.as_str() == "no" {
                Err(Denial::Unauthorized("not you".into()))
            } else {
                Ok(Grant::from(&request))
            }
        };
        let mut client = Client::new(&context(slowly), usize::MAX);
        for (room, answer) in [("no", "unauthorized"), ("never", "unavailable"), ("yes", "joined")] {
            client.says(&format!(r#"{{"type":"join","room":"{room}","ref":"j"}}"#)).unwrap();
            assert!(client.session.is_waiting() && client.hears().is_empty());
            let session = &mut client.session;
            std::future::poll_fn(|cx| session.poll_waiting(cx, Instant::now(), &mut Flushes::default())).await;
            let heard = client.hears().concat();
            assert!(heard.contains(answer), "{heard}");
        }
    }
}

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
//! A session whose place survives a lost connection leaves it to the next one (`returning.rs`), and [`super::resume`]
//! keeps it meanwhile.

mod outside;
mod returning;

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
use super::resume::Claim;
use crate::auth::{Answer, Decision, Denial, Grant, JoinRequest};
use crate::limits::{PAUSE, STALL};
use crate::outbox::{EndReason, Outbox, Pushed, frame};
use crate::protocol::{self, Command, Join};
use crate::quota::Excess;
use crate::quota::{RateDecision, RateLimiter};
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{
    Blocked, Entered, Entrant, ErrorCode, Event, Flushes, HostCommand, LeaveReason, Membership, Refusal, Signal,
};
use crate::secret::Secret;
use outside::Outside;
use returning::{Resumable, resume_failed};

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
        self.resumable = place.map(Resumable::new);
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
pub(super) mod tests;

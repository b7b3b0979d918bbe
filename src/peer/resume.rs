//! Places that survive a lost connection.
//!
//! A client that asks for it gets a **place**: a token, and the promise that its membership outlives its connection. A
//! [`Session`](super::Session) has the place while the connection is there. When the connection is lost, the session
//! **parts**: it leaves what belongs to the place as [`Parted`], and the place is held for a while. A session on another
//! connection that shows the token takes that over and goes on.
//!
//! If the old connection still looks alive, the new session **claims** the place: the old connection is told to end
//! ([`EndReason::TakenOver`]), and its session parts at its next turn, so that no two sessions ever have the place. Of
//! several claims the last one counts.
//!
//! This module knows no sockets. Its locks are taken in this order: the place, its room, an outbox.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::context::Context;
use super::observer::RelayEvent;
use crate::drain::Drain;
use crate::outbox::{EndReason, Outbox};
use crate::quota::RateLimiter;
use crate::quota::{Address, HeldPlace, Quotas};
use crate::room::{
    Absence, ErrorCode, Flushes, IceServers, LeaveReason, Membership, Refusal, ResumeError, ResumeOffer, Returning,
};
use crate::secret::Secret;

/// The places of a relay, by their tokens: one for each member that asked for it.
pub(crate) struct Places {
    /// How long a place is held without a connection. Zero: there are no places.
    hold: Duration,
    drain: Arc<Drain>,
    /// How many may be held at a time, for an address and in all.
    quotas: Arc<Quotas>,
    /// The hash of the table is keyed and secret, so the time of a look-up tells nothing about a token.
    by_token: DashMap<Box<str>, Arc<Place>>,
}

/// One place. The token stays the same as long as the place exists, so that a lost answer costs nothing.
#[derive(Debug)]
pub(crate) struct Place {
    token: Secret,
    /// The STUN and TURN servers that the client was told when it joined.
    ice_servers: IceServers,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the last session left; none while a session has the place, and when the place is gone.
    parted: Option<Box<Parted>>,
    /// The outbox of the connection that has the place.
    owner: Weak<Outbox>,
    /// The connection that waits for the place.
    claimant: Option<Claimant>,
    /// How many claims and holds there were, to number them.
    count: u64,
    hold: Option<Hold>,
}

/// The time in which a place waits for a connection.
#[derive(Debug)]
struct Hold {
    number: u64,
    /// Ends the task of the hold when it is dropped.
    _keep: oneshot::Sender<()>,
    _quota: HeldPlace,
}

/// A connection that waits until the session of the old one has parted.
#[derive(Debug)]
struct Claimant {
    number: u64,
    waker: Waker,
    outbox: Arc<Outbox>,
}

/// What a session leaves to the next one.
#[derive(Debug)]
pub(crate) struct Parted {
    pub(crate) context: Arc<Context>,
    /// The number of the last connection, for the observer.
    pub(crate) connection: u64,
    /// The address of the last connection; none if that is not limited.
    pub(crate) address: Option<Arc<Address>>,
    pub(crate) membership: Membership,
    /// What the client may still send.
    pub(crate) rate: RateLimiter,
    /// How many of its messages the relay has taken.
    pub(crate) taken: u64,
}

/// A claim to a place whose session has not parted yet. It is withdrawn when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    places: Arc<Places>,
    place: Arc<Place>,
    number: u64,
    /// The number of the last message that the client has received.
    received: u64,
}

/// What a token leads to.
pub(crate) enum Found {
    /// The place has no session: this is what the last one left.
    Parted(Arc<Place>, Box<Parted>),
    /// Its session will part soon.
    Claimed(Claim),
}

impl Parted {
    /// Gives the place up, and tells the others why.
    fn leave(self, reason: LeaveReason) {
        let Self { context, connection, membership, .. } = self;
        let (room, id) = (membership.room().clone(), membership.id().clone());
        context.observe(|| RelayEvent::Left { connection, room, id, reason });
        membership.leave(reason, &mut Flushes::default());
    }
}

impl Places {
    /// No places yet; each will be held for `hold`, unless the relay shuts down, and as many at a time as `quotas` allows.
    pub(crate) fn new(hold: Duration, drain: Arc<Drain>, quotas: Arc<Quotas>) -> Self {
        Self { hold, drain, quotas, by_token: DashMap::new() }
    }

    /// A new place with a token of 128 random bits for the client of `outbox`; none if places are turned off.
    ///
    /// # Errors
    /// `internal`, when the operating system provides no randomness.
    pub(crate) fn open(&self, outbox: &Arc<Outbox>, ice_servers: &IceServers) -> Result<Option<Arc<Place>>, Refusal> {
        if self.hold.is_zero() {
            return Ok(None);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| Refusal::new(ErrorCode::Internal, format!("cannot make a token: {error}")))?;
        let token = format!("{:032x}", u128::from_be_bytes(bytes));
        let state = State { owner: Arc::downgrade(outbox), ..State::default() };
        let (secret, ice_servers) = (Secret::new(token.as_str()), ice_servers.clone());
        let place = Arc::new(Place { token: secret, ice_servers, state: Mutex::new(state) });
        self.by_token.insert(token.into(), Arc::clone(&place));
        Ok(Some(place))
    }

    /// How many places there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    /// How many of them are held without a connection.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.quotas.held()
    }

    /// What the client is told about its place.
    pub(crate) fn offer<'a>(&self, place: &'a Place) -> ResumeOffer<'a> {
        ResumeOffer { token: &place.token, hold_ms: self.hold.as_millis() as u64 }
    }

    /// Ends a place: its session has left the room.
    pub(crate) fn close(&self, place: &Place) {
        let mut state = place.lock();
        self.end(place, &mut state);
    }

    /// Takes what a session left whose connection is lost: for the connection that waits for the place, or to hold it.
    pub(crate) fn part(self: &Arc<Self>, place: &Arc<Place>, mut parted: Box<Parted>) {
        // Dropped after the lock: they may give up other places.
        let mut flushes = Flushes::default();
        let mut state = place.lock();
        state.owner = Weak::new();
        let is_claimed = state.claimant.is_some();
        // A relay that restarts knows no tokens.
        let is_over = self.drain.has_begun();
        let quota = if is_claimed { None } else { self.quotas.hold(parted.address.as_ref()) };
        let absence = Arc::new(Held { places: Arc::clone(self), place: Arc::clone(place) });
        let told = if is_over || !(is_claimed || quota.is_some()) {
            None
        } else {
            parted.membership.hold(absence, !is_claimed, &mut flushes)
        };
        let Some(told) = told else {
            self.end(place, &mut state);
            return parted.leave(if is_over { LeaveReason::Shutdown } else { LeaveReason::Timeout });
        };
        parted.rate.charge(told);
        state.parted = Some(parted);
        if let Some(claimant) = &state.claimant {
            claimant.waker.wake_by_ref();
        } else if let Some(quota) = quota {
            self.hold(place, &mut state, quota);
        }
    }

    /// Looks for the place of `token`, for the client of `outbox`, which has received its messages up to the number
    /// `received`. If there is no such place, or it cannot go on from there, there is none; in the second case a place that
    /// has no connection is given up. `waker` is woken when a claim may be [ready](Claim::poll).
    pub(crate) fn find(
        self: &Arc<Self>,
        token: &Secret,
        received: u64,
        outbox: &Arc<Outbox>,
        waker: &Waker,
        flushes: &mut Flushes,
    ) -> Option<Found> {
        let place = Arc::clone(&*self.by_token.get(token.reveal())?);
        let mut state = place.lock();
        if state.parted.is_none() {
            let owner = state.owner.upgrade()?;
            if !owner.can_resume_after(received) {
                return None;
            }
            owner.end(EndReason::TakenOver);
        }
        if let Some(before) = state.claimant.take() {
            before.outbox.end(EndReason::TakenOver);
        }
        if state.parted.is_some() {
            let parted = self.hand_over(&place, &mut state, received, outbox, flushes)?;
            drop(state);
            return Some(Found::Parted(place, parted));
        }
        state.count += 1;
        let number = state.count;
        state.claimant = Some(Claimant { number, waker: waker.clone(), outbox: Arc::clone(outbox) });
        drop(state);
        Some(Found::Claimed(Claim { places: Arc::clone(self), place, number, received }))
    }

    /// Hands the place over to the client of `outbox`. If it cannot go on, the place is given up.
    fn hand_over(
        &self,
        place: &Place,
        state: &mut State,
        received: u64,
        outbox: &Arc<Outbox>,
        flushes: &mut Flushes,
    ) -> Option<Box<Parted>> {
        let mut parted = state.parted.take()?;
        (state.claimant, state.hold) = (None, None);
        let (taken, ice_servers, resume) = (parted.taken, &place.ice_servers, self.offer(place));
        let returning = Returning { received, taken, ice_servers, resume, outbox };
        match parted.membership.resume(&returning, flushes) {
            Ok(told) => {
                parted.rate.charge(told);
                state.owner = Arc::downgrade(outbox);
                Some(parted)
            }
            Err(ResumeError::Gone | ResumeError::NotKept) => {
                self.end(place, state);
                parted.leave(LeaveReason::Timeout);
                None
            }
        }
    }

    /// Holds a place that has no connection, until it is taken or the time is over.
    fn hold(self: &Arc<Self>, place: &Arc<Place>, state: &mut State, quota: HeldPlace) {
        state.count += 1;
        let (number, (keep, taken)) = (state.count, oneshot::channel());
        state.hold = Some(Hold { number, _keep: keep, _quota: quota });
        let (places, place, until) = (Arc::clone(self), Arc::clone(place), Instant::now() + self.hold);
        self.drain.spawn(async move {
            let reason = tokio::select! {
                () = sleep_until(until) => LeaveReason::Timeout,
                _ = places.drain.wait() => LeaveReason::Shutdown,
                _ = taken => return,
            };
            places.give_up(&place, number, reason);
        });
    }

    /// Gives a place up if it is still in the hold with this number.
    fn give_up(&self, place: &Place, number: u64, reason: LeaveReason) {
        let mut state = place.lock();
        if state.hold.take_if(|hold| hold.number == number).is_none() {
            return;
        }
        self.end(place, &mut state);
        if let Some(parted) = state.parted.take() {
            parted.leave(reason);
        }
    }

    /// Forgets the token. Whoever waits for the place learns that it is gone.
    fn end(&self, place: &Place, state: &mut State) {
        state.owner = Weak::new();
        self.by_token.remove(place.token.reveal());
        if let Some(claimant) = state.claimant.take() {
            claimant.waker.wake();
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("count", &self.by_token.len()).finish_non_exhaustive()
    }
}

/// A place whose member has no connection.
struct Held {
    places: Arc<Places>,
    place: Arc<Place>,
}

impl Absence for Held {
    fn end(&self, reason: LeaveReason) {
        let mut state = self.place.lock();
        // Another session may have it by now, and learns that it is gone from the room.
        let Some(parted) = state.parted.take() else { return };
        state.hold = None;
        self.places.end(&self.place, &mut state);
        parted.leave(reason);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Place {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so the state is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// The place.
    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Ready when the old session has parted, with what it left for the client of `outbox`; with none if the place is gone.
    /// A claim that another one has replaced is never ready: its connection is told to end.
    pub(crate) fn poll(
        &self,
        cx: &task::Context<'_>,
        outbox: &Arc<Outbox>,
        flushes: &mut Flushes,
    ) -> Poll<Option<Box<Parted>>> {
        let mut state = self.place.lock();
        let is_known = self.places.by_token.contains_key(self.place.token.reveal());
        match &mut state.claimant {
            _ if !is_known => Poll::Ready(None),
            Some(claimant) if claimant.number == self.number => {
                claimant.waker.clone_from(cx.waker());
                if state.parted.is_none() {
                    return Poll::Pending;
                }
                Poll::Ready(self.places.hand_over(&self.place, &mut state, self.received, outbox, flushes))
            }
            _ => Poll::Pending,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Dropped after the lock: they may give up other places.
        let mut flushes = Flushes::default();
        let mut state = self.place.lock();
        if state.claimant.take_if(|claimant| claimant.number == self.number).is_none() {
            return;
        }
        // The old session has parted, and the new one does not come: nobody has the place.
        let Some(mut parted) = state.parted.take() else { return };
        let quota = self.places.quotas.hold(parted.address.as_ref());
        let held = quota.and_then(|quota| Some((quota, parted.membership.tell_away(&mut flushes)?)));
        match held {
            Some((quota, told)) => {
                parted.rate.charge(told);
                state.parted = Some(parted);
                self.places.hold(&self.place, &mut state, quota);
            }
            None => {
                self.places.end(&self.place, &mut state);
                parted.leave(LeaveReason::Timeout);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;
    use tokio::time::advance;

    use super::super::session::tests::{Client, context};
    use super::*;
    use crate::auth::Open;
    use crate::limits::HOLD_MS;

    /// Somebody with a place, how to ask for it, and a member of the same room that hears about it.
    fn somebody_and_a_witness(context: &Arc<Context>) -> (Client, String, Client) {
        let (mut somebody, mut witness) = (Client::new(context, usize::MAX), Client::new(context, usize::MAX));
        witness.answer(r#"{"type":"join","room":"r"}"#);
        let joined = somebody.answer(r#"{"type":"join","room":"r","id":"somebody","resume":true}"#);
        let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
        witness.hears();
        (somebody, format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]), witness)
    }

    fn is_cut(client: &mut Client) {
        client.session.end(LeaveReason::Closed, true, "cut");
    }

    const AWAY: &str = r#"{"type":"peer_away","id":"somebody"}"#;
    const BACK: &str = r#"{"type":"peer_back","id":"somebody"}"#;

    #[tokio::test(start_paused = true)]
    async fn of_several_connections_that_claim_a_place_only_the_last_one_gets_it() {
        let context = context(Open);
        let (mut old, resume, witness) = somebody_and_a_witness(&context);
        let [mut first, mut last] = [(); 2].map(|()| Client::new(&context, usize::MAX));
        assert_eq!(first.answer(&resume) + &last.answer(&resume), "");
        is_cut(&mut old);
        assert!(first.poll_waiting().is_pending());
        drop(first);
        assert!(last.poll_waiting().is_ready());
        assert!(last.hears().concat().contains(r#""type":"resumed""#));
        assert_eq!(witness.hears(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_is_withdrawn_leaves_the_place_as_it_was() {
        let context = context(Open);
        let (mut old, resume, witness) = somebody_and_a_witness(&context);
        let mut new = Client::new(&context, usize::MAX);
        new.says(&resume).unwrap();
        drop(new);
        assert_eq!(witness.hears(), [""; 0]);
        is_cut(&mut old);
        assert_eq!(witness.hears(), [AWAY]);
        yield_now().await;
        advance(Duration::from_millis(HOLD_MS)).await;
        yield_now().await;
        assert_eq!(witness.hears(), [r#"{"type":"peer_left","id":"somebody","reason":"timeout"}"#]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_old_session_has_parted_and_the_claim_is_withdrawn_the_others_hear_that_the_peer_is_away() {
        let context = context(Open);
        let (mut old, resume, witness) = somebody_and_a_witness(&context);
        let [mut new, mut next] = [(); 2].map(|()| Client::new(&context, usize::MAX));
        new.says(&resume).unwrap();
        is_cut(&mut old);
        assert_eq!(witness.hears(), [""; 0], "another connection is about to take the place");
        drop(new);
        assert_eq!(witness.hears(), [AWAY]);
        assert!(next.answer(&resume).contains(r#""type":"resumed""#));
        assert_eq!(witness.hears(), [BACK]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_claims_a_place_that_its_owner_leaves_hears_that_it_is_gone() {
        let context = context(Open);
        let (mut old, resume, _witness) = somebody_and_a_witness(&context);
        let mut new = Client::new(&context, usize::MAX);
        new.says(&resume).unwrap();
        old.says(r#"{"type":"leave"}"#).unwrap();
        assert!(new.poll_waiting().is_ready());
        assert!(new.hears().concat().contains(r#""code":"resume_failed""#));
    }
}

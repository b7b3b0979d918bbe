//! Places that survive a lost connection.
//!
//! A client that asks for it gets a [`Resumption`]: a token, and the promise that its membership outlives its connection.
//! A [`Session`](super::Session) has it while the connection is there. When the connection is lost, the session leaves
//! what belongs to the place as [`Suspended`], and the place is held for a while. A session on another connection that
//! shows the token **takes it over** and goes on.
//!
//! If the old connection still looks alive, it is told to close
//! ([`TakenOver`](crate::outbox::CloseRequest::TakenOver)), and its session suspends the place at its next turn, so that
//! no two sessions ever have it. Of several [`Takeover`]s the last one counts.
//!
//! This module knows no sockets. Its locks are taken in this order: the resumption, its room, an outbox.

mod takeover;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::observer::{Events, RelayEvent};
use crate::auth::WayBack;
use crate::drain::Drain;
use crate::limits::{AWAY_AFTER, AWAY_AFTER_HOLDS, HOLD_LEFT, RESUME_WAIT};
use crate::outbox::Outbox;
use crate::quota::{Address, HeldPlace, Quotas, RateLimiter};
use crate::room::names::random_hex;
use crate::room::{Deferred, ErrorCode, LeaveReason, Membership, OnRemoved, Refusal};
use crate::secret::Secret;
use takeover::Successor;
pub(crate) use takeover::Takeover;
#[cfg(feature = "cluster")]
pub(crate) use takeover::resume_failed;

/// The resumptions of a relay, by their tokens: one for each member that asked for it.
pub(crate) struct Resumptions {
    /// How long a place is held without a connection. Zero: there are none.
    hold: Duration,
    drain: Arc<Drain>,
    /// How many may be held at a time, for an address and in all.
    quotas: Arc<Quotas>,
    events: Arc<Events>,
    /// What tokens begin with, where several relays are one: it says which of them holds the place.
    prefix: Box<str>,
    /// The hash of the table is keyed and secret, so the time of a look-up tells nothing about a token.
    by_token: DashMap<Box<str>, Arc<Resumption>>,
}

/// One place that survives a lost connection. The token stays the same as long as it exists, so that a lost answer costs
/// nothing.
#[derive(Debug)]
pub(crate) struct Resumption {
    token: Secret,
    /// Until when the client may come back; none if that has no end.
    way_back: Option<WayBack>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the last session left; none while a session has the place, and when the place is gone.
    suspended: Option<Box<Suspended>>,
    /// The outbox of the connection that has the place.
    owner: Weak<Outbox>,
    /// The connection that waits for the place.
    successor: Option<Successor>,
    /// When the last of those that were to have the place was asked for; none before the first one.
    asked: Option<Instant>,
    /// How many takeovers and holds there were, to number them.
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

/// What a session leaves to the next one.
#[derive(Debug)]
pub(crate) struct Suspended {
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

impl Resumptions {
    /// None yet; each place will be held for `hold`, unless the relay shuts down, and as many at a time as `quotas` allows.
    /// `events` hears of those that are given up.
    pub(crate) fn new(hold: Duration, drain: Arc<Drain>, quotas: Arc<Quotas>, events: Arc<Events>) -> Self {
        Self { hold, drain, quotas, events, prefix: Box::default(), by_token: DashMap::new() }
    }

    /// The same, with tokens that begin with `prefix`.
    pub(crate) fn with_prefix(self, prefix: String) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// A new one with a token of 128 random bits for the client of `outbox`, which may come back as long as `way_back` says;
    /// none if they are turned off, or that is over.
    ///
    /// # Errors
    /// `internal`, when the operating system provides no randomness.
    pub(crate) fn open(
        &self,
        outbox: &Arc<Outbox>,
        way_back: Option<WayBack>,
    ) -> Result<Option<Arc<Resumption>>, Refusal> {
        if self.hold.is_zero() || way_back.as_ref().is_some_and(WayBack::is_over) {
            return Ok(None);
        }
        let token =
            random_hex().map_err(|error| Refusal::new(ErrorCode::Internal, format!("cannot make a token: {error}")))?;
        let token = format!("{}{token}", self.prefix);
        let state = State { owner: Arc::downgrade(outbox), ..State::default() };
        let secret = Secret::new(token.as_str());
        let resumption = Arc::new(Resumption { token: secret, way_back, state: Mutex::new(state) });
        self.by_token.insert(token.into(), Arc::clone(&resumption));
        Ok(Some(resumption))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_token.len()
    }

    /// How many of them are held without a connection.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.quotas.held()
    }

    /// What the client is told about it: its token, and for how many milliseconds its place is held.
    pub(crate) fn offer(&self, resumption: &Resumption) -> (Secret, u64) {
        (resumption.token.clone(), self.hold_ms())
    }

    fn hold_ms(&self) -> u64 {
        self.hold.as_millis() as u64
    }

    /// Ends one: its session has left the room.
    pub(crate) fn close(&self, resumption: &Resumption) {
        self.end(resumption, &mut resumption.lock());
    }

    /// Takes what a session leaves whose connection is lost since that time and for this `reason`: for the connection that
    /// waits for the place, or to hold it.
    pub(crate) fn suspend(
        self: &Arc<Self>,
        resumption: &Arc<Resumption>,
        suspended: Box<Suspended>,
        reason: LeaveReason,
        since: Instant,
    ) {
        // Dropped after the lock, as the order of locks demands.
        let mut deferred = Deferred::default();
        let mut state = resumption.lock();
        state.owner = Weak::new();
        let is_awaited = state.successor.is_some();
        // A relay that restarts knows no tokens.
        let is_over = self.drain.has_begun();
        let quota = if is_awaited { None } else { self.quotas.hold(suspended.address.as_ref()) };
        let may_keep = !is_over && (is_awaited || quota.is_some());
        let on_removed = self.on_removed(resumption);
        if !may_keep || suspended.membership.suspend(on_removed, is_awaited, &mut deferred).is_err() {
            self.end(resumption, &mut state);
            return self.leave(*suspended, if is_over { LeaveReason::Shutdown } else { reason });
        }
        state.suspended = Some(suspended);
        if let Some(successor) = &state.successor {
            successor.wake();
        } else if let Some(quota) = quota {
            self.hold(resumption, &mut state, quota, since);
        }
    }

    /// Holds a place that has no connection since that time, until it is taken or the time is over. A blink is told to
    /// nobody: the others hear a while later that the peer is away.
    fn hold(self: &Arc<Self>, resumption: &Arc<Resumption>, state: &mut State, quota: HeldPlace, since: Instant) {
        let (number, (keep, taken)) = (state.next_number(), oneshot::channel());
        state.hold = Some(Hold { number, _keep: keep, _quota: quota });
        let away_at = since + AWAY_AFTER.min(self.hold / AWAY_AFTER_HOLDS);
        // The relay finds a machine that lost its power after half a minute, and its ghost keeps its id meanwhile.
        let until = (since + self.hold).max(Instant::now() + self.hold.min(HOLD_LEFT));
        let until = resumption.way_back.as_ref().map_or(until, |way_back| way_back.limit(until));
        let (resumptions, resumption) = (Arc::clone(self), Arc::clone(resumption));
        self.drain.spawn(async move {
            let times_out = async {
                if away_at < until {
                    sleep_until(away_at).await;
                    resumptions.tell_away(&resumption, number);
                }
                sleep_until(until).await;
                // Who is there, and waits for its rates, does not lose the place for that.
                if resumptions.is_awaited(&resumption) {
                    sleep_until(until + RESUME_WAIT).await;
                }
            };
            let reason = tokio::select! {
                () = times_out => LeaveReason::Timeout,
                _ = resumptions.drain.wait() => LeaveReason::Shutdown,
                _ = taken => return,
            };
            resumptions.give_up(&resumption, number, reason);
        });
    }

    fn is_awaited(&self, resumption: &Resumption) -> bool {
        resumption.lock().successor.is_some()
    }

    /// Tells the others that the peer is away whose place is still in the hold with this number.
    fn tell_away(&self, resumption: &Resumption, number: u64) {
        // Dropped after the lock: it writes to the others.
        let mut deferred = Deferred::default();
        let mut state = resumption.lock();
        if state.hold.as_ref().is_none_or(|hold| hold.number != number) {
            return;
        }
        let Some(suspended) = &mut state.suspended else { return };
        let told = suspended.membership.tell_away(&mut deferred);
        suspended.rate.charge_replay(deferred.take_deliveries(), 0, Instant::now());
        if told.is_err() {
            self.abandon(resumption, &mut state, LeaveReason::Timeout);
        }
    }

    /// Gives a place up if it is still in the hold with this number.
    fn give_up(&self, resumption: &Resumption, number: u64, reason: LeaveReason) {
        let mut state = resumption.lock();
        if state.hold.as_ref().is_some_and(|hold| hold.number == number) {
            self.abandon(resumption, &mut state, reason);
        }
    }

    /// Gives up the places that are held for those whose way back has ended.
    #[cfg(feature = "auth")]
    pub(crate) fn give_up_those_without_a_way_back(&self) {
        let over = self.by_token.iter().filter(|resumption| !resumption.has_way_back());
        let over: Vec<_> = over.map(|resumption| Arc::clone(&resumption)).collect();
        over.iter().for_each(|resumption| self.give_up_if_held(resumption));
    }

    fn give_up_if_held(&self, resumption: &Resumption) {
        let number = resumption.lock().hold.as_ref().map(|hold| hold.number);
        if let Some(number) = number {
            self.give_up(resumption, number, LeaveReason::Timeout);
        }
    }

    /// Gives a place up that has no connection, if the room removes its member.
    fn on_removed(self: &Arc<Self>, resumption: &Arc<Resumption>) -> OnRemoved {
        let (resumptions, resumption) = (Arc::clone(self), Arc::clone(resumption));
        OnRemoved::new(move |reason| {
            let mut state = resumption.lock();
            // Another session may have it by now, and learns that it is gone from the room.
            if state.suspended.is_some() {
                resumptions.abandon(&resumption, &mut state, reason);
            }
        })
    }

    /// Ends a place that no session has, and leaves its room.
    fn abandon(&self, resumption: &Resumption, state: &mut State, reason: LeaveReason) {
        state.hold = None;
        self.end(resumption, state);
        if let Some(suspended) = state.suspended.take() {
            self.leave(*suspended, reason);
        }
    }

    /// Forgets the token. Whoever waits for the place learns that it is gone.
    fn end(&self, resumption: &Resumption, state: &mut State) {
        state.owner = Weak::new();
        self.by_token.remove(resumption.token.reveal());
        if let Some(successor) = state.successor.take() {
            successor.wake();
        }
    }

    /// Leaves the room, and tells the others why.
    fn leave(&self, suspended: Suspended, reason: LeaveReason) {
        let Suspended { connection, membership, .. } = suspended;
        let (room, id) = (membership.room().clone(), membership.id().clone());
        self.events.observe(|| RelayEvent::Left { connection, room, id, reason });
        membership.leave(reason, &mut Deferred::default());
    }
}

impl fmt::Debug for Resumptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumptions").field("count", &self.by_token.len()).finish_non_exhaustive()
    }
}

impl Resumption {
    /// Whether the client may still come back.
    pub(crate) fn has_way_back(&self) -> bool {
        self.way_back.as_ref().is_none_or(|way_back| !way_back.is_over())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so the state is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

#[cfg(test)]
mod tests;

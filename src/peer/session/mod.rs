//! The session: one peer's protocol state, without a socket. It handles the texts that the peer sends.
//!
//! The relay's answers go to the peer's own [`Outbox`], and signals to those of the other members through its
//! [`Membership`].
//!
//! Its life is one [`Stage`] after the other: `join.rs` enters a room, which `locate.rs` may have to find first, `knock.rs`
//! waits at a locked one, `pause.rs` relays and waits for slow receivers, `leave.rs` ends that, and `resume.rs` goes on with a
//! place that survives a lost connection, which [`super::resume`] keeps meanwhile. `handover.rs` ends it because the room
//! lives at another relay.
//!
//! A session that **waits** receives no more texts: what the client sends meanwhile stays in its socket.

mod client;
mod handover;
mod join;
mod knock;
mod leave;
#[cfg_attr(not(feature = "cluster"), path = "locate_absent.rs")]
mod locate;
mod pause;
mod resume;
#[cfg_attr(not(feature = "cluster"), path = "search_absent.rs")]
mod search;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use tokio::time::Instant;
use tracing::info;

use super::client::Flood;
use super::handover::Handover;
use super::hub::Hub;
use super::observer::RelayEvent;
use crate::budget::Charge;
use crate::metrics::Metrics;
use crate::outbox::{Outbox, frame};
use crate::protocol::{self, Command};
use crate::quota::{RateDecision, RateLimiter};
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{Deferred, ErrorCode, Event, HostCommand, JoinError, Membership, Refusal};
use join::Deciding;
pub(crate) use join::{JoinRefusal, UpgradeHeaders};
use knock::Knocking;
#[cfg(feature = "cluster")]
use locate::Locating;
use pause::Pause;
use resume::{Resumable, TakingOver};

/// One peer's protocol state.
#[derive(Debug)]
pub(crate) struct Session {
    hub: Arc<Hub>,
    outbox: Arc<Outbox>,
    rate: RateLimiter,
    /// What the upgrade said, for the authorizer, unless it said nothing; and its memory.
    upgrade: Option<Box<(UpgradeHeaders, Charge)>>,
    stage: Stage,
    /// Whether the peer has neither been in a room nor at one that was locked.
    is_new: bool,
    /// By how many relays the peer has come to this one.
    hops: u8,
    /// How many messages it has sent, for the log.
    messages: u32,
    /// The room that the peer is in or was in last, and its id there, for the log.
    joined_as: Option<(RoomName, PeerId)>,
    /// Whether an `error` was queued since the last [`take_answered`](Self::take_answered).
    has_answered: Cell<bool>,
    /// Why its connection ended, for the observer.
    why: Option<Box<str>>,
}

/// Where a session is in its life.
#[derive(Debug, Default)]
enum Stage {
    /// It is in no room.
    #[default]
    Idle,
    /// It waits for the decision on a join.
    Deciding(Box<Deciding>),
    /// It waits for the directory to say where the room of a join lives.
    #[cfg(feature = "cluster")]
    Locating(Box<Locating>),
    /// It waits for the place of another connection.
    TakingOver(Box<TakingOver>),
    /// It is outside of a locked room, whose host decides. It is no member yet, and receives texts all the same.
    Knocking(Box<Knocking>),
    /// It is in a room.
    Joined {
        membership: Membership,
        /// Set while it waits for slow receivers.
        pause: Option<Box<Pause>>,
        /// The place that survives a lost connection, if the peer asked for one.
        resumable: Option<Box<Resumable>>,
    },
    /// Its room lives at another relay, which serves the peer from now on.
    HandedOver(Option<Box<Handover>>),
}

impl Session {
    /// A session that is in no room yet, for the client of `outbox`, whose upgrade said `upgrade`.
    pub(crate) fn new(hub: Arc<Hub>, outbox: Arc<Outbox>, rate: RateLimiter, upgrade: UpgradeHeaders) -> Self {
        let upgrade = (upgrade != UpgradeHeaders::default()).then(|| {
            let memory = outbox.sender().purse().charge_anyway(upgrade.bytes());
            Box::new((upgrade, memory))
        });
        Self {
            hub,
            outbox,
            rate,
            upgrade,
            stage: Stage::Idle,
            is_new: true,
            hops: 0,
            messages: 0,
            joined_as: None,
            has_answered: Cell::new(false),
            why: None,
        }
    }

    /// The same, for a client that has come by so many relays.
    pub(crate) fn after(mut self, hops: u8) -> Self {
        self.hops = hops;
        self
    }

    /// The number of its connection.
    fn connection(&self) -> u64 {
        self.outbox.id().number()
    }

    /// What the relay counts.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.hub.metrics
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
    pub(crate) fn joined_as(&self) -> Option<(&RoomName, &PeerId)> {
        self.joined_as.as_ref().map(|(room, id)| (room, id))
    }

    /// How many messages the peer has sent.
    pub(crate) fn messages(&self) -> u32 {
        self.messages
    }

    /// Whether it waits: then call [`poll_waiting`](Self::poll_waiting), and not [`receive`](Self::receive).
    pub(crate) fn is_waiting(&self) -> bool {
        match self.stage {
            Stage::Deciding(_) | Stage::TakingOver(_) | Stage::Joined { pause: Some(_), .. } | Stage::HandedOver(_) => {
                true
            }
            #[cfg(feature = "cluster")]
            Stage::Locating(_) => true,
            Stage::Idle | Stage::Knocking(_) | Stage::Joined { pause: None, .. } => false,
        }
    }

    /// Whether the peer still has to join its first room, and nothing keeps it from that.
    pub(crate) fn must_join(&self) -> bool {
        self.is_new && !self.is_waiting()
    }

    /// Whether an `error` was queued for this peer since the last call.
    pub(crate) fn take_answered(&self) -> bool {
        self.has_answered.take()
    }

    /// When to call [`poll_waiting`](Self::poll_waiting) again at the latest.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Knocking(knocking) => Some(knocking.deadline()),
            Stage::Joined { pause: Some(pause), .. } => Some(pause.next_look()),
            Stage::TakingOver(waiting) => waiting.next_look(),
            _ => None,
        }
    }

    /// Handles one text from the peer: carries out its message, or answers it with `error`. If the session waits after
    /// that, `waker` is woken when it may go on.
    ///
    /// # Errors
    /// [`Flood`], if the connection must end.
    pub(crate) fn receive(
        &mut self,
        text: &str,
        now: Instant,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<(), Flood> {
        if cfg!(signaling_relay_echo) {
            self.echo(text);
            return Ok(());
        }
        let parsed = protocol::parse(text);
        self.hub.metrics.hot().messages.add(parsed.type_number());
        self.messages = self.messages.saturating_add(1);
        let reference = parsed.reference.as_deref();
        // The message by which the peer joins is not counted, nor is `resume`.
        let is_counted = self.resumable().is_some() && !matches!(parsed.message, Ok(Command::Resume(_)));
        let done = match self.rate.take_message(now) {
            RateDecision::Allowed => match parsed.message {
                Ok(Command::Signal(signal)) => self.relay(&signal, reference, now, waker, deferred),
                Ok(Command::Join(join)) => self.join_by_message(join, text, reference, deferred),
                Ok(Command::Leave) => self.leave_on_purpose(deferred),
                Ok(Command::IceServers) => self.tell_ice_servers(),
                Ok(Command::Report { report, to }) => {
                    let reported = self.membership().map(|membership| membership.report(report, to.as_deref()));
                    reported.map(|()| self.hub.metrics.reports.add(report))
                }
                Ok(Command::Host(command)) => self.command(&command, deferred),
                Ok(Command::Resume(resume)) => {
                    resume.and_then(|resume| self.resume(&resume, text, reference, now, waker, deferred))
                }
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

    /// Goes on with what the session waits for; ready when it may receive the next text.
    pub(crate) fn poll_waiting(
        &mut self,
        cx: &mut task::Context<'_>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> Poll<()> {
        match self.stage {
            Stage::Idle | Stage::Joined { pause: None, .. } => Poll::Ready(()),
            Stage::Joined { .. } => self.poll_pause(cx, now, deferred),
            // A join by URL is decided before anything is received, and others hear of a refusal as an `error`.
            Stage::Deciding(_) => self.poll_join_by_message(cx, deferred),
            #[cfg(feature = "cluster")]
            Stage::Locating(_) => self.poll_join_by_message(cx, deferred),
            Stage::TakingOver(_) => self.poll_takeover(cx, now, deferred),
            Stage::Knocking(_) => {
                self.poll_knock(cx, now, deferred);
                Poll::Ready(())
            }
            Stage::HandedOver(_) => Poll::Pending,
        }
    }

    /// Answers with an `error`.
    pub(crate) fn refuse(&self, refusal: &Refusal, reference: Option<&str>) {
        self.hub.metrics.errors.add(refusal.code as usize);
        self.answer(&Event::Error { refusal, reference });
    }

    fn answer(&self, event: &Event<'_>) {
        if let Some(frame) = (self.hub.rooms.encoder())(event) {
            self.outbox.answer(frame);
            self.has_answered.set(true);
        }
    }

    /// Sends the text back, as the suite of `scripts/autobahn` expects of a server.
    fn echo(&self, text: &str) {
        self.outbox.answer(frame::text(text.len(), |frame| frame.extend_from_slice(text.as_bytes())));
        self.has_answered.set(true);
    }

    fn command(&mut self, command: &HostCommand<'_>, deferred: &mut Deferred) -> Result<(), Refusal> {
        self.membership()?.command(command, deferred)?;
        self.pay_for_message(deferred);
        Ok(())
    }

    /// Answers with the STUN and TURN servers, and credentials of now.
    fn tell_ice_servers(&mut self) -> Result<(), Refusal> {
        self.membership()?;
        let Stage::Joined { membership, .. } = &self.stage else { return Ok(()) };
        if !self.outbox.sender().purse().has(membership.ice_servers_bytes()) {
            return Err(JoinError::NoMemory.into());
        }
        self.answer(&Event::IceServers(&membership.ice_servers()));
        Ok(())
    }

    /// Counts what the peer's message has caused. `take_message` has counted the first delivery already.
    fn pay_for_message(&mut self, deferred: &mut Deferred) {
        self.rate.charge(deferred.take_deliveries().saturating_sub(1));
    }

    /// Counts copies of a message of `bytes` that were queued.
    fn count_relayed(&self, copies: usize, bytes: usize) {
        self.hub.metrics.hot().count_relayed(copies, bytes);
    }

    /// The peer has joined a room, where its name is `name`.
    fn has_joined(&mut self, membership: Membership, name: Option<PeerName>, resumable: Option<Box<Resumable>>) {
        if self.may_log() {
            let (room, id) = (membership.room().as_str(), membership.id());
            let address = self.address_for_log();
            let (members, capacity) = membership.crowd();
            // What a client may have written comes last.
            let connection = self.connection();
            info!(connection, %address, place = %format_args!("{room:?}/{id} ({members}/{capacity})"), "joined");
        }
        self.hub.metrics.joins.add(1);
        self.hub.observe(|| RelayEvent::Joined {
            connection: self.connection(),
            room: membership.room().clone(),
            id: membership.id().clone(),
            name,
        });
        self.become_member(membership, resumable);
    }

    /// Whether a line about this client may be logged.
    fn may_log(&self) -> bool {
        self.hub.quotas.may_log_about(self.rate.address())
    }

    /// Its address without the port, as programs that read the log want it.
    fn address_for_log(&self) -> impl fmt::Display + use<> {
        self.outbox.address().map_or_else(|| "unix".into(), |address| address.to_string())
    }

    fn become_member(&mut self, membership: Membership, resumable: Option<Box<Resumable>>) {
        self.joined_as = Some((membership.room().clone(), membership.id().clone()));
        self.stage = Stage::Joined { membership, pause: None, resumable };
        self.is_new = false;
    }

    /// The membership, even if a host has let the peer in since the last poll.
    fn membership(&mut self) -> Result<&Membership, Refusal> {
        self.settle_knock();
        match &self.stage {
            Stage::Joined { membership, .. } => Ok(membership),
            _ => Err(Refusal::new(ErrorCode::NotJoined, "you are in no room: join one first")),
        }
    }

    fn resumable(&mut self) -> Option<&mut Resumable> {
        match &mut self.stage {
            Stage::Joined { resumable, .. } => resumable.as_deref_mut(),
            Stage::Knocking(knocking) => knocking.resumable(),
            _ => None,
        }
    }

    /// Checks that the peer neither is in a room nor waits at one.
    fn check_is_idle(&mut self) -> Result<(), Refusal> {
        self.settle_knock();
        let message = match &self.stage {
            Stage::Knocking(knocking) => {
                format!("you wait to be let into the room {:?}: leave first", knocking.room())
            }
            Stage::Joined { membership, .. } => {
                format!("you are in the room {:?}: leave it first", membership.room().as_str())
            }
            _ => return Ok(()),
        };
        Err(Refusal::new(ErrorCode::AlreadyJoined, message))
    }
}

#[cfg(test)]
pub(super) mod tests;

//! One client on a wire of topics, without its socket.
//!
//! The relay says nothing to it but what others publish, and pongs: what is refused is silence, since these clients understand
//! neither errors nor the reason of a close, and dial again after each. Whoever is too fast, or sends to one that reads slowly, is
//! read from later.

#[path = "decide.rs"]
mod decide;

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::command::{Command, Publish};
use super::known::{KnownTopics, Standing};
use super::said::Said;
use super::topics::{Published, Subscription, Topics};
use super::waits::{Deciding, Polled, Waits};
use crate::budget::Charge;
use crate::limits::{DELIVERIES_A_TURN, WIRE_SIGN_OF_LIFE};
use crate::metrics::Metrics;
use crate::outbox::{Outbox, frame};
use crate::peer::{Client, Flood, Hub, RelayEvent};
use crate::quota::{Pace, RateLimiter};
use crate::room::{Deferred, LeaveReason};
use crate::wires::blocked::Blocked;
use decide::Decided;

/// One client on a wire of topics. What few of them have is apart: it is as small as a session of the relay's own wire.
#[derive(Debug)]
pub(crate) struct TopicClient {
    hub: Arc<Hub>,
    topics: Arc<Topics>,
    outbox: Arc<Outbox>,
    rate: RateLimiter,
    pace: Pace,
    /// What who decides on its topics hears of its upgrade, if that said anything.
    said: Option<Box<Said>>,
    _memory: Charge,
    /// The topics that it knows.
    known: KnownTopics<Subscription>,
    waits: Option<Waits>,
    /// How many deliveries it has caused since others had their turns.
    deliveries: usize,
    /// When it last heard something from the relay itself, or the relay something from it.
    sign_of_life: Instant,
    messages: u32,
    has_answered: Cell<bool>,
    /// To how many topics it was subscribed when its connection ended.
    subscribed_at_end: usize,
    /// Why its connection ended, for the observer.
    why: Option<Box<str>>,
}

impl TopicClient {
    /// A client without topics, whose upgrade said that.
    pub(crate) fn new(hub: Arc<Hub>, topics: Arc<Topics>, outbox: Arc<Outbox>, rate: RateLimiter, said: Said) -> Self {
        let said = (said != Said::default()).then(|| Box::new(said));
        let bytes = size_of::<Self>() + said.as_ref().map_or(0, |said| said.bytes());
        Self {
            _memory: outbox.sender().purse().charge_anyway(bytes),
            pace: rate.pace(),
            hub,
            topics,
            outbox,
            rate,
            said,
            known: KnownTopics::default(),
            waits: None,
            deliveries: 0,
            sign_of_life: Instant::now(),
            messages: 0,
            has_answered: Cell::new(false),
            subscribed_at_end: 0,
            why: None,
        }
    }

    /// Carries out what `text` says, from the topic `at` in it on.
    fn carry_out(&mut self, text: &str, at: usize, now: Instant, waker: &Waker, deferred: &mut Deferred) {
        match (self.topics.dialect().parse)(text) {
            Command::Subscribe(names) => {
                for (at, name) in names.iter().enumerate().skip(at) {
                    match self.decide(name, text, at, now) {
                        Decided::Yes => self.subscribe(name),
                        Decided::No => {}
                        Decided::Later => return,
                    }
                }
            }
            Command::Unsubscribe(names) => names.iter().for_each(|name| self.unsubscribe(name)),
            Command::Publish(publish) => {
                if at == 0 && matches!(self.decide(&publish.topic, text, at, now), Decided::Yes) {
                    self.publish(&publish, now, waker, deferred);
                }
            }
            Command::Ping => self.pong(now),
            Command::Nothing => {}
        }
    }

    /// Subscribes to a topic that is known, unless it has as many subscribers as may be.
    fn subscribe(&mut self, name: &str) {
        let (topics, outbox) = (Arc::clone(&self.topics), Arc::clone(&self.outbox));
        if let Some(known) = self.known.get_mut(name)
            && matches!(known.standing, Standing::Allowed)
            && let Some(subscription) = topics.subscribe(&known.name, &outbox)
        {
            known.standing = Standing::Subscribed(subscription);
        }
    }

    fn unsubscribe(&mut self, name: &str) {
        if let Some(known) = self.known.get_mut(name)
            && matches!(known.standing, Standing::Subscribed(_))
        {
            known.standing = Standing::Allowed;
        }
    }

    fn publish(&mut self, publish: &Publish<'_>, now: Instant, waker: &Waker, deferred: &mut Deferred) {
        let sender = self.outbox.sender();
        let known = self.known.get(&publish.topic);
        let published = match known.map(|known| &known.standing) {
            Some(Standing::Subscribed(subscription)) => subscription.publish(publish, sender, waker, deferred),
            _ => self.topics.publish(publish, sender, waker, deferred),
        };
        let Published { receivers, queued, bytes, blocked, frame } = published;
        self.pace.charge(receivers, now);
        self.hub.metrics.hot().count_relayed(queued, bytes);
        self.deliveries += receivers;
        if !blocked.is_empty() {
            self.waits = Some(Waits::Room(Box::new(Blocked::new(frame, blocked, &self.outbox, now))));
        } else if self.deliveries >= DELIVERIES_A_TURN {
            self.deliveries = 0;
            self.waits = Some(Waits::Turn { is_over: false });
        }
    }

    /// Answers a ping, if the wire has a word for it.
    fn pong(&mut self, now: Instant) {
        if let Some(pong) = self.topics.dialect().pong {
            self.outbox.answer(frame::text(pong.len(), |frame| frame.extend_from_slice(pong.as_bytes())));
            self.has_answered.set(true);
            self.sign_of_life = now;
        }
    }

    /// When it is to hear something although it waits, if the wire has a word for that.
    fn next_sign_of_life(&self) -> Option<Instant> {
        let has_word = self.topics.dialect().pong.is_some();
        (has_word && self.waits.is_some()).then(|| self.sign_of_life + WIRE_SIGN_OF_LIFE)
    }

    /// How many topics it is subscribed to, or was when its connection ended.
    fn subscriptions(&self) -> usize {
        self.known.subscriptions().max(self.subscribed_at_end)
    }

    /// Leaves all topics, after a last try to deliver what waits for room.
    fn leave(&mut self) {
        if let Some(waits) = self.waits.take() {
            waits.end(&self.outbox, &self.hub.metrics);
        }
        self.subscribed_at_end = self.subscriptions();
        self.known = KnownTopics::default();
    }
}

impl Client for TopicClient {
    fn metrics(&self) -> &Metrics {
        &self.hub.metrics
    }

    fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    fn rate(&mut self) -> &mut RateLimiter {
        &mut self.rate
    }

    fn next_read(&mut self, now: Instant) -> Option<Instant> {
        self.rate.next_read(now).max(self.pace.next_read(now))
    }

    fn receive(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) -> Result<(), Flood> {
        self.messages = self.messages.saturating_add(1);
        self.hub.metrics.hot().wires.add(self.topics.dialect().wire.number());
        self.sign_of_life = now;
        self.pace.charge(0, now);
        self.carry_out(text, 0, now, waker, deferred);
        Ok(())
    }

    fn takes_binary(&self) -> bool {
        true
    }

    fn receive_binary(
        &mut self,
        bytes: &[u8],
        now: Instant,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<(), Flood> {
        let text = std::str::from_utf8(bytes).ok().filter(|_| self.topics.dialect().reads_binary);
        self.receive(text.unwrap_or_default(), now, waker, deferred)
    }

    fn is_waiting(&self) -> bool {
        self.waits.is_some()
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        if self.next_sign_of_life().is_some_and(|next| now >= next) {
            self.pong(now);
        }
        while let Some(waits) = self.waits.take() {
            match waits.poll(&self.outbox, &self.hub.metrics, cx, now, deferred) {
                Polled::Waits(waits) => {
                    self.waits = Some(waits);
                    return Poll::Pending;
                }
                Polled::Decided(deciding, decided) => {
                    let Deciding { topic, text, at, .. } = *deciding;
                    self.note(Arc::clone(&topic), decided);
                    // What could not be decided is asked again when the client says it again.
                    let at = if self.known.get(&topic).is_some() { at } else { at + 1 };
                    self.carry_out(&text, at, now, cx.waker(), deferred);
                }
                Polled::Over => {}
            }
        }
        Poll::Ready(())
    }

    fn next_look(&self) -> Option<Instant> {
        let next = self.waits.as_ref()?.next_look();
        next.into_iter().chain(self.next_sign_of_life()).min()
    }

    fn take_answered(&self) -> bool {
        self.has_answered.take()
    }

    /// These clients know no such word, and dial again after any close.
    fn goaway(&self, _: u64) -> Option<Bytes> {
        None
    }

    fn wire(&self) -> Option<&'static str> {
        Some(self.topics.dialect().wire.name())
    }

    fn messages(&self) -> u32 {
        self.messages
    }

    /// Without the names of the topics, which are many.
    fn place(&self) -> String {
        format!("{}/{}", self.topics.dialect().wire, self.subscriptions())
    }

    fn end(&mut self, _: LeaveReason, _: Option<Instant>, why: &str) {
        self.why = Some(why.into());
        self.leave();
    }
}

impl Drop for TopicClient {
    fn drop(&mut self) {
        self.leave();
        let why = self.why.take().unwrap_or_else(|| "the upgrade was refused or lost".into());
        let connection = self.outbox.id().number();
        self.hub.observe(|| RelayEvent::Disconnected { connection, why: why.into() });
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;

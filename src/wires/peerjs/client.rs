//! One client of PeerJS, without its socket.
//!
//! It claims its id before anything is read from it, since the library speaks as soon as its socket is open. What is refused is
//! said in the library's own words, and the connection closes. There is no word for "busy" or "too fast": who is too fast, or
//! says much to one that reads slowly, is read from later.

#[path = "enter.rs"]
mod enter;

use std::cell::Cell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::identity::Identity;
use super::ids::{Author, Ids, Message, Posted};
use super::text;
use crate::auth::JoinRequest;
use crate::budget::Charge;
use crate::limits::{PEERJS_CLIENT_BYTES, PEERJS_ID_BYTES};
use crate::metrics::Metrics;
use crate::outbox::{CloseRequest, Outbox};
use crate::peer::{Client, Flood, Hub, RelayEvent};
use crate::quota::{Network, Pace, RateLimiter};
use crate::room::{Deferred, LeaveReason, Refusal};
use crate::wire::Wire;
use crate::wires::blocked::Patience;
use enter::Stage;

/// One client of PeerJS.
#[derive(Debug)]
pub(super) struct PeerClient {
    hub: Arc<Hub>,
    ids: Arc<Ids>,
    outbox: Arc<Outbox>,
    rate: RateLimiter,
    pace: Pace,
    /// As what its address counts.
    network: Option<Network>,
    who: Arc<Identity>,
    stage: Stage,
    /// What it says to one that has no room for it yet.
    blocked: Option<Box<Blocked>>,
    messages: u32,
    has_answered: Cell<bool>,
    /// Why its connection ended, for the observer.
    why: Option<Box<str>>,
    _memory: Charge,
}

/// A message for which its receiver has no room yet.
#[derive(Debug)]
struct Blocked {
    key: Box<str>,
    id_json: Box<str>,
    frame: Bytes,
    may_be_held: bool,
    patience: Patience,
    /// The memory of all that.
    _memory: Charge,
}

/// Who a client is, and where.
pub(super) struct Newcomer {
    pub who: Identity,
    pub network: Option<Network>,
    /// What is asked about it; a refusal if it cannot be let in anyway.
    pub request: Result<JoinRequest, Refusal>,
}

impl PeerClient {
    /// A client that claims its id as soon as its connection serves it.
    pub(super) fn new(
        hub: Arc<Hub>,
        ids: Arc<Ids>,
        outbox: Arc<Outbox>,
        rate: RateLimiter,
        newcomer: Newcomer,
    ) -> Self {
        let Newcomer { who, network, request } = newcomer;
        let bytes = size_of::<Self>() + size_of::<Identity>() + who.bytes() + PEERJS_CLIENT_BYTES;
        Self {
            _memory: outbox.sender().purse().charge_anyway(bytes),
            pace: rate.pace(),
            hub,
            ids,
            outbox,
            rate,
            network,
            who: Arc::new(who),
            stage: Stage::Begins(Box::new(request)),
            blocked: None,
            messages: 0,
            has_answered: Cell::new(false),
            why: None,
        }
    }

    fn say(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) {
        let Some(saying) = text::parse(text) else { return };
        let may_be_held = saying.may_be_held();
        if saying.dst.len() > PEERJS_ID_BYTES {
            // Nobody can have it.
            if may_be_held {
                self.answer_expire(saying.dst_json);
            }
            return;
        }
        self.pace.charge(1, now);
        let key = self.who.key_of(&saying.dst);
        let frame = text::relayed(&saying, &self.who.json);
        let message = Message { key: &key, id_json: saying.dst_json, frame: &frame, may_be_held };
        let posted = self.ids.post(message, self.as_author(), waker, true, now);
        if let Posted::NoRoom { outbox, .. } = posted {
            // An earlier message of the same read may still be queued there.
            deferred.add(&outbox);
            // What waits is bounded by one for each connection, so it may be charged anyway.
            let bytes = frame.len() + key.len() + saying.dst_json.len() + size_of::<Blocked>();
            let _memory = self.outbox.sender().purse().charge_anyway(bytes);
            let (key, id_json) = (key.as_str().into(), saying.dst_json.into());
            let blocked = Blocked { key, id_json, frame, may_be_held, patience: Patience::since(now), _memory };
            self.blocked = Some(Box::new(blocked));
        } else {
            self.settle(posted, message, deferred);
        }
    }

    /// Does what is left to do for a message that does not wait.
    fn settle(&self, posted: Posted, message: Message<'_>, deferred: &mut Deferred) {
        match posted {
            Posted::Queued(outbox) => {
                self.hub.metrics.hot().count_relayed(1, message.frame.len());
                deferred.add(&outbox);
            }
            Posted::Held { until: Some(until) } => {
                let (ids, key) = (Arc::downgrade(&self.ids), Box::<str>::from(message.key));
                // Without a runtime the relay ends as well.
                let Ok(runtime) = Handle::try_current() else { return };
                runtime.spawn(async move {
                    sleep_until(until).await;
                    if let Some(ids) = ids.upgrade() {
                        ids.expire(&key, Instant::now());
                    }
                });
            }
            Posted::Nobody if message.may_be_held => self.answer_expire(message.id_json),
            Posted::Held { until: None } | Posted::Nobody | Posted::NoRoom { .. } => {}
        }
    }

    /// Says that what the client has just said to an id reaches nobody.
    fn answer_expire(&self, id_json: &str) {
        self.outbox.answer(text::expire(id_json, &self.who.json));
        self.has_answered.set(true);
    }

    /// Tries again to deliver what waits; whether it waits no longer.
    fn try_again(
        &mut self,
        mut blocked: Box<Blocked>,
        cx: &Context<'_>,
        now: Instant,
        deferred: &mut Deferred,
    ) -> bool {
        let is_due = blocked.patience.is_due(now);
        let message = blocked.message();
        let posted = self.ids.post(message, self.as_author(), cx.waker(), is_due, now);
        let Posted::NoRoom { outbox, is_memory } = posted else {
            self.settle(posted, message, deferred);
            return true;
        };
        if blocked.patience.is_over(now) {
            if is_memory {
                self.outbox.request_close(CloseRequest::NoMemory);
            } else {
                // Its id is free at once, and then the message is for who comes next with it.
                outbox.request_close(CloseRequest::TooSlow);
            }
        }
        blocked.patience.note(now);
        self.blocked = Some(blocked);
        false
    }

    fn as_author(&self) -> Author<'_> {
        Author { who: &self.who, sender: self.outbox.sender(), network: self.network }
    }

    /// Gives its id back, after a last try to deliver what waits for room.
    fn leave(&mut self) {
        if let Some(blocked) = self.blocked.take() {
            let (message, now) = (blocked.message(), Instant::now());
            let posted = self.ids.post(message, self.as_author(), Waker::noop(), true, now);
            match posted {
                Posted::NoRoom { outbox, .. } => outbox.give_up(self.outbox.sender()),
                posted => self.settle(posted, message, &mut Deferred::default()),
            }
        }
        self.ids.release(&self.who, &self.outbox);
    }
}

impl Blocked {
    fn message(&self) -> Message<'_> {
        Message { key: &self.key, id_json: &self.id_json, frame: &self.frame, may_be_held: self.may_be_held }
    }
}

impl Client for PeerClient {
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
        self.hub.metrics.hot().wires.add(Wire::PeerJs.number());
        self.pace.charge(0, now);
        self.say(text, now, waker, deferred);
        Ok(())
    }

    /// The library never sends any, and its own server fell silent at one.
    fn takes_binary(&self) -> bool {
        true
    }

    fn receive_binary(&mut self, _: &[u8], now: Instant, _: &Waker, _: &mut Deferred) -> Result<(), Flood> {
        self.messages = self.messages.saturating_add(1);
        self.pace.charge(0, now);
        Ok(())
    }

    fn is_waiting(&self) -> bool {
        self.blocked.is_some() || !matches!(self.stage, Stage::Open)
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        if let Some(blocked) = self.blocked.take() {
            return if self.try_again(blocked, cx, now, deferred) { Poll::Ready(()) } else { Poll::Pending };
        }
        if matches!(self.stage, Stage::Open) {
            return Poll::Ready(());
        }
        self.enter(cx);
        if matches!(self.stage, Stage::Open) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn next_look(&self) -> Option<Instant> {
        self.blocked.as_ref().map(|blocked| blocked.patience.next_look())
    }

    fn take_answered(&self) -> bool {
        self.has_answered.take()
    }

    /// The library knows no such word. Whether it dials again is up to the page.
    fn goaway(&self, _: u64) -> Option<Bytes> {
        None
    }

    fn wire(&self) -> Option<&'static str> {
        Some(Wire::PeerJs.name())
    }

    fn messages(&self) -> u32 {
        self.messages
    }

    /// Its id, without its key, which may be a token.
    fn place(&self) -> String {
        format!("{}/{:?}", Wire::PeerJs, self.who.id())
    }

    fn end(&mut self, _: LeaveReason, _: Option<Instant>, why: &str) {
        self.why = Some(why.into());
        self.leave();
    }
}

impl Drop for PeerClient {
    fn drop(&mut self) {
        self.leave();
        let why = self.why.take().unwrap_or_else(|| "the upgrade was refused or lost".into());
        let connection = self.outbox.id().number();
        self.hub.observe(|| RelayEvent::Disconnected { connection, why: why.into() });
    }
}

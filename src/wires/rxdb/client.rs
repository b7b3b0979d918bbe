//! One client of RxDB, without its socket.
//!
//! It hears its id at once, and then what happens in its rooms. There is no word for an error: what the wire does not know, and a
//! room that takes nobody now, closes the connection, after which the client dials again and again; so a room that it may not enter
//! is silence. Whoever is too fast, or sends to one that reads slowly, is read from later.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::rooms::{Full, Membership, Rooms};
use super::{Command, Id, Signal, init, parse};
use crate::auth::{Answer, Denial, JoinRequest};
use crate::budget::Charge;
use crate::limits::{DELIVERIES_A_TURN, TOPIC_BYTES};
use crate::metrics::Metrics;
use crate::outbox::{CloseRequest, Outbox, Topic};
use crate::peer::{Client, Flood, Hub, JoinRefusal, RelayEvent};
use crate::quota::{Pace, RateLimiter};
use crate::room::names::{PeerId, RoomName};
use crate::room::{Deferred, ErrorCode, LeaveReason, Refusal};
use crate::wire::Wire;
use crate::wires::blocked::Blocked;
use crate::wires::known::{Known, KnownTopics, Standing};
use crate::wires::refused::{self, Wanted};
use crate::wires::said::Said;
use crate::wires::signalled::Signalled;
use crate::wires::waits::{Deciding, Polled, Waits};

/// One client of RxDB.
#[derive(Debug)]
pub(in crate::wires) struct RxDbClient {
    hub: Arc<Hub>,
    rooms: Arc<Rooms>,
    outbox: Arc<Outbox>,
    rate: RateLimiter,
    pace: Pace,
    id: Id,
    said: Box<Said>,
    _memory: Charge,
    /// The rooms that it is in, and those that it may not enter.
    known: KnownTopics<Membership>,
    waits: Option<Waits>,
    /// How many lists it has caused since others had their turns.
    deliveries: usize,
    /// Whether its connection is about to be closed for what it said.
    is_refused: bool,
    messages: u32,
    /// Where it was when its connection ended, and why that did.
    ended: Option<Box<(String, String)>>,
}

impl RxDbClient {
    /// A client with this id in no room, whose upgrade said that. It hears its id.
    pub(in crate::wires) fn new(
        hub: Arc<Hub>,
        rooms: Arc<Rooms>,
        outbox: Arc<Outbox>,
        rate: RateLimiter,
        id: Id,
        said: Said,
    ) -> Self {
        outbox.announce(outbox.sender(), Topic::Start, init(id));
        Self {
            _memory: outbox.sender().purse().charge_anyway(size_of::<Self>() + said.bytes()),
            pace: rate.pace(),
            said: Box::new(said),
            known: KnownTopics::default(),
            waits: None,
            deliveries: 0,
            is_refused: false,
            messages: 0,
            ended: None,
            hub,
            rooms,
            outbox,
            rate,
            id,
        }
    }

    fn carry_out(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) {
        match parse(text) {
            Command::Join(name) => self.join(&name, now, deferred),
            Command::Signal(Signal { sender, .. }) if sender.as_deref() != Some(self.id.as_str()) => {
                self.close(CloseRequest::BadMessage);
            }
            Command::Signal(signal) => self.signal(&signal, text, now, waker, deferred),
            Command::Ping => {}
            Command::Bad => self.close(CloseRequest::BadMessage),
        }
    }

    /// Enters a room, or asks who decides whether it may.
    fn join(&mut self, name: &str, now: Instant, deferred: &mut Deferred) {
        if self.known.get(name).is_some() {
            return;
        }
        let request = match self.request(name) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(name, &refusal),
        };
        match self.hub.authorize(&request) {
            Answer::Now(answer) => self.enter(name.into(), answer.map(drop), now, deferred),
            Answer::Later(decision) => {
                let Some(_memory) = self.outbox.sender().purse().charge(name.len() + self.said.bytes()) else {
                    return self.refuse(name, &Full::NoMemory.into());
                };
                let deciding = Deciding { decision, topic: name.into(), text: String::new(), at: 0, _memory };
                self.waits = Some(Waits::Answer(Box::new(deciding)));
            }
        }
    }

    /// What is asked about a room that is new to the client.
    fn request(&mut self, name: &str) -> Result<JoinRequest, Refusal> {
        if !self.known.make_room(name.len()) {
            return Err(Refusal::new(ErrorCode::RoomFull, "you are in as many rooms as you may be"));
        }
        self.rate.take_join().map_err(|over| {
            self.hub.metrics.refusals.add(over.number());
            JoinRefusal::from(over)
        })?;
        Ok(Said::clone(&self.said).request(&self.outbox, Wire::RxDb, name))
    }

    /// Enters a room, if that was allowed.
    fn enter(&mut self, name: Arc<str>, decided: Result<(), Denial>, now: Instant, deferred: &mut Deferred) {
        let Some(_memory) = self.outbox.sender().purse().charge(TOPIC_BYTES + 2 * name.len()) else {
            return self.refuse(&name, &Full::NoMemory.into());
        };
        let entered = decided
            .map_err(Refusal::from)
            .and_then(|()| self.rooms.enter(&name, self.id, &self.outbox, deferred).map_err(Refusal::from));
        let standing = match entered {
            Ok((membership, members)) => {
                // As much as its coming delivers, and its going.
                self.pace.charge(2 * members, now);
                self.deliveries += members;
                if self.deliveries >= DELIVERIES_A_TURN {
                    self.deliveries = 0;
                    self.waits = Some(Waits::Turn { is_over: false });
                }
                self.hub.metrics.joins.add(1);
                let connection = self.outbox.id().number();
                self.hub.observe(|| RelayEvent::Joined {
                    connection,
                    room: room(&name),
                    id: self.peer_id(),
                    name: None,
                });
                Standing::Subscribed(membership)
            }
            Err(refusal) => {
                self.refuse(&name, &refusal);
                Standing::Refused
            }
        };
        self.known.push(Known { name, standing, _memory });
    }

    /// Says in the log, and tells the observer, that the client was not let into a room, and closes, unless that is so for ever.
    fn refuse(&mut self, name: &str, refusal: &Refusal) {
        refused::note(&self.hub, &self.rate, &self.outbox, &Wanted::Join, room(name), refusal);
        if refusal.code != ErrorCode::Unauthorized {
            self.close(CloseRequest::Denied { retryable: true });
        }
    }

    fn close(&mut self, request: CloseRequest) {
        self.is_refused = true;
        self.outbox.request_close(request);
    }

    fn signal(&mut self, signal: &Signal<'_>, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) {
        let (Some(room), Some(receiver)) = (&signal.room, &signal.receiver) else { return };
        let Some(Known { standing: Standing::Subscribed(membership), .. }) = self.known.get(room) else { return };
        match membership.signal(receiver, text, waker, deferred) {
            Signalled::Nobody => {}
            Signalled::Queued(bytes) => self.hub.metrics.hot().count_relayed(1, bytes),
            Signalled::Blocked(frame, receiver) => {
                let blocked = Blocked::new(frame, vec![receiver], &self.outbox, now);
                self.waits = Some(Waits::Room(Box::new(blocked)));
            }
        }
    }

    fn peer_id(&self) -> PeerId {
        PeerId::of_wire(self.id.as_str())
    }

    /// The first of its rooms, how many more there are, and its id.
    fn whereabouts(&self) -> String {
        let mut rooms = self.known.subscribed();
        match (rooms.next(), rooms.count()) {
            (None, _) => format!("{}/{}", Wire::RxDb, self.id.as_str()),
            (Some(name), 0) => format!("{:?}/{}", room(name).as_str(), self.id.as_str()),
            (Some(name), more) => format!("{:?}+{more}/{}", room(name).as_str(), self.id.as_str()),
        }
    }

    /// Leaves its rooms, after a last try to deliver what waits for room.
    fn leave(&mut self, reason: LeaveReason) {
        if let Some(waits) = self.waits.take() {
            waits.end(&self.outbox, &self.hub.metrics);
        }
        let (connection, id) = (self.outbox.id().number(), self.peer_id());
        // The clients would give up the connections that they are about to make, which go on without the relay.
        let is_silent = self.hub.drain.has_begun();
        for Known { name, standing, .. } in std::mem::take(&mut self.known) {
            let Standing::Subscribed(mut membership) = standing else { continue };
            if is_silent {
                membership.end_silently();
            }
            drop(membership);
            self.hub.observe(|| RelayEvent::Left { connection, room: room(&name), id: id.clone(), reason });
        }
    }
}

/// A room as who decides, the log and the observer know it.
fn room(name: &str) -> RoomName {
    RoomName::of_topic(Wire::RxDb, name)
}

impl From<Full> for Refusal {
    fn from(full: Full) -> Self {
        let code = if full == Full::Members { ErrorCode::RoomFull } else { ErrorCode::Unavailable };
        Self::new(code, full.to_string())
    }
}

impl Client for RxDbClient {
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
        self.hub.metrics.hot().wires.add(Wire::RxDb.number());
        self.pace.charge(0, now);
        self.carry_out(text, now, waker, deferred);
        Ok(())
    }

    fn takes_binary(&self) -> bool {
        true
    }

    /// Its own server reads both alike.
    fn receive_binary(
        &mut self,
        bytes: &[u8],
        now: Instant,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<(), Flood> {
        self.receive(std::str::from_utf8(bytes).unwrap_or_default(), now, waker, deferred)
    }

    fn is_waiting(&self) -> bool {
        self.waits.is_some() || self.is_refused
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        while let Some(waits) = self.waits.take() {
            match waits.poll(&self.outbox, &self.hub.metrics, cx, now, deferred) {
                Polled::Waits(waits) => {
                    self.waits = Some(waits);
                    return Poll::Pending;
                }
                Polled::Decided(deciding, decided) => self.enter(deciding.topic, decided, now, deferred),
                Polled::Over => {}
            }
        }
        if self.is_refused { Poll::Pending } else { Poll::Ready(()) }
    }

    fn next_look(&self) -> Option<Instant> {
        self.waits.as_ref()?.next_look()
    }

    fn take_answered(&self) -> bool {
        false
    }

    /// Its clients know no such word, and dial again after any close.
    fn goaway(&self, _: u64) -> Option<Bytes> {
        None
    }

    fn wire(&self) -> Option<&'static str> {
        Some(Wire::RxDb.name())
    }

    fn messages(&self) -> u32 {
        self.messages
    }

    fn place(&self) -> String {
        self.ended.as_ref().map_or_else(|| self.whereabouts(), |ended| ended.0.clone())
    }

    fn end(&mut self, reason: LeaveReason, _: Option<Instant>, why: &str) {
        self.ended = Some(Box::new((self.whereabouts(), why.to_owned())));
        self.leave(reason);
    }
}

impl Drop for RxDbClient {
    fn drop(&mut self) {
        self.leave(LeaveReason::Closed);
        let why = self.ended.take().map_or_else(|| "the upgrade was refused or lost".into(), |ended| ended.1);
        let connection = self.outbox.id().number();
        self.hub.observe(|| RelayEvent::Disconnected { connection, why });
    }
}

//! The outbox of one connection: the frames that are queued for its client, and how they get to its socket.
//!
//! # How much may be queued
//! Each sender has a **share** of [`SHARE_MESSAGES`](crate::limits::SHARE_MESSAGES) and [`SHARE_BYTES`] in each
//! receiver's outbox. These words describe what happens when a client sends faster than another one reads:
//!
//! - A share is **full** when the sender's next message exceeds it. [`Outbox::push`] returns [`Pushed::Full`], and the
//!   sender is paused: the relay does not read from it, for [`PAUSE`](crate::limits::PAUSE) at most, so that a burst
//!   slows down to the pace of its receiver.
//! - An outbox is **stalled** when frames are queued and its socket has accepted nothing for [`STALL`](crate::limits::STALL).
//! - An outbox is **crowded** by an address when its client is away, or stalled, and the senders of that address have
//!   [`ADDRESS_SHARES`](crate::limits::ADDRESS_SHARES) shares there together. It counts as full for them.
//! - A receiver is **busy** for a sender from the moment that the sender gives up ([`Outbox::give_up`]), because the
//!   outbox is stalled or the pause is over, until the share is at most half full. Meanwhile the sender's messages are
//!   refused with `peer_busy`. An outbox that is full as a whole refuses a message in the same way, without a pause.
//!
//! The relay's own messages do not count towards any share. So no sender can use up the room of another, and none can
//! end another's connection: a connection is closed as too slow only when its socket has accepted nothing for
//! [`WRITE_DEADLINE`](crate::limits::WRITE_DEADLINE).
//!
//! # Who writes
//! A task that has queued a frame writes it to the socket at once ([`Outbox::flush`]), unless another task is writing,
//! the socket is not writable, or the stream does not allow it ([`Sink::is_direct`]). So a message needs no other task
//! to wake up. One task writes at a time, and it also writes what others queue meanwhile. Once the socket accepts no
//! more, the connection's own task waits for it and writes the rest ([`Outbox::poll_flush`]). Frames leave in the order
//! in which they were queued, except that pings and pongs go first.
//!
//! # What a client that may resume was sent
//! An outbox that [keeps](Outbox::keep) what it has written until the client is known to have it. When the connection is
//! lost, or another one takes its place, [`Outbox::suspend`] and [`Outbox::hand_over`] move all that waits and all that is
//! kept to another outbox. Kept messages and those that wait share one bound: `max_bytes`.
//!
//! # Whose memory it is
//! A frame that waits or is kept is charged to the purse of whoever caused it ([`Sender`]): the sender of a message, whose
//! coming or going the relay announces, the client itself for its errors. What comes of each coming once is charged to who
//! came, whoever ends that: `peer_joined` and `peer_left`, `knock` and `knock_gone`. What can be repeated is charged to who
//! repeats it: `host`, `room`, and the `knock`s that a host is told again, to who gave the command, or came or went as the host.
//! So nobody fills the budget of another one by knocking, nor by telling a host again and again who knocks. A message for
//! which there is no memory is refused like one for a receiver that is busy, after what is kept just in case has been
//! forgotten. The relay's own messages are charged in any case.

mod cancel;
mod compact;
mod ending;
pub(crate) mod frame;
mod handover;
#[cfg(feature = "wires")]
mod patient;
mod queue;
mod queued;
mod replay;
mod sender;
mod share;
mod sink;
mod topic;
mod writer;

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::ops::DerefMut;
#[cfg(any(test, fuzzing))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use crate::limits::{ANNOUNCED_BYTES, ANNOUNCEMENTS, ERROR_BYTES, ERROR_MESSAGES, SHARE_BYTES};
use crate::sync::Mutex;
#[cfg(feature = "wires")]
use crate::wire::Wire;
pub(crate) use ending::CloseRequest;
use queue::State;
use queued::{Origin, Queued};
pub(crate) use sender::{ConnectionId, Sender};
use share::Shares;
pub(crate) use sink::Sink;
pub(crate) use topic::Topic;

/// What became of a message that was pushed into an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is queued.
    Queued,
    /// It is not queued: the sender's share is full. The sender may push it again once it is woken.
    Full,
    /// It is not queued: the receiver is busy for this sender, its outbox is full as a whole, or there is no memory for it.
    Busy,
    /// It is dropped: the connection is about to end.
    Closed,
}

/// What a client is sent again, because it may not have received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// How many messages.
    pub messages: usize,
    /// Their frames, in bytes.
    pub bytes: usize,
}

/// The frames that are queued for one client.
pub(crate) struct Outbox {
    /// The client as the cause of messages.
    owner: Sender,
    /// The client's address, if it is known.
    address: Option<IpAddr>,
    /// The client's wire; none if that is the relay's own.
    #[cfg(feature = "wires")]
    wire: Option<Wire>,
    /// When the connection was opened.
    opened: Instant,
    /// The writing end of the client's stream, once the upgrade is done.
    sink: OnceLock<Box<dyn Sink>>,
    /// Bytes of peers' messages that may be queued here in total. The shares alone are no bound, because senders come
    /// and go.
    max_bytes: usize,
    state: Mutex<State>,
}

/// How an outbox stands, for the connection's task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status {
    /// Why the relay ends the connection, if it does.
    pub(crate) close_request: Option<CloseRequest>,
    /// Since when the socket has taken nothing although frames wait.
    pub(crate) stalled_since: Option<Instant>,
    /// When the client was last seen to read: the socket accepted bytes after it had not been writable.
    pub(crate) read_at: Option<Instant>,
}

/// What waits for clients.
#[cfg(feature = "admin")]
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Messages, the relay's own too.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Clients whose sockets accept nothing.
    pub stalled: usize,
}

impl Outbox {
    /// An empty outbox for the client `owner`. It queues at most `max_bytes` of peers' messages, or [`SHARE_BYTES`] if that
    /// is more. Nothing is written until it is [connected](Self::connect).
    pub(crate) fn of(owner: Sender, max_bytes: usize) -> Self {
        Self {
            owner,
            address: None,
            #[cfg(feature = "wires")]
            wire: None,
            opened: Instant::now(),
            sink: OnceLock::new(),
            max_bytes: max_bytes.max(SHARE_BYTES),
            state: Mutex::new(State::default()),
        }
    }

    /// The same, for a client at this address.
    pub(crate) fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }

    /// The same, for a client that speaks this wire of another library.
    #[cfg(feature = "wires")]
    pub(crate) fn on(self, wire: Wire) -> Self {
        Self { wire: Some(wire), ..self }
    }

    /// An outbox of a connection that has a number of its own among all in this process, and any memory.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(max_bytes: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = ConnectionId::new(NEXT.fetch_add(1, Ordering::Relaxed));
        Self::of(Sender::new(id, crate::budget::boundless()), max_bytes)
    }

    /// Writes to `sink` from now on. Only the first call has an effect.
    pub(crate) fn connect(&self, sink: Box<dyn Sink>) {
        let _ = self.sink.set(sink);
    }

    /// Where it writes to, once that is known: whoever writes there must know that nothing waits here.
    pub(crate) fn sink(&self) -> Option<&(dyn Sink + 'static)> {
        self.sink.get().map(|sink| &**sink)
    }

    /// The connection of this outbox's client; the last one if it has none.
    pub(crate) fn id(&self) -> ConnectionId {
        self.owner.id
    }

    /// The address of its client, if it is known.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The wire of its client; none if that is the relay's own.
    #[cfg(all(feature = "wires", feature = "admin"))]
    pub(crate) fn wire(&self) -> Option<Wire> {
        self.wire
    }

    /// When its connection was opened.
    pub(crate) fn opened(&self) -> Instant {
        self.opened
    }

    /// Its client as the cause of messages.
    pub(crate) fn sender(&self) -> &Sender {
        &self.owner
    }

    /// Queues a message of `sender`. On [`Pushed::Full`], `waker` is woken once there may be room, and the sender
    /// pushes again. Call [`flush`](Self::flush) afterwards, when no lock is held.
    pub(crate) fn push(&self, sender: &Sender, frame: &Bytes, waker: &Waker) -> Pushed {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.is_closed {
            return Pushed::Closed;
        }
        let has_room = state.has_room(frame.len(), self.max_bytes);
        // The messages that are kept need their room until the next pong.
        let is_kept_full = !has_room && state.ask_for_pong();
        let waits = !state.kept.as_ref().is_some_and(|kept| kept.is_away);
        let is_crowded = (!waits || state.is_stalled()) && state.is_crowded_by(sender, frame.len());
        let share = state.shares.entry(sender.id);
        let pushed = if share.is_busy {
            Pushed::Busy
        } else if has_room && !is_crowded && share.fits(frame.len()) {
            if let Some(queued) = replay::queued(sender, frame, &mut state.kept) {
                share.add(frame.len());
                state.bytes += frame.len();
                self.enqueue(state, queued);
                return Pushed::Queued;
            }
            // A pause would pin the message meanwhile.
            Pushed::Busy
        } else if waits && (has_room || is_kept_full) {
            share.wait(waker);
            // A socket may accept bytes before the kernel reports it as writable: its task tries. Also while a write is
            // under way, which may be about to find the socket not writable.
            state.wake_owner();
            Pushed::Full
        } else {
            share.set_busy();
            Pushed::Busy
        };
        state.shares.forget_if_idle(sender.id);
        pushed
    }

    /// Ends the sender's wait for room: this peer is busy for it until its share is at most half full.
    pub(crate) fn give_up(&self, sender: &Sender) {
        let mut state = self.lock();
        state.shares.entry(sender.id).set_busy();
        state.shares.forget_if_idle(sender.id);
    }

    /// Queues a message of the relay itself, which is charged to its `cause`. It always fits, because each join, each knock and
    /// each command of a host first checks [`room_for_announcements`](Self::room_for_announcements); what the members and those
    /// who knock may cause without that is bounded by how many they are.
    /// What is needless because of it, and was not written yet, is dropped, and so is itself if it says nothing new ([`Topic`]).
    pub(crate) fn announce(&self, cause: &Sender, topic: Topic, frame: Bytes) {
        self.announce_to(&mut self.lock(), cause, topic, frame);
    }

    /// Whether `more` messages of the relay fit.
    pub(crate) fn room_for_announcements(&self, more: usize) -> bool {
        self.lock().announcements.messages() + more <= ANNOUNCEMENTS
    }

    /// The same, and if need be without what is about those who came and are gone again since the client read: it forgets them,
    /// and what they said.
    pub(crate) fn make_room_for_announcements(&self, more: usize) -> bool {
        let mut state = self.lock();
        if state.announcements.messages() + more > ANNOUNCEMENTS {
            state.forget_visits();
        }
        state.announcements.messages() + more <= ANNOUNCEMENTS
    }

    /// How many messages of the relay wait.
    #[cfg(test)]
    pub(crate) fn announcements(&self) -> usize {
        self.lock().announcements.messages()
    }

    /// Whether the client has read enough of its earlier joins to join one more room.
    pub(crate) fn room_for_join(&self) -> bool {
        let state = self.lock();
        state.announcements.messages() + 2 <= ANNOUNCEMENTS && state.announcements.bytes() <= ANNOUNCED_BYTES
    }

    /// What waits here.
    #[cfg(feature = "admin")]
    pub(crate) fn waiting(&self) -> Waiting {
        let state = self.lock();
        let bytes = state.bytes + state.announcements.bytes() + state.errors.bytes();
        Waiting { messages: state.queue.len(), bytes, stalled: usize::from(state.is_stalled()) }
    }

    /// Queues an `error` that answers a message of the client. It always fits, because the relay stops reading from a
    /// client that does not read its errors ([`poll_answered`](Self::poll_answered)). Before that, one more message can
    /// cause at most one error for each other member of the room.
    pub(crate) fn answer(&self, frame: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            state.errors.add(frame.len());
            self.enqueue(&mut state, Queued::anyway(frame, Origin::Error, &self.owner));
        }
    }

    /// Ready while fewer than [`ERROR_MESSAGES`] and [`ERROR_BYTES`] of errors are queued, and there is memory for more.
    /// Only for the connection's task, which is woken when half of them are written.
    pub(crate) fn poll_answered(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        let has_room = state.errors.messages() < ERROR_MESSAGES && state.errors.bytes() < ERROR_BYTES;
        if state.errors.messages() == 0 || (has_room && self.owner.purse.has(ERROR_BYTES / ERROR_MESSAGES)) {
            return Poll::Ready(());
        }
        state.register_owner(cx.waker());
        state.wake_owner_when_answered = true;
        Poll::Pending
    }

    /// Sends a ping with the next write, before the queued frames.
    pub(crate) fn ping(&self) {
        let mut state = self.lock();
        state.ping = true;
    }

    /// Answers a ping with the next write, before the queued frames. Only the last ping needs an answer (RFC 6455
    /// section 5.5.3).
    pub(crate) fn pong(&self, payload: &[u8]) {
        let mut state = self.lock();
        state.pong = Some(frame::pong(payload));
    }

    /// Since when the socket has accepted nothing although frames are queued.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.lock().stalled_since
    }

    /// Whether at this time the socket had accepted nothing for [`STALL`](crate::limits::STALL), nor has since, although frames
    /// are queued.
    pub(crate) fn was_stalled(&self, at: Instant) -> bool {
        self.lock().was_stalled(at)
    }

    /// Frees the memory that the last burst needed, and what is kept just in case where memory is short. Call it rarely:
    /// the next burst allocates again.
    pub(crate) fn shrink(&self) {
        self.owner.purse.give_back();
        let mut state = self.lock();
        if let Some(kept) = &mut state.kept {
            kept.shrink();
        }
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        if state.shares.is_empty() {
            state.shares = Shares::default();
        }
    }

    fn announce_to(&self, state: &mut State, cause: &Sender, topic: Topic, frame: Bytes) {
        if !state.is_closed && !state.cancel_out(topic) {
            state.announcements.add(frame.len());
            self.enqueue(state, Queued::announcement(frame, topic, cause));
        }
    }

    fn enqueue(&self, state: &mut State, queued: Queued) {
        state.queue.push_back(queued);
        // A socket that is not writable wakes the connection's task itself once it is.
        if !self.is_direct() && !state.awaits_writable {
            state.wake_owner();
        }
    }

    fn is_direct(&self) -> bool {
        self.sink.get().is_some_and(|sink| sink.is_direct())
    }

    fn lock(&self) -> impl DerefMut<Target = State> {
        // No code panics while it holds the lock, so the state is consistent even if the lock is poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("id", &self.owner.id).finish_non_exhaustive()
    }
}

//! The outbox of one connection: the frames that are queued for its client, and how they get to its socket.
//!
//! # How much may be queued
//! Each sender has a **share** of [`SHARE_MESSAGES`](crate::limits::SHARE_MESSAGES) and [`SHARE_BYTES`] in each
//! receiver's outbox. These words describe what happens when a client sends faster than another one reads:
//!
//! - A share is **full** when the sender's next message exceeds it. [`Outbox::push`] returns [`Pushed::Full`], and the
//!   sender is paused: the relay does not read from it, for [`PAUSE`](crate::limits::PAUSE) at most, so that a burst
//!   slows down to the pace of its receiver.
//! - An outbox is **stalled** when frames are queued and its socket has accepted nothing for [`STALL`].
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
//! lost, or another one takes its place, [`Outbox::part`] and [`Outbox::move_to`] move all that waits and all that is
//! kept to another outbox. Kept messages and those that wait share one bound: `max_bytes`.

pub(crate) mod frame;
mod kept;
mod share;
mod sink;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::DerefMut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use crate::limits::{
    ANNOUNCED_BYTES, ANNOUNCEMENTS, ERROR_MESSAGES, SHARE_BYTES, STALL, WRITE_BYTES, WRITE_FRAMES, WRITES_FOR_OTHERS,
};
use crate::sync::Mutex;
use kept::Kept;
use share::Shares;
pub(crate) use sink::Sink;

/// Identifies a connection as a sender. It stays the same however often the connection joins a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderId(u64);

/// What became of a message that was pushed into an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is queued.
    Queued,
    /// It is not queued: the sender's share is full. The sender may push it again once it is woken.
    Full,
    /// It is not queued: the receiver is busy for this sender, or its outbox is full as a whole.
    Busy,
    /// It is dropped: the connection is about to end.
    Closed,
}

/// Why the relay ends a connection of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The relay restarts.
    Restart,
    /// The relay shuts down for good.
    Shutdown,
    /// The client was idle in a full room, and gave way to another one.
    GaveWay,
    /// Another connection of the client took its place.
    TakenOver,
    /// The host of the room removed the client.
    Kicked,
    /// The client waited at a locked room that its URL names, and does not come in.
    Denied {
        /// Whether it may try again.
        retryable: bool,
    },
}

/// The frames that are queued for one client.
pub(crate) struct Outbox {
    id: SenderId,
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
    pub(crate) end: Option<EndReason>,
    /// Since when the socket has taken nothing although frames wait.
    pub(crate) stalled_since: Option<Instant>,
    /// When the client was last seen to read: the socket accepted bytes after it had not been writable.
    pub(crate) read_at: Option<Instant>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    /// How many bytes of the first frame the socket has taken.
    written: usize,
    /// The shares of the senders that have messages queued here, or for which this peer is busy.
    shares: Shares,
    /// Bytes of peers' messages in the queue.
    bytes: usize,
    /// Messages of the relay itself in the queue.
    announcements: usize,
    /// Bytes of them.
    announced_bytes: usize,
    /// `error` messages in the queue.
    errors: usize,
    /// Whether to wake the connection's task when half of the errors are written: it does not read until then.
    wake_owner_when_answered: bool,
    /// Whether to send a ping.
    ping: bool,
    /// The pong to send.
    pong: Option<Bytes>,
    /// Whether a task is writing to the socket now. It does not hold the lock meanwhile.
    is_writing: bool,
    /// Whether to wake the connection's task when that write ends.
    wake_owner_after: bool,
    /// Whether the socket is not writable, because the last write returned [`Poll::Pending`]: then only the
    /// connection's task writes.
    awaits_writable: bool,
    /// Whether a layer in between (TLS) still holds bytes of frames that it was given.
    is_unflushed: bool,
    /// Since when the socket has accepted nothing although frames are queued.
    stalled_since: Option<Instant>,
    /// When the socket last accepted bytes after it had not been writable: the client reads.
    read_at: Option<Instant>,
    /// What [`Sink::taken_below`] returned after the last progress.
    taken_below: u64,
    /// The error of a write by another task, for the connection's task.
    error: Option<io::Error>,
    /// Wakes the connection's task, the owner of the outbox.
    owner: Option<Waker>,
    end: Option<EndReason>,
    is_closed: bool,
    /// How many frames of the queue the write that is under way may write, [`WRITE_FRAMES`] at most.
    offered: u8,
    /// What is kept, if the client may resume.
    kept: Option<Box<Kept>>,
}

#[derive(Debug)]
struct Queued {
    frame: Bytes,
    origin: Origin,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    Sender(SenderId),
    Relay,
    Error,
    /// Pings, pongs and close frames.
    Control,
}

impl Queued {
    /// Whether it is a message, and no control frame.
    fn is_message(&self) -> bool {
        !matches!(self.origin, Origin::Control)
    }
}

/// What moves from one outbox to another.
struct Backlog {
    queue: VecDeque<Queued>,
    shares: Shares,
    kept: Box<Kept>,
}

impl Outbox {
    /// An empty outbox that queues at most `max_bytes` of peers' messages, or [`SHARE_BYTES`] if that is more. Nothing
    /// is written until it is [connected](Self::connect).
    pub(crate) fn new(max_bytes: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = SenderId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, sink: OnceLock::new(), max_bytes: max_bytes.max(SHARE_BYTES), state: Mutex::new(State::default()) }
    }

    /// Writes to `sink` from now on. Only the first call has an effect.
    pub(crate) fn connect(&self, sink: Box<dyn Sink>) {
        let _ = self.sink.set(sink);
    }

    /// The id of this outbox's client as a sender.
    pub(crate) fn id(&self) -> SenderId {
        self.id
    }

    /// Queues a message of `sender`. On [`Pushed::Full`], `waker` is woken once there may be room, and the sender
    /// pushes again. Call [`flush`](Self::flush) afterwards, when no lock is held.
    pub(crate) fn push(&self, sender: SenderId, frame: &Bytes, waker: &Waker) -> Pushed {
        let mut state = self.lock();
        if state.is_closed {
            return Pushed::Closed;
        }
        let has_room = state.has_room(frame.len(), self.max_bytes);
        // The messages that are kept need their room until the next pong.
        let is_kept_full = !has_room && state.ask_for_pong();
        let waits = !state.kept.as_ref().is_some_and(|kept| kept.is_away);
        let share = state.shares.entry(sender);
        let pushed = if share.is_busy {
            Pushed::Busy
        } else if has_room && share.fits(frame.len()) {
            share.add(frame.len());
            state.bytes += frame.len();
            self.enqueue(&mut state, frame.clone(), Origin::Sender(sender));
            return Pushed::Queued;
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
        state.shares.forget_if_idle(sender);
        pushed
    }

    /// Ends the sender's wait for room: this peer is busy for it until its share is at most half full.
    pub(crate) fn give_up(&self, sender: SenderId) {
        let mut state = self.lock();
        state.shares.entry(sender).set_busy();
        state.shares.forget_if_idle(sender);
    }

    /// Queues a message of the relay itself. It always fits, because each join, each knock and each command of a host
    /// first checks [`room_for_announcements`](Self::room_for_announcements).
    pub(crate) fn announce(&self, frame: Bytes) {
        self.announce_to(&mut self.lock(), frame);
    }

    /// Whether `more` messages of the relay fit.
    pub(crate) fn room_for_announcements(&self, more: usize) -> bool {
        self.lock().announcements + more <= ANNOUNCEMENTS
    }

    /// Whether the client has read enough of its earlier joins to join one more room.
    pub(crate) fn room_for_join(&self) -> bool {
        let state = self.lock();
        state.announcements + 2 <= ANNOUNCEMENTS && state.announced_bytes <= ANNOUNCED_BYTES
    }

    /// Queues an `error` that answers a message of the client. It always fits, because the relay stops reading from a
    /// client that does not read its errors ([`poll_answered`](Self::poll_answered)). Before that, one more message can
    /// cause at most one error for each other member of the room.
    pub(crate) fn answer(&self, frame: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            state.errors += 1;
            self.enqueue(&mut state, frame, Origin::Error);
        }
    }

    /// Ready while fewer than [`ERROR_MESSAGES`] errors are queued. Only for the connection's task, which is woken when
    /// half of them are written.
    pub(crate) fn poll_answered(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.errors < ERROR_MESSAGES {
            return Poll::Ready(());
        }
        state.register_owner(cx.waker());
        state.wake_owner_when_answered = true;
        Poll::Pending
    }

    /// Numbers the messages from the next one on, and keeps what is written, until [`forget`](Self::forget). Announces
    /// `first` in the same moment, because another task may queue an error.
    pub(crate) fn keep(&self, first: Option<Bytes>) {
        let mut state = self.lock();
        let unnumbered = state.queue.iter().filter(|queued| queued.is_message()).count();
        state.kept = Some(Box::new(Kept::new(unnumbered)));
        first.into_iter().for_each(|frame| self.announce_to(&mut state, frame));
    }

    /// Keeps nothing any more.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.kept = None;
    }

    /// Notes a pong with this payload; returns whether it proves what the client has received.
    pub(crate) fn confirm(&self, payload: &[u8]) -> bool {
        let Some(number) = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()) else { return false };
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(kept) = &mut state.kept else { return false };
        if !kept.pong(number) {
            return false;
        }
        state.ping |= kept.wants_ping();
        state.shares.wake_all();
        true
    }

    /// Whether a client that has received the messages up to the number `received` can get all the others: they are kept,
    /// and there is room for them, so that the client does not keep others from joining its room.
    pub(crate) fn can_resume_after(&self, received: u64) -> bool {
        let state = self.lock();
        let (in_flight, waiting) = (state.in_flight(), state.announcements);
        state.kept.as_ref().is_some_and(|kept| {
            let fit = kept.announcements_after(received) + waiting <= ANNOUNCEMENTS;
            fit && kept.can_resume_after(received, in_flight)
        })
    }

    /// Moves what waits, and what is kept, to a new outbox that has no connection; none if nothing is kept. Its client
    /// counts as away: who sends more than may wait hears at once that it is busy. The caller makes sure that nobody pushes
    /// meanwhile.
    pub(crate) fn part(&self) -> Option<Self> {
        let mut backlog = self.lock().take_backlog()?;
        backlog.kept.is_away = true;
        let away = Self::new(self.max_bytes);
        away.lock().add_backlog(backlog);
        Some(away)
    }

    /// Moves what waits to `new`, after the message `resumed` and the kept messages whose numbers are above `received`.
    /// Check [`can_resume_after`](Self::can_resume_after) first. The caller makes sure that nobody pushes meanwhile.
    pub(crate) fn move_to(&self, new: &Self, received: u64, resumed: Bytes) {
        let Some(mut backlog) = self.lock().take_backlog() else { return };
        new.announce(resumed);
        let mut state = new.lock();
        let unnumbered = state.queue.iter().filter(|queued| queued.is_message()).count();
        let (again, arrived) = backlog.kept.resume_after(received, unnumbered);
        backlog.queue.drain(..(arrived as usize).min(backlog.queue.len()));
        for queued in again {
            state.account(&queued);
            state.queue.push_back(queued);
        }
        state.add_backlog(backlog);
        state.wake_owner();
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

    /// Asks the connection to end: its task gets the reason from [`poll_write`](Self::poll_write). The first reason counts.
    pub(crate) fn end(&self, reason: EndReason) {
        let mut state = self.lock();
        state.end.get_or_insert(reason);
        state.wake_owner();
    }

    /// Why the connection was asked to end, if it was.
    pub(crate) fn ended(&self) -> Option<EndReason> {
        self.lock().end
    }

    /// Queues the last frame. Later messages are dropped ([`Pushed::Closed`]).
    pub(crate) fn close(&self, last: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            self.enqueue(&mut state, last, Origin::Control);
            state.close();
        }
    }

    /// Closes the outbox and drops the queue: the connection is gone.
    pub(crate) fn discard(&self) {
        let mut state = self.lock();
        state.close();
        state.discard();
    }

    /// Writes as much of the queue as the socket accepts now. The connection's task writes the rest.
    pub(crate) fn flush(&self) {
        if self.is_direct() {
            // The connection's task deals with what is left, and with errors.
            let _ = self.write(&mut Context::from_waker(Waker::noop()), false);
        }
    }

    /// Writes the waiting frames as far as the socket takes them now, and tells how the outbox stands. For the connection's
    /// task alone: it is woken when the socket takes more, when it has frames to write, and when the connection is to end.
    ///
    /// # Errors
    /// When the socket is gone, even if another task found out.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> io::Result<Status> {
        let mut state = self.lock();
        state.register_owner(cx.waker());
        if state.needs_owner() {
            drop(state);
            if let Poll::Ready(Err(error)) = self.write(cx, true) {
                return Err(error);
            }
            state = self.lock();
        }
        Ok(Status { end: state.end, stalled_since: state.stalled_since, read_at: state.read_at })
    }

    /// Writes the queue; ready when it is empty. Only for the connection's task, which is woken when the socket is
    /// writable again, and when another task has queued a frame that this one must write.
    ///
    /// # Errors
    /// When a write failed, here or in another task.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().register_owner(cx.waker());
        self.write(cx, true)
    }

    /// Shuts down the writing end of the stream. Only for the connection's task, once the queue is empty.
    ///
    /// # Errors
    /// When the stream is gone.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.get().map_or(Poll::Ready(Ok(())), |sink| sink.poll_shutdown(cx))
    }

    /// Since when the socket has accepted nothing although frames are queued.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.lock().stalled_since
    }

    /// Whether the socket has accepted nothing for [`STALL`] although frames are queued.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled_since().is_some_and(|since| since.elapsed() >= STALL)
    }

    /// Frees the memory that the last burst needed. Call it rarely: the next burst allocates again.
    pub(crate) fn shrink(&self) {
        let mut state = self.lock();
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        if state.shares.is_empty() {
            state.shares = Shares::default();
        }
    }

    fn announce_to(&self, state: &mut State, frame: Bytes) {
        if !state.is_closed {
            state.announcements += 1;
            state.announced_bytes += frame.len();
            self.enqueue(state, frame, Origin::Relay);
        }
    }

    fn enqueue(&self, state: &mut State, frame: Bytes, origin: Origin) {
        state.queue.push_back(Queued { frame, origin });
        // A socket that is not writable wakes the connection's task itself once it is.
        if !self.is_direct() && !state.awaits_writable {
            state.wake_owner();
        }
    }

    fn write(&self, cx: &mut Context<'_>, is_owner: bool) -> Poll<io::Result<()>> {
        let Some(sink) = self.sink.get() else { return Poll::Pending };
        let mut batches = 0;
        let mut state = self.lock();
        loop {
            if is_owner && let Some(error) = state.error.take() {
                return Poll::Ready(Err(error));
            }
            if state.is_writing {
                // That task also writes what was queued meanwhile.
                state.wake_owner_after |= is_owner;
                return Poll::Pending;
            }
            if state.awaits_writable && !is_owner {
                return Poll::Pending;
            }
            let batch = state.next_batch();
            if batch.is_empty() && !state.is_unflushed {
                state.awaits_writable = false;
                state.stalled_since = None;
                return Poll::Ready(Ok(()));
            }
            if !is_owner && batches == WRITES_FOR_OTHERS {
                state.wake_owner();
                return Poll::Pending;
            }
            batches += 1;
            let skip = state.written;
            (state.is_writing, state.offered) = (true, batch.len() as u8);
            drop(state);
            let (taken, outcome) = write_batch(&**sink, cx, &batch, skip);
            drop(batch);
            state = self.lock();
            state.is_writing = false;
            state.remove_written(taken, self.max_bytes);
            state.note_progress(taken, sink.taken_below());
            if std::mem::take(&mut state.wake_owner_after) {
                state.wake_owner();
            }
            match outcome {
                Poll::Ready(Ok(())) => state.is_unflushed = false,
                Poll::Pending => {
                    state.is_unflushed = true;
                    state.awaits_writable = true;
                    state.stalled_since.get_or_insert_with(Instant::now);
                    if !is_owner {
                        state.wake_owner();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    if state.kept.is_some() {
                        // The client may come back for the queue; no other task writes any more.
                        state.awaits_writable = true;
                    } else {
                        state.close();
                        state.discard();
                    }
                    if is_owner {
                        return Poll::Ready(Err(error));
                    }
                    state.error = Some(error);
                    state.wake_owner();
                    return Poll::Pending;
                }
            }
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
        f.debug_struct("Outbox").field("id", &self.id).finish_non_exhaustive()
    }
}

impl State {
    /// The frames to write next. They stay in the queue until the socket has accepted them.
    fn next_batch(&mut self) -> Batch {
        // A control frame may go between two frames, but not into one (RFC 6455 section 5.4).
        let between = usize::from(self.written > 0).min(self.queue.len());
        let ping = std::mem::take(&mut self.ping).then(|| self.numbered_ping(between));
        let pong = self.pong.take();
        // Only the last ping needs a pong: while the socket is not writable, one is queued, not one for each ping.
        if pong.is_some()
            && let Some(Queued { origin: Origin::Control, frame }) = self.queue.get(between)
            && frame::is_pong(frame)
        {
            self.queue.remove(between);
        }
        for frame in [ping, pong].into_iter().flatten() {
            self.queue.insert(between, Queued { frame, origin: Origin::Control });
        }
        let mut batch = Batch::default();
        for queued in &self.queue {
            if !batch.add(&queued.frame) {
                break;
            }
        }
        batch
    }

    /// The ping that goes after the first `between` frames: with the number of the last message before it, if messages
    /// have numbers.
    fn numbered_ping(&mut self, between: usize) -> Bytes {
        let Some(kept) = &mut self.kept else { return frame::ping(b"") };
        let messages = self.queue.iter().take(between).filter(|queued| queued.is_message()).count();
        let number = kept.ping(messages.saturating_sub(kept.unnumbered));
        frame::ping(number.to_string().as_bytes())
    }

    /// Removes what was written from the queue. Keeps it if the client may resume, within `bound` bytes if it can.
    fn remove_written(&mut self, bytes: usize, bound: usize) {
        self.written += bytes;
        while let Some(first) = self.queue.front()
            && first.frame.len() <= self.written
        {
            self.written -= first.frame.len();
            if let Some(queued) = self.queue.pop_front() {
                self.release(queued.frame.len(), queued.origin);
                if let Some(kept) = &mut self.kept {
                    Self::keep_written(kept, queued, bound);
                    self.ping |= kept.wants_ping();
                }
            }
        }
    }

    fn keep_written(kept: &mut Kept, queued: Queued, bound: usize) {
        if queued.is_message() {
            match kept.unnumbered.checked_sub(1) {
                Some(rest) => kept.unnumbered = rest,
                None => kept.keep(queued, bound),
            }
        }
    }

    /// Whether a peer's message of `bytes` fits. Forgets confirmed messages as far as it needs their room.
    fn has_room(&mut self, bytes: usize, most: usize) -> bool {
        loop {
            let kept = self.kept.as_ref().map_or(0, |kept| kept.bytes());
            let used = self.bytes + kept;
            if used == 0 || used + bytes <= most {
                return true;
            }
            if !self.kept.as_mut().is_some_and(|kept| kept.forget_confirmed()) {
                return false;
            }
        }
    }

    /// Whether a pong may make room: asks for one if none is on its way.
    fn ask_for_pong(&mut self) -> bool {
        let Some(kept) = &self.kept else { return false };
        self.ping |= kept.may_ping();
        kept.bytes() > 0
    }

    /// How many messages in the queue may have arrived although they are not known to be written.
    fn in_flight(&self) -> usize {
        let offered = if self.is_writing { usize::from(self.offered) } else { 0 };
        let messages = self.queue.iter().take(offered).filter(|queued| queued.is_message()).count();
        messages.saturating_sub(self.kept.as_ref().map_or(0, |kept| kept.unnumbered))
    }

    /// Takes what waits and what is kept; none if nothing is kept. A frame that is partly written stays as well, so that
    /// another frame may follow on this connection.
    fn take_backlog(&mut self) -> Option<Backlog> {
        let in_flight = self.in_flight();
        let mut kept = self.kept.take()?;
        kept.note_loss(in_flight);
        let begun = if self.is_writing { usize::from(self.offered) } else { usize::from(self.written > 0) };
        let rest = self.queue.iter().take(begun);
        let rest = rest.map(|queued| Queued { frame: queued.frame.clone(), origin: Origin::Control }).collect();
        let queue = std::mem::replace(&mut self.queue, rest);
        (self.bytes, self.announcements, self.announced_bytes, self.errors) = (0, 0, 0, 0);
        let unnumbered = std::mem::take(&mut kept.unnumbered);
        let queue = queue.into_iter().filter(Queued::is_message).skip(unnumbered).collect();
        // Those who are paused look again, and find the messages where they are now.
        self.shares.wake_all();
        Some(Backlog { queue, shares: std::mem::take(&mut self.shares), kept })
    }

    /// Adds what waited in another outbox behind what waits here. This one must have no shares of its own, because its
    /// client is in no room.
    fn add_backlog(&mut self, backlog: Backlog) {
        for queued in &backlog.queue {
            self.account(queued);
        }
        self.shares.take_busy(&backlog.shares);
        self.queue.extend(backlog.queue);
        self.kept = Some(backlog.kept);
    }

    /// Counts a frame that is added to the queue.
    fn account(&mut self, queued: &Queued) {
        let bytes = queued.frame.len();
        match queued.origin {
            Origin::Sender(sender) => {
                self.bytes += bytes;
                self.shares.entry(sender).add(bytes);
            }
            Origin::Relay => {
                self.announcements += 1;
                self.announced_bytes += bytes;
            }
            Origin::Error => self.errors += 1,
            Origin::Control => {}
        }
    }

    fn release(&mut self, bytes: usize, origin: Origin) {
        match origin {
            Origin::Sender(sender) => {
                self.bytes -= bytes;
                self.shares.release(sender, bytes);
            }
            Origin::Relay => {
                self.announcements -= 1;
                self.announced_bytes -= bytes;
            }
            Origin::Error => {
                self.errors -= 1;
                if self.errors <= ERROR_MESSAGES / 2 && std::mem::take(&mut self.wake_owner_when_answered) {
                    self.wake_owner();
                }
            }
            Origin::Control => {}
        }
    }

    /// Ends the stall if the socket has accepted bytes, even those that a layer in between had buffered before.
    fn note_progress(&mut self, taken: usize, taken_below: u64) {
        if taken > 0 || taken_below != self.taken_below {
            self.taken_below = taken_below;
            if self.stalled_since.take().is_some() {
                self.read_at = Some(Instant::now());
            }
        }
    }

    fn close(&mut self) {
        self.is_closed = true;
        self.shares.wake_all();
    }

    fn discard(&mut self) {
        self.queue = VecDeque::new();
        (self.written, self.bytes, self.is_unflushed) = (0, 0, false);
        self.shares = Shares::default();
        (self.ping, self.pong) = (false, None);
    }

    /// Whether the connection's task has something to write, or to learn.
    fn needs_owner(&self) -> bool {
        let has_frames = !self.queue.is_empty() || self.ping || self.pong.is_some();
        has_frames || self.is_unflushed || self.awaits_writable || self.error.is_some()
    }

    fn register_owner(&mut self, waker: &Waker) {
        if !self.owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
            self.owner = Some(waker.clone());
        }
    }

    fn wake_owner(&self) {
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }
}

/// Writes `batch` without its first `skip` bytes; returns how many bytes the sink accepted, and the outcome.
fn write_batch(sink: &dyn Sink, cx: &mut Context<'_>, batch: &Batch, skip: usize) -> (usize, Poll<io::Result<()>>) {
    let total = batch.bytes() - skip;
    let mut taken = 0;
    while taken < total {
        match sink.poll_write(cx, &batch.slices(skip + taken)) {
            Poll::Ready(Ok(0)) => return (taken, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Ok(bytes)) => taken += bytes,
            Poll::Ready(Err(error)) => return (taken, Poll::Ready(Err(error))),
            Poll::Pending => return (taken, Poll::Pending),
        }
    }
    (taken, sink.poll_flush(cx))
}

/// Frames that are written with one system call.
#[derive(Default)]
struct Batch(SmallVec<[Bytes; WRITE_FRAMES]>);

impl Batch {
    /// Adds a frame; returns false if the batch is full.
    fn add(&mut self, frame: &Bytes) -> bool {
        let is_full = self.0.len() == WRITE_FRAMES || self.bytes() + frame.len() > WRITE_BYTES;
        if is_full && !self.0.is_empty() {
            return false;
        }
        self.0.push(frame.clone());
        true
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The frames without their first `skip` bytes, as slices.
    fn slices(&self, mut skip: usize) -> SmallVec<[IoSlice<'_>; WRITE_FRAMES]> {
        let mut slices = SmallVec::new();
        for frame in &self.0 {
            match frame.get(skip..) {
                Some(rest) if !rest.is_empty() => {
                    slices.push(IoSlice::new(rest));
                    skip = 0;
                }
                _ => skip -= frame.len(),
            }
        }
        slices
    }
}

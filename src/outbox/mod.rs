//! What waits for one client's socket, and how it gets there.
//!
//! # Who may put how much into it
//! Each sender has a **share** of [`SHARE_MESSAGES`](crate::limits::SHARE_MESSAGES) and [`SHARE_BYTES`]. When it is full, [`Outbox::push`] says so and
//! the sender's connection is not read from for a moment: that is how a burst finds its pace. If the socket takes nothing
//! for [`STALL`], or the moment passes, the sender gives up ([`Outbox::give_up`]) and is told that this peer is busy, until
//! the share has drained by half.
//! What the relay itself says has room of its own. So no sender can fill the room of another, and none can bring about
//! the end of a connection: it ends only when its socket takes nothing for [`WRITE_DEADLINE`](crate::limits::WRITE_DEADLINE).
//!
//! # Who writes
//! Whoever puts something in writes it to the socket at once, if nobody else is writing and the socket did not refuse
//! before ([`Outbox::flush`]): no other task has to wake up for a message. One at a time writes, and it also takes what
//! others put in meanwhile. What the socket refuses is left to the task of the connection ([`Outbox::poll_flush`]), which
//! waits until the socket takes more. Frames leave in the order in which they were put in.

pub(crate) mod frame;
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
use tokio::time::Instant;

use crate::limits::{
    ANNOUNCED_BYTES, ANNOUNCEMENTS, ERROR_MESSAGES, SHARE_BYTES, STALL, WRITE_BYTES, WRITE_FRAMES, WRITES_FOR_OTHERS,
};
use crate::sync::Mutex;
use share::Shares;
pub(crate) use sink::Sink;

/// Tells one sender from another: each connection has one for as long as it lives, however often it joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderId(u64);

/// What became of a message that was put into an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits for the socket.
    Queued,
    /// The sender's share is full; it is worth waiting a moment, since the socket takes something.
    Full,
    /// The sender's share is full, and its receiver does not make room in time.
    Busy,
    /// The connection is about to end; nobody will read the message.
    Closed,
}

/// Why the relay ends a connection of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The relay goes away, and will be back in a moment.
    Restart,
    /// The relay goes away for good.
    Shutdown,
}

/// What waits for one client's socket.
pub(crate) struct Outbox {
    id: SenderId,
    /// Where it is written to, once the client is there.
    sink: OnceLock<Box<dyn Sink>>,
    /// Bytes of messages that may wait here whoever sent them. Shares alone do not bound it: senders come and go.
    max_bytes: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    /// How many bytes of the first frame the socket has taken.
    written: usize,
    /// The shares of those who have something here, or were told that this peer is busy.
    shares: Shares,
    /// Bytes of the senders' messages.
    bytes: usize,
    /// Messages of the relay itself.
    announcements: usize,
    /// Their bytes.
    announced_bytes: usize,
    /// Errors that wait.
    errors: usize,
    /// The connection's task is to be woken when most of them are written: its client is not read from until then.
    wake_owner_when_answered: bool,
    ping: bool,
    pong: Option<Bytes>,
    /// Somebody writes to the socket now, without the lock.
    is_writing: bool,
    /// The connection's task is to be woken when that one has finished.
    wake_owner_after: bool,
    /// The socket takes nothing now: its own task waits until it does.
    is_blocked: bool,
    /// Frames were handed to a layer in between (TLS), which still holds some of it.
    is_unflushed: bool,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
    /// When it last took something although it had refused before: its client reads.
    read_at: Option<Instant>,
    /// What the socket had taken then, where a layer in between hides progress.
    taken_below: u64,
    error: Option<io::Error>,
    /// Wakes the connection's task.
    owner: Option<Waker>,
    end: Option<EndReason>,
    is_closed: bool,
}

struct Queued {
    frame: Bytes,
    origin: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    Sender(SenderId),
    Relay,
    Error,
    /// Pings, pongs and close frames.
    Control,
}

impl Outbox {
    /// An empty outbox, which holds `max_bytes` of messages at most. All waits until it is [connected](Self::connect).
    pub(crate) fn new(max_bytes: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = SenderId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { id, sink: OnceLock::new(), max_bytes: max_bytes.max(SHARE_BYTES), state: Mutex::new(State::default()) }
    }

    /// Writes to `sink` from now on. Only the first one counts.
    pub(crate) fn connect(&self, sink: Box<dyn Sink>) {
        let _ = self.sink.set(sink);
    }

    /// Who the client of this outbox is when it sends to others.
    pub(crate) fn id(&self) -> SenderId {
        self.id
    }

    /// Puts in a message of `sender`. When its share is full and it is worth waiting, `waker` is woken once there may be
    /// room: the sender pushes again then. Call [`flush`](Self::flush) afterwards, when no lock is held.
    pub(crate) fn push(&self, sender: SenderId, frame: &Bytes, waker: &Waker) -> Pushed {
        let mut state = self.lock();
        if state.is_closed {
            return Pushed::Closed;
        }
        let has_room = state.bytes + frame.len() <= self.max_bytes || state.bytes == 0;
        let share = state.shares.entry(sender);
        let pushed = if share.is_busy {
            Pushed::Busy
        } else if has_room && share.fits(frame.len()) {
            share.add(frame.len());
            state.bytes += frame.len();
            self.enqueue(&mut state, frame.clone(), Origin::Sender(sender));
            return Pushed::Queued;
        } else if has_room {
            share.wait(waker);
            Pushed::Full
        } else {
            share.set_busy();
            Pushed::Busy
        };
        state.shares.forget_if_idle(sender);
        pushed
    }

    /// The sender has waited for room long enough: this peer is busy for it until its share has drained by half.
    pub(crate) fn give_up(&self, sender: SenderId) {
        let mut state = self.lock();
        state.shares.entry(sender).set_busy();
        state.shares.forget_if_idle(sender);
    }

    /// Puts in what the relay itself says. It always fits: those who cause it ask [`room_for_announcements`] before.
    ///
    /// [`room_for_announcements`]: Self::room_for_announcements
    pub(crate) fn announce(&self, frame: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            state.announcements += 1;
            state.announced_bytes += frame.len();
            self.enqueue(&mut state, frame, Origin::Relay);
        }
    }

    /// Whether `more` announcements fit.
    pub(crate) fn room_for_announcements(&self, more: usize) -> bool {
        self.lock().announcements + more <= ANNOUNCEMENTS
    }

    /// Whether the client has read enough to be told of one more room: who is there, and what is held.
    pub(crate) fn room_for_join(&self) -> bool {
        let state = self.lock();
        state.announcements + 2 <= ANNOUNCEMENTS && state.announced_bytes <= ANNOUNCED_BYTES
    }

    /// Puts in an answer to what the client said: its mistakes, and who is busy. It always fits: a client that does not read
    /// them is not read from ([`poll_answered`](Self::poll_answered)), so one more message brings no more than the others in
    /// its room.
    pub(crate) fn answer(&self, frame: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            state.errors += 1;
            self.enqueue(&mut state, frame, Origin::Error);
        }
    }

    /// Ready unless [`ERROR_MESSAGES`] answers wait for the client to read them. For the connection's task alone: it is woken
    /// when half of them are gone.
    pub(crate) fn poll_answered(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.errors < ERROR_MESSAGES {
            return Poll::Ready(());
        }
        state.register_owner(cx.waker());
        state.wake_owner_when_answered = true;
        Poll::Pending
    }

    /// Asks for a ping to be sent, before all that waits.
    pub(crate) fn ping(&self) {
        let mut state = self.lock();
        state.ping = true;
    }

    /// Answers a ping, before all that waits. Only the last ping needs an answer (RFC 6455 section 5.5.3).
    pub(crate) fn pong(&self, payload: &[u8]) {
        let mut state = self.lock();
        state.pong = Some(frame::pong(payload));
    }

    /// Ends the connection: its task learns the reason by [`poll_end`](Self::poll_end).
    pub(crate) fn end(&self, reason: EndReason) {
        let mut state = self.lock();
        state.end.get_or_insert(reason);
        state.wake_owner();
    }

    /// Waits until somebody ends the connection. For the connection's task alone.
    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<EndReason> {
        let mut state = self.lock();
        state.register_owner(cx.waker());
        state.end.map_or(Poll::Pending, Poll::Ready)
    }

    /// Puts in the last frame. Whatever others put in from now on is [`Pushed::Closed`].
    pub(crate) fn close(&self, last: Bytes) {
        let mut state = self.lock();
        if !state.is_closed {
            self.enqueue(&mut state, last, Origin::Control);
            state.close();
        }
    }

    /// Forgets all that waits: the connection is gone.
    pub(crate) fn discard(&self) {
        let mut state = self.lock();
        state.close();
        state.discard();
    }

    /// Writes what waits as far as the socket takes it now. What it does not take is left to the connection's task.
    pub(crate) fn flush(&self) {
        if self.is_direct() {
            // Whether anything is left is the business of the connection's task.
            let _ = self.write(&mut Context::from_waker(Waker::noop()), false);
        }
    }

    /// Writes what waits; ready when nothing does any more. For the connection's task alone: it is woken when the socket
    /// takes more, and when somebody put something in that it has to write.
    ///
    /// # Errors
    /// When the socket is gone, also where another task found out.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lock().register_owner(cx.waker());
        self.write(cx, true)
    }

    /// Says that nothing more will be written. For the connection's task alone, when nothing waits any more.
    ///
    /// # Errors
    /// When the socket is gone.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sink.get().map_or(Poll::Ready(Ok(())), |sink| sink.poll_shutdown(cx))
    }

    /// Since when the socket has taken nothing although something waits.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        self.lock().stalled_since
    }

    /// When the client was last seen to read: its socket took something that it had refused before.
    pub(crate) fn read_at(&self) -> Option<Instant> {
        self.lock().read_at
    }

    /// Whether it makes no progress: its socket has taken nothing for [`STALL`].
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled_since().is_some_and(|since| since.elapsed() >= STALL)
    }

    /// Gives back memory that the last burst needed. For quiet moments: at each empty one it would be taken anew.
    pub(crate) fn shrink(&self) {
        let mut state = self.lock();
        if state.queue.is_empty() {
            state.queue = VecDeque::new();
        }
        if state.shares.is_empty() {
            state.shares = Shares::default();
        }
    }

    fn enqueue(&self, state: &mut State, frame: Bytes, origin: Origin) {
        state.queue.push_back(Queued { frame, origin });
        // A blocked socket wakes its task itself.
        if !self.is_direct() && !state.is_blocked {
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
                // That one takes what was put in meanwhile, too.
                state.wake_owner_after |= is_owner;
                return Poll::Pending;
            }
            if state.is_blocked && !is_owner {
                return Poll::Pending;
            }
            let batch = state.next_batch();
            if batch.is_empty() && !state.is_unflushed {
                state.is_blocked = false;
                state.stalled_since = None;
                return Poll::Ready(Ok(()));
            }
            if !is_owner && batches == WRITES_FOR_OTHERS {
                state.wake_owner();
                return Poll::Pending;
            }
            batches += 1;
            let skip = state.written;
            state.is_writing = true;
            drop(state);
            let (taken, outcome) = write_batch(&**sink, cx, &batch, skip);
            drop(batch);
            state = self.lock();
            state.is_writing = false;
            state.remove_written(taken);
            state.note_progress(taken, sink.taken_below());
            if std::mem::take(&mut state.wake_owner_after) {
                state.wake_owner();
            }
            match outcome {
                Poll::Ready(Ok(())) => state.is_unflushed = false,
                Poll::Pending => {
                    state.is_unflushed = true;
                    state.is_blocked = true;
                    state.stalled_since.get_or_insert_with(Instant::now);
                    if !is_owner {
                        state.wake_owner();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => {
                    state.close();
                    state.discard();
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
        // No code panics while it holds the lock, so a poisoned state is as good as any.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("id", &self.id).finish_non_exhaustive()
    }
}

impl State {
    /// The frames to write next, which stay in the queue until the socket has taken them.
    fn next_batch(&mut self) -> Batch {
        // A control frame may stand between two frames, not within one (RFC 6455 section 5.4).
        let between = usize::from(self.written > 0);
        let ping = std::mem::take(&mut self.ping).then(|| frame::ping(b""));
        let pong = self.pong.take();
        // Only the last ping needs an answer: while the socket takes nothing, one waits, not one for each ping.
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

    fn remove_written(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some(first) = self.queue.front()
            && first.frame.len() <= self.written
        {
            self.written -= first.frame.len();
            if let Some(Queued { frame, origin }) = self.queue.pop_front() {
                self.release(frame.len(), origin);
            }
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

    /// A socket that took something is not stalled, also where a layer in between took it before.
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

/// Writes `batch` without its first `skip` bytes, and says how many bytes the socket took.
fn write_batch(sink: &dyn Sink, cx: &mut Context<'_>, batch: &Batch, skip: usize) -> (usize, Poll<io::Result<()>>) {
    let total = batch.bytes() - skip;
    let mut taken = 0;
    while taken < total {
        let (slices, count) = batch.slices(skip + taken);
        match sink.poll_write(cx, slices.get(..count).unwrap_or(&slices)) {
            Poll::Ready(Ok(0)) => return (taken, Poll::Ready(Err(io::ErrorKind::WriteZero.into()))),
            Poll::Ready(Ok(bytes)) => taken += bytes,
            Poll::Ready(Err(error)) => return (taken, Poll::Ready(Err(error))),
            Poll::Pending => return (taken, Poll::Pending),
        }
    }
    (taken, sink.poll_flush(cx))
}

/// Frames that are written by one system call.
struct Batch {
    frames: [Bytes; WRITE_FRAMES],
    count: usize,
}

impl Default for Batch {
    fn default() -> Self {
        Self { frames: [const { Bytes::new() }; WRITE_FRAMES], count: 0 }
    }
}

impl Batch {
    /// Takes one more frame, unless it holds enough.
    fn add(&mut self, frame: &Bytes) -> bool {
        if self.count > 0 && self.bytes() + frame.len() > WRITE_BYTES {
            return false;
        }
        let Some(place) = self.frames.get_mut(self.count) else { return false };
        *place = frame.clone();
        self.count += 1;
        true
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn bytes(&self) -> usize {
        self.frames.iter().take(self.count).map(Bytes::len).sum()
    }

    /// What is left of the frames without the first `skip` bytes, and how many slices that is.
    fn slices(&self, mut skip: usize) -> ([IoSlice<'_>; WRITE_FRAMES], usize) {
        let mut slices = [IoSlice::new(&[]); WRITE_FRAMES];
        let mut count = 0;
        for frame in self.frames.iter().take(self.count) {
            match frame.get(skip..) {
                Some(rest) if !rest.is_empty() => {
                    if let Some(place) = slices.get_mut(count) {
                        *place = IoSlice::new(rest);
                        count += 1;
                    }
                    skip = 0;
                }
                _ => skip -= frame.len(),
            }
        }
        (slices, count)
    }
}

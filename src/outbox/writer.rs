//! How the queue of an outbox gets to its socket.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::queue::State;
use super::queued::{Queued, trim};
use super::replay::ReplayBuffer;
use super::{Outbox, Sink, Status, frame};
use crate::limits::{WRITE_BYTES, WRITE_FRAMES, WRITES_FOR_OTHERS};

impl Outbox {
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
    #[inline(always)]
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
        Ok(Status { close_request: state.close_request, stalled_since: state.stalled_since, read_at: state.read_at })
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
            let skip = state.written as usize;
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
}

impl State {
    /// The frames to write next: none but control frames while the client has to prove first that it receives any. They stay
    /// in the queue until the socket has accepted them.
    fn next_batch(&mut self) -> Batch {
        // A control frame may go between two frames, but not into one (RFC 6455 section 5.4).
        let between = usize::from(self.written > 0).min(self.queue.len());
        let ping = std::mem::take(&mut self.ping).then(|| self.numbered_ping(between));
        let pong = self.pong.take();
        // Only the last ping needs a pong: while the socket is not writable, one is queued, not one for each ping.
        if pong.is_some()
            && let Some(queued) = self.queue.get(between)
            && !queued.is_message()
            && frame::is_pong(&queued.frame)
        {
            self.queue.remove(between);
        }
        for frame in [ping, pong].into_iter().flatten() {
            self.queue.insert(between, Queued::control(frame));
        }
        let is_held_back = !self.is_closed && self.kept.as_ref().is_some_and(|kept| kept.is_far_ahead());
        let mut batch = Batch::default();
        for (at, queued) in self.queue.iter().enumerate() {
            if is_held_back && at >= between && queued.is_message() || !batch.add(&queued.frame) {
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
        let mut written = self.written as usize + bytes;
        while let Some(first) = self.queue.front()
            && first.frame.len() <= written
        {
            written -= first.frame.len();
            if let Some(queued) = self.queue.pop_front() {
                self.release(queued.frame.len(), queued.origin());
                if let Some(kept) = &mut self.kept {
                    Self::keep_written(kept, queued, bound);
                    self.ping |= kept.wants_ping();
                }
            }
        }
        // Less than one frame, and so less than 4 GiB.
        self.written = written as u32;
        trim(&mut self.queue);
    }

    fn keep_written(kept: &mut ReplayBuffer, queued: Queued, bound: usize) {
        if queued.is_message() {
            match kept.unnumbered.checked_sub(1) {
                Some(rest) => kept.unnumbered = rest,
                None => kept.keep(queued, bound),
            }
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

    /// Whether the connection's task has something to write, or to learn.
    fn needs_owner(&self) -> bool {
        let has_frames = !self.queue.is_empty() || self.ping || self.pong.is_some();
        has_frames || self.is_unflushed || self.awaits_writable || self.error.is_some()
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

//! The frames that are queued for one client, and how much of its room they use.

use std::collections::VecDeque;
use std::io;
use std::task::Waker;

use bytes::Bytes;
use tokio::time::Instant;

use super::queued::{Origin, Queued};
use super::replay::ReplayBuffer;
use super::share::Shares;
use super::{CloseRequest, Sender};
use crate::limits::{ADDRESS_SHARES, ERROR_BYTES, ERROR_MESSAGES, SHARE_BYTES, SHARE_MESSAGES, STALL};

/// What an outbox has below its lock.
#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Queued>,
    /// How many bytes of the first frame the socket has taken.
    pub(super) written: u32,
    /// The shares of the senders that have messages queued here, or for which this peer is busy.
    pub(super) shares: Shares,
    /// Bytes of peers' messages in the queue.
    pub(super) bytes: usize,
    /// Messages of the relay itself in the queue.
    pub(super) announcements: Count,
    /// `error` messages in the queue.
    pub(super) errors: Count,
    /// Whether to wake the connection's task when half of the errors are written: it does not read until then.
    pub(super) wake_owner_when_answered: bool,
    /// Whether to send a ping.
    pub(super) ping: bool,
    /// The pong to send.
    pub(super) pong: Option<Bytes>,
    /// Whether a task is writing to the socket now. It does not hold the lock meanwhile.
    pub(super) is_writing: bool,
    /// Whether to wake the connection's task when that write ends.
    pub(super) wake_owner_after: bool,
    /// Whether the socket is not writable, because the last write returned `Pending`: then only the
    /// connection's task writes.
    pub(super) awaits_writable: bool,
    /// Whether a layer in between (TLS) still holds bytes of frames that it was given.
    pub(super) is_unflushed: bool,
    /// Since when the socket has accepted nothing although frames are queued.
    pub(super) stalled_since: Option<Instant>,
    /// When the socket last accepted bytes after it had not been writable: the client reads.
    pub(super) read_at: Option<Instant>,
    /// What [`Sink::taken_below`](super::Sink::taken_below) returned after the last progress.
    pub(super) taken_below: u64,
    /// The error of a write by another task, for the connection's task.
    pub(super) error: Option<io::Error>,
    /// Wakes the connection's task, the owner of the outbox.
    pub(super) owner: Option<Waker>,
    pub(super) close_request: Option<CloseRequest>,
    pub(super) is_closed: bool,
    /// How many frames of the queue the write that is under way may write, [`WRITE_FRAMES`](crate::limits::WRITE_FRAMES) at most.
    pub(super) offered: u8,
    /// What is kept, if the client may resume.
    pub(super) kept: Option<Box<ReplayBuffer>>,
}

/// How many messages there are, and how many bytes they have: few enough for half of a word each.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Count {
    messages: u32,
    bytes: u32,
}

impl Count {
    pub(super) fn messages(self) -> usize {
        self.messages as usize
    }

    pub(super) fn bytes(self) -> usize {
        self.bytes as usize
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes as u32);
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u32);
    }
}

impl State {
    /// Whether a peer's message of `bytes` fits. Forgets acknowledged messages as far as it needs their room.
    pub(super) fn has_room(&mut self, bytes: usize, most: usize) -> bool {
        loop {
            let kept = self.kept.as_ref().map_or(0, |kept| kept.bytes());
            let used = self.bytes + kept;
            if used == 0 || used + bytes <= most {
                return true;
            }
            if !self.kept.as_mut().is_some_and(|kept| kept.forget_acked()) {
                return false;
            }
        }
    }

    /// Whether a pong may make room: asks for one if none is on its way.
    pub(super) fn ask_for_pong(&mut self) -> bool {
        let Some(kept) = &self.kept else { return false };
        self.ping |= kept.may_ping();
        kept.bytes() > 0
    }

    /// Whether the socket has accepted nothing for [`STALL`] although frames are queued.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_since.is_some_and(|since| since.elapsed() >= STALL)
    }

    /// Whether that was so at this time already.
    pub(super) fn was_stalled(&self, at: Instant) -> bool {
        self.stalled_since.is_some_and(|since| at.duration_since(since) >= STALL)
    }

    /// Whether one more message of `bytes` of `sender` is more than those of its address may have waiting together.
    pub(super) fn is_crowded_by(&self, sender: &Sender, bytes: usize) -> bool {
        if !sender.purse().account().is_address() {
            return false;
        }
        let of_address =
            |queued: &&Queued| matches!(queued.origin(), Origin::Sender(_)) && queued.is_charged_with(sender.purse());
        let (mut messages, mut sum) = (0, 0);
        for queued in self.queue.iter().filter(of_address) {
            messages += 1;
            sum += queued.frame.len();
        }
        messages > 0 && (messages >= ADDRESS_SHARES * SHARE_MESSAGES || sum + bytes > ADDRESS_SHARES * SHARE_BYTES)
    }

    /// How many frames at the front of the queue a write has begun with.
    pub(super) fn begun(&self) -> usize {
        if self.is_writing { usize::from(self.offered) } else { usize::from(self.written > 0) }
    }

    /// Counts a frame that is added to the queue.
    pub(super) fn account(&mut self, queued: &Queued) {
        let bytes = queued.frame.len();
        match queued.origin() {
            Origin::Sender(sender) => {
                self.bytes += bytes;
                self.shares.entry(sender).add(bytes);
            }
            Origin::Relay => self.announcements.add(bytes),
            Origin::Error => self.errors.add(bytes),
            Origin::Control => {}
        }
    }

    pub(super) fn release(&mut self, bytes: usize, origin: Origin) {
        match origin {
            Origin::Sender(sender) => {
                self.bytes -= bytes;
                self.shares.release(sender, bytes);
            }
            Origin::Relay => self.announcements.remove(bytes),
            Origin::Error => {
                self.errors.remove(bytes);
                let is_half = self.errors.messages() <= ERROR_MESSAGES / 2 && self.errors.bytes() <= ERROR_BYTES / 2;
                if is_half && std::mem::take(&mut self.wake_owner_when_answered) {
                    self.wake_owner();
                }
            }
            Origin::Control => {}
        }
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.shares.wake_all();
    }

    pub(super) fn discard(&mut self) {
        self.queue = VecDeque::new();
        (self.written, self.bytes, self.is_unflushed) = (0, 0, false);
        (self.announcements, self.errors) = (Count::default(), Count::default());
        self.shares = Shares::default();
        (self.ping, self.pong) = (false, None);
    }

    pub(super) fn register_owner(&mut self, waker: &Waker) {
        if !self.owner.as_ref().is_some_and(|owner| owner.will_wake(waker)) {
            self.owner = Some(waker.clone());
        }
    }

    pub(super) fn wake_owner(&self) {
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }
}

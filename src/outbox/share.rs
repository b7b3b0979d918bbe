//! What each sender may keep waiting for one receiver.

use std::task::Waker;

use super::SenderId;
use crate::limits::{SHARE_BYTES, SHARE_MESSAGES};

/// The shares of those who have something in one outbox, or were told that its client is busy.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Share>);

/// The messages of one sender that wait in one outbox.
#[derive(Debug)]
pub(super) struct Share {
    sender: SenderId,
    messages: usize,
    bytes: usize,
    /// Whether the sender was told `peer_busy`, and the share has not drained by half since.
    pub(super) is_busy: bool,
    /// Wakes the sender that is paused until there is room.
    waiting: Option<Waker>,
}

impl Shares {
    /// The share of `sender`, empty where it has nothing here.
    pub(super) fn entry(&mut self, sender: SenderId) -> &mut Share {
        let position = self.0.iter().position(|share| share.sender == sender).unwrap_or_else(|| {
            self.0.push(Share { sender, messages: 0, bytes: 0, is_busy: false, waiting: None });
            self.0.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "the position was found, or made, a moment ago")]
        &mut self.0[position]
    }

    /// Takes a message of `bytes` out of the share of `sender`: the socket has it.
    pub(super) fn release(&mut self, sender: SenderId, bytes: usize) {
        self.entry(sender).release(bytes);
        self.forget_if_idle(sender);
    }

    /// Frees the place of a share that says no more than that its sender may send.
    pub(super) fn forget_if_idle(&mut self, sender: SenderId) {
        self.0.retain(|share| share.sender != sender || share.messages > 0 || share.is_busy || share.waiting.is_some());
    }

    /// Wakes every sender that is paused.
    pub(super) fn wake_all(&mut self) {
        for waiting in self.0.iter_mut().filter_map(|share| share.waiting.take()) {
            waiting.wake();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Share {
    /// Whether a message of `bytes` fits. An empty share takes a message of any size.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        self.messages == 0 || (self.messages < SHARE_MESSAGES && self.bytes + bytes <= SHARE_BYTES)
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// Wakes `waker` when a message leaves.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(waker)) {
            self.waiting = Some(waker.clone());
        }
    }

    /// Takes nothing more until half of it has drained. (A share with nothing in it could never drain.)
    pub(super) fn set_busy(&mut self) {
        self.waiting = None;
        self.is_busy = self.messages > 0;
    }

    fn release(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if self.messages <= SHARE_MESSAGES / 2 && self.bytes <= SHARE_BYTES / 2 {
            self.is_busy = false;
        }
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }
}

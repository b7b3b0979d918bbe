//! The shares: how much each sender may queue for one receiver.

use std::task::Waker;

use super::ConnectionId;
use crate::limits::{SHARE_BYTES, SHARE_MESSAGES};

/// The shares of the senders that have messages in one outbox, or for which its client is busy.
#[derive(Debug, Default)]
pub(super) struct Shares(Vec<Share>);

/// The messages of one sender that are queued in one outbox.
#[derive(Debug)]
pub(super) struct Share {
    sender: ConnectionId,
    messages: usize,
    bytes: usize,
    /// Whether the receiver is busy for this sender.
    pub(super) is_busy: bool,
    /// Wakes the sender, which is paused until there is room.
    waiting: Option<Waker>,
}

impl Shares {
    /// The share of `sender`; a new one if it has none.
    pub(super) fn entry(&mut self, sender: ConnectionId) -> &mut Share {
        let position = self.0.iter().position(|share| share.sender == sender).unwrap_or_else(|| {
            self.0.push(Share { sender, messages: 0, bytes: 0, is_busy: false, waiting: None });
            self.0.len() - 1
        });
        #[allow(clippy::indexing_slicing, reason = "the position was found or added just before")]
        &mut self.0[position]
    }

    /// Removes a message of `bytes` from the share of `sender`: the socket has accepted it.
    pub(super) fn release(&mut self, sender: ConnectionId, bytes: usize) {
        self.entry(sender).release(bytes);
        self.forget_if_idle(sender);
    }

    /// Removes the share of `sender` if it is empty, the receiver is not busy for it, and it does not wait for room.
    pub(super) fn forget_if_idle(&mut self, sender: ConnectionId) {
        self.0.retain(|share| share.sender != sender || share.messages > 0 || share.is_busy || share.waiting.is_some());
    }

    /// Wakes every sender that is paused.
    pub(super) fn wake_all(&mut self) {
        for waiting in self.0.iter_mut().filter_map(|share| share.waiting.take()) {
            waiting.wake();
        }
    }

    /// Makes this peer busy for the senders for which it was busy in `earlier`, as long as their shares are not empty.
    pub(super) fn take_busy(&mut self, earlier: &Self) {
        for share in &mut self.0 {
            share.is_busy |= earlier.0.iter().any(|other| other.sender == share.sender && other.is_busy);
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

    /// Wakes `waker` when a message of this share has been written.
    pub(super) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(waker)) {
            self.waiting = Some(waker.clone());
        }
    }

    /// Refuses messages until the share is at most half full. (An empty share is never busy: nothing would end that.)
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

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConnectionId = ConnectionId(1);
    const OTHER: ConnectionId = ConnectionId(2);

    #[test]
    fn a_share_is_forgotten_once_it_is_empty_and_no_other_share_is() {
        let mut shares = Shares::default();
        shares.entry(ONE).add(5);
        shares.entry(ONE).add(5);
        shares.entry(OTHER);
        shares.release(ONE, 5);
        assert!(shares.0.len() == 2 && !shares.is_empty(), "it has a message");
        shares.release(ONE, 5);
        assert_eq!(shares.0.iter().map(|share| share.sender).collect::<Vec<_>>(), [OTHER]);
        shares.forget_if_idle(OTHER);
        assert!(shares.is_empty());
    }

    #[test]
    fn a_share_takes_so_many_bytes_and_an_empty_one_takes_a_message_of_any_size() {
        let mut shares = Shares::default();
        let share = shares.entry(ONE);
        assert!(share.fits(SHARE_BYTES + 1));
        share.add(SHARE_BYTES - 1);
        assert!(share.fits(1) && !share.fits(2));
        share.release(SHARE_BYTES - 1);
        assert!(share.fits(SHARE_BYTES + 1));
    }

    #[test]
    fn a_share_takes_so_many_messages() {
        let mut shares = Shares::default();
        let share = shares.entry(ONE);
        for _ in 0..SHARE_MESSAGES {
            assert!(share.fits(1));
            share.add(1);
        }
        assert!(!share.fits(1));
    }

    #[test]
    fn a_receiver_is_busy_until_the_share_is_at_most_half_full_in_messages_and_in_bytes() {
        let mut shares = Shares::default();
        let share = shares.entry(ONE);
        (0..SHARE_MESSAGES).for_each(|_| share.add(1));
        share.set_busy();
        (SHARE_MESSAGES / 2..SHARE_MESSAGES).for_each(|_| {
            assert!(share.is_busy);
            share.release(1);
        });
        assert!(!share.is_busy);

        let share = shares.entry(OTHER);
        share.add(SHARE_BYTES / 2);
        share.add(1);
        share.add(0);
        share.set_busy();
        share.release(0);
        assert!(share.is_busy);
        share.release(1);
        assert!(!share.is_busy);
    }

    #[test]
    fn a_receiver_stays_busy_for_those_for_whom_it_was_and_never_for_one_with_an_empty_share() {
        let mut earlier = Shares::default();
        earlier.entry(ONE).add(5);
        earlier.entry(OTHER).add(5);
        earlier.entry(ONE).set_busy();
        let mut shares = Shares::default();
        shares.entry(ONE).add(5);
        shares.entry(OTHER).add(5);
        shares.take_busy(&earlier);
        assert!(shares.entry(ONE).is_busy && !shares.entry(OTHER).is_busy);
        shares.release(OTHER, 5);
        shares.entry(OTHER).set_busy();
        assert!(!shares.entry(OTHER).is_busy, "nothing would end that");
    }

    #[test]
    fn an_empty_share_is_remembered_while_its_sender_waits_or_is_refused() {
        let mut shares = Shares::default();
        shares.entry(ONE).wait(Waker::noop());
        shares.entry(OTHER).is_busy = true;
        shares.forget_if_idle(ONE);
        shares.forget_if_idle(OTHER);
        assert_eq!(shares.0.len(), 2);
        shares.wake_all();
        shares.forget_if_idle(ONE);
        assert_eq!(shares.0.len(), 1);
    }
}

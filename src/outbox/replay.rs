//! What a client that may resume was sent, kept until it is known to have arrived.
//!
//! The messages to such a client are numbered: `joined` is 1, and each later one has the next number. A ping carries
//! the number of the last message written before it on its connection. The pong to that ping proves that all messages
//! up to that number have arrived. Proven messages are only forgotten when their room is needed, because a browser
//! answers pings before its page has read.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::Sender;
use super::queued::{Origin, Queued, cost, trim};
use crate::budget::Purse;
use crate::limits::{ERROR_BYTES, PLACE_BYTES, SHARE_BYTES, SHARE_MESSAGES, SLOW_PONG_DEADLINE, UNCONFIRMED};

/// The numbers of the messages to one client, and those that were written and are still kept.
#[derive(Debug, Default)]
pub(super) struct ReplayBuffer {
    /// Written frames, oldest first. The first one has the number `forgotten + 1`.
    frames: VecDeque<Queued>,
    /// What these frames cost, in bytes.
    bytes: usize,
    /// What those of them cost that are errors.
    error_bytes: usize,
    /// The number of the last message that is not kept any more.
    forgotten: u64,
    /// The number of the last message that is proven to have arrived.
    acked: u64,
    /// The number in the ping that has not been answered yet, and when it was sent.
    pinged: Option<(u64, Instant)>,
    /// Messages and bytes that were written since the last ping.
    since_ping: (usize, usize),
    /// The relay's own messages, other than errors, that were written since the last one that is proven to have arrived.
    unconfirmed: u32,
    /// Those of them that the ping asks about.
    asked: u32,
    /// How many messages at the front of the queue have no number, because they are older than `joined` or `resumed`.
    pub(super) unnumbered: usize,
    /// Whether the client has no connection: then nobody waits for it to read.
    pub(super) is_away: bool,
    /// How many more messages may have arrived than are known to be written: the last write on a connection that was
    /// lost may have been under way.
    in_flight: u64,
}

impl ReplayBuffer {
    /// Starts before the next message, which comes after `unnumbered` others.
    pub(super) fn new(unnumbered: usize) -> Self {
        Self { unnumbered, ..Self::default() }
    }

    /// The number of the last message that was written as a whole.
    pub(super) fn sent(&self) -> u64 {
        self.forgotten + self.frames.len() as u64
    }

    /// What is kept costs so many bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a frame that was written. Beyond `bound` bytes, or [`PLACE_BYTES`], and when memory is short, those that are
    /// proven to have arrived are forgotten. Beyond twice the bound, beyond [`PLACE_BYTES`] of errors, and beyond
    /// [`ERROR_BYTES`] of them when memory is short, the oldest are forgotten even if it is not known whether they have
    /// arrived: only the relay's own messages can have that effect, because a peer's message is refused when there is no
    /// room for it.
    pub(super) fn keep(&mut self, queued: Queued, bound: usize) {
        self.since_ping.0 += 1;
        self.since_ping.1 += queued.frame.len();
        self.bytes += cost(queued.frame.len());
        self.error_bytes += error_cost(&queued);
        // An error is charged to the client itself: what others use up does not count here.
        let most_errors = match queued.origin() {
            Origin::Error if queued.is_pressed() => ERROR_BYTES,
            Origin::Error => PLACE_BYTES,
            _ => usize::MAX,
        };
        self.unconfirmed += u32::from(queued.origin() == Origin::Relay);
        self.frames.push_back(queued);
        while self.bytes > bound.min(PLACE_BYTES) && self.forget_acked() {}
        while self.frames.front().is_some_and(Queued::is_pressed) && self.forget_acked() {}
        while (self.bytes / 2 > bound || self.error_bytes > most_errors) && self.forget_oldest() {}
        trim(&mut self.frames);
    }

    /// Whether so much is unacknowledged that the relay should ask for a pong: half of a share.
    pub(super) fn wants_ping(&self) -> bool {
        let (messages, bytes) = self.since_ping;
        self.pinged.is_none() && (messages >= SHARE_MESSAGES / 2 || bytes >= SHARE_BYTES / 2)
    }

    /// Whether anything that was written may not have arrived, and no ping asks about it.
    pub(super) fn may_ping(&self) -> bool {
        self.pinged.is_none() && self.acked < self.sent()
    }

    /// Notes a ping, which is written after `partly` more messages than those known as written; returns its number.
    pub(super) fn ping(&mut self, partly: usize) -> u64 {
        let number = self.sent() + partly as u64;
        self.pinged = Some((number, Instant::now()));
        (self.since_ping, self.asked) = ((0, 0), self.unconfirmed);
        number
    }

    /// Handles a pong: it proves something only if it answers the last ping. Returns whether it does.
    pub(super) fn pong(&mut self, number: u64) -> bool {
        if self.pinged.is_none_or(|(pinged, _)| pinged != number) {
            return false;
        }
        self.pinged = None;
        self.acked = self.acked.max(number);
        self.unconfirmed = self.unconfirmed.saturating_sub(std::mem::take(&mut self.asked));
        true
    }

    /// Forgets the oldest message if it is proven to have arrived; returns whether it did. A client that proves nothing for
    /// [`SLOW_PONG_DEADLINE`] does not keep the memory of others for itself: it loses its way back instead.
    pub(super) fn forget_acked(&mut self) -> bool {
        (self.forgotten < self.acked || self.is_overdue()) && self.forget_oldest()
    }

    /// Whether messages must wait until the client proves that it has received some of the relay's own. One that proves
    /// nothing at all gets them in the end.
    pub(super) fn is_far_ahead(&self) -> bool {
        self.unconfirmed as usize >= UNCONFIRMED && !self.is_overdue()
    }

    fn is_overdue(&self) -> bool {
        self.pinged.is_some_and(|(_, at)| at.elapsed() >= SLOW_PONG_DEADLINE)
    }

    /// Forgets the oldest message if it is proven to have arrived, and the memory for a message from `purse` may be found so:
    /// who has used up the memory of its own address makes a client forget nothing of others.
    pub(super) fn forget_for(&mut self, purse: &Purse) -> bool {
        let helps = |oldest: &Queued| oldest.is_charged_with(purse) || oldest.is_pressed();
        self.frames.front().is_some_and(helps) && self.forget_acked()
    }

    /// Whether a client that has received the messages up to this number can get all the others. `in_flight` more than
    /// those known as written may have arrived.
    pub(super) fn can_resume_after(&self, received: u64, in_flight: usize) -> bool {
        (self.forgotten..=self.sent() + self.in_flight.max(in_flight as u64)).contains(&received)
    }

    /// Notes that the connection is lost, and that `in_flight` of the messages in the queue may have arrived all the same.
    pub(super) fn note_loss(&mut self, in_flight: usize) {
        self.pinged = None;
        self.in_flight = in_flight as u64;
    }

    /// Goes on after the message with the number `received`, on a connection whose queue begins with `unnumbered` other
    /// messages. Returns the kept messages that must be sent again, and how many in the queue have arrived.
    pub(super) fn resume_after(&mut self, received: u64, unnumbered: usize) -> (VecDeque<Queued>, u64) {
        let sent = self.sent();
        let mut again = std::mem::take(&mut self.frames);
        again.drain(..(received.min(sent) - self.forgotten) as usize);
        *self = Self { forgotten: received, acked: received, unnumbered, ..Self::default() };
        (again, received.saturating_sub(sent))
    }

    /// Frees memory: for the frames that were kept in a burst, and where memory is short for those that have arrived.
    pub(super) fn shrink(&mut self) {
        if let Some(last) = self.frames.iter().rposition(Queued::is_pressed) {
            (0..=last).all(|_| self.forget_acked());
        }
        if self.frames.len() < self.frames.capacity() / 4 {
            self.frames.shrink_to_fit();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(oldest) = self.frames.pop_front() else { return false };
        self.bytes -= cost(oldest.frame.len());
        self.error_bytes -= error_cost(&oldest);
        self.forgotten += 1;
        true
    }
}

/// What a frame costs if it is an error.
fn error_cost(queued: &Queued) -> usize {
    if queued.origin() == Origin::Error { cost(queued.frame.len()) } else { 0 }
}

/// A message of `sender` to a client for which this is `kept`; none if there is no memory for it, even without what is kept
/// just in case.
#[inline]
pub(super) fn queued(sender: &Sender, frame: &Bytes, kept: &mut Option<Box<ReplayBuffer>>) -> Option<Queued> {
    let cost = cost(frame.len());
    let is_pinned = sender.purse.pin(cost) || kept.as_mut().is_some_and(|kept| pin_instead(kept, &sender.purse, cost));
    is_pinned.then(|| Queued::pinned(sender, frame))
}

/// Pins the memory of messages that were kept just in case; whether that is enough.
#[cold]
fn pin_instead(kept: &mut ReplayBuffer, purse: &Purse, bytes: usize) -> bool {
    while kept.forget_for(purse) {
        if purse.pin(bytes) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{ConnectionId, Sender};
    use super::*;

    fn queued(origin: Origin) -> Queued {
        let cause = Sender::new(ConnectionId(1), crate::budget::boundless());
        Queued::anyway(Bytes::from_static(b"xxxx"), origin, &cause)
    }

    fn keep(kept: &mut ReplayBuffer, count: usize) {
        for _ in 0..count {
            kept.keep(queued(Origin::Relay), usize::MAX);
        }
    }

    #[test]
    fn only_the_pong_to_the_last_ping_proves_anything() {
        let mut kept = ReplayBuffer::default();
        keep(&mut kept, 3);
        assert!(!kept.pong(3), "no ping asked");
        assert_eq!(kept.ping(0), 3);
        keep(&mut kept, 2);
        assert!(!kept.pong(5) && !kept.pong(2));
        assert!(kept.pong(3) && !kept.pong(3));
        assert!(kept.can_resume_after(0, 0), "nothing needed the room");
        assert_eq!((0..5).filter(|_| kept.forget_acked()).count(), 3);
        assert!(!kept.can_resume_after(2, 0) && kept.can_resume_after(3, 0) && kept.can_resume_after(5, 0));
        assert!(!kept.can_resume_after(6, 0) && kept.can_resume_after(6, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_proves_nothing_for_a_minute_keeps_no_memory_of_others() {
        let mut kept = ReplayBuffer::default();
        keep(&mut kept, 3);
        kept.ping(0);
        assert!(!kept.forget_acked());
        tokio::time::advance(SLOW_PONG_DEADLINE).await;
        assert!(kept.forget_acked() && !kept.can_resume_after(0, 0));
        assert!(kept.pong(3) && kept.forget_acked() && kept.can_resume_after(3, 0), "it proves something after all");
        keep(&mut kept, 1);
        assert!(kept.forget_acked() && !kept.forget_acked(), "the last one is not proven");
    }

    #[test]
    fn half_of_a_share_asks_for_a_pong() {
        let mut kept = ReplayBuffer::default();
        keep(&mut kept, SHARE_MESSAGES / 2 - 1);
        assert!(!kept.wants_ping());
        keep(&mut kept, 1);
        assert!(kept.wants_ping());
        kept.ping(1);
        keep(&mut kept, SHARE_MESSAGES);
        assert!(!kept.wants_ping(), "one ping at a time");
        assert!(kept.pong(SHARE_MESSAGES as u64 / 2 + 1));
        assert!(kept.wants_ping());
    }

    #[test]
    fn so_do_the_bytes_of_half_a_share() {
        let mut kept = ReplayBuffer::default();
        keep(&mut kept, 2);
        assert_eq!(kept.since_ping, (2, 8));
        for (bytes, wants) in [(SHARE_BYTES / 2 - 1, false), (SHARE_BYTES / 2, true)] {
            kept.since_ping = (0, bytes);
            assert_eq!(kept.wants_ping(), wants);
        }
    }

    #[test]
    fn a_ping_is_of_use_while_something_is_unacknowledged_and_none_is_on_its_way() {
        let mut kept = ReplayBuffer::default();
        assert!(!kept.may_ping());
        keep(&mut kept, 2);
        assert!(kept.may_ping());
        let number = kept.ping(0);
        assert!(!kept.may_ping());
        kept.pong(number);
        assert!(!kept.may_ping(), "all is acknowledged");
        keep(&mut kept, 1);
        assert!(kept.may_ping());
        kept.resume_after(3, 0);
        assert!(!kept.may_ping(), "the client said that it has all");
    }

    #[test]
    fn what_was_not_received_is_sent_again_from_any_point() {
        for received in 0..=7 {
            let mut kept = ReplayBuffer::default();
            keep(&mut kept, 5);
            kept.note_loss(2);
            assert!(kept.can_resume_after(received, 0));
            let (again, arrived) = kept.resume_after(received, 1);
            assert_eq!((again.len() as u64, arrived), (5_u64.saturating_sub(received), received.saturating_sub(5)));
            assert_eq!((kept.sent(), kept.bytes()), (received, 0));
        }
    }

    #[test]
    fn of_errors_few_bytes_are_kept_even_if_it_is_not_known_that_they_have_arrived() {
        let account = crate::budget::Budget::new(0, 8 * PLACE_BYTES).address();
        let cause = Sender::new(ConnectionId(1), account.purse());
        let mut kept = ReplayBuffer::default();
        let mut keep = |origin: Origin, bytes: usize| {
            for _ in 0..bytes / cost(4) {
                kept.keep(Queued::anyway(Bytes::from_static(b"xxxx"), origin, &cause), usize::MAX);
            }
            kept.bytes()
        };
        assert!((PLACE_BYTES - cost(4)..=PLACE_BYTES).contains(&keep(Origin::Error, 2 * PLACE_BYTES)));
        assert!(keep(Origin::Relay, 2 * PLACE_BYTES) > 2 * PLACE_BYTES, "other messages are bounded otherwise");
        let _pressure = cause.purse().charge_anyway(5 * PLACE_BYTES);
        assert!((ERROR_BYTES - cost(4)..=ERROR_BYTES).contains(&keep(Origin::Error, 2 * ERROR_BYTES)));
        assert!(!kept.can_resume_after(0, 0) && kept.can_resume_after(kept.sent(), 0));
    }

    #[test]
    fn more_than_may_be_kept_is_forgotten_and_sooner_what_has_arrived() {
        let mut kept = ReplayBuffer::default();
        let keep = |kept: &mut ReplayBuffer| {
            kept.keep(queued(Origin::Error), 2 * cost(4));
        };
        (0..7).for_each(|_| keep(&mut kept));
        assert_eq!((kept.sent(), kept.frames.len()), (7, 4));
        assert!(!kept.can_resume_after(2, 0) && kept.can_resume_after(3, 0));
        kept.ping(0);
        assert!(kept.pong(7) && kept.frames.len() == 4);
        keep(&mut kept);
        assert_eq!((kept.sent(), kept.frames.len()), (8, 2));
    }
}

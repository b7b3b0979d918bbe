//! What a client that may resume was sent, and how it moves from the outbox of one connection to that of the next.

use std::collections::VecDeque;

use bytes::Bytes;

use super::compact::compact;
use super::queue::{Count, State};
use super::queued::Queued;
use super::replay::ReplayBuffer;
use super::share::Shares;
use super::{Outbox, Replayed, Topic};
use crate::limits::PLACE_BYTES;

/// What moves from one outbox to another.
struct Backlog {
    queue: VecDeque<Queued>,
    shares: Shares,
    kept: Box<ReplayBuffer>,
}

impl Outbox {
    /// Numbers the messages from the next one on, and keeps what is written, until [`forget`](Self::forget). Announces
    /// `first` in the same moment, because another task may queue an error.
    pub(crate) fn keep(&self, first: Option<Bytes>) {
        let mut state = self.lock();
        let unnumbered = state.queue.iter().filter(|queued| queued.is_message()).count();
        state.kept = Some(Box::new(ReplayBuffer::new(unnumbered)));
        first.into_iter().for_each(|frame| self.announce_to(&mut state, &self.owner, Topic::Start, frame));
    }

    /// Keeps nothing any more.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.kept = None;
    }

    /// Notes a pong with this payload; returns whether it proves what the client has received.
    pub(crate) fn ack(&self, payload: &[u8]) -> bool {
        let Some(number) = std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()) else { return false };
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(kept) = &mut state.kept else { return false };
        let was_held_back = kept.is_far_ahead();
        if !kept.pong(number) {
            return false;
        }
        state.ping |= kept.wants_ping();
        state.shares.wake_all();
        // What waited for this may be written.
        if was_held_back {
            state.wake_owner();
        }
        true
    }

    /// Whether a client that has received the messages up to the number `received` can get all the others: they are kept.
    pub(crate) fn can_resume_after(&self, received: u64) -> bool {
        self.lock().can_resume_after(received)
    }

    /// Moves what waits, and what is kept, to a new outbox that has no connection; none if nothing is kept. Its client
    /// counts as away: who sends more than may wait hears at once that it is busy. From now on only the new one is for the
    /// client's messages.
    pub(crate) fn suspend(&self) -> Option<Self> {
        let mut backlog = self.lock().take_backlog()?;
        backlog.kept.is_away = true;
        let of_same = Self::of(self.owner.clone(), self.max_bytes.min(PLACE_BYTES));
        let away = Self { address: self.address, opened: self.opened, ..of_same };
        away.lock().add_backlog(backlog);
        Some(away)
    }

    /// Moves what waits to `new`, after the message `resumed` and the kept messages whose numbers are above `received`.
    /// What cancels out is left out of both: nobody has a number yet for what comes after `received`, but the client counts what
    /// it gets. Nothing is queued in either of the two meanwhile, and from now on only `new` is for the client's messages.
    /// Returns what is sent again; none, and does nothing, if the client [cannot go on](Self::can_resume_after) from there.
    pub(crate) fn hand_over(&self, new: &Self, received: u64, resumed: Bytes) -> Option<Replayed> {
        let mut old = self.lock();
        if !old.can_resume_after(received) {
            return None;
        }
        let mut backlog = old.take_backlog()?;
        let mut state = new.lock();
        // A write of another task to the new connection may have failed. What comes from now on waits all the same, because
        // the client may come back for it.
        state.is_closed = false;
        state.awaits_writable |= state.error.is_some();
        new.announce_to(&mut state, new.sender(), Topic::Start, resumed);
        let unnumbered = state.queue.iter().filter(|queued| queued.is_message()).count();
        let (mut again, arrived) = backlog.kept.resume_after(received, unnumbered);
        backlog.queue.drain(..(arrived as usize).min(backlog.queue.len()));
        compact(&mut again, &mut backlog.queue);
        let bytes = again.iter().map(|queued| queued.frame.len()).sum();
        let replayed = Replayed { messages: again.len(), bytes };
        for mut queued in again {
            queued.settle(true);
            state.account(&queued);
            state.queue.push_back(queued);
        }
        // `resumed` says already what these announce, so what undoes them has to be said.
        backlog.queue.iter_mut().for_each(|queued| queued.settle(true));
        state.add_backlog(backlog);
        state.wake_owner();
        Some(replayed)
    }
}

impl State {
    fn can_resume_after(&self, received: u64) -> bool {
        let in_flight = self.in_flight();
        self.kept.as_ref().is_some_and(|kept| kept.can_resume_after(received, in_flight))
    }

    /// How many messages in the queue may have arrived although they are not known to be written.
    fn in_flight(&self) -> usize {
        let messages = self.queue.iter().take(self.begun()).filter(|queued| queued.is_message()).count();
        messages.saturating_sub(self.kept.as_ref().map_or(0, |kept| kept.unnumbered))
    }

    /// Takes what waits and what is kept; none if nothing is kept. A frame that is partly written stays as well, so that
    /// another frame may follow on this connection.
    fn take_backlog(&mut self) -> Option<Backlog> {
        let in_flight = self.in_flight();
        let mut kept = self.kept.take()?;
        kept.note_loss(in_flight);
        let rest = self.queue.iter().take(self.begun());
        let rest = rest.map(|queued| Queued::control(queued.frame.clone())).collect();
        let queue = std::mem::replace(&mut self.queue, rest);
        (self.bytes, self.announcements, self.errors) = (0, Count::default(), Count::default());
        let unnumbered = std::mem::take(&mut kept.unnumbered);
        let mut queue: VecDeque<_> = queue.into_iter().filter(Queued::is_message).skip(unnumbered).collect();
        // The first ones may have arrived, under their numbers. What the client was told in another way, it is told anew.
        queue.iter_mut().enumerate().for_each(|(at, queued)| queued.settle(at < in_flight));
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
}

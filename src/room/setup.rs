//! How calls are set up, as far as the relay sees it, for its metrics: who has come and waits for an offer, who has offered
//! and waits for an answer, and who has answered and has sent no candidate yet.
//!
//! Nothing here changes what is relayed. What takes longer than [`SETUP_PATIENCE`] is forgotten, and of offers it is counted
//! that nobody answered them.

use tokio::time::Instant;

use super::event::SignalKind;
use crate::limits::{SETUP_PATIENCE, SETUPS_OF_MEMBER, SETUPS_OF_ROOM};
use crate::metrics::SetupTimes;

/// What a room waits for.
#[derive(Debug, Default)]
pub(super) struct Setups(Vec<Setup>);

#[derive(Debug)]
struct Setup {
    /// The member who has come, offered or answered, by its number.
    by: u64,
    /// Whom the offer or the answer is for; none is whoever takes it.
    to: Option<u64>,
    since: Instant,
    awaits: SignalKind,
}

impl Setups {
    /// The member `serial` has come into a room of `members`, itself among them, where somebody was.
    pub(super) fn enter(&mut self, serial: u64, members: usize) {
        self.push(serial, None, SignalKind::Offer, members);
    }

    /// The one who has just come got the offer of `from`, who was alone.
    pub(super) fn hand_over(&mut self, from: u64, to: u64, members: usize) {
        self.push(from, Some(to), SignalKind::Answer, members);
    }

    /// `from` sends a signal of this kind to `to`, or to all of so many members.
    #[inline]
    pub(super) fn note(&mut self, kind: SignalKind, from: u64, to: Option<u64>, members: usize, times: &SetupTimes) {
        match kind {
            SignalKind::Offer => self.offer(from, to, members, times),
            SignalKind::Message => {}
            _ if self.0.is_empty() => {}
            SignalKind::Answer => self.answer(from, to, times),
            SignalKind::OfferIce | SignalKind::AnswerIce => self.candidate(from, to, times),
        }
    }

    /// The member `serial` leaves.
    pub(super) fn forget(&mut self, serial: u64, times: &SetupTimes) {
        self.sweep(times);
        self.0.retain(|setup| setup.by != serial && setup.to != Some(serial));
        self.shrink();
    }

    /// Forgets what has taken too long.
    pub(super) fn sweep(&mut self, times: &SetupTimes) {
        if self.0.is_empty() {
            return;
        }
        let now = Instant::now();
        self.0.retain(|setup| {
            let is_late = now.duration_since(setup.since) >= SETUP_PATIENCE;
            if is_late && setup.awaits == SignalKind::Answer {
                times.unanswered.add(1);
            }
            !is_late
        });
        self.shrink();
    }

    fn offer(&mut self, from: u64, to: Option<u64>, members: usize, times: &SetupTimes) {
        self.sweep(times);
        // The call of a newcomer begins with the first offer in which it takes part, whoever makes that.
        while let Some(came) = self
            .take(|setup| setup.awaits == SignalKind::Offer && (setup.by == from || to.is_none_or(|to| to == setup.by)))
        {
            times.join_to_offer.add(came.since.elapsed());
        }
        // An offer that is made again, or renegotiates, waits from the first one on.
        let is_same = |setup: &Setup| setup.awaits == SignalKind::Answer && setup.by == from && setup.to == to;
        if !self.0.iter().any(is_same) {
            self.push(from, to, SignalKind::Answer, members);
        }
    }

    fn answer(&mut self, from: u64, to: Option<u64>, times: &SetupTimes) {
        let is_answered = |setup: &Setup| {
            setup.awaits == SignalKind::Answer
                && setup.by != from
                && setup.to.is_none_or(|to| to == from)
                && to.is_none_or(|to| to == setup.by)
        };
        let Some(offer) = self.take(is_answered) else { return };
        times.offer_to_answer.add(offer.since.elapsed());
        // Of two offers that cross, the polite side takes its own back (RFC 8829 section 4.1.10.2).
        self.take(|setup| setup.awaits == SignalKind::Answer && setup.by == from && setup.to == Some(offer.by));
        self.0.push(Setup { by: from, to: Some(offer.by), since: Instant::now(), awaits: SignalKind::AnswerIce });
    }

    fn candidate(&mut self, from: u64, to: Option<u64>, times: &SetupTimes) {
        let is_first = |setup: &Setup| {
            setup.awaits == SignalKind::AnswerIce && setup.by == from && (to.is_none() || setup.to == to)
        };
        if let Some(answer) = self.take(is_first) {
            times.answer_to_candidate.add(answer.since.elapsed());
            self.shrink();
        }
    }

    fn push(&mut self, by: u64, to: Option<u64>, awaits: SignalKind, members: usize) {
        if cfg!(feature = "admin") && self.0.len() < (members * SETUPS_OF_MEMBER).min(SETUPS_OF_ROOM) {
            self.0.push(Setup { by, to, since: Instant::now(), awaits });
        }
    }

    fn take(&mut self, is_wanted: impl Fn(&Setup) -> bool) -> Option<Setup> {
        let position = self.0.iter().position(is_wanted)?;
        Some(self.0.swap_remove(position))
    }

    /// A room in which nothing is set up any more keeps no memory for it.
    fn shrink(&mut self) {
        if self.0.is_empty() {
            self.0 = Vec::new();
        }
    }
}

#[cfg(all(test, feature = "admin"))]
mod tests {
    use std::time::Duration;

    use super::SignalKind::{Answer, AnswerIce, Offer, OfferIce};
    use super::*;
    use crate::metrics::TIME_BOUNDS;

    /// How many were timed: from joins to offers, to answers, to candidates; and how many offers nobody answered.
    fn counts(times: &SetupTimes) -> [u64; 4] {
        let count = |(_, within): (f64, [u64; TIME_BOUNDS.len() + 1])| within.iter().sum();
        let [joins, offers, answers] =
            [&times.join_to_offer, &times.offer_to_answer, &times.answer_to_candidate].map(|times| count(times.get()));
        [joins, offers, answers, times.unanswered.get()]
    }

    #[tokio::test(start_paused = true)]
    async fn the_steps_of_a_call_are_timed_once_each() {
        let (mut setups, times) = (Setups::default(), SetupTimes::default());
        setups.enter(2, 2);
        tokio::time::advance(Duration::from_millis(300)).await;
        setups.note(Offer, 2, Some(1), 2, &times);
        setups.note(OfferIce, 2, Some(1), 2, &times);
        tokio::time::advance(Duration::from_millis(70)).await;
        setups.note(Answer, 1, Some(2), 2, &times);
        tokio::time::advance(Duration::from_millis(8)).await;
        for _ in 0..2 {
            setups.note(OfferIce, 2, Some(1), 2, &times);
            setups.note(AnswerIce, 1, Some(2), 2, &times);
        }
        assert_eq!(counts(&times), [1, 1, 1, 0]);
        assert_eq!(times.join_to_offer.get().0, 0.3);
        assert_eq!(times.offer_to_answer.get().0, 0.07);
        assert_eq!(times.answer_to_candidate.get().0, 0.008);
        assert_eq!(setups.0.capacity(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_to_the_steps_are_those_of_whoever_takes_part() {
        let (mut setups, times) = (Setups::default(), SetupTimes::default());
        // Its offer was held.
        setups.hand_over(1, 2, 2);
        setups.note(Answer, 2, None, 2, &times);
        setups.note(AnswerIce, 2, None, 2, &times);
        assert_eq!(counts(&times), [0, 1, 1, 0]);
        setups.enter(3, 2);
        setups.note(Offer, 1, None, 2, &times);
        setups.note(Answer, 2, None, 2, &times);
        assert_eq!(counts(&times), [1, 2, 1, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_offer_that_nobody_answers_is_counted_once_and_one_that_gave_way_is_not() {
        let (mut setups, times) = (Setups::default(), SetupTimes::default());
        setups.note(Offer, 1, Some(2), 2, &times);
        setups.note(Offer, 2, Some(1), 2, &times);
        setups.note(Answer, 2, Some(1), 2, &times);
        tokio::time::advance(SETUP_PATIENCE).await;
        setups.sweep(&times);
        assert_eq!(counts(&times), [0, 1, 0, 0]);
        setups.note(Offer, 1, Some(2), 2, &times);
        tokio::time::advance(SETUP_PATIENCE / 2).await;
        setups.note(Offer, 1, Some(2), 2, &times);
        tokio::time::advance(SETUP_PATIENCE / 2).await;
        setups.forget(1, &times);
        assert_eq!(counts(&times), [0, 1, 0, 1]);
        // Who leaves at once has changed its mind.
        setups.note(Offer, 1, Some(2), 2, &times);
        setups.forget(2, &times);
        tokio::time::advance(SETUP_PATIENCE).await;
        setups.sweep(&times);
        assert_eq!(counts(&times), [0, 1, 0, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let (mut setups, times) = (Setups::default(), SetupTimes::default());
        for to in 0..100 {
            setups.note(Offer, 100, Some(to), 3, &times);
        }
        assert_eq!(setups.0.len(), 3 * SETUPS_OF_MEMBER);
        for to in 0..1_000 {
            setups.note(Offer, 1_000, Some(to), 256, &times);
        }
        assert_eq!(setups.0.len(), SETUPS_OF_ROOM);
    }
}

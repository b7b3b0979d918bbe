//! How long a sender waits for room at its receivers: it looks at them again and again, and gives up after so many looks.
//!
//! Looks are counted, since a receiver may read in time while the relay itself is late: each is one more turn for all tasks, however
//! long that takes.

use std::time::Duration;

use tokio::time::Instant;

/// The looks of one wait.
#[derive(Debug)]
pub(crate) struct Looks {
    since: Instant,
    every: Duration,
    count: u32,
    last: Option<Instant>,
}

impl Looks {
    /// None yet, for a wait that begins `now`, and of which one is due `every` so often.
    pub(crate) fn every(every: Duration, now: Instant) -> Self {
        Self { since: now, every, count: 0, last: None }
    }

    /// Whether it is time for another one. A waiter is also woken between them.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next()
    }

    /// When it is.
    pub(crate) fn next(&self) -> Instant {
        self.last.map_or(self.since, |last| last + self.every)
    }

    /// Notes one that was in vain, if it [was due](Self::is_due).
    pub(crate) fn note(&mut self, now: Instant) {
        if self.is_due(now) {
            (self.count, self.last) = (self.count + 1, Some(now));
        }
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// When the last one was.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }
}

//! A token bucket in one atomic number, so that many connections share it without a lock.
//!
//! It stores when the bucket is full again. To take tokens moves that time into the future, by as long as they take to
//! refill; a bucket is empty when it is the whole burst away. (This is the generic cell rate algorithm of ATM, with the
//! same answers as a bucket with a level.)

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many tokens a bucket holds, and how fast it refills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    nanos_per_token: f64,
    /// How long an empty bucket takes to refill, in nanoseconds.
    burst_nanos: u64,
}

impl Rate {
    /// Buckets that hold `at_once` tokens, and refill `count` tokens in `period`; none for a count of 0, which means no
    /// limit.
    pub(crate) fn new(count: u32, period: Duration, at_once: f64) -> Option<Self> {
        let nanos_per_token = period.as_nanos() as f64 / f64::from(count);
        (count > 0).then_some(Self { nanos_per_token, burst_nanos: (nanos_per_token * at_once) as u64 })
    }
}

/// A token bucket. Times are in nanoseconds since a moment that all its users agree on.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes `tokens` if there are as many.
    ///
    /// # Errors
    /// How long it takes until there are.
    pub(crate) fn take(&self, rate: &Rate, tokens: u32, now: u64) -> Result<(), Duration> {
        let after = |full_at: u64| full_at.max(now).saturating_add(cost(rate, tokens as usize));
        let limit = now.saturating_add(rate.burst_nanos);
        let taken =
            self.full_at.fetch_update(Relaxed, Relaxed, |full_at| Some(after(full_at)).filter(|at| *at <= limit));
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => Err(Duration::from_nanos(after(full_at) - limit)),
        }
    }

    /// Takes `tokens` even if there are fewer: the rest is missing until it has refilled.
    pub(crate) fn charge(&self, rate: &Rate, tokens: usize, now: u64) {
        let after = |full_at: u64| full_at.max(now).saturating_add(cost(rate, tokens));
        let _ = self.full_at.fetch_update(Relaxed, Relaxed, |full_at| Some(after(full_at)));
    }

    /// How long it takes until no token is missing; none if none is.
    pub(crate) fn missing(&self, rate: &Rate, now: u64) -> Option<Duration> {
        let missing = self.full_at.load(Relaxed).saturating_sub(now.saturating_add(rate.burst_nanos));
        (missing > 0).then(|| Duration::from_nanos(missing))
    }

    /// Whether all tokens are there.
    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.full_at.load(Relaxed) <= now
    }
}

fn cost(rate: &Rate, tokens: usize) -> u64 {
    (rate.nanos_per_token * tokens as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn ten_a_second_after_twenty() -> Rate {
        Rate::new(10, Duration::from_secs(1), 20.0).unwrap()
    }

    #[test]
    fn the_burst_passes_and_then_the_rate() {
        let (rate, bucket) = (ten_a_second_after_twenty(), Bucket::default());
        for _ in 0..20 {
            assert_eq!(bucket.take(&rate, 1, SECOND), Ok(()));
        }
        assert_eq!(bucket.take(&rate, 1, SECOND), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(&rate, 1, SECOND), Err(Duration::from_millis(100)), "a refusal costs nothing");
        for _ in 0..10 {
            assert_eq!(bucket.take(&rate, 1, 2 * SECOND), Ok(()));
        }
        assert!(bucket.take(&rate, 1, 2 * SECOND).is_err());
    }

    #[test]
    fn it_holds_no_more_than_the_burst_however_long_it_waits() {
        let (rate, bucket) = (ten_a_second_after_twenty(), Bucket::default());
        assert!(bucket.is_full(0));
        bucket.take(&rate, 20, 0).unwrap();
        assert!(!bucket.is_full(2 * SECOND - 1));
        assert!(bucket.is_full(2 * SECOND));
        assert_eq!(bucket.take(&rate, 20, 1_000 * SECOND), Ok(()));
        assert!(bucket.take(&rate, 1, 1_000 * SECOND).is_err());
    }

    #[test]
    fn what_was_taken_beyond_the_burst_is_missing_until_it_has_refilled() {
        let (rate, bucket) = (ten_a_second_after_twenty(), Bucket::default());
        bucket.charge(&rate, 20, 0);
        assert_eq!(bucket.missing(&rate, 0), None);
        bucket.charge(&rate, 10, 0);
        assert_eq!(bucket.missing(&rate, 0), Some(Duration::from_secs(1)));
        assert_eq!(bucket.missing(&rate, SECOND), None);
    }

    #[test]
    fn a_count_of_zero_is_no_limit() {
        assert!(Rate::new(0, Duration::from_secs(1), 0.0).is_none());
    }
}

//! How much one connection may send: messages, bytes, and frames that carry nothing. Bytes and joins also count for the
//! client's address.
//!
//! Messages beyond the rate are answered with `rate_limited`, and a client that goes on regardless is closed. Beyond
//! the byte rate the connection is throttled: the relay reads from it again later, and does not close it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::address::{Address, Rules};
use super::bucket::{Bucket, Rate};
use super::over_limit::OverLimit;
use crate::limits::{EMPTY_FRAMES, EMPTY_FRAMES_FOR, REFUSALS};

/// What one connection may send, in messages and in bytes: a token bucket for each.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    rules: Arc<Rules>,
    messages: Bucket,
    bytes: Bucket,
    refused: u32,
    /// The limits of the client's address, which it shares with other clients there.
    address: Option<Arc<Address>>,
}

/// What the relay does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RateDecision {
    /// It is carried out.
    Allowed,
    /// It is answered with `rate_limited`.
    Limited,
    /// Its sender went on after [`REFUSALS`] such answers: its connection is closed.
    Exceeded,
}

impl RateLimiter {
    /// Full buckets, within these rules.
    pub(super) fn within(rules: Arc<Rules>) -> Self {
        Self { rules, messages: Bucket::default(), bytes: Bucket::default(), refused: 0, address: None }
    }

    /// Full buckets for these rates, which no other connection has.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(message_rate: u32, byte_rate: u32, now: Instant) -> Self {
        let settings = super::QuotaSettings { message_rate, byte_rate, ..Default::default() };
        Self::within(Arc::new(Rules::new(&settings, now)))
    }

    /// Counts bytes and joins for this address as well.
    pub(crate) fn sharing(self, address: Option<Arc<Address>>) -> Self {
        Self { address, ..self }
    }

    /// The client's address; none if that is not limited.
    pub(crate) fn address(&self) -> Option<&Arc<Address>> {
        self.address.as_ref()
    }

    /// What the client may send, for its next connection: this one has ended.
    pub(crate) fn take(&mut self) -> Self {
        let rest = Self::within(Arc::clone(&self.rules));
        Self { address: None, ..std::mem::replace(self, rest) }
    }

    /// Goes on from what the client's last connection left; its address is the new one.
    pub(crate) fn continue_from(&mut self, earlier: Self) {
        *self = Self { address: self.address.take(), ..earlier };
    }

    /// Counts one join for the client's address.
    ///
    /// # Errors
    /// [`OverLimit`], if clients there have joined too often.
    pub(crate) fn take_join(&self) -> Result<(), OverLimit> {
        self.address.as_ref().map_or(Ok(()), |address| address.take_join())
    }

    /// Counts that a join, which was counted as one, has failed.
    pub(crate) fn charge_failed_join(&self) {
        if let Some(address) = &self.address {
            address.charge_failed_join();
        }
    }

    /// Counts one message, and decides what to do with it.
    pub(crate) fn take_message(&mut self, now: Instant) -> RateDecision {
        let Some(rate) = &self.rules.messages else { return RateDecision::Allowed };
        let now = self.rules.nanos(now);
        if self.messages.is_full(now) {
            self.refused = 0;
        }
        if self.messages.take(rate, 1, now).is_ok() {
            return RateDecision::Allowed;
        }
        self.refused += 1;
        if self.refused > REFUSALS { RateDecision::Exceeded } else { RateDecision::Limited }
    }

    /// Counts `more` deliveries of an allowed message: a broadcast, a join and a leave cost as much as they deliver.
    pub(crate) fn charge(&mut self, more: usize) {
        /// They count from the moment of that message, however much later they are counted.
        const THEN: u64 = 0;
        if let Some(rate) = &self.rules.messages {
            self.messages.charge(rate, more, THEN);
        }
    }

    /// What the client may send on a wire that has no word for "too fast".
    #[cfg(feature = "wires")]
    pub(crate) fn pace(&self) -> Pace {
        Pace { rules: Arc::clone(&self.rules), deliveries: Bucket::default() }
    }

    /// Counts what is sent again to the client, and to others because of its coming and going, as if it had sent that now.
    pub(crate) fn charge_replay(&mut self, messages: usize, bytes: usize, now: Instant) {
        let now = self.rules.nanos(now);
        if let Some(rate) = &self.rules.messages {
            self.messages.charge(rate, messages, now);
        }
        if let Some(rate) = &self.rules.own_bytes {
            self.bytes.charge(rate, bytes, now);
        }
    }

    /// How long it takes until nothing is missing that was charged beyond the connection's own rates; none if nothing is.
    pub(crate) fn missing(&self, now: Instant) -> Option<Duration> {
        let now = self.rules.nanos(now);
        let missing = |bucket: &Bucket, rate: &Option<Rate>| bucket.missing(rate.as_ref()?, now);
        missing(&self.messages, &self.rules.messages).max(missing(&self.bytes, &self.rules.own_bytes))
    }

    /// Counts `bytes` that were read from the socket.
    #[inline(always)]
    pub(crate) fn take_bytes(&mut self, bytes: usize, now: Instant) {
        if let Some(rate) = &self.rules.own_bytes {
            self.bytes.charge(rate, bytes, self.rules.nanos(now));
        }
        if let Some(address) = &self.address {
            address.take_bytes(bytes, now);
        }
    }

    /// When to read from the socket again; none if it may be read now.
    #[inline(always)]
    pub(crate) fn next_read(&mut self, now: Instant) -> Option<Instant> {
        let missing = |rate| self.bytes.missing(rate, self.rules.nanos(now));
        let own = self.rules.own_bytes.as_ref().and_then(missing);
        let shared = self.address.as_ref().and_then(|address| address.pause(now));
        // At least the resolution of the timer, however little is missing.
        own.max(shared).map(|missing| now + missing.max(Duration::from_millis(1)))
    }
}

/// How much one connection may send on a wire that has no word for "too fast": nothing is refused, and what is too much makes
/// the relay read on later.
///
/// A message costs what [`DELIVERIES_A_MESSAGE`](crate::limits::DELIVERIES_A_MESSAGE) deliveries cost, and each of its
/// deliveries one.
#[cfg(feature = "wires")]
#[derive(Debug)]
pub(crate) struct Pace {
    rules: Arc<Rules>,
    deliveries: Bucket,
}

#[cfg(feature = "wires")]
impl Pace {
    /// Counts a message with so many deliveries.
    pub(crate) fn charge(&self, deliveries: usize, now: Instant) {
        if let Some(rate) = &self.rules.deliveries {
            let cost = crate::limits::DELIVERIES_A_MESSAGE as usize + deliveries;
            self.deliveries.charge(rate, cost, self.rules.nanos(now));
        }
    }

    /// When to read from the client again; none if it may be read now.
    pub(crate) fn next_read(&self, now: Instant) -> Option<Instant> {
        let rate = self.rules.deliveries.as_ref()?;
        let missing = self.deliveries.missing(rate, self.rules.nanos(now))?;
        Some(now + missing.max(Duration::from_millis(1)))
    }
}

/// Counts frames that carry nothing: pings, pongs and empty fragments.
#[derive(Debug)]
pub(crate) struct EmptyFrames {
    window: Instant,
    count: u32,
    /// Windows in a row that had too many.
    exceeded: u32,
}

/// How many windows [`EMPTY_FRAMES_FOR`] is divided into: a short burst is not a flood.
const WINDOWS: u32 = 4;

impl EmptyFrames {
    /// A counter at zero.
    pub(crate) fn new(now: Instant) -> Self {
        Self { window: now, count: 0, exceeded: 0 }
    }

    /// Counts one frame; returns whether the client has sent too many for too long.
    pub(crate) fn exceeds(&mut self, now: Instant) -> bool {
        const LENGTH: Duration = Duration::from_millis(EMPTY_FRAMES_FOR.as_millis() as u64 / WINDOWS as u64);
        const MOST: u32 = EMPTY_FRAMES * LENGTH.as_millis() as u32 / 1000;
        let elapsed = now.saturating_duration_since(self.window);
        if elapsed >= LENGTH {
            let in_a_row = self.count > MOST && elapsed < LENGTH * 2;
            self.exceeded = if in_a_row { self.exceeded + 1 } else { 0 };
            (self.window, self.count) = (now, 0);
        }
        self.count += 1;
        self.count > MOST && self.exceeded >= WINDOWS - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        ADDRESS_BURST_SECONDS, ADDRESS_BYTES_BURST_SECONDS, BYTE_BURST, BYTE_RATE, MESSAGE_BURST, MESSAGE_RATE,
    };
    use crate::quota::{QuotaSettings, Quotas};

    fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The address of a client that is still connected, for the tests of these limits.
    fn address(settings: QuotaSettings) -> Arc<Address> {
        let quotas = Quotas::new(&QuotaSettings { max_connections: Some(0), ..settings });
        let admission = quotas.admit(Some([192, 0, 2, 1].into())).unwrap();
        Arc::clone(admission.address().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn clients_at_one_address_share_its_bytes_and_its_joins() {
        let address = address(QuotaSettings { address_bytes: 1_000, address_joins: 1, ..QuotaSettings::default() });
        let limiter = || RateLimiter::new(0, 0, Instant::now()).sharing(Some(Arc::clone(&address)));
        let (mut one, mut other) = (limiter(), limiter());
        one.take_bytes(1_000 * ADDRESS_BYTES_BURST_SECONDS as usize + 500, Instant::now());
        assert_eq!(other.next_read(Instant::now()), Some(Instant::now() + Duration::from_millis(500)));
        one.charge_failed_join();
        assert_eq!(other.take_join(), Ok(()), "the tenth of ten");
        assert_eq!(one.take_join(), Err(OverLimit::Joins(second(1))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_goes_on_with_its_rates_and_counts_for_its_new_address() {
        let now = Instant::now();
        let old = address(QuotaSettings { address_joins: 0, ..QuotaSettings::default() });
        let mut before = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, now).sharing(Some(Arc::clone(&old)));
        while before.take_message(now) == RateDecision::Allowed {}
        let parted = before.take();
        drop(before);
        assert_eq!(Arc::strong_count(&old), 1, "a place without a connection has no address");

        let new = address(QuotaSettings { address_joins: 1, ..QuotaSettings::default() });
        let mut after = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, now).sharing(Some(new));
        after.continue_from(parted);
        assert_eq!(after.take_message(now), RateDecision::Limited);
        assert!((0..=ADDRESS_BURST_SECONDS).any(|_| after.take_join().is_err()));
    }

    #[cfg(feature = "wires")]
    #[test]
    fn a_newcomer_among_34_says_all_at_once_and_who_goes_on_is_read_later() {
        let start = Instant::now();
        let pace = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, start).pace();
        (0..400).for_each(|_| pace.charge(34, start));
        assert_eq!(pace.next_read(start), None);
        (0..400).for_each(|_| pace.charge(34, start));
        // 800 frames cost 35,200, of which 20,000 are free, and 1,000 come back a second.
        assert_eq!(pace.next_read(start), Some(start + Duration::from_millis(15_200)));
        assert_eq!(pace.next_read(start + second(16)), None);
        let unlimited = RateLimiter::new(0, 0, start).pace();
        (0..10_000).for_each(|_| unlimited.charge(128, start));
        assert_eq!(unlimited.next_read(start), None);
    }

    #[test]
    fn a_burst_of_messages_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, start);
        for _ in 0..MESSAGE_BURST {
            assert_eq!(rate.take_message(start), RateDecision::Allowed);
        }
        assert_eq!(rate.take_message(start), RateDecision::Limited);
        for _ in 0..MESSAGE_RATE {
            assert_eq!(rate.take_message(start + second(1)), RateDecision::Allowed);
        }
        assert_eq!(rate.take_message(start + second(1)), RateDecision::Limited);
    }

    #[test]
    fn bytes_beyond_the_burst_are_read_later() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, start);
        rate.take_bytes(BYTE_BURST as usize, start);
        assert_eq!(rate.next_read(start), None);
        rate.take_bytes(BYTE_RATE as usize, start);
        assert_eq!(rate.next_read(start), Some(start + second(1)));
        assert_eq!(rate.next_read(start + second(1)), None);
        assert_eq!(rate.take_message(start), RateDecision::Allowed, "and cost no messages");
    }

    #[test]
    fn a_broadcast_costs_as_much_as_it_delivers() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, start);
        let mut sent = 0;
        while sent < MESSAGE_BURST && rate.take_message(start) == RateDecision::Allowed {
            rate.charge(9);
            sent += 1;
        }
        assert_eq!(sent, MESSAGE_BURST / 10);
    }

    #[test]
    fn a_sender_that_goes_on_is_a_flood_and_one_that_stops_for_long_may_send_again() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, start);
        while rate.take_message(start) == RateDecision::Allowed {}
        for _ in 1..REFUSALS {
            assert_eq!(rate.take_message(start), RateDecision::Limited);
        }
        assert_eq!(rate.take_message(start), RateDecision::Exceeded);
        assert_eq!(rate.take_message(start + second(3600)), RateDecision::Allowed);
    }

    #[test]
    fn a_rate_of_zero_is_no_limit() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(0, 0, start);
        for _ in 0..100_000 {
            assert_eq!(rate.take_message(start), RateDecision::Allowed);
            rate.take_bytes(64 * 1024, start);
        }
        assert_eq!(rate.next_read(start), None);
    }

    #[test]
    fn empty_frames_without_end_are_too_many_within_two_seconds() {
        let start = Instant::now();
        let mut empty = EmptyFrames::new(start);
        let after = (0..1000).map(|n| start + Duration::from_millis(5) * n).find(|now| empty.exceeds(*now)).unwrap();
        let elapsed = after - start;
        assert!(elapsed > second(1) && elapsed <= second(2), "{elapsed:?}");
    }

    #[test]
    fn a_burst_of_empty_frames_and_a_hundred_a_second_are_allowed() {
        let start = Instant::now();
        let mut empty = EmptyFrames::new(start);
        for minute in 0..60 {
            let now = start + second(60 * minute);
            assert!((0..100_000).all(|_| !empty.exceeds(now)), "a burst in minute {minute}");
        }
        let mut empty = EmptyFrames::new(start);
        assert!((0..100_000).all(|n| !empty.exceeds(start + Duration::from_millis(10) * n)));
    }

    #[test]
    fn refusals_are_forgotten_when_the_whole_burst_is_back_and_not_before() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, start);
        let refusals_until_exceeded = |rate: &mut RateLimiter, now: Instant| {
            while rate.take_message(now) == RateDecision::Allowed {}
            1 + (0..).take_while(|_| rate.take_message(now) == RateDecision::Limited).count()
        };
        assert_eq!(refusals_until_exceeded(&mut rate, start), REFUSALS as usize);
        // The first refusal after that second is one too many already.
        let soon = start + second(1);
        assert_eq!((0..MESSAGE_RATE).filter(|_| rate.take_message(soon) == RateDecision::Allowed).count(), 100);
        assert_eq!(rate.take_message(soon), RateDecision::Exceeded);
        assert_eq!(refusals_until_exceeded(&mut rate, start + second(3600)), REFUSALS as usize);
    }

    /// Sends `count` empty frames in each window that begins at one of these times, and expects all to be allowed.
    fn send_empty(empty: &mut EmptyFrames, windows: &[Instant], count: u32) {
        for now in windows {
            assert!((0..count).all(|_| !empty.exceeds(*now)));
        }
    }

    #[test]
    fn the_fourth_half_second_in_a_row_ends_the_connection_at_its_fifty_first_empty_frame() {
        let start = Instant::now();
        let half_second = |n: u32| start + Duration::from_millis(500) * n;
        let mut empty = EmptyFrames::new(start);
        send_empty(&mut empty, &[0, 1, 2].map(half_second), 51);
        send_empty(&mut empty, &[half_second(3)], 50);
        assert!(empty.exceeds(half_second(3)) && empty.exceeds(half_second(3)), "and at each further one");

        let mut at_the_limit = EmptyFrames::new(start);
        send_empty(&mut at_the_limit, &[0, 1, 2].map(half_second), 50);
        send_empty(&mut at_the_limit, &[half_second(3)], 1000);

        let mut with_pauses = EmptyFrames::new(start);
        send_empty(&mut with_pauses, &[0, 2, 4].map(half_second), 51);
        send_empty(&mut with_pauses, &[half_second(6)], 1000);
    }
}

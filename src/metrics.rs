//! What the relay counts while it serves. `admin/` writes it for Prometheus; without the feature `admin` nothing is counted.
//!
//! What a message touches is counted in [`Hot`], of which each thread has one of its own (of a few), so that threads do not
//! take a line of memory from each other at each message.

mod calls;

#[cfg(feature = "admin")]
use std::array;
use std::cell::Cell;
#[cfg(feature = "admin")]
use std::sync::atomic::AtomicU64;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

#[cfg(feature = "wires")]
use crate::wire::Wire;
pub use calls::CallReport;
pub(crate) use calls::{CallReports, SetupTimes};

/// How many types of messages clients send, with one for what is no message.
pub(crate) const MESSAGE_TYPES: usize = 16;
/// How many codes of errors there are.
pub(crate) const ERROR_CODES: usize = 20;
/// How many reasons there are for the end of a connection.
pub(crate) const CLOSE_REASONS: usize = 17;
/// How many limits refuse something.
pub(crate) const LIMITS: usize = 6;
/// How many wires of other libraries there are.
#[cfg(feature = "wires")]
const WIRES: usize = Wire::ALL.len();
/// How many threads count apart from each other; those of larger machines share.
const SHARDS: usize = 8;
/// One of so many messages is timed.
const SAMPLE: u32 = 64;
/// The bounds of the times that are counted together, in nanoseconds: from those of messages to those of people.
pub(crate) const TIME_BOUNDS: [u64; 21] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    20_000_000_000,
    30_000_000_000,
];

/// Lines of the log of this process that nobody could read.
pub(crate) static LOG_LINES_LOST: Counter = Counter::new();

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    #[cfg(feature = "admin")]
    count: AtomicU64,
}

/// A number for each of a short list.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    #[cfg(feature = "admin")]
    counts: [Counter; N],
}

/// What a relay counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    hot: [Hot; SHARDS],
    /// WebSockets that were opened.
    pub websockets: Counter,
    /// Joins that succeeded, of those who were let in by a host too.
    pub joins: Counter,
    /// Places that were taken again.
    pub resumes: Counter,
    /// `error` messages by their codes.
    pub errors: Counters<ERROR_CODES>,
    /// WebSockets that ended, by their reasons.
    pub closes: Counters<CLOSE_REASONS>,
    /// What was refused, by the limits.
    pub refusals: Counters<LIMITS>,
    /// TLS handshakes that succeeded.
    pub handshakes: Counter,
    /// TLS handshakes that failed.
    pub failed_handshakes: Counter,
    /// How long messages took from being read until their copies were written or left to other tasks.
    pub latency: Times,
    /// What clients reported of their calls.
    pub reports: CallReports,
}

/// What a message touches.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Hot {
    /// Messages of clients by their types.
    pub messages: Counters<MESSAGE_TYPES>,
    /// Bytes that were read from WebSockets.
    pub received_bytes: Counter,
    /// Texts of clients on the wires of other libraries.
    #[cfg(feature = "wires")]
    pub wires: Counters<WIRES>,
    /// Copies of messages that were queued for receivers.
    pub relayed: Counter,
    /// The bytes of these, as their senders wrote them.
    pub relayed_bytes: Counter,
}

impl Hot {
    /// Counts a message of so many bytes that was queued for so many receivers.
    pub(crate) fn count_relayed(&self, copies: usize, bytes: usize) {
        self.relayed.add(copies as u64);
        self.relayed_bytes.add((copies * bytes) as u64);
    }
}

/// Times, counted by [`TIME_BOUNDS`].
#[derive(Debug, Default)]
pub(crate) struct Times {
    within: Counters<{ TIME_BOUNDS.len() + 1 }>,
    nanos: Counter,
}

thread_local! {
    /// Which of the [`Hot`] this thread has.
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
    /// How many messages pass until one is timed.
    static UNTIL_SAMPLE: Cell<u32> = const { Cell::new(0) };
}

impl Metrics {
    /// Those of this thread.
    pub(crate) fn hot(&self) -> &Hot {
        let [first, ..] = &self.hot;
        self.hot.get(shard()).unwrap_or(first)
    }

    /// All of them.
    #[cfg(feature = "admin")]
    pub(crate) fn all_hot(&self) -> &[Hot] {
        &self.hot
    }
}

fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    SHARD.get().unwrap_or_else(|| {
        let shard = THREADS.fetch_add(1, Relaxed) % SHARDS;
        SHARD.set(Some(shard));
        shard
    })
}

/// Whether the message of now is one of those that are timed.
pub(crate) fn is_sample() -> bool {
    let left = UNTIL_SAMPLE.get();
    UNTIL_SAMPLE.set(if left == 0 { SAMPLE - 1 } else { left - 1 });
    left == 0
}

impl Counter {
    const fn new() -> Self {
        Self {
            #[cfg(feature = "admin")]
            count: AtomicU64::new(0),
        }
    }

    /// Counts so many more.
    pub(crate) fn add(&self, more: u64) {
        #[cfg(feature = "admin")]
        self.count.fetch_add(more, Relaxed);
        #[cfg(not(feature = "admin"))]
        let _ = more;
    }

    /// How many there were.
    #[cfg(feature = "admin")]
    pub(crate) fn get(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self {
            #[cfg(feature = "admin")]
            counts: array::from_fn(|_| Counter::new()),
        }
    }
}

impl<const N: usize> Counters<N> {
    /// Counts one more of the list's entry `index`.
    pub(crate) fn add(&self, index: usize) {
        #[cfg(feature = "admin")]
        if let Some(counter) = self.counts.get(index) {
            counter.add(1);
        }
        #[cfg(not(feature = "admin"))]
        let _ = index;
    }

    /// How many there were of each.
    #[cfg(feature = "admin")]
    pub(crate) fn get(&self) -> [u64; N] {
        array::from_fn(|index| self.counts.get(index).map_or(0, Counter::get))
    }
}

impl Times {
    /// Counts one more.
    pub(crate) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = TIME_BOUNDS.iter().position(|bound| nanos <= *bound).unwrap_or(TIME_BOUNDS.len());
        self.within.add(bucket);
        self.nanos.add(nanos);
    }

    /// All of them together, in seconds, and how many were within each bound and above the one before.
    #[cfg(feature = "admin")]
    pub(crate) fn get(&self) -> (f64, [u64; TIME_BOUNDS.len() + 1]) {
        (Duration::from_nanos(self.nanos.get()).as_secs_f64(), self.within.get())
    }
}

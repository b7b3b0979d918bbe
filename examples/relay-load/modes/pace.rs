//! An open loop: messages are due at a fixed rate, whatever the server does. What a member's socket does not take waits
//! with that member, keeps the time at which it was due, and holds nobody else up.

use std::collections::VecDeque;
use std::time::Duration;

use crate::net::Net;

/// A message that is due sooner is waited for in a loop: the poller's own clock counts milliseconds.
const SPIN: Duration = Duration::from_millis(2);
/// Bytes that may wait for a member's socket before what is due waits with the member.
const BACKLOG_BYTES: usize = 256 * 1024;
/// Nanoseconds of a second.
const NANOS: f64 = 1e9;

/// Who sends when.
pub(crate) struct Pace {
    /// Nanoseconds from one message to the next.
    interval: f64,
    /// When the next is due, in nanoseconds.
    due: f64,
    /// Who takes turns, each with what is due of it and not sent.
    talkers: Vec<(usize, VecDeque<u64>)>,
    /// The place in `talkers` of whose turn it is.
    turn: usize,
    /// The places of those with something to send.
    ready: VecDeque<usize>,
}

impl Pace {
    /// `rate` messages a second, by each of `talkers` in turn.
    pub(crate) fn new(rate: f64, talkers: Vec<usize>) -> Self {
        let talkers = talkers.into_iter().map(|talker| (talker, VecDeque::new())).collect();
        Self { interval: NANOS / rate, due: 0.0, talkers, turn: 0, ready: VecDeque::new() }
    }

    /// The first message is due now.
    pub(crate) fn start(&mut self, now: u64) {
        self.due = now as f64;
    }

    /// Gives each talker what has become due until `now`; how long nothing more will.
    pub(crate) fn advance(&mut self, now: u64) -> Duration {
        while self.due <= now as f64 {
            if let Some((_, waiting)) = self.talkers.get_mut(self.turn) {
                waiting.push_back(self.due as u64);
                self.ready.push_back(self.turn);
            }
            self.turn = (self.turn + 1) % self.talkers.len();
            self.due += self.interval;
        }
        let pause = Duration::from_nanos((self.due - now as f64) as u64);
        if pause < SPIN { Duration::ZERO } else { pause - SPIN / 2 }
    }

    /// The next message to send, and when it was due: of somebody whose turn has come and whose socket takes it.
    pub(crate) fn next(&mut self, net: &Net) -> Option<(usize, u64)> {
        while let Some(place) = self.ready.pop_front() {
            let Some((talker, waiting)) = self.talkers.get_mut(place) else { continue };
            // One whose socket is full is looked at again when its next message is due.
            if waiting.is_empty() || net.backlog(*talker).is_none_or(|bytes| bytes >= BACKLOG_BYTES) {
                continue;
            }
            if waiting.len() > 1 {
                self.ready.push_back(place);
            }
            return Some((*talker, waiting.pop_front()?));
        }
        None
    }

    /// Messages that are due and not sent.
    pub(crate) fn waiting(&self) -> u64 {
        self.talkers.iter().map(|(_, waiting)| waiting.len() as u64).sum()
    }
}

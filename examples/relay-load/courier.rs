//! Sends numbered messages and checks those that arrive: the sums that a run is judged by.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::dialect::Refusal;
use crate::ledger::{Ledger, Verdict};
use crate::message::{Bodies, Kind, Sizes, Stamp};
use crate::net::Net;

/// Significant digits of a latency.
const LATENCY_DIGITS: u8 = 3;

/// What was sent and what became of it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Tally {
    /// Messages sent; a broadcast counts once.
    pub(crate) sent: u64,
    /// Copies that should have arrived.
    pub(crate) expected: u64,
    /// Copies that did arrive, each counted once.
    pub(crate) delivered: u64,
    /// Copies that the server refused because their addressee was busy.
    pub(crate) busy: u64,
    /// Copies that the server refused because there were too many.
    pub(crate) rate_limited: u64,
    /// Copies that the server refused because there was nobody to get them.
    pub(crate) not_found: u64,
    /// Messages sent again because they were refused.
    pub(crate) resent: u64,
    /// Messages of an open loop that were due and never sent.
    pub(crate) unsent: u64,
    /// Copies that did not arrive, though nobody said so.
    pub(crate) lost: i64,
    /// Copies that arrived twice.
    pub(crate) doubled: u64,
    /// Copies that arrived after a later one.
    pub(crate) reordered: u64,
    /// Copies that arrived at somebody they were not meant for.
    pub(crate) misdelivered: u64,
    /// Copies whose text was changed.
    pub(crate) damaged: u64,
    /// Connections that the server ended.
    pub(crate) dropped: u64,
}

impl Tally {
    /// Copies that are still under way, or lost.
    pub(crate) fn outstanding(&self) -> i64 {
        self.expected as i64 - (self.delivered + self.busy + self.rate_limited + self.not_found) as i64
    }

    /// Whether nothing went wrong.
    pub(crate) fn is_clean(&self) -> bool {
        let wrong = [self.doubled, self.reordered, self.misdelivered, self.damaged, self.dropped, self.not_found];
        self.lost == 0 && wrong == [0; 6]
    }
}

/// Sends and checks the messages of the members of `room_size` rooms.
pub(crate) struct Courier {
    /// What was sent and what became of it.
    pub(crate) tally: Tally,
    /// Nanoseconds from when a message was sent, or due, until each copy arrived; kept only while `measuring`.
    pub(crate) latency: Histogram<u64>,
    /// Whether latencies count.
    pub(crate) measuring: bool,
    room_size: usize,
    /// The members of each room, from its first, whose copies must arrive.
    listeners: usize,
    bodies: Bodies,
    ledger: Ledger,
    /// How many messages each member has sent, and how many of them from its script.
    senders: Vec<(u32, u32)>,
}

impl Courier {
    /// For `members` members in rooms of `room_size`, of whom the first `listeners` of each room read all they get.
    pub(crate) fn new(members: usize, room_size: usize, listeners: usize, sizes: Sizes) -> Result<Self> {
        Ok(Self {
            tally: Tally::default(),
            latency: Histogram::new(LATENCY_DIGITS)?,
            measuring: false,
            room_size,
            listeners,
            bodies: Bodies::new(sizes),
            ledger: Ledger::new(members, room_size),
            senders: vec![(0, 0); members],
        })
    }

    /// Sends the next message of the member `from` to one or to all; it was due at `time`.
    pub(crate) fn send(&mut self, net: &mut Net, from: usize, to: Option<usize>, time: u64) -> Result<()> {
        let Some((number, step)) = self.senders.get_mut(from) else { return Ok(()) };
        let kind = Kind::of_step(from % self.room_size, *step);
        let stamp = Stamp { from, to, number: *number, time };
        *number += 1;
        *step += 1;
        self.tally.sent += 1;
        self.tally.expected += self.copies(to);
        let bodies = &self.bodies;
        net.signal(from, to, kind, |text| bodies.write(kind, stamp, text))
    }

    /// Checks a signal that the member `me` got.
    pub(crate) fn receive(&mut self, now: u64, me: usize, text: &[u8]) -> Option<Stamp> {
        let Some((stamp, intact)) = self.bodies.read(text) else {
            self.tally.damaged += 1;
            return None;
        };
        let same_room = stamp.from / self.room_size == me / self.room_size;
        if !same_room || stamp.from == me || stamp.to.is_some_and(|to| to != me) {
            self.tally.misdelivered += 1;
            return None;
        }
        self.tally.damaged += u64::from(!intact);
        match self.ledger.enter(me, stamp.from % self.room_size, stamp.number) {
            Verdict::Doubled => {
                self.tally.doubled += 1;
                return None;
            }
            Verdict::Reordered => self.tally.reordered += 1,
            Verdict::InOrder => {}
        }
        if self.listens(me) {
            self.tally.delivered += 1;
            if self.measuring {
                // It grows by itself, so that nothing is out of its range.
                let _ = self.latency.record(now.saturating_sub(stamp.time));
            }
        }
        Some(stamp)
    }

    /// Enters that a message was refused, by one addressee or by all; whether sending it again makes sense.
    pub(crate) fn refuse(&mut self, reason: Refusal, to: Option<usize>, addressed: bool) -> bool {
        let copies = match to {
            Some(to) => u64::from(self.listens(to)),
            None if addressed => 1,
            None => self.copies(None),
        };
        match reason {
            Refusal::Busy => self.tally.busy += copies,
            Refusal::RateLimited => self.tally.rate_limited += copies,
            Refusal::NotFound => self.tally.not_found += copies,
        }
        copies > 0 && reason != Refusal::NotFound
    }

    /// Makes up the sum, once nothing more is to come.
    pub(crate) fn close(&mut self) -> Tally {
        self.tally.lost = self.tally.outstanding();
        self.tally
    }

    fn listens(&self, index: usize) -> bool {
        index % self.room_size < self.listeners
    }

    fn copies(&self, to: Option<usize>) -> u64 {
        to.map_or(self.listeners as u64 - 1, |to| u64::from(self.listens(to)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A room of three whose member 0 sent two messages to everyone, and one of them to member 1 alone.
    fn courier_and_texts() -> (Courier, [Vec<u8>; 3]) {
        let mut courier = Courier::new(6, 3, 3, Sizes { description: 500, candidate: 200 }).unwrap();
        courier.tally.expected = 5;
        let texts = [(0, None), (1, None), (2, Some(1))].map(|(number, to)| {
            let mut text = b"{".to_vec();
            courier.bodies.write(Kind::Offer, Stamp { from: 0, to, number, time: 0 }, &mut text);
            text.push(b'}');
            text
        });
        (courier, texts)
    }

    #[test]
    fn all_that_arrives_where_it_should_is_clean() {
        let (mut courier, texts) = courier_and_texts();
        for text in &texts {
            courier.receive(1, 1, text).unwrap();
        }
        courier.receive(1, 2, &texts[0]).unwrap();
        courier.refuse(Refusal::Busy, Some(2), false);
        assert!(courier.close().is_clean());
    }

    #[test]
    fn every_fault_is_counted_as_what_it_is() {
        let (mut courier, texts) = courier_and_texts();
        courier.receive(1, 1, &texts[1]).unwrap();
        courier.receive(1, 1, &texts[0]).unwrap();
        for (me, text) in [(1, &texts[0]), (0, &texts[0]), (2, &texts[2]), (4, &texts[0])] {
            assert_eq!(courier.receive(1, me, text), None);
        }
        let mut changed = texts[0].clone();
        changed[20] ^= 1;
        courier.receive(1, 2, &changed).unwrap();
        let Tally { lost, doubled, reordered, misdelivered, damaged, .. } = courier.close();
        assert_eq!((lost, doubled, reordered, misdelivered, damaged), (2, 1, 1, 3, 1));
    }
}

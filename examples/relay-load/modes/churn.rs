//! Visitors who connect, join, say one thing to the one who lives in the room, leave and hang up, over and over.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::courier::Courier;
use crate::dialect::Refusal;
use crate::message::Sizes;
use crate::net::{Net, Scenario};
use crate::report::{Cost, Latency, Summary};
use crate::schedule::{Schedule, Stage};

/// A resident and a visitor.
pub(crate) const ROOM_SIZE: usize = 2;
/// How often time is looked at.
const PAUSE: Duration = Duration::from_millis(10);
/// Significant digits of how long a visit took.
const DIGITS: u8 = 3;

/// Visitors, each to a room of its own.
pub(crate) struct Churn {
    visitors: usize,
    schedule: Schedule,
    courier: Courier,
    residents: usize,
    visits: u64,
    /// Visits that began and have not ended.
    under_way: i64,
    /// When each visitor set out, in nanoseconds.
    set_out: Vec<u64>,
    duration: Histogram<u64>,
    failure: Option<anyhow::Error>,
}

impl Churn {
    /// Connects the residents.
    pub(crate) fn new(net: &mut Net, visitors: usize, schedule: Schedule, sizes: Sizes) -> Result<Self> {
        for room in 0..visitors {
            net.connect(room * ROOM_SIZE, None);
        }
        Ok(Self {
            visitors,
            schedule,
            courier: Courier::new(visitors * ROOM_SIZE, ROOM_SIZE, ROOM_SIZE, sizes)?,
            residents: 0,
            visits: 0,
            under_way: 0,
            set_out: vec![0; visitors],
            duration: Histogram::new(DIGITS)?,
            failure: None,
        })
    }

    /// What was found.
    pub(crate) fn summary(mut self) -> Summary {
        let Schedule { measured, done, used, load, .. } = self.schedule;
        let processes: Vec<Cost> = used.into_iter().map(|used| Cost::of(used, done)).collect();
        Summary {
            labels: Default::default(),
            mode: "churn",
            connections: self.visitors,
            room_size: ROOM_SIZE,
            seconds: measured.as_secs_f64(),
            done,
            per_second: done as f64 / measured.as_secs_f64(),
            latency: Latency::of(&self.duration),
            tally: self.courier.close(),
            flood: None,
            cut: None,
            server: Cost::sum(&processes),
            processes,
            load_cpu_per_million: Cost::of(load, done).cpu_per_million,
        }
    }

    fn set_out(&mut self, net: &mut Net, visitor: usize) {
        if let Some(time) = self.set_out.get_mut(visitor / ROOM_SIZE) {
            *time = net.now();
        }
        self.under_way += 1;
        net.connect(visitor, None);
    }

    fn come_back(&mut self, net: &mut Net, visitor: usize) {
        self.visits += 1;
        self.under_way -= 1;
        let set_out = self.set_out.get(visitor / ROOM_SIZE).copied().unwrap_or_default();
        if self.schedule.stage == Stage::Measuring {
            // It grows by itself, so that nothing is out of its range.
            let _ = self.duration.record(net.now() - set_out);
        }
        if self.schedule.is_sending() {
            self.set_out(net, visitor);
        }
    }
}

fn is_visitor(index: usize) -> bool {
    index % ROOM_SIZE == 1
}

impl Scenario for Churn {
    fn joined(&mut self, net: &mut Net, me: usize) {
        if !is_visitor(me) {
            self.residents += 1;
            return;
        }
        let now = net.now();
        if let Err(error) = self.courier.send(net, me, Some(me - 1), now) {
            self.failure = Some(error);
        }
    }

    fn signal(&mut self, net: &mut Net, me: usize, text: &[u8]) {
        let stamp = self.courier.receive(net.now(), me, text);
        if let Some(stamp) = stamp.filter(|_| !is_visitor(me))
            && net.leave(stamp.from)
        {
            self.come_back(net, stamp.from);
        }
    }

    fn refused(&mut self, net: &mut Net, me: usize, reason: Refusal, to: Option<usize>) {
        // The visit ends without its message, and counts as one.
        self.courier.refuse(reason, to, true);
        net.leave(me);
    }

    fn closed(&mut self, net: &mut Net, me: usize, _: Option<u16>) {
        if is_visitor(me) {
            self.come_back(net, me);
        } else {
            self.courier.tally.dropped += 1;
        }
    }

    fn tick(&mut self, net: &mut Net) -> Result<Option<Duration>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.schedule.advance(self.visitors - self.residents, self.visits, self.under_way)? {
            match self.schedule.stage {
                Stage::Warming => (0..self.visitors).for_each(|room| self.set_out(net, room * ROOM_SIZE + 1)),
                Stage::Over => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(PAUSE))
    }
}

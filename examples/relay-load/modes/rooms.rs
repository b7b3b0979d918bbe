//! Clients who open a room, leave it and open the next one, over and over: what a name costs that nobody has.

use std::time::Duration;

use anyhow::Result;
use hdrhistogram::Histogram;

use crate::courier::Tally;
use crate::dialect::{Member, Refusal};
use crate::net::{Net, Scenario};
use crate::report::{Cost, Latency, Summary};
use crate::schedule::{Schedule, Stage};

/// How often time is looked at.
const PAUSE: Duration = Duration::from_millis(10);
/// Significant digits of how long a join took.
const DIGITS: u8 = 3;

/// Clients, each with a room at a time.
pub(crate) struct Rooms {
    schedule: Schedule,
    tally: Tally,
    /// How many are connected, and in their first room.
    there: usize,
    opened: u64,
    /// The room of each, counted from its first, and when it was asked for, in nanoseconds.
    clients: Vec<(usize, u64)>,
    duration: Histogram<u64>,
}

impl Rooms {
    /// Connects `clients` clients.
    pub(crate) fn new(net: &mut Net, clients: usize, schedule: Schedule) -> Result<Self> {
        for index in 0..clients {
            net.connect(index, None);
        }
        Ok(Self {
            schedule,
            tally: Tally::default(),
            there: 0,
            opened: 0,
            clients: vec![(0, 0); clients],
            duration: Histogram::new(DIGITS)?,
        })
    }

    /// What was found.
    pub(crate) fn summary(self) -> Summary {
        let Schedule { measured, done, used, load, .. } = self.schedule;
        let processes: Vec<Cost> = used.into_iter().map(|used| Cost::of(used, done)).collect();
        Summary {
            labels: Default::default(),
            mode: "rooms",
            connections: self.clients.len(),
            room_size: 1,
            seconds: measured.as_secs_f64(),
            done,
            per_second: done as f64 / measured.as_secs_f64(),
            latency: Latency::of(&self.duration),
            tally: self.tally,
            flood: None,
            cut: None,
            server: Cost::sum(&processes),
            processes,
            load_cpu_per_million: Cost::of(load, done).cpu_per_million,
        }
    }

    /// Leaves the room, and asks for the next one.
    fn move_on(&mut self, net: &mut Net, index: usize) {
        let count = self.clients.len();
        let Some((room, asked)) = self.clients.get_mut(index) else { return };
        *room += 1;
        *asked = net.now();
        let member = net.member(index);
        let next = Member { room: member.room + *room * count, ..member };
        if let Some((join, leave)) = net.join_and_leave(next) {
            net.say(index, leave);
            net.say(index, &join);
        }
    }
}

impl Scenario for Rooms {
    fn joined(&mut self, net: &mut Net, index: usize) {
        let Some(&(room, asked)) = self.clients.get(index) else { return };
        if room == 0 {
            self.there += 1;
            return;
        }
        self.opened += 1;
        if self.schedule.stage == Stage::Measuring {
            // It grows by itself, so that nothing is out of its range.
            let _ = self.duration.record(net.now() - asked);
        }
        if self.schedule.is_sending() {
            self.move_on(net, index);
        }
    }

    fn signal(&mut self, _: &mut Net, _: usize, _: &[u8]) {
        self.tally.misdelivered += 1;
    }

    fn refused(&mut self, _: &mut Net, _: usize, _: Refusal, _: Option<usize>) {
        self.tally.not_found += 1;
    }

    fn closed(&mut self, _: &mut Net, _: usize, _: Option<u16>) {
        self.tally.dropped += 1;
    }

    fn tick(&mut self, net: &mut Net) -> Result<Option<Duration>> {
        let clients = self.clients.len();
        if self.schedule.advance(clients - self.there, self.opened, 0)? {
            match self.schedule.stage {
                Stage::Warming => (0..clients).for_each(|index| self.move_on(net, index)),
                Stage::Over => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(PAUSE))
    }
}

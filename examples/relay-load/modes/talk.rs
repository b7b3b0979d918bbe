//! Members who talk: pairs and meshes, alone, beside members who flood, or with one in each room who hardly reads.
//!
//! In a closed loop tokens go round: whoever gets one sends the next message, so that as many messages are under way in
//! each room as it has tokens. In an open loop messages are due at a fixed rate, whatever the server does, and latency
//! counts from when one was due.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::courier::Courier;
use crate::dialect::Refusal;
use crate::message::Sizes;
use crate::modes::flood::Flood;
use crate::modes::pace::Pace;
use crate::modes::plan::Plan;
use crate::modes::slow::{self, Slow};
use crate::net::{Net, Scenario};
use crate::report::{Cost, Latency, Summary};
use crate::schedule::{Schedule, Stage};

/// How long to wait before a message is sent again whose addressee was busy: a socket drains in less.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How long to wait before a message is sent again that was one too many: rates are counted in seconds.
const RATE_PAUSE: Duration = Duration::from_secs(1);
/// How long nothing needs to be done in a closed loop: short beside the stages.
const CLOSED_LOOP_PAUSE: Duration = Duration::from_millis(10);

/// Members who talk.
pub(crate) struct Talk {
    plan: Plan,
    schedule: Schedule,
    honest: Courier,
    flood: Flood,
    slow: Slow,
    joined: usize,
    /// What is due in an open loop.
    pace: Option<Pace>,
    /// Messages whose addressee was busy: when to send again, from whom, to whom.
    busy: VecDeque<(Instant, usize, Option<usize>)>,
    /// The same of those that were too many.
    limited: VecDeque<(Instant, usize, Option<usize>)>,
    failure: Option<anyhow::Error>,
}

impl Talk {
    /// Connects everyone.
    pub(crate) fn new(net: &mut Net, plan: Plan, schedule: Schedule, sizes: Sizes) -> Result<Self> {
        let all = plan.members + plan.flooders;
        let listeners = plan.listeners();
        for index in 0..all {
            let slow = index < plan.members && index % plan.room_size >= listeners;
            net.connect(index, slow.then_some(slow::START_BYTES));
        }
        let talkers = (0..plan.members).filter(|index| index % plan.room_size < listeners).collect();
        let flood = Courier::new(all, plan.room_size, plan.room_size, sizes)?;
        Ok(Self {
            schedule,
            honest: Courier::new(all, plan.room_size, listeners, sizes)?,
            flood: Flood::new(plan.members..all, flood),
            slow: Slow::new(),
            joined: 0,
            pace: plan.rate.filter(|_| plan.members > 0).map(|rate| Pace::new(rate, talkers)),
            busy: VecDeque::new(),
            limited: VecDeque::new(),
            failure: None,
            plan,
        })
    }

    /// What was found.
    pub(crate) fn summary(mut self) -> Summary {
        let Schedule { measured, done, used, load, .. } = self.schedule;
        self.honest.tally.unsent = self.pace.as_ref().map_or(0, Pace::waiting);
        let processes: Vec<Cost> = used.into_iter().map(|used| Cost::of(used, done)).collect();
        Summary {
            labels: Default::default(),
            mode: self.plan.mode,
            connections: self.plan.members + self.plan.flooders,
            room_size: self.plan.room_size,
            seconds: measured.as_secs_f64(),
            done,
            per_second: done as f64 / measured.as_secs_f64(),
            latency: Latency::of(&self.honest.latency),
            tally: self.honest.close(),
            flood: (self.plan.flooders > 0).then(|| self.flood.courier.close()),
            cut: self.plan.slow_bytes.map(|_| self.slow.cut),
            server: Cost::sum(&processes),
            processes,
            load_cpu_per_million: Cost::of(load, done).cpu_per_million,
        }
    }

    fn send(&mut self, net: &mut Net, from: usize, to: Option<usize>, time: u64) {
        if let Err(error) = self.honest.send(net, from, to, time) {
            self.failure = Some(error);
        }
    }

    /// Hands out the tokens of a closed loop.
    fn start(&mut self, net: &mut Net) {
        self.slow.start();
        if let Some(pace) = &mut self.pace {
            pace.start(net.now());
            return;
        }
        for room in 0..self.plan.members / self.plan.room_size {
            for token in 0..self.plan.window {
                let from = room * self.plan.room_size + token % self.plan.listeners();
                let now = net.now();
                self.send(net, from, self.plan.addressee(from), now);
            }
        }
    }

    /// Sends what is due in an open loop; how long nothing will be.
    fn pace(&mut self, net: &mut Net) -> Duration {
        let Some(pace) = &mut self.pace else { return CLOSED_LOOP_PAUSE };
        let pause = pace.advance(net.now());
        while let Some((from, time)) = self.pace.as_mut().and_then(|pace| pace.next(net)) {
            self.send(net, from, self.plan.addressee(from), time);
        }
        pause
    }

    fn is_slow(&self, index: usize) -> bool {
        index < self.plan.members && index % self.plan.room_size >= self.plan.listeners()
    }

    /// Sends again what was refused, each queue in its order.
    fn resend(&mut self, net: &mut Net, now: Instant) {
        while let Some((from, to)) = due(&mut self.busy, now).or_else(|| due(&mut self.limited, now)) {
            self.honest.tally.resent += 1;
            let time = net.now();
            self.send(net, from, to, time);
        }
    }
}

/// Takes the first of `queue` whose time has come.
fn due(queue: &mut VecDeque<(Instant, usize, Option<usize>)>, now: Instant) -> Option<(usize, Option<usize>)> {
    let &(_, from, to) = queue.front().filter(|(when, ..)| *when <= now)?;
    queue.pop_front();
    Some((from, to))
}

impl Scenario for Talk {
    fn joined(&mut self, _: &mut Net, index: usize) {
        self.joined += 1;
        if self.flood.has(index) {
            self.flood.enter(index);
        }
    }

    fn signal(&mut self, net: &mut Net, me: usize, text: &[u8]) {
        let now = net.now();
        if self.flood.has(me) {
            self.flood.courier.receive(now, me, text);
            return;
        }
        let Some(stamp) = self.honest.receive(now, me, text) else { return };
        if self.pace.is_some() || !self.schedule.is_sending() {
            return;
        }
        let next = (stamp.from % self.plan.room_size + 1) % self.plan.listeners();
        if me % self.plan.room_size == next {
            self.send(net, me, self.plan.addressee(me), now);
        }
    }

    fn refused(&mut self, _: &mut Net, from: usize, reason: Refusal, to: Option<usize>) {
        if to.is_some_and(|to| self.is_slow(to)) {
            self.slow.cut.refused += 1;
        }
        if self.flood.has(from) {
            self.flood.courier.refuse(reason, to, false);
        } else if self.honest.refuse(reason, to, self.plan.addressed) {
            let to = to.or_else(|| self.plan.addressee(from));
            let limited = reason == Refusal::RateLimited;
            let queue = if limited { &mut self.limited } else { &mut self.busy };
            let pause = if limited { RATE_PAUSE } else { BUSY_PAUSE };
            queue.push_back((Instant::now() + pause, from, to));
        }
    }

    fn left(&mut self, me: usize, who: usize) {
        // All hear it; the first of each room counts.
        if self.is_slow(who) && me.is_multiple_of(self.plan.room_size) {
            self.slow.cut_off();
        }
    }

    fn closed(&mut self, _: &mut Net, index: usize, _: Option<u16>) {
        if self.flood.has(index) {
            self.flood.cut_off(index);
        } else if !self.is_slow(index) {
            self.honest.tally.dropped += 1;
        }
    }

    fn tick(&mut self, net: &mut Net) -> Result<Option<Duration>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let missing = (self.plan.members + self.plan.flooders).saturating_sub(self.joined);
        let tally = &self.honest.tally;
        if self.schedule.advance(missing, tally.delivered, tally.outstanding())? {
            self.honest.measuring = self.schedule.stage == Stage::Measuring;
            match self.schedule.stage {
                Stage::Warming => self.start(net),
                Stage::Over => return Ok(None),
                _ => {}
            }
        }
        let now = Instant::now();
        let mut pause = CLOSED_LOOP_PAUSE;
        self.slow.go_on(net, &self.plan, now);
        if self.schedule.is_sending() {
            pause = self.pace(net);
            if self.flood.len() > 0 {
                self.flood.go_on(net, now)?;
                pause = Duration::ZERO;
            }
            self.resend(net, now);
        }
        Ok(Some(pause))
    }
}

//! Members who join and stay, silent or after an offer each: what a connection costs in memory, and whether all are held.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::courier::Courier;
use crate::dialect::Refusal;
use crate::message::Sizes;
use crate::net::{Net, Scenario};
use crate::process::Usage;
use crate::report::{Cost, Summary};

/// How long connecting may take without a single join.
const STALL: Duration = Duration::from_secs(20);
/// How often time is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// Members who join and stay.
pub(crate) struct Idle {
    members: usize,
    room_size: usize,
    pids: Vec<u32>,
    /// How long silence lasts before memory is looked at.
    settle: Duration,
    /// How long it lasts after an offer each, where there is one.
    offer: Option<Duration>,
    courier: Courier,
    joined: usize,
    started: Instant,
    last_join: Instant,
    before: Vec<Usage>,
    costs: Vec<Cost>,
    offered: Option<Instant>,
}

impl Idle {
    /// Connects `members` members.
    pub(crate) fn new(
        net: &mut Net,
        members: usize,
        room_size: usize,
        settle: Duration,
        offer: Option<Duration>,
        pids: Vec<u32>,
        sizes: Sizes,
    ) -> Result<Self> {
        for index in 0..members {
            net.connect(index, None);
        }
        let now = Instant::now();
        Ok(Self {
            members,
            room_size,
            settle,
            offer,
            courier: Courier::new(members, room_size, room_size, sizes)?,
            joined: 0,
            started: now,
            last_join: now,
            before: Usage::of_each(&pids)?,
            costs: vec![Cost::default(); pids.len()],
            pids,
            offered: None,
        })
    }

    /// What was found.
    pub(crate) fn summary(mut self) -> Summary {
        let seconds = (self.last_join - self.started).as_secs_f64();
        Summary {
            labels: Default::default(),
            mode: "idle",
            connections: self.members,
            room_size: self.room_size,
            seconds,
            done: self.joined as u64,
            per_second: self.joined as f64 / seconds,
            latency: None,
            tally: self.courier.close(),
            flood: None,
            cut: None,
            server: Cost::sum(&self.costs),
            processes: self.costs,
            load_cpu_per_million: None,
        }
    }
}

/// What came to the memory of each process, divided among the members.
fn bytes_each(pids: &[u32], before: &[Usage], members: usize) -> Result<Vec<f64>> {
    let now = Usage::of_each(pids)?;
    Ok(now.iter().zip(before).map(|(now, before)| now.since(*before).resident_bytes as f64 / members as f64).collect())
}

impl Scenario for Idle {
    fn joined(&mut self, _: &mut Net, _: usize) {
        self.joined += 1;
        self.last_join = Instant::now();
    }

    fn signal(&mut self, net: &mut Net, me: usize, text: &[u8]) {
        self.courier.receive(net.now(), me, text);
    }

    fn refused(&mut self, _: &mut Net, _: usize, reason: Refusal, to: Option<usize>) {
        self.courier.refuse(reason, to, true);
    }

    fn closed(&mut self, _: &mut Net, _: usize, _: Option<u16>) {
        self.courier.tally.dropped += 1;
    }

    fn tick(&mut self, net: &mut Net) -> Result<Option<Duration>> {
        let silence = self.last_join.elapsed();
        if self.joined < self.members {
            if silence > STALL {
                bail!("{} members could not join", self.members - self.joined);
            }
            return Ok(Some(PAUSE));
        }
        let Some(offered) = self.offered else {
            if silence < self.settle {
                return Ok(Some(PAUSE));
            }
            for (cost, bytes) in self.costs.iter_mut().zip(bytes_each(&self.pids, &self.before, self.members)?) {
                cost.joined_bytes = Some(bytes);
            }
            if self.offer.is_none() {
                return Ok(None);
            }
            self.offered = Some(Instant::now());
            for from in 0..self.members {
                let partner =
                    if (from + 1).is_multiple_of(self.room_size) { from + 1 - self.room_size } else { from + 1 };
                let now = net.now();
                self.courier.send(net, from, Some(partner), now)?;
            }
            return Ok(Some(PAUSE));
        };
        if offered.elapsed() < self.offer.unwrap_or_default() {
            return Ok(Some(PAUSE));
        }
        for (cost, bytes) in self.costs.iter_mut().zip(bytes_each(&self.pids, &self.before, self.members)?) {
            cost.offered_bytes = Some(bytes);
        }
        Ok(None)
    }
}

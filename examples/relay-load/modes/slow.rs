//! The last member of each room, who reads slowly or not at all.

use std::time::{Duration, Instant};

use crate::modes::plan::Plan;
use crate::net::Net;
use crate::report::Cut;

/// What such a member may read at first, in bytes: its upgrade and its join.
pub(crate) const START_BYTES: usize = 4 * 1024;
/// How often such members read.
const TURN: Duration = Duration::from_millis(20);

/// Members who read slowly.
pub(crate) struct Slow {
    /// What became of them.
    pub(crate) cut: Cut,
    /// When they read next.
    turn: Instant,
    /// When the first message was sent.
    started: Instant,
}

impl Slow {
    /// Members who have not begun to read.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { cut: Cut::default(), turn: now, started: now }
    }

    /// The first message is sent now.
    pub(crate) fn start(&mut self) {
        self.started = Instant::now();
    }

    /// One of them was cut off.
    pub(crate) fn cut_off(&mut self) {
        self.cut.members += 1;
        self.cut.first_after_seconds.get_or_insert(self.started.elapsed().as_secs_f64());
    }

    /// Lets them read what is their turn.
    pub(crate) fn go_on(&mut self, net: &mut Net, plan: &Plan, now: Instant) {
        let (Some(bytes), true) = (plan.slow_bytes, now >= self.turn) else { return };
        self.turn = now + TURN;
        for last in (plan.room_size - 1..plan.members).step_by(plan.room_size) {
            net.grant(last, (bytes as f64 * TURN.as_secs_f64()) as usize);
        }
    }
}

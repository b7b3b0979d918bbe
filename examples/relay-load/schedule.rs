//! The stages of a run: connect, warm up, measure, wait for the last messages; and what the server used meanwhile.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::Usage;

/// Silence between the last join and the first message, so that every server has seen all joins.
const SETTLE: Duration = Duration::from_millis(300);
/// How long the last messages may take once nothing more is sent, counted from the last that arrived.
const DRAIN: Duration = Duration::from_secs(3);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(120);
/// How often the progress line is written anew.
const PROGRESS: Duration = Duration::from_millis(500);

/// A stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Members connect and join.
    Connecting,
    /// All are there; nothing is sent yet.
    Settling,
    /// Messages go, and do not count yet.
    Warming,
    /// Messages count.
    Measuring,
    /// Nothing more is sent.
    Draining,
    /// It is over.
    Over,
}

/// Where a run is.
pub(crate) struct Schedule {
    /// The stage it is in.
    pub(crate) stage: Stage,
    /// How long was measured.
    pub(crate) measured: Duration,
    /// What each of the server's processes used while it was measured.
    pub(crate) used: Vec<Usage>,
    /// What the tool used meanwhile.
    pub(crate) load: Usage,
    /// How much had been done when measuring began.
    pub(crate) done_before: u64,
    /// How much was done while it was measured.
    pub(crate) done: u64,
    since: Instant,
    warmup: Duration,
    duration: Duration,
    pids: Vec<u32>,
    before: Vec<Usage>,
    /// When the progress line was written, and how much had been done.
    progress: (Instant, u64),
    /// How much was done when it was last looked at, and when that had changed.
    seen: (u64, Instant),
}

impl Schedule {
    /// A run of `duration` after a `warmup`; `pids` are the server's processes.
    pub(crate) fn new(warmup: Duration, duration: Duration, pids: Vec<u32>) -> Self {
        let now = Instant::now();
        Self {
            stage: Stage::Connecting,
            measured: Duration::ZERO,
            used: Vec::new(),
            load: Usage::default(),
            done_before: 0,
            done: 0,
            since: now,
            warmup,
            duration,
            pids,
            before: Vec::new(),
            progress: (now, 0),
            seen: (0, now),
        }
    }

    /// Goes on to the next stage when it is time; whether it did. `done` is what has been done in all.
    pub(crate) fn advance(&mut self, missing: usize, done: u64, outstanding: i64) -> Result<bool> {
        let now = Instant::now();
        let elapsed = now - self.since;
        self.show(now, missing, done);
        if self.seen.0 != done {
            self.seen = (done, now);
        }
        let next = match self.stage {
            Stage::Connecting if missing == 0 => Stage::Settling,
            Stage::Connecting if elapsed > CONNECT => bail!("{missing} members could not join within {CONNECT:?}"),
            Stage::Settling if elapsed >= SETTLE => Stage::Warming,
            Stage::Warming if elapsed >= self.warmup => {
                self.before = Usage::of_each(&self.pids)?;
                self.load = Usage::of(std::process::id())?;
                self.done_before = done;
                Stage::Measuring
            }
            Stage::Measuring if elapsed >= self.duration => {
                self.used = Usage::of_each(&self.pids)?;
                for (used, before) in self.used.iter_mut().zip(&self.before) {
                    *used = used.since(*before);
                }
                self.load = Usage::of(std::process::id())?.since(self.load);
                self.done = done - self.done_before;
                self.measured = elapsed;
                Stage::Draining
            }
            Stage::Draining if outstanding <= 0 || now - self.seen.1.max(self.since) > DRAIN => Stage::Over,
            _ => return Ok(false),
        };
        if next == Stage::Over && std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
        self.stage = next;
        self.since = now;
        Ok(true)
    }

    /// Whether messages are sent in this stage.
    pub(crate) fn is_sending(&self) -> bool {
        matches!(self.stage, Stage::Warming | Stage::Measuring)
    }

    /// Writes the progress line, on a terminal.
    fn show(&mut self, now: Instant, missing: usize, done: u64) {
        let elapsed = now - self.progress.0;
        if elapsed < PROGRESS || !std::io::stderr().is_terminal() {
            return;
        }
        let rate = (done - self.progress.1) as f64 / elapsed.as_secs_f64();
        self.progress = (now, done);
        let line = format!("{:?}: {missing} to join, {done} done, {rate:.0} a second", self.stage);
        // Nobody misses a line that cannot be written.
        let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
    }
}

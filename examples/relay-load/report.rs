//! What a run found, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::courier::Tally;
use crate::process::Usage;

/// CPU time is told for this many deliveries.
const MILLION: f64 = 1e6;
/// Nanoseconds of a microsecond, in which latencies are told.
const NANOS_PER_MICRO: f64 = 1e3;

/// What a run found.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// What the caller calls this run.
    pub(crate) labels: BTreeMap<String, String>,
    /// The mode.
    pub(crate) mode: &'static str,
    /// Connections held, or visitors at a time.
    pub(crate) connections: usize,
    /// Members of a room.
    pub(crate) room_size: usize,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Deliveries, or visits, while it was measured.
    pub(crate) done: u64,
    /// The same, a second.
    pub(crate) per_second: f64,
    /// How long each took.
    pub(crate) latency: Option<Latency>,
    /// What became of every message.
    pub(crate) tally: Tally,
    /// The same for the messages of those who flood; what was under way when one of them was cut off counts as lost.
    pub(crate) flood: Option<Tally>,
    /// Members who read slowly and were cut off.
    pub(crate) cut: Option<Cut>,
    /// What the server used, all its processes together.
    pub(crate) server: Option<Cost>,
    /// What each of them used, where there are several.
    pub(crate) processes: Vec<Cost>,
    /// CPU seconds of the tool itself for a million done: where it is the dearer one, it hides how fast the server is.
    pub(crate) load_cpu_per_million: Option<f64>,
}

/// Members who read slowly and were cut off.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Cut {
    /// How many.
    pub(crate) members: u64,
    /// Copies for them that were refused.
    pub(crate) refused: u64,
    /// When the first was, counted from the first message.
    pub(crate) first_after_seconds: Option<f64>,
}

/// Percentiles in microseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    max: f64,
}

impl Latency {
    /// The percentiles of what was recorded in nanoseconds; `None` where nothing was.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let micros = |quantile| histogram.value_at_quantile(quantile) as f64 / NANOS_PER_MICRO;
        (!histogram.is_empty()).then(|| Self {
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p99_9: micros(0.999),
            max: histogram.max() as f64 / NANOS_PER_MICRO,
        })
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p99_9, max } = self;
        write!(f, "p50 {p50:.0}, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p99_9:.0}, max {max:.0}")
    }
}

/// What the server used, for each million done and for each connection.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Cost {
    /// CPU seconds in user mode for a million.
    pub(crate) user_per_million: Option<f64>,
    /// CPU seconds in the kernel for a million.
    pub(crate) system_per_million: Option<f64>,
    /// Both.
    pub(crate) cpu_per_million: Option<f64>,
    /// Context switches for each one done.
    pub(crate) switches_each: Option<f64>,
    /// Resident memory that came with each connection, in bytes.
    pub(crate) joined_bytes: Option<f64>,
    /// The same some time after an offer each.
    pub(crate) offered_bytes: Option<f64>,
}

impl Cost {
    /// What all of these cost together.
    pub(crate) fn sum(costs: &[Self]) -> Option<Self> {
        let all = |field: fn(&Self) -> Option<f64>| costs.iter().map(field).sum::<Option<f64>>();
        (!costs.is_empty()).then(|| Self {
            user_per_million: all(|cost| cost.user_per_million),
            system_per_million: all(|cost| cost.system_per_million),
            cpu_per_million: all(|cost| cost.cpu_per_million),
            switches_each: all(|cost| cost.switches_each),
            joined_bytes: all(|cost| cost.joined_bytes),
            offered_bytes: all(|cost| cost.offered_bytes),
        })
    }

    /// The cost of `done` deliveries or visits.
    pub(crate) fn of(used: Usage, done: u64) -> Self {
        let each = |used: f64| (done > 0).then(|| used / done as f64);
        Self {
            user_per_million: each(used.user_seconds * MILLION),
            system_per_million: each(used.system_seconds * MILLION),
            cpu_per_million: each((used.user_seconds + used.system_seconds) * MILLION),
            switches_each: each(used.context_switches as f64),
            ..Self::default()
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.mode {
            "churn" => "visits",
            "rooms" => "rooms",
            _ => "deliveries",
        };
        writeln!(f, "{}: {} connections in rooms of {}", self.mode, self.connections, self.room_size)?;
        writeln!(f, "  {} {what} in {:.1} s, {:.0} a second", self.done, self.seconds, self.per_second)?;
        if let Some(latency) = &self.latency {
            writeln!(f, "  latency in us: {latency}")?;
        }
        write_tally(f, "messages", &self.tally)?;
        if let Some(flood) = &self.flood {
            write_tally(f, "flood", flood)?;
        }
        if let Some(cut) = &self.cut {
            let first = cut.first_after_seconds.map(|seconds| format!(", the first after {seconds:.1} s"));
            let first = first.unwrap_or_default();
            writeln!(f, "  slow readers: {} copies refused, {} members cut off{first}", cut.refused, cut.members)?;
        }
        if let Some(cpu) = self.load_cpu_per_million {
            writeln!(f, "  load, CPU s a million {what}: {cpu:.2}")?;
        }
        let Some(cost) = &self.server else { return Ok(()) };
        if let (Some(user), Some(system), Some(cpu)) =
            (cost.user_per_million, cost.system_per_million, cost.cpu_per_million)
        {
            writeln!(f, "  server, CPU s a million {what}: {cpu:.2} ({user:.2} user, {system:.2} system)")?;
        }
        if let Some(switches) = cost.switches_each {
            writeln!(f, "  server, context switches each: {switches:.3}")?;
        }
        for (bytes, when) in [(cost.joined_bytes, "joined"), (cost.offered_bytes, "after an offer")] {
            if let Some(bytes) = bytes {
                writeln!(f, "  server, resident bytes a connection, {when}: {bytes:.0}")?;
            }
        }
        for (number, cost) in self.processes.iter().enumerate().filter(|_| self.processes.len() > 1) {
            let figures = [(cost.cpu_per_million, "CPU s a million"), (cost.joined_bytes, "bytes a connection")];
            for (value, what) in figures.iter().filter_map(|(value, what)| Some(((*value)?, what))) {
                writeln!(f, "  process {number}, {what}: {value:.2}")?;
            }
        }
        Ok(())
    }
}

fn write_tally(f: &mut fmt::Formatter<'_>, name: &str, tally: &Tally) -> fmt::Result {
    let Tally { sent, expected, delivered, busy, rate_limited, not_found, resent, unsent, .. } = tally;
    writeln!(f, "  {name}: {sent} sent, {delivered} of {expected} copies delivered")?;
    writeln!(
        f,
        "    {busy} refused as busy, {rate_limited} as too many, {not_found} as for nobody; {resent} sent again, \
         {unsent} due and not sent"
    )?;
    let Tally { lost, doubled, reordered, misdelivered, damaged, dropped, .. } = tally;
    writeln!(
        f,
        "    {lost} lost, {doubled} doubled, {reordered} reordered, {misdelivered} misdelivered, {damaged} damaged, \
         {dropped} connections dropped"
    )
}

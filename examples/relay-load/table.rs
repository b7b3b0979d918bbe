//! Many runs side by side: for each figure and each server the median of all rounds and their spread.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

/// The server that others are divided by.
const BASE: &str = "forwarder";
/// The one relay that relays that are one are divided by.
const ALONE: &str = "one";
/// Where a run says what it used, and how long messages took.
const CPU: &str = "/server/cpu_per_million";
const USER: &str = "/server/user_per_million";
const P50: &str = "/latency/p50";
const P99: &str = "/latency/p99";
const JOINED: &str = "/server/joined_bytes";
const OFFERED: &str = "/server/offered_bytes";
/// What each process had: the relay of the rooms, and then the door, or Redis.
const FIRST_BYTES: &str = "/processes/0/joined_bytes";
const SECOND_BYTES: &str = "/processes/1/joined_bytes";
const FIRST_CPU: &str = "/processes/0/cpu_per_million";
const SECOND_CPU: &str = "/processes/1/cpu_per_million";
/// Columns of the table that names take, and figures.
const NAME_WIDTH: usize = 46;
const FIGURE_WIDTH: usize = 24;

/// A figure: how it is called, the row of runs and the place in them it is read from, and what divides it.
struct Figure {
    name: &'static str,
    row: &'static str,
    pointer: &'static str,
    by: By,
}

/// What divides a figure.
enum By {
    /// Nothing.
    One,
    /// The same place in the forwarder's run of this row.
    Base(&'static str),
    /// Another place in the same run.
    Own(&'static str),
    /// The same place in this row of the same server.
    Row(&'static str),
    /// The same place in the run of this row with one relay alone.
    Alone,
}

/// The figures, in the order of the table.
const FIGURES: [Figure; 34] = [
    figure("CPU a message, 50 pairs, 1 under way", "pairs-50-w1", CPU, By::Base("pairs-50-w1")),
    figure("CPU a message, 500 pairs, 1 under way", "pairs-500-w1", CPU, By::Base("pairs-500-w1")),
    figure("CPU a message, 50 pairs, 8 under way", "pairs-50-w8", CPU, By::Base("pairs-50-w8")),
    figure("CPU a delivery, 50 rooms of 8 (over 50 pairs)", "mesh-50x8", CPU, By::Base("pairs-50-w1")),
    figure("CPU a visit: connect, join, message, leave", "churn", CPU, By::Base("churn")),
    figure("user CPU s a million, 500 pairs", "pairs-500-w1", USER, By::One),
    figure("user CPU s a million, rooms of 8", "mesh-50x8", USER, By::One),
    figure("p99 over p50, 500 pairs, saturation", "pairs-500-w1", P99, By::Own(P50)),
    figure("idle bytes a connection, joined", "idle", JOINED, By::One),
    figure("idle bytes a connection, 18 s after an offer", "idle", OFFERED, By::One),
    figure("idle bytes a connection, TLS", "idle-tls", JOINED, By::One),
    figure("p50 at a calm 10,000 messages/s", "calm", P50, By::Base("calm")),
    figure("p99 at a calm 10,000 messages/s", "calm", P99, By::Base("calm")),
    figure("CPU a message, two workers over one", "workers-2", CPU, By::Row("workers-1")),
    figure("messages a second, two workers over one", "workers-2", "/per_second", By::Row("workers-1")),
    figure("CPU a message of 200 B, 1 under way", "doors-w1-200", CPU, By::Alone),
    figure("CPU a message of 2 KB, 1 under way", "doors-w1-2k", CPU, By::Alone),
    figure("CPU a message of 200 B, 8 under way", "doors-w8-200", CPU, By::Alone),
    figure("CPU a message of 2 KB, 8 under way", "doors-w8-2k", CPU, By::Alone),
    figure("CPU a message of 200 B, 2,000 a second", "doors-calm-200", CPU, By::Alone),
    figure("CPU a message of 2 KB, 2,000 a second", "doors-calm-2k", CPU, By::Alone),
    figure("p50 of 200 B, 2,000 a second", "doors-calm-200", P50, By::Alone),
    figure("p99 of 200 B, 2,000 a second", "doors-calm-200", P99, By::Alone),
    figure("p50 of 2 KB, 2,000 a second", "doors-calm-2k", P50, By::Alone),
    figure("p99 of 2 KB, 2,000 a second", "doors-calm-2k", P99, By::Alone),
    figure("idle bytes a client, at its room's relay", "doors-idle", FIRST_BYTES, By::One),
    figure("idle bytes a client, at the door", "doors-idle", SECOND_BYTES, By::One),
    figure("rooms opened a second", "doors-rooms", "/per_second", By::One),
    figure("us of the relay's CPU a room", "doors-rooms", FIRST_CPU, By::One),
    figure("us of Redis's CPU a room", "doors-rooms", SECOND_CPU, By::One),
    figure("p99 in us, one pair alone", "doors-pair", P99, By::One),
    figure("most in us, one pair alone", "doors-pair", "/latency/max", By::One),
    figure("p99 in us, one pair while 5,000 come", "doors-storm", P99, By::One),
    figure("most in us, one pair while 5,000 come", "doors-storm", "/latency/max", By::One),
];

const fn figure(name: &'static str, row: &'static str, pointer: &'static str, by: By) -> Figure {
    Figure { name, row, pointer, by }
}

/// A figure of all servers.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// How the figure is called.
    pub(crate) name: &'static str,
    /// Whether it is a ratio; absolute otherwise.
    pub(crate) is_ratio: bool,
    /// What each server has.
    pub(crate) cells: Vec<Cell>,
}

/// A figure of one server.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    /// Which server.
    pub(crate) server: String,
    /// The median of all rounds.
    pub(crate) median: f64,
    /// The least of all rounds.
    pub(crate) min: f64,
    /// The most of all rounds.
    pub(crate) max: f64,
}

/// All figures.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    /// The servers, as they first came.
    pub(crate) servers: Vec<String>,
    /// The figures that anything is known of.
    pub(crate) lines: Vec<Line>,
}

impl Table {
    /// Reads the runs in the file `path`.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let runs: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let mut servers: Vec<String> = Vec::new();
        for server in runs.iter().filter_map(|run| label(run, "server")) {
            if !servers.iter().any(|known| known == server) {
                servers.push(server.to_owned());
            }
        }
        let lines = FIGURES.iter().map(|figure| figure.line(&runs, &servers)).filter(|line| !line.cells.is_empty());
        Ok(Self { lines: lines.collect(), servers })
    }
}

impl Figure {
    fn line(&self, runs: &[Value], servers: &[String]) -> Line {
        let cells = servers.iter().filter_map(|server| {
            let mut values: Vec<f64> = runs
                .iter()
                .filter(|run| label(run, "row") == Some(self.row) && label(run, "server") == Some(server))
                .filter_map(|run| self.value(runs, run))
                .collect();
            values.sort_by(f64::total_cmp);
            let median = *values.get(values.len() / 2)?;
            Some(Cell { server: server.clone(), median, min: *values.first()?, max: *values.last()? })
        });
        Line { name: self.name, is_ratio: !matches!(self.by, By::One), cells: cells.collect() }
    }

    fn value(&self, runs: &[Value], run: &Value) -> Option<f64> {
        let value = run.pointer(self.pointer)?.as_f64()?;
        let same_round = |row, server| {
            runs.iter().find(|other| {
                label(other, "row") == Some(row)
                    && label(other, "server") == server
                    && label(other, "round") == label(run, "round")
            })
        };
        let divisor = match self.by {
            By::One => return Some(value),
            By::Own(pointer) => run.pointer(pointer)?.as_f64()?,
            By::Base(row) => same_round(row, Some(BASE))?.pointer(self.pointer)?.as_f64()?,
            By::Row(row) => same_round(row, label(run, "server"))?.pointer(self.pointer)?.as_f64()?,
            By::Alone => same_round(self.row, Some(ALONE))?.pointer(self.pointer)?.as_f64()?,
        };
        (divisor > 0.0).then(|| value / divisor)
    }
}

fn label<'a>(run: &'a Value, name: &str) -> Option<&'a str> {
    run.get("labels")?.get(name)?.as_str()
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:NAME_WIDTH$}", "median (least to most of the rounds)")?;
        for server in &self.servers {
            write!(f, "{server:>FIGURE_WIDTH$}")?;
        }
        writeln!(f)?;
        for line in &self.lines {
            write!(f, "{:NAME_WIDTH$}", line.name)?;
            for server in &self.servers {
                let cell = line.cells.iter().find(|cell| cell.server == *server);
                let cell = cell.map(|cell| {
                    let [median, min, max] = [cell.median, cell.min, cell.max].map(short);
                    format!("{median} ({min} to {max})")
                });
                write!(f, "{:>FIGURE_WIDTH$}", cell.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        for (base, sentence) in [
            (BASE, "CPU a message, delivery and visit, and p50 and p99: over the forwarder's in the same round"),
            (ALONE, "CPU a message, p50 and p99: over those of one relay in the same round"),
        ] {
            if self.servers.iter().any(|server| server == base) {
                writeln!(f, "{sentence}")?;
            }
        }
        Ok(())
    }
}

/// Bytes without a fraction, ratios and seconds with two digits of it.
pub(crate) fn short(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_divided_by_that_of_the_forwarder_in_the_same_round() {
        let runs: Vec<Value> =
            [("forwarder", "1", 2.0), ("ours", "1", 3.0), ("forwarder", "2", 4.0), ("ours", "2", 4.0)]
                .map(|(server, round, cpu)| {
                    serde_json::json!({
                        "labels": { "row": "churn", "server": server, "round": round },
                        "server": { "cpu_per_million": cpu },
                    })
                })
                .into();
        let line = FIGURES[4].line(&runs, &["ours".to_owned()]);
        assert_eq!((line.cells[0].min, line.cells[0].max), (1.0, 1.5));
    }
}

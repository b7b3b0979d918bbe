//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::dialect::DialectName;
use crate::message::{CANDIDATE_BYTES, DESCRIPTION_BYTES};
use crate::modes::memory::way::Way;
use crate::modes::stall::What;
use crate::net::HANDSHAKES;

/// Loads a signaling relay, counts every message, and tells what it cost.
///
/// Ends with 1 when a message was lost, doubled, reordered, misdelivered or damaged, or a connection dropped. A relay
/// that limits rates refuses part of the load: start it with `--message-rate 0 --byte-rate 0` to measure it.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The modes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Rooms of two: an offer, an answer, ten candidates each way, over and over
    Pairs(Talk),
    /// Rooms of many: the same, broadcast
    Mesh(Talk),
    /// Join and stay
    Idle(Idle),
    /// Connect, join, one message, leave, close, over and over
    Churn(Churn),
    /// Open a room, leave it and open the next one, over and over
    Rooms(Churn),
    /// Members that send without pause beside honest ones, who are measured
    Flood(Flood),
    /// One member of each room reads slowly or not at all beside live ones, who are measured
    Slow(Slow),
    /// Clients that begin something and do not finish it, beside visitors, who are measured
    Stall(Stall),
    /// Strangers fill every queue from a few addresses beside an honest pair, who is measured
    Memory(Memory),
    /// Serve as the least that a relay can do, over plain TCP: the physical limit
    Forwarder(Forwarder),
    /// Print what runs, one JSON object a line, say beside each other
    Table(Table),
    /// Draw the same as SVG
    Plot(Table),
}

/// Where the server is, how long to load it, and how to tell what was found.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The server, as `ws://HOST:PORT` or `wss://HOST:PORT`, and a path where its own begin below one; repeatable: the
    /// members of a room dial these in turn
    #[arg(long, value_name = "URL", default_value = "ws://127.0.0.1:8080")]
    pub(crate) url: Vec<String>,
    /// The server where each room is opened first, by somebody who leaves again: of several that are one, it lives there
    #[arg(long, value_name = "URL")]
    pub(crate) open: Option<String>,
    /// Connections that are made at the same time
    #[arg(long, value_name = "COUNT", default_value_t = HANDSHAKES)]
    pub(crate) handshakes: usize,
    /// How the server is spoken to
    #[arg(long, value_enum, default_value = "relay")]
    pub(crate) dialect: DialectName,
    /// Believe any certificate
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Believe the authorities in this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Connections, or visitors at a time
    #[arg(long, default_value_t = 100)]
    pub(crate) connections: usize,
    /// Bytes of a session description
    #[arg(long, default_value_t = DESCRIPTION_BYTES)]
    pub(crate) bytes: usize,
    /// Bytes of a candidate
    #[arg(long, value_name = "BYTES", default_value_t = CANDIDATE_BYTES)]
    pub(crate) candidate_bytes: usize,
    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) duration: f64,
    /// Seconds to load before that
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// The server's process, to tell what it used; repeatable: then of all together, and of each
    #[arg(long)]
    pub(crate) pid: Vec<u32>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Name the run in the JSON; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<String>,
}

/// The options of `pairs` and `mesh`.
#[derive(Debug, Args)]
pub(crate) struct Talk {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Messages under way in each room
    #[arg(long, default_value_t = 1)]
    pub(crate) window: usize,
    /// Messages a second of all together, whatever the server does; latency counts from when each was due
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Members of a room; `pairs` has two
    #[arg(long, default_value_t = 8)]
    pub(crate) room_size: usize,
}

/// The options of `idle`.
#[derive(Debug, Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Members of a room
    #[arg(long, default_value_t = 2)]
    pub(crate) room_size: usize,
    /// Seconds of silence after which memory is looked at; `--duration` does not matter here
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) settle: f64,
    /// Then send an offer each, and look again after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) offer: Option<f64>,
}

/// The options of `churn` and `rooms`.
#[derive(Debug, Args)]
pub(crate) struct Churn {
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The options of `flood`.
#[derive(Debug, Args)]
pub(crate) struct Flood {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Members that flood, in rooms of two; with `--connections 0` nobody else, for a flood from a process of its own
    #[arg(long, default_value_t = 100)]
    pub(crate) flooders: usize,
    /// Messages a second of all honest members together
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) rate: f64,
}

/// The options of `slow`.
#[derive(Debug, Args)]
pub(crate) struct Slow {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Members of a room; the last of each reads slowly
    #[arg(long, default_value_t = 8)]
    pub(crate) room_size: usize,
    /// Bytes a second that it reads
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub(crate) read_rate: usize,
    /// Messages a second of all live members together
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) rate: f64,
}

/// The options of `stall`.
#[derive(Debug, Args)]
pub(crate) struct Stall {
    #[command(flatten)]
    pub(crate) common: Common,
    /// What is begun; `--duration` is how long the server has to end it
    #[arg(long, value_enum)]
    pub(crate) what: What,
}

/// The options of `memory`.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    /// `--connections` are those of each address, `--duration` is how long they attack
    #[command(flatten)]
    pub(crate) common: Common,
    /// What they fill, in turn; by default everything
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) way: Vec<Way>,
    /// Addresses that attack: 127.0.1.1 and on
    #[arg(long, default_value_t = 1)]
    pub(crate) addresses: usize,
    /// The most members of a room, as the server has it
    #[arg(long, default_value_t = 8)]
    pub(crate) room_capacity: usize,
    /// Seconds after which memory is looked at again when all have gone
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) rest: f64,
}

/// The options of `forwarder`.
#[derive(Debug, Args)]
pub(crate) struct Forwarder {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8079")]
    pub(crate) listen: SocketAddr,
}

/// The options of `table` and `plot`.
#[derive(Debug, Args)]
pub(crate) struct Table {
    /// The runs, with the labels `row`, `server` and `round`
    pub(crate) runs: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

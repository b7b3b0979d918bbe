//! The project's own load tool: many members on one thread, every message numbered and checked, latency and cost told.
//!
//! `cargo run --release --example relay-load -- pairs --connections 100 --pid $(pidof signaling-relay)`
//!
//! All its clients have one address: start a relay that it loads with `--address-connections 0 --address-upgrades 0
//! --address-joins 0 --address-bytes 0 --address-memory 0`.

mod connection;
mod courier;
mod dialect;
mod forwarder;
mod frame;
mod ledger;
mod message;
mod modes;
mod net;
mod options;
mod plot;
mod process;
mod report;
mod schedule;
mod stream;
mod table;

use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;

use crate::message::Sizes;
use crate::modes::churn::{self, Churn};
use crate::modes::idle::Idle;
use crate::modes::memory;
use crate::modes::memory::way;
use crate::modes::plan::Plan;
use crate::modes::rooms::Rooms;
use crate::modes::stall;
use crate::modes::talk::Talk;
use crate::net::{Net, Way};
use crate::options::{Command, Common, Options};
use crate::report::Summary;
use crate::schedule::Schedule;
use crate::stream::{Target, tls_config};
use crate::table::Table;

fn main() -> Result<ExitCode> {
    match Options::parse().command {
        Command::Pairs(options) => {
            let plan = Plan { room_size: 2, addressed: true, ..talk_plan("pairs", &options) };
            talk(&options.common, plan)
        }
        Command::Mesh(options) => talk(&options.common, talk_plan("mesh", &options)),
        Command::Flood(options::Flood { common, flooders, rate }) => {
            let plan = Plan { flooders, rate: Some(rate), ..Plan::new("flood", common.connections, 2) };
            talk(&common, Plan { addressed: true, ..plan })
        }
        Command::Slow(options::Slow { common, room_size, read_rate, rate }) => {
            let plan = Plan::new("slow", common.connections, room_size);
            talk(&common, Plan { slow_bytes: Some(read_rate), rate: Some(rate), ..plan })
        }
        Command::Idle(options::Idle { common, room_size, settle, offer }) => {
            let mut net = net(&common, common.connections, room_size)?;
            let (settle, offer) = (Duration::from_secs_f64(settle), offer.map(Duration::from_secs_f64));
            let mut idle =
                Idle::new(&mut net, common.connections, room_size, settle, offer, common.pid.clone(), sizes(&common))?;
            net.run(&mut idle)?;
            tell(&common, idle.summary())
        }
        Command::Churn(options::Churn { common }) => {
            let mut net = net(&common, common.connections * churn::ROOM_SIZE, churn::ROOM_SIZE)?;
            let mut churn = Churn::new(&mut net, common.connections, schedule(&common), sizes(&common))?;
            net.run(&mut churn)?;
            tell(&common, churn.summary())
        }
        Command::Rooms(options::Churn { common }) => {
            let mut net = net(&common, common.connections, 1)?;
            let mut rooms = Rooms::new(&mut net, common.connections, schedule(&common))?;
            net.run(&mut rooms)?;
            tell(&common, rooms.summary())
        }
        Command::Stall(options::Stall { common, what }) => {
            let duration = Duration::from_secs_f64(common.duration);
            let found = stall::run(first(&common)?, what, common.connections, duration, common.pid.first().copied())?;
            if common.json {
                println!("{}", serde_json::to_string(&found)?)
            } else {
                print!("{found}")
            }
            Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Memory(options::Memory { common, way, addresses, room_capacity, rest }) => {
            let plan = memory::Plan {
                ways: if way.is_empty() { way::Way::ALL.to_vec() } else { way },
                addresses,
                connections: common.connections,
                capacity: room_capacity,
                duration: Duration::from_secs_f64(common.duration),
                rest: Duration::from_secs_f64(rest),
                pid: common.pid.first().copied().context("--pid of the relay is needed: its memory is what counts")?,
            };
            let found = memory::run(&first(&common)?, plan)?;
            if common.json {
                println!("{}", serde_json::to_string(&found)?)
            } else {
                print!("{found}")
            }
            Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Forwarder(options) => forwarder::run(options.listen).map(|()| ExitCode::SUCCESS),
        Command::Table(options) => {
            let table = Table::read(&options.runs)?;
            if options.json {
                println!("{}", serde_json::to_string_pretty(&table)?)
            } else {
                print!("{table}")
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Plot(options) => {
            print!("{}", plot::svg(&Table::read(&options.runs)?));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn talk_plan(mode: &'static str, options: &options::Talk) -> Plan {
    Plan {
        window: options.window,
        rate: options.rate,
        ..Plan::new(mode, options.common.connections, options.room_size)
    }
}

fn talk(common: &Common, plan: Plan) -> Result<ExitCode> {
    if plan.room_size < 2 || !plan.members.is_multiple_of(plan.room_size) || !plan.flooders.is_multiple_of(2) {
        bail!("{} connections do not fill rooms of {}", plan.members, plan.room_size);
    }
    let mut net = net(common, plan.members + plan.flooders, plan.room_size)?;
    let mut talk = Talk::new(&mut net, plan, schedule(common), sizes(common))?;
    net.run(&mut talk)?;
    tell(common, talk.summary())
}

fn schedule(common: &Common) -> Schedule {
    Schedule::new(Duration::from_secs_f64(common.warmup), Duration::from_secs_f64(common.duration), common.pid.clone())
}

fn net(common: &Common, members: usize, room_size: usize) -> Result<Net> {
    let way = Way {
        targets: common.url.iter().map(|url| target(common, url)).collect::<Result<_>>()?,
        open: common.open.as_ref().map(|url| target(common, url)).transpose()?,
        handshakes: common.handshakes,
    };
    Net::new(way, common.dialect.dialect(members), members, room_size)
}

fn sizes(common: &Common) -> Sizes {
    Sizes { description: common.bytes, candidate: common.candidate_bytes }
}

/// The server, in modes that know only one.
fn first(common: &Common) -> Result<Target> {
    target(common, common.url.first().context("there is no URL")?)
}

fn target(common: &Common, url: &str) -> Result<Target> {
    let (scheme, rest) = url.split_once("://").context("the URL has no ws:// or wss://")?;
    let rest = rest.trim_end_matches('/');
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.to_owned();
    let address = host.to_socket_addrs().with_context(|| format!("{host} is not HOST:PORT"))?.next();
    let tls = match scheme {
        "ws" => None,
        "wss" if common.insecure || common.ca.is_some() => Some(tls_config(common.ca.as_deref())?),
        "wss" => bail!("wss:// needs --insecure or --ca FILE"),
        _ => bail!("the URL begins with neither ws:// nor wss://"),
    };
    Ok(Target { address: address.context("the host has no address")?, host, path: path.to_owned(), tls })
}

/// Prints what was found.
fn tell(common: &Common, mut summary: Summary) -> Result<ExitCode> {
    for label in &common.label {
        let (key, value) = label.split_once('=').context("a label is KEY=VALUE")?;
        summary.labels.insert(key.to_owned(), value.to_owned());
    }
    if common.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(if summary.tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! Strangers who fill each queue of a relay from a few addresses, beside an honest pair that is measured: how much memory
//! that pins, whether the pair notices, and how much is still resident when all have gone.

mod attack;
mod honest;
pub(crate) mod way;

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;

use self::attack::Attack;
use self::honest::{Outcome, Pair};
use self::way::Way;
use crate::process::Usage;
use crate::stream::Target;

/// How often resident memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// The most addresses that attack: they are 127.0.1.1 and on.
const ADDRESSES_MAX: usize = 250;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// What is attacked, how and for how long.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The ways, which the connections of each address take in turn.
    pub(crate) ways: Vec<Way>,
    /// Addresses that attack.
    pub(crate) addresses: usize,
    /// Connections of each.
    pub(crate) connections: usize,
    /// The capacity of a room.
    pub(crate) capacity: usize,
    /// How long they attack.
    pub(crate) duration: Duration,
    /// How long after that memory is looked at again.
    pub(crate) rest: Duration,
    /// The relay's process.
    pub(crate) pid: u32,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    mode: &'static str,
    ways: Vec<Way>,
    addresses: usize,
    connections: usize,
    capacity: usize,
    /// Resident memory before, in MiB.
    before_mib: f64,
    /// The most that was resident during the attack, in MiB.
    peak_mib: f64,
    /// What is resident when all have gone and [`rested`](Self::rested_seconds) is over, in MiB.
    after_mib: f64,
    rested_seconds: f64,
    /// Connections that attacked, those that took the place of others included.
    dialled: usize,
    /// Connections that the relay ended.
    ended: usize,
    /// Bytes that the attackers sent.
    sent_mib: f64,
    honest: Outcome,
}

impl Found {
    /// Whether the honest pair lost nothing.
    pub(crate) fn is_good(&self) -> bool {
        self.honest.lost == 0
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ways, addresses, connections, before_mib, peak_mib, after_mib, rested_seconds, .. } = self;
        writeln!(f, "memory: {ways:?} by {connections} connections of each of {addresses} addresses")?;
        writeln!(f, "  {} dialled, {} ended by the relay, {:.0} MiB sent", self.dialled, self.ended, self.sent_mib)?;
        writeln!(
            f,
            "  resident, MiB: {before_mib:.1} before, {peak_mib:.1} at most, {after_mib:.1} {rested_seconds:.0} s after"
        )?;
        writeln!(f, "  honest pair: {} delivered, {} lost", self.honest.delivered, self.honest.lost)?;
        if let Some(trouble) = &self.honest.trouble {
            writeln!(f, "  first trouble: {trouble}")?;
        }
        let Some(latency) = &self.honest.latency else { return Ok(()) };
        writeln!(f, "  in us: {latency}")
    }
}

/// Attacks the relay.
pub(crate) fn run(target: &Target, plan: Plan) -> Result<Found> {
    ensure!(target.tls.is_none(), "this mode speaks ws:// alone");
    ensure!((1..=ADDRESSES_MAX).contains(&plan.addresses), "from 1 to {ADDRESSES_MAX} addresses attack");
    let before_mib = resident(plan.pid)?;
    let pair = Pair::start(target)?;
    let mut attack = Attack::new(target, &plan)?;
    let (mut peak_mib, mut looked) = (before_mib, Instant::now());
    while attack.elapsed() < plan.duration {
        attack.turn()?;
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            peak_mib = peak_mib.max(resident(plan.pid)?);
        }
    }
    let (dialled, ended, sent) = (attack.dialled, attack.ended, attack.sent);
    drop(attack);
    let honest = pair.end()?;
    thread::sleep(plan.rest);
    Ok(Found {
        mode: "memory",
        ways: plan.ways,
        addresses: plan.addresses,
        connections: plan.connections,
        capacity: plan.capacity,
        before_mib,
        peak_mib,
        after_mib: resident(plan.pid)?,
        rested_seconds: plan.rest.as_secs_f64(),
        dialled,
        ended,
        sent_mib: sent as f64 / MEBIBYTE,
        honest,
    })
}

fn resident(pid: u32) -> Result<f64> {
    Ok(Usage::of(pid)?.resident_bytes as f64 / MEBIBYTE)
}

/// The request for a WebSocket.
fn upgrade(host: &str) -> Vec<u8> {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

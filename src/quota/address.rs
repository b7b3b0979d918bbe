//! What the clients at one address use, and what they and each connection may use.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;
use tracing::info;

use super::QuotaSettings;
use super::bucket::{Bucket, Rate};
use super::over_limit::OverLimit;
use crate::budget::{Account, Charge};
use crate::limits;

/// What the clients at one address use. The relay remembers [`ADDRESSES`](limits::ADDRESSES) at most of which nobody is
/// connected and nothing is left, and those that are in use: each of these has a connection, a place that is held, or memory
/// that counts, and so is bounded by the limits of those.
#[derive(Debug)]
pub(crate) struct Address {
    pub(super) network: Network,
    pub(super) rules: Arc<Rules>,
    pub(super) connections: AtomicU32,
    /// Places that are held for clients whose connections are lost.
    pub(super) held: AtomicU32,
    pub(super) upgrades: Bucket,
    pub(super) handshakes: Bucket,
    pub(super) joins: Bucket,
    pub(super) bytes: Bucket,
    pub(super) pages: Bucket,
    pub(super) lines: Ration,
    /// What it has pinned.
    pub(super) memory: Arc<Account>,
    /// The memory of all this, which counts only among all: whoever comes from many addresses has few in each account.
    _own: Charge,
}

impl Address {
    pub(super) fn new(network: Network, rules: Arc<Rules>, memory: Arc<Account>, own: Charge) -> Self {
        Self {
            network,
            rules,
            connections: AtomicU32::new(0),
            held: AtomicU32::new(0),
            upgrades: Bucket::default(),
            handshakes: Bucket::default(),
            joins: Bucket::default(),
            bytes: Bucket::default(),
            pages: Bucket::default(),
            lines: Ration::default(),
            memory,
            _own: own,
        }
    }

    /// Counts a join.
    ///
    /// # Errors
    /// [`OverLimit`], if there were too many.
    pub(crate) fn take_join(&self) -> Result<(), OverLimit> {
        self.take(&self.joins, &self.rules.joins, OverLimit::Joins)
    }

    /// Counts that a join, which was counted as one, has failed.
    pub(crate) fn charge_failed_join(&self) {
        if let Some(rate) = &self.rules.joins {
            self.joins.charge(rate, limits::FAILED_JOIN as usize - 1, self.rules.nanos(Instant::now()));
        }
    }

    /// Counts `bytes` that were read from the socket.
    pub(crate) fn take_bytes(&self, bytes: usize, now: Instant) {
        if let Some(rate) = &self.rules.bytes {
            self.bytes.charge(rate, bytes, self.rules.nanos(now));
        }
    }

    /// How long not to read from the clients here; none if they may be read from now.
    pub(crate) fn pause(&self, now: Instant) -> Option<Duration> {
        self.bytes.missing(self.rules.bytes.as_ref()?, self.rules.nanos(now))
    }

    /// Counts `bytes` of pages that were sent.
    pub(crate) fn take_page_bytes(&self, bytes: usize, now: Instant) {
        if let Some(rate) = &self.rules.pages {
            self.pages.charge(rate, bytes, self.rules.nanos(now));
        }
    }

    /// How long to send no pages to the clients here; none if they may be sent now.
    pub(crate) fn page_pause(&self, now: Instant) -> Option<Duration> {
        self.pages.missing(self.rules.pages.as_ref()?, self.rules.nanos(now))
    }

    /// Whether a line about this address may be logged. Before the first line after some that were left out, the log says
    /// how many.
    pub(crate) fn may_log(&self) -> bool {
        match self.lines.take(&self.rules) {
            Some(left_out) => {
                self.say_left_out(left_out);
                true
            }
            None => false,
        }
    }

    pub(super) fn say_left_out(&self, lines: u64) {
        if lines > 0 {
            info!(lines, address = %self.network, "left out lines about this address");
        }
    }

    pub(super) fn say_left_out_if_allowed(&self) {
        if self.lines.left_out.load(Relaxed) > 0
            && let Some(left_out) = self.lines.take_if_allowed(&self.rules)
        {
            self.say_left_out(left_out);
        }
    }

    pub(super) fn take(
        &self,
        bucket: &Bucket,
        rate: &Option<Rate>,
        over: fn(Duration) -> OverLimit,
    ) -> Result<(), OverLimit> {
        let Some(rate) = rate else { return Ok(()) };
        bucket.take(rate, 1, self.rules.nanos(Instant::now())).map_err(over)
    }

    /// Whether it has a connection, or a place is held for one, or it has left behind what pins memory.
    pub(super) fn is_in_use(&self) -> bool {
        self.connections.load(Relaxed) > 0 || self.held.load(Relaxed) > 0 || self.memory.used() > 0
    }

    /// Whether it is the same as an address that never had a client.
    pub(super) fn is_unused(&self, now: u64) -> bool {
        let buckets = [&self.upgrades, &self.handshakes, &self.joins, &self.bytes, &self.pages, &self.lines.bucket];
        !self.is_in_use() && self.lines.left_out.load(Relaxed) == 0 && buckets.iter().all(|bucket| bucket.is_full(now))
    }
}

/// What each connection and each address may use.
#[derive(Debug)]
pub(super) struct Rules {
    /// The moment from which the buckets count their time.
    pub(super) epoch: Instant,
    /// Messages and bytes of one connection.
    pub(super) messages: Option<Rate>,
    pub(super) own_bytes: Option<Rate>,
    /// Deliveries of one connection on a wire that is [paced](super::Pace).
    pub(super) deliveries: Option<Rate>,
    /// The most connections of one address; 0 means no limit.
    pub(super) connections: u32,
    pub(super) upgrades: Option<Rate>,
    pub(super) joins: Option<Rate>,
    pub(super) bytes: Option<Rate>,
    pub(super) pages: Option<Rate>,
    pub(super) lines: Option<Rate>,
}

impl Rules {
    pub(super) fn new(settings: &QuotaSettings, epoch: Instant) -> Self {
        let a_second = |count: u32, at_once: f64| Rate::new(count, Duration::from_secs(1), at_once);
        let for_seconds = |count: u32, seconds: u32| a_second(count, f64::from(count) * f64::from(seconds));
        // The burst is the same multiple of the rate as by default.
        let scaled = |count: u32, burst: u32, usual: u32| {
            a_second(count, f64::from(count) * f64::from(burst) / f64::from(usual))
        };
        let lines = f64::from(limits::ADDRESS_LINES);
        Self {
            epoch,
            messages: scaled(settings.message_rate, limits::MESSAGE_BURST, limits::MESSAGE_RATE),
            deliveries: scaled(
                settings.message_rate.saturating_mul(limits::DELIVERIES_A_MESSAGE),
                limits::MESSAGE_BURST,
                limits::MESSAGE_RATE,
            ),
            own_bytes: scaled(settings.byte_rate, limits::BYTE_BURST, limits::BYTE_RATE),
            connections: settings.address_connections,
            upgrades: for_seconds(settings.address_upgrades, limits::ADDRESS_BURST_SECONDS),
            joins: for_seconds(settings.address_joins, limits::ADDRESS_BURST_SECONDS),
            bytes: for_seconds(settings.address_bytes, limits::ADDRESS_BYTES_BURST_SECONDS),
            pages: for_seconds(
                settings.address_bytes.div_ceil(limits::PAGE_SHARE),
                limits::ADDRESS_BYTES_BURST_SECONDS,
            ),
            lines: Rate::new(limits::ADDRESS_LINES_A_MINUTE, Duration::from_secs(60), lines),
        }
    }

    pub(super) fn nanos(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_nanos() as u64
    }
}

/// The addresses that count as one: an IPv4 address, or the /64 of an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
            ip => ip,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => ip.fmt(f),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}

/// Lines of the log, and how many were left out since the last one.
#[derive(Debug, Default)]
pub(super) struct Ration {
    pub(super) bucket: Bucket,
    pub(super) left_out: AtomicU64,
}

impl Ration {
    /// Takes one line, and returns how many were left out before; none if it must be left out.
    pub(super) fn take(&self, rules: &Rules) -> Option<u64> {
        let taken = self.take_if_allowed(rules);
        if taken.is_none() {
            self.left_out.fetch_add(1, Relaxed);
        }
        taken
    }

    pub(super) fn take_if_allowed(&self, rules: &Rules) -> Option<u64> {
        if let Some(rate) = &rules.lines {
            self.bucket.take(rate, 1, rules.nanos(Instant::now())).ok()?;
        }
        Some(self.left_out.swap(0, Relaxed))
    }
}

//! How much one connection and one address may use, and how many connections there may be in all.
//!
//! A client that is admitted gets an [`Admission`], which counts until it is dropped. Its [`Address`] is shared by all
//! clients there: what they use is counted in atomic numbers, so that a message needs no lock and no table.
//!
//! IPv6 addresses count by their /64, because each customer has at least that many. Unix sockets have no address, and
//! the own address of a trusted proxy does not count: neither is limited, but in how many lines of the log are about
//! them, which all of them share.

mod address;
mod admission;
mod bucket;
mod over_limit;
mod rate;
mod reserve;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{info, warn};

pub(crate) use address::{Address, Network};
use address::{Ration, Rules};
pub(crate) use admission::{Admission, HeldPlace};
use over_limit::RefusalRoom;
pub(crate) use over_limit::{OverLimit, RefusalPermit};
#[cfg(feature = "wires")]
pub(crate) use rate::Pace;
pub(crate) use rate::{EmptyFrames, RateDecision, RateLimiter};
use reserve::Reserve;

use crate::budget::{Account, Budget, Purse};
use crate::limits::{self, MEBIBYTE};
use crate::net::info::ConnectionInfo;
use crate::net::system;

/// How much a relay lets its clients use; 0 means no limit, in each of these numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QuotaSettings {
    /// Messages a second that one connection may send.
    pub message_rate: u32,
    /// Bytes a second that one connection may send.
    pub byte_rate: u32,
    /// Connections that one address may have open at a time, and places that may be held for it.
    pub address_connections: u32,
    /// WebSocket upgrades a second by one address, and as many TLS handshakes.
    pub address_upgrades: u32,
    /// Joins a second by one address.
    pub address_joins: u32,
    /// Bytes a second that all connections of one address may send together; and a quarter as many may be sent to it of pages.
    pub address_bytes: u32,
    /// Connections that may be open at a time; without a number, as many as the process's file descriptors allow.
    pub max_connections: Option<usize>,
    /// Bytes of memory that all may pin.
    pub memory: usize,
    /// Bytes of memory that one address may pin.
    pub address_memory: usize,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            message_rate: limits::MESSAGE_RATE,
            byte_rate: limits::BYTE_RATE,
            address_connections: limits::ADDRESS_CONNECTIONS,
            address_upgrades: limits::ADDRESS_UPGRADES,
            address_joins: limits::ADDRESS_JOINS,
            address_bytes: limits::ADDRESS_BYTES,
            max_connections: None,
            memory: 0,
            address_memory: limits::ADDRESS_MEMORY_MIB as usize * MEBIBYTE,
        }
    }
}

/// The limits of a relay, and what is used of them.
#[derive(Debug)]
pub(crate) struct Quotas {
    rules: Arc<Rules>,
    budget: Budget,
    /// What is pinned by those who have no address that is limited.
    others: Arc<Account>,
    /// The most connections in all; 0 means no limit.
    max_connections: usize,
    /// The connections in all.
    open: AtomicUsize,
    /// The places in all that are held for clients whose connections are lost.
    held: AtomicUsize,
    addresses: DashMap<Network, Arc<Address>>,
    /// The memory of that table is charged to it.
    table: Arc<Purse>,
    /// When the table was last swept, in nanoseconds of the rules' clock.
    swept: AtomicU64,
    /// The lines of the log about connections that are refused because of what all use.
    lines: Ration,
    /// The lines of the log about clients that have no address that is limited: as many as about one address.
    lines_without_address: Ration,
    refusals: Arc<Semaphore>,
    health_checks: Arc<Semaphore>,
    reserve: Arc<Reserve>,
}

impl Quotas {
    /// These limits, with nothing used.
    pub(crate) fn new(settings: &QuotaSettings) -> Arc<Self> {
        let budget = Budget::new(settings.memory, settings.address_memory);
        let others = budget.nobody();
        let table = others.purse();
        // So that it keeps nothing of what it gets back: it is used seldom.
        table.close();
        Arc::new(Self {
            rules: Arc::new(Rules::new(settings, Instant::now())),
            others,
            table,
            budget,
            max_connections: settings.max_connections.unwrap_or_else(|| connections_within(system::descriptor_limit())),
            open: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            addresses: DashMap::new(),
            swept: AtomicU64::new(0),
            lines: Ration::default(),
            lines_without_address: Ration::default(),
            refusals: Arc::new(Semaphore::new(limits::REFUSED_AT_ONCE)),
            health_checks: Arc::new(Semaphore::new(limits::HEALTH_CHECKS)),
            reserve: Arc::default(),
        })
    }

    /// Admits a connection from `ip`; without one it counts only among all.
    ///
    /// # Errors
    /// [`OverLimit`], if a limit is reached.
    pub(crate) fn admit(self: &Arc<Self>, ip: Option<IpAddr>) -> Result<Arc<Admission>, OverLimit> {
        let admission = self.admit_address(ip)?;
        let before = self.open.fetch_add(1, Relaxed);
        admission.counts_among_all.store(true, Relaxed);
        if self.max_connections > 0 && before >= self.max_connections {
            return Err(OverLimit::All(self.max_connections));
        }
        Ok(Arc::new(admission))
    }

    /// What a connection from `address` may send, with nothing sent.
    pub(crate) fn rate_limiter(&self, address: Option<&Arc<Address>>) -> RateLimiter {
        RateLimiter::within(Arc::clone(&self.rules)).sharing(address.cloned())
    }

    /// Admits the client at `ip` that asks for a WebSocket. It has an admission already if it is at the other end of the
    /// `connection`, rather than behind a proxy there or another HTTP server. Behind a proxy it counts for its address now,
    /// and among all when it [has the connection](Admission::succeed).
    ///
    /// # Errors
    /// [`OverLimit`], if a limit is reached.
    pub(crate) fn admit_client(
        self: &Arc<Self>,
        connection: Option<&Arc<Admission>>,
        ip: Option<IpAddr>,
    ) -> Result<Arc<Admission>, OverLimit> {
        match connection {
            None => self.admit(ip),
            Some(admission) if admission.network() == ip.map(Network::from) => Ok(Arc::clone(admission)),
            Some(_) => self.admit_address(ip).map(Arc::new),
        }
    }

    fn admit_address(self: &Arc<Self>, ip: Option<IpAddr>) -> Result<Admission, OverLimit> {
        let address = ip.map(|ip| self.address(ip, 1));
        let most = self.rules.connections;
        let exceeds = address.as_ref().is_some_and(|address| most > 0 && address.connections.load(Relaxed) > most);
        let purse = address.as_ref().map_or(&self.others, |address| &address.memory).purse();
        let is_pinned = purse.pin(limits::CONNECTION_BYTES);
        let is_over_memory = !is_pinned || !purse.has(limits::HTTP_BYTES);
        purse.give_back();
        let counts_among_all = AtomicBool::new(false);
        let admission = Admission { quotas: Arc::clone(self), address, counts_among_all, is_pinned, purse };
        if exceeds {
            return Err(OverLimit::Connections(most));
        }
        if is_over_memory { Err(OverLimit::Memory) } else { Ok(admission) }
    }

    /// What the clients at `ip` use, where one of them has asked for a page by the connection of a proxy.
    pub(crate) fn visitor(&self, ip: IpAddr) -> Arc<Address> {
        self.address(ip, 0)
    }

    /// What the clients at `ip` use, with so many more connections.
    fn address(&self, ip: IpAddr, connections: u32) -> Arc<Address> {
        self.sweep_if_due();
        let network = Network::from(ip);
        let entry = self.addresses.entry(network);
        let address = entry.or_insert_with(|| {
            let own = self.table.charge_anyway(limits::ADDRESS_ENTRY_BYTES);
            Arc::new(Address::new(network, Arc::clone(&self.rules), self.budget.address(), own))
        });
        // While the entry is locked, so that it is not removed before.
        address.connections.fetch_add(connections, Relaxed);
        Arc::clone(&*address)
    }

    /// How many connections there are.
    #[cfg(feature = "admin")]
    pub(crate) fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// The purse of the application's own server, which counts only among all, and keeps nothing.
    #[cfg(feature = "admin")]
    pub(crate) fn server(&self) -> Arc<Purse> {
        let purse = self.budget.server().purse();
        purse.close();
        purse
    }

    /// The bytes of memory that are pinned, and how many may be, if there is a limit.
    #[cfg(feature = "admin")]
    pub(crate) fn memory(&self) -> (usize, Option<usize>) {
        (self.budget.used(), self.budget.limit())
    }

    /// The bytes of memory that are pinned.
    #[cfg(test)]
    pub(crate) fn pinned(&self) -> usize {
        self.budget.used()
    }

    /// Counts a place that is held for a client of `address` whose connection is lost; none if it may not be held. There may
    /// be as many as connections, for an address and in all. They are counted apart: otherwise those who come back could not
    /// connect, because their own places were in their way.
    pub(crate) fn hold(self: &Arc<Self>, address: Option<&Arc<Address>>) -> Option<HeldPlace> {
        let held = self.held.fetch_add(1, Relaxed) + 1;
        let at_address = address.map_or(0, |address| address.held.fetch_add(1, Relaxed) + 1);
        let purse = address.map_or(&self.others, |address| &address.memory).purse();
        let memory = purse.charge(limits::OWN_PLACE_BYTES);
        purse.close();
        let is_over_memory = memory.is_none();
        let place = HeldPlace { quotas: Arc::clone(self), address: address.cloned(), _memory: memory };
        let (most, most_at_address) = (self.max_connections, self.rules.connections);
        let exceeds = (most > 0 && held > most) || (most_at_address > 0 && at_address > most_at_address);
        if exceeds || is_over_memory { None } else { Some(place) }
    }

    /// How many places are held.
    #[cfg(any(test, feature = "admin"))]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether a line about a refusal may be logged. The client at `ip` is not admitted.
    pub(crate) fn may_log_refusal(&self, ip: Option<IpAddr>, over: OverLimit) -> bool {
        let address = || Some(Arc::clone(&*self.addresses.get(&Network::from(ip?))?));
        match (over, address()) {
            (OverLimit::All(_), _) => self.may_log_of_all(),
            (_, Some(address)) => address.may_log(),
            // It is remembered no longer, so it is not its own use that refuses it.
            (_, None) if ip.is_some() => self.may_log_of_all(),
            (_, None) => self.may_log_about(None),
        }
    }

    fn may_log_of_all(&self) -> bool {
        let left_out = self.lines.take(&self.rules);
        if let Some(lines @ 1..) = left_out {
            warn!(lines, "left out lines about refused connections");
        }
        left_out.is_some()
    }

    /// Whether a line about a client of `address` may be logged. Those who have none share their lines.
    pub(crate) fn may_log_about(&self, address: Option<&Arc<Address>>) -> bool {
        let Some(address) = address else {
            let left_out = self.lines_without_address.take(&self.rules);
            say_left_out_without_address(left_out.unwrap_or_default());
            return left_out.is_some();
        };
        address.may_log()
    }

    /// A refusal that is to be written; none if enough are being written. Connections from this machine have some of
    /// their own, because they may be a monitor's, and so has each other address.
    pub(crate) fn refuse(&self, over: OverLimit, connection: ConnectionInfo) -> Option<RefusalPermit> {
        let permit = |of: &Arc<Semaphore>| Arc::clone(of).try_acquire_owned().ok().map(RefusalRoom::Permit);
        let own = || if connection.is_local() { permit(&self.health_checks) } else { self.seat(connection) };
        let room = permit(&self.refusals).or_else(own)?;
        Some(RefusalPermit { over, room })
    }

    /// Whether a refusal is worth a TLS handshake, because a health check may come after it: to this machine, and to one
    /// connection of each other address at a time.
    pub(crate) fn is_worth_a_handshake(&self, refused: &mut RefusalPermit, connection: ConnectionInfo) -> bool {
        if connection.is_local() || matches!(refused.room, RefusalRoom::Seat(_)) {
            return true;
        }
        let Some(seat) = self.seat(connection) else { return false };
        refused.room = seat;
        true
    }

    fn seat(&self, connection: ConnectionInfo) -> Option<RefusalRoom> {
        self.reserve.take(connection.ip()?.into()).map(RefusalRoom::Seat)
    }

    /// How many addresses are remembered, without those that could be forgotten.
    pub(crate) fn addresses(&self) -> usize {
        self.sweep();
        self.addresses.len()
    }

    /// Says in the log what was left out and not said yet.
    pub(crate) fn report_left_out(&self) {
        self.addresses.iter().for_each(|address| address.say_left_out(address.lines.left_out.swap(0, Relaxed)));
        say_left_out_without_address(self.lines_without_address.left_out.swap(0, Relaxed));
    }

    fn forget_if_unused(&self, address: &Address) {
        let now = self.rules.nanos(Instant::now());
        if address.is_unused(now) {
            self.addresses.remove_if(&address.network, |_, address| address.is_unused(now));
        }
    }

    fn sweep_if_due(&self) {
        let (now, swept) = (self.rules.nanos(Instant::now()), self.swept.load(Relaxed));
        let is_old = u128::from(now.saturating_sub(swept)) >= limits::ADDRESS_SWEEP.as_nanos();
        let is_large = self.addresses.len() > limits::ADDRESSES + self.open.load(Relaxed);
        // One task sweeps.
        if (is_old || is_large) && self.swept.compare_exchange(swept, now, Relaxed, Relaxed).is_ok() {
            self.sweep();
        }
    }

    /// Forgets the addresses that are idle and have used nothing. If too many are only idle, forgets them too.
    fn sweep(&self) {
        let now = self.rules.nanos(Instant::now());
        let mut idle = 0;
        self.addresses.retain(|_, address| {
            address.say_left_out_if_allowed();
            let keeps = !address.is_unused(now);
            idle += usize::from(keeps && !address.is_in_use());
            keeps
        });
        // Half of them, so that the next sweep is far away.
        if idle > limits::ADDRESSES / 2 {
            self.addresses.retain(|_, address| address.is_in_use());
        }
    }
}

fn say_left_out_without_address(lines: u64) {
    if lines > 0 {
        info!(lines, "left out lines about clients without an address of their own");
    }
}

/// The connections that fit into `descriptors` file descriptors; 0, which means no limit, without such a limit.
fn connections_within(descriptors: Option<usize>) -> usize {
    let Some(descriptors) = descriptors else { return 0 };
    let most = (descriptors.saturating_mul(limits::MAX_CONNECTIONS_PERCENT) / 100)
        .min(descriptors.saturating_sub(limits::SPARE_DESCRIPTORS));
    // A process with so few descriptors serves some connections, and waits for descriptors now and then.
    most.max(descriptors / 2).max(1)
}

#[cfg(test)]
mod tests;

//! A client that is admitted, and a place that is held for one: each counts until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::time::Instant;

use super::address::{Address, Network};
use super::{OverLimit, Quotas};
use crate::budget::{Charge, Purse};
use crate::limits;

/// One client that is admitted, until this is dropped.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(super) quotas: Arc<Quotas>,
    pub(super) address: Option<Arc<Address>>,
    /// Whether it counts among all: one admission of each connection does.
    pub(super) counts_among_all: AtomicBool,
    /// Whether the memory of the connection itself is pinned.
    pub(super) is_pinned: bool,
    /// What the connection pins is charged to it.
    pub(super) purse: Arc<Purse>,
}

impl Admission {
    /// The client's address; none if that is not limited.
    pub(crate) fn address(&self) -> Option<&Arc<Address>> {
        self.address.as_ref()
    }

    /// The purse to which is charged what the connection pins.
    pub(crate) fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// Counts among all in the place of `earlier`, which ends although its connection goes on, with this client. The two may
    /// be the same one.
    pub(crate) fn succeed(&self, earlier: &Self) {
        if earlier.counts_among_all.swap(false, Relaxed) {
            self.counts_among_all.store(true, Relaxed);
        }
    }

    /// Whether a line about this client may be logged.
    pub(crate) fn may_log(&self) -> bool {
        self.quotas.may_log_about(self.address())
    }

    /// Counts an upgrade.
    ///
    /// # Errors
    /// [`OverLimit`], if there were too many.
    pub(crate) fn take_upgrade(&self) -> Result<(), OverLimit> {
        self.address()
            .map_or(Ok(()), |address| address.take(&address.upgrades, &address.rules.upgrades, OverLimit::Upgrades))
    }

    /// Counts a TLS handshake, and until the charge is dropped the memory of TLS.
    ///
    /// # Errors
    /// [`OverLimit`], if there were too many, or there is no memory.
    pub(crate) fn take_handshake(&self) -> Result<Charge, OverLimit> {
        if let Some(address) = self.address() {
            address.take(&address.handshakes, &address.rules.upgrades, OverLimit::Handshakes)?;
        }
        self.purse.charge(limits::TLS_BYTES).ok_or(OverLimit::Memory)
    }

    /// Counts a TLS handshake that has failed, where those that succeed do not count.
    pub(crate) fn charge_failed_handshake(&self) {
        if let Some(address) = self.address()
            && let Some(rate) = &address.rules.upgrades
        {
            address.handshakes.charge(rate, 1, address.rules.nanos(Instant::now()));
        }
    }

    /// Whether more handshakes have failed than may.
    pub(crate) fn has_failed_too_often(&self) -> bool {
        let missing = |address: &Arc<Address>| {
            let rate = address.rules.upgrades.as_ref()?;
            address.handshakes.missing(rate, address.rules.nanos(Instant::now()))
        };
        self.address().and_then(missing).is_some()
    }

    /// As what its address counts; none if that is not limited.
    pub(crate) fn network(&self) -> Option<Network> {
        self.address.as_ref().map(|address| address.network)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let quotas = &self.quotas;
        if self.is_pinned {
            self.purse.unpin(limits::CONNECTION_BYTES);
        }
        self.purse.close();
        if *self.counts_among_all.get_mut() {
            quotas.open.fetch_sub(1, Relaxed);
        }
        let Some(address) = &self.address else { return };
        address.connections.fetch_sub(1, Relaxed);
        quotas.forget_if_unused(address);
        quotas.sweep_if_due();
    }
}

/// A place that is held for a client whose connection is lost, until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldPlace {
    pub(super) quotas: Arc<Quotas>,
    pub(super) address: Option<Arc<Address>>,
    pub(super) _memory: Option<Charge>,
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        self.quotas.held.fetch_sub(1, Relaxed);
        if let Some(address) = &self.address {
            address.held.fetch_sub(1, Relaxed);
            self.quotas.forget_if_unused(address);
        }
    }
}

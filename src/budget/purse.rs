//! The purse of one connection, and what is charged to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::{Account, LUMP, PURSE};

/// What one connection has taken from its account and not pinned yet.
#[derive(Debug)]
pub(crate) struct Purse {
    account: Arc<Account>,
    /// The bytes that are left. Below zero for a moment, while a charge looks for more.
    left: AtomicI64,
}

/// Bytes that are pinned, until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    purse: Arc<Purse>,
    bytes: u32,
}

impl Purse {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account, left: AtomicI64::new(0) }
    }

    /// Pins `bytes`, 4 GiB at most; none if the account, or all, have none left.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let charge = self.charge_of(bytes);
        let left = self.left.fetch_sub(charge.signed(), Relaxed);
        if left < charge.signed() {
            let lumps = charge.lumps_beyond(left);
            if !self.account.take(lumps) {
                // Dropped, the charge gives back what it has not got.
                return None;
            }
            self.left.fetch_add(lumps as i64, Relaxed);
        }
        Some(charge)
    }

    /// Pins `bytes`, 4 GiB at most, even if there are none left.
    pub(crate) fn charge_anyway(self: &Arc<Self>, bytes: usize) -> Charge {
        let charge = self.charge_of(bytes);
        let left = self.left.fetch_sub(charge.signed(), Relaxed);
        if left < charge.signed() {
            let lumps = charge.lumps_beyond(left);
            self.account.take_anyway(lumps);
            self.left.fetch_add(lumps as i64, Relaxed);
        }
        charge
    }

    /// Whether `bytes` could be pinned now, so that what follows may be charged anyway.
    pub(crate) fn has(self: &Arc<Self>, bytes: usize) -> bool {
        self.charge(bytes).is_some()
    }

    /// Gives back what is left: the connection is idle.
    pub(crate) fn give_back(&self) {
        self.give_back_above(0);
    }

    /// The account of its address.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    fn charge_of(self: &Arc<Self>, bytes: usize) -> Charge {
        Charge { purse: Arc::clone(self), bytes: u32::try_from(bytes).unwrap_or(u32::MAX) }
    }

    fn put_back(&self, bytes: i64) {
        let left = self.left.fetch_add(bytes, Relaxed) + bytes;
        if left > PURSE as i64 {
            self.give_back_above(LUMP);
        }
    }

    fn give_back_above(&self, keep: usize) {
        let keep = keep as i64;
        if let Ok(left) = self.left.fetch_update(Relaxed, Relaxed, |left| (left > keep).then_some(keep)) {
            self.account.give((left - keep) as usize);
        }
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Charge {
    /// The purse that it is charged to.
    pub(crate) fn purse(&self) -> &Arc<Purse> {
        &self.purse
    }

    /// The bytes that it pins.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Pins this many bytes instead; whether there were as many. If not, nothing has changed.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        match bytes.checked_sub(self.bytes()) {
            None | Some(0) => self.shrink(bytes),
            Some(more) => {
                let Some(mut more) = self.purse.charge(more) else { return false };
                // Now its bytes are this one's.
                self.bytes = self.bytes.saturating_add(std::mem::take(&mut more.bytes));
            }
        }
        true
    }

    fn shrink(&mut self, bytes: usize) {
        let less = self.bytes() - bytes;
        self.bytes = bytes as u32;
        self.purse.put_back(less as i64);
    }

    fn signed(&self) -> i64 {
        i64::from(self.bytes)
    }

    /// What is missing where this much was left, rounded up to whole lumps.
    fn lumps_beyond(&self, left: i64) -> usize {
        usize::try_from(self.signed() - left).unwrap_or_default().next_multiple_of(LUMP)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.purse.put_back(self.signed());
    }
}

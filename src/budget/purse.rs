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
    /// The most bytes that may be left.
    most_left: AtomicI64,
}

/// Bytes that are pinned, until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    purse: Arc<Purse>,
    bytes: u32,
}

impl Purse {
    pub(super) fn new(account: Arc<Account>) -> Self {
        Self { account, left: AtomicI64::new(0), most_left: AtomicI64::new(PURSE as i64) }
    }

    /// Pins `bytes` until they are [unpinned](Self::unpin); whether the account, and all, have as many left.
    #[inline]
    pub(crate) fn pin(&self, bytes: usize) -> bool {
        let left = self.left.fetch_sub(bytes as i64, Relaxed);
        left >= bytes as i64 || self.fetch_lumps(bytes, left)
    }

    /// Pins `bytes` until they are [unpinned](Self::unpin), even if there are none left.
    #[inline]
    pub(crate) fn pin_anyway(&self, bytes: usize) {
        let left = self.left.fetch_sub(bytes as i64, Relaxed);
        if left < bytes as i64 {
            let lumps = lumps_for(bytes, left);
            self.account.take_anyway(lumps);
            self.left.fetch_add(lumps as i64, Relaxed);
        }
    }

    /// Gives back `bytes` that were pinned.
    #[inline]
    pub(crate) fn unpin(&self, bytes: usize) {
        let left = self.left.fetch_add(bytes as i64, Relaxed) + bytes as i64;
        let most = self.most_left.load(Relaxed);
        if left > most {
            self.give_back_above(most.min(LUMP as i64));
        }
    }

    /// Takes what is missing for `bytes`, which are subtracted already, where this much was left before; if it cannot, they
    /// are put back.
    #[cold]
    fn fetch_lumps(&self, bytes: usize, left: i64) -> bool {
        let lumps = lumps_for(bytes, left);
        let taken = self.account.take(lumps);
        if taken {
            self.left.fetch_add(lumps as i64, Relaxed);
        } else {
            self.unpin(bytes);
        }
        taken
    }

    /// Pins `bytes`, 4 GiB at most, until the charge is dropped; none if the account, or all, have none left.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        let counted = u32::try_from(bytes).ok()?;
        self.pin(bytes).then(|| Charge { purse: Arc::clone(self), bytes: counted })
    }

    /// Pins `bytes`, 4 GiB at most, even if there are none left, until the charge is dropped.
    pub(crate) fn charge_anyway(self: &Arc<Self>, bytes: usize) -> Charge {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.pin_anyway(bytes as usize);
        Charge { purse: Arc::clone(self), bytes }
    }

    /// Whether `bytes` could be pinned now, so that what follows may be charged anyway.
    pub(crate) fn has(&self, bytes: usize) -> bool {
        let has = self.pin(bytes);
        if has {
            self.unpin(bytes);
        }
        has
    }

    /// Gives back what is left: the connection is idle.
    pub(crate) fn give_back(&self) {
        self.give_back_above(0);
    }

    /// Gives back what is left, and from now on at once what is given back to it: the connection has ended, and nobody is
    /// about to need that.
    pub(crate) fn close(&self) {
        self.most_left.store(0, Relaxed);
        self.give_back();
    }

    /// The account of its address.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    #[cold]
    fn give_back_above(&self, keep: i64) {
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
    /// The bytes that it pins.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Pins this many bytes instead; whether there were as many. If not, nothing has changed.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        let Ok(after) = u32::try_from(bytes) else { return false };
        match bytes.checked_sub(self.bytes()) {
            Some(more) if !self.purse.pin(more) => return false,
            Some(_) => {}
            None => self.purse.unpin(self.bytes() - bytes),
        }
        self.bytes = after;
        true
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.purse.unpin(self.bytes());
    }
}

/// What is missing of `bytes` where this much was left, rounded up to whole lumps.
fn lumps_for(bytes: usize, left: i64) -> usize {
    usize::try_from(bytes as i64 - left).unwrap_or_default().next_multiple_of(LUMP)
}

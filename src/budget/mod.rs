//! How much memory may be pinned, by all and by each address. Independent of rooms, messages and sockets.
//!
//! Three levels count, each in one atomic number:
//!
//! - The [`Budget`] of the relay.
//! - An [`Account`] for each address, with a limit of its own.
//! - A [`Purse`] for each connection. It takes memory from its account in lumps of [`LUMP`] and gives it back when it has
//!   more than [`PURSE`] left, so a message on its way changes only the number of its sender's purse. When its connection
//!   [has ended](Purse::close), it keeps nothing.
//!
//! What is pinned is a [`Charge`]: it belongs to the purse of whoever caused it, whichever task drops it, and however late.
//! A purse lives as long as one of its charges, so what an address that has gone left behind still counts for it.
//!
//! # When there is none left
//! [`Purse::charge`] refuses. What cannot be refused, because it tells the truth about a room, is charged
//! [anyway](Purse::charge_anyway); an eighth of each limit is left for that ([`ANYWAY`]), and its cause was checked before.
//! Accounts that use little ([`SMALL_ACCOUNT`]) may go on above the budget, up to a tenth ([`RESERVE`]): otherwise a few
//! addresses that use much would silence all the others.
//! An account [is pressed](Account::is_pressed) before it is full: then what is kept just in case is to be given up.

mod purse;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[allow(unused_imports, reason = "`tests/outbox.rs` compiles this module, and needs no charges")]
pub(crate) use purse::Charge;
pub(crate) use purse::Purse;

/// What a purse takes from its account at least, in bytes: two session descriptions of typical size.
pub(crate) const LUMP: usize = 4 * 1024;
/// What a purse may have left until it gives back, in bytes: the next burst of candidates needs no more.
pub(crate) const PURSE: usize = 16 * 1024;
/// An account that uses no more than this, in bytes, may use the reserve: a person in a call, with what a message of the
/// largest size costs in two queues.
pub(crate) const SMALL_ACCOUNT: usize = 256 * 1024;
/// The part of the budget, above it, that is left to small accounts: a tenth.
pub(crate) const RESERVE: usize = 10;
/// The part of a limit that is left for what cannot be refused: an eighth.
pub(crate) const ANYWAY: usize = 8;

/// What a limit of none is: far above any machine, and far below where sums overflow.
const UNLIMITED: usize = isize::MAX as usize / 4;

/// The memory that may be pinned in all, and by each address.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    all: Arc<Total>,
    address_limit: usize,
}

/// What all accounts use.
#[derive(Debug)]
struct Total {
    limit: usize,
    used: AtomicUsize,
}

/// What one address uses.
#[derive(Debug)]
pub(crate) struct Account {
    all: Arc<Total>,
    limit: usize,
    used: AtomicUsize,
    /// Whether it is of one address, rather than of all that have none.
    is_address: bool,
}

impl Budget {
    /// A budget of `all` bytes, and of `address` bytes for each address; 0 is none.
    pub(crate) fn new(all: usize, address: usize) -> Self {
        let all = Total { limit: limit_of(all), used: AtomicUsize::new(0) };
        Self { all: Arc::new(all), address_limit: limit_of(address) }
    }

    /// The account of an address that used nothing so far.
    pub(crate) fn address(&self) -> Arc<Account> {
        self.account(self.address_limit, true)
    }

    /// An account that counts only among all: for who has no address, or one that is not limited.
    pub(crate) fn nobody(&self) -> Arc<Account> {
        self.account(UNLIMITED, false)
    }

    /// The account of the application's own server: it has no limit of its own, but is not many, so what is left to those who
    /// use little is not for one that uses much.
    #[cfg(feature = "admin")]
    pub(crate) fn server(&self) -> Arc<Account> {
        self.account(UNLIMITED, true)
    }

    fn account(&self, limit: usize, is_address: bool) -> Arc<Account> {
        Arc::new(Account { all: Arc::clone(&self.all), limit, used: AtomicUsize::new(0), is_address })
    }

    /// The bytes that are pinned, with what purses have left.
    #[cfg(any(test, feature = "admin"))]
    pub(crate) fn used(&self) -> usize {
        self.all.used.load(Relaxed)
    }
}

#[cfg(feature = "admin")]
impl Budget {
    /// The most bytes that all may pin, if there is a limit.
    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.all.limit).filter(|limit| *limit != UNLIMITED)
    }
}

impl Account {
    /// A purse of one connection.
    pub(crate) fn purse(self: &Arc<Self>) -> Arc<Purse> {
        Arc::new(Purse::new(Arc::clone(self)))
    }

    /// Whether so much is used that what is only kept just in case should be given up: half, here or in all. The other half
    /// is left to what happens until idle clients give theirs up.
    pub(crate) fn is_pressed(&self) -> bool {
        self.used.load(Relaxed) > self.limit / 2 || self.all.used.load(Relaxed) > self.all.limit / 2
    }

    /// Whether it is the account of one address.
    pub(crate) fn is_address(&self) -> bool {
        self.is_address
    }

    /// The bytes that its address has pinned, with what purses have left.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Takes `bytes` if there are as many.
    fn take(&self, bytes: usize) -> bool {
        let within = |used: usize, limit: usize| used.checked_add(bytes).filter(|after| *after <= limit);
        let own = self.used.fetch_update(Relaxed, Relaxed, |used| within(used, refusing(self.limit)));
        let Ok(before) = own else { return false };
        // Those without an address of their own are many, such as all behind a proxy.
        let is_small = !self.is_address || before + bytes <= SMALL_ACCOUNT;
        let limit = if is_small { self.all.limit + self.all.limit / RESERVE } else { refusing(self.all.limit) };
        let taken = self.all.used.fetch_update(Relaxed, Relaxed, |used| within(used, limit)).is_ok();
        if !taken {
            self.used.fetch_sub(bytes, Relaxed);
        }
        taken
    }

    /// Takes `bytes`, however many there are.
    fn take_anyway(&self, bytes: usize) {
        self.used.fetch_add(bytes, Relaxed);
        self.all.used.fetch_add(bytes, Relaxed);
    }

    fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
        self.all.used.fetch_sub(bytes, Relaxed);
    }
}

fn limit_of(bytes: usize) -> usize {
    if bytes == 0 { UNLIMITED } else { bytes.min(UNLIMITED) }
}

/// From how many bytes on a limit refuses what may be refused.
fn refusing(limit: usize) -> usize {
    limit - limit / ANYWAY
}

/// A purse without a limit.
#[cfg(any(test, fuzzing))]
pub(crate) fn boundless() -> Arc<Purse> {
    Budget::new(0, 0).nobody().purse()
}

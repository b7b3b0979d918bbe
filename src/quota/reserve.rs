//! A few seats for connections beyond a limit that may be health checks: one for each address at a time, so that nobody
//! keeps all of them from a monitor.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::Network;
use crate::limits;

/// The seats, and who has one.
#[derive(Debug, Default)]
pub(crate) struct Reserve(Mutex<HashSet<Network>>);

/// A seat, until this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    reserve: Arc<Reserve>,
    network: Network,
}

impl Reserve {
    /// A seat for a connection from `network`; none if one from there has a seat, or none is left.
    pub(crate) fn take(self: &Arc<Self>, network: Network) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = taken.len() < limits::HEALTH_CHECK_ADDRESSES && taken.insert(network);
        is_free.then(|| Seat { reserve: Arc::clone(self), network })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.reserve.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.network);
    }
}

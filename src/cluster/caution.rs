//! When this relay must not trust what is missing in the directory: the others may just be about to register what they have.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limits::{CAUTION, REDIS_FRESH};

/// Whether this relay is cautious. While it is, it claims no new name, and takes nobody for dead.
#[derive(Debug, Default)]
pub(crate) struct Caution {
    state: Mutex<State>,
    /// Woken when all rooms have to be asserted at once.
    asserts: Notify,
    /// Woken when it has to be looked at once which relays there are.
    looks: Notify,
}

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    /// Which run of Redis was seen last.
    run_id: String,
}

impl Caution {
    /// Until when it is; none if it is not.
    pub(crate) fn until(&self) -> Option<Instant> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.until.filter(|until| Instant::now() < *until)
    }

    /// Begins, or begins again.
    pub(crate) fn begin(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).until = Some(Instant::now() + CAUTION);
        self.asserts.notify_one();
        self.looks.notify_one();
    }

    /// A connection is new, to a Redis that is up for so long; it `is_again` if there was one before. This is called before
    /// anything is asked on it.
    pub(crate) fn connects(&self, run_id: &str, up_for: Duration, is_again: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_another = !state.run_id.is_empty() && state.run_id != run_id;
        run_id.clone_into(&mut state.run_id);
        drop(state);
        if is_again || is_another || up_for < REDIS_FRESH {
            self.begin();
        }
    }

    /// Waits until it has to be looked at once which relays there are.
    pub(crate) async fn looks(&self) {
        self.looks.notified().await;
    }

    /// Waits until all rooms have to be asserted at once.
    pub(crate) async fn asserts(&self) {
        self.asserts.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_relay_is_cautious_after_each_connection_but_the_first_to_a_redis_that_is_up_for_long() {
        let (caution, hour) = (Caution::default(), Duration::from_secs(3600));
        caution.connects("a", hour, false);
        assert!(caution.until().is_none() && caution.asserts().now_or_never().is_none());
        caution.connects("a", hour, true);
        assert!(caution.until().is_some() && caution.asserts().now_or_never().is_some());
        tokio::time::advance(CAUTION).await;
        assert!(caution.until().is_none());
        caution.connects("b", hour, false);
        assert!(caution.until().is_some(), "it is another Redis");
        let fresh = Caution::default();
        fresh.connects("a", Duration::from_secs(2), false);
        assert!(fresh.until().is_some(), "it may have had a life before");
    }
}

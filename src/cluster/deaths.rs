//! Whether a relay that cannot be reached lives no more, asked once for all who wait to know it.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, WeakShared};
use tokio::time::sleep;

use super::directory::Directory;
use super::relays::ProcessId;
use crate::limits::LEASE_LOOK;

/// Which relays are looked at.
#[derive(Default)]
pub(super) struct Deaths(DashMap<ProcessId, WeakShared<BoxFuture<'static, bool>>>);

impl Directory {
    /// Whether the relay `process`, which cannot be reached, does not live any more. While nobody can say, it does. Whoever
    /// asks before [`LEASE_LOOK`] is over hears the same, and nobody hears that it lives before that: everybody who had a
    /// place at a relay comes at once when that dies.
    pub(crate) async fn is_dead(self: &Arc<Self>, process: ProcessId) -> bool {
        let directory = Arc::clone(self);
        let looks = async move {
            let is_gone = directory.store.lease(process).await.is_ok_and(|lease| lease.is_none());
            let is_dead = is_gone && directory.caution.until().is_none();
            if !is_dead {
                sleep(LEASE_LOOK).await;
            }
            is_dead
        };
        let new = looks.boxed().shared();
        let Some(weak) = new.downgrade() else { return new.await };
        let looks = &self.deaths.0;
        if !looks.contains_key(&process) {
            looks.retain(|_, look| look.upgrade().is_some());
        }
        let same = match looks.entry(process) {
            Entry::Occupied(mut entry) => match entry.get().upgrade().filter(|look| look.peek().is_none()) {
                Some(same) => Some(same),
                None => {
                    entry.insert(weak);
                    None
                }
            },
            Entry::Vacant(entry) => {
                entry.insert(weak);
                None
            }
        };
        same.unwrap_or(new).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::fake::{FakeRelay, World};
    use super::*;
    use crate::limits::LEASE;

    #[tokio::test(start_paused = true)]
    async fn however_many_wait_for_a_relay_to_die_its_lease_is_looked_at_four_times_a_second() {
        let world = Arc::<World>::default();
        let (one, other) = (FakeRelay::new(&world).await, FakeRelay::new(&world).await);
        one.store.takes(Duration::from_millis(1));
        let (process, begun) = (other.own.process, Instant::now());
        let waits: Vec<_> = (0..1_000)
            .map(|number| {
                let directory = Arc::clone(&one.directory);
                tokio::spawn(async move {
                    sleep(Duration::from_millis(number)).await;
                    while !directory.is_dead(process).await {}
                })
            })
            .collect();
        for wait in waits {
            wait.await.unwrap();
        }
        assert!(begun.elapsed() >= LEASE && begun.elapsed() < LEASE + 2 * LEASE_LOOK, "{:?}", begun.elapsed());
        let most = begun.elapsed().as_millis() / LEASE_LOOK.as_millis() + 1;
        let looks = one.store.asked("lease") as u128;
        assert!(looks <= most, "{looks} looks");
        // Nobody waits any more.
        one.directory.is_dead(one.own.process).await;
        assert_eq!(one.directory.deaths.0.len(), 1);
    }
}

//! This relay says every second that it lives.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::caution::Caution;
use super::relays::Neighbour;
use super::store::Store;
use crate::limits::LEASE_RENEWAL;

/// Says for ever that the relay `own` lives. Who finds that this was forgotten, or was not said in time, has perhaps been given
/// up by the others: all rooms are asserted then.
pub(super) async fn renew(store: Arc<dyn Store>, caution: Arc<Caution>, own: Arc<Neighbour>) {
    let said = own.to_said();
    let mut is_first = true;
    let mut renewals = interval(LEASE_RENEWAL);
    // After a minute's sleep, once is enough.
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        renewals.tick().await;
        let Ok(was_there) = store.renew(own.process, &said).await else { continue };
        if !was_there && !is_first {
            info!("the lease of this relay was gone: its rooms are registered again");
            caution.begin();
        }
        is_first = false;
    }
}

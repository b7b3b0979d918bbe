//! Whether the relays reach each other where they say: tried once, so that the log says what is set wrong before a client finds
//! out.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::directory::Directory;
use super::door::Doors;
use super::relays::{Neighbour, ProcessId};
use crate::limits::{TRIAL_INTERVAL, TRIALS_AT_ONCE};

/// Tries the way to the relay `own`, which is this one, and then to each other one that the `directory` knows.
pub(super) async fn run(doors: Arc<Doors>, directory: Arc<Directory>, own: Arc<Neighbour>) {
    // Whoever answers there has its certificate.
    if let Err(why) = doors.dial(&own).await {
        warn!(
            address = %own.address,
            %why,
            "this relay is not reached at the address that other relays hear of: set --cluster-advertise to one at which they \
             reach it, and open its port to them"
        );
    }
    let (mut tried, mut known) = (HashSet::new(), Vec::new());
    loop {
        // By then those that were known before know this relay, too.
        sleep(TRIAL_INTERVAL).await;
        tried.retain(|process| known.iter().any(|relay: &Arc<Neighbour>| relay.process == *process));
        known.retain(|relay| relay.is_understood() && !tried.contains(&relay.process));
        let outcomes = stream::iter(known).map(|relay| try_one(&doors, &directory, relay));
        let outcomes: Vec<Option<ProcessId>> = outcomes.buffer_unordered(TRIALS_AT_ONCE).collect().await;
        tried.extend(outcomes.into_iter().flatten());
        known = directory.relays().all();
    }
}

/// Its process, unless it has to be tried again.
async fn try_one(doors: &Doors, directory: &Arc<Directory>, relay: Arc<Neighbour>) -> Option<ProcessId> {
    let Err(why) = doors.dial(&relay).await else {
        debug!(relay = %relay.process, address = %relay.address, "another relay is reached");
        return Some(relay.process);
    };
    if directory.is_dead(relay.process).await {
        return None;
    }
    warn!(
        relay = %relay.process,
        address = %relay.address,
        %why,
        "this relay does not reach another one, so that clients who come by this one cannot join its rooms: open the port \
         between the two, or set --cluster-advertise there to an address at which it is reached"
    );
    Some(relay.process)
}

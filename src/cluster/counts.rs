//! What a cluster looks like from one of its relays, for `/metrics`.

use super::Cluster;
use super::directory::CLAIM_RESULTS;
use crate::metrics::Times;

/// What was counted, and what there is.
#[derive(Debug, Default)]
pub(crate) struct ClusterCounts {
    /// Other relays that live.
    pub relays: usize,
    /// Clients of this relay whose rooms live at others.
    pub tunnels: u64,
    /// All of these that there were.
    pub tunnels_opened: u64,
    /// Clients that have come by other relays.
    pub guests: usize,
    /// What came of claims, as [`CLAIM_RESULTS`] has it.
    pub claims: [u64; CLAIM_RESULTS.len()],
    /// Rooms that were taken over from dead relays.
    pub taken_over: u64,
    /// Rooms that this relay let go of.
    pub let_go: u64,
    /// Whether Redis is there.
    pub is_redis_there: bool,
    /// How often Redis was connected again.
    pub redis_reconnects: u64,
}

impl Cluster {
    /// What was counted so far.
    pub(crate) fn counts(&self) -> ClusterCounts {
        let counts = &self.directory.counts;
        let doors = self.directory.doors();
        let (opened, ended) = doors.map_or((0, 0), |doors| {
            // In this order, so that no more have ended than were opened.
            let ended = doors.counts().ended.get();
            (doors.counts().opened.get(), ended)
        });
        ClusterCounts {
            relays: self.directory.relays.alive().len(),
            tunnels: opened.saturating_sub(ended),
            tunnels_opened: opened,
            guests: doors.map_or(0, |doors| doors.links().guests()),
            claims: counts.claims.get(),
            taken_over: counts.taken_over.get(),
            let_go: counts.let_go.get(),
            is_redis_there: self.redis.is_there(),
            redis_reconnects: self.redis.reconnects(),
        }
    }

    /// How long the answers of Redis took.
    pub(crate) fn redis_latency(&self) -> &Times {
        self.redis.latency()
    }
}

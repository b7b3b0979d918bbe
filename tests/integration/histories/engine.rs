//! What says where rooms live: one Redis, one that sentinels watch, or a Redis Cluster.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::record::Ms;
use crate::harness::free_port;
use crate::harness::redis::Redis;
use crate::harness::sentinels::Sentinels;
use crate::harness::shards::Shards;

/// How long the others may take to agree on who takes the place of a node.
const AGREED: Duration = Duration::from_secs(10);
/// The longest that a node may answer nobody before the others take its place, with something to spare.
const NOT_YET_DOWN: Ms = 700;
/// Where the keys of rooms begin.
const ROOMS: &str = "signaling-relay:room:*";

/// Which of them, as `CLUSTER_TEST_OVER` says.
enum Kind {
    /// One Redis.
    Alone,
    /// A Redis with a replica, and those that watch both.
    Watched(Sentinels),
    /// Primaries that share all keys, each with a replica.
    Shards,
}

pub(super) struct Engine {
    kind: Kind,
    nodes: Vec<Redis>,
    /// The node that was killed.
    killed: Option<usize>,
}

impl Engine {
    pub(super) async fn start() -> Self {
        let over = std::env::var("CLUSTER_TEST_OVER").unwrap_or_default();
        let (kind, nodes) = match over.as_str() {
            "" => (Kind::Alone, vec![Redis::start_with(&[]).await]),
            "sentinel" => {
                let primary = Redis::start().await;
                let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await;
                (Kind::Watched(Sentinels::over(&primary).await), vec![primary, replica])
            }
            "shards" => {
                let shards = Shards::start().await;
                let mut replicas = Vec::new();
                for number in 0..shards.primaries.len() {
                    replicas.push(shards.replica_of(number).await);
                }
                (Kind::Shards, shards.primaries.into_iter().chain(replicas).collect())
            }
            other => panic!("CLUSTER_TEST_OVER is sentinel or shards, not {other}"),
        };
        Self { kind, nodes, killed: None }
    }

    /// The port of the one Redis, if relays reach it by wires that can be broken: several nodes tell each other's addresses.
    pub(super) fn port(&self) -> Option<u16> {
        matches!(self.kind, Kind::Alone).then(|| self.nodes[0].port)
    }

    /// What the relay `number` is told.
    pub(super) fn url(&self, number: usize) -> String {
        match &self.kind {
            Kind::Watched(sentinels) => sentinels.url(),
            Kind::Alone | Kind::Shards => self.nodes[number % self.nodes.len()].url(),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.killed.is_none()
    }

    /// Ends the Redis, or one of the primaries.
    pub(super) async fn kill(&mut self) {
        if self.killed.is_none()
            && let Some(primary) = self.primaries().await.first().copied()
        {
            self.nodes[primary].kill().await;
            self.killed = Some(primary);
        }
    }

    /// Starts what was killed again, without what it had, and waits until all agree on who the primaries are.
    pub(super) async fn start_again(&mut self) {
        let Some(killed) = self.killed.take() else { return };
        if matches!(self.kind, Kind::Alone) {
            // Somebody else may have its old port by now. The others know each other by their ports.
            self.nodes[killed].port = free_port();
        }
        self.nodes[killed].restart().await;
        let until = Instant::now() + AGREED;
        while !self.agree().await && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
        if !self.primaries().await.contains(&killed) {
            println!("a replica was promoted");
        }
    }

    async fn agree(&self) -> bool {
        if let Kind::Shards = self.kind {
            for node in &self.nodes {
                if !node.cli(&["cluster", "info"]).await.contains("cluster_state:ok") {
                    return false;
                }
            }
        }
        !self.primaries().await.is_empty()
    }

    /// The primaries that live. One that comes back takes itself for one until the sentinels make it a replica.
    async fn primaries(&self) -> Vec<usize> {
        let port = match &self.kind {
            Kind::Watched(sentinels) => Some(sentinels.primary().await),
            Kind::Alone | Kind::Shards => None,
        };
        let mut primaries = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let may_be = self.killed != Some(number) && port.is_none_or(|port| port == node.port);
            if may_be && node.info("role").await == "master" {
                primaries.push(number);
            }
        }
        primaries
    }

    /// Has a primary answer nobody for about so long, and returns for how long.
    pub(super) async fn pause(&self, ms: Ms) -> Ms {
        let ms = if matches!(self.kind, Kind::Alone) { ms } else { ms.min(NOT_YET_DOWN) };
        if let Some(primary) = self.primaries().await.first() {
            self.nodes[*primary].pause(ms).await;
        }
        ms
    }

    /// Ends the connections of all relays.
    pub(super) async fn kill_clients(&self) {
        for primary in self.primaries().await {
            self.nodes[primary].cli(&["client", "kill", "type", "normal"]).await;
        }
    }

    /// Deletes the keys of all rooms.
    pub(super) async fn delete_rooms(&self) {
        for primary in self.primaries().await {
            for key in self.keys(primary, ROOMS).await {
                self.nodes[primary].cli(&["del", &key]).await;
            }
        }
    }

    async fn keys(&self, node: usize, pattern: &str) -> Vec<String> {
        let keys = self.nodes[node].cli(&["keys", pattern]).await;
        keys.lines().filter(|key| !key.is_empty()).map(str::to_owned).collect()
    }

    /// The keys like `pattern` with their values.
    pub(super) async fn values(&self, pattern: &str) -> Vec<(String, String)> {
        let mut values = Vec::new();
        for primary in self.primaries().await {
            for key in self.keys(primary, pattern).await {
                let value = self.nodes[primary].cli(&["get", &key]).await;
                values.push((key, value));
            }
        }
        values
    }

    /// The fields and the values of a hash.
    pub(super) async fn hash(&self, key: &str) -> Vec<(String, String)> {
        for primary in self.primaries().await {
            let said = self.nodes[primary].cli(&["hgetall", key]).await;
            let lines: Vec<_> = said.lines().collect();
            // Another one has it, or nobody.
            if lines.len() > 1 {
                return lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
            }
        }
        Vec::new()
    }

    /// What is said of a room.
    pub(super) async fn room(&self, name: &str) -> String {
        for primary in self.primaries().await {
            let said = self.nodes[primary].room(name).await;
            if !said.is_empty() && !said.starts_with("MOVED ") {
                return said;
            }
        }
        String::new()
    }
}

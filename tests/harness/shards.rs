//! A real Redis Cluster.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::redis::Redis;
use super::{free_port, soon};

/// How many primaries there are: the fewest of which a majority is left when one is lost.
const PRIMARIES: usize = 3;

/// Three primaries. They end with their owner.
pub struct Shards {
    pub primaries: Vec<Redis>,
}

impl Shards {
    /// A cluster whose nodes agree, and are up for long enough that relays trust what they know.
    pub async fn start() -> Self {
        let (mut primaries, mut addresses) = (Vec::new(), Vec::new());
        for _ in 0..PRIMARIES {
            let (node, bus) = node().await;
            addresses.push(format!("127.0.0.1:{}@{bus}", node.port));
            primaries.push(node);
        }
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        manage(&[&["create"], &addresses[..]].concat()).await;
        for node in &primaries {
            expect_whole(node).await;
            node.settle().await;
        }
        Self { primaries }
    }

    /// A replica of one of them, once it has what that one has.
    pub async fn replica_of(&self, number: usize) -> Redis {
        let (replica, bus) = node().await;
        let primary = &self.primaries[number];
        let (port, bus) = (replica.port.to_string(), bus.to_string());
        assert_eq!(primary.cli(&["cluster", "meet", "127.0.0.1", &port, &bus]).await, "OK");
        let id = primary.cli(&["cluster", "myid"]).await;
        until("the replica to know its primary", || async {
            replica.cli(&["cluster", "replicate", &id]).await == "OK"
        })
        .await;
        until("the replica", || async { replica.info("master_link_status").await == "up" }).await;
        // All have to know of it, so that they vote for it.
        let own = replica.cli(&["cluster", "myid"]).await;
        for node in &self.primaries {
            let knows = || async { node.cli(&["cluster", "replicas", &id]).await.contains(&own) };
            until("the others to know the replica", knows).await;
        }
        replica
    }

    /// Moves so many slots from one to the other, with what is in them.
    pub async fn move_slots(&self, from: usize, to: usize, count: usize) {
        let (from, to) = (&self.primaries[from], &self.primaries[to]);
        let (one, other) = (from.cli(&["cluster", "myid"]).await, to.cli(&["cluster", "myid"]).await);
        let (at, count) = (format!("127.0.0.1:{}", from.port), count.to_string());
        let slots = ["--cluster-from", &one, "--cluster-to", &other, "--cluster-slots", &count];
        manage(&[&["reshard", &at], &slots[..]].concat()).await;
    }
}

/// Waits until a node knows all others, and that they serve all slots.
async fn expect_whole(node: &Redis) {
    let known = format!("cluster_known_nodes:{PRIMARIES}");
    let is_whole = || async {
        let said = node.cli(&["cluster", "info"]).await;
        said.contains("cluster_state:ok") && said.contains(&known)
    };
    until("the nodes to agree", is_whole).await;
}

async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waits = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(what, waits).await;
}

/// A node that is alone yet, and the port at which it talks to others.
async fn node() -> (Redis, u16) {
    let bus = free_port();
    let port = bus.to_string();
    let cluster = ["--cluster-enabled", "yes", "--cluster-port", &port, "--cluster-node-timeout", "1000"];
    // One whose last slot has moved away stays what it is.
    let stays = ["--cluster-allow-replica-migration", "no"];
    (Redis::start_with(&[&cluster[..], &stays].concat()).await, bus)
}

/// What `redis-cli --cluster` does.
async fn manage(what: &[&str]) {
    let mut cli = Command::new("redis-cli");
    cli.arg("--cluster").args(what).arg("--cluster-yes").stdin(Stdio::null()).kill_on_drop(true);
    let said = soon("redis-cli --cluster", cli.output()).await.expect("redis-cli: apt-get install redis-tools");
    assert!(said.status.success(), "{what:?}: {}", String::from_utf8_lossy(&said.stdout));
}

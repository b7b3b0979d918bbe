//! Three relays that are one behind the load balancers of the page about them, as they are printed there, with addresses of the
//! test's own.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::deploy;
use crate::harness::pages::{block, page, with};
use crate::harness::proxy::{Proxy, nginx_before, printed};
use crate::harness::redis::Redis;
use crate::harness::{AnyStream, Client, Process, connect, file, free_port, get, soon, text};

const ROOMS: usize = 6;

/// Three relays behind a load balancer.
struct Balanced {
    redis: Redis,
    relays: Vec<Process>,
    proxy: Proxy,
    _folder: TempDir,
}

async fn relays(redis: &Redis) -> Vec<Process> {
    let mut relays = Vec::new();
    for _ in 0..3 {
        relays.push(redis.relay(&["--admin-listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"]).await);
    }
    relays
}

fn ports(relays: &[Process]) -> [u16; 3] {
    [0, 1, 2].map(|relay: usize| relays[relay].port())
}

impl Balanced {
    async fn by_nginx(without: &[&str]) -> Self {
        let (redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
        let relays = relays(&redis).await;
        let proxy = nginx_before(ports(&relays), without, folder.path()).await;
        Self { redis, relays, proxy, _folder: folder }
    }

    async fn by_haproxy(without: &[&str]) -> Self {
        let (redis, folder) = (Redis::start().await, tempfile::tempdir().unwrap());
        let (relays, port) = (relays(&redis).await, free_port());
        let backend = printed("haproxy", "backend relays", ports(&relays), without);
        let site = block(&page(deploy::PAGE), "haproxy", "frontend calls");
        let frontend = with(
            &site[..site.find("\nbackend relay").unwrap()],
            &[
                ("bind :443 ssl crt /etc/haproxy/relay.example.pem", &format!("bind 127.0.0.1:{port}")),
                ("default_backend relay", "default_backend relays\n"),
            ],
        );
        let conf = file(folder.path(), "haproxy.cfg", frontend + &backend);
        let proxy = Proxy::start("/usr/sbin/haproxy", &["-db", "-f", text(&conf)], folder.path(), port).await;
        Self { redis, relays, proxy, _folder: folder }
    }

    /// A client in the room, who is by its URL or by a message, however often it takes.
    async fn join(&self, room: usize, is_by_url: bool) -> (Client<AnyStream>, usize) {
        let joins = async {
            loop {
                let path = if is_by_url { format!("?room=r{room}") } else { format!("ws?route=r{room}") };
                let url = format!("ws://relay.example:{}/{path}", self.proxy.port);
                if let Ok(mut client) = Client::dial(self.proxy.dial().await, &url, &[]).await {
                    if !is_by_url {
                        client.say(json!({"type": "join", "room": format!("r{room}")})).await;
                    }
                    let joined = client.hear().await;
                    if joined["type"] == "joined" {
                        return (client, joined["peers"].as_array().unwrap().len());
                    }
                    assert_eq!(joined["code"], "unavailable", "{joined}");
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        soon("a place in the room", joins).await
    }

    /// How many clients came by relays where their rooms do not live.
    async fn tunnels(&self) -> f64 {
        let mut sum = 0.0;
        for relay in &self.relays {
            let scraped = get(connect(relay.operators("http://")).await, "localhost", "/metrics").await;
            let name = "signaling_relay_tunnels_opened_total ";
            let value = scraped.lines().find_map(|line| line.strip_prefix(name));
            sum += value.unwrap_or_else(|| panic!("{scraped}")).trim().parse::<f64>().unwrap();
        }
        sum
    }

    /// Members of rooms meet, whoever was sent where; and again after one relay has died.
    async fn carries_calls(mut self, is_hashed: bool) {
        let mut members = Vec::new();
        for room in 0..ROOMS {
            let (mut ana, alone) = self.join(room, true).await;
            let (mut bob, met) = self.join(room, false).await;
            assert_eq!((alone, met), (0, 1));
            ana.expect("peer_joined").await;
            bob.say(json!({"type": "message", "data": room})).await;
            assert_eq!(ana.expect("message").await["data"], room);
            members.push((ana, bob));
        }
        assert_eq!(self.tunnels().await == 0.0, is_hashed, "{} tunnels", self.tunnels().await);
        // A room takes little in Redis.
        let keys = self.redis.cli(&["--scan", "--pattern", "signaling-relay:room:*"]).await;
        for key in keys.lines() {
            let bytes: usize = self.redis.cli(&["memory", "usage", key]).await.parse().unwrap();
            assert!(bytes < 250, "{bytes}");
        }
        self.relays.remove(0).kill().await;
        drop(members);
        for room in 0..ROOMS {
            let (_ana, _) = self.join(room, true).await;
            let (_bob, met) = self.join(room, false).await;
            assert!(met >= 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_that_sends_clients_anywhere() {
    Balanced::by_nginx(&["hash"]).await.carries_calls(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_that_sends_those_of_a_room_to_one_relay() {
    Balanced::by_nginx(&[]).await.carries_calls(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_that_sends_clients_anywhere() {
    Balanced::by_haproxy(&["hash", "txn.room"]).await.carries_calls(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_that_sends_those_of_a_room_to_one_relay() {
    Balanced::by_haproxy(&[]).await.carries_calls(true).await;
}

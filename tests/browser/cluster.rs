//! A call by three relays that are one, behind nginx as it is printed on the page about them: it goes on while each of its parts
//! dies and comes back.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::proxy::{Proxy, nginx_before};
use crate::harness::{Redis, soon};
use crate::support::{Browser, Relay, Window};

/// Counts how often a page dials, and the peer connections that it makes.
const COUNT: &str = "globalThis.testDialled = globalThis.testMade = 0;
const [Socket, Peer] = [WebSocket, RTCPeerConnection];
globalThis.WebSocket = class extends Socket {
    constructor(...all) {
        super(...all);
        testDialled += 1;
    }
};
globalThis.RTCPeerConnection = class extends Peer {
    constructor(...all) {
        super(...all);
        testMade += 1;
    }
};";

struct Cluster {
    redis: Redis,
    relays: Vec<Relay>,
    proxy: Proxy,
    _folder: TempDir,
}

impl Cluster {
    /// Behind nginx without the printed lines that contain one of `without`.
    async fn start(without: &[&str]) -> Self {
        let redis = Redis::start().await;
        let (url, mut relays) = (redis.url(), Vec::new());
        for _ in 0..3 {
            let more = ["--redis", &url, "--admin-listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"];
            relays.push(Relay::start_with(&more).await);
        }
        let folder = tempfile::tempdir().unwrap();
        let ports = [0, 1, 2].map(|relay: usize| relays[relay].port());
        let proxy = nginx_before(ports, without, folder.path()).await;
        Self { redis, relays, proxy, _folder: folder }
    }

    async fn open(&self, browser: &Browser) -> Window {
        let window = browser.open("about:blank").await;
        window.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": COUNT })).await;
        window.go_to(&format!("http://127.0.0.1:{}/?room=r", self.proxy.port)).await;
        window
    }

    /// The relays of whose gauge `name` is above 0.
    async fn with_some(&self, name: &str) -> Vec<usize> {
        let mut found = Vec::new();
        for (number, relay) in self.relays.iter().enumerate() {
            let metrics = relay.metrics().await;
            let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("signaling_relay_{name} ")));
            if value.unwrap_or_else(|| panic!("{metrics}")).parse::<f64>().unwrap() > 0.0 {
                found.push(number);
            }
        }
        found
    }

    /// Where the room lives.
    async fn owner(&self) -> usize {
        let owners = self.with_some("rooms").await;
        assert_eq!(owners.len(), 1, "{owners:?}");
        owners[0]
    }

    /// Where somebody has come in whose room lives elsewhere.
    async fn door(&self) -> Option<usize> {
        self.with_some("tunnels").await.first().copied()
    }

    /// Lets `guest` leave and come again until that is by another relay than the room's; which one.
    async fn send_by_a_door(&self, guest: &Window) -> usize {
        let comes = async {
            loop {
                if let Some(door) = self.door().await {
                    return door;
                }
                guest.hang_up().await;
                guest.join().await;
                // nginx leaves out a relay that was away for ten seconds, and joins are counted.
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        soon("somebody by another relay than the room's", comes).await
    }
}

async fn number(window: &Window, expression: &str) -> u64 {
    window.run(&format!("return {expression}")).await.as_u64().unwrap()
}

async fn id(window: &Window) -> String {
    window.run("return document.body.dataset.id").await.as_str().unwrap().to_owned()
}

/// Two people in a call, of whom the second one comes by a door, if anybody.
struct Pair {
    alice: Window,
    bob: Window,
}

impl Pair {
    async fn meet(cluster: &Cluster, browser: &Browser) -> Self {
        let pair = Self { alice: cluster.open(browser).await, bob: cluster.open(browser).await };
        pair.alice.join_as("Alice").await;
        pair.bob.join_as("Bob").await;
        pair
    }

    /// How often each has dialled.
    async fn dialled(&self) -> (u64, u64) {
        (number(&self.alice, "testDialled").await, number(&self.bob, "testDialled").await)
    }

    /// How many peer connections both have made.
    async fn made(&self) -> u64 {
        number(&self.alice, "testMade").await + number(&self.bob, "testMade").await
    }

    /// Both are in one room, by what the relay says, and each sees and hears the other.
    async fn are_together(&self) {
        for (person, other, name) in [(&self.alice, &self.bob, "Bob"), (&self.bob, &self.alice, "Alice")] {
            person.is("connected").await;
            person.shows("document.body.dataset.relay === 'joined'").await;
            person.sees_only(&[name]).await;
            // Whose id may be a new one.
            person
                .until("the other's id", async || {
                    let of_tile = format!("return tile({name:?}).dataset.peer + tile({name:?}).dataset.connection");
                    let (shown, id) = (person.run(&of_tile).await, id(other).await);
                    if shown == format!("{id}connected") { Ok(()) } else { Err(format!("{shown}, {id}")) }
                })
                .await;
            person.plays_video_of(name).await;
            person.hears(name).await;
        }
    }

    /// They write to each other, one is muted for a moment, and whoever is host locks the room for a moment.
    async fn talk_about(&self, what: &str) {
        let pairs = [(&self.alice, &self.bob, "Alice"), (&self.bob, &self.alice, "Bob")];
        for (person, ..) in pairs {
            // Who has come again finds it closed.
            if person.run("return !document.querySelector('#chat-text').checkVisibility()").await == true {
                person.click("#chat-open").await;
            }
        }
        for (person, other, name) in pairs {
            person.fill("#chat-text", &format!("{name} after {what}")).await;
            person.click("#chat-send").await;
            other.reads(&format!("{name} after {what}")).await;
            for state in ["off", "on"] {
                person.click("#mic").await;
                other.shows(&format!("tile('{name}').dataset.audio === '{state}'")).await;
            }
        }
        let hosts =
            async |person: &Window| person.run("return !document.querySelector('#lock').disabled").await == true;
        let host = if hosts(&self.alice).await { &self.alice } else { &self.bob };
        for condition in ["", "!"] {
            host.run("document.querySelector('#lock').click()").await;
            for person in [&self.alice, &self.bob] {
                person.shows(&format!("{condition}document.querySelector('#locked').checkVisibility()")).await;
            }
        }
    }
}

#[tokio::test]
async fn a_call_goes_on_while_the_door_then_the_relay_of_its_room_and_then_redis_dies_and_comes_back() {
    let mut cluster = Cluster::start(&["hash"]).await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let pair = Pair::meet(&cluster, &browser).await;
    let door = cluster.send_by_a_door(&pair.bob).await;
    pair.are_together().await;
    pair.talk_about("the start").await;
    let made = pair.made().await;

    // The door: Bob has his place again by another relay, and Alice notices nothing.
    let (dialled, ids) = (pair.dialled().await, (id(&pair.alice).await, id(&pair.bob).await));
    cluster.relays[door].crash().await;
    pair.bob.shows(&format!("testDialled > {}", dialled.1)).await;
    pair.are_together().await;
    pair.talk_about("the door").await;
    assert_eq!((id(&pair.alice).await, id(&pair.bob).await), ids);
    assert_eq!(pair.dialled().await.0, dialled.0);
    cluster.relays[door].come_back().await;

    // The relay of the room: both join again, wherever that is.
    let (dialled, owner) = (pair.dialled().await, cluster.owner().await);
    cluster.relays[owner].crash().await;
    pair.alice.shows(&format!("testDialled > {}", dialled.0)).await;
    pair.bob.shows(&format!("testDialled > {}", dialled.1)).await;
    pair.are_together().await;
    pair.talk_about("the relay of the room").await;
    cluster.relays[owner].come_back().await;
    cluster.owner().await;

    // Redis: nobody notices anything.
    let dialled = pair.dialled().await;
    cluster.redis.kill().await;
    pair.are_together().await;
    pair.talk_about("the end of Redis").await;
    cluster.redis.restart().await;
    cluster.redis.expect_room("r", |there| !there.is_empty()).await;
    pair.are_together().await;
    pair.talk_about("Redis").await;
    assert_eq!(pair.dialled().await, dialled);
    assert_eq!(pair.made().await, made, "the peer connections are those of the start");

    // While it is away, somebody comes by another relay than the room's.
    cluster.redis.kill().await;
    pair.bob.hang_up().await;
    pair.bob.join().await;
    cluster.send_by_a_door(&pair.bob).await;
    pair.are_together().await;
    pair.talk_about("a new start").await;
    browser.end().await;
}

#[tokio::test]
async fn a_call_of_one_relay_by_its_hash_moves_to_another_and_who_comes_by_the_first_again_finds_it_there() {
    let mut cluster = Cluster::start(&[]).await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let pair = Pair::meet(&cluster, &browser).await;
    pair.are_together().await;
    let (made, dialled, first) = (pair.made().await, pair.dialled().await, cluster.owner().await);
    assert_eq!(cluster.door().await, None);
    cluster.relays[first].crash().await;
    pair.alice.shows(&format!("testDialled > {}", dialled.0)).await;
    pair.bob.shows(&format!("testDialled > {}", dialled.1)).await;
    pair.are_together().await;
    pair.talk_about("the first relay").await;
    assert_eq!(pair.made().await, made);

    // nginx sends those of the room to the first relay again, as soon as it believes in it.
    cluster.relays[first].come_back().await;
    let second = cluster.owner().await;
    assert_ne!(second, first);
    assert_eq!(cluster.send_by_a_door(&pair.bob).await, first);
    assert_eq!(cluster.owner().await, second);
    pair.are_together().await;
    pair.talk_about("the way back").await;
    browser.end().await;
}

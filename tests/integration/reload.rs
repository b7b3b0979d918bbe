//! A proxy reloads: it cuts all connections at once, and everybody is back at once. With the limits of every relay, whether
//! the relay knows the clients' own addresses or all have one.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use signaling_relay::Config;
use tokio::time::Instant;

use crate::harness::places::resume;
use crate::harness::{Client, TestRelay};

/// As many as one address may have connected, but for a few.
const CLIENTS: usize = 250;
/// Members of each room.
const ROOM: usize = 8;

/// A client whose connection is cut, and what it needs to come back.
struct Cut {
    number: usize,
    id: String,
    token: String,
    received: u64,
}

/// What says where a client is, if a proxy does.
type Headers = fn(usize) -> Option<String>;

/// As a class in one building behind a proxy that is trusted.
fn one_address(_: usize) -> Option<String> {
    Some("198.51.100.7".to_owned())
}

fn own_addresses(number: usize) -> Option<String> {
    Some(Ipv4Addr::from_bits(0xc612_0000 + number as u32).to_string())
}

/// As behind a proxy that the relay does not know, or one that says nothing.
fn unsaid(_: usize) -> Option<String> {
    None
}

async fn dial(relay: &TestRelay, headers: Headers, number: usize) -> Client {
    let address = headers(number);
    let headers: Vec<_> = address.iter().map(|address| ("x-forwarded-for", address.as_str())).collect();
    relay.upgrade(&headers).await.unwrap_or_else(|error| panic!("client {number}: {error}"))
}

async fn joins(relay: &TestRelay, headers: Headers, number: usize) -> (Client, String) {
    let mut client = dial(relay, headers, number).await;
    client.say(json!({"type": "join", "room": format!("room {}", number / ROOM), "resume": true})).await;
    let token = client.expect_joined().await["resume"]["token"].as_str().unwrap().to_owned();
    (client, token)
}

async fn comes_back(relay: &TestRelay, headers: Headers, cut: Cut) -> Client {
    let mut client = dial(relay, headers, cut.number).await;
    client.say(resume(&cut.token, cut.received)).await;
    let resumed = client.expect("resumed").await;
    assert_eq!(resumed["id"], json!(cut.id));
    client.id = cut.id;
    client
}

/// All join, all are cut, and all come back; how long the last of them took for that.
async fn all_come_back(relay: &TestRelay, headers: Headers) -> Duration {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(joins(relay, headers, number).await);
    }
    let mut cut = Vec::new();
    for (number, (client, token)) in clients.iter_mut().enumerate() {
        // `joined`, what came since, and the error by which it knows that it has read all.
        let received = 1 + client.catch_up().await.len() as u64 + 1;
        cut.push(Cut { number, id: client.id.clone(), token: token.clone(), received });
    }
    drop(clients);
    let begun = Instant::now();
    let mut back = join_all(cut.into_iter().map(|cut| comes_back(relay, headers, cut))).await;
    let took = begun.elapsed();
    assert_eq!(relay.relay.connections(), CLIENTS);
    for room in back.chunks_mut(ROOM) {
        let (first, others) = room.split_first_mut().unwrap();
        first.say(json!({"type": "message", "data": "is everybody there?"})).await;
        for other in others {
            assert_eq!(next_message(other).await["from"], json!(first.id));
        }
    }
    took
}

/// What it hears next that another one said.
async fn next_message(client: &mut Client) -> Value {
    loop {
        let message = client.hear().await;
        match message["type"].as_str().unwrap() {
            "message" => return message,
            kind => assert!(["peer_away", "peer_back"].contains(&kind), "{message}"),
        }
    }
}

fn behind_a_trusted_proxy() -> Config {
    Config { trusted_proxy: vec!["127.0.0.1".parse().unwrap()], ..Config::default() }
}

#[tokio::test(start_paused = true)]
async fn when_a_proxy_reloads_all_clients_are_back_at_once_if_each_has_its_own_address() {
    let relay = TestRelay::in_memory(behind_a_trusted_proxy());
    let took = all_come_back(&relay, own_addresses).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn and_if_all_have_one_address() {
    let relay = TestRelay::in_memory(behind_a_trusted_proxy());
    let took = all_come_back(&relay, one_address).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn and_if_the_relay_sees_the_proxy_alone() {
    let relay = TestRelay::in_memory(Config::default());
    let took = all_come_back(&relay, unsaid).await;
    assert!(took < Duration::from_millis(100), "{took:?}");
}

#[tokio::test]
async fn and_over_real_sockets() {
    for (config, headers) in [(Config::default(), unsaid as Headers), (behind_a_trusted_proxy(), one_address)] {
        let relay = TestRelay::start_with(config).await;
        // They take as long as the machine does, and none waits for a limit.
        all_come_back(&relay, headers).await;
        relay.stop().await;
    }
}

//! The limits for each address and for all: who is refused, how, and who is not.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use signaling_relay::{Config, Opaque, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, advance, sleep};
use tokio_tungstenite::tungstenite::Error as WsError;

use crate::harness::client::AnyStream;
use crate::harness::process::{BINARY, without_settings};
use crate::harness::relay::PIPE_BYTES;
use crate::harness::{self, Client, Process, TestRelay, connect, get, refusal, soon};

/// The whole answer to a request for the page on a new connection, as far as the relay gives one.
async fn page(relay: &TestRelay, path: &str) -> String {
    get(relay.connect().await, "localhost", path).await
}

/// The answer to a request by a new connection, once it is what `wanted` says: the relay notices the end of others in its
/// own time.
async fn eventually(relay: &TestRelay, path: &str, wanted: &str) {
    let answered = async {
        while !page(relay, path).await.starts_with(wanted) {
            tokio::task::yield_now().await;
        }
    };
    soon(wanted, answered).await;
}

/// The status, the text and `Retry-After` of a refused upgrade.
fn refused(result: Result<Client, WsError>) -> (u16, String, Option<u64>) {
    let retry_after = match &result {
        Err(WsError::Http(response)) => {
            response.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap().parse().unwrap())
        }
        _ => None,
    };
    let (status, text) = refusal(result);
    (status, text, retry_after)
}

async fn upgrade_from(relay: &TestRelay, address: &str) -> Result<Client, WsError> {
    relay.upgrade(&[("x-forwarded-for", address)]).await
}

#[tokio::test]
async fn one_connection_too_many_is_refused_politely_and_admitted_when_another_has_ended() {
    let relay = TestRelay::start_with(Config { address_connections: 3, ..Config::default() }).await;
    let (one, _two) = relay.pair("r").await;
    // A head that never ends counts as well.
    let mut dribbler = relay.connect().await;
    dribbler.write_all(b"GET / HT").await.unwrap();
    let answer = page(&relay, "/").await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("\r\nRetry-After: ") && answer.contains("--address-connections"), "{answer}");
    assert!(!answer.contains("--trusted-proxy"), "{answer}");
    let (status, said, retry_after) = refused(upgrade_from(&relay, "198.51.100.7").await);
    assert_eq!((status, retry_after.is_some()), (503, true));
    assert!(said.contains("--address-connections") && said.contains("--trusted-proxy"), "{said}");
    one.close().await;
    eventually(&relay, "/", "HTTP/1.1 200").await;
}

#[tokio::test]
async fn a_full_relay_still_tells_this_machine_that_it_is_healthy() {
    let relay = TestRelay::start_with(Config { max_connections: Some(2), ..Config::default() }).await;
    let (one, two) = relay.pair("r").await;
    let answer = page(&relay, "/").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("--max-connections"), "{answer}");
    let healthy = page(&relay, "/healthz").await;
    assert!(healthy.starts_with("HTTP/1.1 200 ") && healthy.ends_with("ok\n"), "{healthy}");
    // More silent connections than refusals are written at a time leave some for the monitor.
    let mut silent = Vec::new();
    for _ in 0..limits::REFUSED_AT_ONCE {
        silent.push(relay.connect().await);
    }
    assert!(page(&relay, "/healthz").await.starts_with("HTTP/1.1 200 "));
    one.close().await;
    two.close().await;
    eventually(&relay, "/", "HTTP/1.1 200").await;
}

#[tokio::test]
async fn unless_it_is_told_a_relay_takes_as_many_connections_as_it_has_descriptors_for() {
    let mut relay = relay_after("ulimit -n 200").await;
    relay.expect_log("only 200 file descriptors").await;
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let mut open = Vec::new();
    // 200 less those that are left to the rest.
    for _ in 0..200 - limits::SPARE_DESCRIPTORS {
        open.push(Client::dial(connect(address).await, &format!("ws://{address}/ws"), &[]).await.unwrap());
    }
    let answer = get(connect(address).await, "localhost", "/").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("has 136 connections open"), "{answer}");
    assert!(get(connect(address).await, "localhost", "/healthz").await.starts_with("HTTP/1.1 200 "));
    relay.expect_log("refused a connection").await;
}

/// A relay that starts with the limits that these lines of shell set.
async fn relay_after(limits: &str) -> Process {
    let mut command = without_settings(Command::new("sh"));
    command.args(["-c", &format!("{limits} && exec '{BINARY}' --listen 127.0.0.1:0")]);
    Process::of(command).await
}

#[tokio::test]
async fn a_low_soft_limit_of_descriptors_is_raised_to_the_hard_one() {
    let relay = relay_after("ulimit -Sn 100 && ulimit -Hn 4500").await;
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let mut open = Vec::new();
    for _ in 0..120 {
        open.push(Client::dial(connect(address).await, &format!("ws://{address}/ws"), &[]).await.unwrap());
    }
    assert!(get(connect(address).await, "localhost", "/").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_full_relay_with_tls_does_so_too() {
    let pki = harness::pki::Pki::new();
    let relay = TestRelay::start_tls(&pki, Config { max_connections: Some(1), ..Config::default() }).await;
    let _one = relay.join("r").await;
    assert!(page(&relay, "/healthz").await.starts_with("HTTP/1.1 200 "));
    assert!(page(&relay, "/").await.starts_with("HTTP/1.1 503 "));
    let plain = get(connect(relay.address).await, "localhost", "/").await;
    assert!(plain.starts_with("HTTP/1.1 503 "), "{plain}");
}

#[tokio::test]
async fn tls_handshakes_beyond_their_rate_are_closed() {
    let pki = harness::pki::Pki::new();
    let relay = TestRelay::start_with(Config { address_upgrades: 1, ..pki.config() }).await;
    let shake = async || harness::pki::dial(&pki.client(), relay.address, "localhost").await;
    let mut done = 0;
    while shake().await.is_ok() {
        done += 1;
        assert!(done < 1_000, "handshakes without end");
    }
    assert!(done >= 10, "{done} of a burst of ten");
}

#[tokio::test]
async fn a_trusted_proxy_does_not_count_and_the_clients_that_it_names_do() {
    let trusted_proxy = vec!["127.0.0.1".parse().unwrap()];
    let relay = TestRelay::start_with(Config { address_connections: 1, trusted_proxy, ..Config::default() }).await;
    let one = upgrade_from(&relay, "198.51.100.1").await.unwrap();
    let _two = upgrade_from(&relay, "198.51.100.2").await.unwrap();
    let (status, said, retry_after) = refused(upgrade_from(&relay, "1.2.3.4, 198.51.100.1").await);
    assert_eq!((status, retry_after.is_some()), (503, true));
    assert!(said.contains("--address-connections") && !said.contains("--trusted-proxy"), "{said}");
    // The proxy's own: a monitor, or a browser on its machine.
    let _own = [relay.dial("/ws").await, relay.dial("/ws").await];
    one.close().await;
    let again = async {
        while upgrade_from(&relay, "198.51.100.1").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("the place of the first", again).await;
}

#[tokio::test]
async fn websockets_behind_a_trusted_proxy_count_among_all_until_they_end() {
    let trusted_proxy = vec!["127.0.0.1".parse().unwrap()];
    let relay = TestRelay::start_with(Config { max_connections: Some(2), trusted_proxy, ..Config::default() }).await;
    let one = upgrade_from(&relay, "198.51.100.1").await.unwrap();
    let mut two = upgrade_from(&relay, "198.51.100.2").await.unwrap();
    // They are in use, so the requests by which they began have ended.
    two.join("r").await;
    let (status, said, _) = refused(upgrade_from(&relay, "198.51.100.3").await);
    assert!(status == 503 && said.contains("--max-connections"), "{status} {said}");
    one.close().await;
    let again = async {
        while upgrade_from(&relay, "198.51.100.3").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("the place of the first", again).await;
}

/// A relay whose clients come by pipes from one address, with these limits.
fn in_memory(config: Config) -> TestRelay {
    TestRelay::in_memory(config)
}

/// Dials by a pipe from another address.
async fn dial_from(relay: &TestRelay, address: &str) -> Result<Client<DuplexStream>, WsError> {
    let (ours, theirs) = duplex(PIPE_BYTES);
    let (relay, address) = (Arc::clone(&relay.relay), address.parse::<SocketAddr>().unwrap());
    tokio::spawn(async move { relay.serve_stream(Opaque(theirs), address).await });
    Client::dial(ours, "ws://localhost/ws", &[]).await
}

#[tokio::test(start_paused = true)]
async fn pages_that_a_trusted_proxy_fetches_count_for_its_client() {
    let trusted_proxy = vec!["127.0.0.1".parse().unwrap()];
    let relay = in_memory(Config { address_bytes: 1_000 * limits::PAGE_SHARE, trusted_proxy, ..Config::default() });
    let fetch = async |address: &str| {
        let headers = format!("X-Forwarded-For: {address}\r\nConnection: close\r\n");
        relay.raw(&format!("GET /healthz HTTP/1.1\r\nHost: relay\r\n{headers}\r\n")).await.len()
    };
    let burst = 1_000 * limits::ADDRESS_BYTES_BURST_SECONDS as usize;
    let (begun, mut sent) = (Instant::now(), 0);
    while sent < 2 * burst {
        sent += fetch("198.51.100.1").await;
    }
    assert!(begun.elapsed() > Duration::from_millis((burst - 1_000) as u64), "{:?}", begun.elapsed());
    let begun = Instant::now();
    fetch("198.51.100.2").await;
    assert!(begun.elapsed() < Duration::from_millis(10), "another client has its own rate");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(relay.relay.addresses(), 0);
}

#[tokio::test(start_paused = true)]
async fn upgrades_beyond_the_rate_are_refused_with_429_until_they_have_refilled() {
    let relay = in_memory(Config { address_upgrades: 1, ..Config::default() });
    for _ in 0..10 {
        relay.dial("/ws").await.close().await;
    }
    let (status, said, retry_after) = refused(relay.try_dial("/ws").await);
    assert!(status == 429 && said.contains("--address-upgrades") && !said.contains("--trusted-proxy"), "{said}");
    let (_, said, _) = refused(upgrade_from(&relay, "198.51.100.1").await);
    assert!(said.contains("--trusted-proxy"), "{said}");
    advance(Duration::from_secs(retry_after.unwrap())).await;
    relay.dial("/ws").await;
}

#[tokio::test(start_paused = true)]
async fn joins_beyond_the_rate_are_answered_with_rate_limited() {
    let relay = in_memory(Config { address_joins: 1, ..Config::default() });
    let mut client = relay.dial("/ws").await;
    for _ in 0..10 {
        client.join("r").await;
        client.say(json!({"type": "leave"})).await;
    }
    client.say(json!({"type": "join", "room": "r"})).await;
    let error = client.expect_error("rate_limited").await;
    assert!(error["message"].as_str().unwrap().contains("--address-joins"), "{error}");
    assert_eq!(error["retryable"], true);
    // By its URL, a client that names no room is refused with a status, and another with an error.
    let (status, said, retry_after) = refused(relay.try_dial("/").await);
    assert!(status == 429 && said.contains("--address-joins") && retry_after.is_some(), "{said}");
    let mut other = relay.dial("/?room=r").await;
    other.expect_error("rate_limited").await;
    other.expect_close_code(1013).await;
    advance(Duration::from_secs(2)).await;
    client.join("r").await;
}

#[tokio::test(start_paused = true)]
async fn names_cannot_be_tried_out_because_failed_joins_cost_more() {
    let relay = in_memory(Config { address_joins: 10, room_capacity: 1, ..Config::default() });
    let _there = relay.join("secret").await;
    let mut guesser = relay.dial("/ws").await;
    let mut refusals: Vec<Value> = Vec::new();
    for _ in 0..20 {
        guesser.say(json!({"type": "join", "room": "secret"})).await;
        refusals.push(guesser.expect("error").await["code"].clone());
    }
    let guesses = refusals.iter().take_while(|code| *code == "room_full").count();
    // One join of the burst of 100 was the other's.
    assert_eq!(guesses, 10);
    assert!(refusals[guesses..].iter().all(|code| code == "rate_limited"), "{refusals:?}");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_clients_that_reconnect_without_end_are_slowed_and_then_forgotten() {
    let relay = in_memory(Config::default());
    let (mut admitted, mut refusals) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        for _ in 0..100 {
            match relay.try_dial("/ws").await {
                Ok(client) => {
                    admitted += 1;
                    client.close().await;
                }
                refused => {
                    assert_eq!(refusal(refused).0, 429);
                    refusals += 1;
                }
            }
        }
        advance(Duration::from_millis(250)).await;
    }
    let burst = limits::ADDRESS_UPGRADES * limits::ADDRESS_BURST_SECONDS;
    let allowed = burst + limits::ADDRESS_UPGRADES * begun.elapsed().as_secs_f64().ceil() as u32;
    assert!((burst..=allowed).contains(&admitted), "{admitted} of {allowed}");
    assert!(refusals > 1_000, "{refusals}");
    dial_from(&relay, "198.51.100.9:5000").await.unwrap();
    // Soon it is as if they had never come.
    sleep(Duration::from_secs(3600)).await;
    assert_eq!((relay.relay.addresses(), relay.relay.connections(), relay.relay.rooms()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_an_address_are_slowed_and_close_nobody() {
    let relay = in_memory(Config { address_bytes: 10_000, ..Config::default() });
    let (mut one, mut two) = relay.pair("r").await;
    let begun = Instant::now();
    // Four times the burst.
    let text = json!({"type": "message", "data": "x".repeat(4_000)});
    for _ in 0..160 {
        one.say(text.clone()).await;
        two.expect("message").await;
    }
    let beyond = Duration::from_secs((640_000 - 160_000) / 10_000);
    assert!(begun.elapsed() > beyond * 9 / 10, "{:?}", begun.elapsed());
    two.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn two_idle_sockets_in_the_lobby_give_way_to_a_third() {
    let relay = in_memory(Config::default());
    let mut squatter = relay.dial("/").await;
    squatter.expect_joined().await;
    let mut other = relay.dial("/").await;
    other.expect_joined().await;
    assert_eq!(relay.refusal("/").await.0, 503, "at first");
    let mut newcomer = idle_for(&relay, &mut [&mut squatter, &mut other], limits::LOBBY_IDLE).await;
    let joined = newcomer.expect_joined().await;
    assert_eq!(joined["host"], other.id);
    let left = loop {
        let message = other.hear().await;
        if message["type"] == "peer_left" {
            break message;
        }
    };
    assert_eq!((&left["id"], &left["reason"]), (&json!(squatter.id), &json!("idle")));
    let frame = squatter.expect_close().await;
    assert_eq!(u16::from(frame.code), 1008, "{frame:?}");
    assert!(frame.reason.contains("idle"), "{frame:?}");
}

/// Lets `time` pass while the clients answer pings, and dials the lobby then.
async fn idle_for(relay: &TestRelay, clients: &mut [&mut Client<AnyStream>], time: Duration) -> Client {
    let begun = Instant::now();
    while begun.elapsed() < time {
        advance(limits::PING_INTERVAL / 2).await;
        for client in &mut *clients {
            client.catch_up().await;
        }
    }
    relay.dial("/").await
}

#[tokio::test]
async fn the_log_rations_its_lines_about_one_address_and_escapes_what_clients_sent() {
    let mut relay = Process::start(&["--listen", "127.0.0.1:0"]).await;
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let mut forger = connect(address).await;
    let request = "GET /ws HTTP/1.1\r\nHost: x error=none client=10.0.0.1\r\nOrigin: https://evil.example\r\n\
                   Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    forger.write_all(request.as_bytes()).await.unwrap();
    let _ = soon("the refusal", forger.read(&mut [0; 4096])).await.unwrap();
    let line = relay.expect_log("refused a page").await;
    assert!(line.contains("error=\"") && line.ends_with('"'), "{line}");
    for _ in 0..limits::ADDRESS_LINES {
        Client::dial(connect(address).await, &format!("ws://{address}/ws"), &[]).await.unwrap().close().await;
    }
    relay.signal("TERM");
    let line = relay.expect_log("left out lines about this address").await;
    assert!(line.contains("address=127.0.0.1"), "{line}");
}

#[tokio::test]
async fn guessers_at_many_addresses_keep_nobody_out_of_a_room_and_its_host_hears_of_them() {
    let relay =
        TestRelay::start_with(Config { trusted_proxy: vec!["127.0.0.1".parse().unwrap()], ..Config::default() });
    let relay = relay.await;
    let join = |password: &str| json!({"type": "join", "room": "r", "password": password});
    let mut host = upgrade_from(&relay, "192.0.2.1").await.unwrap();
    host.say(join("sesame")).await;
    host.expect_joined().await;
    for n in 0..300 {
        let mut guesser = upgrade_from(&relay, &format!("2001:db8:0:{n:x}::1")).await.unwrap();
        guesser.say(join("wrong")).await;
        guesser.expect_error("wrong_password").await;
    }
    let mut honest = upgrade_from(&relay, "2001:db8:1::1").await.unwrap();
    honest.say(join("sesame")).await;
    honest.expect_joined().await;
    let notice = host.hear().await;
    assert_eq!((&notice["type"], &notice["code"]), (&json!("notice"), &json!("password_guessing")));
    assert!(notice["message"].is_string());
    host.expect("peer_joined").await;
}

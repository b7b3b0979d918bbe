//! Several relays that are one, with a real Redis: where a room lives, and what members see when Redis or a relay is away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, RelayEvent, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::pages::{block, page};
use crate::harness::pki::Pki;
use crate::harness::redis::Redis;
use crate::harness::shards::Shards;
use crate::harness::{Client, Process, TestRelay, connect, free_port, get, run, secret_file, soon, text};

/// Two relays of one process that are one.
async fn two(redis: &Redis) -> (TestRelay, TestRelay) {
    (TestRelay::start_with(redis.config()).await, TestRelay::start_with(redis.config()).await)
}

/// What the first answer to a join is, of somebody who is gone again after that.
async fn first_answer(relay: &TestRelay, room: &str) -> Value {
    let mut client = relay.dial("/ws").await;
    client.say(json!({"type": "join", "room": room})).await;
    let answer = client.hear().await;
    client.close().await;
    answer
}

/// The members that somebody who comes by `relay` finds in a room.
async fn found(relay: &TestRelay, room: &str) -> Vec<String> {
    let joined = first_answer(relay, room).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    joined["peers"].as_array().unwrap().iter().map(|peer| peer["id"].as_str().unwrap().to_owned()).collect()
}

async fn dial(relay: &Process) -> Client<TcpStream> {
    let stream = connect(([127, 0, 0, 1], relay.port()).into()).await;
    Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap()
}

/// Joins again and again until the room takes it, as `signaling.js` does; how long that took.
async fn join_at_last(relay: &Process, room: &str) -> (Client<TcpStream>, Duration) {
    let begun = Instant::now();
    let joins = async {
        let mut client = dial(relay).await;
        client.join_at_last(room).await;
        client
    };
    (soon("a place in the room", joins).await, begun.elapsed())
}

async fn eventually<F: Future<Output = bool>>(what: &str, is_it: impl Fn() -> F) {
    let waits = async {
        while !is_it().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(what, waits).await;
}

#[tokio::test]
async fn a_room_lives_on_one_relay_and_is_the_same_by_the_other() {
    let redis = Redis::start().await;
    let (one, other) = two(&redis).await;
    let (mut ana, mut bob) = one.pair("r").await;
    assert_eq!(found(&other, "r").await, [ana.id.clone(), bob.id.clone()]);
    // Names that look the same are one room.
    let same = found(&other, " r\u{200b}").await;
    assert!([&ana.id, &bob.id].iter().all(|id| same.contains(id)), "{same:?}");
    // Each opens what nobody has.
    let another = other.join("another").await;
    assert_eq!(found(&one, "another").await, [another.id.as_str()]);
    ana.say(json!({"type": "message", "data": 1})).await;
    while bob.hear().await["type"] != "message" {}
    assert_eq!((one.relay.rooms(), other.relay.rooms()), (1, 1));
}

#[tokio::test]
async fn rooms_of_a_relay_that_ends_are_free_at_once_and_of_one_that_is_emptied_too() {
    let redis = Redis::start().await;
    let (mut one, other) = two(&redis).await;
    let ana = one.join("r").await;
    one.tell_to_stop(Shutdown::Restart);
    ana.expect_goodbye(1012).await;
    one.stopped().await;
    let begun = Instant::now();
    other.join("r").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "its lease was not waited for");
    assert!(!redis.cli(&["keys", "*relay:*"]).await.contains(' '));
    assert_eq!(redis.cli(&["hlen", "signaling-relay:relays"]).await, "1");
}

#[tokio::test]
async fn relays_with_another_prefix_are_another_cluster() {
    let redis = Redis::start().await;
    let one = TestRelay::start_with(redis.config()).await;
    let other = TestRelay::start_with(Config { redis_prefix: "calls:".into(), ..redis.config() }).await;
    let (_one, _other) = (one.join("r").await, other.join("r").await);
    assert!(redis.cli(&["keys", "calls:*"]).await.contains("calls:relays"));
}

#[tokio::test]
async fn rooms_go_on_while_redis_is_away_and_are_registered_again_when_it_is_back_empty() {
    let mut redis = Redis::start().await;
    let (events, mut heard) = mpsc::unbounded_channel();
    let one =
        TestRelay::start_as(redis.config(), |builder| builder.observer(move |event| drop(events.send(event.clone()))))
            .await;
    let other = TestRelay::start_with(redis.config()).await;
    let (mut ana, mut bob) = one.pair("r").await;
    let mut next_of_redis = async move || loop {
        let event = soon("an event", heard.recv()).await.unwrap();
        if matches!(event, RelayEvent::RedisIsAway { .. } | RelayEvent::RedisIsBack) {
            return event;
        }
    };
    redis.kill().await;
    assert!(matches!(next_of_redis().await, RelayEvent::RedisIsAway { .. }));
    let begun = Instant::now();
    assert_eq!(first_answer(&one, "new").await["code"], "unavailable");
    assert!(begun.elapsed() >= Duration::from_millis(900), "it waits for a second whether Redis is back");
    // The room goes on, with joins and leaves.
    let mut cai = one.dial("/ws").await;
    cai.join("r").await;
    ana.say(json!({"type": "message", "data": 1})).await;
    for member in [&mut bob, &mut cai] {
        while member.hear().await["type"] != "message" {}
    }
    redis.restart().await;
    // Somebody asks for the room at the other relay before its owner has come back perhaps.
    assert_eq!(found(&other, "r").await.len(), 3);
    assert!(matches!(next_of_redis().await, RelayEvent::RedisIsBack));
    redis.expect_room("r", |there| !there.is_empty()).await;
    assert_eq!(found(&other, "r").await.len(), 3);
    let left = cai.id.clone();
    cai.close().await;
    while ana.hear().await != json!({"type": "peer_left", "id": left, "reason": "closed"}) {}
    // Those who looked in by the other relay may be leaving still.
    assert!(ana.catch_up().await.iter().all(|heard| heard["type"] == "peer_left"));
    one.join("new").await;
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_away_and_a_late_answer_is_never_used() {
    let redis = Redis::start().await;
    let (one, other) = two(&redis).await;
    one.join("warm").await;
    redis.pause(2_500).await;
    let begun = Instant::now();
    assert_eq!(first_answer(&one, "r").await["code"], "unavailable");
    assert!((900..4_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    // Its claim may be carried out now: the command was in the kernel. It is this relay's own, if so.
    eventually("Redis to be back", || async { first_answer(&one, "r").await["type"] == "joined" }).await;
    let _stays = one.join("r").await;
    assert_eq!(found(&other, "r").await.len(), 1);
    first_answer(&other, "warm").await;
    assert_eq!(other.relay.rooms(), 0, "its name stays with the relay that had it");
}

#[tokio::test]
async fn a_relay_whose_connections_are_killed_loses_no_room() {
    let redis = Redis::start().await;
    let (one, other) = two(&redis).await;
    let mut ana = one.join("r").await;
    for _ in 0..3 {
        redis.cli(&["client", "kill", "type", "normal"]).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(found(&other, "r").await, [ana.id.clone()]);
    // A new name waits until the relay is not cautious any more.
    one.join("new").await;
    while ana.hear().await["type"] != "peer_left" {}
    ana.expect_nothing().await;
}

#[tokio::test]
async fn a_redis_that_becomes_a_replica_is_away_until_it_is_a_primary_again() {
    let redis = Redis::start().await;
    let one = TestRelay::start_with(redis.config()).await;
    let mut ana = one.join("r").await;
    redis.cli(&["replicaof", "127.0.0.1", "1"]).await;
    assert_eq!(first_answer(&one, "new").await["code"], "unavailable");
    redis.cli(&["replicaof", "no", "one"]).await;
    eventually("a primary", || async { first_answer(&one, "new").await["type"] == "joined" }).await;
    ana.expect_nothing().await;
}

#[tokio::test]
async fn a_room_that_another_relay_has_is_let_go_of_with_all_who_are_there() {
    let redis = Redis::start().await;
    let (events, mut heard) = mpsc::unbounded_channel();
    let one =
        TestRelay::start_as(redis.config(), |builder| builder.observer(move |event| drop(events.send(event.clone()))))
            .await;
    let other = TestRelay::start_with(redis.config()).await;
    let mut host = one.join("r").await;
    let mut away = one.dial("/ws").await;
    away.say(json!({"type": "join", "room": "r", "id": "away", "resume": true})).await;
    let token = away.expect("joined").await["resume"]["token"].as_str().unwrap().to_owned();
    drop(away);
    while host.hear().await["type"] != "peer_away" {}
    host.say(json!({"type": "lock", "locked": true})).await;
    let mut knocks = one.dial("/ws").await;
    knocks.say(json!({"type": "join", "room": "r", "id": "knocks"})).await;
    knocks.expect("waiting").await;
    let stays = one.join("stays").await;
    // As if Redis had lost a few seconds, in which the other one got it.
    let claims = redis.cli(&["hkeys", "signaling-relay:relays"]).await;
    let own = redis.room("r").await;
    let others = claims.lines().find(|process| !own.starts_with(process)).unwrap().to_owned();
    redis.cli(&["set", &redis.key("r"), &format!("{others}:1"), "px", "180000"]).await;
    for member in [&mut host, &mut knocks] {
        while member.hear().await["type"] != "goaway" {}
        member.expect_close_code(1012).await;
    }
    assert!(redis.room("r").await.starts_with(&others));
    // The place of the one who is away has ended, and nobody is brought back into a dead room.
    let mut back = one.dial("/ws").await;
    back.say(json!({"type": "resume", "token": token, "received": 1})).await;
    back.expect_error("resume_failed").await;
    // They are together again where the room is now.
    let (host, knocks) = other.pair("r").await;
    assert_eq!(found(&one, "r").await, [host.id.clone(), knocks.id.clone()]);
    loop {
        if let RelayEvent::LetGo { room } = soon("an event", heard.recv()).await.unwrap() {
            break assert_eq!(room.as_str(), "r");
        }
    }
    assert_eq!(one.relay.rooms(), 1, "and no other room is let go of");
    stays.close().await;
}

#[tokio::test]
async fn a_relay_that_is_killed_loses_its_rooms_to_others_within_its_lease() {
    let redis = Redis::start().await;
    let (one, other) = (redis.relay(&[]).await, redis.relay(&[]).await);
    let (ana, _) = join_at_last(&one, "r").await;
    one.kill().await;
    ana.expect_cut().await;
    let (_ana, after) = join_at_last(&other, "r").await;
    assert!(after < Duration::from_secs(10), "{after:?}");
}

#[tokio::test]
async fn a_relay_that_sleeps_and_wakes_lets_go_of_what_others_have_got() {
    let redis = Redis::start().await;
    let (mut one, other) = (redis.relay(&[]).await, redis.relay(&[]).await);
    let (mut ana, _) = join_at_last(&one, "r").await;
    let (mut eve, _) = join_at_last(&one, "kept").await;
    one.signal("STOP");
    let (mut bob, _) = join_at_last(&other, "r").await;
    // Its client does not know, and sends on.
    ana.say(json!({"type": "message", "data": 1})).await;
    one.signal("CONT");
    while ana.hear().await["type"] != "goaway" {}
    ana.expect_close_code(1012).await;
    one.expect_log("let go of rooms that another relay has").await;
    bob.expect_nothing().await;
    eve.expect_nothing().await;
    assert_eq!(redis.cli(&["exists", &redis.key("kept")]).await, "1");
}

#[tokio::test]
async fn what_no_relay_has_written_is_left_alone_and_named_in_the_log() {
    let redis = Redis::start().await;
    let mut one = redis.relay(&[]).await;
    redis.cli(&["set", &redis.key("r"), "hello"]).await;
    redis.cli(&["rpush", &redis.key("list"), "hello"]).await;
    for room in ["r", "list"] {
        let mut client = dial(&one).await;
        client.say(json!({"type": "join", "room": room})).await;
        client.expect_error("unavailable").await;
        one.expect_log(&redis.key(room)).await;
    }
    assert_eq!(redis.room("r").await, "hello");
    assert_eq!(redis.cli(&["lrange", &redis.key("list"), "0", "-1"]).await, "hello");
    assert_eq!(redis.cli(&["ttl", &redis.key("r")]).await, "-1");
    join_at_last(&one, "fine").await;
}

#[tokio::test]
async fn a_relay_waits_for_redis_serves_its_page_meanwhile_and_is_not_ready() {
    let mut redis = Redis::later();
    let mut one = redis.relay(&["--admin-listen", "127.0.0.1:0"]).await;
    one.expect_log("Redis is away").await;
    let (main, operators) = (([127, 0, 0, 1], one.port()).into(), one.operators("http://"));
    let status = async |address, path| get(connect(address).await, "localhost", path).await[9..12].to_owned();
    assert_eq!(status(main, "/").await, "200");
    assert_eq!(status(main, "/healthz").await, "200");
    assert_eq!(status(operators, "/readyz").await, "503");
    assert_eq!(status(operators, "/livez").await, "200");
    let mut client = dial(&one).await;
    client.say(json!({"type": "join", "room": "r"})).await;
    client.expect_error("unavailable").await;
    redis.restart().await;
    one.expect_log("Redis is there again").await;
    assert_eq!(status(operators, "/readyz").await, "200");
    let (_client, _) = join_at_last(&one, "r").await;
    redis.kill().await;
    one.expect_log("Redis is away").await;
    assert_eq!(status(operators, "/readyz").await, "200", "rooms that are open go on");
}

#[tokio::test]
async fn the_log_says_which_relays_come_and_go_and_in_what_they_differ() {
    let redis = Redis::start().await;
    let (events, mut heard) = mpsc::unbounded_channel();
    let embedded =
        TestRelay::start_as(redis.config(), |builder| builder.observer(move |event| drop(events.send(event.clone()))))
            .await;
    let mut one = redis.relay(&[]).await;
    let other = redis.relay(&["--room-capacity", "3"]).await;
    let says_where = |line: &&String| line.starts_with("Other relays of its cluster reach it at 127.0.0.1:");
    assert_eq!(one.screen.iter().filter(says_where).count(), 1, "{:?}", one.screen);
    one.expect_log("another relay of the cluster is there").await;
    one.expect_log("it was started with other settings for rooms").await;
    drop(other);
    one.expect_log("another relay of the cluster is gone").await;
    let (mut came, mut went) = (0, 0);
    while went == 0 {
        match soon("an event", heard.recv()).await.unwrap() {
            RelayEvent::RelayIsThere { .. } => came += 1,
            RelayEvent::RelayIsGone { address } => {
                assert!(address.ip().is_loopback());
                went += 1;
            }
            _ => {}
        }
    }
    assert_eq!(came, 2);
    drop(embedded);
    // Others, as if they were written by relays of later versions. No machine has this address (RFC 5737).
    let settings = "0".repeat(16);
    let register = async |process: &str, protocol: u32| {
        let said = json!({
            "address": "192.0.2.1:7000", "fingerprint": "0".repeat(64), "protocol": protocol, "version": "99.0.0",
            "settings": settings, "later": true,
        });
        let (said, lease) = (said.to_string(), format!("signaling-relay:relay:{process}"));
        redis.cli(&["set", &lease, &said, "px", "60000"]).await;
        redis.cli(&["hset", "signaling-relay:relays", process, &said]).await;
    };
    register("0000000000000002", 2).await;
    let said = one.expect_log("another relay of the cluster is there").await;
    assert!(said.contains("192.0.2.1:7000"), "{said}");
    one.expect_log("it has the version 99.0.0, and this relay").await;
    one.expect_log("only one of the two is on the machine of Redis").await;
    let said = one.expect_log("does not reach another one").await;
    assert!(said.contains("relay=0000000000000002") && said.contains("--cluster-advertise"), "{said}");
    register("0000000000000003", 3).await;
    one.expect_log("they do not understand each other").await;
    redis.cli(&["set", &redis.key("r"), "0000000000000003:1"]).await;
    let mut client = dial(&one).await;
    client.say(json!({"type": "join", "room": "r"})).await;
    let refused = client.expect_error("unavailable").await;
    assert!(refused["message"].as_str().unwrap().contains("another version"), "{refused}");
    // When it is gone, its rooms are free.
    redis.cli(&["del", "signaling-relay:relay:0000000000000003"]).await;
    join_at_last(&one, "r").await;
}

#[tokio::test]
async fn an_address_for_other_relays_that_does_not_lead_back_is_warned_of_and_no_other() {
    let redis = Redis::start().await;
    let mut one = redis.relay(&["--cluster-advertise", "127.0.0.1:1"]).await;
    let said = one.expect_log("this relay is not reached at the address").await;
    assert!(said.contains("127.0.0.1:1") && said.contains("set --cluster-advertise"), "{said}");
    let log = redis.folder().join("relay.log");
    let mut command = crate::harness::binary();
    command.args(["--listen", "127.0.0.1:0", "--redis", &redis.url()]);
    let fine = Process::from_command(command, Some(&log)).await;
    let other = redis.relay(&[]).await;
    let reads = || std::fs::read_to_string(&log).unwrap();
    eventually("the others to be tried", || async { reads().contains("does not reach another one") }).await;
    let said = reads();
    assert_eq!(said.matches("WARN").count(), 1, "only the one that is not there: {said}");
    assert!(said.contains("127.0.0.1:1") && !said.contains("no known relay"), "{said}");
    drop((fine, other));
}

#[tokio::test]
async fn nobody_whom_the_authorizer_refuses_reaches_redis() {
    let redis = Redis::start().await;
    async fn nobody(request: JoinRequest) -> Result<Grant, Denial> {
        match request.room.as_str() {
            "open" => Ok(Grant::from(&request)),
            _ => Err(Denial::Unauthorized("no".into())),
        }
    }
    let one = TestRelay::start_as(redis.config(), |builder| builder.authorizer(nobody)).await;
    one.join("open").await;
    for number in 0..5 {
        assert_eq!(first_answer(&one, &format!("guess-{number}")).await["code"], "unauthorized");
    }
    assert_eq!(redis.cli(&["--scan", "--pattern", "signaling-relay:room:*"]).await.lines().count(), 1);
}

#[tokio::test]
async fn a_room_that_is_made_ahead_of_time_is_claimed() {
    let redis = Redis::start().await;
    let (one, other) = (redis.relay(&["--admin-listen", "127.0.0.1:0"]).await, redis.relay(&[]).await);
    let make = async |room: &str| {
        let body = json!({"room": room, "expiresIn": 60}).to_string();
        let request = format!(
            "POST /api/rooms HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        let mut stream = connect(one.operators("http://")).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let made = make("r").await;
    assert!(made.contains(" 201 "), "{made}");
    let mut client = dial(&other).await;
    client.join("r").await;
    let listed = get(connect(one.operators("http://")).await, "localhost", "/api/rooms").await;
    assert!(listed.contains(&client.id), "she is in the room that was made: {listed}");
    let _there = join_at_last(&other, "theirs").await;
    let refused = make("theirs").await;
    assert!(refused.contains(" 421 ") && refused.contains("another relay has the room"), "{refused}");
    // Whose relay has just died: its lease is waited for.
    other.kill().await;
    eventually("a room of a dead relay", || async { make("theirs").await.contains(" 201 ") }).await;
}

#[tokio::test]
async fn operators_hear_which_relays_there_are_and_at_which_one_a_room_lives() {
    let mut redis = Redis::start().await;
    let one = redis.relay(&["--admin-listen", "127.0.0.1:0"]).await;
    let other = redis.relay(&["--room-capacity", "3"]).await;
    let (ana, _) = join_at_last(&one, "r").await;
    let (bob, _) = join_at_last(&other, "r").await;
    let _theirs = join_at_last(&other, "theirs").await;
    let told = async |path: &str| {
        let answer = get(connect(one.operators("http://")).await, "localhost", path).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), serde_json::from_str::<Value>(body).unwrap())
    };
    eventually("both", || async { told("/api/relays").await.1["relays"].as_array().unwrap().len() == 2 }).await;
    let (_, told_of) = told("/api/relays").await;
    let [own, neighbour] = told_of["relays"].as_array().unwrap().as_slice() else { panic!("{told_of}") };
    assert_eq!((&own["own"], &own["alive"], &own["sameSettings"]), (&json!(true), &json!(true), &json!(true)));
    assert_eq!((&neighbour["own"], &neighbour["sameSettings"]), (&json!(false), &json!(false)));
    assert_eq!(neighbour["version"], env!("CARGO_PKG_VERSION"));
    let says_where = |screen: &[String]| {
        let said = "Other relays of its cluster reach it at ";
        screen.iter().find_map(|line| line.strip_prefix(said)).unwrap().to_owned()
    };
    assert_eq!(neighbour["address"], says_where(&other.screen));
    let (status, here) = told("/api/rooms/r").await;
    assert_eq!((status.as_str(), here["peers"].as_array().map(Vec::len)), ("200", Some(2)), "{here}");
    let (status, there) = told("/api/rooms/theirs").await;
    assert_eq!((status.as_str(), &there["code"]), ("421", &json!("room_elsewhere")), "{there}");
    assert_eq!(there["relay"], says_where(&other.screen));
    let request = "POST /api/rooms/theirs/close HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                   Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    let mut stream = connect(one.operators("http://")).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 421 "), "{answer}");
    assert_eq!(told("/api/rooms/nobodys").await.0, "404");
    // What is counted.
    let sample = async |name: &str| -> f64 {
        let scraped = get(connect(one.operators("http://")).await, "localhost", "/metrics").await;
        let value = scraped.lines().find_map(|line| line.strip_prefix("signaling_relay_")?.strip_prefix(name));
        value.unwrap_or_else(|| panic!("{name}: {scraped}")).trim().parse().unwrap()
    };
    for (name, value) in [
        ("cluster_relays ", 1.0),
        ("guests ", 1.0),
        ("tunnels ", 0.0),
        ("redis_up ", 1.0),
        ("rooms_let_go_total ", 0.0),
        (r#"room_claims_total{result="here"}"#, 1.0),
    ] {
        assert_eq!(sample(name).await, value, "{name}");
    }
    assert!(sample("redis_latency_seconds_count ").await > 0.0);
    let mut cai = dial(&one).await;
    cai.join("theirs").await;
    assert_eq!((sample("tunnels ").await, sample("tunnels_opened_total ").await), (1.0, 1.0));
    assert_eq!(sample(r#"room_claims_total{result="elsewhere"}"#).await, 1.0);
    drop(cai);
    eventually("the end of the tunnel", || async { sample("tunnels ").await == 0.0 }).await;
    redis.kill().await;
    eventually("Redis to be away", || async { sample("redis_up ").await == 0.0 }).await;
    assert_eq!(told("/api/rooms/nobodys").await.0, "503", "nobody can say");
    redis.restart().await;
    eventually("Redis to be back", || async { sample("redis_reconnects_total ").await >= 1.0 }).await;
    redis.expect_room("theirs", |there| !there.is_empty()).await;
    other.kill().await;
    bob.expect_cut().await;
    eventually("the other one to be dead", || async { sample("cluster_relays ").await == 0.0 }).await;
    let _theirs = join_at_last(&one, "theirs").await;
    assert_eq!(sample("rooms_taken_over_total ").await, 1.0);
    drop(ana);
}

#[tokio::test]
async fn a_redis_that_takes_rights_or_the_password_away_later_is_said_in_the_log_and_is_away() {
    let redis = Redis::start().await;
    redis.add_user("relay", ">swordfish ~signaling-relay:* +@all").await;
    let url = format!("redis://relay:swordfish@127.0.0.1:{}", redis.port);
    let mut one = Process::start(&["--listen", "127.0.0.1:0", "--redis", &url]).await;
    let (ana, _) = join_at_last(&one, "r").await;
    let refused = async |relay: &Process| {
        let mut client = dial(relay).await;
        client.say(json!({"type": "join", "room": "new"})).await;
        client.expect_error("unavailable").await;
    };
    redis.add_user("relay", "-set").await;
    refused(&one).await;
    let said = one.expect_log("its user may not do what the relay needs").await;
    assert!(said.contains("WARN") && !said.contains("swordfish"), "{said}");
    redis.add_user("relay", "+set").await;
    join_at_last(&one, "new").await;
    redis.add_user("relay", "resetpass >another").await;
    redis.cli(&["client", "kill", "user", "relay"]).await;
    let said = one.expect_log("does not take the password").await;
    assert!(said.contains("Redis is away") && !said.contains("swordfish"), "{said}");
    refused(&one).await;
    // Who is there is told nothing of all this.
    let mut bob = dial(&one).await;
    bob.join("r").await;
    redis.add_user("relay", "resetpass >swordfish").await;
    one.expect_log("Redis is there again").await;
    join_at_last(&one, "new").await;
    drop(ana);
}

#[tokio::test]
async fn redis_is_reached_by_tls_with_a_user_and_a_password_that_nobody_reads_in_the_log() {
    let pki = Pki::new();
    let (certificate, key) = pki.renew(1);
    let (authority, tls_port) = (pki.authority_file(), free_port().to_string());
    let redis = Redis::start_with(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        text(&certificate),
        "--tls-key-file",
        text(&key),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    // As it is printed for operators.
    let printed = block(&page("src/cluster/README.md"), "conf", "user relay");
    let rules = printed.strip_prefix("user relay on >PASSWORD ").unwrap().trim_end();
    redis.add_user("relay", &format!(">swordfish {rules}")).await;
    let url = format!("rediss://relay@localhost:{tls_port}/2");
    let password = secret_file(redis.folder(), "password", "swordfish\n");
    let given = ["--redis", &url, "--redis-password-file", text(&password), "--redis-ca", text(&authority)];
    let mut command = crate::harness::binary();
    command.args(["--listen", "127.0.0.1:0"]).args(given).env("RUST_LOG", "trace");
    let log = redis.folder().join("relay.log");
    let one = Process::from_command(command, Some(&log)).await;
    let (_client, _) = join_at_last(&one, "r").await;
    assert_eq!(redis.cli(&["-n", "2", "exists", &redis.key("r")]).await, "1");
    one.signal("TERM");
    assert_eq!(one.end().await, Some(0));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(!said.contains("swordfish"), "{said}");
    // An authority that does not vouch for it.
    let stranger = Pki::new();
    let authority = stranger.authority_file();
    let given = ["--redis", &url, "--redis-password-file", text(&password), "--redis-ca", text(&authority)];
    let refused = run(&[&["--listen", "127.0.0.1:0"], &given[..]].concat()).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("--redis-ca"), "{said}");
}

#[tokio::test]
async fn a_redis_that_will_not_do_is_refused_at_the_start_with_what_would() {
    let redis = Redis::start_with(&[]).await;
    redis.add_user("reader", ">swordfish ~signaling-relay:* +@read +info +ping").await;
    redis.add_user("writer", ">swordfish ~signaling-relay:* +@all -eval").await;
    redis.add_user("elsewhere", ">swordfish ~others:* +@all").await;
    redis.add_user("default", "resetpass >letmein").await;
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1 1"]).await;
    let shards = Shards::start().await;
    let old = old_redis().await;
    let password = secret_file(redis.folder(), "password", "wrong");
    let at = |user: &str| format!("redis://{user}127.0.0.1:{}", redis.port);
    for (url, more, sentence) in [
        (at(""), &[][..], "it wants a password: give --redis-password-file"),
        (at(""), &["--redis-password-file", text(&password)], "does not take the password"),
        (at("reader:wrong@"), &[], "does not take the password of the user \"reader\""),
        (at("reader:swordfish@"), &[], "may not do what the relay needs"),
        (at("writer:swordfish@"), &[], "may not do what the relay needs"),
        (at("elsewhere:swordfish@"), &[], "may not do what the relay needs"),
        (at("default:letmein@") + "/99", &[], "DB index is out of range"),
        (replica.url(), &[], "it is a replica: give the URL of its primary, 127.0.0.1:1"),
        (shards.primaries[0].url() + "/1", &[], "SELECT is not allowed in cluster mode"),
        (format!("redis://127.0.0.1:{old}"), &[], "needs Redis 7.0 or later"),
    ] {
        let refused = run(&[&["--listen", "127.0.0.1:0", "--redis", &url], more].concat()).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{url}: {said}");
        assert!(said.contains(sentence), "{url}: {said}");
        assert!(!said.contains("swordfish") && !said.contains("letmein"), "{said}");
        // Nobody is asked.
        assert!(run(&[&["check", "--redis", &url], more].concat()).await.status.success());
    }
    let (url, default) = (at("default:letmein@"), "--redis");
    let fine = Process::start(&["--listen", "127.0.0.1:0", default, &url]).await;
    let (_client, _) = join_at_last(&fine, "r").await;
}

/// The port of something that says that it is a Redis 6.
async fn old_redis() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let info = "redis_version:6.0.16\r\nrole:master\r\nrun_id:abc\r\nuptime_in_seconds:100\r\n";
            let mut asked = [0; 1024];
            while stream.read(&mut asked).await.is_ok_and(|read| read > 0) {
                let answer = format!("${}\r\n{info}\r\n", info.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    port
}

#[tokio::test]
async fn a_redis_that_throws_keys_away_is_warned_of_and_one_that_is_full_opens_no_room() {
    let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let mut one = redis.relay(&[]).await;
    one.expect_log("maxmemory-policy noeviction").await;
    let (_client, _) = join_at_last(&one, "r").await;
    redis.cli(&["config", "set", "maxmemory-policy", "noeviction", "maxmemory", "1"]).await;
    let mut client = dial(&one).await;
    client.say(json!({"type": "join", "room": "new"})).await;
    client.expect_error("unavailable").await;
    one.expect_log("its memory is full").await;
    redis.cli(&["config", "set", "maxmemory", "0"]).await;
    let (_client, _) = join_at_last(&one, "new").await;
}

#[tokio::test]
async fn each_wrong_setting_is_refused_with_a_sentence_that_has_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, content: &str| secret_file(folder.path(), name, content);
    let (good, open, empty) = (secret("good", "swordfish"), secret("open", "swordfish"), secret("empty", "\n"));
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let none = folder.path().join("none");
    let here = ["--redis", "redis://127.0.0.1:1"];
    let by_tls = ["--redis", "rediss://127.0.0.1:1"];
    let and = |more: &[&'static str]| [&here[..], more].concat();
    for (arguments, code, sentence) in [
        (vec!["--redis", "localhost:6379"], 2, "redis:// or rediss:// URL"),
        (vec!["--redis", "http://:swordfish@localhost"], 2, "redis:// or rediss:// URL"),
        (vec!["--redis", "redis://:swordfish@localhost/x"], 2, "number of a database"),
        (vec!["--cluster-listen", "*:7000"], 2, "--cluster-listen needs --redis"),
        (vec!["--cluster-advertise", "10.0.0.5:7000"], 2, "--cluster-advertise needs --redis"),
        (vec!["--redis-prefix", "calls:"], 2, "--redis-prefix needs --redis"),
        (vec!["--redis-ca", text(&good)], 2, "--redis-ca needs --redis"),
        (vec!["--redis-password-file", text(&good)], 2, "--redis-password-file needs --redis"),
        (
            vec!["--redis", "redis://:swordfish@localhost", "--redis-password-file", text(&good)],
            2,
            "excludes a password in the URL",
        ),
        ([&here[..], &["--redis-ca", text(&good)]].concat(), 2, "needs --redis with a rediss:// URL"),
        (and(&["--redis-prefix", "a b"]), 2, "--redis-prefix has 1 to 64 characters"),
        (and(&["--cluster-listen", "unix:/run/relay.sock"]), 2, "an address that other relays reach"),
        (and(&["--cluster-listen", "7000"]), 2, "HOST:PORT"),
        (and(&["--cluster-advertise", "0.0.0.0:7000"]), 2, "the address at which other relays reach"),
        (and(&["--cluster-advertise", "10.0.0.5"]), 2, "--cluster-advertise"),
        ([&here[..], &["--redis-password-file", text(&none)]].concat(), 1, "cannot read"),
        ([&here[..], &["--redis-password-file", text(&open)]].concat(), 1, "chmod 600"),
        ([&here[..], &["--redis-password-file", text(&empty)]].concat(), 1, "has no password"),
        ([&by_tls[..], &["--redis-ca", text(&none)]].concat(), 1, "--redis-ca"),
        ([&by_tls[..], &["--redis-ca", text(&good)]].concat(), 1, "no certificate in PEM"),
    ] {
        let refused = run(&[&["--listen", "127.0.0.1:0"], &arguments[..]].concat()).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(sentence) && !said.contains("swordfish"), "{arguments:?}: {said}");
        let checked = run(&[&["check"], &arguments[..]].concat()).await;
        assert_eq!(checked.status.code(), Some(1), "{arguments:?}");
        assert!(!String::from_utf8(checked.stdout).unwrap().contains("swordfish"));
    }
    let mut by_environment = crate::harness::binary();
    by_environment.env("SIGNALING_RELAY_REDIS", "redis://:swordfish@localhost/x");
    let refused = tokio::process::Command::from(by_environment).output().await.unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("SIGNALING_RELAY_REDIS") && !said.contains("swordfish"), "{said}");
    let checked = run(&[&["check"], &here[..]].concat()).await;
    assert!(String::from_utf8(checked.stdout).unwrap().contains("the Redis of --redis is not asked"));
}

#[tokio::test]
async fn a_relay_without_a_server_cannot_be_one_of_several() {
    let config = Config { redis: Some("redis://127.0.0.1:1".parse().unwrap()), ..Config::default() };
    let error = signaling_relay::Relay::builder(config).build().unwrap_err();
    assert!(error.to_string().contains("RelayBuilder::bind"), "{error}");
    let relay = TestRelay::start().await;
    assert!(Arc::strong_count(&relay.relay) > 0 && first_answer(&relay, "r").await["type"] == "joined");
}

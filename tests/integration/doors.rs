//! Members of one room who come by different relays, with a real Redis: what they see is what members of one relay see.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::json;
use signaling_relay::{Config, Shutdown, TrustedProxy};
use tokio::io::AsyncWriteExt;

use crate::harness::client::{TEXT, frame, frame_header};
use crate::harness::redis::Redis;
use crate::harness::{Client, TestRelay, soon};

/// So many relays of one process that are one.
async fn relays<const N: usize>(redis: &Redis, config: impl Fn() -> Config) -> [TestRelay; N] {
    let mut relays = Vec::new();
    for _ in 0..N {
        relays.push(TestRelay::start_with(Config { redis: redis.config().redis, ..config() }).await);
    }
    // Each knows each.
    tokio::time::sleep(Duration::from_millis(100)).await;
    relays.try_into().unwrap_or_else(|_| panic!("as many as were started"))
}

async fn expect_peer(client: &mut Client, kind: &str, id: &str) {
    let message = client.expect(kind).await;
    assert_eq!(message["id"], id, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_room_who_come_by_different_relays_talk() {
    let redis = Redis::start().await;
    let [one, other, third] = relays(&redis, Config::default).await;
    let mut ana = one.join("r").await;
    // By the URL: she is in the room as soon as she is connected.
    let mut ben = other.dial("/?room=r&name=Ben").await;
    let joined = ben.expect_joined().await;
    assert_eq!(joined["peers"][0]["id"], ana.id.as_str(), "{joined}");
    expect_peer(&mut ana, "peer_joined", &ben.id).await;
    // By a message.
    let mut cai = third.dial("/ws").await;
    cai.join("r").await;
    expect_peer(&mut ana, "peer_joined", &cai.id).await;
    expect_peer(&mut ben, "peer_joined", &cai.id).await;
    for sdp in ["v=0".to_owned(), "x".repeat(60_000)] {
        ben.say(json!({"type": "offer", "sdp": sdp, "to": cai.id})).await;
        assert_eq!(cai.expect("offer").await["sdp"], sdp.as_str());
        cai.say(json!({"type": "answer", "sdp": sdp, "to": ana.id})).await;
        assert_eq!(ana.expect("answer").await["from"], cai.id.as_str());
    }
    // The bare URL leads to one room for all.
    let mut lobby = one.dial("/").await;
    lobby.expect_joined().await;
    let mut guest = other.dial("/").await;
    guest.expect_joined().await;
    lobby.expect("peer_joined").await;
    let (status, text) = third.refusal("/").await;
    assert_eq!((status, text.contains("full")), (503, true), "{text}");
    ben.close().await;
    let left = ana.expect("peer_left").await;
    assert_eq!(left["reason"], "closed");
    assert_eq!((one.relay.rooms(), other.relay.rooms(), third.relay.rooms()), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fragments_and_pings_between_a_join_and_what_follows_arrive() {
    let redis = Redis::start().await;
    let [one, other] = relays(&redis, Config::default).await;
    let mut ana = one.join("r").await;
    let mut ben = other.dial("/ws").await;
    // A join in two fragments with a ping in between, and right behind it a message in fragments, half of it, with a pong.
    let join = br#"{"type":"join","room":"r","id":"ben"}"#;
    let (front, back) = join.split_at(10);
    let message = br#"{"type":"message","data":"all of it"}"#;
    let (start, end) = message.split_at(15);
    let bytes = [
        frame(0x01, front),
        frame(0x89, b"between"),
        frame(0x80, back),
        frame(0x01, start),
        frame(0x8a, b"unasked"),
        frame_header(0x80, end.len() as u64),
    ];
    ben.socket.get_mut().write_all(&bytes.concat()).await.unwrap();
    ben.expect_joined().await;
    ben.socket.get_mut().write_all(end).await.unwrap();
    ben.socket.get_mut().write_all(&frame(TEXT, br#"{"type":"message","data":"and more"}"#)).await.unwrap();
    expect_peer(&mut ana, "peer_joined", "ben").await;
    assert_eq!(ana.expect("message").await["data"], "all of it");
    assert_eq!(ana.expect("message").await["data"], "and more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_join_by_a_door_and_then_another_one_elsewhere() {
    let redis = Redis::start().await;
    let [one, other, third] = relays(&redis, Config::default).await;
    let (mut ana, mut zoe) = (one.dial("/ws").await, third.join("z").await);
    ana.join_with_id("r", "ana").await;
    let mut ben = other.dial("/ws").await;
    ben.say(json!({"type": "join", "room": "r", "id": "ana", "ref": "1"})).await;
    assert_eq!(ben.expect_error("id_taken").await["ref"], "1");
    // The relay of that room hands him on.
    ben.join("z").await;
    expect_peer(&mut zoe, "peer_joined", &ben.id.clone()).await;
    ben.say(json!({"type": "leave"})).await;
    expect_peer(&mut zoe, "peer_left", &ben.id.clone()).await;
    ben.join("r").await;
    expect_peer(&mut ana, "peer_joined", &ben.id.clone()).await;
    ben.say(json!({"type": "leave"})).await;
    // After four, he is told to connect again.
    ben.join("z").await;
    ben.say(json!({"type": "leave"})).await;
    ben.say(json!({"type": "join", "room": "r"})).await;
    ben.expect_error("unavailable").await;
    ben.expect("goaway").await;
    ben.expect_close_code(1012).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn host_lock_knock_kick_and_password_work_by_a_door() {
    let redis = Redis::start().await;
    let [one, other, third] = relays(&redis, Config::default).await;
    let mut ana = other.dial("/ws").await;
    ana.say(json!({"type": "join", "room": "r"})).await;
    let joined = ana.expect_joined().await;
    assert_eq!(joined["host"], ana.id.as_str(), "{joined}");
    let mut ben = third.dial("/?room=r").await;
    ben.expect_joined().await;
    ana.expect("peer_joined").await;
    ana.say(json!({"type": "lock", "locked": true})).await;
    for member in [&mut ana, &mut ben] {
        assert_eq!(member.expect("room").await["locked"], true);
    }
    let mut cai = one.dial("/ws").await;
    cai.say(json!({"type": "join", "room": "r", "name": "Cai"})).await;
    cai.expect("waiting").await;
    let knock = ana.expect("knock").await;
    ana.say(json!({"type": "admit", "to": knock["id"]})).await;
    cai.expect_joined().await;
    let gone = ana.hear().await;
    assert!(gone["type"] == "knock_gone" || gone["type"] == "peer_joined", "{gone}");
    ana.say(json!({"type": "kick", "to": ben.id})).await;
    ben.expect_close_code(1008).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_by_a_door_counts_by_its_own_address_at_both() {
    let redis = Redis::start().await;
    let proxy = || Config {
        trusted_proxy: vec!["127.0.0.1".parse::<TrustedProxy>().unwrap()],
        address_connections: 2,
        ..Config::default()
    };
    let [one, other] = relays(&redis, proxy).await;
    let _ana = one.join("r").await;
    let from = |ip: &'static str| [("x-forwarded-for", ip)];
    let url = format!("ws://{}/?room=r", other.address());
    let mut guests = Vec::new();
    for _ in 0..2 {
        let mut guest = Client::dial(other.connect().await, &url, &from("198.51.100.1")).await.unwrap();
        guest.expect_joined().await;
        guests.push(guest);
    }
    let refused = Client::dial(other.connect().await, &url, &from("198.51.100.1")).await;
    let (status, text) = crate::harness::refusal(refused);
    assert!(status == 503 && text.contains("--address-connections"), "{status} {text}");
    let mut guest = Client::dial(other.connect().await, &url, &from("198.51.100.2")).await.unwrap();
    guest.expect_joined().await;
    // What doors say of their clients is no good at the public port.
    let spoofed = [("x-forwarded-for", "198.51.100.1"), ("relay-hops", "4")];
    let refused = Client::dial(one.connect().await, &format!("ws://{}/?room=q", one.address()), &spoofed).await;
    assert_eq!(crate::harness::refusal(refused).0, 503, "they count there as well");
    assert_eq!(guests.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_that_drains_says_goodbye_and_the_room_goes_on_elsewhere() {
    let redis = Redis::start().await;
    let [mut one, other] = relays(&redis, Config::default).await;
    let _ana = one.join("r").await;
    let mut ben = other.dial("/?room=r").await;
    ben.expect_joined().await;
    one.tell_to_stop(Shutdown::Restart);
    ben.expect("goaway").await;
    ben.expect_close_code(1012).await;
    let begun = Instant::now();
    let mut ben = other.dial("/?room=r").await;
    ben.expect_joined().await;
    assert!(begun.elapsed() < Duration::from_secs(4));
    one.stopped().await;
    assert_eq!(other.relay.rooms(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_drains_cuts_its_clients_within_5_s_and_their_places_are_held() {
    let redis = Redis::start().await;
    let [one, mut other, third] = relays(&redis, Config::default).await;
    let mut ana = one.join("r").await;
    let mut ben = other.dial("/?room=r&resume=1").await;
    let token = ben.expect_joined().await["resume"]["token"].clone();
    ana.expect("peer_joined").await;
    other.tell_to_stop(Shutdown::Restart);
    let next = soon("the end", ben.socket.next()).await;
    assert!(next.is_none_or(|next| next.is_err()), "without a word");
    other.stopped().await;
    ana.say(json!({"type": "message", "data": "meanwhile"})).await;
    let mut ben = third.dial("/ws").await;
    ben.say(json!({"type": "resume", "token": token, "received": 1})).await;
    ben.expect("resumed").await;
    assert_eq!(ben.expect("message").await["data"], "meanwhile");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_taken_again_by_any_door_while_the_old_connection_hangs_at_another() {
    let redis = Redis::start().await;
    let [one, other, third] = relays(&redis, Config::default).await;
    let mut ana = one.join("r").await;
    let mut old = other.dial("/?room=r&resume=1").await;
    let token = old.expect_joined().await["resume"]["token"].clone();
    ana.expect("peer_joined").await;
    assert_eq!(token.as_str().unwrap().len(), 16 + 1 + 32, "{token}");
    // By a third relay, by the one where it was, and by the one that has it: each ends the one before.
    for relay in [&third, &other, &one] {
        ana.say(json!({"type": "message", "data": "next"})).await;
        let mut new = relay.dial("/ws").await;
        new.say(json!({"type": "resume", "token": token, "received": 1})).await;
        let resumed = new.expect("resumed").await;
        assert_eq!(resumed["id"], old.id.as_str(), "{resumed}");
        old.expect_close_code(4001).await;
        new.id = old.id.clone();
        old = new;
    }
    ana.expect_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_found_by_any_door_while_redis_is_away() {
    let mut redis = Redis::start().await;
    let [one, other, third] = relays(&redis, Config::default).await;
    let mut ana = one.join("r").await;
    let mut ben = other.dial("/?room=r&resume=1").await;
    let token = ben.expect_joined().await["resume"]["token"].clone();
    expect_peer(&mut ana, "peer_joined", &ben.id).await;
    redis.kill().await;
    // One has been there before, the other one has never heard of the room.
    let mut cai = other.dial("/ws").await;
    // Those who are asked may be late, which is no error of the client's: it asks again.
    cai.join_at_last("r").await;
    expect_peer(&mut ana, "peer_joined", &cai.id).await;
    let mut dan = third.dial("/?room=r").await;
    dan.expect_joined().await;
    expect_peer(&mut ana, "peer_joined", &dan.id).await;
    drop(ben);
    while ana.hear().await["type"] != "peer_away" {}
    let mut ben = third.dial("/ws").await;
    ben.say(json!({"type": "resume", "token": token, "received": 2})).await;
    ben.expect("resumed").await;
    // Twice: over the connections by which the relays were asked before.
    for _ in 0..2 {
        let begun = Instant::now();
        let mut eve = third.dial("/ws").await;
        eve.say(json!({"type": "join", "room": "new"})).await;
        let refused = eve.expect_error("unavailable").await;
        assert_eq!(refused["retryable"], true, "{refused}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
    let mut eve = other.dial("/ws").await;
    eve.join_at_last("r").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_moves_from_room_to_room_goes_by_four_relays_at_most() {
    let redis = Redis::start().await;
    let [one, other, third] = relays(&redis, Config::default).await;
    let (_one, _other, _third) = (one.join("r1").await, other.join("r2").await, third.join("r3").await);
    let mut client = third.dial("/ws").await;
    for room in ["r1", "r2", "r3", "r1"] {
        client.join(room).await;
        client.say(json!({"type": "leave"})).await;
    }
    client.say(json!({"type": "join", "room": "r2"})).await;
    let refused = client.expect_error("unavailable").await;
    assert!(refused["message"].as_str().unwrap().contains("too many others"), "{refused}");
    client.expect_goodbye(1012).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_nobody_knows_is_refused_and_redis_is_asked_once_a_second_at_most() {
    let redis = Redis::start().await;
    let [one, mut other] = relays(&redis, Config::default).await;
    let digits = "0123456789abcdef";
    let mut client = one.dial("/ws").await;
    for token in
        [format!("{digits}-{digits}{digits}"), format!("{digits}-{digits}"), digits.repeat(2), "x".repeat(10_000)]
    {
        client.say(json!({"type": "resume", "token": token, "received": 1})).await;
        client.expect_error("resume_failed").await;
    }
    // One of a process that has just ended.
    let mut ben = other.dial("/?room=r&resume=1").await;
    let token = ben.expect_joined().await["resume"]["token"].clone();
    other.tell_to_stop(Shutdown::Restart);
    ben.expect_goodbye(1012).await;
    other.stopped().await;
    let mut client = one.dial("/ws").await;
    client.say(json!({"type": "resume", "token": token, "received": 1})).await;
    client.expect_error("resume_failed").await;
    client.join("r").await;
    // Many at once are one question.
    let asked = async || -> u64 {
        let stats = redis.cli(&["info", "commandstats"]).await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_hgetall:")).unwrap_or_default().to_owned();
        let calls = line.split("calls=").nth(1).and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse().unwrap())
    };
    let (before, begun) = (asked().await, Instant::now());
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = one.dial("/ws").await;
        let token = format!("{number:016x}-{digits}{digits}");
        client.say(json!({"type": "resume", "token": token, "received": 1})).await;
        clients.push(client);
    }
    for client in &mut clients {
        client.expect_error("resume_failed").await;
    }
    let most = begun.elapsed().as_secs() + 2;
    let questions = asked().await - before;
    assert!(questions <= most, "{questions} questions");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_together_again_when_a_door_or_the_relay_of_the_room_is_killed() {
    let redis = Redis::start().await;
    let (one, other) = (redis.relay(&[]).await, redis.relay(&[]).await);
    let [third] = relays(&redis, Config::default).await;
    let dial = async |relay: &crate::harness::Process| {
        let stream = crate::harness::connect(([127, 0, 0, 1], relay.port()).into()).await;
        Client::dial(stream, "ws://localhost/?room=r&resume=1", &[]).await.unwrap()
    };
    let mut ana = dial(&one).await;
    ana.expect_joined().await;
    let mut ben = dial(&other).await;
    let token = ben.expect_joined().await["resume"]["token"].clone();
    let mut cai = third.dial("/?room=r").await;
    cai.expect_joined().await;
    // The door by which Ben came.
    other.signal("KILL");
    ben.expect_cut().await;
    let mut ben = third.dial("/ws").await;
    ben.say(json!({"type": "resume", "token": token, "received": 1})).await;
    ben.expect("resumed").await;
    // The relay of the room.
    let begun = Instant::now();
    one.signal("KILL");
    ben.expect_cut().await;
    cai.expect_cut().await;
    let mut ben = third.dial("/ws").await;
    ben.join_at_last("r").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_is_stopped_loses_its_clients_elsewhere_within_5_s_and_its_rooms() {
    let redis = Redis::start().await;
    let one = redis.relay(&[]).await;
    let [other] = relays(&redis, Config::default).await;
    let stream = crate::harness::connect(([127, 0, 0, 1], one.port()).into()).await;
    let mut ana = Client::dial(stream, "ws://localhost/?room=r", &[]).await.unwrap();
    ana.expect_joined().await;
    let mut ben = other.dial("/?room=r").await;
    ben.expect_joined().await;
    let begun = Instant::now();
    one.signal("STOP");
    ben.expect_cut().await;
    let cut = begun.elapsed();
    let mut ben = other.dial("/ws").await;
    ben.join_at_last("r").await;
    let together = begun.elapsed();
    one.signal("CONT");
    // It sees that it was given up.
    ana.expect("peer_joined").await;
    ana.expect_close_code(1012).await;
    assert!(cut < Duration::from_secs(8) && together < Duration::from_secs(12), "{cut:?}, {together:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_given_up_at_a_door_that_stood_still_does_not_take_the_place_from_a_later_connection() {
    let redis = Redis::start().await;
    let mut other = redis.relay(&[]).await;
    let [one] = relays(&redis, Config::default).await;
    let mut last = one.dial("/?room=r&resume=1").await;
    let resume = json!({"type": "resume", "token": last.expect_joined().await["resume"]["token"], "received": 1});
    for says_goodbye in [false, true] {
        let stream = crate::harness::connect(([127, 0, 0, 1], other.port()).into()).await;
        // What it says last does not wait until the door has acknowledged what it said before.
        stream.set_nodelay(true).unwrap();
        let mut early = Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap();
        other.stop().await;
        early.say(resume.clone()).await;
        if says_goodbye {
            early.socket.close(None).await.unwrap();
        }
        // Who closes waits for the answer; who is lost does not.
        let early = says_goodbye.then_some(early);
        let mut next = one.dial("/ws").await;
        next.say(resume.clone()).await;
        next.expect("resumed").await;
        last.expect_close_code(4001).await;
        last = next;
        other.signal("CONT");
        let end = other.expect_log("disconnected").await;
        assert!(end.contains("hung up") && !end.contains("room_at="), "{end}");
        drop(early);
        last.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_behind_a_door_is_not_closed_earlier_than_without_one() {
    let redis = Redis::start().await;
    let [one, mut other] = relays(&redis, Config::default).await;
    other.buffers = Some(4 * 1024);
    let mut ana = one.join("r").await;
    let mut ben = other.dial("/?room=r").await;
    ben.expect_joined().await;
    ana.expect("peer_joined").await;
    let ben_id = ben.id.clone();
    // As much as Ben's outbox takes, again and again.
    let floods = tokio::spawn(async move {
        let data = "x".repeat(8_000);
        loop {
            ana.say(json!({"type": "message", "data": data, "to": ben_id})).await;
            // What is on its way to Ben hides from him that he was given up.
            if let Ok(Some(Ok(heard))) = tokio::time::timeout(Duration::from_millis(100), ana.socket.next()).await
                && heard.to_string().contains("peer_left")
            {
                return heard.to_string();
            }
        }
    });
    let (begun, mut read) = (Instant::now(), 0);
    let mut stream = ben.socket.into_inner();
    let mut bytes = [0; 1024];
    while begun.elapsed() < Duration::from_secs(40) {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let got = soon("bytes", tokio::io::AsyncReadExt::read(&mut stream, &mut bytes)).await.unwrap();
        assert!(got > 0, "closed after {:?} and {read} bytes", begun.elapsed());
        read += got;
        if floods.is_finished() {
            panic!("{} after {:?} and {read} bytes", floods.await.unwrap(), begun.elapsed());
        }
    }
    floods.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_by_which_relay_a_client_comes_and_at_which_one_its_room_is() {
    let redis = Redis::start().await;
    let (mut one, mut other) = (redis.relay(&[]).await, redis.relay(&[]).await);
    let dial = async |port: u16, path: &str| {
        let stream = crate::harness::connect(([127, 0, 0, 1], port).into()).await;
        Client::dial(stream, &format!("ws://localhost{path}"), &[]).await.unwrap()
    };
    let _ana = dial(one.port(), "/?room=r").await;
    for path in ["/?room=r", "/ws"] {
        let mut ben = dial(other.port(), path).await;
        if path == "/ws" {
            ben.say(json!({"type": "join", "room": "r"})).await;
        }
        ben.expect_joined().await;
        let at = other.expect_log("handed over").await;
        assert!(at.contains("address=127.0.0.1:") && at.contains("room_at=127.0.0.1:"), "{at}");
        let via = one.expect_log("via=127.0.0.1:").await;
        assert!(via.contains("connected") && via.contains("address=127.0.0.1 "), "{via}");
        ben.close().await;
        let end = other.expect_log("disconnected").await;
        assert!(end.contains("room_at=127.0.0.1:") && end.contains("why="), "{end}");
        let end = one.expect_log("disconnected").await;
        assert!(end.contains("via=127.0.0.1:") && end.contains("closed by the peer"), "{end}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_give_up_while_the_relay_of_their_room_hangs_leave_nothing_behind() {
    let redis = Redis::start().await;
    let one = redis.relay(&[]).await;
    let [other] = relays(&redis, Config::default).await;
    let stream = crate::harness::connect(([127, 0, 0, 1], one.port()).into()).await;
    let mut ana = Client::dial(stream, "ws://localhost/?room=r&resume=1", &[]).await.unwrap();
    let token = ana.expect_joined().await["resume"]["token"].clone();
    one.signal("STOP");
    let mut clients = Vec::new();
    for _ in 0..50 {
        for said in [json!({"type": "join", "room": "r"}), json!({"type": "resume", "token": token, "received": 1})] {
            let mut client = other.dial("/ws").await;
            client.say(said).await;
            clients.push(client);
        }
    }
    let mut by_url = Vec::new();
    for _ in 0..50 {
        let mut stream = other.connect().await;
        let request = "GET /?room=r HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        by_url.push(stream);
    }
    assert!(other.relay.connections() > 0);
    drop((clients, by_url));
    one.signal("CONT");
    let ends = async {
        while other.relay.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("the end of all", ends).await;
    let mut ben = other.dial("/ws").await;
    let there = async {
        loop {
            ben.say(json!({"type": "join", "room": "r"})).await;
            let answer = ben.hear().await;
            if answer["type"] == "joined" && answer["peers"].as_array().unwrap().len() <= 1 {
                return;
            }
            // Those who had come as far as the room are about to leave it.
            if answer["type"] == "joined" {
                ben.say(json!({"type": "leave"})).await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    soon("the room without them", there).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_relays_ask_each_other_is_not_answered_to_everybody() {
    let redis = Redis::start().await;
    let [one, other] = relays(&redis, Config::default).await;
    let _ana = one.join("r").await;
    for path in ["/cluster/1/alive", "/cluster/1/rooms/0", "/cluster/1/ws", "/cluster/1/?room=r"] {
        let (status, _) = other.refusal(path).await;
        assert_eq!(status, 404, "{path}");
    }
    // By the public port nobody is a door: hops are not counted, and the room is reached.
    let door = [("relay-hops", "255"), ("x-forwarded-for", "192.0.2.66"), ("x-forwarded-proto", "https")];
    let url = format!("ws://{}/?room=r", other.address());
    let mut ben = Client::dial(other.connect().await, &url, &door).await.unwrap();
    ben.expect_joined().await;
}

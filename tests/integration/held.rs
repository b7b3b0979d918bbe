//! Rooms while some of their members are away, what ends and what holds a place, and what proves that messages arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, RelayBuilder, RelayEvent, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, advance, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::harness::client::{frame, frame_header};
use crate::harness::places::{HOLD, cannot_come_back, come_back, hears_who, resumable, resume};
use crate::harness::{Client, TestRelay, soon};

/// Lets the hold of all who are away end.
async fn hold_ends() {
    advance(HOLD + Duration::from_secs(1)).await;
}

/// Joins with `join`, asking for a place; the client, and its token.
async fn join_resumable(relay: &TestRelay, mut join: Value) -> (Client, String) {
    let mut client = relay.dial("/ws").await;
    (join["type"], join["resume"]) = (json!("join"), json!(true));
    client.say(join).await;
    let joined = client.expect_joined().await;
    (client, joined["resume"]["token"].as_str().unwrap().to_owned())
}

/// Loses the connection of `client`, and waits until `other` knows.
async fn lose(client: Client, other: &mut Client) {
    let id = client.id.clone();
    drop(client);
    hears_who(other, "peer_away", &id).await;
}

#[tokio::test(start_paused = true)]
async fn a_room_of_members_that_are_away_keeps_its_lock_its_password_and_its_knocks_until_they_are_given_up() {
    let relay = TestRelay::in_memory(Config::default());
    let (mut host, token) = join_resumable(&relay, json!({"room": "r", "id": "host", "password": "sesame"})).await;
    host.say(json!({"type": "lock", "locked": true})).await;
    host.expect("room").await;
    let mut waits = relay.dial("/ws").await;
    waits.say(json!({"type": "join", "room": "r", "id": "waits", "password": "sesame"})).await;
    waits.expect("waiting").await;
    host.expect("knock").await;
    drop(host);
    let mut late = relay.dial("/ws").await;
    late.say(json!({"type": "join", "room": "r", "password": "wrong"})).await;
    late.expect_error("wrong_password").await;
    late.say(json!({"type": "join", "room": "r", "id": "late", "password": "sesame"})).await;
    late.expect("waiting").await;
    assert_eq!(relay.relay.rooms(), 1);

    // It walks in without the password, and hears who came meanwhile.
    let (host, resumed) = come_back(&relay, &token, 3).await;
    assert_eq!(
        (&resumed["host"], &resumed["locked"], &resumed["password"]),
        (&json!("host"), &json!(true), &json!(true))
    );
    let mut host = host;
    hears_who(&mut host, "knock", "late").await;
    drop(host);
    waits.expect_nothing().await;
    hold_ends().await;
    for client in [&mut waits, &mut late] {
        assert_eq!(client.expect_error("denied").await["retryable"], false);
    }
    assert_eq!(relay.relay.rooms(), 0);
    let joined = waits.join("r").await;
    assert_eq!((joined.get("locked"), joined.get("password")), (None, None));
}

#[tokio::test(start_paused = true)]
async fn a_person_who_was_kicked_stays_out_while_the_members_are_only_away() {
    async fn ask(request: JoinRequest) -> Result<Grant, Denial> {
        let mut grant = Grant::from(&request);
        grant.is_identified = true;
        Ok(grant)
    }
    let relay = TestRelay::in_memory_as(Config::default(), |builder| builder.authorizer(ask));
    let (mut host, _) = join_resumable(&relay, json!({"room": "r", "id": "host"})).await;
    let bully = json!({"type": "join", "room": "r", "id": "bully"});
    let mut kicked = relay.dial("/ws").await;
    kicked.say(bully.clone()).await;
    kicked.expect_joined().await;
    host.expect("peer_joined").await;
    host.say(json!({"type": "kick", "to": "bully"})).await;
    kicked.expect_error("kicked").await;
    host.expect("peer_left").await;
    drop(host);
    let mut again = relay.dial("/ws").await;
    again.say(bully.clone()).await;
    again.expect_error("denied").await;
    hold_ends().await;
    let mut again = relay.dial("/ws").await;
    again.say(bully).await;
    again.expect_joined().await;
}

#[tokio::test(start_paused = true)]
async fn when_a_hold_ends_the_others_hear_it_once_and_the_id_and_the_seat_are_free() {
    let relay = TestRelay::in_memory(Config { room_capacity: 2, ..Config::default() });
    let mut stays = relay.join("r").await;
    let (client, token) = join_resumable(&relay, json!({"room": "r", "id": "bob"})).await;
    stays.expect("peer_joined").await;
    lose(client, &mut stays).await;
    let mut other = relay.dial("/ws").await;
    for (id, error) in [("bob", "id_taken"), ("other", "room_full")] {
        other.say(json!({"type": "join", "room": "r", "id": id})).await;
        other.expect_error(error).await;
    }
    hold_ends().await;
    assert_eq!(stays.hear().await, json!({"type": "peer_left", "id": "bob", "reason": "timeout"}));
    stays.expect_nothing().await;
    let mut other = relay.dial("/ws").await;
    other.join_with_id("r", "bob").await;
    hears_who(&mut stays, "peer_joined", "bob").await;
    cannot_come_back(&relay, &token).await;
    hold_ends().await;
    stays.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn the_offer_of_a_member_that_is_away_waits_for_the_first_comer_as_long_as_its_place() {
    let relay = TestRelay::in_memory(Config::default());
    for is_held in [true, false] {
        let (mut client, _) = join_resumable(&relay, json!({"room": "r", "id": "alone"})).await;
        client.say(json!({"type": "offer", "sdp": "v=0"})).await;
        client.expect_nothing().await;
        drop(client);
        let mut comes = relay.dial("/ws").await;
        if !is_held {
            hold_ends().await;
            comes = relay.dial("/ws").await;
        }
        let joined = comes.join("r").await;
        if is_held {
            assert_eq!(joined["peers"], json!([{"id": "alone", "away": true}]));
            assert_eq!(comes.expect("offer").await["from"], "alone");
        }
        comes.expect_nothing().await;
        comes.close().await;
        hold_ends().await;
    }
}

#[tokio::test]
async fn who_is_made_host_while_it_is_away_is_the_host_when_it_is_back() {
    let relay = TestRelay::start().await;
    let mut host = relay.join("r").await;
    let (client, token) = join_resumable(&relay, json!({"room": "r", "id": "bob"})).await;
    host.expect("peer_joined").await;
    lose(client, &mut host).await;
    host.say(json!({"type": "make_host", "to": "bob"})).await;
    hears_who(&mut host, "host", "bob").await;
    host.say(json!({"type": "lock", "locked": true})).await;
    host.expect_error("not_host").await;
    let (mut bob, resumed) = come_back(&relay, &token, 1).await;
    assert_eq!(resumed["host"], "bob");
    hears_who(&mut bob, "host", "bob").await;
    bob.say(json!({"type": "lock", "locked": true})).await;
    bob.expect("room").await;
}

#[tokio::test(start_paused = true)]
async fn people_who_come_and_go_end_no_place_and_fill_no_more_than_their_share() {
    let relay = TestRelay::in_memory(Config { hold_ms: limits::HOLD_MS_MAX, ..unlimited() });
    let mut stays = relay.join("r").await;
    let (client, token) = join_resumable(&relay, json!({"room": "r", "id": "bob"})).await;
    stays.expect("peer_joined").await;
    lose(client, &mut stays).await;
    let mut restless = relay.dial("/ws").await;
    for _ in 0..limits::ANNOUNCEMENTS {
        restless.say(json!({"type": "join", "room": "r", "id": "restless"})).await;
        restless.expect("joined").await;
        hears_who(&mut stays, "peer_joined", "restless").await;
        restless.say(json!({"type": "leave"})).await;
        hears_who(&mut stays, "peer_left", "restless").await;
    }
    // Those of one address have some shares together, and what nobody said cancels out.
    let mut refused = 0;
    for _ in 0..limits::ANNOUNCEMENTS {
        let mut guest = relay.dial("/ws").await;
        guest.join_with_id("r", "guest").await;
        guest.say(json!({"type": "message", "data": 1})).await;
        guest.say(json!({"type": "leave"})).await;
        refused += guest.catch_up().await.iter().filter(|one| one["code"] == "peer_busy").count();
        while stays.hear().await["type"] != "peer_left" {}
    }
    assert_eq!(refused, limits::ANNOUNCEMENTS - limits::ADDRESS_SHARES * limits::SHARE_MESSAGES);
    let (mut bob, _) = come_back(&relay, &token, 1).await;
    let heard = bob.catch_up().await;
    assert_eq!(heard.len(), 3 * limits::ADDRESS_SHARES * limits::SHARE_MESSAGES);
}

#[tokio::test(start_paused = true)]
async fn who_answers_no_ping_is_away_and_who_sends_too_much_at_once_has_left() {
    let relay = TestRelay::in_memory(Config::default());
    let mut stays = relay.join("r").await;
    let (silent, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let start = Instant::now();
    let message = loop {
        let message = timeout(Duration::from_secs(60), stays.socket.next()).await.unwrap().unwrap().unwrap();
        if let Message::Text(text) = message {
            break serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    assert_eq!(message, json!({"type": "peer_away", "id": silent.id}));
    assert!(start.elapsed() >= limits::PING_INTERVAL + limits::PONG_DEADLINE, "{:?}", start.elapsed());
    let (mut back, _) = come_back(&relay, &token, 1).await;
    stays.expect("peer_back").await;
    let too_large = frame_header(0x81, limits::MESSAGE_BYTES as u64 + 1);
    back.socket.get_mut().write_all(&too_large).await.unwrap();
    assert_eq!(stays.expect("peer_left").await["reason"], "policy");
    cannot_come_back(&relay, &token).await;
}

#[tokio::test(start_paused = true)]
async fn who_vanished_is_held_from_its_last_sign_of_life_and_for_a_moment_at_least() {
    // The hold in seconds, and how long after the last sign of life the id is free: the ghost is found after 25 s.
    for (hold, free_after) in [(30, 35), (60, 60), (4, 29)] {
        let relay = TestRelay::in_memory(Config { hold_ms: hold * 1000, ..Config::default() });
        let mut stays = relay.join("r").await;
        let (_ghost, _) = join_resumable(&relay, json!({"room": "r", "id": "own"})).await;
        let start = Instant::now();
        stays.expect("peer_joined").await;
        // Reading answers the pings.
        let left = loop {
            let message = stays.socket.next().await.unwrap().unwrap();
            if let Message::Text(text) = message
                && !text.contains("peer_away")
            {
                break serde_json::from_str::<Value>(&text).unwrap();
            }
        };
        assert_eq!(left, json!({"type": "peer_left", "id": "own", "reason": "timeout"}));
        let (after, expected) = (start.elapsed(), Duration::from_secs(free_after));
        assert!(after >= expected && after < expected + Duration::from_millis(100), "{hold}: {after:?}");
        relay.dial("/ws").await.join_with_id("r", "own").await;
    }
}

#[tokio::test]
async fn a_close_with_any_other_code_holds_the_place() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (mut client, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    for code in [1002_u16, 1011, 3000, 4000, 4999] {
        let id = client.id.clone();
        client.socket.close(Some(CloseFrame { code: code.into(), reason: "bye".into() })).await.unwrap();
        hears_who(&mut stays, "peer_away", &id).await;
        (client, _) = come_back(&relay, &token, 1).await;
        client.id.clone_from(&id);
        stays.expect("peer_back").await;
    }
}

#[tokio::test]
async fn of_two_who_come_back_at_once_the_later_keeps_the_place() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    for is_away in [false, true] {
        let (old, token) = resumable(&relay, "r").await;
        let id = old.id.clone();
        stays.expect("peer_joined").await;
        let mut kept = Some(old);
        if is_away {
            lose(kept.take().unwrap(), &mut stays).await;
        }
        let (mut first, mut second) = (relay.dial("/ws").await, relay.dial("/ws").await);
        first.say(resume(&token, 1)).await;
        second.say(resume(&token, 1)).await;
        // Which one the relay hears later is the network's choice: the other one is closed.
        let is_first_closed = tokio::select! {
            () = first.expect_close_code(4001) => true,
            () = second.expect_close_code(4001) => false,
        };
        let keeps = if is_first_closed { &mut second } else { &mut first };
        if is_away {
            stays.expect("peer_back").await;
        }
        stays.say(json!({"type": "message", "to": id, "data": "said later"})).await;
        while keeps.hear().await["data"] != "said later" {}
        keeps.say(json!({"type": "leave"})).await;
        hears_who(&mut stays, "peer_left", &id).await;
    }
}

#[tokio::test]
async fn what_the_old_connection_still_has_unread_is_taken_once() {
    const MESSAGES: u64 = 2_000;
    let relay = TestRelay::start_with(Config { message_rate: 0, ..Config::default() }).await;
    let mut stays = relay.join("r").await;
    let (mut old, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let texts: Vec<String> = (0..MESSAGES).map(|data| json!({"type": "message", "data": data}).to_string()).collect();
    let hears = tokio::spawn(async move {
        for data in 0..MESSAGES {
            assert_eq!(stays.expect("message").await["data"], data);
        }
        stays
    });
    let mut new = relay.dial("/ws").await;
    old.say_at_once(&texts).await;
    new.say(resume(&token, 1)).await;
    // What the relay has said to the old one before (`taken`) comes again.
    let taken = new.expect("resumed").await["received"].as_u64().unwrap();
    new.say_at_once(&texts[taken as usize..]).await;
    let mut stays = soon("all", hears).await.unwrap();
    stays.expect_nothing().await;
    old.expect_close_code(4001).await;
}

#[tokio::test]
async fn where_the_url_joins_the_first_message_is_the_first_and_a_resume_is_not_counted() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let mut client = relay.dial("/?room=r&resume=1").await;
    let joined = client.expect_joined().await;
    let token = joined["resume"]["token"].as_str().unwrap();
    stays.expect("peer_joined").await;
    client.say(json!({"type": "message", "data": 1})).await;
    client.say(resume(token, 0)).await;
    client.expect_error("already_joined").await;
    client.say(json!({"type": "resume", "token": token})).await;
    client.expect_error("bad_message").await;
    client.say_text("[]").await;
    client.expect_error("bad_json").await;
    stays.expect("message").await;
    lose(client, &mut stays).await;
    // `joined` and the three errors.
    let (mut client, resumed) = come_back(&relay, token, 4).await;
    assert_eq!(resumed["received"], 2);
    stays.expect("peer_back").await;

    // The bare URL joins as well; who has left may take its place in another room.
    let mut elsewhere = relay.dial("/").await;
    elsewhere.expect_joined().await;
    elsewhere.say(resume(token, 4)).await;
    elsewhere.expect_error("already_joined").await;
    elsewhere.say(json!({"type": "leave"})).await;
    elsewhere.say(resume(token, 4)).await;
    assert_eq!(elsewhere.expect("resumed").await["room"], "r");
    client.expect_close_code(4001).await;
    stays.expect_nothing().await;
}

/// Reads frames of a client that answers no ping, as they come, until a ping; its payload.
async fn read_until_ping(client: &mut Client) -> Vec<u8> {
    let stream = client.socket.get_mut();
    let mut header = [0; 2];
    loop {
        soon("a frame", stream.read_exact(&mut header)).await.unwrap();
        let length = match header[1] {
            126 => usize::from(soon("a length", stream.read_u16()).await.unwrap()),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        soon("a payload", stream.read_exact(&mut payload)).await.unwrap();
        if header[0] == 0x89 {
            return payload;
        }
    }
}

#[tokio::test]
async fn only_the_pong_to_the_last_ping_on_its_own_connection_makes_room() {
    // What may be kept for one is four shares.
    let relay = TestRelay::start_with(Config { room_capacity: 2, ..Config::default() }).await;
    let mut sender = relay.join("r").await;
    let (mut receiver, _) = resumable(&relay, "r").await;
    sender.expect("peer_joined").await;
    let large = json!({"type": "message", "data": "x".repeat(60_000)});
    sender.say(large.clone()).await;
    assert_eq!(read_until_ping(&mut receiver).await, b"2");
    let mut unread = receiver;
    let (mut sent, mut is_busy) = (1, false);
    while !is_busy {
        assert!(sent < 10, "nothing proves that any of it has arrived");
        sender.say(large.clone()).await;
        sent += 1;
        // It is read, so that only the missing proof is in the way.
        let heard = tokio::select! {
            heard = sender.catch_up() => heard,
            _ = read_until_ping(&mut unread) => panic!("one ping at a time"),
        };
        is_busy = heard.iter().any(|error| error["code"] == "peer_busy");
    }
    for pong in ["1", "3", "4", "5", "18446744073709551616", "-2", "", "two"] {
        unread.socket.get_mut().write_all(&frame(0x8a, pong.as_bytes())).await.unwrap();
    }
    // Nor does the right number on another connection.
    sender.socket.send(Message::Pong("2".into())).await.unwrap();
    sender.say(large.clone()).await;
    sender.expect_error("peer_busy").await;
    unread.socket.get_mut().write_all(&frame(0x8a, b"2")).await.unwrap();
    // The relay asks about the rest.
    let next = read_until_ping(&mut unread).await;
    sender.say(large).await;
    unread.socket.get_mut().write_all(&frame(0x8a, &next)).await.unwrap();
    let heard = tokio::select! {
        heard = sender.catch_up() => heard,
        _ = read_until_ping(&mut unread) => sender.catch_up().await,
    };
    assert_eq!(heard, Vec::<Value>::new());
}

#[tokio::test]
async fn what_came_before_resumed_on_a_connection_is_not_counted_on_either_side() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (client, token) = resumable(&relay, "r").await;
    let id = client.id.clone();
    stays.expect("peer_joined").await;
    lose(client, &mut stays).await;
    let mut client = relay.dial("/ws").await;
    client.say_text("not JSON").await;
    client.expect_error("bad_json").await;
    client.say(resume("unknown", 1)).await;
    client.expect_error("resume_failed").await;
    client.say(resume(&token, 1)).await;
    let resumed = client.expect("resumed").await;
    assert_eq!((&resumed["received"], &resumed["iceServers"]), (&json!(0), &json!([])));
    assert_eq!(resumed["resume"]["holdMs"], HOLD.as_millis() as u64);
    stays.expect("peer_back").await;
    client.say(json!({"type": "message", "data": "one"})).await;
    stays.expect("message").await;
    for data in ["two", "three"] {
        stays.say(json!({"type": "message", "data": data})).await;
        assert_eq!(client.expect("message").await["data"], data);
    }
    client.id = id;
    lose(client, &mut stays).await;
    // `joined` and the first of the two.
    let (mut client, resumed) = come_back(&relay, &token, 2).await;
    assert_eq!(resumed["received"], 1);
    assert_eq!(client.expect("message").await["data"], "three");
    client.expect_nothing().await;
}

#[tokio::test]
async fn who_needs_messages_that_are_not_kept_any_more_joins_anew() {
    // What may be kept for one is four shares.
    let relay = TestRelay::start_with(Config { room_capacity: 2, ..Config::default() }).await;
    let mut sender = relay.join("r").await;
    let (mut receiver, token) = resumable(&relay, "r").await;
    sender.expect("peer_joined").await;
    for _ in 0..12 {
        sender.say(json!({"type": "message", "data": "x".repeat(60_000)})).await;
        receiver.expect("message").await;
    }
    let mut again = relay.dial("/ws").await;
    again.say(resume(&token, 1)).await;
    again.expect_error("resume_failed").await;
    // Nothing has happened to the place of the connection that lives.
    sender.expect_nothing().await;
    sender.say(json!({"type": "message", "data": "still there"})).await;
    receiver.expect("message").await;
    lose(receiver, &mut sender).await;
    again.say(resume(&token, 1)).await;
    again.expect_error("resume_failed").await;
    assert_eq!(sender.expect("peer_left").await["reason"], "timeout");
    again.join("r").await;
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_gives_no_more_to_say_at_once() {
    let relay = TestRelay::in_memory(Config { message_rate: 1, ..Config::default() });
    let mut stays = relay.join("r").await;
    let (mut client, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let mut received = 1;
    loop {
        client.say(json!({"type": "nonsense"})).await;
        received += 1;
        if client.expect("error").await["code"] == "rate_limited" {
            break;
        }
    }
    assert!(received > 10, "{received}");
    lose(client, &mut stays).await;
    let (mut client, _) = come_back(&relay, &token, received).await;
    client.say(json!({"type": "nonsense"})).await;
    client.expect_error("rate_limited").await;
}

#[tokio::test]
async fn who_comes_back_is_not_asked_again_whether_it_may_enter() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let once = move |request: JoinRequest| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Ok(Grant::from(&request)) } else { Err(Denial::Unauthorized("once".into())) } }
    };
    let relay = TestRelay::start_as(Config::default(), |builder| builder.authorizer(once)).await;
    let (client, token) = resumable(&relay, "r").await;
    come_back(&relay, &token, 1).await;
    drop(client);
    let mut client = relay.dial("/ws").await;
    client.say(resume(&token, 1)).await;
    client.expect("resumed").await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// Comes, is lost and comes back so many times, each time by the dice in another way.
async fn comes_and_goes(relay: Arc<TestRelay>, who: usize, rounds: usize) {
    let (mut place, mut old): (Option<String>, Option<Client>) = (None, None);
    for round in 0..rounds {
        let mut client = relay.dial("/ws").await;
        // Sometimes it has lost its token, and displaces itself.
        if let Some(token) = place.take().filter(|_| round % 7 != 0) {
            client.say(resume(&token, 1)).await;
            place = Some(token);
        } else {
            client.say(json!({"type": "join", "room": "r", "id": format!("p{who}"), "resume": true})).await;
        }
        let first = loop {
            match soon("an answer", client.socket.next()).await {
                Some(Ok(Message::Text(text))) => break serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => break Value::Null,
            }
        };
        drop(old.take());
        match first["type"].as_str() {
            Some("joined") => place = Some(first["resume"]["token"].as_str().unwrap().to_owned()),
            Some("resumed") => {}
            _ => place = None,
        }
        // Whoever is the host now throws somebody out, or locks the room for a while.
        let to = format!("p{}", (who + 1 + round % 5) % 6);
        let command = match round % 5 {
            0 => json!({"type": "lock", "locked": round % 10 == 0}),
            1 => json!({"type": "lock", "locked": false}),
            2 => json!({"type": "make_host", "to": to}),
            3 => json!({"type": "admit", "to": to}),
            // Seldom a person, who then stays out.
            _ if round % 50 == 4 => json!({"type": "kick", "to": to}),
            _ => json!({"type": "kick", "to": format!("p{}", 3 + (who + round) % 3)}),
        };
        let _ = client.socket.send(Message::text(command.to_string())).await;
        match (who + round) % 4 {
            0 => {
                let _ = client.socket.close(None).await;
            }
            1 => {
                let _ = client.socket.close(Some(CloseFrame { code: 4000.into(), reason: "".into() })).await;
            }
            // It is taken over.
            2 => old = Some(client),
            _ => drop(client),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn however_many_come_go_return_and_are_kicked_at_once_nothing_stays_behind() {
    let config = Config { hold_ms: 50, address_upgrades: 0, address_joins: 0, ..Config::default() };
    let (joined, left) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let panicked = Arc::new(AtomicUsize::new(0));
    let (joins, leaves, panics) = (Arc::clone(&joined), Arc::clone(&left), Arc::clone(&panicked));
    let observer = move |event: &RelayEvent| match event {
        RelayEvent::Joined { .. } => drop(joins.fetch_add(1, Ordering::SeqCst)),
        RelayEvent::Left { .. } => drop(leaves.fetch_add(1, Ordering::SeqCst)),
        RelayEvent::Disconnected { why, .. } if why.contains("panicked") => drop(panics.fetch_add(1, Ordering::SeqCst)),
        _ => {}
    };
    let identify = |request: JoinRequest| async move {
        let mut grant = Grant::from(&request);
        // Half of them are persons: who is kicked as one stays out.
        grant.is_identified = grant.id.as_ref().is_some_and(|id| id.as_str() < "p3");
        Ok(grant)
    };
    let with = |builder: RelayBuilder| builder.observer(observer).authorizer(identify);
    let relay = Arc::new(TestRelay::start_as(config, with).await);
    let restless: Vec<_> = (0..6).map(|who| tokio::spawn(comes_and_goes(Arc::clone(&relay), who, 150))).collect();
    for one in restless {
        one.await.unwrap();
    }
    let inner = Arc::clone(&relay.relay);
    Arc::into_inner(relay).unwrap().stop().await;
    assert_eq!((inner.rooms(), inner.connections()), (0, 0));
    let (joined, left) = (joined.load(Ordering::SeqCst), left.load(Ordering::SeqCst));
    assert_eq!((joined, panicked.load(Ordering::SeqCst)), (left, 0));
    assert!(joined > 20, "{joined}");
}

#[tokio::test]
async fn who_comes_back_sees_who_else_is_away() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (bob, bobs) = join_resumable(&relay, json!({"room": "r", "id": "bob"})).await;
    let (carol, carols) = join_resumable(&relay, json!({"room": "r", "id": "carol"})).await;
    for _ in 0..2 {
        stays.expect("peer_joined").await;
    }
    lose(bob, &mut stays).await;
    lose(carol, &mut stays).await;
    // `joined` and carol's `peer_joined`.
    let (mut bob, resumed) = come_back(&relay, &bobs, 2).await;
    assert_eq!(resumed["peers"], json!([{"id": stays.id}, {"id": "carol", "away": true}]));
    hears_who(&mut bob, "peer_away", "carol").await;
    // Carol was told of bob before she was lost herself, but has not received it, and he is back.
    let (mut carol, resumed) = come_back(&relay, &carols, 1).await;
    assert_eq!(resumed["peers"], json!([{"id": stays.id}, {"id": "bob"}]));
    carol.expect_nothing().await;
    for client in [&mut bob, &mut stays] {
        while client.hear().await != json!({"type": "peer_back", "id": "carol"}) {}
        client.expect_nothing().await;
    }
}

fn unlimited() -> Config {
    Config { message_rate: 0, address_joins: 0, address_upgrades: 0, ..Config::default() }
}

/// So many strangers come and go one after the other, and `client` hears it, as the system of a page that does not read.
async fn strangers_come_and_go(relay: &TestRelay, client: &mut Client, count: usize, say: bool) {
    for _ in 0..count {
        let mut stranger = relay.dial("/ws").await;
        stranger.join_with_id("r", "stranger").await;
        hears_who(client, "peer_joined", "stranger").await;
        if say {
            stranger.say(json!({"type": "message", "data": 1})).await;
            client.expect("message").await;
        }
        stranger.say(json!({"type": "leave"})).await;
        hears_who(client, "peer_left", "stranger").await;
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_come_and_go_while_a_dead_connection_looks_alive_end_no_place() {
    let relay = TestRelay::in_memory(unlimited());
    let (mut dead, token) = resumable(&relay, "r").await;
    strangers_come_and_go(&relay, &mut dead, limits::ANNOUNCEMENTS, false).await;
    let mut stays = relay.join("r").await;
    hears_who(&mut dead, "peer_joined", &stays.id).await;
    stays.say(json!({"type": "message", "data": 1})).await;
    dead.expect("message").await;
    let (mut again, resumed) = come_back(&relay, &token, 1).await;
    assert_eq!(resumed["peers"], json!([{"id": stays.id}]));
    again.expect("peer_joined").await;
    again.expect("message").await;
    again.expect_nothing().await;
    stays.expect_nothing().await;
    // Both count what has arrived.
    let (mut again, _) = come_back(&relay, &token, 2).await;
    again.expect("message").await;
    again.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_strangers_said_who_are_gone_is_dropped_before_a_place_is_and_nothing_else() {
    for (count, dropped) in [(limits::ANNOUNCEMENTS / 2 - 1, false), (limits::ANNOUNCEMENTS / 2, true)] {
        let relay = TestRelay::in_memory(unlimited());
        let (mut dead, token) = resumable(&relay, "r").await;
        let mut stays = relay.join("r").await;
        hears_who(&mut dead, "peer_joined", &stays.id).await;
        stays.say(json!({"type": "message", "data": 1})).await;
        dead.expect("message").await;
        strangers_come_and_go(&relay, &mut dead, count, true).await;
        let (mut again, _) = come_back(&relay, &token, 1).await;
        again.expect("peer_joined").await;
        again.expect("message").await;
        let left = again.catch_up().await;
        assert_eq!(left.len(), if dropped { 0 } else { 3 * count });
    }
}

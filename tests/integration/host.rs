//! What a host may do, and who may enter a room: over real WebSockets.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, Role, Shutdown, limits};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, TestRelay};

/// Somebody who is in the room `r` under this id.
async fn enter(relay: &TestRelay, id: &str) -> Client {
    let mut client = relay.dial("/ws").await;
    client.join_with_id("r", id).await;
    client
}

/// Alice, the host, and Bob.
async fn alice_and_bob(relay: &TestRelay) -> (Client, Client) {
    let mut alice = enter(relay, "alice").await;
    let bob = enter(relay, "bob").await;
    alice.expect("peer_joined").await;
    (alice, bob)
}

/// Alice, alone in a locked room.
async fn locked_in(relay: &TestRelay) -> Client {
    let mut alice = enter(relay, "alice").await;
    alice.say(json!({"type": "lock", "locked": true})).await;
    assert_eq!(alice.hear().await, json!({"type": "room", "locked": true}));
    alice
}

/// Somebody who waits at the room `r`, of whom `host` knows.
async fn knock(relay: &TestRelay, host: &mut Client, id: &str) -> Client {
    let mut client = relay.dial("/ws").await;
    client.say(json!({"type": "join", "room": "r", "id": id, "ref": "j"})).await;
    assert_eq!(client.hear().await, json!({"type": "waiting"}));
    assert_eq!(host.hear().await, json!({"type": "knock", "id": id}));
    client
}

/// A relay whose tokens say who shows them, and whether that is a host: `host alice`, `guest bob`.
fn by_token() -> TestRelay {
    async fn ask(request: JoinRequest) -> Result<Grant, Denial> {
        let mut grant = Grant::from(&request);
        if let Some(token) = &request.token {
            let (role, id) = token.reveal().split_once(' ').unwrap();
            grant.role = if role == "host" { Role::Host } else { Role::Guest };
            grant.id = Some(signaling_relay::protocol::names::PeerId::parse(id).unwrap());
            grant.is_identified = true;
        }
        Ok(grant)
    }
    TestRelay::in_memory_as(Config::default(), |builder| builder.authorizer(ask))
}

/// Shows a token, and says the room's password if it has one; the first message that comes back.
async fn show(client: &mut Client, token: &str) -> Value {
    client.say(json!({"type": "join", "room": "r", "token": token})).await;
    client.hear().await
}

async fn enter_with(relay: &TestRelay, token: &str) -> (Client, Value) {
    let mut client = relay.dial("/ws").await;
    let joined = show(&mut client, token).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    (client, joined)
}

#[tokio::test]
async fn a_member_that_is_kicked_hears_why_and_is_closed_and_the_others_hear_of_it() {
    let relay = TestRelay::start().await;
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    let mut carol = enter(&relay, "carol").await;
    for client in [&mut alice, &mut bob] {
        client.expect("peer_joined").await;
    }
    alice.say(json!({"type": "kick", "to": "bob", "message": "that was loud"})).await;
    let error = bob.expect_error("kicked").await;
    assert_eq!((&error["message"], &error["retryable"]), (&json!("that was loud"), &json!(false)));
    bob.expect_goodbye(1008).await;
    for client in [&mut alice, &mut carol] {
        assert_eq!(client.hear().await, json!({"type": "peer_left", "id": "bob", "reason": "kicked"}));
    }
    let mut bob = enter(&relay, "bob").await;
    alice.expect("peer_joined").await;
    alice.say(json!({"type": "kick", "to": "bob"})).await;
    bob.expect_error("kicked").await;
    bob.expect_goodbye(1008).await;
}

#[tokio::test]
async fn nothing_that_a_kicked_member_sends_afterwards_arrives() {
    let relay = TestRelay::start().await;
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    alice.say(json!({"type": "kick", "to": "bob"})).await;
    alice.expect("peer_left").await;
    // Its connection may be closed already.
    let _ = futures_util::SinkExt::send(&mut bob.socket, Message::text(r#"{"type":"message","data":1}"#)).await;
    bob.expect_close_code(1008).await;
    alice.expect_nothing().await;
}

#[tokio::test]
async fn who_comes_to_a_locked_room_waits_until_the_host_lets_it_in() {
    let relay = TestRelay::start().await;
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    alice.say(json!({"type": "lock", "locked": true})).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.hear().await, json!({"type": "room", "locked": true}));
    }
    let mut carol = relay.dial("/ws").await;
    carol.say(json!({"type": "join", "room": "r", "id": "carol", "name": "Carol"})).await;
    assert_eq!(carol.hear().await, json!({"type": "waiting"}));
    assert_eq!(alice.hear().await, json!({"type": "knock", "id": "carol", "name": "Carol"}));
    bob.expect_nothing().await;

    for message in [
        json!({"type": "message", "data": 1}),
        json!({"type": "offer", "sdp": "v=0", "to": "alice"}),
        json!({"type": "lock", "locked": false}),
    ] {
        carol.say(message).await;
        carol.expect_error("not_joined").await;
    }
    carol.say(json!({"type": "join", "room": "other"})).await;
    carol.expect_error("already_joined").await;
    alice.say(json!({"type": "message", "data": "for those inside"})).await;
    bob.expect("message").await;
    carol.expect_nothing().await;

    alice.say(json!({"type": "admit", "to": "carol"})).await;
    let joined = carol.hear().await;
    assert_eq!((&joined["type"], &joined["id"], &joined["host"]), (&json!("joined"), &json!("carol"), &json!("alice")));
    assert_eq!((&joined["locked"], joined.get("password")), (&json!(true), None));
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.hear().await, json!({"type": "peer_joined", "id": "carol", "name": "Carol"}));
    }
    carol.say(json!({"type": "message", "data": "hello"})).await;
    for client in [&mut alice, &mut bob] {
        assert_eq!(client.expect("message").await["from"], "carol");
    }
    alice.expect_nothing().await;
}

#[tokio::test]
async fn who_is_turned_away_may_go_elsewhere_unless_its_url_names_the_room() {
    let relay = TestRelay::start().await;
    let mut alice = locked_in(&relay).await;
    let mut bob = knock(&relay, &mut alice, "bob").await;
    alice.say(json!({"type": "deny", "to": "bob"})).await;
    let error = bob.expect_error("denied").await;
    assert_eq!((&error["ref"], &error["retryable"]), (&json!("j"), &json!(false)));
    bob.join("elsewhere").await;

    let mut carol = relay.dial("/?room=r&id=carol").await;
    carol.expect("waiting").await;
    alice.expect("knock").await;
    alice.say(json!({"type": "deny", "to": "carol"})).await;
    carol.expect_error("denied").await;
    carol.expect_goodbye(1008).await;

    let mut dave = relay.dial("/?room=r&id=dave").await;
    dave.expect("waiting").await;
    alice.expect("knock").await;
    alice.say(json!({"type": "admit", "to": "dave"})).await;
    dave.expect_joined().await;
    alice.expect("peer_joined").await;
    alice.expect_nothing().await;
}

#[tokio::test]
async fn those_who_wait_enter_in_their_order_when_the_room_is_unlocked_as_long_as_there_is_room() {
    let relay = TestRelay::start_with(Config { room_capacity: 3, ..Config::default() }).await;
    let mut alice = locked_in(&relay).await;
    let mut waiting = Vec::new();
    for id in ["c", "b", "a"] {
        waiting.push(knock(&relay, &mut alice, id).await);
    }
    alice.say(json!({"type": "lock", "locked": false})).await;
    assert_eq!(alice.hear().await, json!({"type": "room", "locked": false}));
    for id in ["c", "b"] {
        assert_eq!(alice.hear().await, json!({"type": "peer_joined", "id": id}));
    }
    assert_eq!(alice.hear().await, json!({"type": "knock_gone", "id": "a"}));
    let joined = waiting[0].expect("joined").await;
    assert_eq!((&joined["peers"], joined.get("locked")), (&json!([{"id": "alice"}]), None));
    waiting[0].expect("peer_joined").await;
    assert_eq!(waiting[1].expect("joined").await["peers"], json!([{"id": "alice"}, {"id": "c"}]));
    assert_eq!(waiting[2].expect_error("room_full").await["retryable"], true);
    waiting[2].join("elsewhere").await;
}

#[tokio::test]
async fn the_host_hears_when_one_who_waits_gives_up() {
    let relay = TestRelay::start().await;
    let mut alice = locked_in(&relay).await;
    let mut bob = knock(&relay, &mut alice, "bob").await;
    bob.say(json!({"type": "leave"})).await;
    assert_eq!(alice.hear().await, json!({"type": "knock_gone", "id": "bob"}));
    bob.say(json!({"type": "leave"})).await;
    bob.expect_error("not_joined").await;
    bob.join("elsewhere").await;

    knock(&relay, &mut alice, "carol").await.close().await;
    assert_eq!(alice.hear().await, json!({"type": "knock_gone", "id": "carol"}));
    drop(knock(&relay, &mut alice, "dave").await);
    assert_eq!(alice.hear().await, json!({"type": "knock_gone", "id": "dave"}));
    for kind in ["admit", "deny"] {
        alice.say(json!({"type": kind, "to": "dave"})).await;
        assert_eq!(alice.expect_error("peer_not_found").await["to"], "dave");
    }
}

#[tokio::test]
async fn only_the_host_may_do_any_of_that() {
    let relay = TestRelay::start().await;
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    let commands = [
        json!({"type": "kick", "to": "alice", "ref": "x"}),
        json!({"type": "lock", "locked": true, "ref": "x"}),
        json!({"type": "admit", "to": "carol", "ref": "x"}),
        json!({"type": "deny", "to": "carol", "ref": "x"}),
        json!({"type": "make_host", "to": "bob", "ref": "x"}),
    ];
    let mut stranger = relay.dial("/ws").await;
    for command in &commands {
        bob.say(command.clone()).await;
        let error = bob.expect_error("not_host").await;
        assert_eq!((&error["ref"], &error["retryable"]), (&json!("x"), &json!(false)), "{command}");
        stranger.say(command.clone()).await;
        stranger.expect_error("not_joined").await;
    }
    alice.expect_nothing().await;
    for command in ["kick", "make_host", "admit", "deny"] {
        alice.say(json!({"type": command, "to": "nobody"})).await;
        assert_eq!(alice.expect_error("peer_not_found").await["to"], "nobody");
    }
    alice.say(json!({"type": "kick", "to": "alice"})).await;
    alice.expect_error("peer_not_found").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn what_lacks_a_field_or_has_a_wrong_one_is_a_bad_message() {
    let relay = TestRelay::start().await;
    let mut alice = enter(&relay, "alice").await;
    for message in [
        json!({"type": "kick"}),
        json!({"type": "kick", "to": 1}),
        json!({"type": "kick", "to": "bob", "message": 1}),
        json!({"type": "kick", "to": "bob", "message": "x".repeat(limits::KICK_MESSAGE_BYTES + 1)}),
        json!({"type": "lock"}),
        json!({"type": "lock", "locked": "true"}),
        json!({"type": "admit"}),
        json!({"type": "deny", "to": null}),
        json!({"type": "make_host"}),
        json!({"type": "join", "room": "r", "password": 1}),
        json!({"type": "join", "room": "r", "password": "x".repeat(limits::PASSWORD_BYTES + 1)}),
    ] {
        alice.say(message).await;
        alice.expect_error("bad_message").await;
    }
    for kind in ["room", "waiting", "knock", "knock_gone"] {
        alice.say(json!({"type": kind})).await;
        alice.expect_error("unknown_type").await;
    }
}

#[tokio::test]
async fn sixteen_may_wait_and_the_next_one_is_told_to_come_later() {
    let relay = TestRelay::start().await;
    let mut alice = locked_in(&relay).await;
    let mut waiting = Vec::new();
    for n in 0..limits::KNOCKS {
        waiting.push(knock(&relay, &mut alice, &format!("w{n}")).await);
    }
    let mut late = relay.dial("/ws").await;
    late.say(json!({"type": "join", "room": "r", "id": "late"})).await;
    assert_eq!(late.expect_error("room_full").await["retryable"], true);
    let mut late_by_url = relay.dial("/?room=r").await;
    late_by_url.expect_error("room_full").await;
    late_by_url.expect_goodbye(1013).await;
    drop(waiting.remove(3));
    assert_eq!(alice.hear().await, json!({"type": "knock_gone", "id": "w3"}));
    late.say(json!({"type": "join", "room": "r", "id": "late"})).await;
    late.expect("waiting").await;
    alice.expect("knock").await;
}

#[tokio::test]
async fn an_id_is_taken_inside_and_outside() {
    let relay = TestRelay::start().await;
    let mut alice = locked_in(&relay).await;
    let _bob = knock(&relay, &mut alice, "bob").await;
    let mut other = relay.dial("/ws").await;
    for id in ["alice", "bob"] {
        other.say(json!({"type": "join", "room": "r", "id": id})).await;
        other.expect_error("id_taken").await;
    }
    alice.expect_nothing().await;
}

#[tokio::test]
async fn a_full_room_lets_nobody_in_and_those_who_wait_go_on_waiting() {
    let relay = TestRelay::start_with(Config { room_capacity: 2, ..Config::default() }).await;
    let (mut alice, bob) = alice_and_bob(&relay).await;
    alice.say(json!({"type": "lock", "locked": true})).await;
    alice.expect("room").await;
    let mut carol = knock(&relay, &mut alice, "carol").await;
    alice.say(json!({"type": "admit", "to": "carol"})).await;
    let error = alice.expect_error("room_full").await;
    assert_eq!((&error["to"], &error["retryable"]), (&json!("carol"), &json!(true)));
    carol.expect_nothing().await;
    bob.close().await;
    alice.expect("peer_left").await;
    alice.say(json!({"type": "admit", "to": "carol"})).await;
    carol.expect_joined().await;
}

#[tokio::test]
async fn the_next_host_hears_the_knocks_that_wait() {
    let relay = TestRelay::start().await;
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    alice.say(json!({"type": "lock", "locked": true})).await;
    alice.expect("room").await;
    bob.expect("room").await;
    let mut carol = knock(&relay, &mut alice, "carol").await;
    let _dave = knock(&relay, &mut alice, "dave").await;
    drop(alice);
    bob.expect("peer_left").await;
    assert_eq!(bob.hear().await, json!({"type": "host", "id": "bob"}));
    for id in ["carol", "dave"] {
        assert_eq!(bob.hear().await, json!({"type": "knock", "id": id}));
    }
    bob.say(json!({"type": "admit", "to": "carol"})).await;
    assert_eq!(carol.expect_joined().await["host"], "bob");
    bob.expect("peer_joined").await;
    bob.say(json!({"type": "make_host", "to": "carol"})).await;
    assert_eq!(carol.hear().await, json!({"type": "host", "id": "carol"}));
    assert_eq!(carol.hear().await, json!({"type": "knock", "id": "dave"}));
    bob.expect("host").await;
    bob.expect_nothing().await;
}

#[tokio::test]
async fn when_the_room_empties_those_who_wait_are_turned_away_and_everything_is_as_at_first() {
    let relay = TestRelay::start().await;
    let mut alice = relay.dial("/ws").await;
    alice.say(json!({"type": "join", "room": "r", "id": "alice", "password": "sesame"})).await;
    assert_eq!(alice.expect("joined").await["password"], true);
    alice.say(json!({"type": "lock", "locked": true})).await;
    alice.expect("room").await;
    let mut bob = relay.dial("/ws").await;
    bob.say(json!({"type": "join", "room": "r", "id": "bob", "password": "sesame"})).await;
    bob.expect("waiting").await;
    let mut carol = relay.dial("/ws").await;
    carol.say(json!({"type": "join", "room": "r", "id": "carol", "password": "sesame"})).await;
    carol.expect("waiting").await;
    alice.close().await;
    bob.expect_error("denied").await;
    carol.expect_error("denied").await;
    assert_eq!(relay.relay.rooms(), 0);
    let joined = bob.join("r").await;
    assert_eq!((joined.get("locked"), joined.get("password")), (None, None));
    carol.join("r").await;
}

/// The next message, however long it takes: pings are answered meanwhile.
async fn eventually(client: &mut Client) -> Value {
    loop {
        match timeout(Duration::from_secs(600), client.socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("no message but {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_let_in_within_two_minutes_is_turned_away() {
    let relay = TestRelay::in_memory(Config::default());
    let mut alice = locked_in(&relay).await;
    let start = Instant::now();
    let mut bob = knock(&relay, &mut alice, "bob").await;
    let mut carol = relay.dial("/?room=r&id=carol").await;
    carol.expect("waiting").await;
    alice.expect("knock").await;
    let (denied, too, gone) = tokio::join!(eventually(&mut bob), eventually(&mut carol), eventually(&mut alice));
    assert_eq!((&denied["code"], &denied["ref"], &too["code"]), (&json!("denied"), &json!("j"), &json!("denied")));
    let waited = start.elapsed();
    assert!(waited >= limits::KNOCK_DEADLINE && waited < limits::KNOCK_DEADLINE + Duration::from_secs(1), "{waited:?}");
    assert_eq!(gone["type"], "knock_gone");
    alice.expect("knock_gone").await;
    carol.expect_goodbye(1008).await;
    bob.join("elsewhere").await;
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_restarts_tells_those_who_wait_that_and_nothing_else() {
    let relay = TestRelay::in_memory(Config::default());
    let mut alice = locked_in(&relay).await;
    let mut bob = knock(&relay, &mut alice, "bob").await;
    let ended = async {
        bob.expect("goaway").await;
        bob.expect_goodbye(1012).await;
    };
    tokio::join!(relay.relay.shutdown(Shutdown::Restart), ended, alice.expect_goodbye(1012));
    assert_eq!(relay.relay.rooms(), 0);
}

#[tokio::test]
async fn a_host_may_hand_over_to_another_until_that_one_leaves() {
    let relay = TestRelay::start().await;
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    let mut carol = enter(&relay, "carol").await;
    for client in [&mut alice, &mut bob] {
        client.expect("peer_joined").await;
    }
    alice.say(json!({"type": "make_host", "to": "carol"})).await;
    for client in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(client.hear().await, json!({"type": "host", "id": "carol"}));
    }
    alice.say(json!({"type": "lock", "locked": true})).await;
    alice.expect_error("not_host").await;
    let mut dave = relay.dial("/ws").await;
    assert_eq!(dave.join("r").await["host"], "carol");
    carol.close().await;
    for client in [&mut bob, &mut dave] {
        while client.hear().await != json!({"type": "host", "id": "alice"}) {}
    }
}

#[tokio::test]
async fn who_has_the_role_is_the_host_whenever_it_comes_and_walks_into_a_locked_room() {
    let relay = by_token();
    let mut guest = enter(&relay, "guest").await;
    guest.say(json!({"type": "lock", "locked": true})).await;
    guest.expect("room").await;
    let _outside = knock(&relay, &mut guest, "outside").await;
    let (mut teacher, joined) = enter_with(&relay, "host teacher").await;
    assert_eq!((&joined["host"], &joined["locked"]), (&json!("teacher"), &json!(true)));
    assert_eq!(teacher.hear().await, json!({"type": "knock", "id": "outside"}));
    assert_eq!(guest.hear().await, json!({"type": "peer_joined", "id": "teacher", "verified": true}));
    assert_eq!(guest.hear().await, json!({"type": "host", "id": "teacher"}));
    guest.say(json!({"type": "lock", "locked": false})).await;
    guest.expect_error("not_host").await;

    // The oldest of those with the role, although another one comes.
    let (mut other, joined) = enter_with(&relay, "host other").await;
    assert_eq!(joined["host"], "teacher");
    other.say(json!({"type": "make_host", "to": "other"})).await;
    other.expect_error("not_host").await;
    for client in [&mut teacher, &mut guest] {
        client.expect("peer_joined").await;
    }

    // A guest who was chosen counts as much as the one who chose it; who has the role may take that back.
    teacher.say(json!({"type": "make_host", "to": "guest"})).await;
    for client in [&mut teacher, &mut other, &mut guest] {
        assert_eq!(client.hear().await, json!({"type": "host", "id": "guest"}));
    }
    assert_eq!(guest.hear().await["type"], "knock");
    teacher.say(json!({"type": "lock", "locked": false})).await;
    teacher.expect_error("not_host").await;
    other.say(json!({"type": "make_host", "to": "other"})).await;
    for client in [&mut teacher, &mut other, &mut guest] {
        assert_eq!(client.hear().await, json!({"type": "host", "id": "other"}));
    }
    drop(other);
    // The guest was chosen as well, before.
    for client in [&mut teacher, &mut guest] {
        client.expect("peer_left").await;
        assert_eq!(client.hear().await, json!({"type": "host", "id": "guest"}));
    }
}

#[tokio::test]
async fn a_guest_who_was_chosen_by_a_guest_gives_way_to_the_role() {
    let relay = by_token();
    let (mut alice, mut bob) = alice_and_bob(&relay).await;
    alice.say(json!({"type": "make_host", "to": "bob"})).await;
    bob.expect("host").await;
    let (_teacher, joined) = enter_with(&relay, "host teacher").await;
    assert_eq!(joined["host"], "teacher");
}

#[tokio::test]
async fn one_who_waits_with_the_id_of_a_person_who_walks_in_has_to_choose_another() {
    let relay = by_token();
    let mut alice = locked_in(&relay).await;
    let mut impostor = knock(&relay, &mut alice, "teacher").await;
    let (_teacher, _) = enter_with(&relay, "host teacher").await;
    impostor.expect_error("denied").await;
    assert_eq!(alice.hear().await, json!({"type": "knock_gone", "id": "teacher"}));
    assert_eq!(alice.hear().await, json!({"type": "peer_joined", "id": "teacher", "verified": true}));
}

#[tokio::test]
async fn a_person_whose_connection_is_lost_takes_its_own_place_and_nobody_takes_it_from_a_person_that_is_there() {
    let relay = by_token();
    let (mut alice, _) = enter_with(&relay, "host alice").await;
    let mut bob = relay.dial("/ws").await;
    bob.say(json!({"type": "join", "room": "r", "token": "guest bob", "resume": true})).await;
    let joined = bob.hear().await;
    alice.expect("peer_joined").await;
    let mut second = relay.dial("/ws").await;
    assert_eq!(show(&mut second, "guest bob").await["code"], "id_taken");
    drop(bob);
    assert_eq!(alice.hear().await, json!({"type": "peer_away", "id": "bob"}));
    let mut anybody = relay.dial("/ws").await;
    anybody.say(json!({"type": "join", "room": "r", "id": "bob"})).await;
    assert_eq!(anybody.hear().await["code"], "id_taken", "not the same person");
    assert_eq!(show(&mut second, "guest bob").await["type"], "joined");
    assert_eq!(alice.hear().await, json!({"type": "peer_left", "id": "bob", "reason": "timeout"}));
    assert_eq!(alice.hear().await, json!({"type": "peer_joined", "id": "bob", "verified": true}));
    let resume = json!({"type": "resume", "token": joined["resume"]["token"], "received": 1});
    anybody.say(resume).await;
    assert_eq!(anybody.hear().await["code"], "resume_failed");
}

#[tokio::test]
async fn a_person_who_was_kicked_stays_out_until_the_room_is_empty() {
    let relay = by_token();
    let (mut teacher, _) = enter_with(&relay, "host teacher").await;
    let (mut bully, _) = enter_with(&relay, "guest bully").await;
    teacher.expect("peer_joined").await;
    teacher.say(json!({"type": "kick", "to": "bully"})).await;
    teacher.expect("peer_left").await;
    bully.expect_error("kicked").await;
    bully.expect_goodbye(1008).await;

    let mut bully = relay.dial("/ws").await;
    for token in ["guest bully", "host bully"] {
        let error = show(&mut bully, token).await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("denied"), &json!(false)));
    }
    let mut by_url = relay.dial("/?room=r&token=guest%20bully").await;
    by_url.expect_error("denied").await;
    by_url.expect_goodbye(1008).await;
    teacher.expect_nothing().await;

    teacher.close().await;
    assert_eq!(show(&mut bully, "guest bully").await["type"], "joined");
}

#[tokio::test]
async fn a_person_who_is_kicked_while_away_does_not_come_in_by_a_knock_either() {
    let relay = by_token();
    let (mut teacher, _) = enter_with(&relay, "host teacher").await;
    let mut bully = relay.dial("/ws").await;
    bully.say(json!({"type": "join", "room": "r", "token": "guest bully", "resume": true})).await;
    bully.expect("joined").await;
    teacher.expect("peer_joined").await;
    teacher.say(json!({"type": "lock", "locked": true})).await;
    teacher.expect("room").await;
    drop(bully);
    teacher.expect("peer_away").await;
    let mut knocks = relay.dial("/ws").await;
    assert_eq!(show(&mut knocks, "guest bully").await["type"], "waiting");
    teacher.expect("knock").await;
    teacher.say(json!({"type": "kick", "to": "bully"})).await;
    assert_eq!(teacher.hear().await, json!({"type": "peer_left", "id": "bully", "reason": "kicked"}));
    assert_eq!(teacher.hear().await, json!({"type": "knock_gone", "id": "bully"}));
    knocks.expect_error("denied").await;
    teacher.say(json!({"type": "lock", "locked": false})).await;
    teacher.expect("room").await;
    teacher.expect_nothing().await;
}

/// Joins the room `r` with a password; the first message that comes back.
async fn say_password(client: &mut Client, password: &str) -> Value {
    client.say(json!({"type": "join", "room": "r", "password": password})).await;
    client.hear().await
}

#[tokio::test]
async fn the_first_one_in_sets_the_password_and_the_others_must_know_it() {
    let relay = TestRelay::start().await;
    let mut alice = relay.dial("/ws").await;
    let joined = say_password(&mut alice, "sesame").await;
    assert_eq!((&joined["password"], joined.get("locked")), (&json!(true), None));
    let mut bob = relay.dial("/ws").await;
    for wrong in ["Sesame", "sesame ", "s", ""] {
        let error = say_password(&mut bob, wrong).await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("wrong_password"), &json!(false)), "{wrong:?}");
    }
    bob.say(json!({"type": "join", "room": "r"})).await;
    bob.expect_error("wrong_password").await;
    let mut by_url = relay.dial("/?room=r&password=sesame").await;
    by_url.expect_error("wrong_password").await;
    by_url.expect_goodbye(1008).await;
    alice.expect_nothing().await;
    assert_eq!(say_password(&mut bob, "sesame").await["password"], true);

    let mut elsewhere = relay.dial("/ws").await;
    assert_eq!(elsewhere.join("open").await.get("password"), None);
    elsewhere.say(json!({"type": "leave"})).await;
    let _first = relay.join("open").await;
    elsewhere.say(json!({"type": "join", "room": "open", "password": "any"})).await;
    assert_eq!(elsewhere.expect("joined").await.get("password"), None, "the first one in gave none");
}

#[tokio::test]
async fn the_password_is_asked_before_the_knock() {
    let relay = TestRelay::start().await;
    let mut alice = relay.dial("/ws").await;
    say_password(&mut alice, "sesame").await;
    alice.say(json!({"type": "lock", "locked": true})).await;
    alice.expect("room").await;
    let mut bob = relay.dial("/ws").await;
    assert_eq!(say_password(&mut bob, "wrong").await["code"], "wrong_password");
    alice.expect_nothing().await;
    assert_eq!(say_password(&mut bob, "sesame").await["type"], "waiting");
    alice.expect("knock").await;
}

#[tokio::test]
async fn the_bare_url_is_refused_with_a_status_where_the_lobby_has_a_password() {
    let relay = TestRelay::start().await;
    let mut alice = relay.dial("/ws").await;
    alice.say(json!({"type": "join", "room": "lobby", "password": "sesame"})).await;
    alice.expect_joined().await;
    assert_eq!(relay.refusal("/").await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn after_ten_wrong_passwords_in_a_minute_even_the_right_one_is_refused_for_a_while() {
    let relay = TestRelay::in_memory(Config::default());
    let mut alice = relay.dial("/ws").await;
    say_password(&mut alice, "sesame").await;
    let mut guesser = relay.dial("/?room=other").await;
    guesser.expect_joined().await;
    guesser.say(json!({"type": "leave"})).await;
    for n in 0..limits::WRONG_PASSWORDS {
        assert_eq!(say_password(&mut guesser, &n.to_string()).await["code"], "wrong_password");
    }
    let mut honest = relay.dial("/ws").await;
    for client in [&mut guesser, &mut honest] {
        let error = say_password(client, "sesame").await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("rate_limited"), &json!(true)));
    }
    alice.expect_nothing().await;
    guesser.say(json!({"type": "join", "room": "elsewhere"})).await;
    guesser.expect_joined().await;
    guesser.say(json!({"type": "leave"})).await;
    let waits = async {
        // Both answer pings meanwhile.
        let read = async |client: &mut Client| {
            let _ = timeout(limits::WRONG_PASSWORDS_FOR, client.socket.next()).await;
        };
        for _ in 0..8 {
            tokio::join!(read(&mut alice), read(&mut guesser));
        }
    };
    waits.await;
    assert_eq!(say_password(&mut guesser, "sesame").await["type"], "joined");
}

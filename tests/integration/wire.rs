//! What the relay says and hears, through real sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use serde_json::json;
use signaling_relay::{Config, Denial, Grant, JoinRequest, RelayEvent};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::harness::{TestRelay, refusal, soon};

#[tokio::test]
async fn the_bare_url_joins_the_lobby_at_connect_and_a_third_is_refused_at_the_upgrade() {
    let relay = TestRelay::start().await;
    let mut one = relay.dial("/").await;
    assert_eq!(one.expect_joined().await["room"], "lobby");
    let mut two = relay.dial("/").await;
    assert_eq!(two.expect_joined().await["peers"], json!([{"id": one.id}]));
    one.expect("peer_joined").await;
    let (status, text) = relay.refusal("/").await;
    assert_eq!(status, 503);
    assert!(text.contains("full"), "{text}");
    one.expect_nothing().await;
    drop(two);
    one.expect("peer_left").await;
    relay.dial("/").await.expect_joined().await;
}

#[tokio::test]
async fn a_room_in_the_url_is_joined_at_connect() {
    let relay = TestRelay::start().await;
    let mut one = relay.dial("/?room=%E4%BC%9A%E8%AE%AE+1&name=J%C3%BCrgen&id=tab_1&utm=ignored").await;
    let joined = one.expect_joined().await;
    assert_eq!(
        joined,
        json!({
            "type": "joined", "id": "tab_1", "name": "Jürgen", "room": "会议 1", "host": "tab_1", "peers": [],
            "iceServers": [], "maxMessageBytes": 65536,
        })
    );
    let mut other = relay.dial("/ws").await;
    assert_eq!(other.join("会议 1").await["peers"], json!([{"id": "tab_1", "name": "Jürgen"}]));
}

#[tokio::test]
async fn nobody_takes_an_id_that_the_relay_made_even_when_its_owner_is_gone() {
    let relay = TestRelay::start().await;
    let (gone, mut stays) = relay.pair("r").await;
    let id = gone.id.clone();
    assert!(id.starts_with("r-") && id.len() == 24, "{id}");
    gone.close().await;
    stays.expect("peer_left").await;
    for id in [&id, &stays.id, &format!("s-{}", &id[2..])] {
        let mut thief = relay.dial("/ws").await;
        thief.say(json!({"type": "join", "room": "r", "id": id})).await;
        let error = thief.expect_error("bad_id").await;
        assert!(error["message"].as_str().unwrap().contains("by the relay alone"), "{error}");
        let mut thief = relay.dial(&format!("/?room=r&id={id}")).await;
        thief.expect_error("bad_id").await;
        thief.expect_close_code(1008).await;
    }
    // Many programs name themselves so.
    relay.dial("/ws").await.join_with_id("r", &"0f".repeat(16)).await;
}

#[tokio::test]
async fn ws_joins_no_room_until_the_client_says_so() {
    let relay = TestRelay::start().await;
    let mut lobby = relay.dial("/").await;
    lobby.expect_joined().await;
    let mut peer = relay.dial("/ws?room=ignored").await;
    peer.say(json!({"type": "offer", "sdp": "v=0"})).await;
    peer.expect_error("not_joined").await;
    peer.join("elsewhere").await;
    lobby.expect_nothing().await;
}

#[tokio::test]
async fn a_refused_room_in_the_url_is_told_why_and_closed() {
    let relay = TestRelay::start_with(Config { room_capacity: 2, ..Config::default() }).await;
    let _two = relay.pair("full").await;
    for (path, code, close) in [
        ("/?room=", "bad_room", 1008),
        ("/?room=a%00b", "bad_room", 1008),
        ("/?room=%ff", "bad_room", 1008),
        ("/?room=r&id=no%20spaces", "bad_id", 1008),
        ("/?room=r&room=s", "bad_message", 1008),
        ("/?room=r&name=a%0ab", "bad_message", 1008),
        ("/?room=full", "room_full", 1013),
    ] {
        let mut peer = relay.dial(path).await;
        let error = peer.expect_error(code).await;
        assert_eq!(error["retryable"], code == "room_full", "{error}");
        peer.expect_close_code(close).await;
    }
}

#[tokio::test]
async fn a_refused_bare_url_is_an_http_error() {
    let relay = TestRelay::start().await;
    let mut one = relay.dial("/?id=me").await;
    one.expect_joined().await;
    assert_eq!(relay.refusal("/?id=me").await.0, 409);
    assert_eq!(relay.refusal("/?id=no+spaces").await.0, 400);
    assert_eq!(relay.refusal("/?name=a%00b").await.0, 400);
    one.expect_nothing().await;
}

#[tokio::test]
async fn a_newcomer_learns_who_is_there_oldest_first_and_the_others_learn_of_the_newcomer() {
    let relay = TestRelay::start().await;
    let mut one = relay.dial("/?room=r&name=One").await;
    one.expect_joined().await;
    let mut two = relay.dial("/?room=r").await;
    two.expect_joined().await;
    let mut three = relay.dial("/ws").await;
    three.say(json!({"type": "join", "room": "r", "name": "Three"})).await;
    let joined = three.expect_joined().await;
    assert_eq!(joined["peers"], json!([{"id": one.id, "name": "One"}, {"id": two.id}]));
    assert_eq!(joined["host"], json!(one.id));
    assert_eq!(one.expect("peer_joined").await, json!({"type": "peer_joined", "id": two.id}));
    let came = json!({"type": "peer_joined", "id": three.id, "name": "Three"});
    assert_eq!(one.expect("peer_joined").await, came);
    assert_eq!(two.expect("peer_joined").await, came);
    assert_eq!(one.id.len(), 24, "an id of 128 bits");
    assert_ne!(one.id, two.id);
}

#[tokio::test]
async fn signals_go_to_one_or_to_all_others_and_never_back() {
    let relay = TestRelay::start().await;
    let (mut one, mut two) = relay.pair("r").await;
    let mut three = relay.join("r").await;
    one.expect("peer_joined").await;
    two.expect("peer_joined").await;
    let candidate = json!({"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": null});
    for message in [
        json!({"type": "offer", "sdp": "v=0\r\n"}),
        json!({"type": "answer", "sdp": ""}),
        json!({"type": "offer_ice", "iceCandidate": candidate}),
        json!({"type": "answer_ice", "iceCandidate": null}),
        json!({"type": "message", "data": {"muted": true}}),
    ] {
        one.say(message.clone()).await;
        let mut expected = message.clone();
        expected["from"] = json!(one.id);
        assert_eq!(two.hear().await, expected);
        assert_eq!(three.hear().await, expected);

        let mut targeted = message;
        targeted["to"] = json!(three.id);
        one.say(targeted.clone()).await;
        targeted["from"] = json!(one.id);
        assert_eq!(three.hear().await, targeted);
    }
    one.expect_nothing().await;
    two.expect_nothing().await;
}

#[tokio::test]
async fn nothing_crosses_into_a_room_from_those_who_are_elsewhere_left_or_never_joined() {
    let relay = TestRelay::start().await;
    let (mut one, mut two) = relay.pair("r").await;
    let mut elsewhere = relay.join("other").await;
    let mut gone = relay.join("r").await;
    gone.say(json!({"type": "leave"})).await;
    for member in [&mut one, &mut two] {
        member.expect("peer_joined").await;
        member.expect("peer_left").await;
    }
    let mut stranger = relay.dial("/ws").await;
    for message in [
        json!({"type": "offer", "sdp": ""}),
        json!({"type": "answer", "sdp": ""}),
        json!({"type": "offer_ice", "iceCandidate": null}),
        json!({"type": "answer_ice", "iceCandidate": null}),
        json!({"type": "message", "data": 1}),
    ] {
        let mut addressed = message.clone();
        addressed["to"] = json!(two.id);
        let mut forged = message.clone();
        forged["from"] = json!(one.id);
        for message in [message, addressed.clone(), forged] {
            gone.say(message.clone()).await;
            gone.expect_error("not_joined").await;
            stranger.say(message).await;
            stranger.expect_error("not_joined").await;
        }
        elsewhere.say(addressed).await;
        elsewhere.expect_error("peer_not_found").await;
    }
    one.expect_nothing().await;
    two.expect_nothing().await;
}

#[tokio::test]
async fn a_payload_passes_byte_for_byte_and_from_is_the_relays_word() {
    let relay = TestRelay::start().await;
    let (mut one, mut two) = relay.pair("r").await;
    one.say_text(r#"{ "from":"two", "x":[1.10, -0,1e400], "type":"message", "data":"\ud800\u0000é" }"#).await;
    assert_eq!(
        two.hear_text().await,
        format!(r#"{{"type":"message","from":"{}","x":[1.10, -0,1e400],"data":"\ud800\u0000é"}}"#, one.id)
    );
}

#[tokio::test]
async fn bad_input_of_every_kind_gets_its_code_and_the_connection_stays() {
    let relay = TestRelay::start_with(Config { room_capacity: 2, ..Config::default() }).await;
    let (mut one, mut two) = (relay.join("full").await, relay.dial("/ws").await);
    two.join_with_id("full", "two").await;
    one.expect("peer_joined").await;
    let mut peer = relay.dial("/ws").await;
    for (text, code) in [
        ("hello", "bad_json"),
        ("[]", "bad_json"),
        ("", "bad_json"),
        ("{}", "bad_message"),
        (r#"{"type":"offer"}"#, "bad_message"),
        (r#"{"type":"offer","sdp":1}"#, "bad_message"),
        (r#"{"type":"offer","type":"offer","sdp":""}"#, "bad_message"),
        (r#"{"type":"hello"}"#, "unknown_type"),
        (r#"{"type":"joined"}"#, "unknown_type"),
        (r#"{"type":"answer","sdp":""}"#, "not_joined"),
        (r#"{"type":"leave"}"#, "not_joined"),
        (r#"{"type":"join","room":""}"#, "bad_room"),
        (r#"{"type":"join","room":"r","id":"ü"}"#, "bad_id"),
        (r#"{"type":"join","room":"full"}"#, "room_full"),
        (r#"{"type":"join","room":"full","id":"two"}"#, "id_taken"),
    ] {
        peer.say_text(text).await;
        peer.expect_error(code).await;
    }
    peer.join("r").await;
    for (text, code) in
        [(r#"{"type":"join","room":"r"}"#, "already_joined"), (r#"{"type":"message","data":1}"#, "peer_not_found")]
    {
        peer.say_text(text).await;
        peer.expect_error(code).await;
    }
    let deep = format!(r#"{{"type":"message","data":{}{}}}"#, "[".repeat(32), "]".repeat(32));
    peer.say_text(&deep).await;
    peer.expect_error("bad_message").await;
    one.expect_nothing().await;
    peer.expect_nothing().await;
}

#[tokio::test]
async fn an_error_repeats_the_ref_of_the_message_and_the_id_that_was_not_found() {
    let relay = TestRelay::start().await;
    let (mut one, elsewhere) = (relay.join("r").await, relay.join("elsewhere").await);
    one.say(json!({"type": "offer", "sdp": "", "to": elsewhere.id, "ref": "offer 1"})).await;
    let error = one.expect_error("peer_not_found").await;
    assert_eq!((&error["ref"], &error["to"]), (&json!("offer 1"), &json!(elsewhere.id)));
    one.say(json!({"type": "offer", "sdp": "", "to": "nobody"})).await;
    let error = one.expect_error("peer_not_found").await;
    assert_eq!((error.get("ref"), &error["to"]), (None, &json!("nobody")));
    for no_id in ["x\"\u{1f}", "", &"x".repeat(60_000)] {
        one.say(json!({"type": "offer", "sdp": "", "to": no_id})).await;
        assert_eq!(one.expect_error("peer_not_found").await.get("to"), None);
    }
    one.say(json!({"type": "leave", "ref": "x".repeat(65)})).await;
    assert_eq!(one.expect_error("bad_message").await.get("ref"), None);
}

#[tokio::test]
async fn who_leaves_hears_no_more_of_the_room_and_may_join_another() {
    let relay = TestRelay::start().await;
    let (mut one, mut two) = relay.pair("r").await;
    one.say(json!({"type": "leave"})).await;
    assert_eq!(two.expect("peer_left").await, json!({"type": "peer_left", "id": one.id, "reason": "left"}));
    assert_eq!(two.expect("host").await, json!({"type": "host", "id": two.id}));
    two.say(json!({"type": "message", "data": 1})).await;
    two.expect_error("peer_not_found").await;
    one.expect_nothing().await;
    assert_eq!(one.join("other").await["peers"], json!([]));
    one.expect_nothing().await;
}

#[tokio::test]
async fn a_connection_that_closes_or_breaks_leaves_exactly_once() {
    let relay = TestRelay::start().await;
    let (mut one, two) = relay.pair("r").await;
    let (id, three) = (two.id.clone(), relay.join("r").await);
    one.expect("peer_joined").await;
    two.close().await;
    assert_eq!(one.expect("peer_left").await, json!({"type": "peer_left", "id": id, "reason": "closed"}));
    let id = three.id.clone();
    drop(three);
    assert_eq!(one.expect("peer_left").await, json!({"type": "peer_left", "id": id, "reason": "closed"}));
    one.expect_nothing().await;
}

#[tokio::test]
async fn a_caller_who_starts_alone_reaches_the_callee_who_comes_later() {
    let relay = TestRelay::start().await;
    let mut caller = relay.dial("/").await;
    caller.expect_joined().await;
    caller.say_text(r#"{"type":"offer","sdp":"v=0"}"#).await;
    caller.say_text(r#"{"type":"offer_ice","iceCandidate":{"candidate":"a"}}"#).await;
    caller.say_text(r#"{"type":"offer_ice","iceCandidate":{"candidate":"b"}}"#).await;
    caller.expect_nothing().await;
    let mut callee = relay.dial("/").await;
    callee.expect_joined().await;
    assert_eq!(callee.expect("offer").await["from"], json!(caller.id));
    assert_eq!(callee.expect("offer_ice").await["iceCandidate"]["candidate"], "a");
    assert_eq!(callee.expect("offer_ice").await["iceCandidate"]["candidate"], "b");
    caller.expect("peer_joined").await;
    callee.say_text(r#"{"type":"answer","sdp":"v=0"}"#).await;
    caller.expect("answer").await;
    drop(callee);
    caller.expect("peer_left").await;
    let mut next = relay.dial("/").await;
    next.expect_joined().await;
    next.expect_nothing().await;
}

#[tokio::test]
async fn sixty_kibibytes_of_small_candidates_are_held_and_all_arrive() {
    let relay = TestRelay::start().await;
    let mut caller = relay.join("r").await;
    caller.say(json!({"type": "offer", "sdp": "v=0"})).await;
    let candidate = |n: usize| json!({"type": "offer_ice", "iceCandidate": {"candidate": format!("{n:030}")}});
    let count = 60 * 1024 / candidate(0).to_string().len();
    for n in 0..count {
        caller.say(candidate(n)).await;
    }
    caller.expect_nothing().await;
    let mut callee = relay.join("r").await;
    callee.expect("offer").await;
    for n in 0..count {
        assert_eq!(callee.hear().await["iceCandidate"]["candidate"], format!("{n:030}"));
    }
}

#[tokio::test]
async fn a_message_of_64_kib_passes_and_one_byte_more_closes_with_1009() {
    let relay = TestRelay::start().await;
    let (mut one, mut two) = relay.pair("r").await;
    let message = |bytes: usize| format!(r#"{{"type":"message","data":"{}"}}"#, "x".repeat(bytes - 28));
    one.say_text(&message(65_536)).await;
    assert_eq!(two.expect("message").await["data"].as_str().unwrap().len(), 65_536 - 28);
    one.say_text(&message(65_537)).await;
    one.expect_close_code(1009).await;
    assert_eq!(two.expect("peer_left").await["reason"], "policy");
}

#[tokio::test]
async fn the_largest_message_is_a_setting() {
    let relay = TestRelay::start_with(Config { max_message_bytes: 1024, ..Config::default() }).await;
    let mut one = relay.join("r").await;
    one.say(json!({"type": "message", "data": "x".repeat(2_000_000)})).await;
    one.expect_close_code(1009).await;
}

#[tokio::test]
async fn a_binary_message_closes_with_1003() {
    let relay = TestRelay::start().await;
    let (mut one, mut two) = relay.pair("r").await;
    one.socket.send(Message::binary(&b"{}"[..])).await.unwrap();
    one.expect_close_code(1003).await;
    assert_eq!(two.expect("peer_left").await["reason"], "policy");
}

#[tokio::test]
async fn a_text_that_is_not_utf_8_closes_with_1007() {
    let relay = TestRelay::start().await;
    let mut one = relay.join("r").await;
    let frame = Frame::message(&b"\"\xff\""[..], OpCode::Data(Data::Text), true);
    one.socket.send(Message::Frame(frame)).await.unwrap();
    one.expect_close_code(1007).await;
}

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_closes_with_1002() {
    let relay = TestRelay::start().await;
    let mut one = relay.join("r").await;
    let header = FrameHeader { rsv1: true, opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    one.socket.send(Message::Frame(Frame::from_payload(header, "{}".into()))).await.unwrap();
    one.expect_close_code(1002).await;
}

#[tokio::test]
async fn a_flood_is_told_rate_limited_and_then_closed_with_1008() {
    let relay = TestRelay::start_with(Config { message_rate: 10, ..Config::default() }).await;
    let (mut one, mut two) = relay.pair("r").await;
    for _ in 0..300 {
        one.say(json!({"type": "message", "data": 1, "ref": "m"})).await;
    }
    let error = one.expect_error("rate_limited").await;
    assert_eq!((&error["ref"], &error["retryable"]), (&json!("m"), &json!(true)));
    for _ in 0..300 {
        if one.socket.send(Message::text("{}")).await.is_err() {
            break;
        }
    }
    one.expect_close_code(1008).await;
    while two.hear().await["type"] == "message" {}
}

#[tokio::test]
async fn who_closes_is_answered_with_the_same_code() {
    let relay = TestRelay::start().await;
    let mut one = relay.join("r").await;
    one.socket.send(Message::Close(None)).await.unwrap();
    assert!(matches!(futures_util::StreamExt::next(&mut one.socket).await, Some(Ok(Message::Close(None)))));
    assert!(futures_util::StreamExt::next(&mut one.socket).await.is_none());
}

#[tokio::test]
async fn ice_servers_are_told_to_who_joins() {
    let servers = r#"[{"urls":["stun:stun.example:3478"]}]"#;
    let relay = TestRelay::start_with(Config { ice_servers: servers.parse().unwrap(), ..Config::default() }).await;
    let mut one = relay.dial("/ws").await;
    assert_eq!(one.join("r").await["iceServers"], json!([{"urls": ["stun:stun.example:3478"]}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stops_reading_is_cut_and_the_others_lose_nothing() {
    let relay = TestRelay::start_with(Config { byte_rate: 0, message_rate: 0, ..Config::default() }).await;
    let (mut sender, mut live) = relay.pair("r").await;
    let mut stalled = relay.join("r").await;
    sender.expect("peer_joined").await;
    live.expect("peer_joined").await;
    let data = "x".repeat(16 * 1024);
    let mut last_taken = Instant::now();
    let (mut sent, mut busy) = (0, 0);
    // Far less than the kernel would take in for one connection if it were let.
    while busy == 0 {
        assert!(sent < 100, "{sent} messages of 16 KiB and nobody noticed");
        sender.say(json!({"type": "message", "data": data, "number": sent, "ref": sent.to_string()})).await;
        assert_eq!(live.expect("message").await["number"], sent);
        sender.say(json!({"type": "?", "ref": "next"})).await;
        let mut answer = sender.expect("error").await;
        if answer["code"] == "peer_busy" {
            assert_eq!((&answer["to"], &answer["ref"]), (&json!(stalled.id), &json!(sent.to_string())), "{answer}");
            assert_eq!(answer["retryable"], true);
            busy += 1;
            answer = sender.expect("error").await;
        } else {
            last_taken = Instant::now();
        }
        assert_eq!(answer["ref"], "next");
        sent += 1;
    }
    assert_eq!(sender.expect("peer_left").await, json!({"type": "peer_left", "id": stalled.id, "reason": "slow"}));
    let elapsed = last_taken.elapsed();
    assert!((Duration::from_secs(4)..Duration::from_secs(8)).contains(&elapsed), "cut after {elapsed:?}");
    live.expect("peer_left").await;
    live.expect_nothing().await;
    // What it was told is whole and in order as far as it goes.
    for number in 0..4 {
        assert_eq!(stalled.expect("message").await["number"], number);
    }
}

#[tokio::test]
async fn the_subprotocol_is_agreed_on_with_those_who_offer_it() {
    let relay = TestRelay::start().await;
    for (offered, agreed) in [
        ("chat, signaling-relay", "signaling-relay"),
        ("signaling-relay", "signaling-relay"),
        ("chat", "chat"),
        ("a, b", "a"),
    ] {
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {offered}\r\n\r\n\u{88}\u{80}\0\0\0\0"
        );
        // A close frame comes right behind it, in Latin-1.
        let answer = relay.raw_bytes(&upgrade.chars().map(|char| char as u8).collect::<Vec<_>>()).await;
        let head = answer.to_lowercase();
        assert!(head.starts_with("http/1.1 101"), "{answer}");
        assert!(head.contains(&format!("\r\nsec-websocket-protocol: {agreed}\r\n")), "{offered}: {answer}");
        assert_eq!(head.matches("sec-websocket-protocol").count(), 1, "{offered}: {answer}");
    }
    assert!(relay.dial("/ws").await.response.headers().get("sec-websocket-protocol").is_none());
}

/// Lets nobody into some rooms.
async fn decide(request: JoinRequest) -> Result<Grant, Denial> {
    match (request.room.as_str(), request.name.as_ref().map(|name| name.as_str())) {
        ("closed", _) | ("lobby", Some("Mallory")) => Err(Denial::Unauthorized("not you".into())),
        ("later", _) | ("lobby", Some("Early")) => Err(Denial::Unavailable("the list is being written".into())),
        _ => Ok(Grant::from(&request)),
    }
}

#[tokio::test]
async fn whoever_decides_on_joins_is_told_by_error_and_close_or_by_http() {
    let relay = TestRelay::start_as(Config::default(), |builder| builder.authorizer(decide)).await;
    for (room, code, retryable, close) in
        [("closed", "unauthorized", false, 1008), ("later", "unavailable", true, 1013)]
    {
        let mut peer = relay.dial(&format!("/?room={room}")).await;
        assert_eq!(peer.expect_error(code).await["retryable"], retryable);
        peer.expect_close_code(close).await;
        let mut peer = relay.dial("/ws").await;
        peer.say(json!({"type": "join", "room": room, "ref": "j"})).await;
        assert_eq!(peer.expect_error(code).await["ref"], "j");
        peer.join("open").await;
    }
    assert_eq!(relay.refusal("/?name=Mallory").await, (401, "not you\n".into()));
    assert_eq!(relay.refusal("/?name=Early").await, (503, "the list is being written\n".into()));
    relay.dial("/?name=Alice").await.expect_joined().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_who_dial_the_bare_url_at_once_exactly_two_get_in() {
    let slowly = |request: JoinRequest| async move {
        tokio::task::yield_now().await;
        Ok(Grant::from(&request))
    };
    let relay = Arc::new(TestRelay::start_as(Config::default(), |builder| builder.authorizer(slowly)).await);
    let dial = |_| {
        let relay = Arc::clone(&relay);
        tokio::spawn(async move { relay.try_dial("/").await })
    };
    let (mut inside, mut refused) = (Vec::new(), 0);
    for dialled in (0..10).map(dial).collect::<Vec<_>>() {
        match dialled.await.unwrap() {
            Ok(peer) => inside.push(peer),
            other => {
                assert_eq!(refusal(other).0, 503);
                refused += 1;
            }
        }
    }
    assert_eq!((inside.len(), refused), (2, 8));
    for peer in &mut inside {
        peer.expect_joined().await;
    }
}

#[tokio::test]
async fn an_observer_hears_what_happens_in_its_order() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let observe = move |event: &RelayEvent| tell.send(event.clone()).unwrap();
    let relay = TestRelay::start_as(Config::default(), |builder| builder.observer(observe)).await;
    let mut peer = relay.dial("/?room=r&name=One&id=one").await;
    peer.expect_joined().await;
    peer.say(json!({"type": "leave"})).await;
    peer.join("s").await;
    peer.close().await;
    let mut events = Vec::new();
    while events.len() < 6 {
        events.push(soon("an event", told.recv()).await.unwrap());
    }
    let words: Vec<String> = events
        .iter()
        .map(|event| match event {
            RelayEvent::Connected { connection, address, .. } => format!("{connection} connected {}", address.unwrap()),
            RelayEvent::Joined { connection, room, name, .. } => {
                format!("{connection} joined {} as {:?}", room.as_str(), name.as_ref().map(|name| name.as_str()))
            }
            RelayEvent::Left { connection, room, reason, .. } => {
                format!("{connection} left {}: {reason:?}", room.as_str())
            }
            RelayEvent::Disconnected { connection, why } => format!("{connection} disconnected: {why}"),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        words,
        [
            "1 connected 127.0.0.1",
            "1 joined r as Some(\"One\")",
            "1 left r: Left",
            "1 joined s as None",
            "1 left s: Closed",
            "1 disconnected: closed by the peer",
        ]
    );
}

#[tokio::test]
async fn spellings_of_one_name_are_one_room_and_each_client_hears_its_own() {
    let relay = TestRelay::start().await;
    let mut one = relay.dial("/ws").await;
    one.say(json!({"type": "join", "room": " caf\u{e9} ", "name": "A\u{200b}na "})).await;
    assert_eq!(one.expect_joined().await["room"], " caf\u{e9} ");
    let mut other = relay.dial("/?room=cafe%CC%81&name=Bob").await;
    let joined = other.expect_joined().await;
    assert_eq!(joined["room"], "cafe\u{301}");
    assert_eq!(joined["peers"], json!([{"id": one.id, "name": "Ana"}]));
    assert_eq!(one.expect("peer_joined").await["name"], "Bob");
    let mut third = relay.dial("/ws").await;
    assert_eq!(third.join("caf\u{e9}").await["peers"].as_array().unwrap().len(), 2);
    assert_eq!(relay.dial("/ws").await.join("Caf\u{e9}").await["peers"], json!([]));
}

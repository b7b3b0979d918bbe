//! The wire of PeerJS, through real sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use signaling_relay::protocol::names::PeerId;
use signaling_relay::{Config, Denial, Grant, JoinRequest, RelayEvent, Shutdown, Wire, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, TestRelay, client, refusal, soon};
use crate::wires::observed;

/// Settings with this wire on.
fn on() -> Config {
    Config { wires: vec![Wire::PeerJs], ..Config::default() }
}

async fn relay() -> TestRelay {
    TestRelay::start_with(on()).await
}

/// The path of a client whose key is `peerjs`.
fn path(id: &str, token: &str) -> String {
    format!("/peerjs?key=peerjs&id={id}&token={token}&version=1.5.5")
}

impl TestRelay {
    /// A client that has its id, which is also its token.
    async fn peer(&self, id: &str) -> Client {
        let mut client = self.dial(&path(id, id)).await;
        client.expect_open().await;
        client
    }

    /// What a client at `path` is told that is not let in: the message, once it was closed.
    async fn turned_away(&self, path: &str) -> String {
        let mut client = self.dial(path).await;
        let said = client.hear().await;
        assert_eq!(said["type"], "ERROR", "{said}");
        client.expect_goodbye(1008).await;
        said["payload"]["msg"].as_str().unwrap().to_owned()
    }

    /// Asks for `path` as a page of `origin`.
    async fn fetch(&self, method: &str, path: &str, origin: Option<&str>) -> String {
        let origin = origin.map_or(String::new(), |origin| format!("Origin: {origin}\r\n"));
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{origin}\r\n")).await
    }
}

impl Client {
    async fn expect_open(&mut self) {
        assert_eq!(self.hear_text().await, r#"{"type":"OPEN"}"#);
    }

    /// Says something to an id.
    async fn tell(&mut self, kind: &str, dst: &str, payload: Value) {
        self.say(json!({"type": kind, "payload": payload, "dst": dst})).await;
    }

    /// The next message, which must be that.
    async fn expect_told(&mut self, kind: &str, src: &str, dst: &str, payload: Value) {
        let said = json!({"type": kind, "src": src, "dst": dst, "payload": payload});
        assert_eq!(self.hear().await, said);
    }

    async fn expect_expire(&mut self, src: &str, dst: &str) {
        assert_eq!(self.hear().await, json!({"type": "EXPIRE", "src": src, "dst": dst}));
    }

    /// Asserts that nothing waits to be read: the next that comes is what it says to itself.
    async fn expect_silence_as(&mut self, id: &str) {
        self.say(json!({"type": "LEAVE", "dst": id})).await;
        assert_eq!(self.hear().await, json!({"type": "LEAVE", "src": id, "dst": id}));
    }
}

/// `count` numbered messages to `dst`, of about `bytes` each.
fn numbered(dst: &str, count: usize, bytes: usize) -> Vec<String> {
    let padding = "x".repeat(bytes);
    let text = |number| json!({"type": "CANDIDATE", "payload": {"n": number, "p": padding}, "dst": dst}).to_string();
    (0..count).map(text).collect()
}

/// Hears `count` numbered messages in their order, and nothing else.
async fn hear_numbers(client: &mut Client, count: usize) {
    for next in 0..count {
        let heard = client.hear().await;
        assert_eq!(heard["payload"]["n"], next, "in order, and none is missing");
    }
}

#[tokio::test]
async fn what_is_said_reaches_the_one_with_the_id_under_the_senders_own() {
    let relay = relay().await;
    let (mut ana, mut bob, mut eve) = (relay.peer("ana").await, relay.peer("bob").await, relay.peer("eve").await);
    ana.tell("OFFER", "bob", json!({"sdp": "o"})).await;
    bob.expect_told("OFFER", "ana", "bob", json!({"sdp": "o"})).await;
    bob.tell("ANSWER", "ana", json!(null)).await;
    ana.expect_told("ANSWER", "bob", "ana", json!(null)).await;
    // In another one's name.
    eve.say(json!({"type": "CANDIDATE", "src": "bob", "dst": "ana", "payload": 1, "more": 2})).await;
    ana.expect_told("CANDIDATE", "eve", "ana", json!(1)).await;
    eve.say(json!({"type": "LEAVE", "src": "bob", "dst": "ana"})).await;
    assert_eq!(ana.hear().await, json!({"type": "LEAVE", "src": "eve", "dst": "ana"}));
    for (client, id) in [(&mut ana, "ana"), (&mut bob, "bob"), (&mut eve, "eve")] {
        client.expect_silence_as(id).await;
    }
}

#[tokio::test]
async fn values_arrive_as_they_were_written() {
    let relay = relay().await;
    let (mut ana, mut bob) = (relay.peer("ana").await, relay.peer("bob").await);
    ana.say_text(r#"{"type":"OFFER", "payload":{"n":1.10,"e":1e0, "s":"\u00e9"},"dst":"bob"}"#).await;
    let heard = bob.hear_text().await;
    assert_eq!(heard, r#"{"type":"OFFER","src":"ana","dst":"bob","payload":{"n":1.10,"e":1e0, "s":"\u00e9"}}"#);
    ana.say_text(r#"{"type":"CANDIDATE","dst":"b\u006fb"}"#).await;
    assert_eq!(bob.hear_text().await, r#"{"type":"CANDIDATE","src":"ana","dst":"b\u006fb"}"#);
}

#[tokio::test]
async fn ids_may_have_spaces_quotes_and_256_bytes() {
    let relay = relay().await;
    let long = "x".repeat(limits::PEERJS_ID_BYTES);
    let mut ana = relay.peer("ana").await;
    for (written, id) in [("a%20b+c", "a b c"), ("%22%5C%0A", "\"\\\n"), ("%C3%A9", "é"), (&long, &long)] {
        let mut peer = relay.peer(written).await;
        ana.tell("OFFER", id, json!(1)).await;
        peer.expect_told("OFFER", "ana", id, json!(1)).await;
        peer.tell("ANSWER", "ana", json!(2)).await;
        ana.expect_told("ANSWER", id, "ana", json!(2)).await;
    }
    let said = relay.turned_away(&path(&format!("{long}x"), "t")).await;
    assert!(said.contains("256"), "{said}");
    // Nobody can have such an id.
    let longer = format!("{long}x");
    ana.tell("OFFER", &longer, json!(1)).await;
    ana.expect_expire(&longer, "ana").await;
    ana.say(json!({"type": "LEAVE", "dst": longer})).await;
    ana.expect_silence_as("ana").await;
}

#[tokio::test]
async fn who_lacks_a_parameter_is_told_so_and_of_several_the_last_one_counts() {
    let relay = relay().await;
    for query in
        ["", "?key=peerjs&id=a", "?key=peerjs&token=t", "?id=a&token=t", "?key=&id=a&token=t", "?key=k&id=&token=t"]
    {
        let said = relay.turned_away(&format!("/peerjs{query}")).await;
        assert_eq!(said, "No id, token, or key supplied to websocket server", "{query}");
    }
    let mut last = relay.dial("/peerjs?id=x&key=y&token=z&id=last&key=peerjs&token=t&else=1").await;
    last.expect_open().await;
    let mut ana = relay.peer("ana").await;
    ana.tell("OFFER", "last", json!(1)).await;
    last.expect_told("OFFER", "ana", "last", json!(1)).await;
    let long = "x".repeat(limits::PEERJS_KEY_BYTES + 1);
    for query in [format!("key={long}&id=a&token=t"), format!("key=k&id=a&token={long}")] {
        let said = relay.turned_away(&format!("/peerjs?{query}")).await;
        assert!(said.contains("too long"), "{said}");
    }
    let (status, said) = relay.refusal("/peerjs?key=peerjs&token=t&id=%ff").await;
    assert!(status == 400 && said.contains("UTF-8"), "{status} {said}");
}

#[tokio::test]
async fn an_id_is_another_ones_until_that_ones_connection_ends() {
    let relay = relay().await;
    let ana = relay.peer("ana").await;
    let mut other = relay.dial(&path("ana", "other")).await;
    assert_eq!(other.hear_text().await, r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#);
    other.expect_goodbye(1008).await;
    ana.close().await;
    let mut other = relay.dial(&path("ana", "other")).await;
    other.expect_open().await;
    // The same for one that is cut, as soon as that is seen.
    drop(other);
    loop {
        let mut next = relay.dial(&path("ana", "next")).await;
        if next.hear().await["type"] == "OPEN" {
            break;
        }
    }
}

#[tokio::test]
async fn who_comes_back_with_its_token_has_its_id_at_once_and_its_last_connection_is_closed() {
    let relay = relay().await;
    let mut bob = relay.peer("bob").await;
    let mut connections = vec![relay.peer("ana").await];
    for number in 0..20 {
        // In the same breath: the last connection is still open.
        let mut ana = relay.peer("ana").await;
        bob.tell("OFFER", "ana", json!(number)).await;
        ana.expect_told("OFFER", "bob", "ana", json!(number)).await;
        let mut last = connections.pop().unwrap();
        // It hears nothing more, and its end frees nothing.
        last.expect_close_code(4001).await;
        drop(last);
        ana.expect_silence_as("ana").await;
        connections.push(ana);
    }
    let mut other = relay.dial(&path("ana", "other")).await;
    assert_eq!(other.hear().await["type"], "ID-TAKEN");
}

#[tokio::test]
async fn what_is_said_to_an_id_before_somebody_has_it_comes_after_open_and_in_order() {
    const COUNT: usize = 200;
    let relay = relay().await;
    let (mut ana, mut eve) = (relay.peer("ana").await, relay.peer("eve").await);
    ana.tell("OFFER", "bob", json!("first")).await;
    ana.say_at_once(&numbered("bob", COUNT, 300)).await;
    ana.say(json!({"type": "LEAVE", "dst": "bob"})).await;
    ana.expect_silence_as("ana").await;
    eve.tell("OFFER", "bob", json!("eve's")).await;
    eve.expect_silence_as("eve").await;
    let mut bob = relay.peer("bob").await;
    eve.tell("CANDIDATE", "bob", json!("live")).await;
    bob.expect_told("OFFER", "ana", "bob", json!("first")).await;
    hear_numbers(&mut bob, COUNT).await;
    // A LEAVE is not held.
    bob.expect_told("OFFER", "eve", "bob", json!("eve's")).await;
    bob.expect_told("CANDIDATE", "eve", "bob", json!("live")).await;
    bob.expect_silence_as("bob").await;
    ana.expect_silence_as("ana").await;
}

#[tokio::test(start_paused = true)]
async fn five_seconds_after_the_first_message_each_sender_hears_once_that_nobody_came() {
    let relay = TestRelay::in_memory(on());
    let (mut ana, mut eve) = (relay.peer("ana").await, relay.peer("eve").await);
    let began = Instant::now();
    ana.tell("OFFER", "b b", json!(1)).await;
    ana.expect_silence_as("ana").await;
    tokio::time::sleep(Duration::from_millis(4_900)).await;
    ana.tell("CANDIDATE", "b b", json!(2)).await;
    eve.tell("ANSWER", "b b", json!(3)).await;
    ana.expect_expire("b b", "ana").await;
    eve.expect_expire("b b", "eve").await;
    let elapsed = began.elapsed();
    assert!(elapsed >= limits::PEERJS_MAIL_FOR && elapsed < Duration::from_secs(6), "{elapsed:?}");
    ana.expect_silence_as("ana").await;
    // Nothing of that is left, and the next five seconds begin anew.
    ana.tell("OFFER", "b b", json!(4)).await;
    tokio::time::sleep(Duration::from_millis(3_000)).await;
    let mut bob = relay.peer("b%20b").await;
    bob.expect_told("OFFER", "ana", "b b", json!(4)).await;
    tokio::time::sleep(Duration::from_millis(6_000)).await;
    bob.expect_silence_as("b b").await;
    ana.expect_silence_as("ana").await;
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_hears_that_nobody_came_and_who_took_its_id_does_not() {
    let relay = TestRelay::in_memory(on());
    let (mut ana, mut eve) = (relay.peer("ana").await, relay.peer("eve").await);
    for client in [&mut ana, &mut eve] {
        client.tell("OFFER", "nobody", json!(1)).await;
    }
    ana.expect_silence_as("ana").await;
    eve.expect_silence_as("eve").await;
    ana.close().await;
    eve.close().await;
    let mut ana = relay.peer("ana").await;
    let mut eve = relay.dial(&path("eve", "another")).await;
    eve.expect_open().await;
    ana.expect_expire("nobody", "ana").await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    eve.expect_silence_as("eve").await;
}

#[tokio::test]
async fn beyond_what_is_held_for_an_id_a_sender_hears_at_once_that_nobody_is_there() {
    let relay = relay().await;
    let mut ana = relay.peer("ana").await;
    ana.say_at_once(&numbered("many", limits::PEERJS_MAIL_MESSAGES, 10)).await;
    ana.tell("CANDIDATE", "many", json!("one more")).await;
    ana.expect_expire("many", "ana").await;
    // Each of about 16 KiB.
    ana.say_at_once(&numbered("large", 16, 16_000)).await;
    ana.tell("CANDIDATE", "large", json!({"n": "x".repeat(16_000)})).await;
    ana.expect_expire("large", "ana").await;
    ana.expect_silence_as("ana").await;
    // What was held is there.
    hear_numbers(&mut relay.peer("many").await, limits::PEERJS_MAIL_MESSAGES).await;
    hear_numbers(&mut relay.peer("large").await, 16).await;
}

#[tokio::test]
async fn beyond_what_is_held_of_an_address_its_clients_hear_that_at_once_and_others_do_not() {
    let relay = relay().await;
    let mut ana = relay.peer("ana").await;
    let mut held = 0;
    let mut expired = false;
    while !expired {
        ana.tell("OFFER", &format!("nobody {}", held / 10), json!("x".repeat(20_000))).await;
        ana.say(json!({"type": "LEAVE", "dst": "ana"})).await;
        expired = ana.hear().await["type"] == "EXPIRE";
        held += usize::from(!expired);
    }
    ana.hear().await;
    let bytes = held * 20_000;
    assert!(
        (limits::PEERJS_MAIL_ADDRESS_BYTES - 50_000..limits::PEERJS_MAIL_ADDRESS_BYTES).contains(&bytes),
        "{bytes}"
    );
    // Another client of the same address.
    let mut eve = relay.peer("eve").await;
    eve.tell("OFFER", "another", json!("x".repeat(20_000))).await;
    eve.expect_expire("another", "eve").await;
    // When some of it has found its reader, there is room again.
    let mut there = relay.peer("nobody%200").await;
    for _ in 0..10 {
        there.expect("OFFER").await;
    }
    // What has found its reader is held no more.
    eve.tell("OFFER", "another", json!("x".repeat(20_000))).await;
    eve.expect_silence_as("eve").await;
}

#[tokio::test]
async fn what_its_own_server_dies_of_or_falls_silent_at_is_ignored() {
    let relay = relay().await;
    let (mut ana, mut bob) = (relay.peer("ana").await, relay.peer("bob").await);
    for text in [
        "",
        "{",
        "null",
        "5",
        "[]",
        "\"OFFER\"",
        "nonsense",
        r#"{"type":"HEARTBEAT"}"#,
        r#"{"type":"OFFER"}"#,
        r#"{"type":"OFFER","dst":5}"#,
        r#"{"type":"OFFER","dst":null,"payload":1}"#,
        r#"{"type":"OFFER","dst":["bob"]}"#,
        r#"{"type":"OFFER","dst":"\ud800"}"#,
        r#"{"type":5,"dst":"bob"}"#,
        r#"{"type":"OPEN","dst":"bob"}"#,
        r#"{"type":"ID-TAKEN","dst":"bob"}"#,
        r#"{"type":"ERROR","dst":"bob","payload":{"msg":"x"}}"#,
        // A forgery: bob would believe that eve is not there.
        r#"{"type":"EXPIRE","src":"eve","dst":"bob"}"#,
        r#"{"type":"LEAVE"}"#,
        &format!(r#"{{"type":"OFFER","dst":"bob","payload":{}{}}}"#, "[".repeat(40), "]".repeat(40)),
    ] {
        ana.say_text(text).await;
    }
    ana.socket.send(Message::binary(vec![0xff, 0, 1])).await.unwrap();
    ana.socket.send(Message::binary(r#"{"type":"OFFER","dst":"bob"}"#.as_bytes().to_vec())).await.unwrap();
    // A text in three frames, of which one is empty, and a binary message in two.
    let text = r#"{"type":"OFFER","dst":"bob","payload":"in parts"}"#.as_bytes();
    let parts = [client::frame(0x01, &text[..9]), client::frame(0x00, b""), client::frame(0x80, &text[9..])];
    ana.socket.get_mut().write_all(&parts.concat()).await.unwrap();
    let parts = [client::frame(0x02, &[0xff; 200]), client::frame(0x80, &[0xff; 200])];
    ana.socket.get_mut().write_all(&parts.concat()).await.unwrap();
    bob.expect_told("OFFER", "ana", "bob", json!("in parts")).await;
    ana.expect_silence_as("ana").await;
    bob.expect_silence_as("bob").await;
    // It still has its id.
    let mut other = relay.dial(&path("ana", "other")).await;
    assert_eq!(other.hear().await["type"], "ID-TAKEN");
    ana.tell("OFFER", "bob", json!("x".repeat(limits::MESSAGE_BYTES))).await;
    ana.expect_goodbye(1009).await;
    bob.expect_silence_as("bob").await;
}

#[tokio::test]
async fn clients_of_different_keys_and_of_other_wires_do_not_meet() {
    let relay = TestRelay::start_with(Config { wires: Wire::ALL.to_vec(), ..Config::default() }).await;
    let mut page = relay.join("ana").await;
    let mut bob = relay.peer("bob").await;
    let mut others = Vec::new();
    // Keys and ids that are not parts of each other, whatever they are.
    for (key, id) in [("other", "bob"), ("peerjsb", "ob"), ("peerj", "sbob"), ("6:peerjs", "bob")] {
        let mut other = relay.dial(&format!("/peerjs?key={key}&id={id}&token=other")).await;
        other.expect_open().await;
        others.push((other, id));
    }
    let mut ana = relay.peer("ana").await;
    ana.tell("OFFER", "bob", json!(1)).await;
    bob.expect_told("OFFER", "ana", "bob", json!(1)).await;
    for (other, id) in &mut others {
        other.expect_silence_as(id).await;
    }
    page.expect_nothing().await;
    assert_eq!(relay.relay.rooms(), 1);
}

#[tokio::test]
async fn only_keys_that_are_named_are_served() {
    let keys = vec!["one".to_owned(), "two".to_owned()];
    let relay = TestRelay::start_with(Config { peerjs_key: keys, ..on() }).await;
    let said = relay.turned_away(&path("a", "t")).await;
    assert_eq!(said, "Invalid key provided");
    let (mut one, mut two) =
        (relay.dial("/peerjs?key=one&id=a&token=t").await, relay.dial("/peerjs?key=two&id=a&token=u").await);
    one.expect_open().await;
    two.expect_open().await;
    one.expect_silence_as("a").await;
    two.expect_silence_as("a").await;
}

#[tokio::test]
async fn keys_that_are_named_are_no_tokens_although_somebody_decides() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let decide = move |request: JoinRequest| {
        tell.send(request.token.as_ref().map(|token| token.reveal().to_owned())).unwrap();
        async move { Ok(Grant::from(&request)) }
    };
    let peerjs_key = vec!["one".to_owned(), "two".to_owned()];
    let relay = TestRelay::start_as(Config { peerjs_key, ..on() }, |builder| builder.authorizer(decide)).await;
    for key in ["one", "two"] {
        let mut client = relay.dial(&format!("/peerjs?key={key}&id=a&token={key}")).await;
        client.expect_open().await;
        assert_eq!(soon("the question", told.recv()).await.unwrap().as_deref(), Some(key));
    }
    assert_eq!(relay.turned_away("/peerjs?key=three&id=a&token=t").await, "Invalid key provided");
    assert!(told.try_recv().is_err(), "nobody is asked about such a key");
}

#[tokio::test]
async fn who_decides_may_not_give_another_id() {
    let decide = |request: JoinRequest| async move {
        let mut grant = Grant::from(&request);
        grant.id = Some(PeerId::chosen("another").unwrap());
        Ok(grant)
    };
    let relay = TestRelay::start_as(on(), |builder| builder.authorizer(decide)).await;
    let said = relay.turned_away(&path("a", "t")).await;
    assert!(said.contains("another id"), "{said}");
    relay.peer("another").await;
}

#[tokio::test]
async fn an_id_is_given_to_pages_that_may_connect_and_the_list_of_ids_to_none() {
    let allow_origin = vec!["https://calls.example".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_origin, ..on() }).await;
    let mut ids = Vec::new();
    for path in ["/peerjs/id?ts=1&version=1.5.5", "/peerjs/id", "//another%20key/id"] {
        for origin in [None, Some("https://calls.example")] {
            let answer = relay.fetch("GET", path, origin).await;
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
            let (head, id) = answer.split_once("\r\n\r\n").unwrap();
            let head = head.to_ascii_lowercase();
            assert!(head.contains("vary: origin") && head.contains("cache-control: no-store"), "{head}");
            let allowed = head.contains("access-control-allow-origin: https://calls.example");
            assert_eq!(allowed, origin.is_some(), "{head}");
            assert!(id.len() == 36 && !ids.contains(&id.to_owned()), "{id}");
            ids.push(id.to_owned());
        }
    }
    relay.peer(&ids[0]).await;
    let answer = relay.fetch("GET", "/peerjs/id", Some("https://elsewhere.example")).await;
    let head = answer.to_ascii_lowercase();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("--allow-origin"), "{answer}");
    assert!(head.contains("vary: origin") && !head.contains("access-control"), "{answer}");
    for (origin, may_read) in
        [(None, false), (Some("https://calls.example"), true), (Some("https://elsewhere.example"), false)]
    {
        let answer = relay.fetch("GET", "/peerjs/peers", origin).await;
        let head = answer.to_ascii_lowercase();
        assert!(answer.starts_with("HTTP/1.1 401 ") && head.contains("vary: origin"), "{answer}");
        assert_eq!(head.contains("access-control-allow-origin"), may_read, "{answer}");
    }
    assert!(relay.fetch("POST", "/peerjs/id", None).await.starts_with("HTTP/1.1 405 "));
    assert!(relay.fetch("HEAD", "/peerjs/id", None).await.starts_with("HTTP/1.1 200 "));
    for path in ["/peerjs/ids", "/peerjs/id/more", "/a/b/id"] {
        assert!(relay.fetch("GET", path, None).await.starts_with("HTTP/1.1 404 "), "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_needs_to_be_allowed_unless_all_are() {
    let allow_origin = vec!["https://calls.example".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_origin, ..on() }).await;
    let url = format!("ws://{}{}", relay.address(), path("a", "t"));
    let dial = async |origin| Client::dial(relay.connect().await, &url, &[("origin", origin)]).await;
    let (status, why) = refusal(dial("https://elsewhere.example").await);
    assert!(status == 403 && why.contains("--allow-origin"), "{status} {why}");
    dial("https://calls.example").await.unwrap().expect_open().await;
    let relay = TestRelay::start_with(Config { allow_origin: vec!["*".parse().unwrap()], ..on() }).await;
    let url = format!("ws://{}{}", relay.address(), path("a", "t"));
    let dialled = Client::dial(relay.connect().await, &url, &[("origin", "https://elsewhere.example")]).await;
    dialled.unwrap().expect_open().await;
    let answer = relay.fetch("GET", "/peerjs/id", Some("https://elsewhere.example")).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("https://elsewhere.example"), "{answer}");
}

#[tokio::test]
async fn while_the_wire_is_off_its_paths_say_which_flag_opens_it() {
    let relay = TestRelay::start_with(Config { wires: vec![Wire::YWebrtc], ..Config::default() }).await;
    let (status, why) = relay.refusal(&path("a", "t")).await;
    assert!(status == 404 && why.contains("--wire peerjs"), "{status} {why}");
    for path in ["/peerjs", "/peerjs/id", "/peerjs/peers"] {
        let answer = relay.fetch("GET", path, None).await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("--wire peerjs"), "{answer}");
    }
    let answer = relay.fetch("GET", "/another/id", None).await;
    assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("--wire"), "{answer}");
}

#[tokio::test]
async fn who_decides_is_told_the_id_and_the_key_and_what_is_said_before_that_is_not_lost() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (asks, turns) = (Arc::clone(&asked), Arc::new(Semaphore::new(0)));
    let turn = Arc::clone(&turns);
    let decide = move |request: JoinRequest| {
        let (asks, turn) = (Arc::clone(&asks), Arc::clone(&turn));
        async move {
            let token = request.token.as_ref().map(|token| token.reveal().to_owned()).unwrap();
            let id = request.id.as_ref().map(|id| id.as_str().to_owned()).unwrap();
            asks.lock().unwrap().push((request.room.as_str().to_owned(), request.wire, id.clone(), token.clone()));
            turn.acquire().await.unwrap().forget();
            match &*token {
                "no" => Err(Denial::Unauthorized("not with this key".into())),
                "later" => Err(Denial::Unavailable("ask again".into())),
                _ => Ok(Grant::from(&request)),
            }
        }
    };
    let refused = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&refused);
    let observe = move |event: &RelayEvent| {
        if let RelayEvent::JoinRefused { room, code, .. } = event {
            notes.lock().unwrap().push(format!("{} {}", room.as_ref().unwrap().as_str(), code.as_str()));
        }
    };
    let relay = TestRelay::start_as(on(), |builder| builder.authorizer(decide).observer(observe)).await;
    let mut ana = relay.dial("/peerjs?key=first&id=a%20na&token=t").await;
    ana.tell("OFFER", "bob", json!("early")).await;
    let mut bob = relay.dial("/peerjs?key=second&id=bob&token=t").await;
    bob.tell("ANSWER", "a na", json!("early too")).await;
    turns.add_permits(2);
    ana.expect_open().await;
    bob.expect_open().await;
    // With keys of their own, which are tokens here, they see each other.
    bob.expect_told("OFFER", "a na", "bob", json!("early")).await;
    ana.expect_told("ANSWER", "bob", "a na", json!("early too")).await;
    let mut of = asked.lock().unwrap().clone();
    of.sort_by_key(|(.., token)| token.clone());
    let said = |id: &str, key: &str| ("peerjs/".to_owned(), Some(Wire::PeerJs), id.to_owned(), key.to_owned());
    assert_eq!(of, [said("a na", "first"), said("bob", "second")]);
    turns.add_permits(2);
    assert_eq!(relay.turned_away("/peerjs?key=no&id=x&token=t").await, "not with this key");
    assert_eq!(relay.turned_away("/peerjs?key=later&id=x&token=t").await, "ask again");
    assert_eq!(*refused.lock().unwrap(), ["peerjs/ unauthorized", "peerjs/ unavailable"]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_an_id_counts_as_a_join_of_its_address() {
    let relay = TestRelay::in_memory(Config { address_joins: 1, ..on() });
    for number in 0..10 {
        relay.peer(&number.to_string()).await;
    }
    let said = relay.turned_away(&path("a", "t")).await;
    assert!(said.contains("--address-joins"), "{said}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    relay.peer("a").await;
}

#[tokio::test]
async fn an_observer_hears_on_which_wire_somebody_connects_and_that_it_ended() {
    let (relay, mut told) = observed(on()).await;
    relay.peer("a").await.close().await;
    assert_eq!(told.until_disconnected().await, ["1 Some(PeerJs)", "1 closed by the peer"]);
}

#[tokio::test]
async fn a_relay_that_ends_tells_them_and_needs_no_word_that_they_do_not_know() {
    for (shutdown, code) in [(Shutdown::Restart, 1012), (Shutdown::ForGood, 1001)] {
        let mut relay = relay().await;
        let mut ana = relay.peer("ana").await;
        // What is held does not keep it.
        ana.tell("OFFER", "nobody", json!(1)).await;
        ana.expect_silence_as("ana").await;
        relay.tell_to_stop(shutdown);
        match soon("the close", futures_util::StreamExt::next(&mut ana.socket)).await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), code),
            other => panic!("{other:?}"),
        }
        drop(ana);
        relay.stopped().await;
    }
}

#[tokio::test]
async fn who_says_something_to_one_who_reads_nothing_hears_at_last_that_he_is_gone() {
    const COUNT: usize = 300;
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let _slow = relay.peer("slow").await;
    relay.buffers = None;
    let mut sender = relay.peer("s").await;
    sender.say_at_once(&numbered("slow", COUNT, 4000)).await;
    sender.expect_expire("slow", "s").await;
}

#[tokio::test]
async fn a_slow_reader_gets_all_of_a_burst_if_it_reads_at_all() {
    const COUNT: usize = 200;
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let mut slow = relay.peer("slow").await;
    relay.buffers = None;
    let mut sender = relay.peer("s").await;
    let texts = numbered("slow", COUNT, 4000);
    let sending = tokio::spawn(async move {
        sender.say_at_once(&texts).await;
        sender.expect_silence_as("s").await;
    });
    for next in 0..COUNT {
        // Not to await anything, but to be slow.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(slow.hear().await["payload"]["n"], next);
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn who_reads_nothing_and_comes_back_gets_what_waited_for_room() {
    const COUNT: usize = 300;
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let _deaf = relay.peer("deaf").await;
    relay.buffers = None;
    let mut sender = relay.peer("s").await;
    let texts = numbered("deaf", COUNT, 4000);
    let sending = tokio::spawn(async move {
        sender.say_at_once(&texts).await;
        sender.expect_silence_as("s").await;
    });
    let mut back = relay.peer("deaf").await;
    // What was queued for its last connection is gone with that; the rest is there, in order, and none is missing.
    let first = back.hear().await["payload"]["n"].as_u64().unwrap() as usize;
    for next in first + 1..COUNT {
        assert_eq!(back.hear().await["payload"]["n"], next);
    }
    soon("all of it", sending).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_for_whom_a_message_waits_too_long_is_closed_although_it_reads() {
    let relay = TestRelay::in_memory(on());
    let mut slow = relay.peer("slow").await;
    let mut sender = relay.peer("s").await;
    let sending = tokio::spawn(async move {
        for text in &numbered("slow", 100, 4000) {
            sender.say_text(text).await;
        }
        sender.expect_expire("slow", "s").await;
    });
    // Less than one message in ten seconds, but never nothing for five.
    let mut read = 0;
    let mut byte = [0; 200];
    let began = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match slow.socket.get_mut().read(&mut byte).await {
            Ok(0) | Err(_) => break,
            Ok(bytes) => read += bytes,
        }
        assert!(began.elapsed() < Duration::from_secs(600), "{read} bytes");
    }
    assert!(read < 100 * 4000, "it was closed before it had all: {read} bytes");
    sending.await.unwrap();
}

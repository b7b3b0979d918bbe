//! The wires of other libraries, y-webrtc's and Trystero's, through real sockets.

mod matchbox;
#[cfg(all(unix, feature = "cli"))]
mod matchbox_native;
mod neighbours;
mod rxdb;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, RelayEvent, Shutdown, Wire, limits};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, TestRelay, client, refusal, soon};

/// Settings with both wires on.
fn both() -> Config {
    Config { wires: Wire::ALL.to_vec(), ..Config::default() }
}

async fn relay() -> TestRelay {
    TestRelay::start_with(both()).await
}

/// What the observer of a relay is told.
pub(crate) struct Told(UnboundedReceiver<RelayEvent>);

/// A relay, and what its observer is told.
pub(crate) async fn observed(config: Config) -> (TestRelay, Told) {
    let (tell, told) = unbounded_channel();
    let observe = move |event: &RelayEvent| tell.send(event.clone()).unwrap();
    (TestRelay::start_as(config, |builder| builder.observer(observe)).await, Told(told))
}

impl Told {
    /// What it is told until a connection has ended.
    pub(crate) async fn until_disconnected(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            words.push(match soon("an event", self.0.recv()).await.unwrap() {
                RelayEvent::Connected { connection, wire, .. } => format!("{connection} {wire:?}"),
                RelayEvent::Joined { room, id, .. } => format!("joined {} {id}", room.as_str()),
                RelayEvent::Left { room, id, .. } => format!("left {} {id}", room.as_str()),
                RelayEvent::Disconnected { connection, why } => {
                    words.push(format!("{connection} {why}"));
                    return words;
                }
                other => panic!("{other:?}"),
            });
        }
    }
}

impl TestRelay {
    /// A client of y-webrtc that is subscribed to these topics.
    async fn y_webrtc(&self, topics: &[&str]) -> Client {
        let mut client = self.dial("/y-webrtc").await;
        client.subscribe(topics).await;
        client
    }

    /// A client of Trystero that is subscribed to these topics.
    async fn trystero(&self, topics: &[&str]) -> Client {
        let mut client = self.dial("/trystero").await;
        for topic in topics {
            client.say(json!({"type": "subscribe", "topic": topic})).await;
            // Its own answer says that the relay has got that far.
            client.say(json!({"type": "publish", "topic": topic, "payload": "there"})).await;
            assert_eq!(client.hear().await, json!({"topic": topic, "payload": "there"}));
        }
        client
    }
}

impl Client {
    /// Subscribes to these topics, and waits until the relay has read that.
    async fn subscribe(&mut self, topics: &[&str]) {
        self.say(json!({"type": "subscribe", "topics": topics})).await;
        self.expect_silence().await;
    }

    async fn publish(&mut self, topic: &str, data: Value) {
        self.say(json!({"type": "publish", "topic": topic, "data": data})).await;
    }

    /// Asserts that nothing of the others waits to be read: the next that comes is the answer to a ping.
    async fn expect_silence(&mut self) {
        self.say_text(r#"{"type":"ping"}"#).await;
        assert_eq!(self.hear_text().await, r#"{"type":"pong"}"#);
    }

    /// The next message, which must be `data` in `topic`; returns how many clients it names.
    async fn expect_data(&mut self, topic: &str, data: Value) -> u64 {
        let heard = self.hear().await;
        let clients = heard["clients"].as_u64();
        assert_eq!(heard, json!({"type": "publish", "topic": topic, "data": data, "clients": clients}));
        clients.unwrap()
    }
}

#[tokio::test]
async fn what_is_published_reaches_all_who_are_subscribed_with_their_number() {
    let relay = relay().await;
    let (mut one, mut two) = (relay.y_webrtc(&["a", "b"]).await, relay.y_webrtc(&["a"]).await);
    let mut other = relay.y_webrtc(&["c"]).await;
    one.publish("a", json!({"type": "announce", "from": "u"})).await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.expect_data("a", json!({"type": "announce", "from": "u"})).await, 2);
    }
    two.say(json!({"type": "unsubscribe", "topics": ["a", "never"]})).await;
    two.expect_silence().await;
    one.publish("a", json!("secret")).await;
    assert_eq!(one.expect_data("a", json!("secret")).await, 1);
    two.expect_silence().await;
    // Who is not subscribed may say something, and hears nothing.
    two.publish("a", json!(null)).await;
    assert_eq!(one.expect_data("a", json!(null)).await, 1);
    two.expect_silence().await;
    // Again, twice, and in the same breath as it leaves.
    two.say(json!({"type": "subscribe", "topics": ["a", "a"]})).await;
    two.say(json!({"type": "unsubscribe", "topics": ["a"]})).await;
    two.subscribe(&["a", "a"]).await;
    one.publish("a", json!(1)).await;
    assert_eq!(two.expect_data("a", json!(1)).await, 2);
    two.expect_silence().await;
    other.expect_silence().await;
}

#[tokio::test]
async fn values_arrive_as_they_were_written() {
    let relay = relay().await;
    let mut one = relay.y_webrtc(&["a"]).await;
    one.say_text(r#"{"type":"publish","topic":"a", "x":1.10,"data":{"n":1e0, "s":"\u00e9"}}"#).await;
    let heard = one.hear_text().await;
    assert_eq!(heard, r#"{"type":"publish","topic":"a","x":1.10,"data":{"n":1e0, "s":"\u00e9"},"clients":1}"#);
    let mut one = relay.trystero(&["a"]).await;
    one.say_text(r#"{"type":"publish","payload":{"n":1.10},"topic":"a","more":1}"#).await;
    assert_eq!(one.hear_text().await, r#"{"topic":"a","payload":{"n":1.10}}"#);
}

#[tokio::test]
async fn a_signal_in_the_clear_goes_to_the_one_whom_it_is_for() {
    let relay = relay().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(relay.y_webrtc(&["a"]).await);
    }
    for number in 0..3 {
        clients[number].publish("a", json!({"type": "announce", "from": number.to_string()})).await;
        for client in &mut clients {
            client.expect_data("a", json!({"type": "announce", "from": number.to_string()})).await;
        }
    }
    let signal = json!({"type": "signal", "from": "0", "to": "2", "signal": {"type": "offer"}});
    clients[0].publish("a", signal.clone()).await;
    assert_eq!(clients[2].expect_data("a", signal).await, 3, "it says how many are subscribed");
    clients[0].expect_silence().await;
    clients[1].expect_silence().await;
}

#[tokio::test]
async fn what_the_own_server_dies_of_is_ignored() {
    let relay = relay().await;
    let (mut one, mut two) = (relay.y_webrtc(&["a"]).await, relay.y_webrtc(&["a"]).await);
    for text in ["", "{", "null", "5", "[]", "nonsense", r#"{"type":"subscribe","topics":{"a":1}}"#, r#"{"type":5}"#] {
        one.say_text(text).await;
    }
    one.socket.send(Message::binary(vec![0xff, 0, 1])).await.unwrap();
    one.socket.send(Message::binary(r#"{"type":"publish","topic":"a","data":1}"#.as_bytes().to_vec())).await.unwrap();
    // A binary message in three frames, of which one is empty.
    let parts = [client::frame(0x02, b"{\"ty"), client::frame(0x00, b""), client::frame(0x80, &[0xff; 200])];
    tokio::io::AsyncWriteExt::write_all(one.socket.get_mut(), &parts.concat()).await.unwrap();
    one.expect_silence().await;
    one.publish("a", json!("still there")).await;
    two.expect_data("a", json!("still there")).await;
    // Trystero's server reads both alike.
    let mut three = relay.trystero(&["a"]).await;
    let text = r#"{"type":"publish","topic":"a","payload":"binary"}"#;
    let parts = [client::frame(0x02, &text.as_bytes()[..9]), client::frame(0x80, &text.as_bytes()[9..])];
    tokio::io::AsyncWriteExt::write_all(three.socket.get_mut(), &parts.concat()).await.unwrap();
    assert_eq!(three.hear().await, json!({"topic": "a", "payload": "binary"}));
    three.socket.send(Message::binary(vec![0xc3, 0x28])).await.unwrap();
    three.say(json!({"type": "publish", "topic": "a", "payload": null})).await;
    assert_eq!(three.hear().await, json!({"topic": "a", "payload": null}));
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_and_one_that_is_too_deep_is_ignored() {
    let relay = relay().await;
    let mut one = relay.y_webrtc(&["a"]).await;
    one.say_text(&format!(r#"{{"type":"publish","topic":"a","data":{}{}}}"#, "[".repeat(40), "]".repeat(40))).await;
    one.expect_silence().await;
    one.publish("a", json!("x".repeat(limits::MESSAGE_BYTES))).await;
    one.expect_goodbye(1009).await;
    let mut one = relay.dial("/y-webrtc").await;
    one.socket.send(Message::binary(vec![0; limits::MESSAGE_BYTES + 1])).await.unwrap();
    one.expect_goodbye(1009).await;
}

#[tokio::test]
async fn the_wires_and_the_rooms_of_the_page_do_not_meet() {
    let relay = relay().await;
    let (mut page, mut y) = (relay.join("a").await, relay.y_webrtc(&["a"]).await);
    let mut trystero = relay.trystero(&["a"]).await;
    y.publish("a", json!(1)).await;
    assert_eq!(y.expect_data("a", json!(1)).await, 1);
    trystero.say(json!({"type": "publish", "topic": "a", "payload": 2})).await;
    assert_eq!(trystero.hear().await, json!({"topic": "a", "payload": 2}));
    y.expect_silence().await;
    page.expect_nothing().await;
    assert_eq!(relay.relay.rooms(), 1);
}

#[tokio::test]
async fn a_peer_of_trystero_hears_in_its_own_topic_from_those_who_are_not_subscribed() {
    let relay = relay().await;
    let (mut one, mut two) = (relay.trystero(&["root", "one"]).await, relay.trystero(&["root", "two"]).await);
    assert_eq!(one.hear().await, json!({"topic": "root", "payload": "there"}), "the second has come");
    two.say(json!({"type": "publish", "topic": "one", "payload": "offer"})).await;
    assert_eq!(one.hear().await, json!({"topic": "one", "payload": "offer"}));
    two.say(json!({"type": "publish", "topic": "gone", "payload": "offer"})).await;
    // A room with many comings: those whom it has greeted are forgotten, and its own topics are not.
    for peer in 0..3 * limits::TOPICS {
        two.say(json!({"type": "publish", "topic": format!("peer {peer}"), "payload": 1})).await;
    }
    two.say(json!({"type": "publish", "topic": "root", "payload": "all"})).await;
    assert_eq!(one.hear().await, json!({"topic": "root", "payload": "all"}));
    assert_eq!(two.hear().await, json!({"topic": "root", "payload": "all"}));
}

#[tokio::test]
async fn topics_beyond_the_bounds_are_silence() {
    let relay = relay().await;
    let names: Vec<String> = (0..2 * limits::TOPICS).map(|n| format!("topic {n}")).collect();
    let mut one = relay.y_webrtc(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut two = relay.dial("/y-webrtc").await;
    two.publish(&names[limits::TOPICS - 1], json!("in")).await;
    one.expect_data(&names[limits::TOPICS - 1], json!("in")).await;
    one.subscribe(&[&names[limits::TOPICS]]).await;
    two.publish(&names[limits::TOPICS], json!("out")).await;
    two.expect_silence().await;
    one.expect_silence().await;
    // It still may leave one for another one.
    one.say(json!({"type": "unsubscribe", "topics": [names[0]]})).await;
    one.subscribe(&[&names[limits::TOPICS]]).await;
    two.publish(&names[limits::TOPICS], json!("in now")).await;
    one.expect_data(&names[limits::TOPICS], json!("in now")).await;

    let long = "x".repeat(limits::TOPIC_NAME_BYTES);
    let mut three = relay.y_webrtc(&[&long, &format!("{long}x")]).await;
    two.publish(&format!("{long}x"), json!("too long")).await;
    two.publish(&long, json!("long")).await;
    three.expect_data(&long, json!("long")).await;
    let long: Vec<String> = (0..20).map(|n| format!("{n:02}{}", "y".repeat(limits::TOPIC_NAME_BYTES - 2))).collect();
    let mut four = relay.y_webrtc(&long.iter().map(String::as_str).collect::<Vec<_>>()).await;
    two.publish(&long[16], json!("too many bytes of names")).await;
    two.publish(&long[15], json!("in")).await;
    four.expect_data(&long[15], json!("in")).await;
}

#[tokio::test]
async fn a_topic_has_so_many_subscribers_and_who_is_beyond_gets_a_place_that_is_free() {
    let relay = relay().await;
    let mut there = Vec::new();
    for _ in 0..limits::TRYSTERO_SUBSCRIBERS {
        let mut client = relay.dial("/trystero").await;
        client.say(json!({"type": "subscribe", "topic": "a"})).await;
        // It hears itself in another one.
        client.say(json!({"type": "subscribe", "topic": "own"})).await;
        client.say(json!({"type": "publish", "topic": "own", "payload": 0})).await;
        client.hear().await;
        client.say(json!({"type": "unsubscribe", "topic": "own"})).await;
        there.push(client);
    }
    let mut late = relay.trystero(&["late"]).await;
    let says = |payload| json!({"type": "publish", "topic": "a", "payload": payload});
    late.say(json!({"type": "subscribe", "topic": "a"})).await;
    late.say(says("beyond")).await;
    late.say(json!({"type": "publish", "topic": "late", "payload": "the next"})).await;
    assert_eq!(late.hear().await["payload"], "the next", "neither heard nor said");
    there.pop().unwrap().close().await;
    late.say(json!({"type": "subscribe", "topic": "a"})).await;
    late.say(says("in")).await;
    assert_eq!(late.hear().await, json!({"topic": "a", "payload": "in"}));
    for client in &mut there {
        let heard = client.hear().await;
        assert_eq!(heard["payload"], "in");
    }
}

#[tokio::test]
async fn a_wire_that_is_off_says_which_flag_opens_it() {
    let relay = TestRelay::start_with(Config { wires: vec![Wire::Trystero], ..Config::default() }).await;
    let (status, why) = relay.refusal("/y-webrtc").await;
    assert!(status == 404 && why.contains("--wire y-webrtc"), "{status} {why}");
    let get = |path: &'static str| async { client::get(relay.connect().await, "localhost", path).await };
    let page = get("/y-webrtc").await;
    assert!(page.starts_with("HTTP/1.1 404") && page.contains("--wire y-webrtc"), "{page}");
    let page = get("/trystero").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("okay\n"), "{page}");
    relay.trystero(&["a"]).await;
    let (status, _) = relay.refusal("/trystero/more").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_page_of_another_origin_needs_to_be_allowed() {
    let allow_origin = vec!["https://notes.example".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_origin, ..both() }).await;
    for path in ["y-webrtc", "trystero"] {
        let url = format!("ws://{}/{path}", relay.address());
        let dial = async |origin| Client::dial(relay.connect().await, &url, &[("origin", origin)]).await;
        let (status, why) = refusal(dial("https://elsewhere.example").await);
        assert!(status == 403 && why.contains("--allow-origin"), "{status} {why}");
        dial("https://notes.example").await.unwrap();
    }
}

#[tokio::test]
async fn who_decides_is_asked_once_for_each_topic_in_its_order_and_what_is_refused_is_silence() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (asks, turns) = (Arc::clone(&asked), Arc::new(Semaphore::new(0)));
    let turn = Arc::clone(&turns);
    let decide = move |request: JoinRequest| {
        let (asks, turn) = (Arc::clone(&asks), Arc::clone(&turn));
        async move {
            let room = request.room.as_str().to_owned();
            let token = request.token.as_ref().map(|token| token.reveal().to_owned());
            asks.lock().unwrap().push((room.clone(), request.wire, token));
            turn.acquire().await.unwrap().forget();
            match room.rsplit('/').next() {
                Some("no") => Err(Denial::Unauthorized("not this one".into())),
                Some("later") => Err(Denial::Unavailable("ask again".into())),
                _ => Ok(Grant::default()),
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
    let relay = TestRelay::start_as(both(), |builder| builder.authorizer(decide).observer(observe)).await;
    let mut one = relay.dial("/y-webrtc?token=t%20t").await;
    one.say(json!({"type": "subscribe", "topics": ["a", "no", "later", "a/b"]})).await;
    one.publish("no", json!(1)).await;
    one.publish("a/b", json!(2)).await;
    one.publish("no", json!(3)).await;
    one.subscribe_later(&["no", "a", "a/b"]).await;
    turns.add_permits(4);
    assert_eq!(one.expect_data("a/b", json!(2)).await, 1);
    one.expect_silence().await;
    let of = |topic: &str| (format!("y-webrtc/{topic}"), Some(Wire::YWebrtc), Some("t t".to_owned()));
    assert_eq!(*asked.lock().unwrap(), ["a", "no", "later", "a/b"].map(of));
    assert_eq!(*refused.lock().unwrap(), ["y-webrtc/no unauthorized", "y-webrtc/later unavailable"]);
    // What could not be decided is asked again.
    turns.add_permits(1);
    one.subscribe(&["later", "a"]).await;
    assert_eq!(asked.lock().unwrap().len(), 5);
    // A publish asks as well, where nobody has asked before.
    let mut two = relay.dial("/trystero").await;
    two.say(json!({"type": "publish", "topic": "a", "payload": 1})).await;
    two.say(json!({"type": "subscribe", "topic": "a"})).await;
    two.say(json!({"type": "publish", "topic": "a", "payload": 2})).await;
    turns.add_permits(1);
    assert_eq!(two.hear().await["payload"], 2);
    assert_eq!(asked.lock().unwrap()[5..], [("trystero/a".to_owned(), Some(Wire::Trystero), None)]);
    let (status, _) = relay.refusal("/y-webrtc?token=a&token=b").await;
    assert_eq!(status, 400);
}

impl Client {
    /// Says so, and does not wait.
    async fn subscribe_later(&mut self, topics: &[&str]) {
        self.say(json!({"type": "subscribe", "topics": topics})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_from_which_nothing_is_read_hears_something_before_it_gives_up() {
    let decide = |_: JoinRequest| async {
        std::future::pending::<()>().await;
        Ok(Grant::default())
    };
    let relay = TestRelay::in_memory_as(both(), |builder| builder.authorizer(decide));
    let mut one = relay.dial("/y-webrtc").await;
    // Four decisions of 5 s each, none of which comes.
    one.say(json!({"type": "subscribe", "topics": ["a", "b", "c", "d"]})).await;
    let began = tokio::time::Instant::now();
    assert_eq!(one.hear_text().await, r#"{"type":"pong"}"#);
    assert_eq!(one.hear_text().await, r#"{"type":"pong"}"#);
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_secs(14) && elapsed < Duration::from_secs(16), "{elapsed:?}");
}

#[tokio::test]
async fn an_observer_hears_on_which_wire_somebody_connects_and_that_it_ended() {
    let (relay, mut told) = observed(both()).await;
    relay.y_webrtc(&["a"]).await.close().await;
    assert_eq!(told.until_disconnected().await, ["1 Some(YWebrtc)", "1 closed by the peer"]);
}

#[tokio::test]
async fn a_relay_that_ends_tells_them_and_needs_no_word_that_they_do_not_know() {
    for (shutdown, code) in [(Shutdown::Restart, 1012), (Shutdown::ForGood, 1001)] {
        let mut relay = relay().await;
        let mut one = relay.y_webrtc(&["a"]).await;
        relay.tell_to_stop(shutdown);
        match soon("the close", futures_util::StreamExt::next(&mut one.socket)).await {
            Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), code),
            other => panic!("{other:?}"),
        }
        drop(one);
        relay.stopped().await;
    }
}

/// `count` numbered messages in `topic`, of about `bytes` each.
fn numbered(topic: &str, count: usize, bytes: usize) -> Vec<String> {
    let padding = "x".repeat(bytes);
    let text = |number| json!({"type": "publish", "topic": topic, "data": {"n": number, "p": padding}}).to_string();
    (0..count).map(text).collect()
}

/// Hears `count` numbered messages in their order, and nothing else but pongs.
async fn hear_numbers(client: &mut Client, count: usize) {
    let mut next = 0;
    while next < count {
        let heard = client.hear().await;
        if heard["type"] != "pong" {
            assert_eq!(heard["data"]["n"], next, "in order, and none is missing");
            next += 1;
        }
    }
}

#[tokio::test]
async fn a_newcomer_among_34_says_all_at_once_and_each_hears_all_of_it() {
    const MEMBERS: usize = 34;
    const COUNT: usize = 400;
    let relay = relay().await;
    let mut members = Vec::new();
    for _ in 0..MEMBERS {
        members.push(relay.y_webrtc(&["a"]).await);
    }
    // A pair talks meanwhile.
    let (mut one, mut two) = (relay.y_webrtc(&["b"]).await, relay.y_webrtc(&["b"]).await);
    let mut newcomer = members.pop().unwrap();
    // At the price of a broadcast on the relay's own wire it would take two minutes, which `soon` does not wait.
    newcomer.say_at_once(&numbered("a", COUNT, 300)).await;
    let hearing: Vec<_> = std::iter::once(newcomer)
        .chain(members)
        .map(|mut client| tokio::spawn(async move { hear_numbers(&mut client, COUNT).await }))
        .collect();
    for number in 0..50 {
        one.publish("b", json!(number)).await;
        one.expect_data("b", json!(number)).await;
        two.expect_data("b", json!(number)).await;
    }
    for hearing in hearing {
        soon("all of it", hearing).await.unwrap();
    }
}

#[tokio::test]
async fn who_reads_nothing_is_closed_as_slow_and_the_others_get_everything() {
    const COUNT: usize = 300;
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let mut slow = relay.y_webrtc(&["a"]).await;
    relay.buffers = None;
    let (mut sender, mut reader) = (relay.y_webrtc(&["a"]).await, relay.y_webrtc(&["a"]).await);
    let texts = numbered("a", COUNT, 4000);
    let sending = tokio::spawn(async move {
        sender.say_at_once(&texts).await;
        hear_numbers(&mut sender, COUNT).await;
        sender
    });
    hear_numbers(&mut reader, COUNT).await;
    let _sender = sending.await.unwrap();
    // What is left for the slow one is what was on its way.
    let mut rest = Vec::new();
    soon("the end", slow.socket.get_mut().read_to_end(&mut rest)).await.ok();
    reader.publish("a", json!("after")).await;
    assert_eq!(reader.expect_data("a", json!("after")).await, 2);
}

#[tokio::test]
async fn a_slow_reader_gets_all_of_a_burst_if_it_reads_at_all() {
    const COUNT: usize = 200;
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let mut slow = relay.y_webrtc(&["a"]).await;
    relay.buffers = None;
    let mut sender = relay.y_webrtc(&["a"]).await;
    let texts = numbered("a", COUNT, 4000);
    let sending = tokio::spawn(async move {
        sender.say_at_once(&texts).await;
        hear_numbers(&mut sender, COUNT).await;
    });
    for next in 0..COUNT {
        // Not to await anything, but to be slow.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(slow.hear().await["data"]["n"], next);
    }
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_for_whom_a_message_waits_too_long_is_closed_although_it_reads() {
    let relay = TestRelay::in_memory(both());
    let mut slow = relay.y_webrtc(&["a"]).await;
    let mut sender = relay.y_webrtc(&["a"]).await;
    let sending = tokio::spawn(async move {
        for (number, text) in numbered("a", 100, 4000).iter().enumerate() {
            sender.say_text(text).await;
            let heard = loop {
                // While it waits it hears a pong now and then.
                let heard = sender.hear().await;
                if heard["type"] != "pong" {
                    break heard;
                }
            };
            assert_eq!(heard["data"]["n"], number);
        }
    });
    // Less than one message in ten seconds, but never nothing for five.
    let mut read = 0;
    let mut byte = [0; 200];
    let began = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match slow.socket.get_mut().read(&mut byte).await {
            Ok(0) | Err(_) => break,
            Ok(bytes) => read += bytes,
        }
        assert!(began.elapsed() < Duration::from_secs(600), "{read} bytes");
    }
    sending.await.unwrap();
    assert!(read < 100 * 4000, "it was closed before it had all: {read} bytes");
}

#[tokio::test]
async fn two_who_read_nothing_of_what_each_other_says_are_closed_and_leave_the_topic_to_the_others() {
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let (one, two) = (relay.y_webrtc(&["a"]).await, relay.y_webrtc(&["a"]).await);
    let mut floods = Vec::new();
    for mut client in [one, two] {
        floods.push(tokio::spawn(async move {
            let frames: Vec<u8> =
                numbered("a", 400, 4000).iter().flat_map(|text| client::frame(client::TEXT, text.as_bytes())).collect();
            // It waits for the relay, which waits for it.
            tokio::io::AsyncWriteExt::write_all(client.socket.get_mut(), &frames).await.ok();
            let mut rest = Vec::new();
            client.socket.get_mut().read_to_end(&mut rest).await.ok();
        }));
    }
    for flood in floods {
        soon("the end", flood).await.unwrap();
    }
    let mut other = relay.y_webrtc(&["a"]).await;
    other.publish("a", json!("alone")).await;
    loop {
        let heard = other.hear().await;
        if heard["data"] == "alone" {
            assert_eq!(heard["clients"], 1);
            break;
        }
    }
}

#[tokio::test]
async fn when_a_connection_ends_its_topics_are_free_and_its_memory_too() {
    let relay = relay().await;
    let mut stays = relay.y_webrtc(&["a"]).await;
    for _ in 0..3 {
        let gone = relay.y_webrtc(&["a", "b"]).await;
        drop(gone);
    }
    // The end of a connection that was cut is seen by whoever counts next.
    loop {
        stays.publish("a", json!(0)).await;
        if stays.expect_data("a", json!(0)).await == 1 {
            break;
        }
    }
}

#[cfg(all(unix, feature = "cli"))]
mod program {
    //! The same of the program.

    use super::*;
    use crate::harness::{AnyStream, Process, binary, connect, run};

    #[tokio::test]
    async fn a_wire_that_is_none_ends_it_with_the_list_of_those_that_are() {
        let output = run(&["--listen", "127.0.0.1:0", "--wire", "y-webrtc", "--wire", "socketio"]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("--wire") && said.contains("y-webrtc, trystero, peerjs, matchbox and rxdb"), "{said}");
    }

    #[tokio::test]
    async fn the_first_screen_says_what_pages_need_and_the_log_the_wire_and_no_token() {
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0", "--wire", "y-webrtc"]).env("RUST_LOG", "debug");
        let mut relay = Process::of(command).await;
        let (screen, address) = (relay.screen.join("\n"), format!("127.0.0.1:{}", relay.port()));
        assert!(screen.contains(&format!("signaling: [\"ws://{address}/y-webrtc\"]")), "{screen}");
        assert!(!screen.contains("trystero"), "{screen}");
        let url = format!("ws://{address}/y-webrtc?token=hunter2");
        let stream: AnyStream = Box::new(connect(address.parse().unwrap()).await);
        let mut client = Client::dial(stream, &url, &[]).await.unwrap();
        client.subscribe(&["a", "b"]).await;
        client.close().await;
        let log = relay.log_until("disconnected").await;
        assert!(!log.iter().any(|line| line.contains("hunter2")), "{log:#?}");
        assert!(log.iter().any(|line| line.contains("connected") && line.contains("wire=\"y-webrtc\"")), "{log:#?}");
        assert!(log.last().unwrap().contains("place=y-webrtc/2"), "{log:#?}");
        relay.kill().await;
    }

    #[tokio::test]
    async fn the_log_names_the_wire_of_peerjs_and_the_id_and_no_key() {
        let mut command = binary();
        command
            .args(["--listen", "127.0.0.1:0", "--wire", "peerjs", "--peerjs-key", "hunter2"])
            .env("RUST_LOG", "debug");
        let mut relay = Process::of(command).await;
        let (screen, address) = (relay.screen.join("\n"), format!("127.0.0.1:{}", relay.port()));
        let options = format!("{{ host: \"127.0.0.1\", port: {}, path: \"/\", secure: false }}", relay.port());
        assert!(screen.contains(&options), "{screen}");
        let dial = async |query: &str| {
            let stream: AnyStream = Box::new(connect(address.parse().unwrap()).await);
            Client::dial(stream, &format!("ws://{address}/peerjs?{query}"), &[]).await.unwrap()
        };
        let answer = client::get(connect(address.parse().unwrap()).await, "localhost", "/hunter2/id").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let mut refused = dial("key=hunter2x&id=no%0Aone&token=hunter2").await;
        assert_eq!(refused.hear().await["type"], "ERROR");
        refused.expect_goodbye(1008).await;
        let mut client = dial("key=hunter2&id=a%20%22na&token=hunter2").await;
        assert_eq!(client.hear().await["type"], "OPEN");
        client.close().await;
        let mut log = relay.log_until("disconnected").await;
        log.extend(relay.log_until("disconnected").await);
        assert!(!log.iter().any(|line| line.contains("hunter2")), "{log:#?}");
        let has = |parts: &[&str]| log.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(has(&["refused an id", "Invalid key provided", "no\\none"]), "{log:#?}");
        assert!(has(&["connected", "wire=\"peerjs\""]), "{log:#?}");
        assert!(has(&["disconnected", "why=refused"]), "{log:#?}");
        assert!(has(&["disconnected", "place=peerjs/\"a \\\"na\""]), "{log:#?}");
        relay.kill().await;
    }
}

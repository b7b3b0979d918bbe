//! The wire of RxDB, through real sockets.

use std::sync::{Arc, Mutex};

use futures_util::SinkExt;
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, RelayEvent, Shutdown, Wire, limits};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, TestRelay, client, refusal, soon};

const ROOM: &str = "team room";

fn config() -> Config {
    Config { wires: vec![Wire::RxDb], ..Config::default() }
}

async fn relay() -> TestRelay {
    TestRelay::start_with(config()).await
}

/// Quotas that do not matter where all are at one address.
fn without_quotas() -> Config {
    Config { address_connections: 0, address_joins: 0, address_upgrades: 0, address_bytes: 0, ..config() }
}

/// A client, and the id that it was given.
struct Database {
    client: Client,
    id: String,
}

impl TestRelay {
    /// A client in no room.
    async fn database(&self) -> Database {
        self.database_at("/rxdb").await
    }

    async fn database_at(&self, path: &str) -> Database {
        let mut client = self.dial(path).await;
        let heard = client.hear().await;
        let id = heard["yourPeerId"].as_str().unwrap_or_else(|| panic!("{heard}")).to_owned();
        assert!(id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_lowercase()), "{id}");
        assert_eq!(heard, json!({"type": "init", "yourPeerId": id}));
        Database { client, id }
    }

    /// One that is in `ROOM` with these, who have heard of it.
    async fn member_beside(&self, there: &mut [&mut Database]) -> Database {
        let mut newcomer = self.database().await;
        newcomer.joins(ROOM).await;
        let mut ids: Vec<_> = there.iter().map(|one| one.id.clone()).collect();
        ids.push(newcomer.id.clone());
        for one in there {
            one.hears_list(&ids).await;
        }
        newcomer.hears_list(&ids).await;
        newcomer
    }
}

impl Database {
    async fn joins(&mut self, room: &str) {
        self.client.say(json!({"type": "join", "room": room})).await;
    }

    async fn hears_list<T: AsRef<str>>(&mut self, ids: &[T]) {
        let ids: Vec<_> = ids.iter().map(AsRef::as_ref).collect();
        assert_eq!(self.client.hear().await, json!({"type": "joined", "otherPeerIds": ids}));
    }

    /// What it says to `to` in `ROOM`.
    fn signal(&self, to: &str, data: Value) -> Value {
        json!({"type": "signal", "senderPeerId": self.id, "receiverPeerId": to, "room": ROOM, "data": data})
    }

    async fn hears_nothing(&mut self) {
        let said = self.signal(&self.id, json!("to myself"));
        self.client.say(said.clone()).await;
        assert_eq!(self.client.hear().await, said);
    }
}

#[tokio::test]
async fn everybody_hears_who_is_there_when_one_comes_and_when_one_leaves() {
    let relay = relay().await;
    let mut one = relay.member_beside(&mut []).await;
    let mut two = relay.member_beside(&mut [&mut one]).await;
    let mut three = relay.member_beside(&mut [&mut one, &mut two]).await;
    // The second time is nothing.
    two.joins(ROOM).await;
    two.client.say(json!({"type": "ping"})).await;
    two.hears_nothing().await;
    one.client.close().await;
    let rest = [two.id.clone(), three.id.clone()];
    two.hears_list(&rest).await;
    three.hears_list(&rest).await;
    drop(two);
    three.hears_list(&rest[1..]).await;
    three.hears_nothing().await;
}

#[tokio::test]
async fn of_eight_who_come_at_once_all_hear_the_same_last_list() {
    let relay = relay().await;
    let mut databases = Vec::new();
    for _ in 0..8 {
        databases.push(relay.database().await);
    }
    futures_util::future::join_all(databases.iter_mut().map(|one| one.joins(ROOM))).await;
    let mut lists = Vec::new();
    for one in &mut databases {
        let mut length = 0;
        loop {
            let heard = one.client.hear().await;
            let list = heard["otherPeerIds"].as_array().unwrap().clone();
            assert!(list.len() > length && list.contains(&json!(one.id)), "each is longer: {heard}");
            length = list.len();
            if length == 8 {
                lists.push(list);
                break;
            }
        }
        one.hears_nothing().await;
    }
    assert!(lists.iter().all(|list| *list == lists[0]));
}

#[tokio::test]
async fn a_signal_reaches_its_receiver_as_it_was_written_and_nobody_else() {
    let relay = relay().await;
    let mut one = relay.member_beside(&mut []).await;
    let mut two = relay.member_beside(&mut [&mut one]).await;
    let mut three = relay.member_beside(&mut [&mut one, &mut two]).await;
    let text = format!(
        r#" {{"data":{{"n":1.10, "s":"\u00e9"}},"type":"signal","connectionId":"c","x":1e0,"room":"team\u0020room","senderPeerId":"{}","receiverPeerId":"{}"}} "#,
        one.id, two.id
    );
    one.client.say_text(&text).await;
    assert_eq!(two.client.hear_text().await, text);
    // Its own server reads binary messages alike.
    let parts = [client::frame(0x02, &text.as_bytes()[..9]), client::frame(0x80, &text.as_bytes()[9..])];
    one.client.socket.get_mut().write_all(&parts.concat()).await.unwrap();
    assert_eq!(two.client.hear_text().await, text);
    // Nobody has the id, or nobody in that room; or it is no id, or there is no such room.
    let mut elsewhere = relay.database().await;
    elsewhere.joins("another room").await;
    elsewhere.hears_list(&[&elsewhere.id.clone()]).await;
    for (receiver, room) in [
        (json!("nobodynobody"), json!(ROOM)),
        (json!(elsewhere.id), json!(ROOM)),
        (json!(elsewhere.id), json!("another room")),
        (json!(two.id), json!("another room")),
        (json!(null), json!(ROOM)),
        (json!([two.id]), json!(ROOM)),
        (json!(two.id), json!(5)),
    ] {
        let signal = json!({"type": "signal", "senderPeerId": one.id, "receiverPeerId": receiver, "room": room});
        one.client.say(signal).await;
    }
    one.client.say(json!({"type": "signal", "senderPeerId": one.id})).await;
    for database in [&mut one, &mut two, &mut three] {
        database.hears_nothing().await;
    }
    let said =
        json!({"type": "signal", "senderPeerId": elsewhere.id, "receiverPeerId": elsewhere.id, "room": "another room"});
    elsewhere.client.say(said.clone()).await;
    assert_eq!(elsewhere.client.hear().await, said);
}

#[tokio::test]
async fn what_the_wire_does_not_know_closes_and_hurts_nobody_else() {
    let relay = relay().await;
    let mut stays = relay.member_beside(&mut []).await;
    let (long, deep) = ("x".repeat(100), format!("{}{}", "[".repeat(40), "]".repeat(40)));
    for text in [
        // The original ends as a whole at the first.
        "null",
        "",
        "{",
        "5",
        "[]",
        "nonsense",
        "{}",
        r#"{"type":"Ping"}"#,
        r#"{"type":null}"#,
        r#"{"type":"init"}"#,
        r#"{"type":"joined","otherPeerIds":[]}"#,
        r#"{"type":"join"}"#,
        r#"{"type":"join","room":5}"#,
        r#"{"type":"join","room":"12345"}"#,
        r#"{"type":"join","room":"12345\ud800"}"#,
        &format!(r#"{{"type":"join","room":"{long}"}}"#),
        &format!(r#"{{"type":"ping","data":{deep}}}"#),
        r#"{"type":"signal","receiverPeerId":"x"}"#,
        &json!({"type": "signal", "senderPeerId": stays.id, "receiverPeerId": stays.id, "room": ROOM}).to_string(),
    ] {
        let mut one = relay.member_beside(&mut [&mut stays]).await;
        // What it says after that counts no more.
        let id = stays.id.clone();
        one.client.say_at_once(&[text, &one.signal(&id, json!("more")).to_string()]).await;
        one.client.expect_goodbye(1008).await;
        stays.hears_list(&[id]).await;
    }
    let mut one = relay.member_beside(&mut [&mut stays]).await;
    one.client.socket.send(Message::binary(vec![0xff, 0])).await.unwrap();
    one.client.expect_goodbye(1008).await;
    stays.hears_list(&[stays.id.clone()]).await;
    let mut one = relay.member_beside(&mut [&mut stays]).await;
    let signal = one.signal(&stays.id, json!("x".repeat(limits::MESSAGE_BYTES)));
    one.client.say(signal).await;
    one.client.expect_goodbye(1009).await;
    stays.hears_list(&[stays.id.clone()]).await;
    stays.hears_nothing().await;
}

#[tokio::test]
async fn a_connection_may_be_in_several_rooms_which_are_apart_and_are_no_rooms_of_the_page() {
    let relay = relay().await;
    let mut page = relay.join(ROOM).await;
    let mut one = relay.member_beside(&mut []).await;
    let mut two = relay.database().await;
    one.joins("other room").await;
    one.hears_list(&[one.id.clone()]).await;
    two.joins("other room").await;
    let both = [one.id.clone(), two.id.clone()];
    for database in [&mut one, &mut two] {
        database.hears_list(&both).await;
    }
    // A name is not another one's, however much they look alike.
    for name in ["team  room", "Team room", "team room "] {
        two.joins(name).await;
        two.hears_list(&both[1..]).await;
    }
    two.client.close().await;
    one.hears_list(&both[..1]).await;
    one.hears_nothing().await;
    page.expect_nothing().await;
    assert_eq!(relay.relay.rooms(), 1);
}

#[tokio::test]
async fn a_room_has_64_members_and_who_is_beyond_is_closed_until_one_leaves() {
    let relay = TestRelay::start_with(without_quotas()).await;
    let mut there = Vec::new();
    for count in 1..=limits::RXDB_MEMBERS {
        let mut one = relay.database().await;
        one.joins(ROOM).await;
        assert_eq!(one.client.hear().await["otherPeerIds"].as_array().unwrap().len(), count);
        there.push(one);
    }
    let mut beyond = relay.database().await;
    beyond.joins(ROOM).await;
    let id = beyond.id;
    beyond.client.expect_goodbye(1013).await;
    there.pop().unwrap().client.close().await;
    let mut last = relay.database().await;
    last.joins(ROOM).await;
    let list = last.client.hear().await;
    assert_eq!(list["otherPeerIds"].as_array().unwrap().len(), limits::RXDB_MEMBERS);
    // The one beyond is in none of the lists, of which the last one is that.
    loop {
        let heard = there[0].client.hear().await;
        assert!(!heard["otherPeerIds"].as_array().unwrap().contains(&json!(id)), "{heard}");
        if heard == list {
            break;
        }
    }
}

#[tokio::test]
async fn a_connection_is_in_so_many_rooms_and_beyond_that_it_is_closed() {
    let relay = TestRelay::start_with(without_quotas()).await;
    let mut one = relay.database().await;
    for number in 0..limits::TOPICS {
        one.joins(&format!("room {number}")).await;
        one.hears_list(&[one.id.clone()]).await;
    }
    one.joins("one more").await;
    one.client.expect_goodbye(1013).await;
}

#[tokio::test]
async fn the_wire_is_off_until_it_is_turned_on_and_a_plain_get_says_whether_it_is() {
    let off = TestRelay::start().await;
    let (status, said) = off.refusal("/rxdb").await;
    assert!(status == 404 && said.contains("--wire rxdb"), "{status} {said}");
    let relay = relay().await;
    let said = relay.raw("GET /rxdb HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert_eq!(relay.refusal("/rxdb/room").await.0, 404);
    assert_eq!(relay.refusal("/rxdb?token=a&token=b").await.0, 400);
}

#[tokio::test]
async fn a_page_of_another_origin_needs_to_be_allowed() {
    let allow_origin = vec!["https://notes.example".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_origin, ..config() }).await;
    let url = format!("ws://{}/rxdb", relay.address());
    let dial = async |origin| Client::dial(relay.connect().await, &url, &[("origin", origin)]).await;
    let (status, why) = refusal(dial("https://evil.example").await);
    assert!(status == 403 && why.contains("--allow-origin"), "{status} {why}");
    assert_eq!(dial("https://notes.example").await.unwrap().hear().await["type"], "init");
}

#[tokio::test]
async fn joins_of_an_address_are_counted_and_who_has_joined_too_often_is_closed() {
    let relay = TestRelay::start_with(Config { address_joins: 1, ..config() }).await;
    let mut one = relay.database().await;
    let mut joined = 0;
    // A burst is allowed, of which this is far beyond.
    loop {
        assert!(joined < 100);
        one.joins(&format!("room {joined}")).await;
        match soon("an answer", futures_util::StreamExt::next(&mut one.client.socket)).await {
            Some(Ok(Message::Text(_))) => joined += 1,
            Some(Ok(Message::Close(Some(frame)))) => break assert_eq!(u16::from(frame.code), 1013),
            other => panic!("{other:?}"),
        }
    }
    assert!(joined > 0);
}

#[tokio::test]
async fn who_decides_is_asked_once_for_each_room_and_what_it_forbids_is_silence() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (hears, (tell, mut told)) = (Arc::clone(&asked), mpsc::unbounded_channel());
    let decide = move |request: JoinRequest| {
        let token = request.token.as_ref().map(|token| token.reveal().to_owned());
        hears.lock().unwrap().push((request.room.as_str().to_owned(), request.wire, token));
        async move {
            tokio::task::yield_now().await;
            match request.room.as_str() {
                "rxdb/forbidden" => Err(Denial::Unauthorized("not you".into())),
                "rxdb/not now" => Err(Denial::Unavailable("later".into())),
                _ => Ok(Grant::default()),
            }
        }
    };
    let observe = move |event: &RelayEvent| {
        if let RelayEvent::JoinRefused { room: Some(room), code, message, .. } = event {
            tell.send(format!("{} {} {message}", room.as_str(), code.as_str())).unwrap();
        }
    };
    let relay = TestRelay::start_as(config(), |builder| builder.authorizer(decide).observer(observe)).await;
    let mut one = relay.database_at("/rxdb?token=t").await;
    // In one breath; each waits for the decision on the one before.
    for room in ["forbidden", ROOM, "forbidden", ROOM] {
        one.joins(room).await;
    }
    one.hears_list(&[one.id.clone()]).await;
    let said = json!({"type": "signal", "senderPeerId": one.id, "receiverPeerId": one.id, "room": "forbidden"});
    one.client.say(said).await;
    one.hears_nothing().await;
    one.joins("not now").await;
    one.client.expect_goodbye(1013).await;
    let of = |room: &str| (format!("rxdb/{room}"), Some(Wire::RxDb), Some("t".to_owned()));
    assert_eq!(*asked.lock().unwrap(), ["forbidden", ROOM, "not now"].map(of));
    assert_eq!(told.recv().await.unwrap(), "rxdb/forbidden unauthorized not you");
    assert_eq!(told.recv().await.unwrap(), "rxdb/not now unavailable later");
}

#[tokio::test]
async fn an_observer_hears_who_comes_and_who_leaves() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let observe = move |event: &RelayEvent| tell.send(event.clone()).unwrap();
    let relay = TestRelay::start_as(config(), |builder| builder.observer(observe)).await;
    let one = relay.member_beside(&mut []).await;
    one.client.close().await;
    let mut words = Vec::new();
    while words.len() < 4 {
        words.push(match soon("an event", told.recv()).await.unwrap() {
            RelayEvent::Connected { wire, .. } => format!("{wire:?}"),
            RelayEvent::Joined { room, id, .. } => format!("joined {} {id}", room.as_str()),
            RelayEvent::Left { room, id, .. } => format!("left {} {id}", room.as_str()),
            RelayEvent::Disconnected { why, .. } => why,
            other => panic!("{other:?}"),
        });
    }
    let id = &one.id;
    let (joined, left) = (format!("joined rxdb/{ROOM} {id}"), format!("left rxdb/{ROOM} {id}"));
    assert_eq!(words, ["Some(RxDb)", &joined, &left, "closed by the peer"]);
}

#[tokio::test]
async fn a_relay_that_ends_says_of_nobody_that_he_left() {
    for (shutdown, code) in [(Shutdown::Restart, 1012), (Shutdown::ForGood, 1001)] {
        let mut relay = relay().await;
        let mut one = relay.member_beside(&mut []).await;
        let mut two = relay.member_beside(&mut [&mut one]).await;
        relay.tell_to_stop(shutdown);
        for database in [&mut one, &mut two] {
            match soon("the close", futures_util::StreamExt::next(&mut database.client.socket)).await {
                Some(Ok(Message::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), code),
                other => panic!("{other:?}"),
            }
        }
        drop((one, two));
        relay.stopped().await;
    }
}

#[cfg(all(unix, feature = "cli"))]
mod program {
    //! The same of the program.

    use super::*;
    use crate::harness::{AnyStream, Process, binary, connect};

    #[tokio::test]
    async fn the_log_says_the_wire_the_rooms_and_the_id_and_no_token() {
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0", "--wire", "rxdb"]).env("RUST_LOG", "debug");
        let mut relay = Process::of(command).await;
        let (screen, address) = (relay.screen.join("\n"), format!("127.0.0.1:{}", relay.port()));
        let line = format!("getConnectionHandlerSimplePeer({{ signalingServerUrl: \"ws://{address}/rxdb\" }})");
        assert!(screen.contains(&line), "{screen}");
        let mut ids = Vec::new();
        for rooms in [&[][..], &["a \"room\""], &["a \"room\"", "b room", "c room"]] {
            let stream: AnyStream = Box::new(connect(address.parse().unwrap()).await);
            let url = format!("ws://{address}/rxdb?token=hunter2");
            let mut client = Client::dial(stream, &url, &[]).await.unwrap();
            ids.push(client.hear().await["yourPeerId"].as_str().unwrap().to_owned());
            for room in rooms {
                client.say(json!({"type": "join", "room": room})).await;
                client.expect("joined").await;
            }
            if rooms.is_empty() {
                client.say_text("null").await;
                client.expect_goodbye(1008).await;
            } else {
                client.close().await;
            }
        }
        let mut log = Vec::new();
        while log.iter().filter(|line: &&String| line.contains("disconnected")).count() < ids.len() {
            let line = relay.next_log().await.unwrap();
            assert!(!line.contains("hunter2"), "{line}");
            log.push(line);
        }
        let has = |parts: &[&str]| log.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(has(&["connected", "wire=\"rxdb\""]), "{log:#?}");
        let why = "why=a message that its wire does not know";
        assert!(has(&["disconnected", &format!("place=rxdb/{}", ids[0]), why]), "{log:#?}");
        assert!(has(&["disconnected", &format!(r#"place="rxdb/a \"room\""/{}"#, ids[1])]), "{log:#?}");
        assert!(has(&["disconnected", &format!(r#"place="rxdb/a \"room\""+2/{}"#, ids[2])]), "{log:#?}");
        relay.kill().await;
    }
}

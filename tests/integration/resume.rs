//! Places that survive a lost network, on real sockets: what a client that comes back is told, and those in its room.
//! (`src/peer/resume_model.rs` checks the same without sockets, with random histories.)

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::{Config, Grant, JoinRequest, RelayBuilder, RelayEvent, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::time::{advance, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::harness::client::{AnyStream, frame};
use crate::harness::pki::{self, Pki};
use crate::harness::places::{HOLD, cannot_come_back, come_back, hears_who, resumable, resume};
use crate::harness::{Client, Dice, TestRelay, soon};

#[tokio::test]
async fn who_comes_back_has_the_same_id_and_gets_what_was_said_meanwhile() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (mut phone, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    phone.say(json!({"type": "message", "data": "before"})).await;
    phone.say_text("not JSON").await;
    phone.expect_error("bad_json").await;
    stays.expect("message").await;
    let id = phone.id.clone();
    drop(phone);
    hears_who(&mut stays, "peer_away", &id).await;
    let mut newcomer = relay.dial("/ws").await;
    let joined = newcomer.join("r").await;
    assert_eq!(joined["peers"][1], json!({"id": id, "away": true}));
    hears_who(&mut stays, "peer_joined", &newcomer.id).await;
    for data in 0..3 {
        stays.say(json!({"type": "message", "to": id, "data": data})).await;
    }
    stays.expect_nothing().await;

    let (mut phone, resumed) = come_back(&relay, &token, 2).await;
    assert_eq!((&resumed["id"], &resumed["room"], &resumed["received"]), (&json!(id), &json!("r"), &json!(2)));
    assert_eq!((&resumed["host"], &resumed["resume"]["token"]), (&json!(stays.id), &json!(token)));
    assert_eq!(resumed["peers"].as_array().unwrap().len(), 2);
    hears_who(&mut stays, "peer_back", &id).await;
    hears_who(&mut newcomer, "peer_back", &id).await;
    hears_who(&mut phone, "peer_joined", &newcomer.id).await;
    for data in 0..3 {
        assert_eq!(phone.expect("message").await["data"], data);
    }
    phone.say(json!({"type": "message", "data": "after"})).await;
    assert_eq!(stays.expect("message").await["data"], "after");
    drop(phone);

    // Joined, the error, `peer_joined` and the first of the three: the client may have less than it was sent.
    let (mut phone, resumed) = come_back(&relay, &token, 4).await;
    assert_eq!(resumed["received"], 3);
    for data in 1..3 {
        assert_eq!(phone.expect("message").await["data"], data);
    }
    phone.expect_nothing().await;
}

#[tokio::test]
async fn who_joins_and_who_comes_back_hears_how_large_a_message_may_be() {
    let relay = TestRelay::start_with(Config { max_message_bytes: 500, ..Config::default() }).await;
    let mut stays = relay.dial("/ws").await;
    assert_eq!(stays.join("r").await["maxMessageBytes"], 500);
    let (phone, token) = resumable(&relay, "r").await;
    drop(phone);
    let (mut phone, resumed) = come_back(&relay, &token, 1).await;
    assert_eq!(resumed["maxMessageBytes"], 500);
    let envelope = r#"{"type":"message","data":""}"#.len();
    phone.say(json!({"type": "message", "data": "x".repeat(500 - envelope)})).await;
    while stays.hear().await["type"] != "message" {}
    phone.say(json!({"type": "message", "data": "x".repeat(501 - envelope)})).await;
    phone.expect_close_code(1009).await;
}

#[tokio::test]
async fn a_place_is_only_for_those_who_ask_and_not_where_it_is_turned_off() {
    let relay = TestRelay::start().await;
    let mut plain = relay.dial("/ws").await;
    assert!(plain.join("r").await.get("resume").is_none());
    let mut by_url = relay.dial("/?room=r&resume=1").await;
    assert!(by_url.expect_joined().await["resume"]["token"].is_string());
    hears_who(&mut plain, "peer_joined", &by_url.id).await;
    drop(by_url);
    plain.expect("peer_away").await;
    let relay = TestRelay::start_with(Config { hold_ms: 0, ..Config::default() }).await;
    let mut client = relay.dial("/?room=r&resume=1").await;
    assert!(client.expect_joined().await.get("resume").is_none());
}

#[tokio::test]
async fn who_leaves_or_breaks_a_rule_has_no_place_any_more() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let close = |code: u16| Some(CloseFrame { code: code.into(), reason: "".into() });
    for (close, reason) in [(None, "closed"), (close(1000), "closed"), (close(1001), "closed")] {
        let (mut client, token) = resumable(&relay, "r").await;
        stays.expect("peer_joined").await;
        client.socket.close(close).await.unwrap();
        assert_eq!(stays.expect("peer_left").await["reason"], reason);
        cannot_come_back(&relay, &token).await;
    }
    let (mut client, _) = resumable(&relay, "r").await;
    client.say(json!({"type": "leave"})).await;
    stays.expect("peer_joined").await;
    assert_eq!(stays.expect("peer_left").await["reason"], "left");
    for broken in [frame(0x82, b"binary"), frame(0x81, b"\xff"), frame(0xf1, b"reserved")] {
        let (mut client, _) = resumable(&relay, "r").await;
        stays.expect("peer_joined").await;
        client.socket.get_mut().write_all(&broken).await.unwrap();
        assert_eq!(stays.expect("peer_left").await["reason"], "policy");
    }
    let (mut client, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    client.socket.close(close(4000)).await.unwrap();
    stays.expect("peer_away").await;
    come_back(&relay, &token, 1).await;
    stays.expect("peer_back").await;
}

#[tokio::test]
async fn a_new_connection_takes_over_from_one_that_looks_alive_and_nobody_is_told() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (mut wifi, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let (mut mobile, resumed) = come_back(&relay, &token, 1).await;
    assert_eq!(resumed["id"], wifi.id);
    wifi.expect_close_code(4001).await;
    stays.expect_nothing().await;
    let (mut later, _) = come_back(&relay, &token, 1).await;
    mobile.expect_close_code(4001).await;
    later.say(json!({"type": "message", "data": 1})).await;
    assert_eq!(stays.expect("message").await["from"], wifi.id);
}

#[tokio::test(start_paused = true)]
async fn when_the_hold_is_over_the_place_is_gone() {
    let relay = TestRelay::in_memory(Config::default());
    let mut stays = relay.join("r").await;
    let (client, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let id = client.id.clone();
    drop(client);
    hears_who(&mut stays, "peer_away", &id).await;
    advance(HOLD - Duration::from_secs(1)).await;
    stays.expect_nothing().await;
    advance(Duration::from_secs(2)).await;
    assert_eq!(hears_who(&mut stays, "peer_left", &id).await["reason"], "timeout");
    let mut late = relay.dial("/ws").await;
    late.say(resume(&token, 1)).await;
    late.expect_error("resume_failed").await;
    late.join("r").await;
}

#[tokio::test]
async fn a_host_that_comes_back_is_the_host_again_and_its_room_is_still_locked() {
    let relay = TestRelay::start().await;
    let (mut host, token) = resumable(&relay, "r").await;
    let mut stays = relay.join("r").await;
    host.expect("peer_joined").await;
    host.say(json!({"type": "lock", "locked": true})).await;
    for client in [&mut host, &mut stays] {
        client.expect("room").await;
    }
    let id = host.id.clone();
    drop(host);
    hears_who(&mut stays, "peer_away", &id).await;
    let mut visitor = relay.dial("/ws").await;
    visitor.say(json!({"type": "join", "room": "r", "id": "visitor"})).await;
    visitor.expect("waiting").await;
    stays.say(json!({"type": "kick", "to": id})).await;
    stays.expect_error("not_host").await;

    let (mut host, resumed) = come_back(&relay, &token, 3).await;
    assert_eq!((&resumed["host"], &resumed["locked"]), (&json!(id), &json!(true)));
    assert!(resumed.get("password").is_none());
    hears_who(&mut stays, "peer_back", &id).await;
    hears_who(&mut host, "knock", "visitor").await;
    host.say(json!({"type": "admit", "to": "visitor"})).await;
    assert_eq!(visitor.expect_joined().await["host"], id);
    for client in [&mut host, &mut stays] {
        hears_who(client, "peer_joined", "visitor").await;
    }
}

#[tokio::test]
async fn who_was_kicked_does_not_come_back_with_its_token() {
    let relay = TestRelay::start().await;
    let mut host = relay.join("r").await;
    for is_away in [false, true] {
        let (mut kicked, token) = resumable(&relay, "r").await;
        host.expect("peer_joined").await;
        let id = kicked.id.clone();
        let kick = json!({"type": "kick", "to": id});
        if is_away {
            drop(kicked);
            hears_who(&mut host, "peer_away", &id).await;
            host.say(kick).await;
        } else {
            host.say(kick).await;
            kicked.expect_error("kicked").await;
        }
        assert_eq!(hears_who(&mut host, "peer_left", &id).await["reason"], "kicked");
        cannot_come_back(&relay, &token).await;
    }
    host.expect_nothing().await;
}

#[tokio::test]
async fn who_is_let_in_after_a_knock_has_a_place_and_who_still_knocks_has_none() {
    let relay = TestRelay::start().await;
    let mut host = relay.join("r").await;
    host.say(json!({"type": "lock", "locked": true})).await;
    host.expect("room").await;
    let join = |id| json!({"type": "join", "room": "r", "id": id, "resume": true});

    let mut gone = relay.dial("/ws").await;
    gone.say(join("gone")).await;
    gone.expect("waiting").await;
    hears_who(&mut host, "knock", "gone").await;
    drop(gone);
    hears_who(&mut host, "knock_gone", "gone").await;

    let mut guest = relay.dial("/ws").await;
    guest.say(join("guest")).await;
    guest.expect("waiting").await;
    hears_who(&mut host, "knock", "guest").await;
    guest.say(resume("no token", 0)).await;
    guest.expect_error("already_joined").await;
    guest.say(json!({"type": "message", "data": "too early"})).await;
    guest.expect_error("not_joined").await;
    host.say(json!({"type": "admit", "to": "guest"})).await;
    let joined = guest.expect_joined().await;
    let token = joined["resume"]["token"].as_str().unwrap().to_owned();
    hears_who(&mut host, "peer_joined", "guest").await;
    drop(guest);
    hears_who(&mut host, "peer_away", "guest").await;
    host.say(json!({"type": "message", "data": "meanwhile"})).await;

    // `joined` is the first message to it, and what it said outside is the first one from it.
    let (mut guest, resumed) = come_back(&relay, &token, 1).await;
    assert_eq!((&resumed["received"], &resumed["locked"]), (&json!(1), &json!(true)));
    assert_eq!(guest.expect("message").await["data"], "meanwhile");
    hears_who(&mut host, "peer_back", "guest").await;
}

#[tokio::test]
async fn a_resume_that_cannot_be_is_refused() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (mut alive, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let mut other = relay.dial("/ws").await;
    for received in [json!(null), json!("1"), json!(-1), json!(1.5)] {
        other.say(json!({"type": "resume", "token": token, "received": received})).await;
        other.expect_error("bad_message").await;
    }
    other.say(json!({"type": "resume", "token": token})).await;
    other.expect_error("bad_message").await;
    for (token, received) in [("unknown", 1), (&token, 2), (&token, u64::MAX)] {
        other.say(resume(token, received)).await;
        let error = other.expect_error("resume_failed").await;
        assert_eq!(error["retryable"], false);
    }
    alive.say(resume(&token, 1)).await;
    alive.expect_error("already_joined").await;
    stays.expect_nothing().await;
    drop(alive);
    stays.expect("peer_away").await;
    other.say(resume(&token, 9)).await;
    other.expect_error("resume_failed").await;
    assert_eq!(stays.expect("peer_left").await["reason"], "timeout");
    other.join("r").await;
}

#[tokio::test]
async fn a_client_hears_how_many_of_its_messages_were_taken() {
    let relay = TestRelay::start().await;
    let (mut client, _) = resumable(&relay, "r").await;
    for number in 1..=200_u64 {
        client.say(json!({"type": "nonsense"})).await;
        client.expect_error("unknown_type").await;
        if number % 64 == 0 {
            assert_eq!(client.expect("taken").await["received"], number);
        }
    }
}

#[tokio::test]
async fn who_floods_somebody_that_is_away_is_told_that_it_is_busy() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (client, token) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    let id = client.id.clone();
    drop(client);
    stays.expect("peer_away").await;
    let texts: Vec<String> =
        (0..100).map(|data| json!({"type": "message", "to": id, "data": data}).to_string()).collect();
    stays.say_at_once(&texts).await;
    for _ in 64..100 {
        stays.expect_error("peer_busy").await;
    }
    let (mut client, _) = come_back(&relay, &token, 1).await;
    for data in 0..64 {
        assert_eq!(client.expect("message").await["data"], data);
    }
    stays.expect("peer_back").await;
    stays.say_at_once(&texts[64..]).await;
    for data in 64..100 {
        assert_eq!(client.expect("message").await["data"], data);
    }
}

#[tokio::test]
async fn the_relay_asks_by_a_numbered_ping_what_has_arrived_when_much_is_unconfirmed() {
    let relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (mut client, _) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    for data in 0..40 {
        stays.say(json!({"type": "message", "data": data})).await;
    }
    let mut received = 1;
    loop {
        match soon("a ping", client.socket.next()).await.unwrap().unwrap() {
            Message::Text(_) => received += 1,
            Message::Ping(number) => break assert_eq!(number.as_ref(), received.to_string().as_bytes()),
            other => panic!("{other:?}"),
        }
    }
    assert!(received >= 32, "{received}");
}

#[tokio::test]
async fn an_observer_hears_of_a_place_that_is_away_and_back() {
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let observer = move |event: &RelayEvent| {
        let told = match event {
            RelayEvent::Away { id, .. } => ("away", id.to_string()),
            RelayEvent::Back { id, .. } => ("back", id.to_string()),
            RelayEvent::Left { id, .. } => ("left", id.to_string()),
            _ => return,
        };
        events.send(told).unwrap_or(());
    };
    let relay = TestRelay::start_as(Config::default(), |builder| builder.observer(observer)).await;
    let (client, token) = resumable(&relay, "r").await;
    let id = client.id.clone();
    drop(client);
    assert_eq!(soon("away", heard.recv()).await, Some(("away", id.clone())));
    let (client, _) = come_back(&relay, &token, 1).await;
    assert_eq!(soon("back", heard.recv()).await, Some(("back", id.clone())));
    client.close().await;
    assert_eq!(soon("left", heard.recv()).await, Some(("left", id)));
}

#[tokio::test(start_paused = true)]
async fn an_observer_hears_at_once_that_a_member_that_is_away_was_removed() {
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let observer = move |event: &RelayEvent| {
        let told = match event {
            RelayEvent::Joined { id, .. } => format!("{id} joined"),
            RelayEvent::Left { id, reason, .. } => format!("{id} left: {reason:?}"),
            _ => return,
        };
        events.send(told).unwrap_or(());
    };
    let identify = |request: JoinRequest| async move {
        let mut grant = Grant::from(&request);
        grant.is_identified = true;
        Ok(grant)
    };
    let with = |builder: RelayBuilder| builder.observer(observer).authorizer(identify);
    let relay = TestRelay::in_memory_as(Config::default(), with);
    let mut host = relay.dial("/ws").await;
    host.join_with_id("r", "host").await;
    let join = json!({"type": "join", "room": "r", "id": "bob", "resume": true});
    for _ in 0..2 {
        let mut bob = relay.dial("/ws").await;
        bob.say(join.clone()).await;
        bob.expect_joined().await;
        drop(bob);
        while host.hear().await["type"] != "peer_away" {}
    }
    host.say(json!({"type": "kick", "to": "bob"})).await;
    while host.hear().await["reason"] != "kicked" {}
    let mut told = Vec::new();
    for _ in 0..5 {
        told.push(soon("an event", heard.recv()).await.unwrap());
    }
    assert_eq!(told, ["host joined", "bob joined", "bob left: Timeout", "bob joined", "bob left: Kicked"]);
}

#[tokio::test(start_paused = true)]
async fn as_many_places_of_an_address_are_held_as_it_may_have_connections() {
    let relay = TestRelay::in_memory(Config { address_connections: 2, ..Config::default() });
    let mut stays = relay.join("r").await;
    let mut tokens = Vec::new();
    for outcome in ["peer_away", "peer_away", "peer_left"] {
        let (client, token) = resumable(&relay, "r").await;
        stays.expect("peer_joined").await;
        drop(client);
        assert_eq!(stays.hear().await["type"], outcome);
        tokens.push(token);
    }
    // They are in nobody's way who comes back, and who is back makes room for another one.
    let (client, _) = come_back(&relay, &tokens[0], 1).await;
    stays.expect("peer_back").await;
    drop(client);
    stays.expect("peer_away").await;
    let mut gone = relay.dial("/ws").await;
    gone.say(resume(&tokens[2], 1)).await;
    gone.expect_error("resume_failed").await;
}

#[tokio::test]
async fn places_do_not_keep_a_relay_from_ending() {
    let mut relay = TestRelay::start().await;
    let mut stays = relay.join("r").await;
    let (client, _) = resumable(&relay, "r").await;
    stays.expect("peer_joined").await;
    drop(client);
    stays.expect("peer_away").await;
    relay.tell_to_stop(Shutdown::Restart);
    stays.expect("goaway").await;
    stays.expect_goodbye(1012).await;
    let inner = Arc::clone(&relay.relay);
    relay.stopped().await;
    assert_eq!((inner.rooms(), inner.connections()), (0, 0));
}

/// A network that loses each connection after a random number of bytes. The relay notices at once, or only later.
async fn bad_network(relay: std::net::SocketAddr, mut dice: Dice) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(relay).await.unwrap();
            let (up, down) = (dice.below(30_000), dice.below(60_000));
            let late = Duration::from_millis(dice.below(2) * 300);
            tokio::spawn(async move {
                let (client_reader, client_writer) = client.into_split();
                let (server_reader, server_writer) = server.into_split();
                let ends = tokio::select! {
                    ends = carry(client_reader, server_writer, up) => (Some(ends), None),
                    ends = carry(server_reader, client_writer, down) => (None, Some(ends)),
                };
                // The client's end is closed now, and the relay's perhaps later.
                sleep(late).await;
                drop(ends);
            });
        }
    });
    address
}

async fn carry(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    most: u64,
) -> (tcp::OwnedReadHalf, tcp::OwnedWriteHalf) {
    let mut rest = most as usize;
    let mut buffer = [0; 4096];
    while rest > 0 {
        let most = rest.min(buffer.len());
        match from.read(&mut buffer[..most]).await {
            Ok(read @ 1..) if to.write_all(&buffer[..read]).await.is_ok() => rest -= read,
            _ => break,
        }
    }
    (from, to)
}

/// A client that comes back by itself, says numbered messages to the others, and checks what it hears.
struct Member {
    network: std::net::SocketAddr,
    tls: Option<TlsConnector>,
    socket: Option<Client>,
    id: String,
    token: String,
    others: Vec<String>,
    received: u64,
    taken: u64,
    /// What it said after the first `taken` messages.
    log: Vec<String>,
    /// Numbers to say again, and to whom, because they were busy.
    refused: Vec<(u64, String)>,
    said: u64,
    turn: u64,
    /// By sender: the turn of the last message, and the numbers of all.
    heard: HashMap<String, (u64, HashSet<u64>)>,
    away: HashSet<String>,
    resumed: u64,
}

impl Member {
    /// Says `all` messages and hears those of the others, until everybody has heard `expected` in all.
    async fn run(mut self, all: u64, expected: u64, arrived: Arc<AtomicU64>) -> u64 {
        while arrived.load(Ordering::Relaxed) < expected {
            let Some(socket) = &mut self.socket else {
                self.come_back().await;
                continue;
            };
            let is_ahead = self.log.len() > 200;
            let has_more = !self.refused.is_empty() || self.said < all;
            let heard = tokio::select! {
                biased;
                heard = timeout(Duration::from_millis(50), socket.socket.next()) => heard,
                () = std::future::ready(()), if has_more && !is_ahead => {
                    self.say_next().await;
                    continue;
                }
            };
            match heard {
                Ok(Some(Ok(Message::Text(text)))) => {
                    self.received += 1;
                    self.hear(&serde_json::from_str(&text).unwrap(), &arrived);
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) | Err(_) => {}
                Ok(_) => self.socket = None,
            }
        }
        self.resumed
    }

    async fn come_back(&mut self) {
        let stream = TcpStream::connect(self.network).await.unwrap();
        let stream: AnyStream = match &self.tls {
            Some(tls) => match pki::shake_hands(tls, stream, "localhost").await {
                Ok(stream) => Box::new(stream),
                Err(_) => return,
            },
            None => Box::new(stream),
        };
        let Ok(mut client) = Client::dial(stream, "ws://localhost/ws", &[]).await else { return };
        let resume = resume(&self.token, self.received).to_string();
        if client.socket.send(Message::text(resume)).await.is_err() {
            return;
        }
        loop {
            match soon("`resumed`", client.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    let resumed: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!((&resumed["type"], &resumed["id"]), (&json!("resumed"), &json!(self.id)), "{resumed}");
                    self.note_taken(resumed["received"].as_u64().unwrap());
                    break;
                }
                Some(Ok(Message::Ping(_))) => {}
                _ => return,
            }
        }
        self.resumed += 1;
        for text in &self.log {
            if client.socket.send(Message::text(text.clone())).await.is_err() {
                return;
            }
        }
        self.socket = Some(client);
    }

    fn note_taken(&mut self, taken: u64) {
        // A `taken` that is sent again says less than `resumed`.
        self.log.drain(..taken.saturating_sub(self.taken) as usize);
        self.taken = self.taken.max(taken);
    }

    async fn say_next(&mut self) {
        let (number, to) = self.refused.pop().unwrap_or_else(|| {
            self.said += 1;
            (self.said, self.others[self.said as usize % self.others.len()].clone())
        });
        self.turn += 1;
        let message = json!({"type": "message", "to": to, "ref": number.to_string(), "data": self.turn});
        self.log.push(message.to_string());
        if let Some(client) = &mut self.socket
            && client.socket.send(Message::text(message.to_string())).await.is_err()
        {
            self.socket = None;
        }
    }

    fn hear(&mut self, message: &Value, arrived: &AtomicU64) {
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        match message["type"].as_str().unwrap() {
            "message" => {
                let (turn, numbers) = self.heard.entry(message["from"].as_str().unwrap().to_owned()).or_default();
                let now = message["data"].as_u64().unwrap();
                assert!(*turn < now, "out of order: {message} after {turn}");
                *turn = now;
                assert!(numbers.insert(message["ref"].as_str().unwrap().parse().unwrap()), "twice: {message}");
                arrived.fetch_add(1, Ordering::Relaxed);
            }
            "error" => {
                assert_eq!(message["code"], "peer_busy", "{message}");
                let number = message["ref"].as_str().unwrap().parse().unwrap();
                self.refused.push((number, message["to"].as_str().unwrap().to_owned()));
            }
            "peer_away" => assert!(self.away.insert(id), "away already: {message}"),
            "peer_back" => assert!(self.away.remove(&id), "was not away: {message}"),
            "taken" => self.note_taken(message["received"].as_u64().unwrap()),
            _ => panic!("{message}"),
        }
    }
}

/// How many times the members had to come back.
async fn talk_over_a_bad_network(messages: u64, seed: u64, pki: Option<&Pki>) -> u64 {
    const MEMBERS: u64 = 3;
    let config = Config {
        message_rate: 0,
        byte_rate: 0,
        address_upgrades: 0,
        address_joins: 0,
        address_bytes: 0,
        ..Config::default()
    };
    let relay = match pki {
        Some(pki) => TestRelay::start_tls(pki, config).await,
        None => TestRelay::start_with(config).await,
    };
    let network = bad_network(relay.address(), Dice(seed)).await;
    let mut members = Vec::new();
    let ids: Vec<String> = (0..MEMBERS).map(|number| format!("m{number}")).collect();
    for id in &ids {
        // The first connection is a good one.
        let mut client = relay.dial("/ws").await;
        client.say(json!({"type": "join", "room": "r", "id": id, "resume": true})).await;
        let joined = client.expect_joined().await;
        members.push(Member {
            network,
            tls: pki.map(Pki::client),
            socket: Some(client),
            id: id.clone(),
            token: joined["resume"]["token"].as_str().unwrap().to_owned(),
            others: ids.iter().filter(|other| *other != id).cloned().collect(),
            received: 1,
            taken: 0,
            log: Vec::new(),
            refused: Vec::new(),
            said: 0,
            turn: 0,
            heard: HashMap::new(),
            away: HashSet::new(),
            resumed: 0,
        });
    }
    for (at, member) in members.iter_mut().enumerate() {
        for _ in at + 1..ids.len() {
            member.socket.as_mut().unwrap().expect("peer_joined").await;
            member.received += 1;
        }
        // Now onto the bad network, while the good connection lives on: the first takeover.
        let good = member.socket.take().unwrap();
        tokio::spawn(good.expect_goodbye(4001));
    }
    let arrived = Arc::new(AtomicU64::new(0));
    let each = messages / MEMBERS;
    let tasks: Vec<_> = members
        .into_iter()
        .map(|member| tokio::spawn(member.run(each, each * MEMBERS, Arc::clone(&arrived))))
        .collect();
    let mut resumed = 0;
    for task in tasks {
        resumed += task.await.unwrap();
    }
    assert_eq!(arrived.load(Ordering::Relaxed), each * MEMBERS);
    resumed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_messages_over_a_network_that_breaks_all_the_time_arrive_once_and_in_order() {
    let resumed =
        timeout(Duration::from_secs(120), talk_over_a_bad_network(10_000, 7, None)).await.expect("all arrive in time");
    assert!(resumed > 20, "the network broke only {resumed} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_they_do_so_too() {
    let pki = Pki::new();
    let talk = talk_over_a_bad_network(4_000, 5, Some(&pki));
    let resumed = timeout(Duration::from_secs(120), talk).await.expect("all arrive in time");
    assert!(resumed > 10, "the network broke only {resumed} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --test integration resume -- --ignored"]
async fn a_million_messages_over_such_a_network_arrive_as_well() {
    talk_over_a_bad_network(1_000_000, 11, None).await;
}

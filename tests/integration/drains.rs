//! What becomes of clients whose room lives at another relay when one of the two starts again or drains, with a real Redis.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::{Config, Shutdown};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::guests::relay;
use crate::harness::redis::Redis;
use crate::harness::{AnyStream, Client, Process, TestRelay, connect, refusal, soon};

#[tokio::test(flavor = "multi_thread")]
async fn a_door_that_starts_again_gives_its_client_the_place_back_and_so_does_another() {
    let redis = Redis::start().await;
    let (one, third) = (relay(&redis, Config::default()).await, relay(&redis, Config::default()).await);
    let mut ana = one.join("r").await;
    let mut door = redis.relay(&[]).await;
    let port = door.port();
    let dial = async |path: &str| {
        let stream: AnyStream = Box::new(connect(([127, 0, 0, 1], port).into()).await);
        Client::dial(stream, &format!("ws://localhost{path}"), &[]).await.unwrap()
    };
    let mut ben = dial("/?room=r&resume=1").await;
    let token = ben.expect_joined().await["resume"]["token"].clone();
    let id = ben.id.clone();
    ana.expect("peer_joined").await;
    let mut received = 1;
    for (signal, comes_by_another) in [("KILL", false), ("TERM", false), ("KILL", true), ("TERM", true)] {
        door.signal(signal);
        ben.expect_cut().await;
        door.end().await;
        while ana.hear().await["type"] != "peer_away" {}
        ana.say(json!({"type": "message", "data": signal})).await;
        let at_the_port = format!("127.0.0.1:{port}");
        let url = redis.url();
        door = Process::start(&["--listen", &at_the_port, "--redis", &url]).await;
        let mut back = if comes_by_another { third.dial("/ws").await } else { dial("/ws").await };
        back.say(json!({"type": "resume", "token": token, "received": received})).await;
        assert_eq!(back.expect("resumed").await["id"], id.as_str());
        assert_eq!(back.expect("message").await["data"], signal);
        received += 1;
        ana.expect("peer_back").await;
        if comes_by_another {
            // So that the door has it again.
            let mut next = dial("/ws").await;
            next.say(json!({"type": "resume", "token": token, "received": received})).await;
            next.expect("resumed").await;
            back.expect_close_code(4001).await;
            back = next;
        }
        back.id.clone_from(&id);
        ben = back;
    }
    ana.expect_nothing().await;
}

/// Asks to join the room `r`, by the URL or by a message. None when that is unavailable, or the relay of the room has said
/// goodbye instead.
async fn asks(door: &TestRelay, id: &str, is_by_url: bool) -> Option<Client> {
    let mut client = if is_by_url {
        match door.try_dial(&format!("/?room=r&id={id}")).await {
            Ok(client) => client,
            refused => {
                assert_eq!(refusal(refused).0, 503);
                return None;
            }
        }
    } else {
        let mut client = door.dial("/ws").await;
        client.say(json!({"type": "join", "room": "r", "id": id})).await;
        client
    };
    match client.socket.next().await {
        Some(Ok(Message::Text(text))) => {
            let heard: Value = serde_json::from_str(&text).unwrap();
            match heard["type"].as_str().unwrap() {
                "joined" => Some(client),
                "goaway" => None,
                _ => {
                    assert_eq!((&heard["code"], &heard["retryable"]), (&json!("unavailable"), &json!(true)), "{heard}");
                    None
                }
            }
        }
        other => panic!("no answer to {id}, but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_that_race_the_drain_of_the_rooms_relay_are_in_or_unavailable_and_all_are_together_afterwards() {
    const STREAMS: usize = 16;
    const GUESTS: usize = 4;
    let redis = Redis::start().await;
    let config = || Config { room_capacity: 128, address_connections: 1000, address_joins: 1000, ..Config::default() };
    let mut one = relay(&redis, config()).await;
    let doors = Arc::new([relay(&redis, config()).await, relay(&redis, config()).await]);
    let _ana = one.join("r").await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let streams: Vec<_> = (0..STREAMS)
        .map(|stream| {
            let (doors, tell) = (Arc::clone(&doors), tell.clone());
            tokio::spawn(async move {
                let mut clients = Vec::new();
                for number in 0..GUESTS {
                    let id = format!("{stream}-{number}");
                    let came = soon("an answer", asks(&doors[stream % 2], &id, number % 2 == 0)).await;
                    clients.push((id, came));
                    tell.send(()).unwrap();
                }
                clients
            })
        })
        .collect();
    for _ in 0..STREAMS {
        soon("joins", told.recv()).await.unwrap();
    }
    one.tell_to_stop(Shutdown::Restart);
    let mut clients = Vec::new();
    for stream in streams {
        clients.extend(soon("the stream", stream).await.unwrap());
    }
    one.stopped().await;

    // Who was in when the room moved comes again, as does who was refused.
    let mut members = Vec::new();
    for (number, (id, came)) in clients.into_iter().enumerate() {
        let stays = match came {
            Some(mut client) => is_there(&mut client).await.then_some(client),
            None => None,
        };
        let again = async {
            loop {
                if let Some(client) = asks(&doors[number % 2], &id, number % 4 < 2).await {
                    return client;
                }
            }
        };
        members.push(match stays {
            Some(client) => client,
            None => soon("the room", again).await,
        });
    }
    assert_eq!(doors[0].relay.rooms() + doors[1].relay.rooms(), 1);
    let mut last = doors[0].dial("/ws").await;
    let joined = last.join("r").await;
    assert_eq!(joined["peers"].as_array().unwrap().len(), STREAMS * GUESTS, "{joined}");
    last.say(json!({"type": "message", "data": "all of you"})).await;
    for member in &mut members {
        while soon("the message", member.hear()).await["data"] != "all of you" {}
    }
}

/// Whether the relay of its room still serves this client, which reads all that came until then.
async fn is_there(client: &mut Client) -> bool {
    let question = Message::text(r#"{"type":"?","ref":"still here"}"#);
    if client.socket.send(question).await.is_err() {
        return false;
    }
    loop {
        match soon("an answer", client.socket.next()).await {
            Some(Ok(Message::Text(text))) if text.contains("still here") => return true,
            Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
            _ => return false,
        }
    }
}

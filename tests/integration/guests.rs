//! Clients whose room lives at another relay than the one that they dial, with a real Redis: who lets them in, what they come
//! by, and what becomes of them when a relay starts again or drains.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use futures_util::StreamExt;
use serde_json::{Value, json};
use signaling_relay::{Config, Relay, Shutdown, TrustedProxy, limits};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;

use super::auth::{SECRET, claims, hs256};
use crate::harness::pki::Pki;
use crate::harness::redis::Redis;
use crate::harness::{AnyStream, Client, Process, TestRelay, connect, refusal, secret_file, soon};

/// A relay that is one with all others of this Redis.
async fn relay(redis: &Redis, config: Config) -> TestRelay {
    TestRelay::start_with(Config { redis: redis.config().redis, ..config }).await
}

/// One that believes what a proxy on this machine says.
fn behind_a_proxy() -> Config {
    Config { trusted_proxy: vec!["127.0.0.1".parse::<TrustedProxy>().unwrap()], ..Config::default() }
}

/// Somebody with these headers at `relay`.
async fn dial(relay: &TestRelay, path: &str, headers: &[(&'static str, &str)]) -> Client {
    Client::dial(relay.connect().await, &format!("ws://{}{path}", relay.address()), headers).await.unwrap()
}

/// Joins the room `r` with a password; the first message that comes back.
async fn say_password(client: &mut Client, password: &str) -> Value {
    client.say(json!({"type": "join", "room": "r", "password": password})).await;
    client.hear().await
}

/// Two who are in a room say to each other what is short and what is long, and one leaves.
async fn talk<A, B>(ana: &mut Client<A>, mut ben: Client<B>)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    assert_eq!(ana.expect("peer_joined").await["id"], ben.id.as_str());
    for sdp in ["v=0".to_owned(), "x".repeat(60_000)] {
        ben.say(json!({"type": "offer", "sdp": sdp, "to": ana.id})).await;
        assert_eq!(ana.expect("offer").await["sdp"], sdp.as_str());
        ana.say(json!({"type": "answer", "sdp": sdp, "to": ben.id})).await;
        assert_eq!(ben.expect("answer").await["sdp"], sdp.as_str());
    }
    ben.close().await;
    assert_eq!(ana.expect("peer_left").await["reason"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rooms_password_is_asked_by_a_door_and_who_guesses_is_counted_by_its_own_address() {
    let redis = Redis::start().await;
    let one = relay(&redis, behind_a_proxy()).await;
    let (other, third) = (relay(&redis, behind_a_proxy()).await, relay(&redis, behind_a_proxy()).await);
    let mut ana = one.dial("/ws").await;
    assert_eq!(say_password(&mut ana, "sesame").await["password"], true);
    let (guesser, friend) = ([("x-forwarded-for", "198.51.100.1")], [("x-forwarded-for", "198.51.100.2")]);
    for (number, door) in [&other, &third].into_iter().cycle().take(limits::WRONG_PASSWORDS).enumerate() {
        let error = say_password(&mut dial(door, "/ws", &guesser).await, &number.to_string()).await;
        assert_eq!((&error["code"], &error["retryable"]), (&json!("wrong_password"), &json!(false)), "{error}");
    }
    // Whichever way the guesser comes, even the right one is refused.
    for relay in [&other, &third, &one] {
        let error = say_password(&mut dial(relay, "/ws", &guesser).await, "sesame").await;
        assert!(error["message"].as_str().unwrap().contains("too many wrong passwords"), "{error}");
    }
    for door in [&other, &third] {
        let mut ben = dial(door, "/ws", &friend).await;
        assert_eq!(say_password(&mut ben, "Sesame").await["code"], "wrong_password");
        assert_eq!(say_password(&mut ben, "sesame").await["type"], "joined");
    }
    // By the URL nobody can say one.
    let mut by_url = dial(&other, "/?room=r", &friend).await;
    by_url.expect_error("wrong_password").await;
    by_url.expect_goodbye(1008).await;
    let mut lobby = one.dial("/ws").await;
    lobby.say(json!({"type": "join", "room": "lobby", "password": "sesame"})).await;
    lobby.expect_joined().await;
    let at_the_room = one.refusal("/").await;
    assert_eq!((other.refusal("/").await, at_the_room.0), (at_the_room, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_judged_at_the_door_and_where_the_room_lives_and_who_was_kicked_stays_outside() {
    let redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let guarded = || Config { token_secret_file: vec![secret.clone()], ..Config::default() };
    let (one, other) = (relay(&redis, guarded()).await, relay(&redis, guarded()).await);
    let token = |sub: &str, role: &str| hs256(SECRET, &claims(json!({"room": "lobby", "sub": sub, "role": role})));
    // Redis never hears of a guess.
    let (status, text) = other.refusal("/").await;
    assert!(status == 401 && text.contains("needs a token"), "{status} {text}");
    assert_eq!(redis.room("lobby").await, "");

    let mut ana = one.dial(&format!("/?token={}", token("ana", "host"))).await;
    ana.expect_joined().await;
    let way_of_eve = format!("/?token={}", token("eve", "guest"));
    let mut eve = other.dial(&way_of_eve).await;
    let joined = eve.expect_joined().await;
    assert_eq!((&joined["id"], &joined["peers"][0]["verified"]), (&json!("eve"), &json!(true)), "{joined}");
    assert_eq!(ana.expect("peer_joined").await, json!({"type": "peer_joined", "id": "eve", "verified": true}));
    let (status, text) = other.refusal("/").await;
    assert!(status == 401 && text.contains("needs a token"), "{status} {text}");
    let (at_the_room, by_a_door) = (one.refusal(&way_of_eve).await, other.refusal(&way_of_eve).await);
    assert_eq!((by_a_door, at_the_room.0), (at_the_room, 409));
    ana.say(json!({"type": "kick", "to": "eve"})).await;
    eve.expect_goodbye(1008).await;
    let (at_the_room, by_a_door) = (one.refusal(&way_of_eve).await, other.refusal(&way_of_eve).await);
    assert!(!at_the_room.1.is_empty());
    assert_eq!((by_a_door, at_the_room.0), (at_the_room, 403));
    let mut eve = other.dial("/ws").await;
    eve.say(json!({"type": "join", "room": "lobby", "token": token("eve", "guest")})).await;
    eve.expect_error("denied").await;
}

/// A webhook of one relay, which lets in everybody but Mallory under the ids that they chose, and what it was asked.
async fn webhook() -> (Config, mpsc::UnboundedReceiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::unbounded_channel();
    let decide = async move |body: Bytes| {
        let question: Value = serde_json::from_slice(&body).unwrap();
        let answer = match question["name"].as_str() {
            Some("Mallory") => json!({"allow": false, "message": "ask the host first"}),
            _ => json!({"allow": true, "id": question["id"]}),
        };
        // The test may have no more interest.
        let _ = tell.send(question);
        answer.to_string()
    };
    tokio::spawn(axum::serve(listener, Router::new().route("/", post(decide))).into_future());
    let auth_header = vec!["cookie".parse().unwrap()];
    let allow_origin = vec!["https://page.example".parse().unwrap()];
    (Config { auth_url: Some(url.parse().unwrap()), auth_header, allow_origin, ..behind_a_proxy() }, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_is_asked_once_where_the_room_lives_and_hears_what_the_client_said() {
    let redis = Redis::start().await;
    let ((at_one, mut one_asked), (at_other, mut other_asked)) = (webhook().await, webhook().await);
    let (one, other) = (relay(&redis, at_one).await, relay(&redis, at_other).await);
    let mut ana = one.dial("/?id=ana").await;
    ana.expect_joined().await;
    soon("the question", one_asked.recv()).await.unwrap();

    let headers =
        [("x-forwarded-for", "198.51.100.1"), ("cookie", "session=s3cr3t"), ("origin", "https://page.example")];
    let by_url = async || {
        let mut ben = dial(&other, "/?id=ben&name=Ben", &headers).await;
        ben.expect_joined().await;
        ben
    };
    let by_message = async || {
        let mut ben = dial(&other, "/ws", &headers).await;
        ben.say(json!({"type": "join", "room": "lobby", "id": "ben", "name": "Ben"})).await;
        ben.expect_joined().await;
        ben
    };
    let expected = json!({
        "room": "lobby", "id": "ben", "name": "Ben", "token": null, "address": "198.51.100.1",
        "origin": "https://page.example", "headers": {"cookie": "session=s3cr3t"},
    });
    for is_by_url in [true, false] {
        let ben = if is_by_url { by_url().await } else { by_message().await };
        assert_eq!(soon("the question", one_asked.recv()).await.unwrap(), expected);
        let came = json!({"type": "peer_joined", "id": "ben", "name": "Ben", "verified": true});
        assert_eq!(ana.expect("peer_joined").await, came);
        ben.close().await;
        ana.expect("peer_left").await;
    }
    // What it says goes back through the door.
    let url = format!("ws://{}/?name=Mallory", other.address());
    let refused = Client::dial(other.connect().await, &url, &headers).await;
    assert_eq!(refusal(refused), (401, "ask the host first\n".into()));
    let mut mallory = other.dial("/?room=lobby&name=Mallory").await;
    assert_eq!(mallory.expect_error("unauthorized").await["message"], "ask the host first");
    mallory.expect_goodbye(1008).await;
    let mut mallory = other.dial("/ws").await;
    mallory.say(json!({"type": "join", "room": "lobby", "name": "Mallory"})).await;
    assert_eq!(mallory.expect_error("unauthorized").await["message"], "ask the host first");
    for _ in 0..3 {
        assert_eq!(soon("the question", one_asked.recv()).await.unwrap()["name"], "Mallory");
    }
    let mut eve = other.dial("/?id=eve").await;
    eve.expect_joined().await;
    ana.expect("peer_joined").await;
    ana.say(json!({"type": "kick", "to": "eve"})).await;
    eve.expect_goodbye(1008).await;
    let (status, text) = other.refusal("/?id=eve").await;
    assert!(status == 403 && !text.is_empty(), "{status} {text}");
    for _ in 0..2 {
        assert_eq!(soon("the question", one_asked.recv()).await.unwrap()["id"], "eve");
    }

    // A room that nobody has opens where its first client is, and there the webhook was asked.
    let mut cai = other.dial("/?room=new&id=cai").await;
    cai.expect_joined().await;
    assert_eq!(soon("the question", other_asked.recv()).await.unwrap()["room"], "new");
    assert!(one_asked.try_recv().is_err() && other_asked.try_recv().is_err(), "nobody was asked twice");
    assert_eq!((one.relay.rooms(), other.relay.rooms()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_come_by_tls_by_a_unix_socket_and_by_the_server_of_an_embedder() {
    let redis = Redis::start().await;
    let one = relay(&redis, Config::default()).await;
    let mut ana = one.join("r").await;

    let pki = Pki::new();
    let secure = TestRelay::start_tls(&pki, redis.config()).await;
    for path in ["/?room=r", "/ws"] {
        let url = format!("wss://localhost:{}{path}", secure.address().port());
        let origin = format!("https://localhost:{}", secure.address().port());
        let mut ben = Client::dial(secure.connect().await, &url, &[("origin", &origin)]).await.unwrap();
        if path == "/ws" {
            ben.say(json!({"type": "join", "room": "r"})).await;
        }
        ben.expect_joined().await;
        talk(&mut ana, ben).await;
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.sock");
    let local = redis.relay(&["--listen", &format!("unix:{}", path.display())]).await;
    for url in ["ws://relay.example/?room=r", "ws://relay.example/ws"] {
        let mut ben = Client::dial(UnixStream::connect(&path).await.unwrap(), url, &[]).await.unwrap();
        if url.ends_with("/ws") {
            ben.say(json!({"type": "join", "room": "r"})).await;
        }
        ben.expect_joined().await;
        talk(&mut ana, ben).await;
    }
    local.signal("TERM");
    assert_eq!(local.end().await, Some(0));

    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let server = Relay::builder(Config { listen, ..redis.config() }).bind().await.unwrap();
    let mounted = Arc::clone(server.relay());
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(server.serve(async { stopped.await.unwrap_or(Shutdown::ForGood) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, Router::new().nest_service("/signaling/", mounted.service())).into_future());
    let dial = async |path: &str| {
        let url = format!("ws://{address}/signaling{path}");
        Client::dial(connect(address).await, &url, &[]).await
    };
    for path in ["/?room=r", "/ws"] {
        let mut ben = dial(path).await.unwrap();
        if path == "/ws" {
            ben.say(json!({"type": "join", "room": "r"})).await;
        }
        ben.expect_joined().await;
        talk(&mut ana, ben).await;
    }
    let mut lobby = [one.dial("/").await, one.dial("/").await];
    lobby[0].expect_joined().await;
    lobby[1].expect_joined().await;
    assert_eq!(refusal(dial("/").await), one.refusal("/").await);
    let mut ben = dial("/?room=r").await.unwrap();
    ben.expect_joined().await;
    ana.expect("peer_joined").await;
    stop.send(Shutdown::Restart).unwrap();
    ben.expect_cut().await;
    soon("the end", serving).await.unwrap();
    assert_eq!((mounted.connections(), mounted.rooms()), (0, 0));
    assert_eq!(ana.expect("peer_left").await["reason"], "closed");
}

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

/// What a join came to.
enum Came {
    /// It is in the room, or was until its connection ended.
    In(Client),
    Unavailable,
    /// The relay of the room said goodbye instead.
    SentAway,
}

/// Asks to join the room `r`, by the URL or by a message.
async fn asks(door: &TestRelay, id: &str, is_by_url: bool) -> Came {
    let mut client = if is_by_url {
        match door.try_dial(&format!("/?room=r&id={id}")).await {
            Ok(client) => client,
            refused => {
                assert_eq!(refusal(refused).0, 503);
                return Came::Unavailable;
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
                "joined" => Came::In(client),
                "goaway" => Came::SentAway,
                _ => {
                    assert_eq!((&heard["code"], &heard["retryable"]), (&json!("unavailable"), &json!(true)), "{heard}");
                    Came::Unavailable
                }
            }
        }
        other => panic!("no answer to {id}, but {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_that_race_the_drain_of_the_rooms_relay_are_in_or_unavailable_and_all_are_together_afterwards() {
    const GUESTS: usize = 20;
    const BEFORE: usize = 5;
    let redis = Redis::start().await;
    let config = || Config { room_capacity: 64, address_connections: 1000, address_joins: 1000, ..Config::default() };
    let mut one = relay(&redis, config()).await;
    let doors = Arc::new([relay(&redis, config()).await, relay(&redis, config()).await]);
    let _ana = one.join("r").await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let sent_away = Arc::new(AtomicUsize::new(0));
    let streams: Vec<_> = (0..2)
        .map(|stream| {
            let (doors, tell, sent_away) = (Arc::clone(&doors), tell.clone(), Arc::clone(&sent_away));
            tokio::spawn(async move {
                let mut clients = Vec::new();
                for number in 0..GUESTS {
                    let id = format!("{stream}-{number}");
                    let came = soon("an answer", asks(&doors[stream], &id, number % 2 == 0)).await;
                    sent_away.fetch_add(usize::from(matches!(came, Came::SentAway)), Ordering::SeqCst);
                    clients.push((id, came));
                    tell.send(()).unwrap();
                }
                clients
            })
        })
        .collect();
    for _ in 0..BEFORE {
        soon("joins", told.recv()).await.unwrap();
    }
    one.tell_to_stop(Shutdown::Restart);
    let mut clients = Vec::new();
    for stream in streams {
        clients.extend(soon("the stream", stream).await.unwrap());
    }
    one.stopped().await;
    assert!(
        sent_away.load(Ordering::SeqCst) <= 2,
        "one of each stream at most was on its way when the relay said goodbye"
    );

    // Who was in when the room moved comes again, as does who was refused.
    let mut members = Vec::new();
    for (number, (id, came)) in clients.into_iter().enumerate() {
        let stays = match came {
            Came::In(mut client) => is_there(&mut client).await.then_some(client),
            Came::Unavailable | Came::SentAway => None,
        };
        let again = async {
            loop {
                if let Came::In(client) = asks(&doors[number % 2], &id, number % 4 < 2).await {
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
    assert_eq!(joined["peers"].as_array().unwrap().len(), 2 * GUESTS, "{joined}");
    last.say(json!({"type": "message", "data": "all of you"})).await;
    for member in &mut members {
        while soon("the message", member.hear()).await["data"] != "all of you" {}
    }
}

/// Whether the relay of its room still serves this client, which reads all that came until then.
async fn is_there(client: &mut Client) -> bool {
    use futures_util::SinkExt;
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

//! Clients whose room lives at another relay than the one that they dial, with a real Redis: who lets them in, and what they
//! come by.

use std::future::IntoFuture;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};
use signaling_relay::{AuthUrl, Config, Relay, Shutdown, TrustedProxy, limits};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::auth::{SECRET, claims, hs256};
use crate::harness::pki::Pki;
use crate::harness::redis::Redis;
use crate::harness::{Client, TestRelay, connect, refusal, secret_file, soon};

/// A relay that is one with all others of this Redis.
pub(super) async fn relay(redis: &Redis, config: Config) -> TestRelay {
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
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
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

/// A webhook of one relay, which lets in everybody but Mallory under the ids that they chose.
struct Webhook {
    url: AuthUrl,
    /// What it was asked.
    asked: mpsc::UnboundedReceiver<Value>,
    /// For each permit it answers somebody whose name is Slow.
    patience: Arc<Semaphore>,
}

impl Webhook {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (tell, asked) = mpsc::unbounded_channel();
        let patience = Arc::new(Semaphore::new(0));
        let permits = Arc::clone(&patience);
        let decide = async move |body: Bytes| {
            let question: Value = serde_json::from_slice(&body).unwrap();
            let (id, name) = (question["id"].clone(), question["name"].as_str().unwrap_or_default().to_owned());
            // The test may have no more interest.
            let _ = tell.send(question);
            if name == "Slow" {
                permits.acquire().await.unwrap().forget();
            }
            match name.as_str() {
                "Mallory" => json!({"allow": false, "message": "ask the host first"}),
                _ => json!({"allow": true, "id": id}),
            }
            .to_string()
        };
        tokio::spawn(axum::serve(listener, Router::new().route("/", post(decide))).into_future());
        Self { url: url.parse().unwrap(), asked, patience }
    }

    /// A relay that asks it.
    fn config(&self) -> Config {
        let auth_header = vec!["cookie".parse().unwrap()];
        let allow_origin = vec!["https://page.example".parse().unwrap()];
        Config { auth_url: Some(self.url.clone()), auth_header, allow_origin, ..behind_a_proxy() }
    }

    /// The next question.
    async fn question(&mut self) -> Value {
        soon("the question", self.asked.recv()).await.unwrap()
    }

    /// Asserts that there was no other.
    fn expect_nothing(&mut self) {
        assert!(self.asked.try_recv().is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_webhook_is_asked_once_where_the_room_lives_and_hears_what_the_client_said() {
    let redis = Redis::start().await;
    let (mut there, mut here) = (Webhook::start().await, Webhook::start().await);
    let (one, other) = (relay(&redis, there.config()).await, relay(&redis, here.config()).await);
    let mut ana = one.dial("/?id=ana").await;
    ana.expect_joined().await;
    there.question().await;

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
        assert_eq!(there.question().await, expected);
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
        assert_eq!(there.question().await["name"], "Mallory");
    }
    let mut eve = other.dial("/?id=eve").await;
    eve.expect_joined().await;
    ana.expect("peer_joined").await;
    ana.say(json!({"type": "kick", "to": "eve"})).await;
    eve.expect_goodbye(1008).await;
    let (status, text) = other.refusal("/?id=eve").await;
    assert!(status == 403 && !text.is_empty(), "{status} {text}");
    for _ in 0..2 {
        assert_eq!(there.question().await["id"], "eve");
    }

    // A room that nobody has opens where its first client is, and there the webhook was asked.
    let mut cai = other.dial("/?room=new&id=cai").await;
    cai.expect_joined().await;
    assert_eq!(here.question().await["room"], "new");
    there.expect_nothing();
    here.expect_nothing();
    assert_eq!((one.relay.rooms(), other.relay.rooms()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_webhook_enters_the_room_that_another_relay_has_opened_meanwhile() {
    let redis = Redis::start().await;
    let (mut there, mut here) = (Webhook::start().await, Webhook::start().await);
    let (one, other) = (relay(&redis, there.config()).await, relay(&redis, here.config()).await);
    let waits = async || {
        let mut ben = other.dial("/?room=r&id=ben&name=Slow").await;
        ben.expect_joined().await;
        ben
    };
    let mut cai = other.dial("/ws").await;
    cai.say(json!({"type": "join", "room": "r", "id": "cai", "name": "Slow"})).await;
    let opens = async {
        for _ in 0..2 {
            here.question().await;
        }
        assert_eq!(redis.room("r").await, "", "it is nobody's until the webhook has answered");
        let mut ana = one.dial("/?room=r&id=ana").await;
        ana.expect_joined().await;
        here.patience.add_permits(2);
        there.patience.add_permits(2);
        ana
    };
    let (ben, mut ana) = tokio::join!(waits(), opens);
    cai.expect_joined().await;
    // Here no answer of another relay's webhook lets anybody in.
    assert_eq!(there.question().await["id"], "ana");
    for _ in 0..2 {
        assert_eq!(there.question().await["name"], "Slow");
    }
    there.expect_nothing();
    here.expect_nothing();
    let mut came = [ana.expect("peer_joined").await["id"].clone(), ana.expect("peer_joined").await["id"].clone()];
    came.sort_by_key(Value::to_string);
    assert_eq!(came, ["ben", "cai"]);
    assert_eq!((one.relay.rooms(), other.relay.rooms()), (1, 0));
    drop(ben);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_waits_for_the_webhook_of_the_room_as_long_as_anybody_and_leaves_no_ghost_when_it_gives_up() {
    let redis = Redis::start().await;
    let mut there = Webhook::start().await;
    let (one, other) = (relay(&redis, there.config()).await, relay(&redis, there.config()).await);
    let mut ana = one.dial("/?id=ana").await;
    ana.expect_joined().await;
    there.question().await;
    // It gives up before there is an answer.
    let join = json!({"type": "join", "room": "lobby", "name": "Slow", "ref": "join"});
    let mut by_message = other.dial("/ws").await;
    by_message.say(join.clone()).await;
    let mut by_url = other.connect().await;
    let request = "GET /?name=Slow HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    by_url.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(there.question().await["name"], "Slow");
    }
    drop((by_message, by_url));
    let gone = async {
        while one.relay.connections() > 1 || other.relay.connections() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the end of their connections", gone).await;
    there.patience.add_permits(2);
    ana.expect_nothing().await;
    there.patience.forget_permits(2);

    // The webhook says nothing: it is refused as it would be there.
    let mut waiting = other.dial("/ws").await;
    waiting.say(join).await;
    waiting.say(json!({"type": "message", "data": 1, "ref": "late"})).await;
    let (status, text) = other.refusal("/?name=Slow").await;
    assert!(status == 503 && (text.contains("took too long") || text.contains("cannot be decided now")), "{text}");
    assert_eq!(waiting.expect_error("unavailable").await["ref"], "join");
    assert_eq!(waiting.expect_error("not_joined").await["ref"], "late");
    ana.expect_nothing().await;
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

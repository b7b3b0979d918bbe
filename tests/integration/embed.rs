//! The relay inside another program: mounted in its web server, or served on streams of its own.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::RawQuery;
use axum::response::Redirect;
use axum::routing::get;
use serde_json::json;
use signaling_relay::{
    Answer, Authorizer, Config, ConnectionInfo, Denial, Grant, JoinRequest, Opaque, Relay, Shutdown,
};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::harness::pki::{self, Pki};
use crate::harness::{self, Client, TestRelay, connect, refusal, soon};

async fn members_only(request: JoinRequest) -> Result<Grant, Denial> {
    match request.name {
        Some(_) => Ok(Grant::from(&request)),
        None => Err(Denial::Unauthorized("please say your name".into())),
    }
}

async fn free_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_relay_in_axum_stands_beside_other_routes_asks_its_owner_and_ends_gracefully() {
    let relay = Relay::builder(Config::default()).authorizer(members_only).build().unwrap();
    let with_slash =
        async |RawQuery(query): RawQuery| Redirect::permanent(&format!("/signaling/?{}", query.unwrap_or_default()));
    let app = Router::new()
        .route("/", get(|| async { "my own page" }))
        .route("/signaling", get(with_slash))
        .nest_service("/signaling/", relay.service());
    let (listener, address) = free_port().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let graceful = async { stopped.await.unwrap_or_default() };
    let served = tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(graceful).into_future());

    let page = |path: &'static str| async move { harness::get(connect(address).await, "localhost", path).await };
    assert!(page("/").await.ends_with("my own page"));
    assert!(page("/signaling/healthz").await.ends_with("ok\n"));
    assert!(page("/signaling/").await.contains("<!doctype html>"));
    assert!(page("/signaling?room=r").await.contains("\r\nlocation: /signaling/?room=r\r\n"));
    assert!(page("/signaling/nothing").await.starts_with("HTTP/1.1 404"));

    let dial = |path: &'static str| async move {
        Client::dial(connect(address).await, &format!("ws://{address}/signaling{path}"), &[]).await
    };
    assert_eq!(refusal(dial("/").await), (401, "please say your name\n".into()));
    let mut refused = dial("/?room=r").await.unwrap();
    assert_eq!(refused.expect_error("unauthorized").await["retryable"], false);
    refused.expect_goodbye(1008).await;
    let mut one = dial("/?room=r&name=One").await.unwrap();
    one.expect_joined().await;
    let mut two = dial("/ws").await.unwrap();
    two.join_as("r", "Two").await;
    assert_eq!(one.expect("peer_joined").await["name"], "Two");
    two.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(one.expect("offer").await["from"], json!(two.id));
    assert_eq!(relay.rooms(), 1);

    stop.send(()).unwrap();
    let ended = async {
        tokio::join!(relay.shutdown(Shutdown::Restart), one.expect_goodbye(1012), two.expect_goodbye(1012));
    };
    soon("the end", ended).await;
    assert_eq!((relay.connections(), relay.rooms()), (0, 0));
    soon("axum's end", served).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_limit_of_all_connections_holds_for_a_relay_that_is_mounted() {
    let relay = Relay::builder(Config { max_connections: Some(1), ..Config::default() }).build().unwrap();
    let app = Router::new().nest_service("/signaling/", relay.service());
    let (listener, address) = free_port().await;
    tokio::spawn(axum::serve(listener, app).into_future());
    let dial =
        || async move { Client::dial(connect(address).await, &format!("ws://{address}/signaling/ws"), &[]).await };
    let mut one = dial().await.unwrap();
    one.join("r").await;
    let (status, said) = refusal(dial().await);
    assert!(status == 503 && said.contains("--max-connections"), "{status} {said}");
    one.close().await;
    let again = async {
        while dial().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon("the place of the first", again).await;
}

#[tokio::test]
async fn a_relay_serves_what_an_owners_listeners_accept_plain_and_by_tls_of_its_own() {
    let relay = Relay::builder(Config::default()).build().unwrap();
    let pki = Pki::new();
    let tls = pki.acceptor();
    let ((plain, plain_address), (secure, secure_address)) = (free_port().await, free_port().await);
    tokio::spawn({
        let relay = Arc::clone(&relay);
        async move {
            loop {
                let (stream, from) = plain.accept().await.unwrap();
                let relay = Arc::clone(&relay);
                tokio::spawn(async move { relay.serve_stream(stream, from).await });
            }
        }
    });
    tokio::spawn({
        let relay = Arc::clone(&relay);
        async move {
            loop {
                let (stream, from) = secure.accept().await.unwrap();
                let (relay, tls) = (Arc::clone(&relay), tls.clone());
                tokio::spawn(async move {
                    let stream = tls.accept(stream).await.unwrap();
                    relay.serve_stream(Opaque(stream), ConnectionInfo::tls(from)).await;
                });
            }
        }
    });
    let mut one = Client::dial(connect(plain_address).await, "ws://localhost/?room=r", &[]).await.unwrap();
    one.expect_joined().await;
    let stream = pki::dial(&pki.client(), secure_address, "localhost").await.unwrap();
    let page = [("origin", "https://localhost")];
    let mut two = Client::dial(stream, "wss://localhost/?room=r", &page).await.unwrap();
    two.expect_joined().await;
    one.expect("peer_joined").await;
    one.say(json!({"type": "message", "data": "x".repeat(60_000)})).await;
    assert_eq!(two.expect("message").await["data"].as_str().unwrap().len(), 60_000);
    two.say(json!({"type": "message", "data": 2})).await;
    assert_eq!(one.expect("message").await["data"], 2);
    let ended = async {
        tokio::join!(relay.shutdown(Shutdown::ForGood), one.expect_goodbye(1001), two.expect_goodbye(1001));
    };
    soon("the end", ended).await;
    assert_eq!((relay.connections(), relay.rooms()), (0, 0));
}

#[tokio::test]
async fn two_relays_in_one_process_know_nothing_of_each_other() {
    let (one, other) = (TestRelay::start().await, TestRelay::start().await);
    let (mut here, mut there) = (one.join("r").await, other.join("r").await);
    here.say(json!({"type": "message", "data": 1})).await;
    here.expect_error("peer_not_found").await;
    there.expect_nothing().await;
    drop(here);
    one.stop().await;
    there.expect_nothing().await;
    assert_eq!((other.relay.connections(), other.relay.rooms()), (1, 1));
    drop(there);
    other.stop().await;
}

/// Panics for clients of some names: at once, or in the decision that takes time.
struct Shaky;

impl Authorizer for Shaky {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        match request.name.as_ref().map(|name| name.as_str()) {
            Some("Now") => panic!("an authorizer panics at once"),
            Some("Later") => Answer::Later(Box::pin(async { panic!("an authorizer panics later") })),
            _ => Answer::Now(Ok(Grant::from(request))),
        }
    }
}

#[tokio::test]
async fn an_authorizer_that_panics_for_one_client_ends_that_connection_alone() {
    let relay = TestRelay::start_as(Config::default(), |builder| builder.authorizer(Shaky)).await;
    let (mut one, mut two) = relay.pair("r").await;
    for name in ["Now", "Later"] {
        let mut unlucky = relay.dial("/ws").await;
        unlucky.join("elsewhere").await;
        unlucky.say(json!({"type": "leave"})).await;
        unlucky.say(json!({"type": "join", "room": "r", "name": name})).await;
        unlucky.expect_cut().await;
        assert!(relay.try_dial(&format!("/?room=r&name={name}")).await.is_err(), "{name}: the upgrade is not answered");
        one.say(json!({"type": "message", "data": name})).await;
        assert_eq!(two.expect("message").await["data"], name);
    }
    relay.join("r").await.close().await;
    assert_eq!(one.expect("peer_joined").await["type"], two.expect("peer_joined").await["type"]);
    one.close().await;
    two.close().await;
    let inside = Arc::clone(&relay.relay);
    relay.stop().await;
    assert_eq!((inside.connections(), inside.rooms()), (0, 0));
}

/// A stream that panics when it is read after it was told to.
struct Brittle {
    stream: DuplexStream,
    breaks: Arc<AtomicBool>,
}

impl AsyncRead for Brittle {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        assert!(!self.breaks.load(Ordering::SeqCst), "a stream panics");
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Brittle {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_member_whose_connection_panics_leaves_its_room_even_if_the_observer_panics_too() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seer = Arc::clone(&seen);
    let relay = TestRelay::in_memory_as(Config::default(), |builder| {
        builder.observer(move |event| {
            seer.lock().unwrap().push(format!("{event:?}"));
            panic!("an observer panics at each event");
        })
    });
    let (mut one, mut two) = relay.pair("r").await;
    let breaks = Arc::new(AtomicBool::new(false));
    let (ours, stream) = duplex(4096);
    let brittle = Brittle { stream, breaks: Arc::clone(&breaks) };
    let served = tokio::spawn({
        let relay = Arc::clone(&relay.relay);
        async move { relay.serve_stream(Opaque(brittle), harness::relay::NOWHERE).await }
    });
    let mut unlucky = Client::dial(ours, "ws://localhost/?room=r", &[]).await.unwrap();
    unlucky.expect_joined().await;
    one.expect("peer_joined").await;
    two.expect("peer_joined").await;
    let id = unlucky.id.clone();
    breaks.store(true, Ordering::SeqCst);
    unlucky.say(json!({"type": "message", "data": 1})).await;
    for other in [&mut one, &mut two] {
        let left = other.expect("peer_left").await;
        assert_eq!((&left["id"], &left["reason"]), (&json!(id), &json!("closed")));
    }
    unlucky.expect_cut().await;
    soon("the end", served).await.expect("the panic ends within the relay");
    one.say(json!({"type": "message", "data": 2})).await;
    assert_eq!(two.expect("message").await["data"], 2);
    assert_eq!((relay.relay.connections(), relay.relay.rooms()), (2, 1));
    let last = seen.lock().unwrap().last().unwrap().clone();
    assert!(last.contains("Disconnected") && last.contains("it panicked"), "{last}");
    one.close().await;
    two.close().await;
    soon("the end", relay.relay.shutdown(Shutdown::ForGood)).await;
    assert_eq!((relay.relay.connections(), relay.relay.rooms()), (0, 0));
}

//! The relay inside another program: mounted in its web server, or served on streams of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod harness;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use harness::pki::{self, Pki};
use harness::{Client, connect, refusal, soon};
use serde_json::json;
use signaling_relay::{Config, ConnectionInfo, Denial, Grant, JoinRequest, Opaque, Relay, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    let app = Router::new().route("/", get(|| async { "my own page" })).nest_service("/signaling", relay.service());
    let (listener, address) = free_port().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let graceful = async { stopped.await.unwrap_or_default() };
    let served = tokio::spawn(axum::serve(listener, app).with_graceful_shutdown(graceful).into_future());

    let page = |path: &'static str| async move { harness::get(connect(address).await, "localhost", path).await };
    assert!(page("/").await.ends_with("my own page"));
    assert!(page("/signaling/healthz").await.ends_with("ok\n"));
    assert!(page("/signaling/").await.contains("<!doctype html>"));
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
async fn a_relay_serves_what_an_owners_listeners_accept_plain_and_by_tls_of_its_own() {
    let relay = Relay::builder(Config::default()).build().unwrap();
    let pki = Pki::new();
    let (cert, key) = pki.issue(1, (2020, 2120));
    let chain = vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let tls = TlsAcceptor::from(Arc::new(config));
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
    let (one, other) = (harness::TestRelay::start().await, harness::TestRelay::start().await);
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

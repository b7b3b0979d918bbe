//! Every wait has an end. Time is paused here, so that minutes pass at once; the network is a pipe in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use signaling_relay::doorkeeper::serve_stream;
use signaling_relay::drain::{self, ShutdownSender};
use signaling_relay::relay::Relay;
use signaling_relay::{Config, Shutdown, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
/// What the pipe holds before the relay's writes wait.
const PIPE_BYTES: usize = 4096;

struct World {
    relay: Arc<Relay>,
    shutdown: ShutdownSender,
}

fn world() -> World {
    let (shutdown, signal) = drain::channel();
    World { relay: Arc::new(Relay::new(Config::default(), signal).unwrap()), shutdown }
}

impl World {
    fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(PIPE_BYTES);
        tokio::spawn(serve_stream(theirs, ADDRESS, Arc::clone(&self.relay)));
        ours
    }

    async fn dial(&self, path: &str) -> WebSocketStream<DuplexStream> {
        client_async(format!("ws://localhost{path}"), self.connect()).await.unwrap().0
    }
}

/// Reads until the close frame, without ever answering anything.
async fn close_of(socket: &mut WebSocketStream<DuplexStream>) -> CloseFrame {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => return frame,
            Some(Ok(_)) => {}
            other => panic!("no close frame but {other:?}"),
        }
    }
}

async fn next_text(socket: &mut WebSocketStream<DuplexStream>) -> String {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return text.to_string();
        }
    }
}

fn assert_about(elapsed: Duration, expected: Duration) {
    assert!(elapsed >= expected && elapsed < expected + Duration::from_millis(100), "{elapsed:?} is not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_head_that_does_not_end_is_given_up() {
    let world = world();
    let mut stream = world.connect();
    let start = Instant::now();
    let dribble = async {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        let drip = async {
            loop {
                writer.write_all(b"X").await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let mut response = Vec::new();
        tokio::select! {
            _ = reader.read_to_end(&mut response) => {}
            () = drip => {}
        }
    };
    dribble.await;
    assert_about(start.elapsed(), limits::HEAD_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_joins_no_room_is_closed_with_1008() {
    let world = world();
    let mut socket = world.dial("/ws").await;
    let start = Instant::now();
    let frame = close_of(&mut socket).await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "no join in time"));
    assert_about(start.elapsed(), limits::JOIN_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_may_be_silent_for_hours() {
    let world = world();
    let mut socket = world.dial("/?room=r").await;
    next_text(&mut socket).await;
    let hours = async {
        let mut pings = 0;
        // Reading answers the pings.
        while let Some(Ok(message)) = socket.next().await {
            pings += usize::from(message.is_ping());
            if pings == 1000 {
                return;
            }
        }
        panic!("the relay closed");
    };
    let start = Instant::now();
    hours.await;
    assert_about(start.elapsed(), limits::PING_INTERVAL * 1000);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanished_is_found_within_25_seconds() {
    let world = world();
    let mut stays = world.dial("/?room=r").await;
    next_text(&mut stays).await;
    // Its end of the pipe stays open, but nobody is there to answer.
    let vanished = world.dial("/?room=r").await;
    assert!(next_text(&mut stays).await.contains("peer_joined"));
    let start = Instant::now();
    assert!(next_text(&mut stays).await.contains(r#""reason":"timeout""#));
    assert_about(start.elapsed(), limits::PING_INTERVAL + limits::PONG_DEADLINE);
    drop(vanished);
}

#[tokio::test(start_paused = true)]
async fn bytes_that_never_become_a_message_are_no_sign_of_life() {
    let world = world();
    let mut socket = world.dial("/?room=r").await;
    next_text(&mut socket).await;
    let start = Instant::now();
    // A text frame of 60,000 bytes is announced, with its mask, and comes at a byte a second.
    let stream = socket.get_mut();
    stream.write_all(&[0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0]).await.unwrap();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let drip = async {
        loop {
            if writer.write_all(b" ").await.is_err() {
                std::future::pending::<()>().await;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut rest) => {}
        () = drip => {}
    }
    assert!(rest.ends_with(b"no sign of life"), "{}", String::from_utf8_lossy(&rest));
    assert_about(start.elapsed(), limits::PING_INTERVAL + limits::PONG_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_out_when_a_write_has_waited_5_seconds() {
    let world = world();
    let mut sender = world.dial("/?room=r").await;
    next_text(&mut sender).await;
    let stalled = world.dial("/?room=r").await;
    assert!(next_text(&mut sender).await.contains("peer_joined"));
    let start = Instant::now();
    let message = format!(r#"{{"type":"message","data":"{}"}}"#, "x".repeat(30_000));
    sender.send(Message::text(message)).await.unwrap();
    assert!(next_text(&mut sender).await.contains(r#""reason":"slow""#));
    assert_about(start.elapsed(), limits::WRITE_DEADLINE);
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_out_at_once_when_its_outbox_is_full() {
    let world = world();
    let mut sender = world.dial("/?room=r").await;
    next_text(&mut sender).await;
    let stalled = world.dial("/?room=r").await;
    assert!(next_text(&mut sender).await.contains("peer_joined"));
    let start = Instant::now();
    for _ in 0..2 * limits::OUTBOX_MESSAGES {
        sender.send(Message::text(r#"{"type":"message","data":"some forty bytes of chat or so"}"#)).await.unwrap();
    }
    assert!(next_text(&mut sender).await.contains(r#""reason":"slow""#));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_without_reading_is_still_heard() {
    let world = world();
    let mut receiver = world.dial("/?room=r").await;
    next_text(&mut receiver).await;
    let mut sender = world.dial("/?room=r").await;
    assert!(next_text(&mut receiver).await.contains("peer_joined"));
    // The answers to these fill the pipe to the sender, who does not read them.
    for _ in 0..60 {
        sender.send(Message::text(r#"{"type":"what is this?"}"#)).await.unwrap();
    }
    sender.send(Message::text(r#"{"type":"message","data":"heard"}"#)).await.unwrap();
    assert!(next_text(&mut receiver).await.contains("heard"));
}

#[tokio::test(start_paused = true)]
async fn a_restart_flushes_what_was_accepted_and_says_goaway_before_1012() {
    let world = world();
    let mut one = world.dial("/?room=r").await;
    next_text(&mut one).await;
    let mut two = world.dial("/?room=r").await;
    next_text(&mut two).await;
    for n in 0..100 {
        one.send(Message::text(format!(r#"{{"type":"message","data":{n}}}"#))).await.unwrap();
    }
    // The answer to a question asked after them shows that the relay has accepted them all.
    one.send(Message::text(r#"{"type":"?","ref":"all"}"#)).await.unwrap();
    while !next_text(&mut one).await.contains("all") {}
    world.shutdown.send(Shutdown::Restart);
    for n in 0..100 {
        assert!(next_text(&mut two).await.ends_with(&format!(r#""data":{n}}}"#)));
    }
    let mut last = next_text(&mut two).await;
    if last.contains("peer_left") {
        assert!(last.contains(r#""reason":"shutdown""#), "{last}");
        last = next_text(&mut two).await;
    }
    if last.contains(r#""host""#) {
        last = next_text(&mut two).await;
    }
    let goaway: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!(goaway["type"], "goaway", "{goaway}");
    let wait = Duration::from_millis(goaway["retryAfterMs"].as_u64().unwrap());
    assert!((limits::RETRY_AFTER_MIN..=limits::RETRY_AFTER_MAX).contains(&wait), "{wait:?}");
    assert_eq!(u16::from(close_of(&mut two).await.code), 1012);
}

#[tokio::test(start_paused = true)]
async fn an_end_for_good_closes_with_1001() {
    let world = world();
    let mut socket = world.dial("/?room=r").await;
    next_text(&mut socket).await;
    world.shutdown.send(Shutdown::ForGood);
    assert_eq!(u16::from(close_of(&mut socket).await.code), 1001);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_part_in_the_closing_handshake_is_left_behind() {
    let world = world();
    let mut socket = world.dial("/?room=r").await;
    next_text(&mut socket).await;
    let start = Instant::now();
    world.shutdown.send(Shutdown::ForGood);
    // Read the bytes but never answer or hang up, until the relay's end of the pipe is gone.
    let stream = socket.get_mut();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    while stream.write_all(b"\0").await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
    assert_about(start.elapsed(), limits::CLOSE_DEADLINE);
}

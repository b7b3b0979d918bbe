//! How long a connection may stay open.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};

use super::*;
use crate::config::Config;

const LIVE: &[u8] = b"GET /api/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// An endpoint, and one who has connected to it with this much room for what is not read.
fn connected(room: usize) -> (Endpoint, DuplexStream, JoinHandle<()>) {
    let endpoint = Endpoint {
        relay: Relay::builder(Config::default()).build().unwrap(),
        guard: Arc::new(Guard::new(None)),
        slots: Slots::default(),
        streams: api::Streams::default(),
        tls: None,
        is_secure: false,
    };
    let (client, stream) = duplex(room);
    let served = tokio::spawn(endpoint.clone().serve(stream, Busy::default()));
    (endpoint, client, served)
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_outlasts_other_answers_and_ends_as_a_whole_at_its_time() {
    let (_endpoint, mut client, _served) = connected(64 * 1024);
    let begun = Instant::now();
    client.write_all(LIVE).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), limits::LIVE_DEADLINE.as_secs());
    assert!(answer.contains("data: {") && answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_that_nobody_reads_ends_and_makes_room() {
    let (endpoint, mut client, served) = connected(64);
    let begun = Instant::now();
    client.write_all(LIVE).await.unwrap();
    // The head of the answer is there, and the rest does not fit.
    client.read_exact(&mut [0; 17]).await.unwrap();
    assert_eq!(endpoint.streams.free(), limits::LIVE_STREAMS - 1);
    served.await.unwrap();
    let longest = limits::ADMIN_DEADLINE + limits::LIVE_DEADLINE;
    assert!(begun.elapsed() <= longest + Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(endpoint.streams.free(), limits::LIVE_STREAMS);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_stream_ends_after_a_minute() {
    let (_endpoint, mut client, _served) = connected(64 * 1024);
    let begun = Instant::now();
    let mut answer = vec![0; 4096];
    while begun.elapsed() < Duration::from_secs(55) {
        client.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(client.read(&mut answer).await.unwrap() > 0);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(client.read(&mut answer).await.unwrap(), 0);
    assert_eq!(begun.elapsed().as_secs(), limits::ADMIN_DEADLINE.as_secs());
}

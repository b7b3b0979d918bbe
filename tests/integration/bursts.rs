//! Bursts: whatever others send at once, a peer that reads gets all of it, in order, and is not disconnected.
//!
//! The frames of a burst are sent with one write. Each test runs on one worker thread and on two.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use signaling_relay::{Config, Shutdown, limits};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::client::frame;
use crate::harness::{Client, TestRelay};

/// Longer than any test here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `test` on one worker thread, and then on two.
fn on_one_thread_and_on_two<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(async { timeout(PATIENCE, test()).await.expect("in time on one thread") });
    let two = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    two.block_on(async { timeout(PATIENCE, test()).await.expect("in time on two threads") });
}

/// What the kernel keeps for a client that reads slowly, in bytes.
const SMALL_BUFFER: usize = 4096;

impl TestRelay {
    async fn join_as(&self, room: &str, id: &str) -> Client {
        let mut client = self.dial("/ws").await;
        client.join_with_id(room, id).await;
        client
    }

    /// A member whose kernel takes little before it has read.
    async fn join_with_a_small_buffer(&mut self, room: &str, id: &str) -> Client {
        self.buffers = Some(SMALL_BUFFER);
        let client = self.join_as(room, id).await;
        self.buffers = None;
        client
    }
}

impl Client {
    /// The next `count` messages of peers. Whatever else it hears is no error, and the connection does not end.
    async fn hear_numbers(&mut self, count: u64) {
        for number in 0..count {
            let message = loop {
                let message = self.hear().await;
                assert_ne!(message["type"], "error", "{message}");
                if message["type"] == "message" {
                    break message;
                }
            };
            assert_eq!(message["data"]["number"], number, "the messages are in order, and none is missing");
        }
    }

    /// Reads what there is, and knows in `present` which visitors have come and not left: each is announced before it says
    /// something, and leaves once.
    async fn follow_visits(&mut self, present: &mut HashSet<Value>) {
        for message in self.catch_up().await {
            match message["type"].as_str().unwrap() {
                "peer_joined" => assert!(present.insert(message["id"].clone()) || message["id"] == "slow"),
                "peer_left" => assert!(present.remove(&message["id"]), "{message}"),
                "message" => assert!(present.contains(&message["from"]), "{message}"),
                other => panic!("{other}"),
            }
        }
    }
}

/// `count` numbered messages of about `bytes` each.
fn numbered(count: u64, bytes: usize) -> Vec<String> {
    let padding = "x".repeat(bytes.saturating_sub(60));
    (0..count)
        .map(|number| json!({"type": "message", "data": {"number": number, "padding": padding}}).to_string())
        .collect()
}

#[test]
fn a_burst_within_the_rates_arrives_whole_and_in_order_at_a_peer_that_reads() {
    on_one_thread_and_on_two(|| async {
        let relay = TestRelay::start_with(Config::default()).await;
        for (count, bytes) in [(300, 60), (1_000, 1_500), (2_000, 60), (1_500, 2_000), (64, 65_000)] {
            // The relay may not know yet that those before have gone.
            let room = format!("{count} of {bytes}");
            let mut receiver = relay.join_as(&room, "receiver").await;
            let mut sender = relay.join_as(&room, "sender").await;
            let texts = numbered(count, bytes);
            let sending = tokio::spawn(async move {
                sender.say_at_once(&texts).await;
                sender
            });
            receiver.hear_numbers(count).await;
            assert!(sending.await.unwrap().catch_up().await.is_empty(), "{count} of {bytes} bytes: no error");
        }
    });
}

#[test]
fn when_all_members_send_a_burst_at_once_each_gets_all_of_it() {
    on_one_thread_and_on_two(|| async {
        const MEMBERS: usize = 6;
        const COUNT: u64 = 300;
        let relay = TestRelay::start_with(Config::default()).await;
        let mut members = Vec::new();
        for member in 0..MEMBERS {
            members.push(relay.join_as("r", &format!("m{member}")).await);
        }
        let talking = members.into_iter().map(|mut member| {
            tokio::spawn(async move {
                member.say_at_once(&numbered(COUNT, 200)).await;
                let mut next = std::collections::HashMap::new();
                let mut heard = 0;
                while heard < COUNT * (MEMBERS as u64 - 1) {
                    // Not parsed as JSON: a test that is slow would be a client that reads slowly.
                    let text = match member.socket.next().await {
                        Some(Ok(Message::Text(text))) => text,
                        // It has been connected for PING_INTERVAL, on a machine with more to do.
                        Some(Ok(Message::Ping(_))) => continue,
                        other => panic!("disconnected: {other:?}"),
                    };
                    assert!(!text.contains(r#""type":"error""#), "{text}");
                    if let Some((from, rest)) =
                        text.strip_prefix(r#"{"type":"message","from":""#).and_then(|rest| rest.split_once('"'))
                    {
                        let number = rest.split_once(r#""number":"#).unwrap().1;
                        let number: u64 = number.split([',', '}']).next().unwrap().parse().unwrap();
                        let next = next.entry(from.to_owned()).or_insert(0);
                        assert_eq!(number, *next, "in order");
                        *next += 1;
                        heard += 1;
                    }
                }
            })
        });
        for talk in talking.collect::<Vec<_>>() {
            talk.await.unwrap();
        }
    });
}

#[test]
fn many_joins_and_leaves_in_one_write_disconnect_nobody_and_cost_what_they_deliver() {
    on_one_thread_and_on_two(|| async {
        let relay = TestRelay::start_with(Config::default()).await;
        let mut members = Vec::new();
        for member in 0..6 {
            members.push(relay.join_as("r", &format!("m{member}")).await);
        }
        for member in &mut members {
            member.catch_up().await;
        }
        let mut visitor = relay.dial("/ws").await;
        let visit = [r#"{"type":"join","room":"r","id":"visitor"}"#, r#"{"type":"leave"}"#];
        let visits: Vec<&str> = visit.into_iter().cycle().take(400).collect();
        visitor.say_at_once(&visits).await;
        let answers = visitor.catch_up().await;
        let limited = answers.iter().filter(|answer| answer["code"] == "rate_limited").count();
        let mut deliveries = 0;
        for member in &mut members {
            let heard = member.catch_up().await;
            deliveries += heard.len();
            for (number, message) in heard.iter().enumerate() {
                let expected = ["peer_joined", "peer_left"][number % 2];
                assert_eq!((&message["type"], &message["id"]), (&json!(expected), &json!("visitor")));
            }
        }
        assert!(deliveries <= limits::MESSAGE_BURST as usize + 100, "{deliveries}");
        assert!(limited > 0, "{answers:?}");
    });
}

#[test]
fn connections_that_join_and_close_in_quick_succession_disconnect_nobody() {
    on_one_thread_and_on_two(|| async {
        let mut relay = TestRelay::start_with(Config::default()).await;
        let mut member = relay.join_as("r", "member").await;
        let mut slow = relay.join_with_a_small_buffer("r", "slow").await;
        let mut expected = [HashSet::new(), HashSet::new()];
        let mut read_at = Instant::now();
        for visit in 0..300 {
            let mut visitor = relay.dial("/ws").await;
            let join = json!({"type": "join", "room": "r", "id": format!("v{visit}")}).to_string();
            let message =
                json!({"type": "message", "data": {"number": visit, "padding": "x".repeat(1000)}}).to_string();
            visitor.say_at_once(&[join, message]).await;
            visitor.catch_up().await;
            // Who takes nothing for WRITE_DEADLINE is too slow, and under an emulator so many visits take longer.
            if visit == 299 || read_at.elapsed() > limits::WRITE_DEADLINE / 4 {
                for (peer, expected) in [&mut member, &mut slow].into_iter().zip(&mut expected) {
                    peer.follow_visits(expected).await;
                }
                read_at = Instant::now();
            }
        }
    });
}

#[test]
fn a_peer_on_a_slow_link_gets_all_accepted_messages_and_its_sender_gets_an_error_for_each_other() {
    on_one_thread_and_on_two(|| async {
        let mut relay = TestRelay::start_with(Config::default()).await;
        let mut receiver = relay.join_with_a_small_buffer("r", "receiver").await;
        let mut sender = relay.join_as("r", "sender").await;
        const COUNT: u64 = 400;
        let sending = tokio::spawn(async move {
            sender.say_at_once(&numbered(COUNT, 2_000)).await;
            let heard = sender.catch_up().await;
            (sender, heard)
        });
        // About 1 Mbit/s, until the sender is done.
        let mut numbers = Vec::new();
        while !sending.is_finished() {
            if let Ok(message) = timeout(Duration::from_millis(100), receiver.hear()).await {
                numbers.extend(message["data"]["number"].as_u64());
                tokio::time::sleep(Duration::from_millis(16)).await;
            }
        }
        let (_sender, answers) = sending.await.unwrap();
        numbers.extend(receiver.catch_up().await.iter().filter_map(|message| message["data"]["number"].as_u64()));
        let busy = answers.iter().filter(|answer| answer["code"] == "peer_busy").count();
        assert_eq!(busy, answers.len(), "{answers:?}");
        assert!(answers.iter().all(|answer| answer["to"] == "receiver" && answer["retryable"] == true));
        assert!(numbers.is_sorted_by(|one, next| one < next), "in order, none twice");
        assert_eq!(numbers.len() + busy, COUNT as usize, "none is lost without an answer");
    });
}

#[test]
fn a_peer_that_reads_nothing_delays_nobody_else_and_is_closed_after_five_seconds() {
    on_one_thread_and_on_two(|| async {
        let mut relay = TestRelay::start_with(Config::default()).await;
        let mut stalled = relay.join_with_a_small_buffer("r", "stalled").await;
        let mut reader = relay.join_as("r", "reader").await;
        let mut sender = relay.join_as("r", "sender").await;
        let mut sent = 0_u64;
        let mut busy = false;
        let start = Instant::now();
        while !busy {
            let text = json!({"type": "message", "data": {"number": sent, "padding": "x".repeat(8_000)}, "ref": "b"});
            sender.say_at_once(&[text.to_string()]).await;
            sent += 1;
            for answer in sender.catch_up().await {
                if answer["type"] == "error" {
                    assert_eq!((&answer["code"], &answer["to"]), (&json!("peer_busy"), &json!("stalled")), "{answer}");
                    assert_eq!(answer["ref"], "b");
                    busy = true;
                }
            }
        }
        assert!(start.elapsed() < limits::WRITE_DEADLINE, "busy before it is out");
        // One `peer_busy` for each message from now on, at once, and the other one hears them all.
        sender
            .say_at_once(&numbered(20, 100).iter().map(|text| text.replace("number", "more")).collect::<Vec<_>>())
            .await;
        assert_eq!(sender.catch_up().await.len(), 20);
        for number in 0..sent + 20 {
            let message = loop {
                let message = reader.hear().await;
                if message["type"] == "message" {
                    break message;
                }
            };
            let field = if number < sent { "number" } else { "more" };
            assert_eq!(message["data"][field], if number < sent { number } else { number - sent });
        }
        let left = reader.hear().await;
        assert_eq!(
            (&left["type"], &left["id"], &left["reason"]),
            (&json!("peer_left"), &json!("stalled"), &json!("slow"))
        );
        // It may be told why, if it reads in time.
        while let Some(Ok(message)) = stalled.socket.next().await {
            if let Message::Close(Some(frame)) = message {
                assert_eq!(u16::from(frame.code), 1013);
            }
        }
    });
}

#[test]
fn to_join_again_does_not_renew_the_share() {
    on_one_thread_and_on_two(|| async {
        let mut relay = TestRelay::start_with(Config { message_rate: 0, byte_rate: 0, ..Config::default() }).await;
        let _stalled = relay.join_with_a_small_buffer("r", "stalled").await;
        let mut sender = relay.join_as("r", "sender").await;
        let mut accepted = 0;
        // What the two kernels buffer, and one share.
        const MOST: usize = 600 * 1024 + limits::SHARE_BYTES;
        for _ in 0..10 {
            for _ in 0..100 {
                sender.say_at_once(&[json!({"type": "message", "data": "x".repeat(10_000)}).to_string()]).await;
                let answers = sender.catch_up().await;
                if answers.iter().any(|answer| answer["code"] == "peer_busy") {
                    break;
                }
                accepted += 10_000;
            }
            sender.say_at_once(&[r#"{"type":"leave"}"#, r#"{"type":"join","room":"r","id":"sender"}"#]).await;
            sender.catch_up().await;
        }
        assert!(accepted < MOST, "{accepted} bytes");
    });
}

#[test]
fn endless_empty_fragments_close_the_connection() {
    on_one_thread_and_on_two(|| async {
        let relay = TestRelay::start_with(Config::default()).await;
        let mut flooder = relay.join_as("r", "flooder").await;
        let start = Instant::now();
        let fragments = frame(0x00, b"").repeat(20_000);
        let (reader, mut writer) = tokio::io::split(flooder.socket.get_mut());
        writer.write_all(&frame(0x01, b"")).await.unwrap();
        let flood = async { while writer.write_all(&fragments).await.is_ok() {} };
        let closed = read_to_close(reader);
        let code = tokio::select! {
            code = closed => code,
            () = async { flood.await; std::future::pending().await } => unreachable!(),
        };
        assert_eq!(code, Some(1008));
        assert!(start.elapsed() < limits::EMPTY_FRAMES_FOR * 2, "{:?}", start.elapsed());
    });
}

/// Reads frames until the close frame, and returns its code.
async fn read_to_close(mut reader: impl tokio::io::AsyncRead + Unpin) -> Option<u16> {
    use tokio::io::AsyncReadExt;
    let mut head = [0; 2];
    loop {
        reader.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; (head[1] & 0x7f).into()];
        reader.read_exact(&mut payload).await.ok()?;
        if head[0] == 0x88 {
            return Some(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
}

#[test]
fn endless_pings_close_the_connection() {
    on_one_thread_and_on_two(|| async {
        let relay = TestRelay::start_with(Config::default()).await;
        let mut flooder = relay.join_as("r", "flooder").await;
        let pings = frame(0x89, b"are you there?").repeat(1_000);
        let start = Instant::now();
        let (reader, mut writer) = tokio::io::split(flooder.socket.get_mut());
        let code = tokio::select! {
            code = read_to_close(reader) => code,
            () = async { while writer.write_all(&pings).await.is_ok() {} std::future::pending().await } => unreachable!(),
        };
        assert_eq!(code, Some(1008));
        assert!(start.elapsed() < limits::EMPTY_FRAMES_FOR * 2, "{:?}", start.elapsed());
    });
}

#[test]
fn a_restart_of_a_room_of_two_hundred_tells_each_member() {
    on_one_thread_and_on_two(|| async {
        let mut relay = TestRelay::start_with(Config { room_capacity: 200, ..Config::default() }).await;
        let mut members = Vec::new();
        for member in 0..200 {
            members.push(relay.join_as("r", &format!("m{member}")).await);
        }
        relay.tell_to_stop(Shutdown::Restart);
        for mut member in members {
            let mut goaway = false;
            let code = loop {
                match member.socket.next().await {
                    Some(Ok(Message::Text(text))) => goaway |= text.contains("goaway"),
                    Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
                    Some(Ok(_)) => {}
                    other => panic!("{other:?}"),
                }
            };
            assert_eq!((goaway, code), (true, Some(1012)));
        }
        relay.stopped().await;
    });
}

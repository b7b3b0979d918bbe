//! Bursts: whatever others send at once, a peer that reads gets all of it, in order, and is not disconnected.
//!
//! The frames of a burst are sent with one write. Each test runs on one worker thread and on two.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use signaling_relay::{Config, ListenAddress, Server, Shutdown, limits};
use socket2::{Domain, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than any test here takes, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `test` on one worker thread, and then on two.
fn on_one_thread_and_on_two<F: Future<Output = ()>>(test: impl Fn() -> F) {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(async { timeout(PATIENCE, test()).await.expect("in time on one thread") });
    let two = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    two.block_on(async { timeout(PATIENCE, test()).await.expect("in time on two threads") });
}

struct Relay {
    address: SocketAddr,
    stop: oneshot::Sender<Shutdown>,
    served: JoinHandle<()>,
}

impl Relay {
    async fn start(config: Config) -> Self {
        let server = Server::bind(Config { listen: vec![ListenAddress::localhost(0)], ..config }).await.unwrap();
        let address = server.local_addrs()[0];
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(server.serve(async { stopped.await.unwrap_or(Shutdown::ForGood) }));
        Self { address, stop, served }
    }

    async fn dial(&self) -> Peer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        self.dial_over(stream).await
    }

    /// A client with a small receive buffer: its kernel accepts little that it does not read.
    async fn dial_with_a_small_buffer(&self) -> Peer {
        let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.set_nonblocking(true).unwrap();
        self.dial_over(TcpStream::from_std(socket.into()).unwrap()).await
    }

    async fn dial_over(&self, stream: TcpStream) -> Peer {
        stream.set_nodelay(true).unwrap();
        let (socket, _) = client_async(format!("ws://{}/ws", self.address), stream).await.unwrap();
        Peer { socket }
    }

    async fn join(&self, room: &str, id: &str) -> Peer {
        self.dial().await.join(room, id).await
    }
}

struct Peer {
    socket: WebSocketStream<TcpStream>,
}

impl Peer {
    async fn join(mut self, room: &str, id: &str) -> Self {
        self.send(&[json!({"type": "join", "room": room, "id": id}).to_string()]).await;
        while self.hear().await.expect("joined")["type"] != "joined" {}
        self
    }

    /// Sends all of `texts` in one write.
    async fn send<T: AsRef<str>>(&mut self, texts: &[T]) {
        let frames: Vec<u8> = texts.iter().flat_map(|text| frame(0x81, text.as_ref().as_bytes())).collect();
        self.socket.get_mut().write_all(&frames).await.unwrap();
    }

    /// The next message; none when the relay closes the connection.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// Receives the next `count` numbered messages. Other messages may come in between, but no error and no close
    /// frame.
    async fn hear_numbers(&mut self, count: u64) {
        for number in 0..count {
            let message = loop {
                let message = self.hear().await.expect("a peer that reads stays");
                assert_ne!(message["type"], "error", "{message}");
                if message["type"] == "message" {
                    break message;
                }
            };
            assert_eq!(message["data"]["number"], number, "the messages are in order, and none is missing");
        }
    }

    /// All messages before the answer to a request that is sent now.
    async fn catch_up(&mut self) -> Vec<Value> {
        self.send(&[r#"{"type":"?","ref":"caught up"}"#]).await;
        let mut heard = Vec::new();
        loop {
            let message = self.hear().await.expect("a peer that reads stays");
            if message["ref"] == "caught up" {
                return heard;
            }
            heard.push(message);
        }
    }

    async fn close_frame(&mut self) -> Option<CloseFrame> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                _ => return None,
            }
        }
    }
}

/// A masked frame. The mask is zero, so the payload is unchanged.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
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
        let relay = Relay::start(Config::default()).await;
        for (count, bytes) in [(300, 60), (1_000, 1_500), (2_000, 60), (1_500, 2_000), (64, 65_000)] {
            let mut receiver = relay.join("r", "receiver").await;
            let mut sender = relay.join("r", "sender").await;
            let texts = numbered(count, bytes);
            let sending = tokio::spawn(async move {
                sender.send(&texts).await;
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
        let relay = Relay::start(Config::default()).await;
        let mut members = Vec::new();
        for member in 0..MEMBERS {
            members.push(relay.join("r", &format!("m{member}")).await);
        }
        let talking = members.into_iter().map(|mut member| {
            tokio::spawn(async move {
                member.send(&numbered(COUNT, 200)).await;
                let mut next = std::collections::HashMap::new();
                let mut heard = 0;
                while heard < COUNT * (MEMBERS as u64 - 1) {
                    // Not parsed as JSON: a test that is slow would be a client that reads slowly.
                    let Some(Ok(Message::Text(text))) = member.socket.next().await else { panic!("disconnected") };
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
        let relay = Relay::start(Config::default()).await;
        let mut members = Vec::new();
        for member in 0..6 {
            members.push(relay.join("r", &format!("m{member}")).await);
        }
        for member in &mut members {
            member.catch_up().await;
        }
        let mut visitor = relay.dial().await;
        let visit = [r#"{"type":"join","room":"r","id":"visitor"}"#, r#"{"type":"leave"}"#];
        let visits: Vec<&str> = visit.into_iter().cycle().take(400).collect();
        visitor.send(&visits).await;
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
        let relay = Relay::start(Config::default()).await;
        let mut member = relay.join("r", "member").await;
        let mut slow = relay.dial_with_a_small_buffer().await.join("r", "slow").await;
        for visit in 0..300 {
            let mut visitor = relay.dial().await;
            let join = json!({"type": "join", "room": "r", "id": format!("v{visit}")}).to_string();
            let message =
                json!({"type": "message", "data": {"number": visit, "padding": "x".repeat(1000)}}).to_string();
            visitor.send(&[join, message]).await;
            visitor.catch_up().await;
        }
        let mut expected = std::collections::HashSet::new();
        for peer in [&mut member, &mut slow] {
            for message in peer.catch_up().await {
                match message["type"].as_str().unwrap() {
                    "peer_joined" => assert!(expected.insert(message["id"].clone()) || message["id"] == "slow"),
                    "peer_left" => assert!(expected.remove(&message["id"]), "{message}"),
                    "message" => assert!(expected.contains(&message["from"]), "{message}"),
                    other => panic!("{other}"),
                }
            }
            expected.clear();
        }
    });
}

#[test]
fn a_peer_on_a_slow_link_gets_all_accepted_messages_and_its_sender_gets_an_error_for_each_other() {
    on_one_thread_and_on_two(|| async {
        let relay = Relay::start(Config::default()).await;
        let mut receiver = relay.dial_with_a_small_buffer().await.join("r", "receiver").await;
        let mut sender = relay.join("r", "sender").await;
        const COUNT: u64 = 400;
        let sending = tokio::spawn(async move {
            sender.send(&numbered(COUNT, 2_000)).await;
            let heard = sender.catch_up().await;
            (sender, heard)
        });
        // About 1 Mbit/s, until the sender is done.
        let mut numbers = Vec::new();
        while !sending.is_finished() {
            if let Ok(Some(message)) = timeout(Duration::from_millis(100), receiver.hear()).await {
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
        let relay = Relay::start(Config::default()).await;
        let mut stalled = relay.dial_with_a_small_buffer().await.join("r", "stalled").await;
        let mut reader = relay.join("r", "reader").await;
        let mut sender = relay.join("r", "sender").await;
        let mut sent = 0_u64;
        let mut busy = false;
        let start = Instant::now();
        while !busy {
            let text = json!({"type": "message", "data": {"number": sent, "padding": "x".repeat(8_000)}, "ref": "b"});
            sender.send(&[text.to_string()]).await;
            sent += 1;
            for answer in sender.catch_up().await {
                if answer["type"] == "error" {
                    assert_eq!((&answer["code"], &answer["to"]), (&json!("peer_busy"), &json!("stalled")), "{answer}");
                    assert_eq!(answer["ref"], "b");
                    busy = true;
                }
            }
        }
        assert!(start.elapsed() < limits::WRITE_DEADLINE, "busy before it is closed");
        // From now on each message gets a `peer_busy` at once, and the other peer gets all of them.
        sender.send(&numbered(20, 100).iter().map(|text| text.replace("number", "more")).collect::<Vec<_>>()).await;
        assert_eq!(sender.catch_up().await.len(), 20);
        for number in 0..sent + 20 {
            let message = loop {
                let message = reader.hear().await.expect("a peer that reads stays");
                if message["type"] == "message" {
                    break message;
                }
            };
            let field = if number < sent { "number" } else { "more" };
            assert_eq!(message["data"][field], if number < sent { number } else { number - sent });
        }
        let left = reader.hear().await.unwrap();
        assert_eq!(
            (&left["type"], &left["id"], &left["reason"]),
            (&json!("peer_left"), &json!("stalled"), &json!("slow"))
        );
        assert!(stalled.close_frame().await.is_none_or(|frame| u16::from(frame.code) == 1013));
    });
}

#[test]
fn to_join_again_does_not_renew_the_share() {
    on_one_thread_and_on_two(|| async {
        let relay = Relay::start(Config { message_rate: 0, byte_rate: 0, ..Config::default() }).await;
        let _stalled = relay.dial_with_a_small_buffer().await.join("r", "stalled").await;
        let mut sender = relay.join("r", "sender").await;
        let mut accepted = 0;
        // What the two kernels buffer, and one share.
        const MOST: usize = 600 * 1024 + limits::SHARE_BYTES;
        for _ in 0..10 {
            for _ in 0..100 {
                sender.send(&[json!({"type": "message", "data": "x".repeat(10_000)}).to_string()]).await;
                let answers = sender.catch_up().await;
                if answers.iter().any(|answer| answer["code"] == "peer_busy") {
                    break;
                }
                accepted += 10_000;
            }
            sender.send(&[r#"{"type":"leave"}"#, r#"{"type":"join","room":"r","id":"sender"}"#]).await;
            sender.catch_up().await;
        }
        assert!(accepted < MOST, "{accepted} bytes");
    });
}

#[test]
fn endless_empty_fragments_close_the_connection() {
    on_one_thread_and_on_two(|| async {
        let relay = Relay::start(Config::default()).await;
        let mut flooder = relay.join("r", "flooder").await;
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
        let relay = Relay::start(Config::default()).await;
        let mut flooder = relay.join("r", "flooder").await;
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
        let relay = Relay::start(Config { room_capacity: 200, ..Config::default() }).await;
        let mut members = Vec::new();
        for member in 0..200 {
            members.push(relay.join("r", &format!("m{member}")).await);
        }
        relay.stop.send(Shutdown::Restart).unwrap();
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
        relay.served.await.unwrap();
    });
}

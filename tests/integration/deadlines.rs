//! Every wait has an end. Time is paused here, so that minutes pass at once; the network is a pipe in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, Shutdown, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::client::{AnyStream, frame_header};
use crate::harness::relay::PIPE_BYTES;
use crate::harness::{Client, TestRelay, soon};

fn relay() -> TestRelay {
    TestRelay::in_memory(Config::default())
}

/// Somebody who came by the URL of `room`, and has read `joined`.
async fn enter(relay: &TestRelay, room: &str) -> Client {
    let mut client = relay.dial(&format!("/?room={room}")).await;
    client.expect_joined().await;
    client
}

/// Writes `piece` again and again, with this pause, and reads what comes until the relay hangs up.
async fn write_without_end(stream: &mut AnyStream, piece: &[u8], pause: Duration) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        while writer.write_all(piece).await.is_ok() {
            sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    let mut read = Vec::new();
    tokio::select! {
        _ = reader.read_to_end(&mut read) => {}
        () = write => {}
    }
    read
}

/// Waits until the relay's end of the pipe is gone, without reading or taking part in anything.
async fn until_gone(stream: &mut AnyStream) {
    while stream.write_all(b"\0").await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
}

#[track_caller]
fn assert_about(elapsed: Duration, expected: Duration) {
    assert!(elapsed >= expected && elapsed < expected + Duration::from_millis(100), "{elapsed:?} is not {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_head_that_does_not_end_is_given_up() {
    let mut stream = relay().connect().await;
    let start = Instant::now();
    write_without_end(&mut stream, b"X", Duration::from_secs(1)).await;
    assert_about(start.elapsed(), limits::HEAD_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn between_requests_a_connection_may_rest_longer_than_the_balancers_in_front_of_it() {
    let mut stream = relay().connect().await;
    let mut answer = vec![0; 4096];
    // Longer in all than a page may take.
    for _ in 0..3 {
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let bytes = stream.read(&mut answer).await.unwrap();
        assert!(answer[..bytes].ends_with(b"ok\n"));
        sleep(Duration::from_secs(70)).await;
    }
    // A head that has begun must end as soon as the first one.
    let start = Instant::now();
    write_without_end(&mut stream, b"X", Duration::from_secs(1)).await;
    assert_about(start.elapsed(), limits::HEAD_DEADLINE);
    let mut stream = relay().connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let start = Instant::now();
    while stream.read(&mut answer).await.unwrap() > 0 {}
    assert_about(start.elapsed(), limits::KEEP_ALIVE);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_joins_no_room_is_closed_with_1008() {
    let mut client = relay().dial("/ws").await;
    let start = Instant::now();
    let frame = client.expect_close().await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1008, "no join in time"));
    assert_about(start.elapsed(), limits::JOIN_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_may_be_silent_for_hours() {
    let mut client = enter(&relay(), "r").await;
    let start = Instant::now();
    let mut pings = 0;
    while pings < 1000 {
        // Reading answers the pings.
        pings += u32::from(client.socket.next().await.unwrap().unwrap().is_ping());
    }
    assert_about(start.elapsed(), limits::PING_INTERVAL * pings);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_and_listens_is_pinged_as_often() {
    let relay = relay();
    let (mut one, mut other) = (enter(&relay, "r").await, enter(&relay, "r").await);
    other.expect_nothing().await;
    let (start, mut pings) = (Instant::now(), 0);
    // As in the README of npm's `ws`: its client gives up when no ping came for 31 s.
    let mut pinged = Instant::now();
    for number in 0..60 {
        if number % 2 == 0 {
            one.say(json!({"type": "message", "data": number})).await;
            other.expect("message").await;
        } else {
            other.say(json!({"type": "message", "data": number})).await;
        }
        let next = Instant::now() + Duration::from_secs(5);
        while let Ok(message) = timeout(next - Instant::now(), one.socket.next()).await {
            if message.unwrap().unwrap().is_ping() {
                assert!(pinged.elapsed() < Duration::from_secs(31), "{:?}", pinged.elapsed());
                (pinged, pings) = (Instant::now(), pings + 1);
            }
        }
    }
    let due = start.elapsed().as_secs() / limits::PING_INTERVAL.as_secs();
    assert!((due - 1..=due).contains(&pings), "{pings} pings in {:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_heard_by_its_messages() {
    for silence in [4, 14, 24] {
        let relay = relay();
        let mut other = enter(&relay, "r").await;
        // It reads nothing, so it answers nothing.
        let mut talks = enter(&relay, "r").await;
        // Reading answers the pings.
        let listens = tokio::spawn(async move {
            let mut heard = 0;
            loop {
                match other.socket.next().await.unwrap().unwrap() {
                    Message::Text(text) if text.contains("peer_left") => return (heard, text.to_string()),
                    Message::Text(text) => heard += u32::from(text.contains("message")),
                    _ => {}
                }
            }
        });
        for number in 0..30 {
            sleep(Duration::from_secs(silence)).await;
            talks.say(json!({"type": "message", "data": number})).await;
        }
        let start = Instant::now();
        let (heard, left) = listens.await.unwrap();
        assert_eq!(heard, 30, "every {silence} s: {left}");
        assert!(left.contains("timeout"), "{left}");
        assert_about(start.elapsed(), limits::PING_INTERVAL + limits::PONG_DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanished_is_found_within_25_seconds() {
    let relay = relay();
    let mut stays = enter(&relay, "r").await;
    // Its end of the pipe stays open, but nobody is there to answer.
    let _vanished = enter(&relay, "r").await;
    stays.expect("peer_joined").await;
    let start = Instant::now();
    assert_eq!(stays.expect("peer_left").await["reason"], "timeout");
    assert_about(start.elapsed(), limits::PING_INTERVAL + limits::PONG_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn who_was_not_there_to_answer_a_ping_reads_1013_and_may_come_back() {
    let relay = relay();
    let mut asleep = enter(&relay, "r").await;
    // It reads nothing, so it answers nothing.
    sleep(limits::PING_INTERVAL + limits::PONG_DEADLINE + Duration::from_secs(1)).await;
    let frame = asleep.expect_close().await;
    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (1013, "no sign of life"));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_finished_within_10_seconds_of_its_first_byte_closes_with_1008() {
    let relay = relay();
    // One that is announced as 60,000 bytes, and one in fragments.
    for (begin, piece) in [
        (frame_header(0x81, 60_000), b" ".to_vec()),
        (frame_header(0x01, 0), [frame_header(0x00, 1), b" ".to_vec()].concat()),
    ] {
        let mut client = enter(&relay, "r").await;
        sleep(Duration::from_secs(3)).await;
        let start = Instant::now();
        client.socket.get_mut().write_all(&begin).await.unwrap();
        let read = write_without_end(client.socket.get_mut(), &piece, Duration::from_millis(500)).await;
        assert!(read.ends_with(b"\x03\xf0a message was not finished in time"), "{}", String::from_utf8_lossy(&read));
        assert_about(start.elapsed(), limits::MESSAGE_DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_takes_9_seconds_arrives() {
    let relay = relay();
    let (mut one, mut other) = (enter(&relay, "r").await, enter(&relay, "r").await);
    let text = br#"{"type":"message","data":"slowly"}"#;
    one.expect("peer_joined").await;
    one.socket.get_mut().write_all(&frame_header(0x81, text.len() as u64)).await.unwrap();
    for byte in text {
        sleep(Duration::from_secs(9) / text.len() as u32).await;
        one.socket.get_mut().write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(other.expect("message").await["data"], "slowly");
}

#[tokio::test(start_paused = true)]
async fn bytes_that_never_become_a_frame_are_no_sign_of_life() {
    let relay = relay();
    let mut stays = enter(&relay, "r").await;
    let mut client = enter(&relay, "r").await;
    stays.expect("peer_joined").await;
    let start = Instant::now();
    // The half of a header.
    sleep(Duration::from_secs(5)).await;
    client.socket.get_mut().write_all(&[0x81]).await.unwrap();
    let reason = stays.expect("peer_left").await["reason"].clone();
    assert!(reason == "timeout" || reason == "policy", "{reason}");
    assert!(start.elapsed() <= limits::PING_INTERVAL + limits::PONG_DEADLINE + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_out_when_its_socket_has_taken_nothing_for_5_seconds() {
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let stalled = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    let start = Instant::now();
    sender.say(json!({"type": "message", "data": "x".repeat(30_000)})).await;
    assert_eq!(sender.expect("peer_left").await, json!({"type": "peer_left", "id": stalled.id, "reason": "slow"}));
    assert_about(start.elapsed(), limits::WRITE_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_full_share_makes_its_sender_hear_peer_busy_and_ends_nobody_before_those_5_seconds() {
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let mut stalled = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    let start = Instant::now();
    // The pipe takes some of them, the share 64, and the rest is refused.
    const COUNT: usize = PIPE_BYTES / 100 + limits::SHARE_MESSAGES + 40;
    for number in 0..COUNT {
        sender.say(json!({"type": "message", "data": "x".repeat(70), "ref": number.to_string()})).await;
    }
    let mut refused = Vec::new();
    let end = loop {
        let heard = sender.hear().await;
        match heard["type"].as_str().unwrap() {
            "error" => {
                assert_eq!((&heard["code"], &heard["to"]), (&json!("peer_busy"), &json!(stalled.id)), "{heard}");
                refused.push(heard["ref"].as_str().unwrap().parse::<usize>().unwrap());
            }
            _ => break heard,
        }
    };
    assert_eq!(end["reason"], "slow");
    assert!(start.elapsed() >= limits::WRITE_DEADLINE, "out after {:?}", start.elapsed());
    assert!(start.elapsed() < limits::WRITE_DEADLINE + Duration::from_secs(1), "out after {:?}", start.elapsed());
    assert!(!refused.is_empty() && refused.is_sorted(), "{refused:?}");
    // It begins to read too late; but what the pipe has took is whole, in order, and the close frame says why.
    let first = stalled.expect("message").await;
    assert_eq!(first["ref"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_burst_to_many_who_do_not_read_is_answered_for_each_of_them_and_each_message() {
    const COUNT: usize = 150;
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let mut stalled = Vec::new();
    for _ in 0..6 {
        stalled.push(enter(&relay, "r").await);
    }
    let mut refused = HashMap::<String, Vec<usize>>::new();
    {
        let (mut write, mut read) = (&mut sender.socket).split();
        let say = async {
            for number in 0..COUNT {
                let text = json!({"type": "message", "data": "x".repeat(70), "ref": number.to_string()}).to_string();
                write.feed(Message::text(text)).await.unwrap();
            }
            write.send(Message::text(r#"{"type":"?","ref":"all"}"#)).await.unwrap();
        };
        let hear = async {
            loop {
                let Message::Text(text) = read.next().await.unwrap().unwrap() else { continue };
                let heard: serde_json::Value = serde_json::from_str(&text).unwrap();
                if heard["ref"] == "all" {
                    return;
                }
                if heard["type"] == "error" {
                    let (to, number) = (heard["to"].as_str().unwrap(), heard["ref"].as_str().unwrap());
                    refused.entry(to.to_owned()).or_default().push(number.parse().unwrap());
                }
            }
        };
        soon("the answers", async { tokio::join!(say, hear) }).await;
    }
    for client in &mut stalled {
        let refused = refused.remove(&client.id).unwrap();
        let mut expected = (0..COUNT).filter(|number| !refused.contains(number));
        assert!(refused.is_sorted() && refused.len() > 1, "{refused:?}");
        for number in expected.by_ref() {
            let heard = loop {
                let heard = client.hear().await;
                if heard["type"] == "message" {
                    break heard;
                }
            };
            assert_eq!(heard["ref"], number.to_string(), "neither came nor was refused");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_a_little_now_and_then_is_never_out() {
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let mut slow = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    for number in 0..50 {
        sender.say(json!({"type": "message", "data": "x".repeat(1000), "number": number})).await;
    }
    let sender = tokio::spawn(async move { while let Some(Ok(_)) = sender.socket.next().await {} });
    let stream = slow.socket.get_mut();
    for _ in 0..40 {
        sleep(limits::WRITE_DEADLINE - Duration::from_millis(200)).await;
        stream.read_exact(&mut [0; 900]).await.unwrap();
        // It lives.
        stream.write_all(&frame_header(0x8a, 0)).await.unwrap();
    }
    assert!(!sender.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_pings_without_reading_has_one_pong_wait_for_it() {
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let mut slow = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    for number in 0..30 {
        sender.say(json!({"type": "message", "data": "x".repeat(1000), "number": number})).await;
    }
    let stream = slow.socket.get_mut();
    for _ in 0..150 {
        stream.write_all(&frame_header(0x89, 0)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    let (mut heard, mut pongs) = (0, 0);
    while heard < 30 {
        let mut head = [0; 2];
        stream.read_exact(&mut head).await.unwrap();
        let length = match head[1] {
            126 => stream.read_u16().await.unwrap().into(),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        heard += usize::from(payload.starts_with(br#"{"type":"message""#));
        pongs += usize::from(head[0] == 0x8a);
    }
    assert!((1..=2).contains(&pongs), "{pongs} pongs");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_yet_to_read_its_ping_is_waited_for_while_it_reads() {
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let mut slow = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    for number in 0..50 {
        sender.say(json!({"type": "message", "data": "x".repeat(1000), "number": number})).await;
    }
    // It hears pings for minutes, and nothing else.
    let sender = tokio::spawn(async move {
        loop {
            let heard = sender.socket.next().await.unwrap().unwrap();
            let heard: Value =
                heard.to_text().ok().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            if heard["type"] == "peer_left" {
                return heard["reason"].clone();
            }
        }
    });
    let stream = slow.socket.get_mut();
    for _ in 0..40 {
        sleep(limits::WRITE_DEADLINE - Duration::from_millis(200)).await;
        stream.read_exact(&mut [0; 900]).await.unwrap();
    }
    assert!(!sender.is_finished());
    // It reads all the rest, and says nothing.
    let read = Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(sender.await.unwrap(), "timeout");
    assert!(read.elapsed() <= limits::SLOW_PONG_DEADLINE + limits::CLOSE_DEADLINE, "{:?}", read.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_without_reading_is_still_heard() {
    let relay = relay();
    let mut receiver = enter(&relay, "r").await;
    let mut sender = enter(&relay, "r").await;
    receiver.expect("peer_joined").await;
    // The answers to these fill the pipe to the sender, who does not read them.
    for _ in 0..60 {
        sender.say(json!({"type": "what is this?"})).await;
    }
    sender.say(json!({"type": "message", "data": "heard"})).await;
    assert_eq!(receiver.expect("message").await["data"], "heard");
}

#[tokio::test(start_paused = true)]
async fn a_restart_flushes_what_was_accepted_and_says_goaway_before_1012_and_nothing_of_those_who_go() {
    let relay = relay();
    let (mut one, mut two) = (enter(&relay, "r").await, enter(&relay, "r").await);
    one.expect("peer_joined").await;
    const COUNT: usize = 60;
    for number in 0..COUNT {
        one.say(json!({"type": "message", "data": number})).await;
    }
    // The answer to a question asked after them shows that the relay has accepted them all.
    one.expect_nothing().await;
    let shutdown = tokio::spawn({
        let relay = Arc::clone(&relay.relay);
        async move { relay.shutdown(Shutdown::Restart).await }
    });
    for number in 0..COUNT {
        assert_eq!(two.expect("message").await["data"], number);
    }
    for client in [&mut one, &mut two] {
        let goaway = client.expect("goaway").await;
        let wait = Duration::from_millis(goaway["retryAfterMs"].as_u64().unwrap());
        assert!((limits::RETRY_AFTER_MIN..=limits::RETRY_AFTER_MAX).contains(&wait), "{wait:?}");
        assert!(
            matches!(client.socket.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1012)
        );
    }
    drop((one, two));
    shutdown.await.unwrap();
    assert_eq!((relay.relay.connections(), relay.relay.rooms()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_end_for_good_closes_with_1001() {
    let relay = relay();
    let mut client = enter(&relay, "r").await;
    let goes = async { tokio::join!(relay.relay.shutdown(Shutdown::ForGood), client.expect_close_code(1001)) };
    goes.await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_those_who_do_not_take_part_as_well() {
    let relay = relay();
    let idle = relay.connect().await;
    let mut half = relay.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let silent = enter(&relay, "r").await;
    let full = enter(&relay, "r").await;
    let mut sender = enter(&relay, "r").await;
    sender.say(json!({"type": "message", "data": "x".repeat(60_000), "to": full.id})).await;
    sender.expect_nothing().await;
    let start = Instant::now();
    relay.relay.shutdown(Shutdown::Restart).await;
    let elapsed = start.elapsed();
    assert!(elapsed <= limits::DRAIN_DEADLINE, "{elapsed:?}");
    assert_eq!((relay.relay.connections(), relay.relay.rooms()), (0, 0), "after {elapsed:?}");
    for mut stream in [idle, half, silent.socket.into_inner(), full.socket.into_inner()] {
        timeout(Duration::from_millis(20), until_gone(&mut stream)).await.expect("its end of the pipe is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_part_in_the_closing_handshake_is_left_behind_after_2_seconds() {
    let relay = relay();
    // By a shutdown, and by a mistake.
    let mut client = enter(&relay, "r").await;
    let start = Instant::now();
    tokio::spawn({
        let relay = Arc::clone(&relay.relay);
        async move { relay.shutdown(Shutdown::ForGood).await }
    });
    client.socket.get_mut().read_to_end(&mut Vec::new()).await.unwrap();
    until_gone(client.socket.get_mut()).await;
    assert_about(start.elapsed(), limits::CLOSE_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn the_closing_handshake_with_all_that_waits_takes_2_seconds_at_most() {
    let relay = relay();
    let mut sender = enter(&relay, "r").await;
    let mut client = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    sender.say(json!({"type": "message", "data": "x".repeat(30_000)})).await;
    sender.expect_nothing().await;
    let start = Instant::now();
    client.socket.get_mut().write_all(&frame_header(0x82, 0)).await.unwrap();
    // It reads, but so slowly that what waits does not end.
    let (mut reader, mut writer) = tokio::io::split(client.socket.get_mut());
    let read = async {
        let mut piece = [0; 512];
        while reader.read(&mut piece).await.is_ok_and(|read| read > 0) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let gone = async {
        while writer.write_all(b"\0").await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! { () = gone => {}, () = async { read.await; std::future::pending().await } => {} }
    assert!(start.elapsed() <= limits::CLOSE_DEADLINE + Duration::from_millis(300), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn frames_that_carry_nothing_without_end_close_with_1008_within_2_seconds_and_2_seconds_later_the_socket_is_gone()
{
    let relay = relay();
    for (begin, piece) in [
        (frame_header(0x01, 0), frame_header(0x00, 0)),
        (Vec::new(), frame_header(0x89, 0)),
        (Vec::new(), frame_header(0x8a, 0)),
    ] {
        let mut client = enter(&relay, "r").await;
        let start = Instant::now();
        let stream = client.socket.get_mut();
        stream.write_all(&begin).await.unwrap();
        let read = write_without_end(stream, &piece, Duration::from_millis(3)).await;
        assert!(read.ends_with(b"\x03\xf0too many frames that carry nothing"), "{}", String::from_utf8_lossy(&read));
        assert!(start.elapsed() <= Duration::from_secs(2), "{:?}", start.elapsed());
        // It goes on, and never hangs up.
        let closed = Instant::now();
        while stream.write_all(&piece).await.is_ok() {
            sleep(Duration::from_millis(3)).await;
        }
        assert_about(closed.elapsed(), limits::CLOSE_DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn who_exceeds_the_byte_rate_is_not_read_from_and_neither_cut_nor_timed_out() {
    // By a little and by much: what one read brings may be more than a minute's worth.
    for (byte_rate, bytes, count) in [(1024, 60_000, 3), (256, 1_000, 100)] {
        let mut relay = TestRelay::in_memory(Config { byte_rate, ..Config::default() });
        relay.buffers = Some(64 * 1024);
        let mut sender = enter(&relay, "r").await;
        let mut receiver = enter(&relay, "r").await;
        sender.expect("peer_joined").await;
        let start = Instant::now();
        let said = tokio::spawn(async move {
            for number in 0..count {
                let text = json!({"type": "message", "data": "x".repeat(bytes), "number": number}).to_string();
                sender.socket.feed(Message::text(text)).await.unwrap();
            }
            sender.socket.flush().await.unwrap();
            // Reading answers the pings.
            while let Some(Ok(message)) = sender.socket.next().await {
                assert!(!message.is_close(), "{message:?}");
            }
        });
        for number in 0..count {
            loop {
                if let Message::Text(text) = receiver.socket.next().await.unwrap().unwrap() {
                    assert!(text.contains(&format!(r#""number":{number}"#)), "at {byte_rate}: {text:.200}");
                    break;
                }
            }
        }
        let least = (bytes * count) as u64 / u64::from(byte_rate);
        // The burst, and what one read brings.
        let burst = 20 + limits::READ_BYTES as u64 / u64::from(byte_rate);
        assert!(start.elapsed().as_secs() + burst >= least, "{:?} of {least} s", start.elapsed());
        said.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_of_16_mib_passes_at_the_byte_rate() {
    let max_message_bytes = limits::MESSAGE_BYTES_MAX;
    let mut relay = TestRelay::in_memory(Config { max_message_bytes, ..Config::default() });
    relay.buffers = Some(1024 * 1024);
    let mut sender = enter(&relay, "r").await;
    let mut receiver = enter(&relay, "r").await;
    sender.expect("peer_joined").await;
    let start = Instant::now();
    // What the client takes is 16 MiB as well, with `from`.
    let data = max_message_bytes - 128;
    let text = format!(r#"{{"type":"message","data":"{}"}}"#, "x".repeat(data));
    let said = tokio::spawn(async move {
        sender.socket.send(Message::text(text)).await.unwrap();
        while let Some(Ok(message)) = sender.socket.next().await {
            assert!(!message.is_close(), "{message:?}");
        }
    });
    let heard = loop {
        match receiver.socket.next().await.unwrap().unwrap() {
            Message::Text(text) => break text,
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(heard.len() > data, "{heard:.100}");
    let seconds = (max_message_bytes as u64 - u64::from(limits::BYTE_BURST)) / u64::from(limits::BYTE_RATE);
    assert!((seconds - 3..seconds + 10).contains(&start.elapsed().as_secs()), "{:?}, not {seconds} s", start.elapsed());
    said.abort();
}

/// Decides at once on most rooms, after a while on `slow`, and never on `never`.
async fn decide(request: JoinRequest) -> Result<Grant, Denial> {
    match request.room.as_str() {
        "slow" => sleep(Duration::from_secs(3)).await,
        "never" => std::future::pending().await,
        _ => {}
    }
    Ok(Grant::from(&request))
}

#[tokio::test(start_paused = true)]
async fn whoever_decides_on_joins_has_5_seconds_and_meanwhile_others_join() {
    let relay = TestRelay::in_memory_as(Config::default(), |builder| builder.authorizer(decide));
    let mut waits = relay.dial("/ws").await;
    let start = Instant::now();
    waits.say(json!({"type": "join", "room": "never", "ref": "j"})).await;
    relay.join("r").await;
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    let error = waits.expect_error("unavailable").await;
    assert_eq!((&error["ref"], &error["retryable"]), (&json!("j"), &json!(true)));
    assert_about(start.elapsed(), limits::AUTHORIZE_DEADLINE);
    waits.join("r").await;
    // The same for a room in the URL.
    let start = Instant::now();
    let mut refused = relay.dial("/?room=never").await;
    refused.expect_error("unavailable").await;
    refused.expect_close_code(1013).await;
    assert_about(start.elapsed(), limits::AUTHORIZE_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_behind_a_join_that_waits_is_carried_out_in_order_after_it() {
    let relay = TestRelay::in_memory_as(Config::default(), |builder| builder.authorizer(decide));
    let mut there = relay.join("slow").await;
    let mut comes = relay.dial("/ws").await;
    let start = Instant::now();
    comes.say(json!({"type": "join", "room": "slow"})).await;
    for number in 0..30 {
        comes.say(json!({"type": "message", "data": number})).await;
    }
    comes.say(json!({"type": "leave"})).await;
    comes.say(json!({"type": "join", "room": "other"})).await;
    there.expect("peer_joined").await;
    assert_about(start.elapsed(), Duration::from_secs(3));
    for number in 0..30 {
        assert_eq!(there.expect("message").await["data"], number);
    }
    assert_eq!(there.expect("peer_left").await["reason"], "left");
    assert_eq!(comes.expect_joined().await["room"], "slow");
    assert_eq!(comes.expect_joined().await["room"], "other");
}

#[tokio::test(start_paused = true)]
async fn who_names_a_room_where_the_url_joins_none_is_told_what_does_after_a_second() {
    let relay = relay();
    for path in ["/ws?room=r", "/ws/?room=r&name=Ana", "/ws?id=a"] {
        let mut silent = relay.dial(path).await;
        let start = Instant::now();
        let error = silent.expect_error("bad_message").await;
        assert_about(start.elapsed(), limits::MISLED_PATIENCE);
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("/?room=R") && said.contains("join"), "{said}");
        // It may join all the same.
        silent.join("r").await;
        silent.close().await;
    }
    for path in ["/ws?room=r", "/ws", "/ws?route=r"] {
        let mut client = relay.dial(path).await;
        if path == "/ws?room=r" {
            client.join("s").await;
        }
        sleep(limits::MISLED_PATIENCE * 2).await;
        client.expect_nothing().await;
    }
}

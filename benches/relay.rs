//! What the whole relay needs for one message, and for a visit, in instructions: from the bytes of one client to those
//! of another, over streams in memory. `scripts/bench --instructions` runs it under valgrind.

// The macros make items that nobody reads.
#![allow(missing_docs)]
// A benchmark may panic.
#![allow(clippy::expect_used, clippy::panic)]

use std::hint::black_box;
use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use signaling_relay::{Config, ConnectionInfo, Opaque, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};

/// How often each is done, so that what is done once does not show. A result is divided by it.
const TIMES: usize = 100;

/// A relay on one thread, and the members of a room of it.
struct Room {
    runtime: Runtime,
    relay: Arc<Relay>,
    members: Vec<DuplexStream>,
}

fn room(members: usize) -> Room {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let config = Config { message_rate: 0, byte_rate: 0, ..Config::default() };
    let relay = Relay::builder(config).build().expect("a relay");
    let members = runtime.block_on(async {
        let mut streams = Vec::new();
        for _ in 0..members {
            let newcomer = enter(&relay).await;
            for member in &mut streams {
                read_message(member).await;
            }
            streams.push(newcomer);
        }
        streams
    });
    Room { runtime, relay, members }
}

/// A client that has entered the room and read `joined`.
async fn enter(relay: &Arc<Relay>) -> DuplexStream {
    let (mut client, stream) = duplex(64 * 1024);
    let relay = Arc::clone(relay);
    tokio::spawn(async move { relay.serve_stream(Opaque(stream), ConnectionInfo::unix()).await });
    let request = "GET /?room=r HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    client.write_all(request.as_bytes()).await.expect("the relay reads");
    let mut end = [0; 4];
    while end != *b"\r\n\r\n" {
        end.rotate_left(1);
        end[3] = client.read_u8().await.expect("an answer");
    }
    read_message(&mut client).await;
    client
}

/// Reads one frame; returns the length of its payload.
async fn read_message(client: &mut DuplexStream) -> usize {
    let mut header = [0; 2];
    client.read_exact(&mut header).await.expect("a message");
    let length = match header[1] {
        126 => client.read_u16().await.expect("its length").into(),
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    client.read_exact(&mut payload).await.expect("its payload");
    length
}

/// A masked text frame, whose mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend((text.len() as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

fn candidate() -> Vec<u8> {
    frame(
        r#"{"type":"offer_ice","iceCandidate":{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host","sdpMLineIndex":0,"sdpMid":"0","usernameFragment":"abcd"}}"#,
    )
}

#[library_benchmark]
#[bench::pair(room(2), candidate())]
#[bench::room_of_eight(room(8), candidate())]
fn relay_100_messages(mut room: Room, message: Vec<u8>) -> Room {
    room.runtime.block_on(async {
        let Some((sender, receivers)) = room.members.split_first_mut() else { return };
        for _ in 0..TIMES {
            sender.write_all(&message).await.expect("the relay reads");
            for receiver in &mut *receivers {
                black_box(read_message(receiver).await);
            }
        }
    });
    room
}

#[library_benchmark]
#[bench::with_one_other(room(1))]
fn enter_and_leave_100_times(mut room: Room) -> Room {
    room.runtime.block_on(async {
        for _ in 0..TIMES {
            let mut visitor = enter(&room.relay).await;
            visitor.write_all(&frame(r#"{"type":"leave"}"#)).await.expect("the relay reads");
            for member in &mut room.members {
                black_box((read_message(member).await, read_message(member).await));
            }
        }
    });
    room
}

library_benchmark_group!(name = rooms; benchmarks = relay_100_messages, enter_and_leave_100_times);

main!(library_benchmark_groups = rooms);

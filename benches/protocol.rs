//! What reading and writing one message costs, in instructions: independent of sockets and rooms.
//!
//! `scripts/bench --instructions` runs them under valgrind; a change of a few hundred instructions a message can be told.

// The macros make items that nobody reads.
#![allow(missing_docs)]

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use signaling_relay::protocol::names::PeerId;
use signaling_relay::protocol::{Command, ErrorCode, Event, Refusal, encode, parse};

/// Lines of a session description with one camera and one microphone: about 2.5 KB.
const DESCRIPTION_LINES: usize = 48;
/// Lines of the largest that still passes: about 60 KB.
const LARGE_LINES: usize = 1_170;

fn offer(lines: usize) -> String {
    format!(
        r#"{{"type":"offer","to":"m1","sdp":"v=0\r\n{}"}}"#,
        r"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\n".repeat(lines)
    )
}

fn candidate() -> String {
    r#"{"type":"offer_ice","to":"m1","iceCandidate":{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host","sdpMLineIndex":0,"sdpMid":"0","usernameFragment":"abcd"}}"#.into()
}

fn join() -> String {
    r#"{"type":"join","room":"load-1","name":"Ana","id":"m1"}"#.into()
}

fn sender() -> PeerId {
    PeerId::parse("m2").unwrap_or_else(|_| unreachable!("m2 is an id"))
}

#[library_benchmark]
#[bench::offer(offer(DESCRIPTION_LINES))]
#[bench::large_offer(offer(LARGE_LINES))]
#[bench::candidate(candidate())]
#[bench::join(join())]
#[bench::no_json("offer".into())]
fn read(text: String) -> bool {
    black_box(parse(black_box(&text)).message.is_ok())
}

#[library_benchmark]
#[bench::offer(offer(DESCRIPTION_LINES), sender())]
#[bench::large_offer(offer(LARGE_LINES), sender())]
#[bench::candidate(candidate(), sender())]
fn read_and_write(text: String, from: PeerId) -> usize {
    match parse(black_box(&text)).message {
        Ok(Command::Signal(signal)) => {
            black_box(encode(&Event::Signal { from: &from, signal: &signal })).map_or(0, |frame| frame.len())
        }
        _ => 0,
    }
}

#[library_benchmark]
fn write_an_error() -> usize {
    let refusal = Refusal::new(ErrorCode::PeerNotFound, "nobody else is in the room");
    let event = Event::Error { refusal: &refusal, reference: black_box(Some("17")) };
    black_box(encode(&event)).map_or(0, |frame| frame.len())
}

library_benchmark_group!(name = protocol; benchmarks = read, read_and_write, write_an_error);

main!(library_benchmark_groups = protocol);

//! Bytes from a client: the decoder of a connection finds the same items and the same violation however the bytes
//! arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signaling_relay::fuzzing::decode;

/// The largest message: few bytes exceed it, and it needs each of the three forms of a frame's length.
const MAX_MESSAGE_BYTES: usize = 300;

fuzz_target!(|input: (u8, Vec<u8>, &[u8])| {
    let (masked, cuts, bytes) = input;
    // A fuzzer seldom finds a frame with a mask bit by chance.
    let bytes = if masked % 4 == 0 { bytes.to_vec() } else { frames(bytes) };
    let whole = decode(MAX_MESSAGE_BYTES, std::iter::once(bytes.as_slice()));
    let by_byte = decode(MAX_MESSAGE_BYTES, bytes.chunks(1));
    let in_pieces = decode(MAX_MESSAGE_BYTES, pieces(&bytes, &cuts).into_iter());
    assert_eq!(whole, by_byte, "byte by byte: {bytes:x?}");
    assert_eq!(whole, in_pieces, "with the lengths {cuts:?}: {bytes:x?}");
});

/// Masked frames of `bytes`: each begins with a first byte and a length.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let length = match length {
            0xfe.. => 300,
            0xf0..0xfe => 126,
            length => usize::from(length % 64),
        };
        let payload;
        (payload, bytes) = rest.split_at(length.min(rest.len()));
        frames.push(*first);
        if payload.len() < 126 {
            frames.push(0x80 | payload.len() as u8);
        } else {
            frames.push(0xfe);
            frames.extend((payload.len() as u16).to_be_bytes());
        }
        frames.extend(MASK);
        frames.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    }
    frames
}

/// `bytes` in pieces of these lengths, and then the rest.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths {
        let piece;
        (piece, bytes) = bytes.split_at(usize::from(*length).min(bytes.len()));
        pieces.push(piece);
    }
    pieces.push(bytes);
    pieces
}

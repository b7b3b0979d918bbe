//! WebSocket frames from the relay to a client (RFC 6455 section 5.2), encoded and ready to write.
//!
//! A server does not mask its frames, so one frame serves every receiver of a broadcast.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest header of an unmasked frame: two bytes, and eight for the length.
const HEADER_BYTES: usize = 10;
/// Bytes of a buffer, besides an eighth, that a frame may leave unused.
const SPARE_BYTES: usize = 64;
/// The longest payload of a control frame (RFC 6455 section 5.5).
pub(crate) const CONTROL_BYTES: usize = 125;

/// A text frame whose payload `write` appends; `capacity` is the size to expect, in bytes.
pub(crate) fn text(capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    frame(OpCode::Data(Data::Text), capacity, write)
}

/// A text frame as a client sends it. Its mask is zero, since no proxy in between could take it for something else (RFC 6455
/// section 10.3).
#[cfg(feature = "cluster")]
pub(crate) fn masked_text(text: &str) -> Vec<u8> {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), mask: Some([0; 4]), ..FrameHeader::default() };
    let length = text.len() as u64;
    let mut frame = Vec::with_capacity(header.len(length) + text.len());
    // This cannot fail: the target is memory.
    let _ = header.format(length, &mut frame);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A ping.
pub(crate) fn ping(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Ping), payload.len(), |frame| frame.extend_from_slice(payload))
}

/// The answer to a ping with this payload.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(OpCode::Control(Control::Pong), payload.len(), |frame| frame.extend_from_slice(payload))
}

/// Whether `frame` answers a ping.
pub(crate) fn is_pong(frame: &[u8]) -> bool {
    frame.first() == Some(&0x8a)
}

/// A close frame; without a code it has no payload. A reason that does not fit into a control frame is left out.
pub(crate) fn close(code: Option<CloseCode>, reason: &str) -> Bytes {
    frame(OpCode::Control(Control::Close), CONTROL_BYTES, |frame| {
        let Some(code) = code else { return };
        frame.extend_from_slice(&u16::from(code).to_be_bytes());
        if reason.len() <= CONTROL_BYTES - 2 {
            frame.extend_from_slice(reason.as_bytes());
        }
    })
}

/// Writes the payload after space for the longest header, and the header directly before the payload, so that no byte
/// is moved.
fn frame(opcode: OpCode, capacity: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buffer = Vec::with_capacity(HEADER_BYTES + capacity);
    buffer.resize(HEADER_BYTES, 0);
    write(&mut buffer);
    let length = (buffer.len() - HEADER_BYTES) as u64;
    let header = FrameHeader { opcode, ..FrameHeader::default() };
    let start = HEADER_BYTES - header.len(length);
    if let Some(mut space) = buffer.get_mut(start..HEADER_BYTES) {
        // This cannot fail: the space has the length that the header asked for.
        let _ = header.format(length, &mut space);
    }
    // A frame that waits pins the whole buffer, and is charged by its length: the spaces in a client's JSON are not relayed.
    if buffer.capacity() > buffer.len() + buffer.len() / 8 + SPARE_BYTES {
        buffer.shrink_to_fit();
    }
    Bytes::from(buffer).slice(start..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_the_shortest_header_that_holds_its_length() {
        let of = |bytes: usize| text(bytes, |frame| frame.resize(frame.len() + bytes, b'x'));
        assert_eq!(of(2).as_ref(), b"\x81\x02xx");
        assert_eq!(&of(125)[..3], b"\x81\x7dx");
        assert_eq!(&of(126)[..5], b"\x81\x7e\x00\x7ex");
        assert_eq!(&of(65_536)[..11], b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00x");
        assert_eq!(of(65_536).len(), 65_546);
    }

    #[cfg(feature = "cluster")]
    #[test]
    fn a_frame_of_a_client_is_masked() {
        assert_eq!(masked_text("xy"), b"\x81\x82\0\0\0\0xy");
        assert_eq!(masked_text(&"x".repeat(126))[..9], *b"\x81\xfe\x00\x7e\0\0\0\0x");
    }

    #[test]
    fn a_frame_pins_no_more_than_it_needs_however_much_was_expected() {
        let frame = text(64 * 1024, |frame| frame.extend_from_slice(b"short"));
        assert!(Vec::from(frame).capacity() < 100);
    }

    #[test]
    fn control_frames_stay_within_125_bytes() {
        assert_eq!(ping(b"").as_ref(), b"\x89\x00");
        assert_eq!(pong(b"7").as_ref(), b"\x8a\x017");
        assert!(is_pong(&pong(b"7")) && !is_pong(&ping(b"7")));
        assert_eq!(close(None, "").as_ref(), b"\x88\x00");
        assert_eq!(close(Some(CloseCode::Policy), "no").as_ref(), b"\x88\x04\x03\xf0no");
        assert_eq!(close(Some(CloseCode::Policy), &"x".repeat(123)).len(), 2 + 125);
        assert_eq!(close(Some(CloseCode::Policy), &"x".repeat(124)).len(), 4);
    }
}

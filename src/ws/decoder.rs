//! Decodes the bytes of a client into messages (RFC 6455 section 5), and checks that they are valid and not too large.
//!
//! A message that arrives in one frame and one read is borrowed from the read buffer; only incomplete ones are copied.

use std::borrow::Cow;
use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::outbox::frame::CONTROL_BYTES;

/// Decodes the frames of one client.
#[derive(Debug)]
pub(super) struct Decoder {
    max_message_bytes: usize,
    /// The frame whose payload is incomplete.
    frame: Option<Frame>,
    /// The part of the incomplete message that has arrived.
    message: Vec<u8>,
    /// How many bytes of it are known to be UTF-8.
    valid: usize,
    /// Whether its last fragment is still to come.
    is_fragmented: bool,
    /// Whether binary messages are decoded too, and whether the incomplete message is one.
    takes_binary: bool,
    is_binary: bool,
    /// The part of an incomplete control frame that has arrived. A control frame may come between two fragments.
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    /// Bytes of the payload that are still to come.
    missing: usize,
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A text message.
    Text(Cow<'a, str>),
    /// A binary message, if the decoder takes those.
    Binary(Cow<'a, [u8]>),
    /// A ping to answer.
    Ping(Cow<'a, [u8]>),
    /// A pong.
    Pong(Cow<'a, [u8]>),
    /// A fragment that carries nothing.
    EmptyFragment,
    /// A close frame, with its code and reason if any.
    Close(Option<(CloseCode, String)>),
}

/// What a client must not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Frames that break RFC 6455; how.
    Frame(&'static str),
    /// A binary message.
    Binary,
    /// A text that is not UTF-8.
    Utf8,
    /// A message that is too large.
    TooLarge,
}

impl Decoder {
    /// A decoder of messages of at most `max_message_bytes`.
    pub(super) fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            frame: None,
            message: Vec::new(),
            valid: 0,
            is_fragmented: false,
            takes_binary: false,
            is_binary: false,
            control: Vec::new(),
        }
    }

    /// Whether binary messages are decoded from now on; without it they are a [violation](Violation::Binary).
    pub(super) fn take_binary(&mut self, takes_binary: bool) {
        self.takes_binary = takes_binary;
    }

    /// Whether a message or a frame is incomplete.
    #[inline]
    pub(super) fn is_within_message(&self) -> bool {
        self.is_fragmented || self.frame.is_some()
    }

    /// The memory of what has arrived in part, in bytes.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// Decodes the next item from the front of `input`, and returns also how many bytes it consumed. Without an item,
    /// and with no bytes consumed, `input` is the incomplete header of a frame.
    // Inlined although each wire has a copy: a call costs each message what the optimiser saves where there is but one.
    #[inline(always)]
    pub(super) fn decode<'a>(&mut self, input: &'a mut [u8]) -> Result<(usize, Option<Item<'a>>), Violation> {
        let (mut frame, start) = match self.frame.take() {
            Some(frame) => (frame, 0),
            None => match self.read_header(input)? {
                Some(header) => header,
                None => return Ok((0, None)),
            },
        };
        let end = start + frame.missing.min(input.len() - start);
        let Some(payload) = input.get_mut(start..end) else { return Ok((0, None)) };
        unmask(payload, &mut frame.mask);
        frame.missing -= payload.len();
        let item = if frame.missing > 0 {
            self.keep(frame, payload)?;
            self.frame = Some(frame);
            None
        } else {
            self.finish(frame, payload)?
        };
        Ok((end, item))
    }

    /// Reads a frame's header, and returns also its length; none if it is incomplete.
    #[inline(always)]
    fn read_header(&self, input: &[u8]) -> Result<Option<(Frame, usize)>, Violation> {
        let mut cursor = Cursor::new(input);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::Frame("a reserved opcode"))?;
        let Some((header, length)) = parsed else { return Ok(None) };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Frame("a reserved bit is set"));
        }
        let Some(mask) = header.mask else { return Err(Violation::Frame("a frame is not masked")) };
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return Err(Violation::Frame("a control frame is fragmented")),
            OpCode::Control(_) if length > CONTROL_BYTES as u64 => {
                return Err(Violation::Frame("a control frame is too long"));
            }
            OpCode::Control(_) => {}
            OpCode::Data(Data::Continue) if !self.is_fragmented => {
                return Err(Violation::Frame("a continuation without a beginning"));
            }
            OpCode::Data(Data::Text | Data::Binary) if self.is_fragmented => {
                return Err(Violation::Frame("a message begins within another"));
            }
            OpCode::Data(Data::Binary) if !self.takes_binary => return Err(Violation::Binary),
            OpCode::Data(_) => {
                if length > (self.max_message_bytes - self.message.len()) as u64 {
                    return Err(Violation::TooLarge);
                }
            }
        }
        let frame = Frame { opcode: header.opcode, is_final: header.is_final, mask, missing: length as usize };
        Ok(Some((frame, cursor.position() as usize)))
    }

    /// Keeps a part of a payload until the rest has arrived.
    fn keep(&mut self, frame: Frame, payload: &[u8]) -> Result<(), Violation> {
        match frame.opcode {
            OpCode::Control(_) => self.control.extend_from_slice(payload),
            OpCode::Data(_) => {
                self.message.extend_from_slice(payload);
                self.is_binary |= frame.opcode == OpCode::Data(Data::Binary);
                self.check_utf8()?;
            }
        }
        Ok(())
    }

    /// Handles the last part of a frame's payload.
    #[inline(always)]
    fn finish<'a>(&mut self, frame: Frame, payload: &'a [u8]) -> Result<Option<Item<'a>>, Violation> {
        match frame.opcode {
            OpCode::Control(control) => {
                let payload = if self.control.is_empty() {
                    Cow::Borrowed(payload)
                } else {
                    self.control.extend_from_slice(payload);
                    Cow::Owned(std::mem::take(&mut self.control))
                };
                match control {
                    Control::Ping => Ok(Some(Item::Ping(payload))),
                    Control::Pong => Ok(Some(Item::Pong(payload))),
                    _ => close_of(&payload).map(|close| Some(Item::Close(close))),
                }
            }
            OpCode::Data(_) if self.is_binary || frame.opcode == OpCode::Data(Data::Binary) => {
                Ok(self.finish_binary(frame, payload))
            }
            OpCode::Data(_) if frame.is_final && self.message.is_empty() => {
                self.is_fragmented = false;
                let text = std::str::from_utf8(payload).map_err(|_| Violation::Utf8)?;
                Ok(Some(Item::Text(Cow::Borrowed(text))))
            }
            OpCode::Data(_) => {
                let is_empty = payload.is_empty();
                self.message.extend_from_slice(payload);
                self.is_fragmented = !frame.is_final;
                if self.is_fragmented {
                    self.check_utf8()?;
                    return Ok(is_empty.then_some(Item::EmptyFragment));
                }
                self.valid = 0;
                let text = String::from_utf8(std::mem::take(&mut self.message)).map_err(|_| Violation::Utf8)?;
                Ok(Some(Item::Text(Cow::Owned(text))))
            }
        }
    }

    /// Handles the last part of a frame of a binary message.
    #[cold]
    fn finish_binary<'a>(&mut self, frame: Frame, payload: &'a [u8]) -> Option<Item<'a>> {
        self.is_binary = !frame.is_final;
        self.is_fragmented = !frame.is_final;
        if frame.is_final && self.message.is_empty() {
            return Some(Item::Binary(Cow::Borrowed(payload)));
        }
        self.message.extend_from_slice(payload);
        if frame.is_final {
            return Some(Item::Binary(Cow::Owned(std::mem::take(&mut self.message))));
        }
        payload.is_empty().then_some(Item::EmptyFragment)
    }

    /// Detects an invalid text before it is complete.
    fn check_utf8(&mut self) -> Result<(), Violation> {
        if self.is_binary {
            return Ok(());
        }
        let unchecked = self.message.get(self.valid..).unwrap_or_default();
        match std::str::from_utf8(unchecked) {
            Ok(_) => self.valid = self.message.len(),
            // The last character may be incomplete.
            Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
            Err(_) => return Err(Violation::Utf8),
        }
        Ok(())
    }
}

/// Unmasks a part of a payload, and rotates the mask for the next part (RFC 6455 section 5.3).
#[inline(always)]
fn unmask(payload: &mut [u8], mask: &mut [u8; 4]) {
    let eight = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        if let Ok(bytes) = <[u8; 8]>::try_from(&*chunk) {
            chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ eight).to_ne_bytes());
        }
    }
    let rest = chunks.into_remainder();
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    let turn = rest.len() % 4;
    mask.rotate_left(turn);
}

/// The code and the reason in a close frame (RFC 6455 sections 5.5.1 and 7.4).
fn close_of(payload: &[u8]) -> Result<Option<(CloseCode, String)>, Violation> {
    match payload {
        [] => Ok(None),
        [one, two, reason @ ..] => {
            let code = CloseCode::from(u16::from_be_bytes([*one, *two]));
            if !code.is_allowed() {
                return Err(Violation::Frame("a close code that must not be sent"));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
            Ok(Some((code, reason.to_owned())))
        }
        [_] => Err(Violation::Frame("half a close code")),
    }
}

/// What a decoder of messages of at most `max_message_bytes` finds in a stream that arrives in these chunks: the items
/// before the first violation, and that violation.
#[cfg(any(test, fuzzing))]
pub(crate) fn decoded_in_chunks<'a>(
    max_message_bytes: usize,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Vec<String>, Option<Violation>) {
    let (mut decoder, mut items, mut waiting) = (Decoder::new(max_message_bytes), Vec::new(), Vec::new());
    for chunk in chunks {
        waiting.extend_from_slice(chunk);
        loop {
            let taken = match decoder.decode(&mut waiting) {
                Ok((taken, item)) => {
                    items.extend(item.map(|item| format!("{item:?}")));
                    taken
                }
                Err(violation) => return (items, Some(violation)),
            };
            if taken == 0 {
                break;
            }
            waiting.drain(..taken);
        }
    }
    (items, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    /// A masked frame with the opcode and the FIN bit of `first`.
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
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    /// The items that a decoder finds in `input` when `chunk` bytes arrive at a time.
    fn decoded(input: &[u8], chunk: usize) -> Result<Vec<String>, Violation> {
        let (items, violation) = decoded_in_chunks(1000, input.chunks(chunk));
        violation.map_or(Ok(items), Err)
    }

    fn violation(input: &[u8]) -> Violation {
        let found = decoded(input, usize::MAX).unwrap_err();
        assert_eq!(decoded(input, 1).unwrap_err(), found, "byte by byte");
        found
    }

    #[test]
    fn messages_are_the_same_however_the_bytes_arrive() {
        let long = "ü".repeat(300);
        let input = [
            frame(0x81, b"hello"),
            frame(0x81, b""),
            frame(0x01, "gr\u{fc}".as_bytes().split_last().unwrap().1),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, &[0xbc]),
            frame(0x8a, b"pong"),
            frame(0x81, long.as_bytes()),
            frame(0x88, b"\x03\xe8bye"),
        ]
        .concat();
        let whole = decoded(&input, usize::MAX).unwrap();
        assert_eq!(
            whole,
            [
                r#"Text("hello")"#,
                r#"Text("")"#,
                "Ping([112, 105, 110, 103])",
                "EmptyFragment",
                r#"Text("grü")"#,
                "Pong([112, 111, 110, 103])",
                &format!("Text({long:?})"),
                r#"Close(Some((Normal, "bye")))"#,
            ]
        );
        for chunk in 1..40 {
            assert_eq!(decoded(&input, chunk).unwrap(), whole, "{chunk} bytes at a time");
        }
    }

    #[test]
    fn binary_messages_are_decoded_where_they_are_taken_and_texts_as_ever() {
        let input = [
            frame(0x82, b"\xff\x00"),
            frame(0x81, b"text"),
            frame(0x02, b"\xc3"),
            frame(0x89, b"ping"),
            frame(0x00, b""),
            frame(0x80, b"\x28"),
            frame(0x01, b"te"),
            frame(0x80, b"xt"),
            frame(0x82, b""),
        ]
        .concat();
        for chunk in [1, 3, usize::MAX] {
            let (mut decoder, mut items, mut waiting) = (Decoder::new(1000), Vec::new(), Vec::new());
            decoder.take_binary(true);
            for chunk in input.chunks(chunk) {
                waiting.extend_from_slice(chunk);
                loop {
                    let (taken, item) = decoder.decode(&mut waiting).unwrap();
                    items.extend(item.map(|item| format!("{item:?}")));
                    if taken == 0 {
                        break;
                    }
                    waiting.drain(..taken);
                }
            }
            let expected = [
                "Binary([255, 0])",
                "Text(\"text\")",
                "Ping([112, 105, 110, 103])",
                "EmptyFragment",
                "Binary([195, 40])",
                "Text(\"text\")",
                "Binary([])",
            ];
            assert_eq!(items, expected, "chunks of {chunk}");
            assert!(!decoder.is_within_message());
        }
        for (input, expected) in [
            (frame(0x82, &[0; 1001]), Violation::TooLarge),
            (frame(0x81, b"\xff"), Violation::Utf8),
            ([frame(0x02, b"a"), frame(0x81, b"b")].concat(), Violation::Frame("a message begins within another")),
        ] {
            let mut decoder = Decoder::new(1000);
            decoder.take_binary(true);
            let mut input = input;
            let found = loop {
                match decoder.decode(&mut input) {
                    Ok((taken, _)) => drop(input.drain(..taken)),
                    Err(found) => break found,
                }
            };
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn frames_that_rfc_6455_forbids_are_found() {
        for input in [
            frame(0x83, b""),
            frame(0x8b, b""),
            frame(0xc1, b"x"),
            frame(0x09, b""),
            frame(0x89, &[0; 126]),
            frame(0x80, b"x"),
            [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
            vec![0x81, 0x01, b'x'],
            frame(0x88, b"\x03"),
            frame(0x88, b"\x03\xed"),
            frame(0x88, b"\x00\x00"),
        ] {
            assert!(matches!(violation(&input), Violation::Frame(_)), "{input:?}");
        }
    }

    #[test]
    fn what_this_relay_does_not_accept_is_found() {
        assert_eq!(violation(&frame(0x82, b"x")), Violation::Binary);
        assert_eq!(violation(&frame(0x81, b"\xc0\xaf")), Violation::Utf8);
        assert_eq!(violation(&frame(0x81, b"\xc3")), Violation::Utf8);
        assert_eq!(violation(&frame(0x88, b"\x03\xe8\xff")), Violation::Utf8);
        assert_eq!(violation(&frame(0x01, b"\xff")), Violation::Utf8, "before it is whole");
        assert_eq!(violation(&frame(0x81, &[b'x'; 1001])), Violation::TooLarge);
        assert_eq!(violation(&[frame(0x01, &[b'x'; 999]), frame(0x80, b"yy")].concat()), Violation::TooLarge);
        assert!(decoded(&[frame(0x01, &[b'x'; 999]), frame(0x80, b"y")].concat(), 7).is_ok());
        let endless = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(violation(&endless), Violation::TooLarge);
    }
}

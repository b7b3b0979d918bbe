//! Messages in a stream of bytes: RFC 6455 frames of a client, or a length before each; independent of sockets.

use anyhow::{Result, bail};

/// The masking key of every frame. Servers unmask whatever the key is; one for all saves the tool a random number each.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// The bit that says that a frame ends its message.
const FIN: u8 = 0x80;
/// The bit that says that a payload is masked.
const MASKED: u8 = 0x80;
/// The largest payload whose length stands in the second byte of a frame.
const SHORT: usize = 125;
/// Bytes of the length in front of each message of [`Framing::LengthPrefixed`].
const PREFIX_BYTES: usize = 4;

/// How messages are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// As RFC 6455 says, after an HTTP upgrade.
    WebSocket,
    /// A length of four bytes, big-endian, in front of each; no handshake.
    LengthPrefixed,
}

/// The opcodes that the tool writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// A text message.
    Text = 1,
    /// A close frame.
    Close = 8,
    /// The answer to a ping.
    Pong = 10,
}

/// What a server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole message.
    Text(&'a [u8]),
    /// A ping, to be answered with its payload.
    Ping(&'a [u8]),
    /// A close frame, with its code.
    Close(Option<u16>),
    /// A pong.
    Pong,
}

/// Cuts the first frame off `bytes`, and says how many bytes it took; `None` when it is not all there yet.
pub(crate) fn cut(framing: Framing, bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    match framing {
        Framing::WebSocket => cut_websocket(bytes),
        Framing::LengthPrefixed => Ok(bytes.split_first_chunk::<PREFIX_BYTES>().and_then(|(length, rest)| {
            let length = u32::from_be_bytes(*length) as usize;
            rest.get(..length).map(|text| (Frame::Text(text), PREFIX_BYTES + length))
        })),
    }
}

fn cut_websocket(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (length, rest) = match second {
        126 => match rest.split_first_chunk() {
            Some((length, rest)) => (usize::from(u16::from_be_bytes(*length)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk() {
            Some((length, rest)) => (usize::try_from(u64::from_be_bytes(*length))?, rest),
            None => return Ok(None),
        },
        length if length & MASKED == 0 => (usize::from(*length), rest),
        _ => bail!("the server masked a frame"),
    };
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let frame = match first ^ FIN {
        1 => Frame::Text(payload),
        8 => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
        9 => Frame::Ping(payload),
        10 => Frame::Pong,
        _ => bail!("the server sent a frame that begins with {first:#x}"),
    };
    Ok(Some((frame, bytes.len() - rest.len() + length)))
}

/// Appends a frame to `out`.
pub(crate) fn write(framing: Framing, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    if framing == Framing::LengthPrefixed {
        out.extend_from_slice(&(length as u32).to_be_bytes());
        out.extend_from_slice(payload);
        return;
    }
    out.push(FIN | opcode as u8);
    if length <= SHORT {
        out.push(MASKED | length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(MASKED | 126);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(MASKED | 127);
        out.extend_from_slice(&(length as u64).to_be_bytes());
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    for word in out.get_mut(start..).unwrap_or_default().chunks_mut(MASK.len()) {
        for (byte, key) in word.iter_mut().zip(MASK) {
            *byte ^= key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_each_length_is_cut_when_it_is_whole() {
        for (header, length) in
            [(vec![0x81, 3], 3), (vec![0x81, 126, 1, 0], 256), (vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536)]
        {
            let mut bytes = header.clone();
            bytes.extend(std::iter::repeat_n(b'x', length));
            assert_eq!(cut(Framing::WebSocket, &bytes[..bytes.len() - 1]).unwrap(), None);
            let (frame, taken) = cut(Framing::WebSocket, &bytes).unwrap().unwrap();
            assert_eq!((frame, taken), (Frame::Text(&vec![b'x'; length]), bytes.len()));
        }
    }

    #[test]
    fn a_client_masks_what_it_writes() {
        let mut out = Vec::new();
        write(Framing::WebSocket, Opcode::Text, b"Hello", &mut out);
        // The example of RFC 6455, section 5.7.
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}

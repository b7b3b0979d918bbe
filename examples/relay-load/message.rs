//! What the members say: session descriptions and candidates of real sizes, each with a stamp that tells who sent it to
//! whom, as which, and when; independent of sockets and of dialects.

/// Bytes of a session description on the wire: one camera and one microphone, as a browser writes them.
pub(crate) const DESCRIPTION_BYTES: usize = 2_500;
/// Bytes of a candidate on the wire.
pub(crate) const CANDIDATE_BYTES: usize = 200;
/// Candidates that follow each description: a machine with two interfaces gathers about as many.
const CANDIDATES: u32 = 10;
/// What comes right before a stamp.
const STAMP_KEY: &[u8] = br#","stamp":""#;
/// Digits of a stamp: sender, addressee and number of 8 each, time of 16.
const STAMP_DIGITS: usize = 40;
/// A stamp ends at most this many bytes before the end of the text: the brackets that dialects close, and the number of clients
/// that y-webrtc's server says.
const TAIL_BYTES: usize = 24;
/// The addressee of what goes to everyone.
const EVERYONE: u32 = u32::MAX;

/// About how large the messages are, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// A session description.
    pub(crate) description: usize,
    /// A candidate.
    pub(crate) candidate: usize,
}

/// The kinds of signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A session description that asks.
    Offer,
    /// A session description that answers.
    Answer,
    /// A candidate of the one who asked.
    OfferIce,
    /// A candidate of the one who answered.
    AnswerIce,
}

impl Kind {
    /// What the member in `slot` of its room says as its message number `step`: a description, then its candidates.
    pub(crate) fn of_step(slot: usize, step: u32) -> Self {
        match (slot, step % (CANDIDATES + 1)) {
            (0, 0) => Self::Offer,
            (0, _) => Self::OfferIce,
            (_, 0) => Self::Answer,
            _ => Self::AnswerIce,
        }
    }

    fn is_description(self) -> bool {
        matches!(self, Self::Offer | Self::Answer)
    }
}

/// Who sent a message, to whom, as which of its messages, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The number of the member that sent it.
    pub(crate) from: usize,
    /// The number of the member that shall get it; everyone else in the room otherwise.
    pub(crate) to: Option<usize>,
    /// Counts the sender's messages from 0.
    pub(crate) number: u32,
    /// When it was, or should have been, sent: nanoseconds since the tool started.
    pub(crate) time: u64,
}

/// The two bodies, made once: JSON from the payload's key to where the stamp begins. Keys stand in the order of the alphabet,
/// because some servers sort them.
#[derive(Debug)]
pub(crate) struct Bodies {
    description: Vec<u8>,
    candidate: Vec<u8>,
}

impl Bodies {
    /// Bodies of about these sizes.
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self {
            description: body(
                r#""sdp":"v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"#,
                r"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 goog-remb\r\n",
                "\"",
                sizes.description,
            ),
            candidate: body(
                r#""iceCandidate":{"candidate":"candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host"#,
                " generation 0",
                r#"","sdpMLineIndex":0,"sdpMid":"0"}"#,
                sizes.candidate,
            ),
        }
    }

    /// Appends the body of `kind` and `stamp` to `text`, up to the quotation mark that ends the stamp.
    pub(crate) fn write(&self, kind: Kind, stamp: Stamp, text: &mut Vec<u8>) {
        text.extend_from_slice(if kind.is_description() { &self.description } else { &self.candidate });
        let to = stamp.to.map_or(EVERYONE, |to| to as u32);
        for (value, digits) in
            [(stamp.from as u64, 8), (u64::from(to), 8), (u64::from(stamp.number), 8), (stamp.time, 16)]
        {
            write_hex(value, digits, text);
        }
        text.push(b'"');
    }

    /// Finds the stamp in what a server sent, and says whether the body before it is as it was written.
    pub(crate) fn read(&self, text: &[u8]) -> Option<(Stamp, bool)> {
        let earliest = text.len().saturating_sub(TAIL_BYTES + STAMP_DIGITS + STAMP_KEY.len());
        let tail = text.get(earliest..)?;
        let key = tail.windows(STAMP_KEY.len()).rposition(|window| window == STAMP_KEY)?;
        let start = earliest + key + STAMP_KEY.len();
        let mut rest = text.get(start..start + STAMP_DIGITS)?;
        let mut field = |digits| {
            let (field, after) = rest.split_at_checked(digits)?;
            rest = after;
            read_hex(field)
        };
        let (from, to, number, time) = (field(8)?, field(8)?, field(8)?, field(16)?);
        let stamp = Stamp {
            from: from as usize,
            to: (to != u64::from(EVERYONE)).then_some(to as usize),
            number: number as u32,
            time,
        };
        let before = text.get(..start)?;
        Some((stamp, before.ends_with(&self.candidate) || before.ends_with(&self.description)))
    }
}

fn body(start: &str, filler: &str, end: &str, bytes: usize) -> Vec<u8> {
    let mut body = start.to_owned();
    while body.len() + filler.len() + end.len() + STAMP_KEY.len() + STAMP_DIGITS < bytes {
        body.push_str(filler);
    }
    let mut body = (body + end).into_bytes();
    body.extend_from_slice(STAMP_KEY);
    body
}

fn write_hex(value: u64, digits: u32, text: &mut Vec<u8>) {
    text.extend((0..digits).rev().map(|digit| {
        let nibble = (value >> (4 * digit)) as u8 & 0xf;
        if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
    }));
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | u64::from((*digit as char).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        let bodies = Bodies::new(Sizes { description: DESCRIPTION_BYTES, candidate: CANDIDATE_BYTES });
        for (kind, to) in [(Kind::Offer, Some(7)), (Kind::AnswerIce, None)] {
            let stamp = Stamp { from: 3, to, number: 99, time: 1 << 40 };
            let mut text = b"{".to_vec();
            bodies.write(kind, stamp, &mut text);
            text.extend_from_slice(b"}}}]");
            assert_eq!(bodies.read(&text), Some((stamp, true)));
            text[40] ^= 1;
            assert_eq!(bodies.read(&text), Some((stamp, false)));
            serde_json::from_slice::<serde_json::Value>(&text[..text.len() - 3]).unwrap();
        }
    }
}

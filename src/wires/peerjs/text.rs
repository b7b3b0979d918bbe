//! What clients of PeerJS say, and the texts that they hear.

use std::borrow::Cow;

use bytes::Bytes;

use crate::outbox::frame;
use crate::wires::json::{fields, string, value};

/// What a client says to the one with an id.
#[derive(Debug)]
pub(super) struct Saying<'a> {
    kind: Kind,
    /// The id for which it is.
    pub dst: Cow<'a, str>,
    /// The same, as it was written.
    pub dst_json: &'a str,
    payload: Option<&'a str>,
}

/// What clients say to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Offer,
    Answer,
    Candidate,
    Leave,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Offer, Self::Answer, Self::Candidate, Self::Leave];

    fn name(self) -> &'static str {
        match self {
            Self::Offer => "OFFER",
            Self::Answer => "ANSWER",
            Self::Candidate => "CANDIDATE",
            Self::Leave => "LEAVE",
        }
    }
}

impl Saying<'_> {
    /// Whether it is held for one who is not there.
    pub(super) fn may_be_held(&self) -> bool {
        self.kind != Kind::Leave
    }
}

/// What `text` says to another client; none if it says nothing, or only that its client is there. The relay alone says `EXPIRE`.
pub(super) fn parse(text: &str) -> Option<Saying<'_>> {
    let fields = fields(text)?;
    let kind = value(&fields, "type").and_then(string)?;
    let kind = Kind::ALL.into_iter().find(|one| one.name() == kind)?;
    let dst_json = value(&fields, "dst")?;
    let dst = string(dst_json).filter(|dst| !dst.is_empty())?;
    Some(Saying { kind, dst, dst_json, payload: value(&fields, "payload") })
}

/// A text as JSON.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What the one for whom it is hears, of the client whose id is `src` in JSON. The values are as they were written.
pub(super) fn relayed(saying: &Saying<'_>, src: &str) -> Bytes {
    let (before_payload, payload) = saying.payload.map_or(("", ""), |payload| (r#","payload":"#, payload));
    concat(&[
        r#"{"type":""#,
        saying.kind.name(),
        r#"","src":"#,
        src,
        r#","dst":"#,
        saying.dst_json,
        before_payload,
        payload,
        "}",
    ])
}

/// The first that a client hears.
pub(super) fn open() -> Bytes {
    concat(&[r#"{"type":"OPEN"}"#])
}

/// Somebody else has the id.
pub(super) fn id_taken() -> Bytes {
    concat(&[r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#])
}

/// Why a client is not let in.
pub(super) fn error(why: &str) -> Bytes {
    concat(&[r#"{"type":"ERROR","payload":{"msg":"#, &json(why), "}}"])
}

/// Nobody came with the id `src` to hear what the client `dst` has said to it; both as JSON.
pub(super) fn expire(src: &str, dst: &str) -> Bytes {
    concat(&[r#"{"type":"EXPIRE","src":"#, src, r#","dst":"#, dst, "}"])
}

fn concat(parts: &[&str]) -> Bytes {
    let bytes = parts.iter().map(|part| part.len()).sum();
    frame::text(bytes, |frame| parts.iter().for_each(|part| frame.extend_from_slice(part.as_bytes())))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

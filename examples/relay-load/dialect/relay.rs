//! This project's relay: members choose ids that tell their number, dial `/ws` and join.

use serde::Deserialize;

use super::{Dialect, Heard, Member, Refusal, push};
use crate::message::Kind;

/// This project's relay.
pub(crate) struct Relay;

/// The fields of an `error` that the tool looks at.
#[derive(Deserialize)]
struct Error {
    code: String,
    to: Option<String>,
}

impl Dialect for Relay {
    fn path(&self, _: Member) -> String {
        "/ws".into()
    }

    fn greet(&self, member: Member) -> Option<String> {
        Some(format!(r#"{{"type":"join","room":"load-{}","id":"m{}"}}"#, member.room, member.index))
    }

    fn hear(&mut self, _: Member, text: &[u8]) -> Heard {
        // The relay writes `type` first. Only an error, which is rare, is worth a real parser.
        let Some(kind) = text.strip_prefix(br#"{"type":""#) else { return Heard::Broken(lossy(text)) };
        if kind.starts_with(b"offer") || kind.starts_with(b"answer") {
            return Heard::Signal;
        }
        if kind.starts_with(b"joined\"") {
            return Heard::Joined;
        }
        if let Some(rest) = kind.strip_prefix(br#"peer_left","id":""#) {
            let id = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
            return std::str::from_utf8(id).ok().and_then(number).map_or(Heard::Nothing, Heard::Left);
        }
        if !kind.starts_with(b"error\"") {
            return Heard::Nothing;
        }
        let Ok(Error { code, to }) = serde_json::from_slice(text) else { return Heard::Broken(lossy(text)) };
        let reason = match &*code {
            "unavailable" => return Heard::Unavailable,
            "peer_busy" => Refusal::Busy,
            "rate_limited" => Refusal::RateLimited,
            "peer_not_found" => Refusal::NotFound,
            _ => return Heard::Broken(lossy(text)),
        };
        Heard::Refused { reason, to: to.as_deref().and_then(number) }
    }

    fn begin(&self, _: Member, to: Option<Member>, kind: Kind, text: &mut Vec<u8>) -> bool {
        let kind = match kind {
            Kind::Offer => "offer",
            Kind::Answer => "answer",
            Kind::OfferIce => "offer_ice",
            Kind::AnswerIce => "answer_ice",
        };
        match to {
            Some(to) => push(text, format_args!(r#"{{"type":"{kind}","to":"m{}","#, to.index)),
            None => push(text, format_args!(r#"{{"type":"{kind}","#)),
        }
        true
    }

    fn leave(&self) -> Option<&'static str> {
        Some(r#"{"type":"leave"}"#)
    }
}

/// The number of the member that chose this id.
fn number(id: &str) -> Option<usize> {
    id.strip_prefix('m')?.parse().ok()
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

//! peerjs-server: no rooms, each signal goes to one id.

use super::{Dialect, Heard, Member, push};
use crate::message::Kind;

/// peerjs-server.
pub(crate) struct PeerJs;

impl Dialect for PeerJs {
    fn path(&self, member: Member) -> String {
        format!("/peerjs?key=peerjs&id=m{}&token=t", member.index)
    }

    fn greet(&self, _: Member) -> Option<String> {
        None
    }

    fn hear(&mut self, _: Member, text: &[u8]) -> Heard {
        match text.strip_prefix(br#"{"type":""#) {
            Some(kind) if kind.starts_with(b"OPEN") => Heard::Joined,
            Some(kind) if [&b"OFFER"[..], b"ANSWER", b"CANDIDATE"].iter().any(|name| kind.starts_with(name)) => {
                Heard::Signal
            }
            Some(kind) if kind.starts_with(b"LEAVE") => Heard::Nothing,
            _ => Heard::Broken(String::from_utf8_lossy(text).into_owned()),
        }
    }

    fn begin(&self, _: Member, to: Option<Member>, kind: Kind, text: &mut Vec<u8>) -> bool {
        let Some(to) = to else { return false };
        let kind = match kind {
            Kind::Offer => "OFFER",
            Kind::Answer => "ANSWER",
            Kind::OfferIce | Kind::AnswerIce => "CANDIDATE",
        };
        push(text, format_args!(r#"{{"type":"{kind}","dst":"m{}","payload":{{"#, to.index));
        true
    }

    fn end(&self) -> &'static [u8] {
        b"}}"
    }
}

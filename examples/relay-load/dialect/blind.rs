//! A server that looks into nothing: the room stands in the URL, and each frame goes to the rest of it as it is.

use super::{Dialect, Heard, Member, push};
use crate::message::Kind;

/// A server that looks into nothing.
pub(crate) struct Blind;

impl Dialect for Blind {
    fn path(&self, member: Member) -> String {
        format!("/?room=load-{}", member.room)
    }

    fn greet(&self, _: Member) -> Option<String> {
        None
    }

    fn joins_silently(&self) -> bool {
        true
    }

    fn hear(&mut self, _: Member, _: &[u8]) -> Heard {
        Heard::Signal
    }

    fn begin(&self, _: Member, _: Option<Member>, kind: Kind, text: &mut Vec<u8>) -> bool {
        let kind = match kind {
            Kind::Offer => "offer",
            Kind::Answer => "answer",
            Kind::OfferIce => "offer_ice",
            Kind::AnswerIce => "answer_ice",
        };
        push(text, format_args!(r#"{{"type":"{kind}","#));
        true
    }
}

//! The tool's own forwarder: a room's name first, then whatever comes goes to the rest of the room.

use super::{Dialect, Heard, Member, push};
use crate::frame::Framing;
use crate::message::Kind;

/// The tool's own forwarder.
pub(crate) struct Raw;

impl Dialect for Raw {
    fn framing(&self) -> Framing {
        Framing::LengthPrefixed
    }

    fn path(&self, _: Member) -> String {
        String::new()
    }

    fn greet(&self, member: Member) -> Option<String> {
        Some(format!("load-{}", member.room))
    }

    fn joins_silently(&self) -> bool {
        true
    }

    fn hear(&mut self, _: Member, _: &[u8]) -> Heard {
        Heard::Signal
    }

    fn begin(&self, _: Member, _: Option<Member>, _: Kind, text: &mut Vec<u8>) -> bool {
        push(text, format_args!("{{"));
        true
    }
}

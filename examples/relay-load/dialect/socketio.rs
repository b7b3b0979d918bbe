//! Socket.IO (Engine.IO 4, WebSocket from the start) with an event for each kind of signal, as tutorials write it.

use super::{Dialect, Heard, Member, push};
use crate::message::Kind;

/// A Socket.IO server.
pub(crate) struct SocketIo;

impl Dialect for SocketIo {
    fn path(&self, _: Member) -> String {
        "/socket.io/?EIO=4&transport=websocket".into()
    }

    fn greet(&self, _: Member) -> Option<String> {
        None
    }

    fn hear(&mut self, member: Member, text: &[u8]) -> Heard {
        match text {
            // Engine.IO is open, pings, or carries Socket.IO's own packets.
            [b'0', ..] => Heard::Answer("40".into()),
            [b'2'] => Heard::Answer("3".into()),
            [b'4', b'0', ..] => {
                Heard::Answer(format!(r#"42["join",{{"userId":"m{}","roomId":"load-{}"}}]"#, member.index, member.room))
            }
            [b'4', b'2', event @ ..] => match event {
                event if event.starts_with(br#"["joined""#) => Heard::Joined,
                event if event.starts_with(br#"["welcome""#) || event.starts_with(br#"["bye""#) => Heard::Nothing,
                _ => Heard::Signal,
            },
            _ => Heard::Broken(String::from_utf8_lossy(text).into_owned()),
        }
    }

    fn begin(&self, from: Member, _: Option<Member>, kind: Kind, text: &mut Vec<u8>) -> bool {
        let event = match kind {
            Kind::Offer => "offer",
            Kind::Answer => "answer",
            Kind::OfferIce | Kind::AnswerIce => "candidate",
        };
        let Member { index, room, .. } = from;
        push(text, format_args!(r#"42["{event}",{{"userId":"m{index}","roomId":"load-{room}","#));
        true
    }

    fn end(&self) -> &'static [u8] {
        b"}]"
    }

    fn leave(&self) -> Option<&'static str> {
        Some(r#"42["leave",{}]"#)
    }
}

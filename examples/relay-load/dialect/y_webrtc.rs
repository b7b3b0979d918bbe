//! y-webrtc's server, and this relay's wire of that name: a topic for each room, in which everybody says everything to all.

use super::{Dialect, Heard, Member, push};
use crate::message::Kind;

/// y-webrtc's server.
pub(crate) struct YWebrtc;

impl Dialect for YWebrtc {
    fn path(&self, _: Member) -> String {
        "/y-webrtc".into()
    }

    fn greet(&self, member: Member) -> Option<String> {
        Some(format!(r#"{{"type":"subscribe","topics":["load-{}"]}}"#, member.room))
    }

    fn joins_silently(&self) -> bool {
        true
    }

    fn hear(&mut self, member: Member, text: &[u8]) -> Heard {
        let Some((_, rest)) = split(text, br#""data":{"from":"m"#) else {
            return Heard::Broken(String::from_utf8_lossy(text).into_owned());
        };
        if number(rest) == Some(member.index) {
            // Everybody hears itself.
            return Heard::Nothing;
        }
        match split(rest, br#","to":"m"#) {
            // A client ignores what is for others.
            Some((_, to)) if number(to) != Some(member.index) => Heard::Nothing,
            _ => Heard::Signal,
        }
    }

    fn begin(&self, from: Member, to: Option<Member>, kind: Kind, text: &mut Vec<u8>) -> bool {
        let kind = match kind {
            Kind::Offer => "offer",
            Kind::Answer => "answer",
            Kind::OfferIce | Kind::AnswerIce => "candidate",
        };
        push(
            text,
            format_args!(
                r#"{{"type":"publish","topic":"load-{}","data":{{"from":"m{}","type":"{kind}""#,
                from.room, from.index
            ),
        );
        if let Some(to) = to {
            push(text, format_args!(r#","to":"m{}""#, to.index));
        }
        push(text, format_args!(r#","signal":{{"#));
        true
    }

    fn end(&self) -> &'static [u8] {
        b"}}}"
    }
}

/// What is before and behind the first `part` in `text`.
fn split<'a>(text: &'a [u8], part: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    // All that is looked for is before the body of a message, which is long.
    let at = text.get(..text.len().min(200))?.windows(part.len()).position(|window| window == part)?;
    Some((text.get(..at)?, text.get(at + part.len()..)?))
}

/// The number at the beginning of `text`.
fn number(text: &[u8]) -> Option<usize> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(text.get(..digits)?).ok()?.parse().ok()
}

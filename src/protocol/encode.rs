//! Encodes the events of a room as the messages of this protocol. How the relay's own messages look is what
//! [`Event`] says; signals keep the text of their senders.

use bytes::Bytes;

use crate::outbox::frame;
use crate::room::names::PeerId;
use crate::room::{Event, Signal};

/// Encodes `event` as one text frame.
pub fn encode(event: &Event<'_>) -> Option<Bytes> {
    Some(match event {
        Event::Signal { from, signal } => encode_signal(signal, from),
        // This cannot fail: every key is a string, every value is one that serde_json can write, and the target is memory.
        _ => frame::text(256, |text| serde_json::to_writer(text, event).unwrap_or_default()),
    })
}

/// Writes the sender's message with the relay's own `from`.
fn encode_signal(signal: &Signal<'_>, from: &PeerId) -> Bytes {
    frame::text(signal.bytes + from.as_str().len() + 16, |text| {
        for part in [r#"{"type":""#, signal.kind.as_str(), r#"","from":""#, from.as_str(), "\""] {
            text.extend_from_slice(part.as_bytes());
        }
        for (key, value) in &signal.fields {
            for part in [",", key, ":", value] {
                text.extend_from_slice(part.as_bytes());
            }
        }
        text.push(b'}');
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::names::RoomName;
    use crate::room::{IceServers, View};

    #[test]
    fn joined_says_that_a_room_is_locked_or_has_a_password_only_if_that_is_so() {
        let (id, room, ice_servers) = (PeerId::parse("a").unwrap(), RoomName::lobby(), IceServers::default());
        for (is_locked, has_password) in [(false, false), (true, false), (false, true)] {
            let (id, room, peers, ice_servers) = (&id, &room, &[], &ice_servers);
            let joined = Event::Joined {
                view: View {
                    id,
                    name: None,
                    room: room.as_str(),
                    host: id,
                    peers,
                    ice_servers,
                    max_message_bytes: 1024,
                    is_locked,
                    has_password,
                },
                resume: None,
            };
            let frame = encode(&joined).unwrap();
            let text = String::from_utf8_lossy(&frame);
            assert_eq!(text.contains(r#""locked":true"#), is_locked, "{text}");
            assert_eq!(text.contains(r#""password":true"#), has_password, "{text}");
            assert!(!text.contains("false") && !text.contains("null"), "{text}");
        }
    }
}

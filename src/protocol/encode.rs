//! Encodes the events of a room as the messages of this protocol. How the relay's own messages look is what
//! [`Event`] says; signals keep the text of their senders.

use bytes::Bytes;

use crate::limits::{DENIAL_CHARS, LONGEST_ERROR};
use crate::outbox::frame;
use crate::room::names::PeerId;
use crate::room::{Event, Refusal, Signal};

/// Encodes `event` as one text frame.
pub fn encode(event: &Event<'_>) -> Option<Bytes> {
    Some(match event {
        Event::Signal { from, signal } => encode_signal(signal, from),
        Event::Error { refusal, reference } => encode_error(refusal, *reference),
        _ => encode_own(event),
    })
}

/// Writes a message of the relay's own.
fn encode_own(event: &Event<'_>) -> Bytes {
    // This cannot fail: every key is a string, every value is one that serde_json can write, and the target is memory.
    frame::text(128, |text| serde_json::to_writer(text, event).unwrap_or_default())
}

/// Writes an `error` of [`LONGEST_ERROR`] bytes at most, whatever its sentence says.
fn encode_error(refusal: &Refusal, reference: Option<&str>) -> Bytes {
    let whole = encode_own(&Event::Error { refusal, reference });
    if whole.len() <= LONGEST_ERROR {
        return whole;
    }
    // JSON writes a character in six bytes at most.
    let message: String = refusal.message.chars().take(DENIAL_CHARS).collect();
    let short = Refusal { code: refusal.code, message: message.into(), to: None };
    encode_own(&Event::Error { refusal: &short, reference })
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
    use crate::ice::IceServers;
    use crate::limits::REF_BYTES;
    use crate::room::ErrorCode;
    use crate::room::View;
    use crate::room::names::RoomName;

    #[test]
    fn an_error_has_8_kib_at_most_whatever_its_sentence_says() {
        for sentence in ["\u{1}".repeat(100_000), "\u{1f600}".repeat(100_000), "\\".repeat(8_000)] {
            let refusal = Refusal::new(ErrorCode::Unauthorized, sentence.clone());
            let reference = "\u{1}".repeat(REF_BYTES);
            let frame = encode(&Event::Error { refusal: &refusal, reference: Some(&reference) }).unwrap();
            assert!(frame.len() <= LONGEST_ERROR, "{}", frame.len());
            let text = std::str::from_utf8(&frame[4..]).unwrap();
            let error: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(error["ref"], reference);
            assert!(sentence.starts_with(error["message"].as_str().unwrap()));
        }
    }

    #[test]
    fn joined_says_that_a_room_is_locked_or_has_a_password_only_if_that_is_so() {
        let (id, room, ice_servers) = (PeerId::parse("a").unwrap(), RoomName::lobby(), IceServers::default());
        for (is_locked, has_password) in [(false, false), (true, false), (false, true)] {
            let (id, room, peers, ice_servers) = (&id, &room, &[], &ice_servers.for_client("a"));
            let joined = Event::Joined {
                view: View {
                    id,
                    name: None,
                    room: room.as_str(),
                    host: id,
                    peers,
                    ice_servers,
                    candidate_policy: None,
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

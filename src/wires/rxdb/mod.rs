//! The wire of RxDB 17.6.0, the client of its WebRTC replication.
//!
//! A client has an id from the relay, and enters rooms by messages. `rooms.rs` is the table of those who are together, `client.rs`
//! one client, and `id.rs` its id.
//!
//! # What it says
//! | the relay says | when |
//! | --- | --- |
//! | `{"type":"init","yourPeerId":"ID"}` | first, and once; the client waits for it |
//! | `{"type":"joined","otherPeerIds":["ID",...]}` | somebody came into the room, who hears it too, or left it; all who are there, in the order in which they came |
//! | what another member said, as it was written | its `type` is `signal`, and its `receiverPeerId` the client's id |
//!
//! | the client says | the relay does |
//! | --- | --- |
//! | `{"type":"join","room":"R"}` | has it enter the room; the second time nothing. R has 6 to 99 characters, as JavaScript counts them |
//! | `{"type":"signal","senderPeerId":"ID","receiverPeerId":"P","room":"R",...}` | says the whole object to the member P of the room R; nothing if one of the two is not there |
//! | `{"type":"ping"}` | nothing |
//! | a `join` of no such R, a `signal` with the id of somebody else, anything else, and what is no JSON object | closes |
//!
//! # Where it differs from its own server
//! | its own server | here |
//! | --- | --- |
//! | ends as a whole at the text `null` | closes who says it |
//! | passes signals to whoever has the id, in whatever room | in the room that they name |
//! | writes numbers anew | passes everything on as it was written |
//! | any number of members and of rooms | 64 in a room, and 128 rooms and 16 KiB of their names a connection; who is beyond that is closed (1013), and dials again |
//! | says each list to all, also to who does not read | of the lists that a client has not read, the last one stays |
//! | tells who is left of everybody who leaves while it ends itself | says nothing then: a connection that is about to be made may still succeed |
//! | messages of 100 MiB, and of any depth | `--max-message-bytes` (1009) and 32 levels, beyond which it closes |
//! | queues without end for who does not read | reads on from the sender when the receiver has read; who reads nothing for 5 s is closed (1013) |
//! | closes who has said nothing for 120 s | closes who does not answer pings |
//! | closes without a code | 1008 for what is said, 1013 for a room that takes nobody now |
//! | has no tokens | `?token=`, whose `room` covers `rxdb/R`; a room that is not allowed is silence, since a close is dialled again |

mod client;
mod id;
mod rooms;
#[cfg(any(test, fuzzing))]
pub(super) mod trial;

use std::borrow::Cow;

use bytes::Bytes;

use super::json::{fields, string, value};
use crate::limits::RXDB_NAME_CHARS;
use crate::outbox::frame;
pub(super) use client::RxDbClient;
pub(super) use id::Id;
pub(super) use rooms::Rooms;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    /// It enters the room of this name.
    Join(Cow<'a, str>),
    /// It says something to another member.
    Signal(Signal<'a>),
    /// It is there.
    Ping,
    /// Nothing that the wire knows.
    Bad,
}

/// Of what a client says to another member, what is read: only strings count.
#[derive(Debug, PartialEq, Eq)]
struct Signal<'a> {
    sender: Option<Cow<'a, str>>,
    receiver: Option<Cow<'a, str>>,
    room: Option<Cow<'a, str>>,
}

/// What a text says.
fn parse(text: &str) -> Command<'_> {
    let Some(fields) = fields(text) else { return Command::Bad };
    let text_of = |name| value(&fields, name).and_then(string);
    match text_of("type").as_deref() {
        Some("join") => text_of("room").filter(|room| is_name(room)).map_or(Command::Bad, Command::Join),
        Some("signal") => Command::Signal(Signal {
            sender: text_of("senderPeerId"),
            receiver: text_of("receiverPeerId"),
            room: text_of("room"),
        }),
        Some("ping") => Command::Ping,
        _ => Command::Bad,
    }
}

/// Whether a room may have this name, which JavaScript counts in UTF-16.
fn is_name(name: &str) -> bool {
    RXDB_NAME_CHARS.contains(&name.encode_utf16().count())
}

/// The frame that tells a client its id.
fn init(id: Id) -> Bytes {
    written(&[r#"{"type":"init","yourPeerId":""#, id.as_str(), r#""}"#])
}

/// The frame that tells a member who is in its room.
fn joined(ids: impl Iterator<Item = Id>) -> Bytes {
    const HEAD: &str = r#"{"type":"joined","otherPeerIds":["#;
    let ids: Vec<_> = ids.collect();
    frame::text(HEAD.len() + 2 + ids.len() * (Id::CHARS + 3), |frame| {
        frame.extend_from_slice(HEAD.as_bytes());
        for (at, id) in ids.iter().enumerate() {
            let parts = [if at == 0 { "\"" } else { ",\"" }, id.as_str(), "\""];
            parts.iter().for_each(|part| frame.extend_from_slice(part.as_bytes()));
        }
        frame.extend_from_slice(b"]}");
    })
}

fn written(parts: &[&str]) -> Bytes {
    let bytes = parts.iter().map(|part| part.len()).sum();
    frame::text(bytes, |frame| parts.iter().for_each(|part| frame.extend_from_slice(part.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_room_with_6_to_99_characters_is_joined() {
        for (room, is_good) in [
            (r#""12345""#.to_owned(), false),
            (r#""123456""#.to_owned(), true),
            (format!("{:?}", "x".repeat(99)), true),
            (format!("{:?}", "x".repeat(100)), false),
            // Two units each, and three bytes each.
            (format!("{:?}", "🎉".repeat(3)), true),
            (format!("{:?}", "🎉".repeat(50)), false),
            (format!("{:?}", "会".repeat(5)), false),
            (r#""\u0031\u0032345\n""#.to_owned(), true),
            (r#""12345\ud800""#.to_owned(), false),
            ("1234567".to_owned(), false),
            ("null".to_owned(), false),
            (r#"["123456"]"#.to_owned(), false),
        ] {
            let said = parse(&format!(r#"{{"room":{room},"type":"join"}}"#)).is_join();
            assert_eq!(said, is_good, "{room}");
        }
        assert_eq!(parse(r#"{"type":"join"}"#), Command::Bad);
    }

    impl Command<'_> {
        fn is_join(&self) -> bool {
            matches!(self, Self::Join(_))
        }
    }

    #[test]
    fn a_signal_is_read_as_javascript_reads_it() {
        let signal = |sender: Option<&'static str>, receiver: Option<&'static str>, room: Option<&'static str>| {
            Command::Signal(Signal {
                sender: sender.map(Cow::from),
                receiver: receiver.map(Cow::from),
                room: room.map(Cow::from),
            })
        };
        for (text, expected) in [
            (
                r#" {"type":"signal","senderPeerId":"a","receiverPeerId":"b","room":"r","data":{"n":1.10}} "#,
                signal(Some("a"), Some("b"), Some("r")),
            ),
            // Of several the last one counts, whatever it is.
            (
                r#"{"type":"ping","type":"signal","senderPeerId":"a","senderPeerId":5,"room":"\u0072"}"#,
                signal(None, None, Some("r")),
            ),
            (r#"{"\u0074ype":"p\u0069ng","data":null}"#, Command::Ping),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in
            ["", "{", "null", "5", "[]", "\"ping\"", "nonsense", "{}", r#"{"type":"Ping"}"#, r#"{"type":["ping"]}"#]
        {
            assert_eq!(parse(text), Command::Bad, "{text}");
        }
        let deep = format!(r#"{{"type":"ping","data":{}{}}}"#, "[".repeat(500), "]".repeat(500));
        assert_eq!(parse(&deep), Command::Bad);
    }

    #[test]
    fn frames_are_texts_of_the_original() {
        let (one, two) = (Id::random().unwrap(), Id::random().unwrap());
        for (frame, text) in [
            (init(one), format!(r#"{{"type":"init","yourPeerId":"{}"}}"#, one.as_str())),
            (joined(std::iter::empty()), r#"{"type":"joined","otherPeerIds":[]}"#.to_owned()),
            (
                joined([one, two].into_iter()),
                format!(r#"{{"type":"joined","otherPeerIds":["{}","{}"]}}"#, one.as_str(), two.as_str()),
            ),
        ] {
            assert!(frame.ends_with(text.as_bytes()), "{frame:?}");
            assert_eq!(frame.len(), text.len() + 2);
        }
    }
}

//! The wire of Trystero's own relay, as its repository has it at dfdba65, with the client of npm's `@trystero-p2p/core` 0.25.4.
//!
//! # What it says
//! | the client says | the relay does |
//! | --- | --- |
//! | `{"type":"subscribe","topic":"T"}` | subscribes it; says nothing |
//! | `{"type":"unsubscribe","topic":"T"}` | ends that; says nothing |
//! | `{"type":"publish","topic":"T","payload":P}` | says `{"topic":"T","payload":P}` to each subscriber, the sender too. The sender need not be one |
//! | anything else, or the same in a binary message that is no UTF-8 | nothing |
//!
//! # Where it differs from its own server
//! | its own server | here |
//! | --- | --- |
//! | `JSON.parse` and `JSON.stringify` what it passes on | passes values on as they were written |
//! | takes messages of 100 MiB, any number of topics, and names of any length | a message of `--max-message-bytes` and 32 levels, 128 topics of 1,024 bytes and of 16 KiB together a connection; nothing is said to what is beyond, but a message that is too large closes (1009) |
//! | any number of subscribers | 64 a topic; who is beyond neither hears nor says anything there |
//! | keeps who is dead subscribed | pings, and forgets who does not answer |
//! | queues without end for who does not read | reads on from the sender when the receiver has read; who reads nothing for 5 s is closed (1013) |
//! | takes a topic that is half a surrogate pair | ignores it |

use bytes::Bytes;

use super::command::{Command, Dialect, Publish};
use super::json::{Names, fields, string, value};
use crate::limits::TRYSTERO_SUBSCRIBERS;
use crate::outbox::frame;
use crate::wire::Wire;

pub(super) static DIALECT: Dialect =
    Dialect { wire: Wire::Trystero, subscribers: TRYSTERO_SUBSCRIBERS, reads_binary: true, pong: None, parse, encode };

fn parse(text: &str) -> Command<'_> {
    let Some(fields) = fields(text) else { return Command::Nothing };
    let (kind, topic) = (value(&fields, "type").and_then(string), value(&fields, "topic").and_then(string));
    let (Some(kind), Some(topic)) = (kind, topic) else { return Command::Nothing };
    match &*kind {
        "subscribe" => Command::Subscribe(Names::from_iter([topic])),
        "unsubscribe" => Command::Unsubscribe(Names::from_iter([topic])),
        "publish" if value(&fields, "payload").is_some() => {
            Command::Publish(Publish { topic, from: None, to: None, fields })
        }
        _ => Command::Nothing,
    }
}

fn encode(publish: &Publish<'_>, _: usize) -> Bytes {
    let written = |name| value(&publish.fields, name).unwrap_or("null");
    let (topic, payload) = (written("topic"), written("payload"));
    frame::text(topic.len() + payload.len() + 24, |frame| {
        for part in ["{\"topic\":", topic, ",\"payload\":", payload, "}"] {
            frame.extend_from_slice(part.as_bytes());
        }
    })
}

#[cfg(test)]
#[path = "trystero_tests.rs"]
mod tests;

//! The wire of y-webrtc 10.3.0.
//!
//! # What it says
//! | the client says | the relay does |
//! | --- | --- |
//! | `{"type":"subscribe","topics":["a","b"]}` | subscribes it; says nothing. What is no string does not count |
//! | `{"type":"unsubscribe","topics":["a"]}` | ends that; says nothing |
//! | `{"type":"publish","topic":"a",...}` | says the same object, with `"clients"`, the number of subscribers, to each of them, the sender too. The sender need not be one |
//! | `{"type":"ping"}` | says `{"type":"pong"}` |
//! | anything else | nothing |
//!
//! # Where it differs from its own server
//! | its own server | here |
//! | --- | --- |
//! | ends as a whole at bad JSON, a binary message, or `topics` that is no list | ignores them |
//! | says everything to all | a signal in the clear (`data.to`) only to whom it is for, as soon as that one has said who it is (`data.from`), and to those who have not said that yet |
//! | `JSON.parse` and `JSON.stringify` what it passes on | passes values on as they were written; `"clients"` is the last field |
//! | takes messages of 100 MiB, any number of topics, and names of any length | a message of `--max-message-bytes` and 32 levels, 128 topics of 1,024 bytes and of 16 KiB together a connection, 128 strings a list; nothing is said to what is beyond, but a message that is too large closes (1009) |
//! | any number of subscribers | 128 a topic; who is beyond neither hears nor says anything there |
//! | queues without end for who does not read | reads on from the sender when the receiver has read; who reads nothing for 5 s is closed (1013), and dials again |
//! | takes a topic that is half a surrogate pair | ignores it |

use bytes::Bytes;

use super::command::{Command, Dialect, Publish};
use super::json::{fields_with_inner, string, strings, value};
use crate::limits::Y_WEBRTC_SUBSCRIBERS;
use crate::outbox::frame;
use crate::protocol::scan::Fields;
use crate::wire::Wire;

pub(super) static DIALECT: Dialect = Dialect {
    wire: Wire::YWebrtc,
    subscribers: Y_WEBRTC_SUBSCRIBERS,
    reads_binary: false,
    pong: Some(r#"{"type":"pong"}"#),
    parse,
    encode,
};

/// The longest `"clients"` with its comma.
const CLIENTS_BYTES: usize = 32;

fn parse(text: &str) -> Command<'_> {
    // With a password "data" is a string, of which nobody but the members can say for whom it is.
    let Some((fields, data)) = fields_with_inner(text, "data") else { return Command::Nothing };
    let Some(kind) = value(&fields, "type").and_then(string) else { return Command::Nothing };
    let topics =
        || value(&fields, "topics").map(strings).unwrap_or_default().into_iter().filter(|name| !name.is_empty());
    match &*kind {
        "subscribe" => Command::Subscribe(topics().collect()),
        "unsubscribe" => Command::Unsubscribe(topics().collect()),
        "publish" => publish(fields, data.as_ref()).map_or(Command::Nothing, Command::Publish),
        "ping" => Command::Ping,
        _ => Command::Nothing,
    }
}

fn publish<'a>(fields: Fields<'a>, data: Option<&Fields<'a>>) -> Option<Publish<'a>> {
    let topic = value(&fields, "topic").and_then(string).filter(|topic| !topic.is_empty())?;
    let of_data = |name| data.and_then(|data| value(data, name)).and_then(string);
    Some(Publish { topic, from: of_data("from"), to: of_data("to"), fields })
}

fn encode(publish: &Publish<'_>, clients: usize) -> Bytes {
    let fields = || publish.fields.iter().filter(|field| !field.is_named("clients"));
    let bytes: usize = fields().map(|field| field.key.len() + field.value.len() + 2).sum();
    frame::text(bytes + CLIENTS_BYTES, |frame| {
        frame.push(b'{');
        for field in fields() {
            frame.extend_from_slice(field.key.as_bytes());
            frame.push(b':');
            frame.extend_from_slice(field.value.as_bytes());
            frame.push(b',');
        }
        frame.extend_from_slice(format!("\"clients\":{clients}}}").as_bytes());
    })
}

#[cfg(test)]
#[path = "y_webrtc_tests.rs"]
mod tests;

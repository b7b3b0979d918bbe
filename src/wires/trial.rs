//! Clients of the wires that say whatever the bytes of a fuzzer, or of a property test, say, against a model of their topics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a trial may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Waker;

use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::client::TopicClient;
use super::command::Command;
use super::dialect;
use super::topics::Topics;
use crate::auth::Open;
use crate::limits::{TOPIC_NAME_BYTES, WIRE_OUTBOX_BYTES};
use crate::peer::{Client, Hub, HubSettings};
use crate::quota::RateLimiter;
use crate::room::Deferred;
use crate::testing::MemorySocket;
use crate::wire::Wire;

/// Clients of each wire.
const CLIENTS: usize = 3;
/// Names of topics that a trial may have, below what one client may: then nothing is refused for that.
const NAMES: usize = 100;

struct Talker {
    client: TopicClient,
    socket: MemorySocket,
    /// The topics to which it is subscribed, by the model.
    topics: BTreeSet<String>,
}

/// Has the clients say the lines of `bytes`: the first byte of each says who, and the rest is the text.
///
/// # Panics
/// When somebody hears anything else than the model says.
pub(crate) fn run(bytes: &[u8]) {
    super::peerjs::trial::run(bytes);
    super::matchbox::trial::run(bytes);
    super::rxdb::trial::run(bytes);
    of_topics(bytes);
}

fn of_topics(bytes: &[u8]) {
    let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
    let all: BTreeMap<_, _> =
        Wire::ALL.into_iter().filter_map(|wire| Some((wire.name(), Arc::new(Topics::new(dialect(wire)?))))).collect();
    let talkers = |topics: &Arc<Topics>| (0..CLIENTS).map(|_| talker(&hub, topics)).collect::<Vec<_>>();
    let mut talking: Vec<_> = all.values().map(talkers).collect();
    let mut names = BTreeSet::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((who, text)) = line.split_first() else { continue };
        let (Ok(text), who) = (std::str::from_utf8(text), usize::from(*who)) else { continue };
        let wire = who / CLIENTS % all.len();
        let topics = all.values().nth(wire).unwrap();
        names.extend(named(topics, text));
        if names.len() > NAMES {
            return;
        }
        check(topics, &mut talking[wire], who % CLIENTS, text);
    }
    drop(talking);
    assert!(all.values().all(|topics| topics.len() == 0), "what nobody is subscribed to is forgotten");
}

fn talker(hub: &Arc<Hub>, topics: &Arc<Topics>) -> Talker {
    let admission = hub.quotas.admit(None).unwrap();
    let outbox = hub.new_outbox_on(topics.dialect().wire, admission.purse(), None, WIRE_OUTBOX_BYTES);
    let socket = MemorySocket::connected_to(&outbox, usize::MAX);
    let rate = RateLimiter::new(0, 0, Instant::now());
    let client = TopicClient::new(Arc::clone(hub), Arc::clone(topics), outbox, rate, Default::default());
    Talker { client, socket, topics: BTreeSet::new() }
}

/// The topics that a text names.
fn named(topics: &Topics, text: &str) -> Vec<String> {
    match (topics.dialect().parse)(text) {
        Command::Subscribe(names) | Command::Unsubscribe(names) => names.iter().map(|name| name.to_string()).collect(),
        Command::Publish(publish) => vec![publish.topic.to_string()],
        Command::Ping | Command::Nothing => Vec::new(),
    }
}

/// Has one of `talkers` say `text`, and looks what all of them hear.
fn check(topics: &Topics, talkers: &mut [Talker], who: usize, text: &str) {
    let talker = &mut talkers[who];
    let waker = Waker::noop();
    talker.client.receive(text, Instant::now(), waker, &mut Deferred::default()).unwrap();
    let mut cx = std::task::Context::from_waker(waker);
    while talker.client.poll_waiting(&mut cx, Instant::now(), &mut Deferred::default()).is_pending() {}
    let fits = |name: &str| name.len() <= TOPIC_NAME_BYTES;
    let (mut expected, mut pong) = (None, false);
    match (topics.dialect().parse)(text) {
        Command::Subscribe(names) => {
            talker.topics.extend(names.iter().filter(|name| fits(name)).map(|name| name.to_string()));
        }
        Command::Unsubscribe(names) => talker.topics.retain(|topic| !names.iter().any(|name| name == topic)),
        Command::Publish(publish) if fits(&publish.topic) => expected = Some(publish),
        Command::Ping => pong = true,
        Command::Publish(_) | Command::Nothing => {}
    }
    let subscribers = |name: &str| talkers.iter().filter(|one| one.topics.contains(name)).count();
    for (index, one) in talkers.iter().enumerate() {
        // What is an answer is written by the connection's own task.
        one.client.outbox().flush();
        let heard = one.socket.texts();
        assert!(heard.iter().all(|text| serde_json::from_str::<IgnoredAny>(text).is_ok()), "{heard:?}");
        match &expected {
            Some(publish) if one.topics.contains(&*publish.topic) => {
                let frame = (topics.dialect().encode)(publish, subscribers(&publish.topic));
                let is_whole = |text: &String| frame.ends_with(text.as_bytes());
                // What is for one alone may be for others than this one.
                assert!(heard.len() == 1 || (heard.is_empty() && publish.to.is_some()), "{text:?}: {heard:?}");
                assert!(heard.iter().all(is_whole), "{text:?}: {heard:?}");
            }
            _ => assert_eq!(heard.len(), usize::from(pong && index == who), "{text:?}: {heard:?}"),
        }
    }
    let open: BTreeSet<_> = talkers.iter().flat_map(|one| &one.topics).collect();
    assert_eq!(topics.len(), open.len());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts of both wires of topics, and what comes close to them.
    fn line() -> impl Strategy<Value = String> {
        let texts = [
            r#"{"type":"subscribe","topics":["a","b",1]}"#,
            r#"{"type":"unsubscribe","topics":["a"]}"#,
            r#"{"type":"publish","topic":"a","data":{"from":"u"}}"#,
            r#"{"type":"publish","topic":"a","data":{"from":"v","to":"u"},"clients":1.0}"#,
            r#"{"type":"publish","topic":"b","data":[1.10]}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"subscribe","topic":"a"}"#,
            r#"{"type":"unsubscribe","topic":"a"}"#,
            r#"{"type":"publish","topic":"a","payload":null}"#,
            r#"{"type":"publish","topic":"\u0061","payload":{"x":1e5}}"#,
            "{",
            "",
        ];
        let who = prop::sample::select((b'0'..b'0' + 6).map(char::from).collect::<Vec<_>>());
        let text = prop_oneof![9 => prop::sample::select(texts.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,30}"];
        (who, text).prop_map(|(who, text)| format!("{who}{text}"))
    }

    proptest! {
        #![proptest_config(crate::testing::cases(1_000))]

        #[test]
        fn whatever_is_said_the_subscribers_hear_and_nobody_else(lines in prop::collection::vec(line(), 0..60)) {
            run(lines.join("\n").as_bytes());
        }
    }
}

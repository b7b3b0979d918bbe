//! Who is subscribed to what, and who hears what.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{dialect, y_webrtc};
use super::*;
use crate::wire::Wire;

fn topics() -> Arc<Topics> {
    Arc::new(Topics::new(dialect(Wire::YWebrtc).unwrap()))
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(usize::MAX))
}

fn say<'a>(topic: &'a str, from: Option<&'a str>, to: Option<&'a str>) -> Publish<'a> {
    Publish { topic: topic.into(), from: from.map(Into::into), to: to.map(Into::into), fields: Default::default() }
}

/// How many receivers this has, if `from` says it.
fn receivers(from: &Subscription, of: &Arc<Outbox>, said: &Publish<'_>) -> usize {
    from.publish(said, of.sender(), Waker::noop(), &mut Deferred::default()).receivers
}

#[test]
fn a_signal_in_the_clear_goes_to_whom_it_is_for_and_to_those_who_have_not_said_who_they_are() {
    let topics = topics();
    let [one, two, three, four] = std::array::from_fn(|_| outbox());
    let name: Arc<str> = "t".into();
    let of = |outbox| topics.subscribe(&name, outbox).unwrap();
    let (a, b, c, d) = (of(&one), of(&two), of(&three), of(&four));
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), None)), 4, "the sender too");
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("b"))), 3, "nobody else has said who it is");
    assert_eq!(receivers(&b, &two, &say("t", Some("b"), None)), 4);
    assert_eq!(receivers(&c, &three, &say("t", Some("c"), None)), 4);
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("b"))), 2, "one is silent so far");
    assert_eq!(receivers(&d, &four, &say("t", Some("d"), None)), 4);
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("b"))), 1);
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("gone"))), 0);
    // Who takes the id of another one takes nothing from it.
    assert_eq!(receivers(&d, &four, &say("t", Some("b"), None)), 4);
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("b"))), 2);
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("d"))), 1, "it is known by both");
    // Who has more than are remembered hears all.
    for id in ["e", "f", "g"] {
        receivers(&d, &four, &say("t", Some(id), None));
    }
    assert_eq!(receivers(&a, &one, &say("t", Some("a"), Some("c"))), 2);
    // Who comes again has said nothing yet.
    drop(b);
    let b = of(&two);
    assert_eq!(receivers(&c, &three, &say("t", Some("c"), Some("b"))), 2);
    drop((a, b, c, d));
    assert_eq!(topics.len(), 0);
}

#[test]
fn a_long_id_is_not_remembered_and_its_bearer_hears_all() {
    let topics = topics();
    let [one, two] = std::array::from_fn(|_| outbox());
    let name: Arc<str> = "t".into();
    let (a, b) = (topics.subscribe(&name, &one).unwrap(), topics.subscribe(&name, &two).unwrap());
    let long = "x".repeat(TOPIC_ID_BYTES + 1);
    receivers(&b, &two, &say("t", Some(&long), None));
    receivers(&a, &one, &say("t", Some("a"), None));
    assert_eq!(receivers(&a, &one, &say("t", None, Some(&long))), 1);
    assert_eq!(receivers(&a, &one, &say("t", None, Some("nobody"))), 1);
}

#[test]
fn a_topic_takes_so_many_and_who_is_beyond_says_nothing_there() {
    let topics = topics();
    let name: Arc<str> = "t".into();
    let subscribed: Vec<_> = (0..y_webrtc::DIALECT.subscribers)
        .map(|_| outbox())
        .map(|outbox| (topics.subscribe(&name, &outbox).unwrap(), outbox))
        .collect();
    let late = outbox();
    assert!(topics.subscribe(&name, &late).is_none());
    let publish = |topics: &Topics| {
        topics.publish(&say("t", None, None), late.sender(), Waker::noop(), &mut Deferred::default()).receivers
    };
    assert_eq!(publish(&topics), 0);
    let mut subscribed = subscribed.into_iter();
    drop(subscribed.next());
    assert_eq!(publish(&topics), y_webrtc::DIALECT.subscribers - 1, "who is not subscribed may say something");
    assert!(topics.subscribe(&name, &late).is_some());
}

#[test]
fn nobody_hears_what_is_said_in_a_topic_of_nobody() {
    let topics = topics();
    let outbox = outbox();
    let published = topics.publish(&say("t", None, None), outbox.sender(), Waker::noop(), &mut Deferred::default());
    assert_eq!((published.receivers, topics.len()), (0, 0));
}

proptest! {
    #![proptest_config(crate::testing::cases(500))]

    /// Each step is a client, a topic, and what it does: comes, goes, or says something.
    #[test]
    fn a_message_reaches_those_who_are_subscribed_when_it_is_said(
        steps in prop::collection::vec((0_usize..6, 0_usize..3, 0_usize..3), 1..80),
    ) {
        let topics = topics();
        let outboxes: Vec<_> = (0..6).map(|_| outbox()).collect();
        let names: Vec<Arc<str>> = (0..3).map(|n| n.to_string().into()).collect();
        let mut there: std::collections::BTreeMap<(usize, usize), Subscription> = Default::default();
        for (client, topic, step) in steps {
            match step {
                0 => {
                    let subscribe = || topics.subscribe(&names[topic], &outboxes[client]).unwrap();
                    there.entry((topic, client)).or_insert_with(subscribe);
                }
                1 => drop(there.remove(&(topic, client))),
                _ => {
                    let (said, sender) = (say(&names[topic], None, None), outboxes[client].sender());
                    let published = match there.get(&(topic, client)) {
                        Some(own) => own.publish(&said, sender, Waker::noop(), &mut Deferred::default()),
                        None => topics.publish(&said, sender, Waker::noop(), &mut Deferred::default()),
                    };
                    let expected = there.keys().filter(|(of, _)| *of == topic).count();
                    prop_assert_eq!(published.receivers, expected);
                    prop_assert_eq!(published.queued + published.blocked.len(), expected);
                }
            }
            let open: BTreeSet<usize> = there.keys().map(|(topic, _)| *topic).collect();
            prop_assert_eq!(topics.len(), open.len());
        }
        there.clear();
        prop_assert_eq!(topics.len(), 0);
    }
}

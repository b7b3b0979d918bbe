//! What texts of y-webrtc say, and how a message is written down.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// What a text says, in one line.
fn said(text: &str) -> String {
    match parse(text) {
        Command::Subscribe(names) => format!("subscribe {names:?}"),
        Command::Unsubscribe(names) => format!("unsubscribe {names:?}"),
        Command::Publish(publish) => format!("publish {:?} from {:?} to {:?}", publish.topic, publish.from, publish.to),
        Command::Ping => "ping".into(),
        Command::Nothing => "nothing".into(),
    }
}

/// The text that `clients` subscribers hear.
fn heard(text: &str, clients: usize) -> String {
    let Command::Publish(publish) = parse(text) else { panic!("{text} publishes nothing") };
    text_of(&encode(&publish, clients))
}

/// The text in a short frame.
pub(crate) fn text_of(frame: &[u8]) -> String {
    let start = match frame[1] {
        127 => 10,
        126 => 4,
        _ => 2,
    };
    String::from_utf8(frame[start..].to_vec()).unwrap()
}

#[test]
fn each_text_says_what_the_own_server_takes_it_for() {
    for (text, expected) in [
        (r#"{"type":"subscribe","topics":["a","b"]}"#, r#"subscribe ["a", "b"]"#),
        (r#"{"topics":["\u0061\n"],"type":"subscribe"}"#, r#"subscribe ["a\n"]"#),
        (r#"{"type":"subscribe","topics":[]}"#, "subscribe []"),
        (r#"{"type":"subscribe","topics":[1,null,{"a":"b"},["c"],"d",true,""]}"#, r#"subscribe ["d"]"#),
        (r#"{"type":"unsubscribe","topics":["a"]}"#, r#"unsubscribe ["a"]"#),
        (r#"{"type":"ping"}"#, "ping"),
        (r#"{"type":"\u0070ing","more":1}"#, "ping"),
        (r#"{"type":"publish","topic":"a"}"#, r#"publish "a" from None to None"#),
        (
            r#"{"type":"publish","topic":"a","data":{"type":"announce","from":"u"}}"#,
            r#"publish "a" from Some("u") to None"#,
        ),
        (
            r#"{"type":"publish","topic":"a","data":{"to":"v","from":"u","signal":{}}}"#,
            r#"publish "a" from Some("u") to Some("v")"#,
        ),
        (r#"{"type":"publish","topic":"a","data":"{\"to\":\"v\"}"}"#, r#"publish "a" from None to None"#),
        (r#"{"type":"publish","topic":"a","data":{"to":5,"from":null}}"#, r#"publish "a" from None to None"#),
        // The last of two fields counts.
        (r#"{"type":"ping","type":"publish","topic":"a","topic":"b"}"#, r#"publish "b" from None to None"#),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn what_the_own_server_dies_of_or_ignores_says_nothing() {
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        "null",
        "true",
        "5",
        "\"ping\"",
        "[]",
        r#"[{"type":"ping"}]"#,
        "{}",
        r#"{"type":null}"#,
        r#"{"type":["ping"]}"#,
        r#"{"type":"PING"}"#,
        r#"{"type":"offer","sdp":"v=0"}"#,
        r#"{"type":"publish"}"#,
        r#"{"type":"publish","topic":""}"#,
        r#"{"type":"publish","topic":null}"#,
        r#"{"type":"publish","topic":["a"]}"#,
        r#"{"type":"publish","topic":"\ud800"}"#,
        r#"{"type":"ping"} x"#,
    ] {
        assert_eq!(said(text), "nothing", "{text}");
    }
    for topics in ["null", "\"a\"", "5", "{\"a\":\"b\"}", "{\"forEach\":1}"] {
        assert_eq!(said(&format!(r#"{{"type":"subscribe","topics":{topics}}}"#)), "subscribe []", "{topics}");
    }
    assert_eq!(said(r#"{"type":"subscribe"}"#), "subscribe []");
    let deep = format!(r#"{{"type":"publish","topic":"a","data":{}}}"#, "[".repeat(30_000));
    assert_eq!(said(&deep), "nothing");
}

#[test]
fn a_list_counts_as_far_as_one_client_may_have_topics() {
    let names: Vec<String> = (0..1000).map(|n| format!("\"{n}\"")).collect();
    let text = format!(r#"{{"type":"subscribe","topics":[{}]}}"#, names.join(","));
    let Command::Subscribe(names) = parse(&text) else { panic!() };
    assert_eq!((names.len(), &*names[127]), (crate::limits::TOPICS, "127"));
}

#[test]
fn all_fields_are_passed_on_as_they_were_written_with_the_count_behind_them() {
    for (text, expected) in [
        (r#"{"type":"publish","topic":"a","data":1.10}"#, r#"{"type":"publish","topic":"a","data":1.10,"clients":3}"#),
        (
            r#" { "\u0074ype" : "publish", "topic":"\u0061", "x": [1e0, -0], "clients": 99, "data": null } "#,
            r#"{"\u0074ype":"publish","topic":"\u0061","x":[1e0, -0],"data":null,"clients":3}"#,
        ),
        (r#"{"type":"publish","topic":"a"}"#, r#"{"type":"publish","topic":"a","clients":3}"#),
        (
            r#"{"type":"publish","topic":"a","data":"\ud83d\ude00 é"}"#,
            r#"{"type":"publish","topic":"a","data":"\ud83d\ude00 é","clients":3}"#,
        ),
    ] {
        assert_eq!(heard(text, 3), expected);
    }
}

proptest! {
    #![proptest_config(crate::testing::cases(2_000))]

    #[test]
    fn what_is_heard_is_json_with_the_same_values(data in ".{0,40}", more in ".{0,10}", clients in 0_usize..200) {
        let said = serde_json::json!({"type": "publish", "topic": "t", "data": {"to": data}, more.clone(): data});
        // A field may have been named as one of the wire's.
        let Command::Publish(_) = parse(&said.to_string()) else { return Ok(()) };
        let mut heard: Value = serde_json::from_str(&heard(&said.to_string(), clients)).unwrap();
        let heard = heard.as_object_mut().unwrap();
        prop_assert_eq!(heard.remove("clients"), Some(clients.into()));
        let mut said = said;
        said.as_object_mut().unwrap().remove("clients");
        prop_assert_eq!(&Value::Object(heard.clone()), &said);
    }

    #[test]
    fn no_text_is_too_strange(text in "[\\[\\]{}\",:a-z\\\\0-9 ]{0,60}") {
        said(&text);
    }
}

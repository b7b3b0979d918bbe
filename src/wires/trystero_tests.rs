//! What texts of Trystero say, and how a message is written down.

use super::*;

fn said(text: &str) -> String {
    match parse(text) {
        Command::Subscribe(names) => format!("subscribe {names:?}"),
        Command::Unsubscribe(names) => format!("unsubscribe {names:?}"),
        Command::Publish(publish) => {
            let frame = encode(&publish, 7);
            format!("publish {}", String::from_utf8_lossy(&frame[2..]))
        }
        Command::Ping => "ping".into(),
        Command::Nothing => "nothing".into(),
    }
}

#[test]
fn each_text_says_what_the_own_server_takes_it_for() {
    for (text, expected) in [
        (r#"{"type":"subscribe","topic":"a"}"#, r#"subscribe ["a"]"#),
        (r#"{"type":"unsubscribe","topic":"a"}"#, r#"unsubscribe ["a"]"#),
        (
            r#"{"type":"publish","topic":"a","payload":"{\"peerId\":\"x\"}"}"#,
            r#"publish {"topic":"a","payload":"{\"peerId\":\"x\"}"}"#,
        ),
        (r#"{"type":"publish","topic":"a","payload":null}"#, r#"publish {"topic":"a","payload":null}"#),
        (
            r#"{"payload":{"n":1.10} ,"more":5,"topic":"\u0061","type":"publish"}"#,
            r#"publish {"topic":"\u0061","payload":{"n":1.10}}"#,
        ),
        (r#"{"type":"publish","topic":"","payload":1}"#, r#"publish {"topic":"","payload":1}"#),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn anything_else_says_nothing() {
    for text in [
        "",
        "null",
        "[1]",
        "\"subscribe\"",
        "{",
        "{}",
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","topics":["a"]}"#,
        r#"{"type":"subscribe","topic":5}"#,
        r#"{"type":"publish","topic":"a"}"#,
        r#"{"type":"publish","topic":null,"payload":1}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","topic":"a"}"#,
        r#"{"topic":"a","payload":1}"#,
    ] {
        assert_eq!(said(text), "nothing", "{text}");
    }
}
